"""SHALLOWER-1 to SHALLOWER-4: what is the identity may go, and a deepening is undone to the bit."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import DeeperPass, Grade, RefusalError, ShallowerPass
from tests.checks.pairs import dirac, identity, zeros
from tests.passes.nets import Branches, Functional, Images, Shared, assert_same_bits, chain
from tests.specimens import Attributes, Conv, Net

X = torch.randn(5, 8)
BLOCKS = ("identity", "residual", "parametric")

# A model, the places at which something is inserted, and its input.
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...], tuple[int, ...]]] = {
    "sequential": (lambda: chain(nn.ReLU()), ("0", "1"), (5, 8)),
    "nested": (Net, ("extractor.1", "extractor", "head"), (3, 4)),
    "convolutions": (Images, ("stem", "norm", "one", "head"), (2, 3, 6, 6)),
    "attributes": (Attributes, ("act", "fc1"), (3, 4)),
    "pooled": (Conv, ("conv1", "conv2"), (3, 2, 5, 5)),
    "called twice": (Shared, ("relu", "a"), (5, 8)),
    "functional": (lambda: Functional(F.relu), ("a",), (5, 8)),
    "branches": (lambda: Branches(nn.ReLU(), nn.ReLU()), ("joined", "branches.0"), (5, 8)),
    "graph": (lambda: torch.fx.symbolic_trace(chain(nn.ReLU())), ("0", "1"), (5, 8)),
}


def plain(value: Any) -> Any:
    """What can be compared with `==`: of a tensor its bits."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, dict):
        return [(key, plain(each)) for key, each in value.items()]
    return [*map(plain, value)] if isinstance(value, list | tuple) else value


