"""The IR: programs, graphs, their text form, and the rewriter."""

from morphir.ir.axis_map import FRESH, AxisMap, Polarity
from morphir.ir.change import (
    Added,
    AttributeChange,
    AxisChange,
    Extension,
    Fold,
    Mapped,
    Multiplied,
    Resize,
    TensorChange,
    maps_in,
    maps_of,
)
from morphir.ir.graph import (
    Argument,
    Arithmetic,
    Call,
    Graph,
    Item,
    ModuleAttribute,
    Node,
    SizeOf,
    Value,
    substitute,
    values_in,
    whole_number,
)
from morphir.ir.injection import Injection, added_to, injections_in, is_part_of, originals_in
from morphir.ir.modes import both_modes, in_eval_mode, is_of_train_mode
from morphir.ir.parser import parse_program
from morphir.ir.printer import number_values, print_argument, print_graph, print_node, print_program
from morphir.ir.program import Mode, Program, StateEntry
from morphir.ir.relation import FREE, ZERO, Relation
from morphir.ir.removal import Removal, is_inside, names_of, state_within
from morphir.ir.renumbering import Renumbering
from morphir.ir.report import Certificate, Check, Grade, InsertionClaim, Report, ResizeClaim
from morphir.ir.rewriter import Edit, Insertion, Rewriter
from morphir.ir.structure import check_structure
from morphir.ir.types import Batch, Dim, TensorType
from morphir.ir.view import to_networkx

__all__ = [
    "FREE",
    "Fold",
    "FRESH",
    "ZERO",
    "Added",
    "AttributeChange",
    "AxisChange",
    "AxisMap",
    "Extension",
    "Mapped",
    "Renumbering",
    "Multiplied",
    "Polarity",
    "Relation",
    "Removal",
    "Resize",
    "ResizeClaim",
    "TensorChange",
    "maps_in",
    "maps_of",
    "Argument",
    "Arithmetic",
    "Batch",
    "Call",
    "Certificate",
    "Check",
    "Dim",
    "Edit",
    "Grade",
    "Graph",
    "Injection",
    "Insertion",
    "InsertionClaim",
    "Item",
    "Mode",
    "ModuleAttribute",
    "Node",
    "Program",
    "Report",
    "Rewriter",
    "SizeOf",
    "StateEntry",
    "TensorType",
    "Value",
    "added_to",
    "both_modes",
    "check_structure",
    "in_eval_mode",
    "injections_in",
    "is_inside",
    "is_of_train_mode",
    "is_part_of",
    "names_of",
    "number_values",
    "originals_in",
    "parse_program",
    "print_argument",
    "print_graph",
    "print_node",
    "print_program",
    "state_within",
    "substitute",
    "to_networkx",
    "values_in",
    "whole_number",
]
