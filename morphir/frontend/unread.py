"""What may not fit when sizes change, because nobody recorded the method that uses it.

FRONT-11  where sizes change and a recorded module holds parameters that no entry point reads, or
          buffers with an axis of a size that changes, the report names them, and the methods that
          may read them
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from torch import nn

from morphir.frontend.entry import EntryPoint, public_methods, resolve_entry_points
from morphir.ir import Program, Resize

_SHOWN: Final = 6


def unread_note(model: nn.Module, program: Program, resizes: Sequence[Resize]) -> str:
    """A sentence about what no recorded entry point reads, "" where all is read or fits.

    What is around a recorded submodule is left out: a change inside of it does not reach that, or
    is refused (FRONT-6).

    Args:
        model: The model.
        program: A recording of it.
        resizes: What changes.
    """
    sizes = {
        old
        for edit in resizes
        for name in edit.tensors
        for old, new in zip(edit.old_shape(name), edit.new_shape(name), strict=True)
        if old != new
    }
    if not sizes:
        return ""
    entries = resolve_entry_points(model, [*program.graphs])
    names = [*program.unreached, *_unread_buffers(program, sizes)]
    unread = [name for name in names if _owner(name, entries) is not None]
    if not unread:
        return ""
    parts = [*dict.fromkeys(_largest_part(name, program) for name in unread)]
    shown = ", ".join(map(repr, parts[:_SHOWN]))
    rest = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    they = "it fits" if len(parts) == 1 else "they fit"
    note = (
        f"no recorded entry point reads {shown}{rest}, so whether {they} the new sizes is not known"
    )
    methods = [*dict.fromkeys(_methods(model, entries, parts))][:_SHOWN]
    return f"{note}; entry_points={(*program.graphs, *methods)} would tell" if methods else note


def _unread_buffers(program: Program, sizes: Collection[int]) -> list[str]:
    read = _read(program)
    return [
        entry.name
        for entry in program.state.values()
        if entry.kind == "buffer"
        and entry.name not in read
        and entry.name not in program.masks
        and {*entry.type.shape} & {*sizes}
    ]


def _read(program: Program) -> set[str]:
    """The state that an entry point reads or returns."""
    graphs = program.graphs.values()
    return {value.name for graph in graphs for value in graph.state} | {
        value.name for graph in graphs for _, value in graph.outputs
    }


def _owner(name: str, entries: tuple[EntryPoint, ...]) -> EntryPoint | None:
    """The entry point whose module holds something."""
    return next((e for e in entries if not e.owner or name.startswith(f"{e.owner}.")), None)


def _largest_part(name: str, program: Program) -> str:
    """The outermost module around a parameter of which nothing is read; else the parameter."""
    used = _read(program)
    read = [e.name for e in program.state.values() if e.name in used and e.kind == "parameter"]
    steps = name.split(".")
    parts = (".".join(steps[:length]) for length in range(1, len(steps)))
    return next((p for p in parts if not any(r.startswith(f"{p}.") for r in read)), name)


def _methods(model: nn.Module, entries: tuple[EntryPoint, ...], parts: list[str]) -> Iterator[str]:
    """Methods that were not recorded: those that mention one of the parts, else all."""
    recorded = {(entry.owner, entry.method) for entry in entries}
    for owner in dict.fromkeys(entry.owner for entry in entries):
        module = model.get_submodule(owner)
        others = [m for m in public_methods(module) if (owner, m) not in recorded]
        inside = {part.removeprefix(f"{owner}.").partition(".")[0] for part in parts}
        mentioning = [m for m in others if inside & _names_in(module, m)]
        yield from (f"{owner}.{m}".removeprefix(".") for m in mentioning or others)


def _names_in(module: nn.Module, method: str) -> set[str]:
    code = getattr(getattr(module, method, None), "__code__", None)
    return set() if code is None else {*code.co_names}