def facts(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    """State, order, classes, gradients, and the optimizer's state by position."""
    kinds = [(n, m.training, type(m).__qualname__) for n, m in model.named_modules()]
    gradients = [
        (n, None if p.grad is None else plain(p.grad)) for n, p in model.named_parameters()
    ]
    return [plain(dict(model.state_dict())), kinds, gradients, plain(optimizer.state_dict())]


def trained(kind: str, *, seed: int = 0) -> tuple[nn.Module, torch.optim.Adam, torch.Tensor]:
    torch.manual_seed(seed)
    make, _, shape = MODELS[kind]
    model, x = make(), torch.randn(shape)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model(x).sum().backward()
    optimizer.step()
    return model, optimizer, x


@given(
    kind=st.sampled_from([*MODELS]),
    block=st.sampled_from(BLOCKS),
    times=st.integers(1, 3),
    inplace=st.booleans(),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_shallower_3_what_was_made_deeper_is_given_back(
    kind: str, block: Any, times: int, inplace: bool, seed: int, data: st.DataObject
):
    """SHALLOWER-3, SHALLOWER-4"""
    model, optimizer, x = trained(kind, seed=seed)
    places = [data.draw(st.sampled_from(MODELS[kind][1])) for _ in range(times)]
    before, old = facts(model, optimizer), copy.deepcopy(model)
    kinds = [*map(type, model.modules())]
    passes = [DeeperPass(at=at, block=block, seed=seed) for at in places]
    options: Any = {"example_inputs": (x,), "inplace": inplace}
    try:
        deep = morphir.transform(model, passes, optimizer=optimizer, **options)
    except RefusalError:
        return  # this block does not fit there
    deeper = facts(deep.module, deep.optimizer)
    back = morphir.transform(deep.module, ShallowerPass(), optimizer=deep.optimizer, **options)
    assert back.report.grade is Grade.PROVED
    assert facts(back.module, back.optimizer) == before
    assert_same_bits(old, back.module, x, training=True)
    if inplace or kind != "graph":  # every copy of a GraphModule has a class of its own
        assert [*map(type, back.module.modules())] == kinds
    again = morphir.transform(back.module, passes, optimizer=back.optimizer, **options)
    assert facts(again.module, again.optimizer) == deeper


def test_shallower_4_everything_else_goes_on_as_it_would_have():
    model, optimizer, x = trained("sequential")
    deep = morphir.transform(model, DeeperPass(at="1"), optimizer=optimizer)
    names = {id(p): name for name, p in deep.module.named_parameters()}
    optimizer = deep.optimizer
    deep.module(x).sum().backward()
    with torch.no_grad():
        for parameter in deep.module.get_submodule("1_deeper1").parameters():
            parameter.grad = None  # it has not been trained
    optimizer.step()
    state = {names[id(p)]: plain(optimizer.state[p]) for p in optimizer.state}
    gone = {name for name in state if "deeper" in name}
    back = morphir.transform(deep.module, ShallowerPass(), optimizer=optimizer)
    for name, parameter in back.module.named_parameters():
        assert torch.equal(parameter, deep.module.get_parameter(name))
        assert torch.equal(parameter.grad, deep.module.get_parameter(name).grad)
        assert plain(back.optimizer.state[parameter]) == state[name]
    assert len(back.optimizer.state) == len(state) - len(gone)
    assert "left group 0 of Adam" in "\n".join(back.report.notes)


# -- SHALLOWER-1: layers that somebody else made ---------------------------------------------------


class Residual(nn.Module):
    def __init__(self, last: nn.Linear) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 6), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.last(torch.tanh(self.first(x)))


def named(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(zip("abcd", layers, strict=False)))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (identity(8), (5, 8)),
        (identity(8, bias=False), (5, 8)),
        (nn.Sequential(identity(8), identity(8)), (5, 8)),
        (Residual(zeros(6, 8)), (5, 8)),
        (nn.ReLU(), (5, 8)),
        (dirac(nn.Conv2d, 8, 3, padding=1), (2, 8, 5, 5)),
        (dirac(nn.Conv2d, 8, 3, padding="same", groups=2), (2, 8, 5, 5)),
        (dirac(nn.Conv1d, 8, 5, padding=4, dilation=2), (2, 8, 9)),
    ],
    ids=str,
)
def test_shallower_1_a_layer_that_somebody_else_made_the_identity(
    layer: nn.Module, shape: tuple[int, ...]
):
    last = nn.Linear(shape[-1], 3)
    model, x = named(nn.Softplus(), nn.ReLU(), layer, last), torch.randn(shape)
    result = morphir.transform(model, ShallowerPass(at="c"), example_inputs=(x,))
    assert result.report.grade is Grade.PROVED
    assert "SHALLOWER-1" in result.report.laws
    assert [*result.module._modules] == ["a", "b", "d"]
    assert_same_bits(model, result.module, x)


def test_shallower_2_an_activation_that_follows_again():
    model = named(nn.Linear(8, 8), nn.Sequential(nn.ReLU(), identity(8)), nn.ReLU())
    result = morphir.transform(model, ShallowerPass(at="b"))
    assert "SHALLOWER-2" in result.report.laws
    assert_same_bits(model, result.module, X)


# -- planted bugs ----------------------------------------------------------------------------------


def test_planted_a_layer_one_ulp_off_the_identity_stays():
    layer = identity(8)
    with torch.no_grad():
        layer.weight[3, 3] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    model = nn.Sequential(nn.Linear(8, 8), layer, nn.ReLU())
    with pytest.raises(RefusalError, match=r"1.weight is up to 1.19e-07 away .* \(CERT-1\)"):
        morphir.apply(model, ShallowerPass(at="1"))


@pytest.mark.parametrize("following", [nn.LeakyReLU(), nn.Sigmoid(), nn.ReLU6()])
def test_planted_an_activation_that_is_not_idempotent_here_stays(following: nn.Module):
    layer = nn.Sequential(nn.LeakyReLU(), identity(8))
    model = nn.Sequential(nn.Linear(8, 8), layer, following)
    with pytest.raises(RefusalError, match=r"leaky_relu is the identity on .* \(CERT-3\)"):
        morphir.apply(model, ShallowerPass(at="1"))


