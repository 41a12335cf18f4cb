"""Where inputs come from: the caller, or what is known about the model."""

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.frontend import record, trace
from morphir.frontend.entry import resolve_entry_points
from morphir.frontend.inputs import given_inputs, known_inputs
from tests.frontend.models import Agent, Mlp, X


def guess(model: nn.Module, entry_point: str = "forward") -> Any:
    (entry,) = resolve_entry_points(model, (entry_point,))
    return known_inputs(model, entry)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (X, {"a": ((X,), {}), "b": ((X,), {})}),
        ((X, 1), {"a": ((X, 1), {}), "b": ((X, 1), {})}),
        ([X], {"a": ((X,), {}), "b": ((X,), {})}),
        ({"a": (X,), "b": ((X,), {"c": 2})}, {"a": ((X,), {}), "b": ((X,), {"c": 2})}),
        ({"a": X, "b": {"x": X}}, {"a": ((X,), {}), "b": ((), {"x": X})}),
    ],
)
def test_given_inputs_are_sorted_by_entry_point(given: Any, expected: Any):
    found = given_inputs(given, ("a", "b"))
    assert repr(found) == repr(expected)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"a": (X,)}, "has inputs for 'a', and none for 'b'"),
        ({}, "has inputs for nothing, and none for 'a', 'b'"),
        ({"a": X, "b": X, "c": X}, "'c', which is not among the entry points 'a', 'b'"),
        (3, "is of type int, expected a tuple of arguments"),
        ((3, "x"), "there is no tensor among the example inputs of 'a'"),
        ((np.ones(3),), "hold a numpy array, which the recording cannot follow"),
        ((X, np.ones(3)), "hold a numpy array"),
        ((torch.ones(2, device="meta"),), "on the meta device"),
    ],
)
def test_inputs_that_cannot_be_used_are_refused_early(given: Any, words: str):
    with pytest.raises(RefusalError, match=words):
        given_inputs(given, ("a", "b"))


