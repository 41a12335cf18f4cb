"""Places inside the arguments of a call: `("index", 1, "stop")`, `("tensors", 0)`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str | int, ...]  # a parameter's name, then positions in tuples and fields of slices


def tensors_of(argument: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yields everything that has a shape in an argument, with its place."""
    if hasattr(argument, "shape"):
        yield path, argument
    elif isinstance(argument, tuple | list):
        for index, part in enumerate(argument):
            yield from tensors_of(part, (*path, index))


def show_path(path: Path) -> str:
    """Writes a place as Python would: `index[1].stop`."""
    steps = (f".{step}" if isinstance(step, str) else f"[{step}]" for step in path[1:])
    return f"{path[0]}{''.join(steps)}"


def read_path(arguments: Mapping[str, Any], path: Path) -> Any:
    """Reads what is at a place."""
    found: Any = arguments[str(path[0])]
    for step in path[1:]:
        found = getattr(found, step) if isinstance(step, str) else found[step]
    return found


def put_path(arguments: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy of the arguments with something else at a place."""
    name = str(path[0])
    return {**arguments, name: _put(arguments[name], path[1:], value)}


def _put(container: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(container, slice):
        fields = {name: getattr(container, name) for name in ("start", "stop", "step")}
        fields[str(step)] = _put(fields[str(step)], rest, value)
        return slice(fields["start"], fields["stop"], fields["step"])
    changed = list(container)
    changed[int(step)] = _put(container[int(step)], rest, value)
    return tuple(changed)