@pytest.mark.parametrize("block", BLOCKS)
def test_planted_a_trained_block_stays(block: Any):
    torch.manual_seed(0)
    model = morphir.apply(chain(nn.ReLU()), DeeperPass(at="1", block=block))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        model(X).square().sum().backward()
        optimizer.step()
    lemma = "CERT-2" if block == "residual" else "CERT-1"
    with pytest.raises(RefusalError, match=f"is not the identity: .* away from .*{lemma}"):
        morphir.apply(model, ShallowerPass(at="1_deeper1"))
    result = morphir.transform(model, ShallowerPass())
    assert [*result.module.state_dict()] == [*model.state_dict()]
    assert "1_deeper1 stays" in result.report.passes[0]


def test_planted_a_blend_that_has_moved_is_named():
    model = morphir.apply(chain(nn.Tanh()), DeeperPass(at="1", block="parametric"))
    with torch.no_grad():
        model.get_submodule("1_deeper1").blend[2] = -0.25
    with pytest.raises(RefusalError, match=r"blend is up to 0.25 away from 0 \(CERT-2\)"):
        morphir.apply(model, ShallowerPass(at="1_deeper1"))


@pytest.mark.parametrize("wrong", ["weight", "bias"])
def test_planted_a_pass_that_believes_too_much_is_caught(
    wrong: str, monkeypatch: pytest.MonkeyPatch
):
    """CERT-15: the certificate is checked whatever the pass believes, one ulp as well"""
    monkeypatch.setattr("morphir.passes.shallower.law_of_removal", lambda *_: "SHALLOWER-1")
    layer = identity(8)
    with torch.no_grad():
        layer.get_parameter(wrong).view(-1)[0] += 1e-45 if wrong == "bias" else 1.2e-7
    model = named(nn.Linear(8, 8), nn.ReLU(), layer, nn.Linear(8, 2))
    before = plain(dict(model.state_dict()))
    with pytest.raises(morphir.VerificationError) as caught:
        morphir.transform(model, ShallowerPass(at="c"), inplace=True)
    check = caught.value.report.check("certificate")
    assert check.grade is Grade.UNKNOWN
    assert f"c.{wrong}" in check.where or "linear" in check.where
    assert plain(dict(model.state_dict())) == before


# -- what is refused -------------------------------------------------------------------------------


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), identity(8), nn.Linear(8, 8))
    model[3].weight = model[2].weight
    return model


def repeated() -> nn.Module:
    layer = identity(8)
    return nn.Sequential(nn.ReLU(), layer, nn.Linear(8, 8), nn.ReLU(), layer)


class Called(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), identity(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.a(x))


class Counted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 8), identity(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) / len(self.layers)


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), identity(8))
    model[1].register_forward_hook(lambda module, args, result: None)
    return model


def not_a_number() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), Residual(zeros(6, 8)))
    with torch.no_grad():
        model[1].first.weight[0, 0] = float("nan")
    return model


@pytest.mark.parametrize(
    ("model", "at", "reason"),
    [
        (tied(), "2", "a part of it is also '3.weight'"),
        (repeated(), "1", "a part of it is also '4'"),
        (Called(), "b", "called by the code of Called, which stays as it is"),
        (
            nn.Sequential(identity(8), nn.Linear(8, 2)),
            "0",
            "what runs right before it is no module",
        ),
        (nn.Sequential(nn.Linear(8, 2), nn.Identity()), "1", "it runs no operation"),
        (nn.Sequential(nn.Linear(8, 2), nn.Dropout()), "1", "draws random numbers|no operation"),
        (nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)), "1", "no lemma says what batch_norm"),
        (nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 3)), "1", r"is given f32\[B, 2\] and returns"),
        (nn.Sequential(nn.Linear(8, 8), nn.Tanh()), "1", "no lemma says what tanh returns"),
        (
            nn.Sequential(nn.Linear(8, 8), identity(8), nn.Linear(8, 2)),
            "1",
            "a child that is appended later would overwrite the last one",
        ),
        (Counted(), "layers.1", "'layers' is a Sequential whose children are also used by index"),
        (hooked(), "1", "'1' has hooks, which would go with it"),
        (not_a_number(), "1", "1.first.weight is not finite"),
        (chain(nn.ReLU()), "1_deeper1", "there is no module '1_deeper1'"),
    ],
)
def test_what_has_to_stay_is_refused_with_the_reason(model: nn.Module, at: str, reason: str):
    before = plain(dict(model.state_dict()))
    with pytest.raises(RefusalError, match=reason):
        morphir.transform(model, ShallowerPass(at=at), example_inputs=(X,), inplace=True)
    assert plain(dict(model.state_dict())) == before


