"""The edit that adds the difference of two equal copies of a module to what the module returns.

    INJECT-1   h(x) + (h1(x) - h2(x)) = h(x)        where h2 equals h1

h is what was there, h1 learns from now on, h2 does not and neither does h.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

from morphir.ir.graph import Call, Item, Node, Value
from morphir.ir.program import Program, StateEntry
from morphir.ir.removal import is_inside
from morphir.ir.splicing import Splice, copied, substituted

LEARNS: Final = "fresh"
IS_FROZEN: Final = "frozen"
CLASS: Final = "InjectedBranch"  # of the module that an injection adds
_KEY: Final = re.compile(r"injected\d+")
_FROZEN_COPY: Final = re.compile(rf"(.+\.)?{_KEY.pattern}\.{IS_FROZEN}(?=\.|$)")


@final
@dataclass(frozen=True)
class Injection:
    """A branch beside a module: the difference of two copies of it that begin anew, and equal.

    Attributes:
        anchor: Qualified name of the module; "" is the model itself.
        name: Qualified name of the branch, which is a child of the anchor.
        law: The law by which the function is kept.
        spec: JSON-ready description from which the branch can be built again.
        freezes: The parameters of what was there, which stop to learn.
        heirs: Each parameter of the copy that learns, and the one whose place it takes in the
            optimizers.
    """

    anchor: str
    name: str
    law: str
    spec: Mapping[str, Any]
    freezes: tuple[str, ...]
    heirs: Mapping[str, str]


def within(name: str, module: str) -> str:
    """The name of something in a module as the module itself knows it; "" for the module."""
    return name.removeprefix(module).removeprefix(".")


def inside_of(module: str, name: str) -> str:
    """The qualified name of what a module knows by a name; the inverse of `within`."""
    return f"{module}.{name}".strip(".")


def is_part_of(name: str, module: str) -> bool:
    """Whether something is a module, or inside of it; everything is inside of the model, ""."""
    return not module or is_inside(name, [module])


def injections_in(program: Program, module: str) -> tuple[str, ...]:
    """The branches that were injected beside a module or beside one in it."""
    return tuple(
        name
        for name, kind in program.modules.items()
        if kind == CLASS and _KEY.fullmatch(name.rpartition(".")[2]) and is_part_of(name, module)
    )


def originals_in(program: Program, module: str) -> dict[str, StateEntry]:
    """The state of a module as it was before any injection, by the names that it knows it by."""
    branches = injections_in(program, module)
    return {
        within(name, module): entry
        for name, entry in program.state.items()
        if entry.kind != "constant" and is_part_of(name, module) and not is_inside(name, branches)
    }


def led_by(program: Program, module: str, upstream: Iterable[str]) -> tuple[str, ...]:
    """The parameters that lead those of a layer which is put behind a module (INJECT-2).

    Behind the sum a layer learns as the copy does that learns. In the copy that does not, it is
    frozen with it.

    Args:
        program: The program.
        module: Qualified name of the module.
        upstream: The parameters that feed what it returns, the nearest first.
    """
    copy = _FROZEN_COPY.match(module)
    if copy is None:
        twins = ((_learning_twin(name), name) for name in upstream)
        return tuple(dict.fromkeys(t if t in program.state else n for t, n in twins))
    names = dict.fromkeys((*upstream, *program.state))  # all of it, where none of it comes before
    return tuple(
        n for n in names if is_inside(n, [copy[0]]) and program.state[n].kind == "parameter"
    )


def _learning_twin(name: str) -> str:
    """The parameter that learns where this one is the copy of it that does not; else itself."""
    return re.sub(rf"(^|\.)(injected\d+)\.{IS_FROZEN}\.", rf"\1\2.{LEARNS}.", name)


def injection(
    program: Program, anchor: str, name: str, law: str, spec: Mapping[str, Any]
) -> Injection:
    """The edit that injects a branch.

    Args:
        program: The program as it is.
        anchor: Beside which module.
        name: What the branch will be called.
        law: The law by which the function is kept.
        spec: How the branch is built.
    """
    held = [e for n, e in program.state.items() if is_part_of(n, anchor) and e.kind == "parameter"]
    heirs = {
        inside_of(f"{name}.{LEARNS}", path): _place_of(path, anchor, held)
        for path, entry in originals_in(program, anchor).items()
        if entry.kind == "parameter"
    }
    return Injection(anchor, name, law, spec, tuple(entry.name for entry in held), heirs)


def _place_of(path: str, anchor: str, held: list[StateEntry]) -> str:
    """Of a parameter and those that took its place the last one that learns, or the last one."""
    line = [e for e in held if _without_branches(within(e.name, anchor)) == path]
    learning = [e for e in line if e.tensor is not None and e.tensor.requires_grad]
    return (learning or line)[-1].name


def _without_branches(path: str) -> str:
    """The name of the parameter that one in a branch was drawn anew for."""
    return re.sub(rf"(^|\.)injected\d+\.{LEARNS}(?=\.)", "", path).removeprefix(".")


def injected(program: Program, edit: Injection) -> Program:
    """The program with a branch beside a module that takes anything and returns one tensor."""
    anchor, branches = edit.anchor, injections_in(program, edit.anchor)
    parts = [f"{edit.name}.{part}" for part in (LEARNS, IS_FROZEN)]
    own = {
        within(name, anchor): kind
        for name, kind in program.modules.items()
        if is_part_of(name, anchor) and not is_inside(name, branches)
    }
    copies = {inside_of(part, path): kind for part in parts for path, kind in own.items()}
    entries = [
        _entry(program, entry, edit, part, path)
        for part in parts
        for path, entry in originals_in(program, anchor).items()
    ]
    splice = Splice(anchor, _Twice(edit, branches).make, inside=True)
    return replace(
        program,
        state={**program.state, **{entry.name: entry for entry in entries}},
        graphs={key: splice.apply(graph) for key, graph in program.graphs.items()},
        sequentials=tuple(name for name in program.sequentials if name != anchor),
        modules={**program.modules, edit.name: CLASS, **copies},
        shared={**program.shared, **_shared(program, edit, [edit.name, *copies])},
    )


def _shared(program: Program, edit: Injection, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Where the module has several names, so has what is put into it."""
    others = program.shared.get(edit.anchor, ())
    if not others:
        return {}
    return {n: tuple(inside_of(other, within(n, edit.anchor)) for other in others) for n in names}


