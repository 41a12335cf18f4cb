"""FRONT-11: what may not fit new sizes, as nobody recorded the method that uses it, is named."""

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, WiderPass
from morphir.frontend.unread import unread_note
from morphir.ir import AxisMap, Mapped, Resize


class Actor(nn.Module):
    """A policy and a value over one trunk."""

    def __init__(self):
        super().__init__()
        self.trunk, self.act = nn.Linear(6, 8), nn.ReLU()
        self.actor = nn.Linear(8, 5)
        self.critic = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, x):
        return self.actor(self.act(self.trunk(x)))

    def value(self, x):
        return self.critic(self.act(self.trunk(x)))

    def describe(self):
        return "an actor"


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.agent, self.other = Actor(), nn.Linear(2, 2)

    def act(self, x):
        return self.agent(x)

    def evaluate(self, x):
        return self._evaluate(x)

    def _evaluate(self, x):
        return self.other(x)


X = (torch.randn(3, 6),)
NOTE = (
    "no recorded entry point reads 'critic', so whether it fits the new sizes is not known; "
    "entry_points=('forward', 'value') would tell"
)


def notes_of(found) -> list[str]:
    return [note for note in found.notes if "no recorded entry point" in note]


def test_front_11_a_method_that_was_not_recorded_is_named():
    result = morphir.transform(Actor(), WiderPass(at="trunk", width=12), example_inputs=X)
    assert notes_of(result.report) == [NOTE]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        result.module.value(*X)  # what the note is about


def test_front_11_a_plan_says_it_too():
    planned = morphir.plan(Actor(), WiderPass(at="trunk", width=12), example_inputs=X)
    assert notes_of(planned) == [NOTE]
    assert NOTE in str(planned)


def test_what_the_note_proposes_works():
    entry_points = ("forward", "value")
    result = morphir.transform(
        Actor(), WiderPass(at="trunk", width=12), example_inputs=X, entry_points=entry_points
    )
    assert notes_of(result.report) == []
    assert result.module.value(*X).shape == (3, 1)


@pytest.mark.parametrize("pass_", [DeeperPass(at="act"), WiderPass(at="trunk", width=8)])
def test_no_note_where_no_size_changes(pass_):
    assert notes_of(morphir.transform(Actor(), pass_, example_inputs=X).report) == []
    assert notes_of(morphir.plan(Actor(), pass_, example_inputs=X)) == []


def test_several_passes_say_it_once():
    passes = [WiderPass(at="trunk", width=12), WiderPass(at="trunk", width=16)]
    result = morphir.transform(Actor(), passes, example_inputs=X)
    assert notes_of(result.report) == [NOTE]
    assert notes_of(morphir.plan(Actor(), passes, example_inputs=X)) == [NOTE]


def note(model: nn.Module, *entry_points: str) -> str:
    program = morphir.trace(model, example_inputs=X, entry_points=entry_points)
    longer = {"trunk.bias": (Mapped(8, AxisMap.copies(8, [*range(8), 0])),)}
    return unread_note(model, program, [Resize("trunk", "WIDER-1", longer, (), {})])


class Normalised(Actor):
    """Subtracts a mean that only `forward` reads; the long one is of another size."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, x):
        return self.actor(self.act(self.trunk(x)) - self.mean)


def test_front_11_a_buffer_with_an_axis_of_a_size_that_changes_is_named():
    """FRONT-11"""
    assert "'mean'" in note(Normalised(), "value")
    assert "'mean'" not in note(Normalised(1), "value")
    assert "'mean'" not in note(Normalised(), "forward")


def test_only_what_belongs_to_a_recorded_entry_point_is_looked_at():
    """What is around a recorded submodule is FRONT-6's."""
    assert note(Wrapped(), "agent.trunk") == ""
    said = note(Wrapped(), "agent")
    assert "'agent.critic'" in said
    assert "'other'" not in said
    assert "entry_points=('agent', 'agent.value')" in said


def test_methods_that_mention_nothing_of_it_are_proposed_where_none_does():
    said = note(Wrapped(), "act")
    assert "'agent.critic', 'other'" in said
    assert "entry_points=('act', 'evaluate')" in said


def test_without_a_method_nothing_is_proposed():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused, self.lone = nn.Linear(6, 2), nn.Linear(2, 2), nn.Linear(2, 2)
            self.scale = nn.Parameter(torch.ones(2))

        def forward(self, x):
            return self.used(x)

    said = note(Plain(), "forward")
    assert said == (
        "no recorded entry point reads 'scale', 'unused', 'lone', so whether they fit the new "
        "sizes is not known"
    )


def test_everything_read_is_quiet():
    assert note(nn.Sequential(nn.Linear(6, 2)), "forward") == ""
