"""Remove layers that are the identity; the function computed is unchanged, to the bit.

    SHALLOWER-1   f(x) = x: a module that returns its operand may go, by CERT-1 to CERT-4
    SHALLOWER-2   act(I act(x)) = act(x): so may an activation and an identity layer in front of the
                  same idempotent activation
    SHALLOWER-3   a model that `DeeperPass` has made deeper is given back as it was: keys, order,
                  bits, classes and optimizer; and inserting the layer again gives it back
    SHALLOWER-4   what goes leaves its optimizer groups with its state, and all else is as it was

A layer that has been trained is no identity any more: it is refused, with the lemma that does not
hold and by how much. A removal is an insertion read backwards, and is proved as that (CERT-15).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

from torch import nn

from morphir.errors import RefusalError
from morphir.ir import Call, Graph, Program, Removal, Rewriter, is_inside, state_within
from morphir.ops import DEFAULT_TABLE
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.identities import law_of_removal, why_it_stays
from morphir.passes.sites import calls_at, held_elsewhere, module_names, resolve
from morphir.passes.surroundings import Calls, Surroundings

_INSERTED: Final = re.compile(r"(.*\.)?([^.]+)_deeper\d+")


@final
@dataclass(frozen=True)
class ShallowerPass(MorphismPass):
    """Remove layers that provably return what they are given, at every call of them.

    It undoes `DeeperPass`, as long as what that inserted has not been trained, and also removes a
    named child of an `nn.Sequential` that somebody else made an identity. The keys of all others
    stay, so a child whose key is a number goes only if no such child follows.

    Args:
        at: Qualified name of the layer that goes (`"trunk.1_deeper1"`), a glob, or a list of them;
            by default every layer that `DeeperPass` inserted and that is the identity still.

    Raises:
        RefusalError: `at` is no name.

    Example:
        >>> import torch, morphir
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> deeper = morphir.apply(net, morphir.DeeperPass(at="1"))
        >>> list(morphir.apply(deeper, morphir.ShallowerPass())._modules)
        ['0', '1', '2']
    """

    name: ClassVar[str] = "shallower"
    removes: ClassVar[bool] = True

    at: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        patterns = self.at if isinstance(self.at, tuple) else (self.at,)
        is_given = bool(patterns) and all(isinstance(pattern, str) for pattern in patterns)
        if self.at is not None and not is_given:
            raise RefusalError(
                f"at={self.at!r}, expected a qualified module name, a glob, a list of them, or "
                "None for every inserted layer that is the identity still",
                suggestions=["at='extractor.2_deeper1'"],
            )

    def requires(self, program: Program) -> Refusal | None:
        """Refuses names that mean no module; what each of them computes is seen in `rewrite`."""
        if self.at is None:
            return None
        names = resolve(self.at, program, lambda name: isinstance(_removal(program, name), Removal))
        return names if isinstance(names, Refusal) else None

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Removes one layer after the other, the last one first: each may rest on those before."""
        names = _inserted(program) if self.at is None else resolve(self.at, program)
        assert not isinstance(names, Refusal)  # `requires` has seen to it
        notes: list[str] = []
        pending = _outermost(names)
        while pending:
            name = pending.pop()
            edit = _removal(rewriter.program, name)
            if isinstance(edit, Removal):
                rewriter.remove(edit)
                notes.append(f"{name}, which ran after {edit.anchor}, is gone ({edit.law})")
                continue
            if self.at is not None:
                raise RefusalError(edit.reason, nodes=edit.nodes, suggestions=edit.suggestions)
            notes.append(f"{name} stays: {edit.reason}")
            pending += _outermost([each for each in names if each.startswith(f"{name}.")])
        return notes


def _inserted(program: Program) -> list[str]:
    """What `DeeperPass` has inserted, by its names."""
    return [name for name in module_names(program) if _INSERTED.fullmatch(name)]


def _outermost(names: Sequence[str]) -> list[str]:
    """Those that are not inside of another one, with which they go."""
    return [name for name in names if not is_inside(name, [n for n in names if n != name])]


def _removal(program: Program, name: str) -> Removal | Refusal:
    """How a module is taken out, or why it has to stay."""
    calls = calls_at(program, name)
    if isinstance(calls, Refusal):
        return calls
    held = held_elsewhere(program, name) or _not_finite(program, name)
    if held:
        return Refusal(f"{name!r} can't be removed: {held}", (name,))
    odd = next((why for graph, call in calls if (why := _odd(program, graph, call))), "")
    if odd:
        return Refusal(f"{name!r} can't be removed: {odd}", (name,))
    around = Surroundings(program)
    laws = [law_of_removal(around, graph, call) for graph, call in calls]
    if "" in laws:
        why = why_it_stays(around, *calls[laws.index("")])
        return Refusal(f"{name!r} is not the identity: {why}", (name,))
    law = "SHALLOWER-2" if "SHALLOWER-2" in laws else "SHALLOWER-1"
    return _placed(program, name, calls, law)


