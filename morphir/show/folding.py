"""Which boxes are closed, so that a picture stays readable."""

from __future__ import annotations

from typing import Final

from morphir.show.scheme import Box, Scheme, calls_in

_READABLE: Final = 60  # cards


def closed_boxes(scheme: Scheme, depth: int | None = None) -> frozenset[str]:
    """The keys of the boxes that are drawn closed.

    Args:
        scheme: What is drawn.
        depth: How many boxes may stand inside one another and be open; by default boxes are opened
            from the outside as long as the picture stays readable.
    """
    if depth is not None:
        return frozenset(_below(scheme.root, depth))
    closed = {box.key for box in calls_in(scheme.root)} - {scheme.root.key}
    shown = len(scheme.root.parts)
    for box in calls_in(scheme.root):
        if box.key in closed and shown + len(box.parts) - 1 <= _READABLE:
            shown += len(box.parts) - 1
            closed.remove(box.key)
    return frozenset(closed)


def _below(box: Box, depth: int) -> set[str]:
    inner = [part for part in box.parts if isinstance(part, Box)]
    if depth <= 0:
        return {part.key for part in inner}
    return {key for part in inner for key in _below(part, depth - 1)}
