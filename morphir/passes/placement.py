"""Decides where a block goes and what it is made of, from the graph alone.

Everything a block takes over from its surroundings (layer kind, width, bias, dtype, activation,
optimizer group) is found by walking back from the site to the layer that feeds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Literal, final

import torch
from torch import nn

from morphir.blocks import BlockKind, BlockSpec
from morphir.frontend import record
from morphir.ir import Call, Graph, Node, Program, TensorType
from morphir.ops import ANYTHING, DEFAULT_TABLE
from morphir.passes.base import Refusal
from morphir.passes.layers import fit
from morphir.passes.sites import calls_at
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

_SHOWN: Final = 3
_KERNEL: Final = 3
_INSIDE_INSERTED: Final = re.compile(r"_deeper\d+\.")


@final
@dataclass(frozen=True)
class Options:
    """What the caller asks of a block."""

    activation: str | None = None
    kernel_size: int | tuple[int, ...] | None = None
    groups: int | None = None
    hidden: int | None = None


@final
@dataclass(frozen=True, eq=False)
class Placement:
    """Where a block goes.

    Attributes:
        anchor: The module it runs after.
        spec: What it is, its seed aside.
        like: A tensor whose dtype and device its parameters take.
        type: Type of the value it takes, None where types are unknown.
        follows: Parameters upstream, those of the layer that it resembles first.
        reason: Why the anchor is not the module that was named.
    """

    anchor: str
    spec: BlockSpec
    like: torch.Tensor
    type: TensorType | None
    follows: tuple[str, ...]
    reason: str = ""


def place_identity(around: Surroundings, name: str, options: Options) -> Placement | Refusal:
    """Finds a place for an identity block at `name`, or says why none is exact."""
    calls = calls_at(around.program, name)
    if isinstance(calls, Refusal):
        return _with_places(calls, around, name, options)
    before = [around.activation_before(graph, call.results[0]) for graph, call in calls]
    chosen = choose_activation(options.activation, before)
    if isinstance(chosen, Refusal):
        return chosen
    following = around.following(calls)
    placed = _place_exact(around, calls, chosen, following, options)
    return placed or _refuse_identity(around, name, calls, chosen, following, options)


def _place_exact(
    around: Surroundings,
    calls: Calls,
    chosen: Activation | None,
    following: Following | str,
    options: Options,
) -> Placement | Refusal | None:
    if chosen is not None and around.is_identity_at(calls, chosen):
        return _describe(around.program, calls, "identity", chosen, options)
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
        placed = _describe(program, after, "identity", activation, options)
        return _moved(placed, "the activation that follows")
    at = calls_at(program, following.before)
    if activation.is_idempotent and isinstance(at, list) and len(at) == len(calls):
        placed = _describe(program, at, "identity", activation, options, first=True)
        return _moved(placed, "the normalisation before its activation")
    return None


def place_open(
    around: Surroundings, name: str, kind: Literal["residual", "parametric"], options: Options
) -> Placement | Refusal:
    """Finds out what a residual or parametric block at `name` is made of; they fit everywhere."""
    program = around.program
    calls = calls_at(program, name)
    if isinstance(calls, Refusal):
        return _with_places(calls, around, name, options)
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
    return _describe(program, calls, kind, activation, options)


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
    exact = isinstance(place_identity(around, name, options), Placement)
    return Refusal(
        f"a parametric block after {name!r} would not learn: wherever {activation.op} changes "
        f"something, {hiding.op}, which follows, is flat, and no gradient comes back",
        (name,),
        (
            *((f"at={module!r}",) if module else ()),
            *(("block='identity'",) if exact else ()),
            "block='residual'",
        ),
    )


def record_block(spec: BlockSpec, placement: Placement) -> tuple[nn.Module, Program]:
    """Builds a block and records it on a value of the site's type."""
    module = spec.build(placement.like, DEFAULT_TABLE)
    if placement.type is None:
        return module, record(module).program
    sizes = placement.type.sizes(2)
    x = torch.zeros(sizes, dtype=placement.type.dtype, device=placement.like.device)
    return module, record(module, example_inputs=(x,)).program


def _describe(
    program: Program,
    calls: Calls,
    kind: BlockKind,
    activation: Activation,
    options: Options,
    *,
    first: bool = False,
) -> Placement | Refusal:
    graph, call = calls[0]
    name, value = call.module, call.results[0]
    if any(c.results[0].type != value.type for _, c in calls):
        return Refusal(f"{name!r} returns tensors of different types at its calls", (name,))
    found = fit(program, graph, value, options.kernel_size or _KERNEL, options.groups)
    if isinstance(found, str):
        return Refusal(f"cannot insert a layer at {name!r}: {found}", (name,))
    for option in ("kernel_size", "groups"):
        asked = getattr(options, option)
        if asked is not None and not found.kernel:
            return Refusal(
                f"{option}={asked!r} is for a convolution, and what fits at {name!r} is a linear "
                "layer",
                (name,),
                (f"{option}=None",),
            )
    spec = BlockSpec(
        kind=kind,
        features=found.features,
        kernel=found.kernel,
        bias=found.bias,
        activation=activation.op,
        settings=activation.settings,
        activation_first=first,
        hidden=(options.hidden or found.features) if kind == "residual" else 0,
        groups=found.groups,
    )
    return Placement(name, spec, found.like, value.type, found.follows)


def _moved(placed: Placement | Refusal, reason: str) -> Placement | Refusal:
    if isinstance(placed, Refusal):
        return placed
    return replace(placed, reason=reason)


def _refuse_identity(
    around: Surroundings,
    name: str,
    calls: Calls,
    chosen: Activation | None,
    following: Following | str,
    options: Options,
) -> Refusal:
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
    refusal = Refusal(
        f"an identity block after {name!r} would not be exact: its output {known} and {why}",
        (name,),
        (*here, "block='residual'", "block='parametric'"),
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
    if isinstance(calls, Refusal) or any(_passes_on(graph, call) for graph, call in calls):
        return False
    before = [around.activation_before(graph, call.results[0]) for graph, call in calls]
    chosen = choose_activation(None, before)
    following = around.following(calls)
    if not isinstance(chosen, Activation | None):
        return False
    placed = _place_exact(around, calls, chosen, following, options)
    return isinstance(placed, Placement) and placed.anchor == name


def _passes_on(graph: Graph, call: Call) -> bool:
    """Whether a module returns its operand, as dropout does in eval mode and not in train mode."""
    producer = graph.producers.get(call.results[0])
    is_dropout = producer is not None and producer.op.endswith("dropout")
    return is_dropout or not call.body
