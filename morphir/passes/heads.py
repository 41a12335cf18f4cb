"""Which axes of a program are attention heads.

A head is a unit of an axis that attention keeps apart: scores are computed and mixed for each of
them alone. So it stands among the leading axes of a product of two matrices, or is what a whole
attention says that its heads are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import Graph, Node, Value
from morphir.ops.forms import Atom, Form, Product, atoms_in, multiply

_MATRICES: Final = ("matmul", "bmm", "scaled_dot_product_attention")
_MATRIX: Final = 2  # the last axes, which are multiplied
_WHOLE: Final = "multi_head_attention"


def heads_of(groups: AxisGroups, module: str) -> Form:
    """The heads axis of a projection, or of the one attention inside a module.

    Grouped queries have two factors: the heads of keys and values, and the queries of each.

    Args:
        groups: The groups of a program.
        module: A qualified name: a projection that makes queries, keys or values, or a module with
            one attention in it.

    Raises:
        RefusalError: There is none, or several.
    """
    program = groups.program
    first = next((name for name, others in program.shared.items() if module in others), module)
    is_layer = not any(name.startswith(f"{first}.") for name in program.modules)
    own = {*atoms_in(groups.features(first))} if is_layer else _held(groups, first)
    found = dict.fromkeys(part for form in _heads(groups) if (part := _within(form, own)))
    if not found:
        what = "its output features hold" if is_layer else "it holds"
        raise RefusalError(
            f"heads= changes attention heads, and {module!r} has none: {what} no axis that a "
            "product of queries and keys keeps apart (a single head can't be told from none: every "
            "size has a factor of 1)",
            nodes=[module],
            suggestions=[
                "at= a projection of queries, keys or values",
                "width= in place of heads=",
            ],
        )
    # Of grouped queries the keys and values show one factor, the queries both.
    largest = max(found, key=lambda form: len({*atoms_in(form)}))
    if any(not {*atoms_in(form)} <= {*atoms_in(largest)} for form in found):
        sizes = ", ".join(str(form.size) for form in found)
        raise RefusalError(
            f"{module!r} holds several attentions, with {sizes} heads",
            nodes=[module],
            suggestions=["at= one of them, or a list"],
        )
    return largest


def is_of_heads(groups: AxisGroups, leaf: Atom) -> bool:
    """Whether a leaf counts attention heads."""
    return any(leaf in {*atoms_in(form)} for form in _heads(groups))


def _held(groups: AxisGroups, module: str) -> set[Atom]:
    """The leaves that stand in the state of a module or of what it holds."""
    state = groups.program.state
    return {
        leaf
        for leaf, group in groups.groups.items()
        for place in group.state
        if isinstance(place.tensor, str)
        for name in (place.tensor, *state[place.tensor].aliases)
        if name.startswith(f"{module}.")
    }


def _within(form: Form, own: set[Atom]) -> Form | None:
    """The factors of an axis that are made of some leaves: not those of the batch."""
    factors = form.factors if isinstance(form, Product) else (form,)
    kept = [factor for factor in factors if {*atoms_in(factor)} <= own]
    return multiply(kept) if kept else None


def _heads(groups: AxisGroups) -> Iterator[Form]:
    forms = {
        (place.tensor, place.axis): place.form
        for group in groups.groups.values()
        for place in (*group.values, *group.state)
    }
    for graph in groups.program.graphs.values():
        for node in graph.nodes:
            for tensor, axis in _places(graph, node):
                form = forms.get((tensor, axis))
                if form is None:
                    continue
                if node.op != _WHOLE:
                    yield form
                elif isinstance(form, Product):  # (heads width)
                    yield form.factors[0]


def _places(graph: Graph, node: Node) -> Iterator[tuple[str | Value, int]]:
    """Where a call has heads: axes of its result, or of the weight that reads all of them."""
    if node.op == _WHOLE:
        weight = node.arguments["out_proj_weight"]
        if isinstance(weight, Value):
            yield weight.name if weight.origin == "state" else weight, 1
    ranks = [0 if value.type is None else len(value.type.shape) for value in node.operands]
    for value in node.results:
        rank = 0 if value.type is None else len(value.type.shape)
        if node.op in _MATRICES and ranks[:2] == [rank, rank]:
            yield from ((value, axis) for axis in range(rank - _MATRIX))
        elif node.op == "einsum":
            yield from ((value, axis) for axis in _kept_apart(node.arguments.get("equation"), rank))


def _kept_apart(equation: object, rank: int) -> Iterator[int]:
    """The axes of the result of an einsum that all of its operands have."""
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        return
    operands, result = equation.replace(" ", "").split("->")
    if "," in operands and len(result) == rank:
        for axis, letter in enumerate(result):
            if all(letter in operand for operand in operands.split(",")):
                yield axis