@pytest.mark.parametrize("at", [(), [], "", 3, ["0", 1]])
def test_at_is_a_name_a_glob_or_a_list(at: Any):
    with pytest.raises(RefusalError, match="at="):
        morphir.apply(chain(nn.ReLU()), ShallowerPass(at=at))


def test_at_may_be_a_glob_and_what_is_inside_goes_along():
    model = morphir.apply(chain(nn.ReLU()), DeeperPass(at="1"))
    model = morphir.apply(model, DeeperPass(at="1_deeper1.activation"))
    back = morphir.transform(model, ShallowerPass(at="*_deeper*"))
    assert [*back.module._modules] == ["0", "1", "2"]
    assert len(back.certificate.removals) == 1


def test_of_two_inside_one_module_the_last_goes_first():
    model = morphir.apply(
        Shared(), [DeeperPass(at="relu"), DeeperPass(at="relu")], example_inputs=(X,)
    )
    with pytest.raises(RefusalError, match=r"relu\.relu_deeper2 runs after it inside 'relu'"):
        morphir.apply(model, ShallowerPass(at="relu.relu_deeper1"), example_inputs=(X,))
    one = morphir.apply(model, ShallowerPass(at="relu.relu_deeper2"), example_inputs=(X,))
    assert [*one.relu._modules] == ["relu_deeper1"]
    assert_same_bits(model, one, X)


def test_one_that_stays_inside_another_does_not_keep_what_can_go():
    """The outer block was trained; what was inserted into it later was not."""
    model = morphir.apply(chain(nn.ReLU()), DeeperPass(at="1"))
    with torch.no_grad():
        model.get_submodule("1_deeper1").layer.weight += 0.5
    deep = morphir.apply(model, DeeperPass(at="1_deeper1.activation"))
    back = morphir.transform(deep, ShallowerPass())
    assert [*back.module.state_dict()] == [*model.state_dict()]
    assert "1_deeper1 stays" in back.report.passes[0]