def _entry(
    program: Program, entry: StateEntry, edit: Injection, part: str, path: str
) -> StateEntry:
    """The state of a copy, under all names that it has."""
    anchor = edit.anchor
    first = within(part, anchor)
    paths = [path, *(within(name, anchor) for name in entry.aliases if is_part_of(name, anchor))]
    places = [inside_of(each, first) for each in (anchor, *program.shared.get(anchor, ()))]
    names = [inside_of(place, each) for place in places for each in paths]
    mask = inside_of(part, within(entry.mask, anchor)) if entry.mask else ""
    return StateEntry(names[0], entry.kind, entry.type, tuple(names[1:]), mask)


@final
class _Twice:
    """Copies what a call ran twice, and adds the difference to what the call returned."""

    def __init__(self, edit: Injection, branches: Sequence[str]) -> None:
        self._edit, self._branches = edit, branches

    def make(self, call: Call, result: Value) -> tuple[Call, Value]:
        """The call of the branch, and what comes of it."""
        name = self._edit.name
        first, one = self._copy(call, f"{name}.{LEARNS}")
        second, other = self._copy(call, f"{name}.{IS_FROZEN}")
        difference, total = (Value("result", "", result.type) for _ in range(2))
        nodes = (
            Node("sub", {"input": one, "other": other}, (difference,)),
            Node("add", {"input": result, "other": difference}, (total,)),
        )
        return Call(name, (first, second, *nodes), (total,)), total

    def _copy(self, call: Call, part: str) -> tuple[Call, Value]:
        anchor = self._edit.anchor

        def moved(name: str) -> str:
            return inside_of(part, within(name, anchor)) if is_part_of(name, anchor) else name

        added: dict[Value, Value] = {}
        body = tuple(self._originals(call.body, added))
        state = (v for n in call.nodes for v in n.operands if v.origin == "state")
        table = {v: replace(v, name=moved(v.name)) for v in state if is_part_of(v.name, anchor)}
        (result,) = (added.get(value, value) for value in call.results)
        copies = tuple(copied(body, table, moved))
        return Call(part, copies, (table.get(result, result),)), table.get(result, result)

    def _originals(self, items: tuple[Item, ...], added: dict[Value, Value]) -> Iterator[Item]:
        """What ran but for earlier branches, whose results are what they were added to."""
        for item in items:
            if isinstance(item, Node):
                yield replace(item, arguments=substituted(item.arguments, added))
            elif item.module in self._branches:
                value = added_to(item)
                added[item.results[0]] = added.get(value, value)
            else:
                body = tuple(self._originals(item.body, added))
                yield Call(item.module, body, tuple(added.get(v, v) for v in item.results))


def added_to(branch: Call) -> Value:
    """What a branch adds its difference to, in one of its calls.

    Raises:
        ValueError: It adds nothing to anything.
    """
    own = [item for item in branch.body if isinstance(item, Node)]  # a guest may come after these
    value = own[-1].arguments.get("input") if own and own[-1].op == "add" else None
    if not isinstance(value, Value):
        raise ValueError(f"{branch.module!r} adds nothing to anything")
    return value
