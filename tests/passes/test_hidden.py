"""The states of recurrent layers, against the steps written out."""

from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir.ops.replay import evaluate, replay
from morphir.passes.hidden import fewest_units, is_recurrent, reader, states
from tests.passes.widenings import Sequence, mlp

SEQUENCE = torch.randn(3, 5, 4).double()
KINDS = {
    "lstm": (nn.LSTM, {}),
    "lstm, projected": (nn.LSTM, {"proj_size": 2}),
    "gru": (nn.GRU, {}),
    "rnn": (nn.RNN, {"nonlinearity": "relu"}),
}

# Torch takes another kernel for them and says so.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


def one_step(
    rnn: nn.RNNBase, name: str, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The units of one layer and direction after a step, and the cells of an LSTM."""

    def of(kind: str) -> torch.Tensor:
        return getattr(rnn, f"{kind}_{name}")

    fed = x @ of("weight_ih").T + of("bias_ih")
    back = h @ of("weight_hh").T + of("bias_hh")
    if isinstance(rnn, nn.LSTM):
        i, f, g, o = (fed + back).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    if isinstance(rnn, nn.GRU):
        (reset, update, new), (r, z, n) = fed.chunk(3, -1), back.chunk(3, -1)
        gate = (update + z).sigmoid()
        return (1 - gate) * (new + (reset + r).sigmoid() * n).tanh() + gate * h, c
    return (fed + back).relu(), c


def unrolled(rnn: nn.RNNBase, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Any:
    """For each layer and direction the states, first the one that is given; batch first."""
    for layer in range(rnn.num_layers):
        returned = []
        for is_reverse in range(1 + rnn.bidirectional):
            name = f"l{layer}{'_reverse' * is_reverse}"
            number = layer * (1 + rnn.bidirectional) + is_reverse
            state, cell = h[number], c[number]
            units, outputs = {}, {}
            steps = range(x.shape[1])
            for step in reversed(steps) if is_reverse else steps:
                units[step], cell = one_step(rnn, name, x[:, step], state, cell)
                state = units[step]
                if rnn.proj_size:
                    state = state @ getattr(rnn, f"weight_hr_{name}").T
                outputs[step] = state
            found = [units[step] for step in steps]
            yield torch.stack(found if rnn.proj_size else [h[number], *found], 1)
            returned.append(torch.stack([outputs[step] for step in steps], 1))
        x = torch.cat(returned, -1)


class Started(nn.Module):
    """A recurrent layer that is given its first state."""

    def __init__(self, kind: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.rnn = kind(4, 3, **options)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return self.rnn(x, (h, c) if isinstance(self.rnn, nn.LSTM) else h)[0]


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("name", KINDS)
def test_the_states_are_those_of_the_steps(
    name: str, layers: int, bidirectional: bool, batch_first: bool
):
    kind, options = KINDS[name]
    options = {**options, "num_layers": layers, "bidirectional": bidirectional, "dropout": 0.0}
    model = Started(kind, batch_first=batch_first, **options).double().eval()
    count = layers * (1 + bidirectional)
    h = torch.randn(count, 3, model.rnn.proj_size or 3).double()
    c = torch.randn(count, 3, 3).double()
    x = SEQUENCE if batch_first else SEQUENCE.transpose(0, 1)
    program = morphir.trace(model, example_inputs=(x, h, c))
    graph = program.graphs["forward"]
    (node,) = [node for node in graph.nodes if is_recurrent(node)]
    state = {name: entry.tensor for name, entry in program.state.items()}
    values = replay(graph, state, [x, h, c]).values
    found = [*states(node, lambda argument: evaluate(argument, values, state))]
    expected = [*unrolled(model.rnn, SEQUENCE, h, c)]
    assert len(found) == len(expected) == count
    for one, other in zip(found, expected, strict=True):
        one = one if batch_first else one.transpose(0, 1)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-14)


def recurrent(model: nn.Module, x: torch.Tensor) -> Any:
    program = morphir.trace(model, example_inputs=(x,))
    found = (node for node in program.graphs["forward"].nodes if is_recurrent(node))
    return next(found, None)


def test_the_reader_has_the_units_in_its_columns():
    x = torch.randn(2, 3, 4)
    assert reader(recurrent(Sequence(nn.GRU, num_layers=2), x)).name == "rnn.weight_hh_l0"
    assert reader(recurrent(nn.LSTM(4, 6, proj_size=2), x)).name == "weight_hr_l0"
    assert reader(recurrent(nn.RNNCell(4, 6), torch.randn(2, 4))).name == "weight_hh"
    assert recurrent(mlp(), torch.randn(2, 4)) is None


def test_a_projection_is_narrower_than_the_units():
    x = torch.randn(2, 3, 4)
    assert fewest_units(recurrent(nn.LSTM(4, 6, 2, proj_size=2), x)) == 3
    assert fewest_units(recurrent(nn.LSTM(4, 6, 2), x)) == 1
    assert fewest_units(recurrent(nn.LSTMCell(4, 6), torch.randn(2, 4))) == 1
