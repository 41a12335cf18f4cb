"""Axis rules of recurrent networks.

A layer's weights are [(G h), i] and [(G h), h], with G gates of h units. The hidden axis stands
twice in the second: a unit has its rows in all gates, copied, and its column, which every step
contracts with the state and which is split. Layers share one state tensor, so all of them have one
hidden axis, and it can change in this one way only.

A projected state (`proj_size`) is fixed: torch knows the projection by its being narrower than the
hidden axis, which may only grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from morphir.ops.axes import Dimension, Flow, Layout, make_layout
from morphir.ops.base import AxisRule, Instance
from morphir.ops.forms import Atom, Axes, Form, add, multiply


def is_projected(arguments: Mapping[str, Any]) -> bool:
    """Whether the parameters of a stack hold projections of the state (`proj_size`)."""
    directions = 1 + bool(arguments["bidirectional"])
    plain = directions * arguments["num_layers"] * (4 if arguments["has_biases"] else 2)
    return bool(len(arguments["params"]) > plain)


class _Weights:
    """The forms of the parameters, and which of their dimensions are split."""

    def __init__(self, gates: int, inputs: int, hidden: int, projected: int | None) -> None:
        self.input = Atom("i", inputs)
        self.hidden = Atom("h", hidden)
        self.state = self.hidden if projected is None else Atom("p", projected)
        self.gate = Atom("Gate", gates)
        self.rows: Form = multiply([self.gate, self.hidden]) if gates > 1 else self.hidden
        self.operands: list[Axes] = []
        self.split: dict[Atom, set[Dimension]] = {}

    def add(self, *axes: Form, split: Atom | None = None) -> None:
        """Adds an operand; with `split` the atom of its last axis is split there."""
        if split is not None:
            self.split.setdefault(split, set()).add((len(self.operands), len(axes) - 1))
        self.operands.append(axes)

    def add_layer(self, features: Form, *, biases: bool, projection: bool = False) -> None:
        """Adds one direction of one layer that reads `features`."""
        read = self.input if features is self.input else self.state
        self.add(self.rows, features, split=read)
        self.add(self.rows, self.state, split=self.state)
        for _ in range(2 * biases):
            self.add(self.rows)
        if projection:
            self.add(self.state, self.hidden, split=self.hidden)

    @property
    def flows(self) -> dict[Atom, Flow]:
        """The roles of the atoms; the first operand is the input."""
        found: dict[Atom, Flow] = {a: (frozenset(at),) for a, at in self.split.items()}
        last = len(self.operands[0]) - 1
        weights = frozenset(self.split[self.input])
        found[self.input] = (weights, frozenset([(0, last)]))
        if self.state is not self.hidden:
            found[self.state] = "fixed"
            if self.state.size > self.hidden.size:
                found[self.hidden] = "fixed"
        return found | {self.gate: "fixed"}


def stack_rule(gates: int) -> AxisRule:
    """The rule of `lstm`, `gru` and their like.

    Dropout between the layers has the axes of what it drops: the layout is that of the call without
    it.
    """

    def rule(instance: Instance) -> Layout:
        projected = is_projected(instance.arguments)
        width = instance["params"][1].shape  # of the first layer's recurrent weight
        directions = 1 + bool(instance["bidirectional"])
        weights = _Weights(
            gates, instance.shapes[0][-1], width[0] // gates, width[1] if projected else None
        )
        batch_axis = 0 if instance["batch_first"] else 1
        batch = Atom("b", instance.shapes[0][batch_axis])
        time = Atom("Time", instance.shapes[0][1 - batch_axis])
        layer = Atom("Layer", directions * instance["num_layers"])
        lead = (batch, time) if instance["batch_first"] else (time, batch)
        weights.add(*lead, weights.input)
        states: list[Axes] = [(layer, batch, weights.state), (layer, batch, weights.hidden)]
        states = states[: 2 if isinstance(instance["hx"], tuple) else 1]
        for state in states:
            weights.add(*state)
        features = add([weights.state] * directions)
        for number in range(instance["num_layers"]):
            for _ in range(directions):
                weights.add_layer(
                    features if number else weights.input,
                    biases=instance["has_biases"],
                    projection=projected,
                )
        flows: dict[Atom, Flow] = {batch: "map", time: "fixed", layer: "fixed"}
        return make_layout(
            weights.operands, [(*lead, features), *states], {**weights.flows, **flows}
        )

    return rule


def cell_rule(gates: int) -> AxisRule:
    """The rule of `lstm_cell`, `gru_cell` and their like: one step of one layer."""

    def rule(instance: Instance) -> Layout:
        batch_size, inputs = instance.shapes[0]
        rows = instance["w_ih"].shape[0]
        weights = _Weights(gates, inputs, rows // gates, None)
        state = (Atom("b", batch_size), weights.hidden)
        count = 2 if isinstance(instance["hx"], tuple) else 1
        weights.add(state[0], weights.input)
        for _ in range(count):
            weights.add(*state)
        weights.add_layer(weights.input, biases=instance["b_ih"] is not None)
        return make_layout(weights.operands, [state] * count, {**weights.flows, state[0]: "map"})

    return rule
