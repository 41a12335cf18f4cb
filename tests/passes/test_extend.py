"""EXTEND-1 and EXTEND-2 on every kind of model, the refusals, and planted bugs."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
import morphir.passes.extend as extend_module
from morphir import ExtendInputPass, ExtendOutputPass, Grade, RefusalError, VerificationError
from morphir.ir import FRESH, AxisMap, Mapped
from morphir.passes.ends import longer
from tests.checks.pairs import Net

X = torch.randn(5, 4)
IMAGE = torch.randn(3, 2, 6, 6)
ENTRY_POINTS = ("get_value", "get_action_and_value")


class Agent(nn.Module):
    """An actor and a critic that look at one observation, which is normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
        self.critic = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
        self.register_buffer("mean", torch.randn(4))

    def _normalised(self, obs: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * obs.detach().mean(0))
        return obs - self.mean

    def get_value(self, obs: torch.Tensor) -> torch.Tensor:
        return self.critic(self._normalised(obs)).squeeze(-1)

    def get_action_and_value(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen = self._normalised(obs)
        return self.actor(seen), self.critic(seen).squeeze(-1)

    def act(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.distributions.Categorical(logits=self.actor(obs - self.mean)).sample()


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def images() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 3)
    )


def net(forward: Callable[..., Any]) -> Net:
    """Layers of widths that fit one input of 4 features."""
    return Net(
        forward, a=nn.Linear(4, 4), b=nn.Linear(4, 4), head=nn.Linear(4, 3), norm=nn.LayerNorm(4)
    )


def with_noise(x: torch.Tensor, width: int, axis: int = -1) -> torch.Tensor:
    """An input of more features; the new ones are anything."""
    shape = [*x.shape]
    shape[axis] = width - x.shape[axis]
    return torch.cat([x, 100 * torch.randn(shape)], axis)


def assert_equal(old: torch.Tensor, new: torch.Tensor) -> None:
    """Equal but for the order in which a kernel adds what it always added."""
    torch.testing.assert_close(new, old, rtol=1e-12, atol=1e-12)


# A model, what it is called on, what is extended, the axis of its features, and their number.
INPUTS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor, str, int, int]] = {
    "mlp": (mlp, X, "input", 1, 7),
    "mlp, by the layer": (mlp, X, "0", 1, 5),
    "channels": (images, IMAGE, "input", 1, 5),
    "two layers read it": (
        lambda: net(lambda s, x: s.head(F.relu(s.a(x)) * s.b(x))), X, "args[0]", 1, 6
    ),
    "added to a hidden layer": (
        lambda: net(lambda s, x: s.head(F.relu(x + s.a(x)))), X, "args[0]", 1, 6
    ),
    "in the middle of a concatenation": (
        lambda: Net(
            lambda s, x: s.head(torch.cat([x, x.new_ones(len(x), 2)], 1)), head=nn.Linear(6, 3)
        ),
        X, "args[0]", 1, 9,
    ),
    "cut in two": (
        lambda: net(lambda s, x: s.head(torch.cat([2 * x[:, :1], x[:, 1:]], 1))), X, "args[0]", 1, 6
    ),
    "recurrent": (lambda: nn.LSTM(4, 5), torch.randn(6, 2, 4), "input", 2, 6),
    "channels of a flat image": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(72, 3)), IMAGE, "input", 1, 3
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INPUTS)
def test_extend_1_what_is_behind_the_old_features_makes_no_difference(case: str):
    torch.manual_seed(0)
    make, x, at, axis, width = INPUTS[case]
    model = make()
    pass_ = ExtendInputPass(at=at, width=width, dim=axis if "flat" in case else None)
    result = morphir.transform(model, pass_, example_inputs=(x,))
    assert result.report.grade is Grade.PROVED
    assert result.report.check("float64").grade is Grade.TESTED
    old, new = model.double().eval(), result.module.double().eval()
    was, now = old(x.double()), new(with_noise(x.double(), width, axis))
    assert_equal(
        was[0] if isinstance(was, tuple) else was, now[0] if isinstance(now, tuple) else now
    )


