"""Which modules can begin anew beside what they were, and why others can't.

Two copies of a module cancel if they compute the same from the same arguments: nothing may be drawn
on the way, kept for the next call, or read by Python. And what is frozen with the module must
belong to it alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from morphir.axes.undeclared import undeclared
from morphir.ir import (
    Argument,
    Call,
    Graph,
    Node,
    Program,
    Value,
    injections_in,
    is_inside,
    is_part_of,
    originals_in,
)
from morphir.ops import DEFAULT_TABLE
from morphir.ops.content import may_drop_batch, tells_python
from morphir.passes.base import Refusal
from morphir.passes.sites import calls_at, held_elsewhere
from morphir.passes.surroundings import Calls

# What makes finite numbers of infinite ones, as attention does of what it may not see.
_BOUNDED: Final = (
    "softmax", "sigmoid", "tanh", "clamp", "hardtanh", "scaled_dot_product_attention",
)  # fmt: skip
_NUMBER: Final = "float"  # that Python made a float of a size, which is the same for both copies


def why_not(program: Program, name: str, others: Collection[str] = ()) -> Refusal | None:
    """Why a module can't begin anew, or None.

    Args:
        program: The program.
        name: The module; "" is the model itself.
        others: Modules that begin anew as well.
    """
    around = next((o for o in others if o != name and is_part_of(name, o)), None)
    if around is not None:
        reason = f"{_said(name)} is a part of {_said(around)}, which begins anew as a whole"
        return Refusal(reason, (name,), (f"at={around!r}",))
    if name in injections_in(program, ""):
        reason = f"{name!r} is no module of the model, but a branch that was injected into it"
        return Refusal(reason, (name,), (f"at={name.rpartition('.')[0]!r}",))
    if not name and [*program.graphs] != ["forward"]:
        found = next(key for key in program.graphs if key != "forward")
        reason = f"at='' is the model as it is called, and {found!r} is an entry point as well"
        return Refusal(reason, (found,))
    calls = calls_at(program, name)
    if isinstance(calls, Refusal):
        return calls
    why = _complaint(program, name, calls)
    return Refusal(why, (name or "the model",)) if why else None


def _complaint(program: Program, name: str, calls: Calls) -> str:
    """Why a module that is called can't begin anew, in words, or ""."""
    if not any(e.kind == "parameter" for e in originals_in(program, name).values()):
        return f"{_said(name)} has no parameters that could begin anew"
    held = held_elsewhere(program, name) if name else ""
    held = held or next(filter(None, (_read_past(graph, name) for graph, _ in calls)), "")
    if held:
        return f"{_said(name)} cannot begin anew on its own: {held}"
    for graph, call in calls:
        if call.results[0].type is None:
            return f"nothing is known of what {_said(name)} returns without example_inputs="
        odd = next(filter(None, (_odd(program, node) for node in call.nodes)), "")
        odd = odd or _kept(graph, name, call) or _infinite(program, call)
        if odd:
            return f"two copies of {_said(name)} would not cancel: {odd}"
    return ""


def _said(name: str) -> str:
    return repr(name) if name else "the model"


def unlike(program: Program, online: str, target: str) -> Refusal | None:
    """Why a module can't have the fresh numbers of another one, or None."""
    sides = [
        {path: entry.type.shape for path, entry in originals_in(program, name).items()}
        for name in (online, target)
    ]
    differing = sorted({*sides[0].items()} ^ {*sides[1].items()})
    if not differing:
        return None
    reason = f"{target!r} is no target of {online!r}: {differing[0][0]!r} is not the same in both"
    return Refusal(reason, (target,))


def _read_past(graph: Graph, name: str) -> str:
    """Who reads the state of a module outside of its calls, in words, or ""."""
    own = {node for call in graph.runs_of(name) for node in call.nodes}
    for node in graph.nodes:
        read = [v.name for v in node.operands if v.origin == "state" and is_inside(v.name, [name])]
        if read and node not in own:
            return f"{_said(graph.modules[node])} reads {read[0]!r} past it"
    return ""


def _odd(program: Program, node: Node) -> str:
    """Why two copies of a call may give something else, in words, or ""."""
    if node.op == _NUMBER:
        return ""
    if node.random:
        return f"{node.op} draws random numbers"
    if node.writes:
        return f"{node.op} changes {node.writes[0]}"
    if not node.outputs:
        return "Python reads a number of a tensor in it"
    op = DEFAULT_TABLE.get(node.op)
    if op is None:
        return undeclared(node.op)
    if tells_python(node, op):
        return f"the size of what {node.op} returns depends on numbers"
    if may_drop_batch(node):
        return f"{node.op} may drop a batch of one"
    read = (v.name for v in node.operands if v.origin == "state")
    if any(program.state[name].kind == "constant" for name in read):
        return f"{node.op} reads a tensor that no module holds"
    return ""


def _infinite(program: Program, call: Call) -> str:
    """What puts infinite numbers into the result of a call, in words, or "".

    The example inputs may not show it: an agent that masks actions may be free to take all of them.
    """
    found: dict[Value, str] = {}
    for node in call.nodes:
        state = (v.name for v in node.operands if v.origin == "state")
        tensors = [program.state[name].tensor for name in state]
        reads = [t for t in tensors if t is not None and t.is_floating_point()]
        if any(_has_infinity(each) for each in node.arguments.values()):
            source = node.op
        elif any(bool(each.isinf().any()) for each in reads):
            source = f"a buffer that {node.op} reads"
        else:
            source = next((found[v] for v in node.operands if v in found), "")
        if source and node.op not in _BOUNDED:
            found |= dict.fromkeys(node.outputs, source)
    source = found.get(call.results[0], "")
    return f"{source} has infinite numbers, and infinity less infinity is none" if source else ""


def _has_infinity(argument: Argument) -> bool:
    if isinstance(argument, tuple):
        return any(map(_has_infinity, argument))
    return isinstance(argument, float) and math.isinf(argument)


def _kept(graph: Graph, name: str, call: Call) -> str:
    """What a call leaves behind beside its result, in words, or ""."""
    made = {value for node in call.nodes for value in node.outputs}
    for path, value in graph.outputs:
        is_own = path.startswith("self.") and is_part_of(path.removeprefix("self."), name)
        if is_own and value in made:
            return f"it keeps {path!r}"
    state = [entry for entry, value in graph.updates if value in made]
    return f"it changes {state[0]!r}" if state else ""
