"""Recurrent layers: a hidden unit has rows in all gates and one column, in every layer."""

import torch

from morphir.ops import DEFAULT_TABLE
from morphir.ops.recurrent_rule import is_projected
from tests.ops.layouts import layout_of, zeros


def stack(cell: torch.nn.RNNBase, *shape: int) -> dict[str, object]:
    """The arguments with which a layer calls its op."""
    cell = cell.double()
    width = cell.proj_size or cell.hidden_size
    count = cell.num_layers * (1 + cell.bidirectional)
    states = zeros(count, 2, width), zeros(count, 2, cell.hidden_size)
    return {
        "input": zeros(*shape),
        "hx": states if cell.mode == "LSTM" else states[0],
        "params": tuple(weight.detach() for weight in cell._flat_weights),
        "has_biases": cell.bias,
        "num_layers": cell.num_layers,
        "dropout": 0.0,
        "train": False,
        "bidirectional": cell.bidirectional,
        "batch_first": cell.batch_first,
    }


def test_gates_are_a_fixed_factor_of_the_rows():
    layout = layout_of("lstm", **stack(torch.nn.LSTM(3, 5), 4, 2, 3))
    assert str(layout).partition(" | ")[0] == (
        "[Time:4, b:2, i:3], [Layer:1, b:2, h:5], [Layer:1, b:2, h:5], "
        "[(Gate:4 h:5), i:3], [(Gate:4 h:5), h:5], [(Gate:4 h:5)], [(Gate:4 h:5)]"
        " -> [Time:4, b:2, h:5], [Layer:1, b:2, h:5], [Layer:1, b:2, h:5]"
    )
    kinds = {atom.name: role.kind for atom, role in layout.roles.items()}
    assert kinds == {
        "Time": "fixed", "b": "map", "i": "each", "Layer": "fixed", "h": "each", "Gate": "fixed",
    }  # fmt: skip


def test_the_recurrent_column_is_split_and_all_else_of_a_hidden_unit_is_copied():
    layout = layout_of("gru", **stack(torch.nn.GRU(3, 5, 2), 4, 2, 3))
    hidden = next(atom for atom in layout.roles if atom.name == "h")
    (way,) = layout.roles[hidden].ways
    split = [
        (site.tensor, site.axis)
        for site, polarity in zip(layout.sites[hidden], way, strict=True)
        if polarity == "split"
    ]
    # Operands: input, state, then rows and columns of both layers with two biases each.
    assert split == [(3, 1), (6, 1), (7, 1)]


def test_both_directions_lie_one_after_the_other():
    layout = layout_of(
        "rnn_tanh", **stack(torch.nn.RNN(3, 5, 2, bidirectional=True, batch_first=True), 2, 4, 3)
    )
    assert str(layout.outputs[0][-1]) == "(h:5 + h:5)"
    assert [str(axes[-1]) for axes in layout.operands[2:12:4]] == ["i:3", "i:3", "(h:5 + h:5)"]
    assert [str(form) for form in layout.outputs[0][:2]] == ["b:2", "Time:4"]


def test_the_input_is_split_in_the_weights_or_by_itself():
    layout = layout_of("rnn_relu", **stack(torch.nn.RNN(3, 5, nonlinearity="relu"), 4, 2, 3))
    role = next(role for atom, role in layout.roles.items() if atom.name == "i")
    assert set(role.ways) == {("split", "copy"), ("copy", "split")}


def test_a_projected_state_is_fixed_and_so_is_a_hidden_axis_narrower_than_it():
    """Torch knows a projection by its width: were both equal, it would expect none."""
    narrow = stack(torch.nn.LSTM(3, 5, proj_size=2), 4, 2, 3)
    assert is_projected(narrow)
    layout = layout_of("lstm", **narrow)
    assert {a.name for a, role in layout.roles.items() if role.ways} == {"b", "i", "h"}
    wide = {
        **narrow,
        "hx": (zeros(1, 2, 5), zeros(1, 2, 2)),
        "params": (zeros(8, 3), zeros(8, 5), zeros(8), zeros(8), zeros(5, 2)),
    }
    layout = layout_of("lstm", **wide)
    assert {a.name for a, role in layout.roles.items() if role.ways} == {"b", "i"}


def test_packed_sequences_are_not_recognised():
    packed = torch.nn.utils.rnn.pack_sequence([zeros(3, 2), zeros(2, 2)])
    cell = torch.nn.LSTM(2, 4).double()
    states = zeros(1, 2, 4), zeros(1, 2, 4)
    weights = tuple(cell._flat_weights)
    args = (packed.data, packed.batch_sizes, states, weights, True, 1, 0.0, False, False)
    assert DEFAULT_TABLE.bind(torch.lstm, args, {}) is None
    args = (packed.data, packed.batch_sizes, states[0], weights, True, 1, 0.0, False, False)
    assert DEFAULT_TABLE.bind(torch.gru, args, {}) is None
