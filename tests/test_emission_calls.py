"""BACK-16: a changed model that can't be called, and whose fault that is."""

import inspect
import random

import pytest
import torch
from torch import nn

import morphir
from morphir import RefusalError, VerificationError, WiderPass
from tests.specimens import fingerprint
from tests.zoo import size_bugs
from tests.zoo.test_size_bugs import Branches, Heads

X = torch.randn(5, 4)


class Asserting(nn.Module):
    """Its code knows the width of its hidden layer by heart."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.fc(x).relu()
        if hidden.numel() % 8:
            raise ValueError("eight units, please")
        return self.out(hidden)


@pytest.mark.parametrize("inplace", [False, True])
def test_back_16_a_forgotten_consumer_is_a_bug_and_everything_is_put_back(monkeypatch, inplace):
    """BACK-16: with the law and the call; torch's words beside them"""
    model = Branches()
    optimizer = torch.optim.Adam(model.parameters())
    model(X).sum().backward()
    optimizer.step()
    before = fingerprint(model, [optimizer])
    size_bugs.consumer_forgotten_in_a_second_branch(monkeypatch, random.Random(0))
    with pytest.raises(VerificationError, match=r"BACK-16, WIDER-1.*bug.*mat1 and mat2") as error:
        morphir.transform(
            model, WiderPass(at="fc", width=9), optimizer=optimizer, example_inputs=(X,),
            inplace=inplace,
        )  # fmt: skip
    assert "linear(input=%4, weight=@left.weight" in str(error.value)
    assert fingerprint(model, [optimizer]) == before


@pytest.mark.parametrize("inplace", [False, True])
def test_back_16_what_the_models_own_code_does_not_accept_is_a_refusal(inplace: bool):
    """BACK-16: the example inputs are right, and are not blamed"""
    model = nn.Sequential(nn.Linear(4, 4), Asserting())
    before = fingerprint(model)
    with pytest.raises(RefusalError) as error:
        morphir.transform(
            model, WiderPass(at="1.fc", width=9), example_inputs=(X,), inplace=inplace
        )
    assert error.value.reason == (
        "'forward' runs on the example inputs, and fails on them once '1.fc' is changed (WIDER-1): "
        "ValueError: eight units, please"
    )
    line = inspect.getsourcelines(Asserting.forward)[1] + 3
    assert error.value.nodes == ("1", f"test_emission_calls.py:{line}")
    assert "example_inputs" not in str(error.value)
    assert fingerprint(model) == before


def test_back_16_a_hook_that_expects_the_old_size_is_named_by_its_module():
    """BACK-16"""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def expect_eight(module: nn.Module, args: object, output: torch.Tensor) -> None:
        assert output.shape[-1] == 8, "eight units, please"

    model[1].register_forward_hook(expect_eight)
    with pytest.raises(RefusalError, match="'forward' runs on the example inputs") as error:
        morphir.transform(model, WiderPass(at="0", width=9), example_inputs=(X,))
    assert error.value.nodes[0] == "1"


def test_back_16_attributes_that_followed_are_read_from_the_model():
    """BACK-16: of a model with heads the calls are made with the new number"""

    class Shy(Heads):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            parts = self.qkv(x).chunk(3, -1)
            q, k, v = (part.view(len(x), self.heads, 3).transpose(0, 1) for part in parts)
            if self.heads != 2:
                raise ValueError("two heads, please")
            mixed = torch.softmax(q @ k.mT / 2, -1) @ v
            return self.out(mixed.transpose(0, 1).flatten(1))

    with pytest.raises(RefusalError, match="two heads, please"):
        morphir.transform(Shy(), WiderPass(at="qkv", heads=4), example_inputs=(X,))
