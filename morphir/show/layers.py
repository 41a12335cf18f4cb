"""Rows: which parts of a box stand beside one another, and in which order.

Sugiyama's layers, inside every box on its own: a wire between two cards is one between the two
parts of the innermost box around both. Libraries lay out flat graphs, and ours are nested.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, final

import networkx as nx

from morphir.show.scheme import Box, Part, Scheme, Wire

_SWEEPS: Final = 2


@final
class Nesting:
    """Which boxes a part stands in, and which parts of a box are wired to one another."""

    def __init__(self, scheme: Scheme) -> None:
        """Walks a scheme once."""
        self._paths: dict[str, tuple[str, ...]] = {}
        self._wires: dict[str, dict[tuple[str, str], list[Wire]]] = {}
        self._fed: set[str] = set()  # parts that a wire from outside of their box goes to
        self._walk(scheme.root, ())
        for wire in scheme.wires:
            box, source, target = self.ends(wire)
            self._wires.setdefault(box, {}).setdefault((source, target), []).append(wire)
            path = self._paths[wire.target]
            self._fed.update(path[path.index(target) + 1 :])

    def _walk(self, part: Part, path: tuple[str, ...]) -> None:
        self._paths[part.key] = (*path, part.key)
        if isinstance(part, Box):
            for inner in part.parts:
                self._walk(inner, (*path, part.key))

    def path(self, key: str) -> tuple[str, ...]:
        """The boxes around a part, outermost first, and itself."""
        return self._paths[key]

    def ends(self, wire: Wire) -> tuple[str, str, str]:
        """The innermost box around both ends of a wire, and its parts in which they are."""
        source, target = self._paths[wire.source], self._paths[wire.target]
        same = sum(a == b for a, b in zip(source, target, strict=False))
        return source[same - 1], source[same], target[same]

    def rows(self, box: Box) -> list[list[Part]]:
        """The parts of a box, row by row."""
        edges = self._wires.get(box.key, {}).keys()
        rank = self._ranks(box, edges)
        rows: dict[int, list[Part]] = {}
        for part in box.parts:
            rows.setdefault(rank[part.key], []).append(part)
        return _ordered([rows[each] for each in sorted(rows)], edges)

    def _ranks(self, box: Box, edges: Iterable[tuple[str, str]]) -> dict[str, int]:
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(part.key for part in box.parts)
        graph.add_edges_from(edges)
        generations = enumerate(nx.topological_generations(graph))
        rank = {key: number for number, keys in generations for key in keys}
        for part in box.parts:  # what starts here (a mask, positions) stands right above its use
            is_input = not isinstance(part, Box) and part.kind == "input"
            if not is_input and part.key not in self._fed and not graph.pred[part.key]:
                after = [rank[key] for key in graph.succ[part.key]]
                rank[part.key] = min(after, default=1) - 1
        return rank


def _ordered(rows: list[list[Part]], edges: Iterable[tuple[str, str]]) -> list[list[Part]]:
    """Orders every row by where its neighbours stand, so that few wires cross."""
    before: dict[str, list[str]] = {}
    after: dict[str, list[str]] = {}
    for source, target in edges:
        before.setdefault(target, []).append(source)
        after.setdefault(source, []).append(target)
    place: dict[str, float] = {}
    for row in rows:
        _put(row, place)
    for _ in range(_SWEEPS):
        for neighbours, order in ((before, rows), (after, rows[::-1])):
            for row in order:
                wanted = {part.key: _mean(part.key, neighbours, place) for part in row}
                row.sort(key=lambda part, wanted=wanted: wanted[part.key])  # type: ignore[misc]
                _put(row, place)
    return rows


def _put(row: Sequence[Part], place: dict[str, float]) -> None:
    place.update({part.key: index - (len(row) - 1) / 2 for index, part in enumerate(row)})


def _mean(key: str, neighbours: Mapping[str, Sequence[str]], place: Mapping[str, float]) -> float:
    near = [place[other] for other in neighbours.get(key, ())]
    return sum(near) / len(near) if near else place[key]