def test_extend_1_an_input_gets_longer_in_every_entry_point_that_has_it():
    """And in both modes: what normalises it goes on doing so."""
    agent = Agent()
    pass_ = ExtendInputPass(at="obs", width=7)
    result = morphir.transform(agent, pass_, example_inputs=(X,), entry_points=ENTRY_POINTS)
    assert result.report.grade is Grade.PROVED
    assert result.report.notes[:2] == tuple(f"{n} now takes obs f32[B, 7]" for n in ENTRY_POINTS)
    assert [(e.entry_point, e.path) for e in result.certificate.inputs] == [
        (name, "obs") for name in ENTRY_POINTS
    ]
    new = result.module
    assert [*new.mean.shape] == [7]
    assert new.actor[0].in_features == new.critic[0].in_features == 7
    for mode in (False, True):
        noisy = with_noise(X, 7)
        was = agent.train(mode).get_action_and_value(X)
        now = new.train(mode).get_action_and_value(noisy)
        torch.testing.assert_close(now, was)
    torch.testing.assert_close(new.mean[:4], agent.mean)


def test_extend_1_a_module_names_the_input_that_it_reads():
    agent = Agent()
    by_name, by_module = (
        morphir.apply(agent, ExtendInputPass(at, 7), example_inputs=(X,), entry_points=ENTRY_POINTS)
        for at in ("obs", "critic.0")
    )
    assert by_name.state_dict().keys() == by_module.state_dict().keys()
    for key, tensor in by_name.state_dict().items():
        assert torch.equal(tensor, by_module.state_dict()[key])


def test_extend_1_inputs_that_one_layer_reads_get_longer_together():
    class Values(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.value, self.policy = (
                nn.Linear(4, 8),
                nn.Linear(8, 1),
                nn.Linear(8, 2),
            )

        def forward(self, x):
            return self.policy(F.relu(self.encoder(x)))

        def error(self, obs, next_obs):
            now, then = (self.value(F.relu(self.encoder(each))) for each in (obs, next_obs))
            return now - 0.9 * then

    inputs = {"forward": (X,), "error": (X, X + 1)}
    for at in ("x", "encoder"):
        pass_ = ExtendInputPass(at, 6)
        result = morphir.transform(
            Values(), pass_, example_inputs=inputs, entry_points=("forward", "error")
        )
        assert result.report.grade is Grade.PROVED
        assert [each.path for each in result.certificate.inputs] == ["x", "obs", "next_obs"]


def test_extend_2_what_is_returned_in_train_mode_only():
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.aux = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 3)

        def forward(self, x):
            h = F.relu(self.a(x))
            return (self.b(h), self.aux(h)) if self.training else (self.b(h),)

    result = morphir.transform(Auxiliary(), ExtendOutputPass("aux", 5), example_inputs=(X,))
    assert result.report.grade is Grade.PROVED
    assert "2 tensors and 1 call related" in result.report.check("certificate (train)").summary
    assert result.certificate.outputs == ()  # it is about eval mode, where there is none


def test_extend_1_inputs_in_dicts_and_keywords():
    model = Net(
        lambda s, batch, *, extra=None: {"y": s.a(batch["pos"]) + s.b(batch["vel"]) + extra},
        a=nn.Linear(4, 2), b=nn.Linear(3, 2),
    )  # fmt: skip

    class Keywords(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, batch, *, extra):
            return self.model(batch, extra=extra)

    batch, extra = {"pos": X, "vel": X[:, :3]}, torch.randn(5, 2)
    inputs = {"forward": ((batch,), {"extra": extra})}
    pass_ = ExtendInputPass(at="batch['vel']", width=5)
    result = morphir.transform(Keywords(), pass_, example_inputs=inputs)
    assert result.report.grade is Grade.PROVED
    longer_batch = {"pos": X, "vel": with_noise(X[:, :3], 5)}
    old, new = model(batch, extra=extra), result.module(longer_batch, extra=extra)
    torch.testing.assert_close(new["y"], old["y"])


