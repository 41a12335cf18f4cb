"""FIELD-7 and FIELD-8: equal models are found equal, and one changed weight is found."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import morphir
from morphir import DeeperPass, ExtendInputPass, ExtendOutputPass, Grade, WiderPass
from morphir.checks import check_double
from morphir.field import check_field
from morphir.ir import Extension
from morphir.ops import DEFAULT_TABLE
from tests.field.nets import (
    IMAGE,
    SEQUENCE,
    TOKENS,
    Attention,
    Recurrent,
    Tokens,
    X,
    checked,
    convolutional,
    mlp,
)
from tests.specimens import Agent

MODELS: list[tuple[str, Callable[[], nn.Module], torch.Tensor, str]] = [
    ("relu", mlp, X, "0"),
    ("gelu", lambda: mlp(nn.GELU), X, "2"),
    ("silu", lambda: mlp(nn.SiLU), X, "0"),
    ("tanh", lambda: mlp(nn.Tanh), X, "0"),
    ("conv", convolutional, IMAGE, "0"),
    ("encoder", lambda: nn.TransformerEncoderLayer(8, 2, 6, batch_first=True), SEQUENCE, "linear1"),
    ("attention", Attention, SEQUENCE, "attention"),
    ("lstm", lambda: Recurrent(nn.LSTM), SEQUENCE, "cell"),
    ("gru", lambda: Recurrent(nn.GRU), SEQUENCE, "cell"),
    ("tokens", Tokens, TOKENS, "hidden"),
]
IDS = [name for name, *_ in MODELS]


@pytest.mark.parametrize(("name", "make", "x", "at"), MODELS, ids=IDS)
def test_field_7_a_widened_model_returns_the_same_residues(
    name: str, make: Callable[[], nn.Module], x: torch.Tensor, at: str
):
    old = make().eval()
    width = 16 if name == "attention" else 12
    new = morphir.apply(old, WiderPass(at=at, width=width), example_inputs=(x,))
    found = checked(old, new, x)
    assert found.grade is Grade.TESTED, found
    assert found.figures["inputs"] >= 32
    assert found.figures["primes"] == 2
    assert "whatever its piecewise functions are" in found.summary


def test_field_7_an_identity_behind_a_relu_needs_squares():
    old = mlp()
    new = morphir.apply(old, DeeperPass(at="1"), example_inputs=(X,))
    found = checked(old, new, X)
    assert found.grade is Grade.TESTED
    assert "squares standing for positive numbers" in found.summary


def test_field_7_a_gated_branch_behind_gelu_does_not():
    old = mlp(nn.GELU)
    new = morphir.apply(old, DeeperPass(at="1", block="residual"), example_inputs=(X,))
    found = checked(old, new, X)
    assert found.grade is Grade.TESTED
    assert "whatever its piecewise functions are" in found.summary


def test_field_7_units_without_an_outgoing_weight_may_go():
    old = mlp()
    with torch.no_grad():
        old[2].weight[:, 3] = 0
    result = morphir.transform(old, morphir.PruneDormantPass(), example_inputs=(X,))
    assert result.module[0].out_features == 7
    assert checked(old, result.module, X).grade is Grade.TESTED


def test_field_7_longer_inputs_and_outputs():
    old = mlp()
    for pass_ in (ExtendInputPass(at="input", width=6), ExtendOutputPass(at="4", width=5)):
        result = morphir.transform(old, pass_, example_inputs=(X,))
        longer = {"forward": ((torch.randn(16, result.module[0].in_features),), {})}
        outputs = result.certificate.outputs
        found = checked(old, result.module, X, longer=longer, outputs=outputs)
        assert found.grade is Grade.TESTED, found
    claim = Extension("forward", "", 1, 3, 5)
    with torch.no_grad():
        result.module[4].bias[4] += 1
    assert checked(old, result.module, X, outputs=[claim]).grade is Grade.TESTED, "it is new"
    with torch.no_grad():
        result.module[4].bias[2] += 1
    assert checked(old, result.module, X, outputs=[claim]).grade is Grade.UNKNOWN


def test_field_7_a_weight_for_a_new_input_that_is_not_0_is_found():
    old = mlp()
    new = morphir.apply(old, ExtendInputPass(at="input", width=6), example_inputs=(X,))
    with torch.no_grad():
        new[0].weight[0, 5] = 2.0**-30
    found = checked(old, new, X, longer={"forward": ((torch.randn(16, 6),), {})})
    assert found.grade is Grade.UNKNOWN
    assert found.where == "forward: 0"


def test_field_7_several_entry_points_are_compared_and_named():
    old = Agent()
    inputs = {name: ((X,), {}) for name in ("get_value", "get_logits")}
    new = copy.deepcopy(old)
    found = check_field(old, new, inputs)
    assert found.grade is Grade.TESTED
    assert found.figures["inputs"] == 64
    with torch.no_grad():
        new.critic[2].bias += 1
    found = check_field(old, new, inputs)
    assert found.where == "get_value: critic.2"
    assert found.figures["differs"] == 1


def test_field_7_hooks_run_and_are_part_of_the_function():
    old = mlp()
    old[1].register_forward_hook(lambda module, args, result: result * 3)
    new = copy.deepcopy(old)
    assert checked(old, new, X).grade is Grade.TESTED
    new[1]._forward_hooks.clear()
    assert checked(old, new, X).where.startswith("forward: 1")


def test_field_7_parametrized_layers_and_buffers_are_computed():
    for wrap in (parametrizations.weight_norm, parametrizations.spectral_norm):
        old = nn.Sequential(wrap(nn.Linear(4, 8)), nn.Tanh(), nn.Linear(8, 2)).eval()
        assert checked(old, copy.deepcopy(old), X).grade is Grade.TESTED
    old = convolutional().eval()
    new = copy.deepcopy(old)
    new[1].running_var[2] += 2.0**-20
    assert checked(old, new, IMAGE).where == "forward: 1"


def test_field_8_a_unit_that_sleeps_has_no_secrets():
    """The float64 run misses the wrong outgoing weight of a unit that no input wakes."""
    old = mlp()
    with torch.no_grad():
        old[0].bias[3] = -1e9
    new = copy.deepcopy(old)
    with torch.no_grad():
        new[2].weight[5, 3] += 1
    inputs = {"forward": ((X,), {})}
    assert check_double(old, new, inputs, DEFAULT_TABLE).grade is not Grade.REFUTED
    found = checked(old, new, X)
    assert found.grade is Grade.UNKNOWN
    assert found.where == "forward: 2"


MUTATED: list[tuple[Callable[[], nn.Module], torch.Tensor, int]] = [
    (mlp, X, 60),
    (lambda: mlp(nn.GELU), X, 60),
    (convolutional, IMAGE, 40),
    (lambda: nn.TransformerEncoderLayer(8, 2, 6, batch_first=True), SEQUENCE, 20),
    (lambda: Recurrent(nn.LSTM), SEQUENCE, 20),
    (Tokens, TOKENS, 50),
]


@pytest.mark.parametrize(("make", "x", "count"), MUTATED)
def test_field_8_a_weight_that_differs_in_its_last_place_is_found_and_named(
    make: Callable[[], nn.Module], x: torch.Tensor, count: int
):
    draw = random.Random(0)
    old = make().eval()
    names = [name for name, each in old.named_parameters() if not _is_free(name)]
    for _ in range(count):
        new, name = copy.deepcopy(old), draw.choice(names)
        flat = new.get_parameter(name).detach().view(-1)
        index = draw.randrange(len(flat))
        flat[index] = torch.nextafter(flat[index], flat.new_tensor(9.0))
        found = checked(old, new, x)
        assert found.grade is Grade.UNKNOWN, (name, index)
        assert found.summary.startswith("FIELD-7: other residues modulo")
        owner = name.rpartition(".")[0]
        place = found.where.removeprefix("forward: ")
        assert place.startswith(owner) or owner.startswith(place), (place, name)


def _is_free(name: str) -> bool:
    """The function does not depend on the embeddings of tokens that do not occur."""
    return name.startswith("embed")


def test_field_8_one_input_is_counted_once_however_many_rows_the_output_has():
    """An output with many elements is no batch: each depends on the same numbers."""
    old = nn.Sequential(nn.Linear(4, 40), nn.ReLU(), nn.Linear(40, 40))
    found = checked(old, copy.deepcopy(old), X[0])
    assert found.grade is Grade.TESTED
    assert found.figures["inputs"] == 32
    assert checked(old, copy.deepcopy(old), X[:5]).figures["inputs"] == 40


def test_field_8_equal_rows_of_tokens_are_one_input():
    net = Tokens()
    two = TOKENS[:2].repeat(20, 1)
    assert checked(net, net, two).figures["inputs"] == 32
    assert checked(net, net, TOKENS.repeat(2, 1)).figures["inputs"] >= 32
    assert checked(net, net, TOKENS[:1].repeat(40, 1)).figures["inputs"] == 32


def test_field_8_rows_that_see_each_other_are_one_input():
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x).cumsum(0)

    old = Centred()
    assert checked(old, old, X[:7]).figures["inputs"] == 32


@pytest.mark.parametrize("width", [1, 2])
def test_field_8_a_mutant_behind_a_gate_is_found_without_a_batch(width: int):
    """Each input finds it with one half: 16 for each prime do, 1 would not."""
    old = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 40))
    for seed in range(6):
        new = copy.deepcopy(old)
        with torch.no_grad():
            new[0].bias[0] += 2.0**-20
        assert checked(old, new, X[0], seed=seed).grade is Grade.UNKNOWN


def test_another_structure_is_a_difference():
    class Twice(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> Any:
            return [self.net(x), x]

    net = mlp()
    found = checked(net, Twice(net), X)
    assert found.grade is Grade.UNKNOWN
    assert "another structure" in found.summary
    assert found.figures["differs"] == 1


def test_whole_numbers_that_may_stand_in_one_order_only_are_left_in_it():
    class Sorted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(9, 4)

        def forward(self, x: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
            if order.tolist() != sorted(order.tolist()):
                raise ValueError("not sorted")
            return x * self.embed(order)

    old = Sorted()
    assert checked(old, copy.deepcopy(old), X[:5], torch.arange(5)).grade is Grade.TESTED


def test_models_that_draw_are_compared_on_the_same_draws():
    class Noisy(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.layer, self.factor = nn.Linear(4, 4), factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.layer(x)
            return y + self.factor * (x - torch.randn_like(x))

    old, new = Noisy(1.0), Noisy(1.0)
    new.load_state_dict(old.state_dict())
    assert checked(old, new, X).grade is Grade.TESTED
    new.factor = 2.0  # inputs are not what is drawn: else both would be the same number
    assert checked(old, new, X).grade is Grade.UNKNOWN


def test_the_answer_can_be_repeated_and_another_seed_is_another_prime():
    old, new = mlp(), mlp()
    one, again, other = (checked(old, new, X, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one.summary != other.summary


@pytest.mark.parametrize("bad", ["memory", "dtype"])
def test_field_1_casts_and_memory_formats_are_not_seen(bad: str):
    class Cast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if bad == "dtype":
                return self.layer(x).double().half().float()
            return self.layer(x.contiguous(memory_format=torch.channels_last)).contiguous()

    new = Cast()
    assert checked(new.layer, new.layer, IMAGE).grade is Grade.TESTED
    plain = nn.Sequential()
    plain.layer = new.layer
    assert checked(plain, new, IMAGE).grade is Grade.TESTED


def test_inference_mode_inside_a_model_is_no_obstacle():
    class Acting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

        @torch.inference_mode()
        def act(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)[:, 0].sigmoid()

    old = Acting()
    found = check_field(old, copy.deepcopy(old), {"act": ((X,), {})})
    assert found.grade is Grade.TESTED, found


def test_it_takes_a_fraction_of_a_second_for_a_small_model():
    old = mlp()
    checked(old, old, X)
    start = time.perf_counter()
    checked(old, old, X)
    assert time.perf_counter() - start < 2
