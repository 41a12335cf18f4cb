"""The planner: which axes of a program are one axis, and what they are made of."""

from morphir.axes.atoms import AtomTable, Reason
from morphir.axes.flow import Dims, Flow
from morphir.axes.groups import AxisGroups, Group, Place

__all__ = ["AtomTable", "AxisGroups", "Dims", "Flow", "Group", "Place", "Reason"]
