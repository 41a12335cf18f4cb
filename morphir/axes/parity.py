"""A union-find of things that are equal or opposite, which remembers who said so."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from morphir.axes.atoms import Reason

Key = TypeVar("Key", bound=Hashable)


@final
@dataclass(frozen=True, slots=True)
class Edge(Generic[Key]):
    """What was said of two keys.

    Attributes:
        first: A key.
        second: Another.
        opposite: Whether they are opposite, not equal.
        place: Who said so.
    """

    first: Key
    second: Key
    opposite: bool
    place: Reason


@final
class Parity(Generic[Key]):
    """Keys that are equal or opposite to one another.

    Near-linear in the number of edges; only an explanation searches.
    """

    def __init__(self) -> None:
        self._parent: dict[Key, Key] = {}
        self._odd: dict[Key, bool] = {}  # whether a key is opposite to its parent
        self._edges: dict[Key, list[Edge[Key]]] = {}

    def find(self, key: Key) -> tuple[Key, bool]:
        """The key that stands for all that this one is related to; whether it is opposite to it."""
        path: list[Key] = []
        while (parent := self._parent.get(key)) is not None:
            path.append(key)
            key = parent
        odd = False
        for each in reversed(path):
            odd ^= self._odd[each]
            self._parent[each], self._odd[each] = key, odd
        return key, odd

    def relation(self, first: Key, second: Key) -> bool | None:
        """Whether two keys are opposite; None where nothing relates them."""
        (one, odd), (other, other_odd) = self.find(first), self.find(second)
        return odd ^ other_odd if one == other else None

    def add(self, edge: Edge[Key]) -> bool:
        """Takes note of an edge; whether it agrees with what was said before."""
        (one, odd), (other, other_odd) = self.find(edge.first), self.find(edge.second)
        if one == other:
            return odd ^ other_odd == edge.opposite
        self._parent[other], self._odd[other] = one, odd ^ other_odd ^ edge.opposite
        for key in (edge.first, edge.second):
            self._edges.setdefault(key, []).append(edge)
        return True

    def path(self, start: Key, end: Key) -> list[Edge[Key]]:
        """The edges that relate two keys."""
        came: dict[Key, Edge[Key] | None] = {start: None}
        pending = [start]
        for key in pending:
            for edge in self._edges.get(key, ()):
                other = edge.second if edge.first == key else edge.first
                if other not in came:
                    came[other] = edge
                    pending.append(other)
        found: list[Edge[Key]] = []
        while (last := came.get(end)) is not None:
            found.append(last)
            end = last.second if last.first == end else last.first
        return found[::-1]
