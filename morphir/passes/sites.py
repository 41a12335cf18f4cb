"""From what a user writes (`at="blocks.*.fc1"`) to the places in a program that it means."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import chain, islice
from typing import Final

from morphir.axes.undeclared import undeclared
from morphir.ir import Call, Graph, Program, is_inside, names_of
from morphir.passes.base import Refusal

_SHOWN: Final = 3
# Marks of the frontend for what no certificate can follow, and so for what no change is proved of.
_UNPROVED: Final = ("alias", "scripted")
_NEVER_CALLED: Final = ("ModuleList", "ModuleDict", None)


def resolve(
    at: str | Sequence[str], program: Program, fits: Callable[[str], bool] = bool
) -> list[str] | Refusal:
    """Resolves qualified names and globs to module names, in the order of the model.

    A module that is registered several times goes by its first name.

    Args:
        at: The names and globs.
        program: Of which model.
        fits: At which names the pass can be asked; only these are suggested.

    Returns:
        The names, or why a pattern means none, with the nearest names that exist.
    """
    names = module_names(program)
    found: dict[str, None] = {}
    aliases = {other: name for name, others in program.shared.items() for other in others}
    patterns = [aliases.get(each, each) for each in ([at] if isinstance(at, str) else at)]
    if not patterns:
        reason = "at= is empty, expected qualified module names"
        return Refusal(reason, suggestions=_some(filter(fits, names)))
    for pattern in patterns:
        if pattern == "":
            reason = "at='' is the whole model, whose output nothing follows"
            return Refusal(reason, suggestions=_some(filter(fits, names)))
        matches = [pattern] if pattern in names else [n for n in names if fnmatchcase(n, pattern)]
        if not matches:
            near = difflib.get_close_matches(pattern, names, max(1, len(names)), 0.4)
            suggestions = _some(filter(fits, near)) or _some(filter(fits, names))
            reason = f"there is no module {pattern!r} in {program.model}"
            if pattern in program.state:
                kind = program.state[pattern].kind
                reason += f": that is a {kind}, and at= names a module by its output"
            return Refusal(reason, suggestions=suggestions)
        found |= dict.fromkeys(matches)
    return [*found]


def module_names(program: Program) -> list[str]:
    """Every module's qualified name; of a parsed program, those that are called."""
    called = (call.module for graph in program.graphs.values() for call in graph.calls)
    return [name for name in dict.fromkeys((*program.modules, *called)) if name]


def _some(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"at={name!r}" for name in islice(names, _SHOWN))


def calls_at(program: Program, name: str) -> list[tuple[Graph, Call]] | Refusal:
    """Every call of a module that returns one floating-point tensor, over all entry points."""
    calls = [(graph, call) for graph in program.graphs.values() for call in graph.runs_of(name)]
    what, nodes = (repr(name), (name,)) if name else ("the model", ("the model",))
    if not calls:
        covered = ", ".join(map(repr, program.graphs))
        return Refusal(
            f"{what} is never called by {covered}, so nothing is known about what it does",
            nodes,
            (
                *(_outer(program, name) or _children(program, name)),
                _entry_point_around(program, name) or "entry_points= with a method that calls it",
            ),
        )
    for graph, call in calls:
        if len(call.results) != 1:
            return Refusal(
                f"{what} returns {len(call.results)} tensors, expected one",
                nodes,
                _children(program, name),
            )
        producer = graph.producers.get(call.results[0])
        if producer is not None and producer.op.startswith("autocast."):
            return Refusal(
                f"{what} runs inside torch.autocast, which {graph.name!r} enters itself: what "
                "a layer would compute there is not what its class says",
                nodes,
                ("torch.autocast around the call of the model, not in its forward",),
            )
        kind = call.results[0].type
        if kind is not None and not kind.dtype.is_floating_point:
            return Refusal(f"{what} returns {kind}, expected a floating-point tensor", (name,))
    return calls


def held_elsewhere(program: Program, name: str) -> str:
    """Who else has a module, a part of it or a tensor of it, in words; or ""."""
    places = names_of(program, name)
    groups = chain(
        ((first, *others) for first, others in program.shared.items()),
        ((entry.name, *entry.aliases) for entry in program.state.values()),
    )
    for names in groups:
        outside = [each for each in names if not is_inside(each, places)]
        if 0 < len(outside) < len(names):
            return f"a part of it is also {outside[0]!r}"
    return ""


def unprovable(program: Program) -> str:
    """Why no change of a model is proved, whatever it is; "" where that is not known beforehand."""
    for graph in program.graphs.values():
        for node in graph.nodes:
            if node.op in _UNPROVED:
                place = f" ({node.source})" if node.source else ""
                return f"no change of this model is proved: {undeclared(node.op)}{place}"
    return ""


def _entry_point_around(program: Program, name: str) -> str:
    """The outermost module around one that can be called, as an entry point."""
    parts = name.split(".")
    around = (".".join(parts[:count]) for count in range(1, len(parts)))
    callable_ = (each for each in around if program.modules.get(each) not in _NEVER_CALLED)
    return next((f"entry_points=({each!r},)" for each in callable_), "")


def _called(program: Program) -> dict[str, None]:
    return dict.fromkeys(call.module for g in program.graphs.values() for call in g.calls)


def _children(program: Program, name: str) -> tuple[str, ...]:
    return _some([module for module in _called(program) if module.startswith(f"{name}.")])


def _outer(program: Program, name: str) -> tuple[str, ...]:
    """The nearest module around one that is called."""
    called = _called(program)
    while "." in name:
        name = name.rpartition(".")[0]
        if name in called:
            return (f"at={name!r}",)
    return ()