class Learned(nn.Module):
    """What it returns follows from its parameters alone, or with `at` from an input too."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Linear(3, 4)

    def forward(self) -> torch.Tensor:
        return self.table.weight.relu()

    def at(self, x: torch.Tensor) -> torch.Tensor:
        return self.table(x)


@pytest.mark.parametrize("given", [(), {}, {"forward": ()}, (X,)])
def test_an_entry_point_that_takes_nothing_has_no_inputs(given: Any):
    with pytest.raises(RefusalError, match="'forward' takes no arguments") as caught:
        trace(Learned(), example_inputs=given)
    assert caught.value.suggestions == ("leave example_inputs out",)
    assert trace(Learned()).graphs["forward"].nodes
    with pytest.raises(RefusalError) as caught:
        trace(Learned(), entry_points=("at", "forward"), example_inputs=given)
    assert caught.value.suggestions[1] == "entry_points=('at',)"


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)

    def forward(self, input_ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.table(input_ids)


IDS = torch.tensor([[1, 2, 3]])


@pytest.mark.parametrize("given", [{"input_ids": IDS}, {"mask": IDS, "input_ids": IDS}])
def test_keyword_arguments_are_told_from_entry_points(given: dict[str, torch.Tensor]):
    named = ", ".join(f"{key!r}: ..." for key in given)
    with pytest.raises(RefusalError, match="names of parameters of 'forward'") as caught:
        trace(Words(), example_inputs=given)
    assert caught.value.suggestions == (f"example_inputs={{'forward': ((), {{{named}}})}}",)
    trace(Words(), example_inputs={"forward": ((), given)})
    with pytest.raises(RefusalError, match="which is not among the entry points"):
        trace(Words(), example_inputs={**given, "table": IDS})


class Policy(nn.Module):
    def __init__(self, observation: gymnasium.Space, action: gymnasium.Space) -> None:
        super().__init__()
        self.observation_space, self.action_space = observation, action
        self.fc = nn.Linear(1, 1)

    def forward(self, obs: Any, actions: Any, deterministic: bool = False) -> Any:
        return self.fc(actions[:, :1].float())


BOX = gymnasium.spaces.Box(-1, 1, (3,), np.float32)


@pytest.mark.parametrize(
    ("space", "shape", "dtype"),
    [
        (BOX, (2, 3), torch.float32),
        (gymnasium.spaces.Discrete(4), (2,), torch.int64),
        (gymnasium.spaces.MultiDiscrete([2, 5]), (2, 2), torch.int64),
        (gymnasium.spaces.Box(0, 255, (3, 8, 8), np.uint8), (2, 3, 8, 8), torch.uint8),
        (gymnasium.spaces.MultiBinary(5), (2, 5), torch.float32),
    ],
)
def test_observation_and_action_spaces_give_samples_by_the_parameters_name(space, shape, dtype):
    (obs, actions), kwargs = guess(Policy(BOX, space))
    assert obs.shape == (2, 3)
    assert (actions.shape, actions.dtype) == (shape, dtype)
    assert kwargs == {}
    again = guess(Policy(BOX, space))
    assert torch.equal(again[0][1], actions), "the same samples each time"


def test_dictionary_and_tuple_spaces_give_what_they_hold():
    inner = gymnasium.spaces.Dict({"a": BOX, "b": gymnasium.spaces.Tuple((BOX, BOX))})
    (obs, _), _ = guess(Policy(inner, BOX))
    assert obs["a"].shape == (2, 3)
    assert [part.shape for part in obs["b"]] == [(2, 3), (2, 3)]


def test_sampling_a_space_changes_neither_it_nor_any_random_state():
    """FRONT-1"""
    space = gymnasium.spaces.Box(-1, 1, (3,), np.float32, seed=3)
    expected = gymnasium.spaces.Box(-1, 1, (3,), np.float32, seed=3).sample()
    state = np.random.get_state()[1].copy()  # type: ignore[index]
    guess(Policy(space, BOX))
    assert np.array_equal(space.sample(), expected)
    assert np.array_equal(np.random.get_state()[1], state)  # type: ignore[index]


def test_dummy_inputs_are_kept_within_the_vocabulary():
    class Language(nn.Module):
        config = SimpleNamespace(vocab_size=5)
        ids, mask = torch.tensor([[7, 4]]), torch.tensor([[1.0, 9.0]])

        @property
        def dummy_inputs(self) -> dict[str, torch.Tensor]:
            return {"ids": self.ids, "mask": self.mask}

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return ids * mask

    args, kwargs = guess(Language())
    assert args == ()
    assert kwargs["ids"].tolist() == [[2, 4]]
    assert kwargs["mask"].tolist() == [[1.0, 9.0]]


@pytest.mark.parametrize(
    ("model", "shape", "dtype"),
    [
        (Mlp(), (2, 4), torch.float32),
        (
            nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(6, 2).double()),
            (2, 6),
            torch.float64,
        ),
        (nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 3)), (2, 4), torch.int64),
        (nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 2)), (2, 6), torch.float32),
        (nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 2)), (2, 6), torch.float32),
    ],
)
def test_the_first_layer_tells_what_a_single_argument_is(model, shape, dtype):
    (x,), _ = guess(model)
    assert (x.shape, x.dtype) == (shape, dtype)
    assert record(model).inputs["forward"][0][0].shape == shape


def test_a_submodule_is_asked_for_its_own_inputs():
    (x,), _ = guess(Mlp(), "head")
    assert x.shape == (2, 8)
    program = trace(Mlp(), entry_points=("extractor", "head"))
    assert [g.inputs[0].type.shape[1] for g in program.graphs.values()] == [4, 8]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),
        nn.Bilinear(2, 3, 4),
        nn.Sequential(nn.PReLU(), nn.Linear(2, 2)),
        nn.ReLU(),
    ],
)
def test_what_does_not_follow_is_not_guessed(model: nn.Module):
    assert guess(model) is None


@pytest.mark.parametrize(
    ("make", "how", "words", "suggestion"),
    [
        (Agent, {}, "Agent has no forward", "entry_points=('get_value',)"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LSTM(1, 1)), {},
         "no example inputs for 'forward', and it cannot be traced", "example_inputs=(input,)"),
        (Mlp, {"entry_points": "forward"}, "expected a tuple of method names", "('forward',)"),
        (Mlp, {"entry_points": ("froward",)}, "Mlp has no method 'froward'", "('forward',)"),
        (Mlp, {"entry_points": ("extractor.9",)}, "no method 'extractor.9'", "('extractor.3',)"),
        (Mlp, {"entry_points": ()}, "expected a tuple of method names", "('forward',)"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said_early_with_what_would_help(make, how, words, suggestion):
    with pytest.raises(RefusalError, match=words) as caught:
        trace(make(), **how)
    assert suggestion in " ".join(caught.value.suggestions)


class Two(nn.Module):
    """Entry points that take other arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Linear(4, 2)

    def act(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.actor(x) * mask.view(mask.shape[0], -1)

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return self.actor(x).sum(1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "no example inputs for 'act', and the model reads a size"),
        ((torch.ones(2, 4),), "entry point 'act' failed on its example inputs: TypeError: missing"),
    ],
)
def test_the_entry_point_that_lacks_inputs_is_named_with_what_it_takes(given: Any, words: str):
    with pytest.raises(RefusalError, match=words) as caught:
        trace(Two(), entry_points=("value", "act"), example_inputs=given)
    assert any("example_inputs={'act': (x, mask)}" in s for s in caught.value.suggestions)
