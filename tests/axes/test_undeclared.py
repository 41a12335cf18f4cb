"""What is said of ops that have no declaration, and what would work in their place."""

import pytest
import torch
from torch import Tensor, nn

import morphir
from morphir.axes import AxisGroups
from morphir.axes.undeclared import instead_of, undeclared
from morphir.errors import RefusalError


class Casting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.b(self.a(x).relu()).float()


class Packing(nn.Module):
    def __init__(self, layer: type[nn.RNNBase]) -> None:
        super().__init__()
        self.a, self.b = layer(5, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.tensor([6, 4, 3])
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        states = self.a(packed)[1]
        return self.b((states[0] if isinstance(states, tuple) else states)[-1])


CASES = {
    "autocast": (Casting, "linear runs under torch.autocast", "torch.autocast around the call of"),
    **{
        layer.__name__: (
            lambda layer=layer: Packing(layer),
            rf"torch\.{name} runs on a packed sequence",
            "padded sequences",
        )
        for layer, name in ((nn.GRU, "gru"), (nn.LSTM, "lstm"), (nn.RNN, "rnn_tanh"))
    },
}


@pytest.mark.parametrize("name", CASES)
def test_a_layer_whose_op_is_not_declared_says_why_and_where(name: str):
    make, reason, instead = CASES[name]
    groups = AxisGroups(morphir.trace(make(), example_inputs=(torch.randn(3, 6, 5),)))
    pattern = rf"the axes of what 'a' returns are not known: {reason}.* \(module 'a', test_undecl"
    with pytest.raises(RefusalError, match=pattern) as error:
        groups.of("a")
    assert error.value.nodes == ("a",)
    assert error.value.suggestions[0].startswith(instead)


def test_an_activation_has_no_axes_of_its_own_under_autocast_either():
    model = nn.Sequential(Casting(), nn.ReLU())
    groups = AxisGroups(morphir.trace(model, example_inputs=(torch.randn(3, 5),)))
    with pytest.raises(RefusalError, match="'1' returns no axis that its own parameters have"):
        groups.of("1")


def test_of_other_ops_it_is_said_that_they_are_not_declared():
    assert undeclared("torch.special.airy_ai") == "torch.special.airy_ai is not a declared op"
    assert undeclared("alias") == "a tensor is read that was changed through a view of it"
    assert undeclared("scripted") == "a TorchScript module is called"
    assert instead_of("torch.special.airy_ai") == ()