@pytest.mark.parametrize("init", ["fresh", "zero"])
def test_extend_2_the_old_outputs_are_what_they_were(init):
    torch.manual_seed(0)
    agent = Agent().eval()
    pass_ = ExtendOutputPass(at="actor.2", width=5, init=init)
    result = morphir.transform(agent, pass_, example_inputs=(X,), entry_points=ENTRY_POINTS)
    assert result.report.grade is Grade.PROVED
    assert result.report.notes[0] == "get_action_and_value now returns [0] f32[B, 5]"
    last = result.module.actor[2]
    assert last.out_features == 5
    assert torch.equal(last.weight[:3], agent.actor[2].weight)
    assert torch.equal(last.bias[:3], agent.actor[2].bias)
    assert bool((last.weight[3:] == 0).all()) == (init == "zero")
    assert (last.weight[3:].unique().numel() == 32) == (init == "fresh")
    old, new = agent.double(), result.module.double()
    assert_equal(
        old.get_action_and_value(X.double())[0], new.get_action_and_value(X.double())[0][:, :3]
    )


def test_extend_2_an_output_in_an_object():
    model = Net(
        lambda s, x: torch.distributions.Normal(s.a(x), s.b(x).exp(), validate_args=False),
        a=nn.Linear(4, 2), b=nn.Linear(4, 2),
    )  # fmt: skip
    result = morphir.transform(model, ExtendOutputPass("[ab]", 3), example_inputs=(X,))
    assert result.report.grade is Grade.PROVED
    assert [each.path for each in result.certificate.outputs] == [".loc", ".scale"]


def test_extend_1_and_2_and_a_wider_layer_follow_one_another():
    passes = [ExtendInputPass("0", 5), ExtendOutputPass("4", 4), morphir.WiderPass("0", 9)]
    model = images()
    result = morphir.transform(model, passes, example_inputs=(IMAGE,))
    assert result.report.grade is Grade.PROVED
    old, new = model.double().eval(), result.module.double().eval()
    assert_equal(old(IMAGE.double()), new(with_noise(IMAGE.double(), 5, 1))[:, :3])
    planned = morphir.plan(model.float(), passes, example_inputs=(IMAGE,))
    assert planned.refusal is None
    assert "0.weight  f32[6, 2 -> 5 zero, 3, 3]" in str(planned)


def test_the_weights_of_new_features_learn_and_the_optimizer_remembers_the_old():
    agent = Agent().eval()
    optimizer = torch.optim.Adam(agent.parameters())
    agent.get_value(X).sum().backward()
    optimizer.step()
    weight = agent.critic[0].weight
    before = optimizer.state[weight]["exp_avg"].clone()
    result = morphir.transform(
        agent, ExtendInputPass("obs", 7), optimizer=optimizer, inplace=True,
        example_inputs=(X,), entry_points=ENTRY_POINTS,
    )  # fmt: skip
    assert result.module is agent
    assert agent.critic[0].weight is weight
    after = optimizer.state[weight]["exp_avg"]
    assert torch.equal(after[:, :4], before)
    assert not after[:, 4:].any()
    agent.get_value(with_noise(X, 7)).sum().backward()
    optimizer.step()
    assert weight[:, 4:].all()


