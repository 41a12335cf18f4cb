"""INJECT-1 to INJECT-4: a module that begins anew returns what it did, and learns again."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import Grade, InjectPlasticityPass, RefusalError, VerificationError
from morphir.backend.surgery import Surgery
from morphir.testing import check_pass
from tests.passes.injections import ENTRY_POINTS, Agent, X, inject, learning, mlp, steps

ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.PReLU, nn.LeakyReLU)


class Torso(nn.Module):
    """A head whose input others may read as well, after it or before."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order = order
        self.body, self.head, self.other = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.body(x))
        if self.order == "alone":
            return self.head(h)
        first, second = (self.other, self.head) if self.order == "last" else (self.head, self.other)
        y = first(h)
        return y + second(h)


# -- INJECT-1: the function ----------------------------------------------------------------------


@settings(max_examples=20)
@given(
    widths=st.lists(st.integers(1, 7), min_size=0, max_size=3),
    activation=st.sampled_from(ACTIVATIONS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    place=st.integers(0, 99),
    seed=st.integers(0, 9),
)
def test_inject_1_the_function_is_the_same_to_the_bit(
    widths: list[int], activation: type[nn.Module], dtype: torch.dtype, place: int, seed: int
):
    layers: list[nn.Module] = []
    for width, following in zip([4, *widths], [*widths, 2], strict=True):
        layers += [nn.Linear(width, following), activation()]
    model = nn.Sequential(*layers).to(dtype)
    names = ["", *(name for name, m in model.named_modules() if isinstance(m, nn.Linear))]
    result = inject(model, names[place % len(names)], X.to(dtype), seed=seed)
    assert result.report.laws == ("CERT-5", "INJECT-1")
    assert {p.dtype for p in result.module.parameters()} == {dtype}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_inject_1_in_half_precision(dtype: torch.dtype):
    inject(mlp().to(dtype), "", X.to(dtype))


def test_inject_1_the_brackets_are_what_makes_it_exact():
    """(h + h1) - h2 is not h once something is rounded, and h + (h1 - h2) is."""
    net = mlp()
    branch = inject(net, "").module.injected1
    with torch.no_grad():
        y, other = net(X), 1e3 * branch.fresh(X)
        assert not torch.equal((y + other) - other, y)
        assert torch.equal(y + (other - other), y)


def test_inject_1_at_every_call_in_every_entry_point():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.critic = mlp()

        def get_value(self, x: torch.Tensor) -> torch.Tensor:
            return self.critic(x)

        def advantage(self, x: torch.Tensor) -> torch.Tensor:
            return self.critic(x) - self.critic(x + 1)

    model, names = Twice(), ("get_value", "advantage")
    result = inject(model, "critic", X, entry_points=names)
    assert all(torch.equal(getattr(model, n)(X), getattr(result.module, n)(X)) for n in names)
    calls = morphir.trace(result.module, example_inputs=(X,), entry_points=names).graphs
    assert [len(graph.calls_of("critic.injected1")) for graph in calls.values()] == [1, 2]


def test_inject_1_of_a_network_with_several_inputs():
    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(6, 1)

        def forward(self, obs: torch.Tensor, *, action: torch.Tensor) -> torch.Tensor:
            return self.net(torch.cat([obs, action], -1)).squeeze(-1)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.critic = Critic()

        def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            return self.critic(obs, action=action)

    model, action = Whole(), torch.randn(5, 2)
    for at in ("critic", "critic.net", ""):
        inject(model, at, X, action)


@pytest.mark.parametrize("layer", [nn.MultiheadAttention, nn.TransformerEncoderLayer])
def test_inject_1_of_attention(layer: Any):
    """Not to the bit: for weights that are to learn torch may take another kernel."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            options = {} if layer is nn.MultiheadAttention else {"dim_feedforward": 5}
            self.layer = layer(4, 2, dropout=0.0, batch_first=True, **options)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if isinstance(self.layer, nn.MultiheadAttention):
                return self.layer(x, x, x, need_weights=False)[0]
            return self.layer(x)

    model, x = Net(), torch.randn(2, 3, 4)
    pass_ = InjectPlasticityPass(at="layer")
    result = morphir.transform(model, pass_, example_inputs=(x,))
    assert result.report.grade is Grade.PROVED
    assert torch.allclose(result.module(x), model(x), atol=1e-5)


# -- INJECT-2: who learns ------------------------------------------------------------------------


def test_inject_2_the_fresh_network_learns_and_nothing_else_of_it():
    model = mlp()
    result = inject(model, "", X)
    assert learning(result.module) == [f"injected1.fresh.{name}" for name in learning(model)]
    result.module(X).sum().backward()
    grads = {name: p.grad is not None for name, p in result.module.named_parameters()}
    assert {name for name, has in grads.items() if has} == {*learning(result.module)}


@pytest.mark.parametrize("at", ["critic", "critic.2", "actor"])
def test_inject_2_its_gradients_are_those_of_a_plain_network(at: str):
    """What h1 is asked for does not depend on h and h2: only on the gradient of the sum."""
    model = Agent()
    result = inject(model, at, X, entry_points=ENTRY_POINTS)
    loss = result.module.get_value(X).square().sum() + result.module.act(X).square().sum()
    loss.backward()
    place = result.module.get_submodule(at)
    plain = copy.deepcopy(place.injected1.fresh)
    plain.zero_grad()
    with torch.no_grad():
        z = model.encoder(X)
        given = z if "." not in at else model.critic[1](model.critic[0](z))
        y = model.get_submodule(at)(given)
    fresh = plain(given)
    # The gradient of the square of y, at y, is pulled back through the plain network.
    fresh.backward(2 * y)
    for name, parameter in plain.named_parameters():
        own = place.injected1.fresh.get_parameter(name)
        assert torch.equal(own.grad, parameter.grad)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_inject_2_an_optimizer_over_two_critics_of_which_one_begins_anew(first: int, inplace: bool):
    critics = [mlp(), mlp()]
    optimizer = torch.optim.Adam([p for each in critics for p in each.parameters()])
    for each in critics:
        steps(each, optimizer)
    one, other = critics[first], critics[1 - first]
    kept = {p: copy.deepcopy(optimizer.state[p]) for p in other.parameters()}
    result = inject(one, "2", X, optimizer=optimizer, inplace=inplace)
    held = {id(p) for p in result.optimizer.param_groups[0]["params"]}
    assert held == {id(p) for p in (*result.module.parameters(), *kept) if p.requires_grad}
    for parameter, state in kept.items():
        assert torch.equal(result.optimizer.state[parameter]["exp_avg"], state["exp_avg"])


def test_inject_2_two_critics_of_one_optimizer_begin_anew_at_once():
    critics = [mlp(), mlp()]
    optimizer = torch.optim.Adam([p for each in critics for p in each.parameters()])
    for each in critics:
        steps(each, optimizer)
    pass_ = InjectPlasticityPass(at="2")
    morphir.transform(critics, pass_, optimizer=optimizer, example_inputs=(X,), inplace=True)
    held = {id(p) for p in optimizer.param_groups[0]["params"]}
    assert held == {id(p) for each in critics for p in each.parameters() if p.requires_grad}


def test_inject_2_an_agent_with_two_optimizers_over_different_networks():
    """`at="critic"`: the critic's optimizer follows, the actor's stays to the bit."""
    model = Agent()
    shared = [*model.encoder.parameters()]
    actor = torch.optim.Adam([*shared, *model.actor.parameters()], lr=1e-3)
    critic = torch.optim.RMSprop(model.critic.parameters(), lr=1e-2, momentum=0.9)
    (model.act(X).square().sum() + model.get_value(X).square().sum()).backward()
    actor.step()
    critic.step()
    old = {
        name: copy.deepcopy(actor.state[p])
        for name, p in model.named_parameters()
        if p in actor.state
    }
    result = inject(model, "critic", X, optimizer=[actor, critic], entry_points=ENTRY_POINTS)
    new, names = result.module, {id(p): name for name, p in result.module.named_parameters()}
    held = [[names[id(p)] for g in o.param_groups for p in g["params"]] for o in result.optimizer]
    assert held[0] == [name for name, _ in model.named_parameters() if "critic" not in name]
    assert held[1] == [f"critic.injected1.fresh.{n}" for n, _ in model.critic.named_parameters()]
    for name, state in old.items():
        kept = result.optimizer[0].state[new.get_parameter(name)]
        assert all(torch.equal(value, kept[key]) for key, value in state.items())
    assert not result.optimizer[1].state
    (new.act(X).square().sum() + new.get_value(X).square().sum()).backward()
    frozen = {n: p.clone() for n, p in new.critic.named_parameters() if "fresh" not in n}
    for each in result.optimizer:
        each.step()
    assert all(torch.equal(p, new.critic.get_parameter(n)) for n, p in frozen.items())
    assert not torch.equal(new.get_value(X), model.get_value(X))


# -- INJECT-3: fresh numbers ---------------------------------------------------------------------


def test_inject_3_numbers_are_those_of_torchs_own_initialisation():
    model = nn.Sequential(nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    fresh = inject(model, "").module.injected1.fresh
    bound = 400**-0.5
    weight = fresh.get_parameter("0.weight").detach()
    assert weight.abs().max() <= bound
    assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert not torch.equal(fresh.get_parameter("2.weight"), torch.full((1, 300), 7.0))


def test_inject_3_numbers_follow_from_seed_place_and_number():
    model = mlp()
    numbers = [
        inject(model, at, seed=seed).module.get_parameter(f"{at}.injected1.fresh.weight")
        for at, seed in [("0", 0), ("0", 0), ("0", 1)]
    ]
    assert torch.equal(numbers[0], numbers[1])
    assert not torch.equal(numbers[0], numbers[2])
    once = inject(model, "2").module
    again = inject(once, "2").module
    first, second = (again.get_parameter(f"2.injected{n}.fresh.weight") for n in (1, 2))
    assert not torch.equal(first, second)


def test_inject_3_the_numbers_are_the_same_in_every_dtype():
    single, double = (inject(mlp().to(d), "").module for d in (torch.float32, torch.float64))
    pairs = zip(single.injected1.parameters(), double.injected1.parameters(), strict=True)
    assert all(torch.equal(one.double(), other) for one, other in pairs)


def test_inject_3_targets_in_the_same_model_get_the_same_numbers():
    class TwoCritics(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = mlp(), mlp()
            self.target_one = copy.deepcopy(self.one).requires_grad_(False)
            self.target_two = copy.deepcopy(self.two).requires_grad_(False)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return self.one(x), self.two(x), self.target_one(x), self.target_two(x)

    model = TwoCritics()
    targets = {"one": "target_one", "two": "target_two"}
    optimizer = torch.optim.Adam([*model.one.parameters(), *model.two.parameters()])
    options = {"optimizer": optimizer, "entry_points": ("forward",)}
    new = inject(model, ["one", "two"], X, targets=targets, **options).module
    for name, target in targets.items():
        pairs = zip(new.get_submodule(name).injected1.parameters(),
                    new.get_submodule(target).injected1.parameters(), strict=True)  # fmt: skip
        assert all(torch.equal(one, other) for one, other in pairs)
        assert not learning(new.get_submodule(target))
    first, second = (new.get_parameter(f"{n}.injected1.fresh.0.weight") for n in ("one", "two"))
    assert not torch.equal(first, second)


def test_inject_3_online_and_target_in_lockstep():
    online = mlp()
    target = copy.deepcopy(online).requires_grad_(False)
    with torch.no_grad():
        target[0].weight.mul_(1.1)
    optimizer = torch.optim.Adam(online.parameters())
    steps(online, optimizer)
    one, other = morphir.transform(
        [online, target], InjectPlasticityPass(at=""), optimizer=optimizer, example_inputs=(X,)
    )
    assert {one.report.grade, other.report.grade} == {Grade.PROVED}
    assert torch.equal(other.module(X), target(X))
    pairs = zip(one.module.injected1.parameters(), other.module.injected1.parameters(), strict=True)
    assert all(torch.equal(new, twin) for new, twin in pairs)
    assert not learning(other.module)
    assert len(learning(one.module)) == 4
    target.load_state_dict(online.state_dict())
    with torch.no_grad():  # the target follows as it did
        for p, q in zip(one.module.parameters(), other.module.parameters(), strict=True):
            q.lerp_(p, 1.0)
    assert torch.equal(one.module(X), other.module(X))


def test_inject_3_a_sparse_layer_begins_anew_as_sparse_as_it_was():
    sparse = morphir.transform(mlp(), morphir.SparsifyPass(0.4), example_inputs=(X,)).module
    new = inject(sparse, "", X).module
    masks = morphir.Masks(new)
    assert {"injected1.fresh.0.weight", "injected1.frozen.2.weight"} <= masks.masks.keys()
    for name, mask in masks.masks.items():
        assert not new.get_parameter(name)[mask == 0].any()


# -- INJECT-4: what is around --------------------------------------------------------------------


@pytest.mark.parametrize("order", ["alone", "last", "first"])
def test_inject_4_gradients_before_it_are_the_same(order: str):
    """To the bit where the head is the last to read its input, else to rounding."""
    model = Torso(order)
    new = inject(model, "head", X).module
    for each in (model, new):
        each(X).square().sum().backward()
    for name, parameter in model.body.named_parameters():
        found = new.body.get_parameter(name).grad
        assert torch.allclose(found, parameter.grad, rtol=1e-5, atol=1e-6)
        if order != "first":
            assert torch.equal(found, parameter.grad)


def test_inject_4_the_next_step_moves_all_else_as_it_would_have():
    model = Torso("alone")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    steps(model, optimizer)
    result = inject(model, "head", X, optimizer=optimizer)
    steps(model, optimizer, 1)
    steps(result.module, result.optimizer, 1)
    for name, parameter in model.body.named_parameters():
        assert torch.equal(parameter, result.module.body.get_parameter(name))


# -- around it -----------------------------------------------------------------------------------


def test_it_is_saved_and_loaded(tmp_path: Any):
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    steps(model, optimizer)
    once = inject(model, "2", X, optimizer=optimizer)
    steps(once.module, once.optimizer)
    result = inject(once.module, "", X, optimizer=once.optimizer)
    steps(result.module, result.optimizer)
    morphir.save(result, tmp_path / "net.safetensors")
    loaded, other = morphir.load(
        tmp_path / "net.safetensors", mlp, optimizer=lambda m: torch.optim.Adam(m.parameters())
    )
    assert torch.equal(loaded(X), result.module(X))
    assert learning(loaded) == learning(result.module)
    for pair in ((result.module, result.optimizer), (loaded, other)):
        steps(*pair, 1)
    assert torch.equal(loaded(X), result.module(X))


@pytest.mark.parametrize("inplace", [False, True])
def test_a_failure_leaves_everything_as_it_was(inplace: bool, monkeypatch: pytest.MonkeyPatch):
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters())
    steps(model, optimizer)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    grads = [p.grad for p in model.parameters()]
    apply = Surgery.apply

    def wrong(self: Surgery, edits: Any) -> None:
        apply(self, edits)
        with torch.no_grad():
            self._model.get_parameter("injected1.frozen.0.weight")[0, 0] += 1e-6

    monkeypatch.setattr(Surgery, "apply", wrong)
    with pytest.raises(VerificationError) as caught:
        morphir.transform(
            model, InjectPlasticityPass(at=""), optimizer=optimizer, example_inputs=(X,),
            inplace=inplace,
        )  # fmt: skip
    found = caught.value.report
    assert found.grade is Grade.REFUTED
    assert "frozen.2.bias" in found.check("certificate").where
    assert found.check("kept").where == "injected1.frozen.0.weight"
    assert type(model) is nn.Sequential
    assert all(p.requires_grad for p in model.parameters())
    assert [p.grad for p in model.parameters()] == grads
    after = (model.state_dict(), optimizer.state_dict())
    assert [*before[0]] == [*after[0]]
    assert all(torch.equal(value, after[0][key]) for key, value in before[0].items())
    assert before[1]["param_groups"] == after[1]["param_groups"]
    assert before[1]["state"].keys() == after[1]["state"].keys()


def test_in_place_edits_the_callers_model_and_optimizer():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    steps(model, optimizer)
    parameters = [*model.parameters()]
    result = inject(model, "2", X, optimizer=optimizer, inplace=True)
    assert result.module is model
    assert [*map(id, parameters)] == [id(p) for n, p in model.named_parameters() if "in" not in n]
    assert parameters[2].grad is None
    assert parameters[0].grad is not None
    steps(model, optimizer)
    scheduler.step()


def test_a_plan_says_what_would_be_done():
    plan = morphir.plan(mlp(), InjectPlasticityPass(at="2"), example_inputs=(X,))
    (module,) = plan.modules
    assert (module.name, module.law) == ("2.injected1", "INJECT-1")
    assert {*module.parameters} == {f"{part}.{n}" for part in ("fresh", "frozen") for n in
                                    ("weight", "bias")}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": []}, "at="),
        ({"at": 3}, "at="),
        ({"at": "0", "seed": 0.5}, "seed="),
        ({"at": "0", "targets": {}}, "targets="),
        ({"at": "0", "targets": {"0": 1}}, "targets="),
        ({"at": "0", "targets": ["2"]}, "targets="),
    ],
)
def test_an_option_that_fits_no_model_is_refused_at_once(options: dict[str, Any], message: str):
    with pytest.raises(RefusalError, match=message):
        InjectPlasticityPass(**options)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ({"2": "0"}, "'2', which at= does not name"),
        ({"0": "3"}, "there is no module '3'"),
        ({"0": "2"}, "'2' is no target of '0': 'bias' is not the same in both"),
    ],
)
def test_a_target_that_is_none_is_refused(targets: dict[str, str], message: str):
    with pytest.raises(RefusalError, match=message):
        morphir.apply(mlp(), InjectPlasticityPass("0", targets), example_inputs=(X,))


def test_the_laws_of_every_pass_on_random_models():
    report = check_pass(InjectPlasticityPass, modules=3, seed=4, show=False)
    assert report.ok, str(report)