def _not_finite(program: Program, name: str) -> str:
    """A tensor of a module that is not finite, or ""."""
    broken = [
        entry.name
        for entry in state_within(program, name).values()
        if entry.tensor is None or not bool(entry.tensor.isfinite().all())
    ]
    return f"{broken[0]} is not finite, or has no numbers" if broken else ""


def _odd(program: Program, graph: Graph, call: Call) -> str:
    """Why a call is no function from one tensor to one, or ""."""
    if not call.nodes:
        return "it runs no operation, so that nothing shows in what ran whether it is there"
    if len(call.operands) != 1:
        return f"it computes with {len(call.operands)} tensors"
    for node in call.nodes:
        state = [program.state[v.name] for v in node.operands if v.origin == "state"]
        if node.random:
            return f"{node.op} draws random numbers"
        if node.writes or any(each.kind == "constant" for each in state):
            return f"{node.op} keeps state of its own"
        if not node.outputs or DEFAULT_TABLE.get(node.op) is None:
            return f"Python may read what {node.op} computes"
    (operand,), own = call.operands, {*call.nodes}
    later = graph.nodes[graph.nodes.index(call.nodes[-1]) + 1 :]
    readers = [node.op for node in later if operand in node.operands and node not in own]
    readers += [f"output {p!r}" for p, v in graph.outputs if v is operand and p[:5] != "self."]
    return f"what it is given is read by {readers[0]!r} as well" if readers else ""


def _placed(program: Program, name: str, calls: Calls, law: str) -> Removal | Refusal:
    """Takes a module out of its Sequential, or out of the module inside which it was inserted."""
    home, _, key = name.rpartition(".")
    if home in program.sequentials:
        before = {_runs_before(graph, call) for graph, call in calls}
        (anchor,) = before if len(before) == 1 else ("",)
        counts = [sum(len(g.calls_of(n)) for g in program.graphs.values()) for n in (name, anchor)]
        if anchor and _leaves_a_gap(program, home, key):
            return Refusal(
                f"{name!r} can't be removed: numbers are the keys of {home or 'the model'!r}, and "
                "without this one a child that is appended later would overwrite the last one",
                (name,),
                ("names in place of numbers: nn.Sequential(OrderedDict(...))",),
            )
        if anchor and counts[0] == counts[1]:
            return Removal(anchor, name, law, inside=False)
        return Refusal(
            f"{name!r} can't be removed: what runs right before it is no module that runs there "
            "and nowhere else, and a proof starts from one",
            (name,),
        )
    inserted = _INSERTED.fullmatch(key)
    if program.modules.get(home) == nn.Sequential.__name__:
        return Refusal(
            f"{name!r} can't be removed: {home!r} is a Sequential whose children are also used by "
            "index, in a loop or on their own, so one child less would change more",
            (name,),
        )
    if inserted is None or inserted[2] != home.rpartition(".")[2]:
        return Refusal(
            f"{name!r} can't be removed: it is called by the code of "
            f"{program.modules.get(home, 'its container')}, which stays as it is",
            (name,),
            ("an nn.Sequential in place of the call",),
        )
    for graph, call in calls:
        (around,) = (c for c in graph.calls if any(item is call for item in c.body))
        if around.body[-1] is not call:
            others = (c.module for c in around.body if isinstance(c, Call) and c is not call)
            last = [*others][-1:]
            return Refusal(
                f"{name!r} can't be removed: {''.join(last) or 'a hook'} runs after it inside "
                f"{home!r}",
                (name,),
                tuple(f"at={(each, name)!r}" for each in last),
            )
    return Removal(home, name, law, inside=True)


def _leaves_a_gap(program: Program, home: str, key: str) -> bool:
    """Whether a child with a number for a key is followed by another one."""
    split = [name.rpartition(".") for name in program.modules if name]
    numbers = [int(each) for parent, _, each in split if parent == home and each.isdigit()]
    return key.isdigit() and int(key) < max(numbers)


def _runs_before(graph: Graph, call: Call) -> str:
    """The module right before a call whose output it is given, or ""."""
    path = next(path for path, item in graph.walk() if item is call)
    items = path[-1].body if path else graph.body
    place = next(i for i, item in enumerate(items) if item is call)
    previous = items[place - 1] if place else None
    is_it = isinstance(previous, Call) and previous.results == call.operands
    return previous.module if is_it and isinstance(previous, Call) else ""