class Changing(nn.Module):
    """A ReLU that is there in eval mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 4)
        self.between = nn.Sequential(nn.Identity(), nn.Sequential(identity(8), nn.ReLU()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x)
        return self.b(self.between(h if self.training else F.relu(h)))


def test_what_is_the_identity_in_one_mode_only_stays():
    model = Changing()
    with pytest.raises(RefusalError, match=r"in train mode 'between\.1' is not the identity"):
        morphir.apply(model, ShallowerPass(at="between.1"), example_inputs=(X,))
    names = {"0": model.between[0], "0_deeper1": model.between[1]}
    model.between = nn.Sequential(OrderedDict(names))
    with pytest.raises(RefusalError, match="the identity in one of the modes only"):
        morphir.apply(model, ShallowerPass(), example_inputs=(X,))


def test_nothing_to_do_is_said():
    assert "nothing to do" in morphir.transform(chain(nn.ReLU()), ShallowerPass()).report.passes[0]


# -- with everything else --------------------------------------------------------------------------


def test_deeper_and_shallower_in_one_list():
    model, optimizer, x = trained("sequential")
    before = facts(model, optimizer)
    passes = [
        DeeperPass(at="1"),
        ShallowerPass(at="1_deeper1"),
        DeeperPass(at="0"),
        ShallowerPass(),
    ]
    result = morphir.transform(model, passes, optimizer=optimizer, example_inputs=(x,))
    assert facts(result.module, result.optimizer) == before
    assert result.report.grade is Grade.PROVED
    assert len(result.certificate.steps) == 4


def test_a_layer_that_was_widened_is_removed_with_its_new_width():
    model = morphir.apply(chain(nn.ReLU()), DeeperPass(at="1", block="residual"))
    wide = morphir.apply(model, morphir.WiderPass(at="1_deeper1.first", width=12))
    back = morphir.apply(wide, ShallowerPass())
    assert [*back.state_dict()] == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_a_failure_later_on_puts_everything_back(monkeypatch: pytest.MonkeyPatch):
    """BACK-6"""
    for kind in ("sequential", "called twice", "functional"):
        model, optimizer, x = trained(kind)
        at = MODELS[kind][1][0]
        options: Any = {"optimizer": optimizer, "example_inputs": (x,), "inplace": True}
        morphir.transform(model, DeeperPass(at=at), **options)
        model(x).sum().backward()
        before, modules = facts(model, optimizer), [*map(type, model.modules())]
        state = [id(p) for p in optimizer.state]
        with monkeypatch.context() as patch:
            patch.setattr("morphir.pipeline.check_certificate", lambda *_: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                morphir.transform(model, ShallowerPass(), **options)
        assert facts(model, optimizer) == before
        assert [*map(type, model.modules())] == modules
        assert [id(p) for p in optimizer.state] == state


def test_the_certificate_is_about_the_two_models_and_no_others():
    """CERT-15"""
    deep = morphir.apply(chain(nn.ReLU()), DeeperPass(at="1"))
    result = morphir.transform(deep, ShallowerPass())
    certificate = morphir.Certificate.from_json(result.certificate.to_json())
    assert certificate == result.certificate
    checks = ("certificate", "kept")
    report = morphir.verify(deep, result.module, certificate=certificate, checks=checks)
    assert report.grade is Grade.PROVED
    assert report.laws == ("SHALLOWER-1",)
    backwards = morphir.verify(result.module, deep, certificate=certificate.inverted)
    assert backwards.grade is Grade.PROVED
    with torch.no_grad():
        deep.get_submodule("1_deeper1").layer.bias[0] = 1e-30
    report = morphir.verify(deep, result.module, certificate=certificate, checks=("certificate",))
    assert report.grade is Grade.UNKNOWN


def test_models_in_lockstep():
    models = [morphir.apply(chain(nn.ReLU()), DeeperPass(at="1")) for _ in range(2)]
    for result in morphir.transform(models, ShallowerPass()):
        assert [*result.module._modules] == ["0", "1", "2"]


def test_a_removal_is_saved_loaded_and_inspected(tmp_path):
    deep = morphir.apply(chain(nn.ReLU()), DeeperPass(at="1"))
    result = morphir.transform(deep, [ShallowerPass(), DeeperPass(at="1", block="residual")])
    morphir.save(result, tmp_path / "net.safetensors")
    loaded = morphir.load(tmp_path / "net.safetensors", lambda: chain(nn.ReLU()))
    assert plain(dict(loaded.state_dict())) == plain(dict(result.module.state_dict()))
    shown = str(morphir.inspect(tmp_path / "net.safetensors"))
    assert "1_deeper1 after 1: removed (SHALLOWER-1)" in shown


def test_a_plan_shows_what_goes():
    """DRY-2"""
    deep = morphir.apply(chain(nn.ReLU()), DeeperPass(at="1"))
    plan = morphir.plan(deep, ShallowerPass())
    (gone,) = plan.removed
    assert {*gone.parameters} == {"layer.weight", "layer.bias"}
    assert "module that goes" in str(plan)
    assert "180 parameters would become 108" in str(plan)
    assert plan.refusal is None
