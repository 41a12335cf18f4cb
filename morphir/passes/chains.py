"""Two layers with nothing but activations between: where units are made and where they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, final

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import FREE, AxisChange, Graph, Node, TensorChange, Value
from morphir.ops import activation, smooth
from morphir.ops.forms import Atom

_ACTIVATIONS: Final = {op.name for op in (*activation.OPS, *smooth.OPS)} | {"dropout"}
_LAYERS: Final = {"linear", "addmm", "matmul"} | {
    f"conv{transposed}{n}d" for transposed in ("", "_transpose") for n in (1, 2, 3)
}


@final
@dataclass(frozen=True, eq=False)
class Chain:
    """One way of units from the call that makes them to a call that sums over them.

    Attributes:
        graph: The entry point.
        first: The call that makes them.
        between: The activations.
        last: The call that reads them.
    """

    graph: Graph
    first: Node
    between: tuple[Node, ...]
    last: Node


@final
class Chains:
    """All ways of the fresh units of one axis.

    Attributes:
        weight: The state entry that makes the units.
        vectors: Biases: the other state entries that do.
        outgoing: State entries that sum over them.
        axis: The dimension of each of these in which they stand.
        all: The ways.
    """

    def __init__(self, groups: AxisGroups, leaf: Atom, tensors: Mapping[str, TensorChange]) -> None:
        """Finds them.

        Args:
            groups: The groups of the program.
            leaf: The axis that gets fresh units.
            tensors: How every state entry changes.

        Raises:
            RefusalError: Something else happens to the units.
        """
        places = groups.groups[leaf].state
        self.weight = str(places[0].tensor)
        self.axis = {str(place.tensor): place.axis for place in places}
        if len(self.axis) < len(places) or any(place.form is not leaf for place in places):
            raise self._refusal("they stand in blocks, or twice in one tensor")
        free = [each for each, axis in self.axis.items() if _has_free(tensors[each][axis])]
        incoming = [each for each in free if len(tensors[each]) > 1]
        if len(incoming) != 1:
            raise self._refusal(f"{len(incoming)} weights make them")
        (self.weight,) = incoming
        if sum(map(_has_free, tensors[self.weight])) > 1:
            raise self._refusal("their weight has other fresh positions too")
        self.vectors = [each for each in free if each != self.weight]
        self.outgoing = [each for each in self.axis if each not in free]
        self.all = [*self._find(groups.program.graphs)]
        if not self.all:
            raise self._refusal("nothing reads them")

    def _find(self, graphs: Mapping[str, Graph]) -> Iterator[Chain]:
        for graph in graphs.values():
            for node in graph.nodes:
                if _reads(node, [self.weight]):
                    self._check_layer(node, "makes")
                    yield from self._follow(Chain(graph, node, (), node), node.results[0])

    def _follow(self, chain: Chain, value: Value) -> Iterator[Chain]:
        for node in chain.graph.users.get(value, ()):
            if _reads(node, self.outgoing):
                self._check_layer(node, "reads")
                yield replace(chain, last=node)
            elif node.op in _ACTIVATIONS and len(node.operands) == 1 and not node.writes:
                longer = replace(chain, between=(*chain.between, node))
                yield from self._follow(longer, node.results[0])
            else:
                raise self._refusal(f"{node.op} reads them")

    def _check_layer(self, node: Node, does: str) -> None:
        if node.op not in _LAYERS or node.arguments.get("groups", 1) != 1:
            raise self._refusal(f"{node.op} {does} them")

    def _refusal(self, found: str) -> RefusalError:
        return RefusalError(
            "init='gradmax' is for units that a linear layer or convolution makes and another "
            f"reads, with activations between; of those of {self.weight!r} {found}",
            nodes=[self.weight.rpartition(".")[0]],
        )


def _has_free(change: AxisChange) -> bool:
    return bool((change.relation.source == FREE).any())


def _reads(node: Node, names: list[str]) -> bool:
    return any(value.origin == "state" and value.name in names for value in node.operands)
