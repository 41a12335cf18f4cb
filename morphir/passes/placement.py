"""Decides where a block goes and with which activation, from the graph alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Final, Literal, get_args

from torch import nn

from morphir.blocks import BlockKind
from morphir.ir import Call, Graph, Node, Program, injections_in
from morphir.ops import ANYTHING
from morphir.passes.base import Refusal
from morphir.passes.placed import Options, Placement, describe
from morphir.passes.sites import calls_at, module_names
from morphir.passes.surroundings import (
    Activation,
    Calls,
    Following,
    Surroundings,
    activation_of,
    choose_activation,
    sole_consumer,
    whole_module,
)

OpenKind = Literal["residual", "parametric"]  # blocks that are exact everywhere
_SHOWN: Final = 3
_INSIDE_INSERTED: Final = re.compile(r"_deeper\d+\.")


def place(
    around: Surroundings, name: str, kind: BlockKind, options: Options
) -> Placement | Refusal:
    """Finds a place for a block of some kind at `name`, or says why there is none."""
    if kind == "identity":
        return place_identity(around, name, options)
    return place_open(around, name, kind, options)


def place_identity(around: Surroundings, name: str, options: Options) -> Placement | Refusal:
    """Finds a place for an identity block at `name`, or says why none is exact."""
    calls = calls_at(around.program, name)
    if isinstance(calls, Refusal):
        return _with_places(calls, around, name, options)
    chosen = _chosen_before(around, calls, options)
    if isinstance(chosen, Refusal):
        return chosen
    placed = _place_exact(around, calls, chosen, options)
    if isinstance(placed, Placement) and placed.anchor != name:
        return placed
    if _is_indexed(around.program, name):
        return _refuse_indexed(around, name, "identity", options)
    return placed or _refuse_identity(around, name, calls, chosen, options)


def _refuse_indexed(around: Surroundings, name: str, kind: BlockKind, options: Options) -> Refusal:
    last = [n for n in module_names(around.program) if n.rpartition(".")[0] == name][-1]
    is_same = isinstance(place(around, last, kind, options), Placement)
    return Refusal(
        f"{name!r} is a Sequential whose children are also used by index, in a loop or on their "
        "own, so one more child would change more than its output",
        (name,),
        (f"at={last!r}" if is_same else f"at={last!r}, block='residual'",),
    )


def _is_indexed(program: Program, name: str) -> bool:
    """Whether a layer after a module would be one more child of it, and somebody counts these."""
    plain = program.sequentials
    is_sequential = program.modules.get(name) == nn.Sequential.__name__
    hosts = any(each.rpartition(".")[0] == name for each in injections_in(program, name))
    is_apart = name not in plain and name.rpartition(".")[0] not in plain
    return is_sequential and is_apart and not hosts


def _chosen_before(
    around: Surroundings, calls: Calls, options: Options
) -> Activation | Refusal | None:
    before = [around.activation_before(graph, call.results[0]) for graph, call in calls]
    return choose_activation(options.activation, before)


def _place_exact(
    around: Surroundings, calls: Calls, chosen: Activation | None, options: Options
) -> Placement | Refusal | None:
    following = around.following(calls)
    if chosen is not None and around.is_identity_at(calls, chosen):
        return describe(around.program, calls, "identity", chosen, options)
    if isinstance(following, Following) and options.activation in (None, following.activation.op):
        return _place_at_following(around, calls, following, options)
    return None


def _place_at_following(
    around: Surroundings, calls: Calls, following: Following, options: Options
) -> Placement | Refusal | None:
    """After the activation if it runs for these calls only (DEEPER-1), else before (DEEPER-2)."""
    program, activation = around.program, following.activation
    after = calls_at(program, following.module) if following.module else []
    is_same = isinstance(after, list) and len(after) == len(calls)
    if isinstance(after, list) and is_same and around.is_identity_at(after, activation):
        placed = describe(program, after, "identity", activation, options)
        return _moved(placed, "the activation that follows")
    at = calls_at(program, following.before)
    if activation.is_idempotent and isinstance(at, list) and len(at) == len(calls):
        placed = describe(program, at, "identity", activation, options, first=True)
        return _moved(placed, "the normalisation before its activation")
    return None


def place_open(
    around: Surroundings, name: str, kind: OpenKind, options: Options
) -> Placement | Refusal:
    """Finds out what a residual or parametric block at `name` is made of; they fit everywhere."""
    program = around.program
    calls = calls_at(program, name)
    if isinstance(calls, Refusal):
        return _with_places(calls, around, name, options)
    if _is_indexed(program, name):
        return _refuse_indexed(around, name, kind, options)
    if any(call.results[0].type is None for _, call in calls):
        return Refusal(
            f"a {kind} block adds tensors, and without example inputs their shapes are unknown",
            (name,),
            ("example_inputs=(x,)",),
        )
    candidates = ([finder(g, c) for g, c in calls] for finder in _finders(around))
    chosen: Activation | Refusal | None = None
    for found in candidates:
        chosen = choose_activation(options.activation, found)
        if isinstance(chosen, Refusal):
            return chosen
        if chosen is not None:
            break
    activation = chosen if isinstance(chosen, Activation) else Activation("relu")
    hiding = around.hidden_by(calls, activation) if kind == "parametric" else None
    if hiding is not None:
        return _refuse_hidden(around, calls, activation, hiding, options)
    return describe(program, calls, kind, activation, options)


def _finders(around: Surroundings) -> Iterator[Callable[[Graph, Call], Activation | None]]:
    yield lambda graph, call: around.activation_before(graph, call.results[0])
    yield lambda graph, call: activation_of(sole_consumer(graph, call.results[0]))
    yield lambda graph, call: around.nearest_activation(graph, call.results[0])


def _refuse_hidden(
    around: Surroundings, calls: Calls, activation: Activation, hiding: Node, options: Options
) -> Refusal:
    """Why the blend of a parametric block would never move (LEARN-1), and what would learn."""
    name, (graph, _) = calls[0][1].module, calls[0]
    module = whole_module(graph, hiding)
    chosen = _chosen_before(around, calls, options)
    identity = None if isinstance(chosen, Refusal) else _place_exact(around, calls, chosen, options)
    return Refusal(
        f"a parametric block after {name!r} would not learn: wherever {activation.op} changes "
        f"something, {hiding.op}, which follows, is flat, and no gradient comes back",
        (name,),
        (
            *((f"at={module!r}",) if module else ()),
            *(("block='identity'",) if isinstance(identity, Placement) else ()),
            "block='residual'",
        ),
    )


def _moved(placed: Placement | Refusal, reason: str) -> Placement | Refusal:
    if isinstance(placed, Refusal):
        return placed
    return replace(placed, reason=reason)


def _refuse_identity(
    around: Surroundings,
    name: str,
    calls: Calls,
    chosen: Activation | None,
    options: Options,
) -> Refusal:
    following = around.following(calls)
    graph, call = calls[0]
    interval = around.interval(graph, call.results[0])
    known = "is not bounded" if interval == ANYTHING else f"lies in {interval}"
    if chosen is not None and chosen.identity_range is None:
        why = f"{chosen.op} returns no interval of inputs unchanged"
    elif chosen is not None:
        why = f"{chosen.op} is the identity on {chosen.identity_range} only"
    elif isinstance(following, Following):
        why = f"{following.activation.op}, which follows, is not idempotent"
    else:
        why = f"no activation precedes it and {following}"
    here = ("activation='relu'",) if around.is_identity_at(calls, Activation("relu")) else ()
    opened = {kind: place_open(around, name, kind, options) for kind in get_args(OpenKind)}
    blocks = [f"block={kind!r}" for kind, at in opened.items() if isinstance(at, Placement)]
    refusal = Refusal(
        f"an identity block after {name!r} would not be exact: its output {known} and {why}",
        (name,),
        (*here, *blocks),
    )
    return _with_places(refusal, around, name, replace(options, activation=None))


def _with_places(refusal: Refusal, around: Surroundings, name: str, options: Options) -> Refusal:
    """Adds the modules nearest to a site, in the order of their calls, where the block is exact."""
    order = [call.module for graph in around.program.graphs.values() for call in graph.calls]
    if name not in order:  # nothing is known about what is near
        return refusal
    here = order.index(name)
    near = sorted(range(len(order)), key=lambda index: (abs(index - here), -index))
    others = (order[i] for i in near if order[i] != name and not _INSIDE_INSERTED.search(order[i]))
    exact = (other for other in dict.fromkeys(others) if _is_exact(around, other, options))
    places = tuple(f"at={other!r}" for other in islice(exact, _SHOWN))
    known = [each for each in refusal.suggestions if each not in places]
    return replace(refusal, suggestions=(*known, *places))


def _is_exact(around: Surroundings, name: str, options: Options) -> bool:
    """Whether an identity block fits right after a module, in train mode as in eval mode."""
    calls = calls_at(around.program, name)
    if (
        isinstance(calls, Refusal)
        or _is_indexed(around.program, name)
        or any(_passes_on(graph, call) for graph, call in calls)
    ):
        return False
    chosen = _chosen_before(around, calls, options)
    if isinstance(chosen, Refusal):
        return False
    placed = _place_exact(around, calls, chosen, options)
    return isinstance(placed, Placement) and placed.anchor == name


def _passes_on(graph: Graph, call: Call) -> bool:
    """Whether a module returns its operand, as dropout does in eval mode and not in train mode."""
    producer = graph.producers.get(call.results[0])
    is_dropout = producer is not None and producer.op.endswith("dropout")
    return is_dropout or not call.body
