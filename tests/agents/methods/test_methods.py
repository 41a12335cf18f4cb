"""What every method has to do: repeat, resume, keep masks, and say what it did."""

import pytest

import morphir
from morphir_agents.td3 import train
from tests.agents.fingerprint import fingerprint
from tests.agents.methods.method_runs import CHANGING, SPARSE, Notes, run_of


@pytest.mark.parametrize(
    "kind",
    [k if k in ("ne", "redo") else pytest.param(k, marks=pytest.mark.nightly) for k in CHANGING],
)
def test_ckpt_1_a_run_stopped_and_resumed_equals_one_that_was_not(tiny_td3_config, tmp_path, kind):
    """CKPT-1"""
    config = run_of(tiny_td3_config, kind, random_steps=101, policy_delay=3)
    whole, first, second = Notes(), Notes(2), Notes()
    expected = train(config, tmp_path / "whole", whole)
    assert not train(config, tmp_path / "parts", first).finished
    resumed = train(config, tmp_path / "parts", second)
    assert fingerprint(resumed) == fingerprint(expected)
    assert first.events + second.events == whole.events
    assert first.numbers + second.numbers == whole.numbers


@pytest.mark.parametrize("kind", SPARSE)
def test_td3_4_what_is_not_in_use_is_0_at_the_end(tiny_td3_config, tmp_path, kind):
    """TD3-4"""
    trained = train(run_of(tiny_td3_config, kind), tmp_path, Notes())
    masks = morphir.Masks(trained.agent).masks
    assert {*masks} == {"actor.2.weight", "critic1.2.weight", "critic2.2.weight"}
    state = {p: held for each in trained.optimizer for p, held in each.state.items()}
    for name, mask in masks.items():
        parameter = trained.agent.get_parameter(name)
        for tensor in (
            parameter,
            trained.agent.get_parameter(f"target_{name}"),
            state[parameter]["exp_avg"],
            state[parameter]["exp_avg_sq"],
        ):
            assert not tensor[mask == 0].any()


EVENTS = {
    "ne": {"sparsify", "grow", "prune"},
    "ne-no-pruning": {"sparsify", "grow"},
    "ne-no-review": {"sparsify", "grow", "prune"},
    "random-growth": {"sparsify", "grow"},
    "static-sparse": {"sparsify"},
    "rigl": {"sparsify", "move"},
    "redo": {"recycle"},
    "reset": {"reset"},
    "injection": {"inject"},
    "none": set(),
    "layer-norm": set(),
    "small-dense": set(),
}
GRADES = {
    "sparsify": "NOT_PRESERVING",
    "grow": "PROVED",
    "prune": "EMPIRICAL",
    "move": "NOT_PRESERVING",
    "recycle": "EMPIRICAL",
    "reset": "NOT_PRESERVING",
    "inject": "PROVED",
}


@pytest.mark.parametrize("kind", EVENTS)
def test_each_method_does_what_its_name_says(tiny_td3_config, tmp_path, kind):
    notes = Notes()
    train(run_of(tiny_td3_config, kind), tmp_path, notes)
    assert {event.kind for event in notes.events} == EVENTS[kind]
    for event in notes.events:
        assert event.grade == GRADES[event.kind]
        if event.kind == "grow":
            assert event.began > 0 == event.ceased == event.actor_churn == event.critic_churn
        if event.kind == "prune":
            assert event.ceased > 0 == event.began
        if event.kind == "move":
            assert event.began == event.ceased > 0
        if event.kind == "inject":
            assert event.actor_churn == event.critic_churn == 0
        if event.kind in ("recycle", "reset", "inject"):
            assert event.began == event.ceased == 0
    _check_densities(notes, kind)
    densities = [n["critic/density"] for _, n in notes.numbers if "critic/density" in n]
    if kind in ("static-sparse", "rigl"):
        assert densities == [pytest.approx(0.25)] * len(densities)
    elif kind in SPARSE:
        assert densities == sorted(densities)
        assert densities[-1] > densities[0]
    else:
        assert not densities


def _check_densities(notes, kind):
    """Events tell those that they leave, which is what is logged later."""
    found = [(event.actor_density, event.critic_density) for event in notes.events]
    if kind not in SPARSE:
        assert {*found} <= {(None, None)}
        return
    _, last = notes.numbers[-1]
    assert found[0] == pytest.approx((0.25, 0.25), abs=0.01)
    assert found[-1] == (last["actor/density"], last["critic/density"])
