"""Whether the module that came out is the one that the passes described.

BACK-7   the emitted module, recorded again, is the program that the rewriter predicted; where it is
         not, either the model is such that a layer gets in its way, and the site is refused, or it
         is our bug, and the error shows the lines that differ. After a change of sizes it makes the
         same calls in the same modules
BACK-16  where the emitted module can't be called, and one of the calls that the rewriter predicted
         can't be made either, it is our bug, and the error shows that call; else it is the model's
         own code that does not fit, and the request is refused
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from morphir.errors import RefusalError, VerificationError
from morphir.frontend.capture import CallFailedError
from morphir.ir import (
    Call,
    Edit,
    Graph,
    Injection,
    Insertion,
    ModuleAttribute,
    Node,
    Program,
    Renumbering,
    Resize,
    Rewriter,
    is_inside,
    is_part_of,
    print_program,
)
from morphir.ops.replay import Unreplayable, replay
from morphir.randomness import forked_random_state
from morphir.tensors import tensors_in


def check_emission(target: nn.Module, rewriter: Rewriter, emitted: Program) -> None:
    """The module that came out must compute what the rewriter said it would (BACK-7).

    Raises:
        RefusalError: The anchor does with its children, or its hooks do with its output, what an
            inserted layer would get in the way of.
        VerificationError: It computes something else; the message has the first differing lines.
    """
    predicted = rewriter.program
    if not _has_program(rewriter):
        _check_calls(predicted, emitted)
        return
    if rewriter.injections:
        predicted = _with_sequentials(predicted, emitted, rewriter.injections)
    if predicted == emitted:
        return
    for edit in rewriter.insertions:
        _refuse_interference(target, edit, predicted, emitted)
    for branch in rewriter.injections:
        _refuse_entanglement(target, branch, predicted, emitted)
    both = (print_program(program, sources=False) for program in (predicted, emitted))
    old, new = (text.splitlines() for text in both)
    lines = difflib.unified_diff(old, new, "as rewritten", "as emitted", n=1, lineterm="")
    shown = "\n".join([*lines][:40])
    raise VerificationError(
        "the emitted module is not the one that the passes described (BACK-7), which is a bug in "
        f"morphir; please report it with these lines:\n{shown}"
    )


def _has_program(rewriter: Rewriter) -> bool:
    """Whether the rewriter's program is that of the changed model, and not as it was."""
    return bool(rewriter.insertions or rewriter.removals or rewriter.injections)


def _with_sequentials(
    predicted: Program, emitted: Program, injections: Sequence[Injection]
) -> Program:
    """With the containers that can take a child in new branches: code says so, and no graph."""
    branches = [edit.name for edit in injections]
    own = [name for name in predicted.sequentials if not is_inside(name, branches)]
    new = [name for name in emitted.sequentials if is_inside(name, branches)]
    return replace(predicted, sequentials=(*own, *new))


def check_fits(
    target: nn.Module,
    rewriter: Rewriter,
    before: Program,
    inputs: Mapping[str, Any],
) -> None:
    """The calls that a changed module should make must fit its tensors and attributes (BACK-16).

    Args:
        target: The module, which could not be called.
        rewriter: What was done to it.
        before: The program that it was.
        inputs: Entry point to its arguments.

    Raises:
        VerificationError: One does not; the message shows it.
    """
    program = rewriter.program if _has_program(rewriter) else before
    state = {name: e.tensor for name, e in program.state.items() if e.tensor is not None}
    state |= {**dict(target.named_parameters()), **dict(target.named_buffers())}
    for name, graph in program.graphs.items():
        given = [tensor for _, tensor in tensors_in(inputs.get(name, ()))]
        if len(given) != len(graph.inputs):
            continue
        try:
            with torch.no_grad(), forked_random_state(0):
                replay(graph, state, given, number=partial(_number_in, target))
        except Unreplayable:
            continue
        except Exception as error:
            laws = ", ".join(dict.fromkeys(["BACK-16", *(edit.law for edit in rewriter.edits)]))
            places = [f"\n  at: {place}" for place in getattr(error, "__notes__", ())]
            raise VerificationError(
                f"{name!r} of the changed model can't be called: a call does not fit what changed "
                f"({laws}), which is a bug in a pass or in morphir; nothing was changed: "
                f"{type(error).__name__}: {error}{''.join(places)}"
            ) from error


def of_the_change(refusal: RefusalError, rewriter: Rewriter) -> RefusalError:
    """What a changed model is refused with: a call that fails now is none of the inputs' doing.

    Args:
        refusal: Why the changed model can't be recorded, on inputs on which it could before.
        rewriter: What was done to it.
    """
    failure = refusal.__context__
    if not isinstance(failure, CallFailedError):
        return refusal
    changes = ", ".join(
        dict.fromkeys(f"{_place(e)!r} is changed ({e.law})" for e in rewriter.edits)
    )
    return RefusalError(
        f"{failure.entry_point!r} runs on the example inputs, and fails on them once {changes}: "
        f"{failure.what}",
        nodes=refusal.nodes,
        suggestions=[
            "sizes that its code and its hooks read from shapes, in the place of a number or an "
            "attribute that still is the old one"
        ],
    )


def _place(edit: Edit) -> str:
    return edit.at if isinstance(edit, Resize | Renumbering) else edit.anchor


