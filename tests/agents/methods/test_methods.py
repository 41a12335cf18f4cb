"""What every method has to do: repeat, resume, keep masks, and say what it did."""

import hashlib
from dataclasses import replace

import pytest
import torch

import morphir
from morphir_agents.amounts import Amount
from morphir_agents.errors import ConfigError
from morphir_agents.methods import MethodConfig, method_of
from morphir_agents.observer import Observer
from morphir_agents.td3 import interact, learn, train
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_networks import TD3NetworkConfig
from morphir_agents.td3_trainer import TD3Trainer

SPARSE = ("ne", "ne-no-pruning", "ne-no-review", "random-growth", "static-sparse", "rigl")
CHANGING = (*SPARSE, "redo", "reset", "injection")


class Notes(Observer):
    """Keeps what it is told, and stops after some checkpoints."""

    def __init__(self, stop_after=None):
        self.events, self.saves, self.numbers = [], [], []
        self._stop_after = stop_after

    @property
    def stops(self):
        return self._stop_after is not None and len(self.saves) >= self._stop_after

    def acted(self, events):
        self.events += [replace(event, milliseconds=0.0, report="") for event in events]

    def updated(self, step, update, episodes, losses, agent):
        self.numbers.append((step, dict(losses)))

    def saved(self, step):
        self.saves.append(step)


def fingerprint(trained):
    digest = hashlib.sha256()
    for name, tensor in trained.agent.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    for optimizer in trained.optimizer:
        for state in optimizer.state.values():
            for key, value in sorted(state.items()):
                digest.update(key.encode() + torch.as_tensor(value).numpy().tobytes())
    return digest.hexdigest()


def run_of(tiny_td3_config, kind, **options):
    """A run of 600 steps, with events at updates 40, 80, ... and checkpoints at 200, 400, 600."""
    settings = {"every": 40, "reset_every": 120, "threshold": 0.3, "amount": Amount(rate=0.2)}
    settings["inject_at"] = 150
    return replace(
        tiny_td3_config("tiny/Aim-v0", **options),
        network=TD3NetworkConfig((12, 10)),
        method=MethodConfig(kind, **settings),
    )


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
    densities = [n["critic/density"] for _, n in notes.numbers if "critic/density" in n]
    if kind in ("static-sparse", "rigl"):
        assert densities == [pytest.approx(0.25)] * len(densities)
    elif kind in SPARSE:
        assert densities == sorted(densities)
        assert densities[-1] > densities[0]
    else:
        assert not densities


def test_ne_5_a_layer_loses_at_most_a_share_of_what_it_grows_by(tiny_td3_config, tmp_path):
    """NE-5"""
    notes = Notes()
    train(run_of(tiny_td3_config, "ne"), tmp_path, notes)
    grown = {event.update: event.began for event in notes.events if event.kind == "grow"}
    pruned = {event.update: event.ceased for event in notes.events if event.kind == "prune"}
    assert pruned
    assert all(0 < count <= 0.4 * grown[update] for update, count in pruned.items())


def test_ne_6_as_released_a_layer_grows_by_a_constant_and_loses_0_4_of_that(
    tiny_td3_config, tmp_path
):
    """NE-6"""
    config = run_of(tiny_td3_config, "ne", total_steps=400)
    method = MethodConfig("ne", every=40, as_released=True)
    config = replace(config, method=method, network=TD3NetworkConfig((40, 30)))
    notes = Notes()
    trained = train(config, tmp_path, notes)
    first, *others = notes.events
    assert (first.kind, first.update) == ("sparsify", 0)
    masks = morphir.Masks(trained.agent).masks
    assert {*masks} == {
        f"{n}.{i}.weight" for n in ("actor", "critic1", "critic2") for i in (0, 2, 4)
    }
    # Of the critics' 40 x 30 weights 160 or so are in use at first, of which 960 would be 0.8.
    for event in others:
        assert event.kind == "grow"
        assert event.began > event.ceased > 0
    critics = [event for event in others if event.critic_churn or event.update % 80]
    assert [event.update for event in critics][:3] == [40, 80, 120]
    state = {p: held for each in trained.optimizer for p, held in each.state.items()}
    sparse = trained.agent.get_parameter("critic1.2.weight")
    bias = trained.agent.get_parameter("critic1.2.bias")
    assert int(state[sparse]["step"]) < 40 <= int(state[bias]["step"])


def test_ne_6_from_a_density_of_three_quarters_on_weights_move(tiny_td3_config, tmp_path):
    """NE-6"""
    config = run_of(tiny_td3_config, "ne", total_steps=600, random_steps=40)
    config = replace(config, method=MethodConfig("ne", every=40, as_released=True))
    trainer = TD3Trainer.start(config, tmp_path)
    trainer.method.begin(trainer)
    learner = TD3Learner(trainer.agent, trainer.optimizer, config.td3)
    for _ in range(60):
        interact(trainer)
    learn(trainer, learner)
    masks = morphir.Masks(trainer.agent).masks
    for name, mask in masks.items():
        if name.startswith("critic"):
            mask.fill_(1)
    for kind in ("grow", "move"):
        assert trainer.method.is_due(39, 40)
        (event,) = trainer.method.act(trainer, learner)
        assert event.kind == kind
    again = method_of(config)
    again.load(trainer.method.state())
    assert again.state() == trainer.method.state()


def test_redo_can_let_adam_count_anew(tiny_td3_config, tmp_path):
    """One update follows each step, the last event is at update 480, and the run ends at 500."""
    steps = []
    for adam_steps in ("keep", "reset"):
        config = run_of(tiny_td3_config, "redo", total_steps=600)
        method = replace(config.method, adam_steps=adam_steps, threshold=0.9)
        trained = train(replace(config, method=method), tmp_path / adam_steps, Notes())
        critic = trained.agent.critic1.get_parameter("2.weight")
        steps.append(int(trained.optimizer[1].state[critic]["step"]))
    updates = 600 - config.td3.random_steps
    assert steps == [updates, updates % 40]


def test_reset_1_after_a_reset_targets_are_equal_and_the_buffer_is_kept(tiny_td3_config, tmp_path):
    """RESET-1"""
    config = run_of(tiny_td3_config, "reset", random_steps=100, total_steps=220)
    trained = train(config, tmp_path, Notes())
    agent = trained.agent
    for name in ("actor", "critic1", "critic2"):
        target = agent.get_submodule(f"target_{name}")
        for key, parameter in agent.get_submodule(name).named_parameters():
            assert torch.equal(parameter, target.get_parameter(key))
    assert not any(state for each in trained.optimizer for state in each.state.values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "nothing"}, "method is 'nothing'; expected one of none, ne"),
        ({"kind": "redo", "as_released": True}, "method.as_released is on and method is 'redo'"),
        ({"every": 0}, "method.every is 0"),
        ({"reset_every": 0}, "method.reset_every is 0"),
        ({"inject_at": 0}, "method.inject_at is 0"),
        ({"density": 0.0}, "method.density is 0.0"),
        ({"density": 1.5}, "method.density is 1.5"),
        ({"prune": -1.0}, "method.prune is -1.0"),
        ({"threshold": -1.0}, "method.threshold is -1.0"),
        ({"review_threshold": 0.0}, "method.review_threshold is 0.0"),
        ({"review_share": 2.0}, "method.review_share\n? ?2.0"),
    ],
)
def test_settings_that_can_t_work(options, message):
    with pytest.raises(ConfigError, match=message):
        MethodConfig(**options)
