"""The planner: which axes of a program are one axis, and what changes when it does."""

from morphir.axes.atoms import AtomTable, Reason
from morphir.axes.flow import Dims, Flow, Freed
from morphir.axes.groups import AxisGroups, Group, Place
from morphir.axes.resizing import Effect

__all__ = [
    "AtomTable",
    "AxisGroups",
    "Dims",
    "Effect",
    "Flow",
    "Freed",
    "Group",
    "Place",
    "Reason",
]