def test_replay_and_files_and_lockstep(tmp_path):
    options = {"example_inputs": (X,), "entry_points": ENTRY_POINTS}
    passes = [ExtendInputPass("obs", 7), ExtendOutputPass("actor.2", 4, init="zero")]
    online, target = Agent(), Agent()
    first, second = morphir.transform([online, target], passes, **options)
    fresh = morphir.replay(first.lineage, Agent())
    for model in (second.module, fresh):
        for (name, one), (_, other) in zip(
            first.module.named_parameters(), model.named_parameters(), strict=True
        ):
            assert one.shape == other.shape, name
    assert not fresh.actor[2].weight[3:].any()
    assert not fresh.actor[0].weight[:, 4:].any()
    morphir.save(first, tmp_path / "agent")
    loaded = morphir.load(tmp_path / "agent", Agent).eval()
    x = with_noise(X, 7)
    assert torch.equal(loaded.get_value(x), first.module.eval().get_value(x))


def test_verify_takes_the_certificate_of_an_extension():
    old = mlp()
    for pass_ in (ExtendInputPass("input", 6), ExtendOutputPass("2", 4)):
        result = morphir.transform(old, pass_)
        report = morphir.verify(old, result.module, certificate=result.certificate)
        assert report.grade is Grade.PROVED
        with torch.no_grad():
            result.module[0 if pass_.name == "extend-input" else 2].weight[-1, -1] += 1
        report = morphir.verify(old, result.module, certificate=result.certificate)
        assert (report.grade is Grade.PROVED) == (pass_.name == "extend-output")


def test_the_width_that_it_has_changes_nothing():
    for pass_ in (ExtendInputPass("input", 4), ExtendOutputPass("2", 3)):
        result = morphir.transform(mlp(), pass_)
        assert not result.lineage.steps
        assert "already has" in result.report.passes[0]


# -- refusals --------------------------------------------------------------------------------------


REFUSED: dict[str, tuple[nn.Module, Any, str]] = {
    "unknown": (mlp(), ExtendInputPass("obs", 6), "there is no input 'obs', and there is no"),
    "fewer inputs": (mlp(), ExtendInputPass("input", 3), "has 4 features, and can't get longer"),
    "fewer outputs": (mlp(), ExtendOutputPass("2", 2), "has 3 features, and can't get longer"),
    "reads no input": (mlp(), ExtendInputPass("2", 9), "'2' reads no inputs"),
    "no output": (mlp(), ExtendOutputPass("0", 9), "are no axis of what the model returns"),
    "the batch": (mlp(), ExtendInputPass("input", 9, dim=0), "axis 0 of the input 'input' is the"),
    "two inputs": (
        Net(lambda s, x: s.a(x["p"]) + s.b(x["q"]), a=nn.Linear(4, 2), b=nn.Linear(4, 2)),
        ExtendInputPass("[ab]", 6), "'[ab]' reads 2 inputs",
    ),
    "nothing but a batch": (
        Net(lambda s, x: s.a(x[:, None]), a=nn.Linear(1, 2)), ExtendInputPass("args[0]", 6),
        "has no axis but the batch",
    ),
    "no axis": (mlp(), ExtendInputPass("input", 9, dim=-3), "there is no such axis"),
    "softmax": (
        nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)), ExtendOutputPass("0", 4), "softmax wants"
    ),
    "several axes": (
        nn.Sequential(nn.Flatten(1), nn.Linear(4, 3)), ExtendInputPass("input", 3), "expected one"
    ),
    "a mean": (
        net(lambda s, x: s.head(s.norm(x))), ExtendInputPass("args[0]", 6), "layer_norm wants every"
    ),
    "a sum": (
        net(lambda s, x: s.head(s.a(x)) * x.sum(-1, keepdim=True)),
        ExtendInputPass("args[0]", 6), "it is an axis of the input 'args[0]' and sum",
    ),
    "opaque": (
        net(lambda s, x: s.head(s.a(x)) + torch.special.airy_ai(x).sum()),
        ExtendInputPass("args[0]", 6), "airy_ai is not a declared op",
    ),
    "leaves torch": (
        net(lambda s, x: s.head(s.a(x)) * x.tolist()[0][0]),
        ExtendInputPass("args[0]", 6), "its value leaves torch",
    ),
    "returned as it is": (
        net(lambda s, x: x + s.a(x)), ExtendInputPass("args[0]", 6), "it is an axis of the output"
    ),
    "not at the end": (
        net(lambda s, x: torch.cat([s.head(x), s.a(x)], -1)), ExtendOutputPass("head", 4),
        "would not come after the old ones",
    ),
    "two axes": (
        net(lambda s, x: s.head(x)[:, :, None] * s.head(x)[:, None]), ExtendOutputPass("head", 4),
        "2 axes of the output of 'forward'",
    ),
    "in blocks": (
        Net(lambda s, x: s.a(x.view(len(x), s.a.in_features, 2)[:, :, 0]), a=nn.Linear(2, 3)),
        ExtendInputPass("args[0]", 5), "blocks of 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_get_longer_is_refused(case: str):
    model, pass_, reason = REFUSED[case]
    x = {"several axes": X.view(5, 2, 2), "two inputs": {"p": X, "q": X + 1}}.get(case, X)
    x = X[:, 0] if case == "nothing but a batch" else x
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RefusalError) as caught:
        morphir.apply(model, pass_, example_inputs=(x,), inplace=True)
    assert reason in str(caught.value)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_a_policy_that_samples_has_one_distribution():
    pass_ = ExtendOutputPass("actor.2", 4)
    with pytest.raises(RefusalError, match="multinomial mixes or indexes its units"):
        morphir.apply(Agent(), pass_, example_inputs=(X,), entry_points=("act",))