def _number_in(model: nn.Module, attribute: ModuleAttribute) -> int:
    name, element, position = attribute.name.partition("[")
    found = getattr(model.get_submodule(attribute.module), name)
    return int(found[int(position.rstrip("]"))] if element else found)


def _check_calls(before: Program, after: Program) -> None:
    """Refuses a model that takes another path through its code at another size."""
    for name, other in after.graphs.items():
        graph = before.graphs[name]
        for node, now in zip_longest(graph.nodes, other.nodes):
            was, became = _said(graph, node), _said(other, now)
            if was != became:
                place = next(each for each in (node, now) if each is not None)
                raise RefusalError(
                    f"at the new size {name!r} computes {became} where it computed {was}",
                    nodes=[place.source or place.op],
                    suggestions=["a forward whose path does not depend on the width"],
                )


def _said(graph: Graph, node: Node | None) -> str:
    if node is None:
        return "nothing more"
    module = graph.modules[node]
    return f"{node.op} in {module!r}" if module else node.op


def _refuse_interference(
    target: nn.Module, edit: Insertion, predicted: Program, emitted: Program
) -> None:
    expected, found = (_calls(program, edit.name) for program in (predicted, emitted))
    if found != expected:
        raise RefusalError(
            f"a layer after {edit.anchor!r} would run {found} times where {expected} are needed: "
            "its container runs its children in a way of its own",
            nodes=[edit.anchor],
            suggestions=["at= a module inside it"],
        )
    ops = [node.op for g in emitted.graphs.values() for node in _nodes_of(g, edit.name)]
    if any(op.startswith("autocast.") for op in ops):
        raise RefusalError(
            f"a layer after {edit.anchor!r} would run inside torch.autocast, which the model "
            "enters itself: what it would compute there is not what its class says",
            nodes=[edit.anchor],
            suggestions=["torch.autocast around the call of the model, not in its forward"],
        )
    if edit.assumes:
        raise RefusalError(
            f"a layer after {edit.anchor!r} would change more than its output: {edit.assumes}",
            nodes=[edit.anchor],
            suggestions=["at= a module that computes something"],
        )
    if edit.inside and target.get_submodule(edit.anchor)._forward_hooks:
        raise RefusalError(
            f"a forward hook of {edit.anchor!r} computes with its output, and a layer that runs "
            "inside it would come before the hook",
            nodes=[edit.anchor],
            suggestions=["at= the module that follows", "remove the hook, grow, register it again"],
        )
    if any(_reads_past(graph, edit) for graph in emitted.graphs.values()):
        raise RefusalError(
            f"what {edit.anchor!r} computes is read under another name as well (it works in place, "
            "or keeps it), where a layer after it would not be seen",
            nodes=[edit.anchor],
            suggestions=["a module that does not work in place", "at= the module that follows"],
        )


def _refuse_entanglement(
    target: nn.Module, edit: Injection, predicted: Program, emitted: Program
) -> None:
    """Refuses a module that does something else than to return a tensor for what it takes."""
    place, nodes = repr(edit.anchor), [edit.anchor]
    if not edit.anchor:
        place, nodes = "the model", ["the model"]
    expected, found = (_calls(program, edit.name) for program in (predicted, emitted))
    if found != expected:
        raise RefusalError(
            f"a branch beside {place} would run {found} times where {expected} are needed: its "
            "forward is called in a way of its own",
            nodes=nodes,
            suggestions=["at= a module inside it"],
        )
    hooked = [
        name or "the model"
        for name, module in target.named_modules()
        if is_part_of(name, edit.anchor) and (module._forward_hooks or module._forward_pre_hooks)
    ]
    if hooked:
        raise RefusalError(
            f"a hook of {hooked[0]!r} computes, and a copy that begins anew has no hooks",
            nodes=[hooked[0]],
            suggestions=["remove the hook, inject, register it again"],
        )
    anchors = (c for g in emitted.graphs.values() for c in (*g.calls, *g.runs_of("")))
    if any(_reads_inside(call, edit) for call in anchors):
        raise RefusalError(
            f"{place} works in place on what it is given, or keeps it, so that a branch beside "
            "it would be given something else",
            nodes=nodes,
            suggestions=["inplace=False for its first layer"],
        )


def _reads_inside(anchor: Call, edit: Injection) -> bool:
    """Whether a branch reads more of what is computed beside it than what it adds to."""
    for branch in anchor.body:
        if isinstance(branch, Call) and branch.module == edit.name:
            own = {*branch.nodes}
            made = {v for node in anchor.nodes if node not in own for v in node.outputs}
            return len(made & {*branch.operands}) > 1
    return False


def _reads_past(graph: Graph, edit: Insertion) -> bool:
    """Whether what the anchor computes is read by the layer after it, and by others too."""
    inserted = _nodes_of(graph, edit.name)
    around = [*_nodes_of(graph, edit.anchor), *inserted]
    made = {value for node in around if node not in inserted for value in node.outputs}
    outside = [node for node in graph.nodes if node not in around]
    return all(any(made & {*node.operands} for node in nodes) for nodes in (inserted, outside))


def _nodes_of(graph: Graph, module: str) -> list[Node]:
    inside = (item for path, item in graph.walk() if any(call.module == module for call in path))
    return [item for item in inside if isinstance(item, Node)]


def _calls(program: Program, module: str) -> int:
    return sum(len([*graph.calls_of(module)]) for graph in program.graphs.values())