def test_a_model_without_inputs_is_refused():
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x, y):
            return self.a(x) + y

    with pytest.raises(RefusalError, match="'forward' was recorded without inputs"):
        morphir.apply(Plain(), ExtendInputPass("x", 6))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExtendInputPass("", 6), "at='', expected a name"),
        (lambda: ExtendInputPass(["x"], 6), "expected a name"),
        (lambda: ExtendInputPass("x", 0), "width=0, expected a positive integer"),
        (lambda: ExtendInputPass("x", 6, dim="1"), "dim='1', expected an axis"),
        (lambda: ExtendOutputPass([], 6), "expected a name"),
        (lambda: ExtendOutputPass("x", 6, init="copy"), "init='copy', expected 'fresh' or 'zero'"),
        (lambda: ExtendOutputPass("x", 6, seed=None), "seed=None, expected an integer"),
    ],
)
def test_options_that_fit_no_model_are_refused(make, message: str):
    with pytest.raises(RefusalError, match="expected") as caught:
        make()
    assert message in caught.value.reason


# -- planted bugs ----------------------------------------------------------------------------------


def permuted(asked, width):
    """New positions behind the old ones, of which two are swapped."""
    return {
        leaf: AxisMap.copies(m.size, [1, 0, *m.source[2:]])
        for leaf, m in longer(asked, width).items()
    }


@pytest.mark.parametrize("pass_", [ExtendInputPass("input", 6), ExtendOutputPass("2", 5)], ids=str)
def test_a_pass_that_permutes_what_was_there_is_caught(pass_, monkeypatch):
    monkeypatch.setattr(extend_module, "longer", permuted)
    with pytest.raises(VerificationError) as caught:
        morphir.apply(mlp(), pass_)
    report = caught.value.report
    assert report.check("certificate").grade is Grade.UNKNOWN
    assert report.check("float64").grade is Grade.REFUTED


def test_weights_of_new_features_that_are_not_zero_are_caught(monkeypatch):
    grown = AxisMap.copies(4, [*range(4), FRESH, FRESH])
    tensors = {"0.weight": (Mapped(8), Mapped(4, grown, "copy"))}
    monkeypatch.setattr(extend_module.AxisGroups, "resize", lambda self, maps: (tensors, ()))
    with pytest.raises(VerificationError) as caught:
        morphir.apply(mlp(), ExtendInputPass("input", 6))
    report = caught.value.report
    assert report.check("certificate").grade is Grade.UNKNOWN
    assert report.check("float64").grade is Grade.REFUTED
