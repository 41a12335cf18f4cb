"""`morphir.verify` on pairs that no pass has made: it never says more than it checked."""

import copy
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import Grade, WiderPass
from morphir.ir import Check
from tests.checks.pairs import Net, identity, pair
from tests.specimens import Agent

X = (torch.randn(6, 8),)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def inserted(before: nn.Sequential, at: int, *layers: nn.Module) -> nn.Sequential:
    """A hand-edited model: new layers with names of their own."""
    after = nn.Sequential()
    for index, (name, layer) in enumerate(copy.deepcopy(before).named_children()):
        after.add_module(name, layer)
        if index == at:
            for number, new in enumerate(layers):
                after.add_module(f"new{number}", new)
    return after


def test_a_copy_is_proved_with_everything_it_was_tried_on():
    before = mlp()
    report = morphir.verify(before, copy.deepcopy(before), example_inputs=X)
    assert report.grade is Grade.PROVED
    assert [check.name for check in report.checks] == [
        "certificate",
        "certificate (train)",
        "field",
        "float64",
        "native",
    ]
    assert report.entry_points == ("forward",)
    assert morphir.Report.from_json(report.to_json()) == report
    assert "PROVED" in str(report)


def test_an_identity_that_was_inserted_by_hand_is_proved():
    before = mlp()
    after = inserted(before, 1, identity(16), nn.ReLU())
    assert morphir.verify(before, after, example_inputs=X).grade is Grade.PROVED
    assert morphir.verify(before, after).grade is Grade.PROVED, "inputs from the first layer"


def test_a_difference_is_refuted_and_named():
    before = mlp()
    after = copy.deepcopy(before)
    with torch.no_grad():
        after[2].bias[1] += 1e-6
    report = morphir.verify(before, after, example_inputs=X)
    assert report.grade is Grade.REFUTED
    assert report.check("certificate").where == "@2.bias"
    assert report.check("float64").where.startswith("forward on ")


@pytest.mark.parametrize("error", [1e-3, 1e-6])
@pytest.mark.parametrize(
    "to_floats", [lambda x: x / 255.0, lambda x: x.float(), lambda x: x * torch.tensor([0.5])]
)
def test_the_runs_alone_find_a_wrong_weight_behind_an_image(
    error: float, to_floats: Callable[[torch.Tensor], torch.Tensor]
):
    images = torch.randint(0, 255, (2, 3, 6, 6), dtype=torch.uint8)
    before, after = pair(
        lambda s, x: s.c(to_floats(x)).relu(),
        lambda s, x: s.c(to_floats(x)).relu(),
        c=nn.Conv2d(3, 4, 3),
    )
    same = morphir.verify(before, after, example_inputs=(images,), checks=("float64",))
    assert same.grade is Grade.TESTED
    with torch.no_grad():
        after.c.weight[0, 0, 0, 0] += error
    report = morphir.verify(before, after, example_inputs=(images,), checks=("float64",))
    assert report.grade is Grade.REFUTED


def test_what_is_equal_but_has_no_proof_is_tested():
    """The same sum in other words: no lemma knows that x / 2 + x / 2 is x."""
    before, after = pair(lambda s, x: s.a(x), lambda s, x: s.a(x / 2 + x / 2), a=nn.Linear(8, 4))
    report = morphir.verify(before, after, example_inputs=X)
    assert report.grade is Grade.TESTED
    assert report.check("certificate").grade is Grade.UNKNOWN


def test_a_changed_weight_that_nothing_reads_is_not_proved():
    before, after = pair(lambda s, x: s.a(x), lambda s, x: s.a(x), a=nn.Linear(8, 4), b=mlp())
    with torch.no_grad():
        after.b[0].weight[0, 0] += 1
    report = morphir.verify(before, after, example_inputs=X)
    assert report.grade is Grade.TESTED
    assert "b.0.weight" in report.not_covered


def test_a_difference_in_train_mode_only_is_not_proved():
    before = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 4))
    after = copy.deepcopy(before)
    after[1].p = 0.1
    report = morphir.verify(before, after, example_inputs=X)
    assert report.check("certificate").grade is Grade.PROVED
    assert report.check("certificate (train)").grade is Grade.UNKNOWN
    assert report.grade is Grade.UNKNOWN


def test_a_branch_that_python_decides_is_proved_only_where_python_is_the_same():
    def branch(limit: float) -> Any:
        def forward(s: Any, x: torch.Tensor) -> torch.Tensor:
            return s.a(x) if float(x.sum()) < limit else s.a(x) * 2

        return forward

    before = Net(branch(1e9), a=nn.Linear(8, 4))
    assert morphir.verify(before, copy.deepcopy(before), example_inputs=X).grade is Grade.PROVED
    after = Net(branch(1e8), a=before.a)
    report = morphir.verify(before, after, example_inputs=X)
    assert report.grade is Grade.TESTED
    assert "Python" in report.check("certificate").summary


@pytest.mark.parametrize(
    ("checks", "grade"),
    [
        (("certificate",), Grade.PROVED),
        (("float64",), Grade.TESTED),
        (("native",), Grade.UNKNOWN),
        (("kept",), Grade.UNKNOWN),
        (("certificate", "kept"), Grade.PROVED),
    ],
)
def test_the_grade_is_what_the_chosen_checks_found(checks: tuple[str, ...], grade: Grade):
    before = mlp()
    report = morphir.verify(before, copy.deepcopy(before), example_inputs=X, checks=checks)
    assert report.grade is grade
    assert {check.name.split()[0] for check in report.checks} == {*checks}


def test_a_certificate_says_what_is_new_and_is_checked():
    before = mlp()
    result = morphir.transform(before, morphir.DeeperPass(at="1"), example_inputs=X)
    everything = ("certificate", "float64", "native", "kept", "learning")
    report = morphir.verify(
        before,
        result.module,
        example_inputs=X,
        certificate=result.certificate,
        checks=everything,
    )
    assert report.grade is Grade.PROVED
    assert report.laws == ("DEEPER-1",)
    assert report.check("learning").grade is Grade.TESTED
    assert report.check("kept").grade is Grade.TESTED
    other = morphir.transform(
        before, morphir.DeeperPass(at="1", block="residual"), example_inputs=X
    )
    report = morphir.verify(before, other.module, example_inputs=X, certificate=result.certificate)
    assert report.grade is Grade.TESTED
    assert "another program after" in report.check("certificate").summary


def test_a_constant_model_is_unknown():
    constant = Net(lambda s, x: s.w.expand(x.shape[0], 2) * 1, w=torch.ones(2))
    report = morphir.verify(constant, copy.deepcopy(constant), example_inputs=X)
    assert report.grade is Grade.UNKNOWN
    assert report.check("float64").grade is Grade.UNKNOWN


def test_several_entry_points_are_compared():
    before = Agent()
    after = copy.deepcopy(before)
    x = (torch.randn(4, 4),)
    names = ("get_logits", "get_value")
    assert morphir.verify(before, after, example_inputs=x, entry_points=names).grade is Grade.PROVED
    after.get_value = lambda x: after.critic(x) * 2
    report = morphir.verify(before, after, example_inputs=x, entry_points=names)
    assert report.grade is Grade.REFUTED
    assert report.check("float64").where.startswith("get_value on")


def test_nothing_is_changed_and_the_random_state_is_left_alone():
    before = nn.Sequential(
        nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)
    ).train()
    after = copy.deepcopy(before)
    states = [copy.deepcopy(m.state_dict()) for m in (before, after)]
    random_state = torch.get_rng_state()
    morphir.verify(before, after, example_inputs=X)
    assert torch.equal(random_state, torch.get_rng_state())
    for model, state in zip((before, after), states, strict=True):
        assert model.training
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("checks", [(), "certificate", ("certificate", "magic")])
def test_unknown_checks_are_refused(checks: Any):
    with pytest.raises(morphir.RefusalError, match="'certificate', 'float64'"):
        morphir.verify(mlp(), mlp(), checks=checks)


def test_what_is_no_module_is_refused():
    with pytest.raises(morphir.RefusalError, match=r"torch\.nn\.Module"):
        morphir.verify(mlp(), {})  # type: ignore[arg-type]


def test_a_counterexample_can_be_read_fetched_and_typed():
    before = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
    after = copy.deepcopy(before)
    with torch.no_grad():
        after[2].bias += 1e-5
    report = morphir.verify(before, after, example_inputs=(torch.randn(8, 2),))
    check = report.check("float64")
    assert re.fullmatch(
        r"a difference of \d\.\de-\d\d on one of \d+ inputs, more than rounding can explain",
        check.summary,
    )
    (x,), _ = check.arguments
    assert x.shape == (1, 2)
    assert not torch.equal(before.double()(x), after.double()(x))
    assert torch.equal(eval(check.counterexample, {"torch": torch})[0], x)
    assert f"with {check.counterexample}" in str(report)
    again = morphir.Report.from_json(report.to_json())
    assert again == report
    assert str(again) == str(report)
    assert again.check("float64").arguments is None


def test_grade_4_nothing_is_known_of_a_parameter_that_is_not_finite():
    """GRADE-4"""
    before = mlp()
    with torch.no_grad():
        before[2].bias[0] = 3e38
        before[2].bias[1] = 3e38
    large = morphir.verify(before, before, example_inputs=X)
    assert large.grade is Grade.PROVED
    with torch.no_grad():
        before[0].weight[0, 0] = float("nan")
        before[2].bias[0] = float("inf")
    report = morphir.verify(before, copy.deepcopy(before), example_inputs=X)
    assert report.grade is Grade.UNKNOWN
    assert report.check("certificate").grade is Grade.PROVED
    assert report.check("finite").summary == "a parameter is not finite: 0.weight and 1 more"
    assert report.check("finite").where == "0.weight"
    assert "a parameter is not finite: 0.weight and 1 more" in str(report)
    state = copy.deepcopy(before.state_dict())
    with pytest.raises(morphir.VerificationError, match=r"a parameter is not finite: 0\.weight"):
        morphir.transform(before, morphir.DeeperPass(at="1"), example_inputs=X, inplace=True)
    assert before.state_dict().keys() == state.keys()


def test_every_check_can_be_asked_for_and_holds_for_a_copy():
    before = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)).eval()
    names = [
        "certificate", "kept", "field", "float64", "native", "gradients", "statistics",
        "state_dict", "onnx",
    ]  # fmt: skip
    report = morphir.verify(before, copy.deepcopy(before), example_inputs=X, checks=names)
    assert [c.name for c in report.checks if c.name != "certificate (train)"] == names
    assert {check.grade for check in report.checks} == {Grade.PROVED, Grade.TESTED}


def test_gradients_are_compared_unit_by_unit_with_the_certificate():
    before = mlp()
    result = morphir.transform(before, morphir.WiderPass(at="0", width=23), example_inputs=X)
    report = morphir.verify(
        before,
        result.module,
        example_inputs=X,
        certificate=result.certificate,
        checks=("certificate", "field", "gradients", "statistics"),
    )
    found = {check.name: check.grade for check in report.checks}
    assert found["field"] is found["gradients"] is Grade.TESTED
    assert report.grade is Grade.PROVED


def test_what_no_run_shows_is_not_tested_where_residues_differ():
    """GRADE-3: a unit that no input switches on, with another outgoing weight."""
    before = mlp()
    with torch.no_grad():
        before[0].bias[0] = -1e6
    after = copy.deepcopy(before)
    with torch.no_grad():
        after[2].weight[0, 0] += 1
    assert morphir.verify(before, after, example_inputs=X, checks=["float64"]).grade is Grade.TESTED
    report = morphir.verify(before, after, example_inputs=X)
    assert report.grade is Grade.UNKNOWN
    assert {check.where for check in report.checks if check.name == "field"} == {"forward: 2"}


def test_what_follows_a_frozen_layer_may_be_frozen():
    """KEPT-3, STATE-9: the certificate does not say what new layers follow"""
    net = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    result = morphir.transform(net, morphir.DeeperPass(at="1"))
    report = morphir.verify(
        net, result.module, certificate=result.certificate, checks=("certificate", "kept")
    )
    assert report.check("kept").grade is Grade.TESTED


class Heads(nn.Module):
    """Attention whose heads are counted by an attribute that its forward reads."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            each.reshape(*x.shape[:2], self.heads, 2).transpose(1, 2)
            for each in self.qkv(x).chunk(3, -1)
        )
        found = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(found.transpose(1, 2).reshape(*x.shape[:2], 2 * self.heads))


def convolutions() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3))
    return net.eval()


def with_silent_units() -> nn.Module:
    net = mlp()
    with torch.no_grad():
        net[0].weight[:3], net[0].bias[:3] = 0, -1
    return net


def deepened() -> nn.Module:
    return morphir.apply(mlp(), morphir.DeeperPass(at="1"))


ANNOUNCED = {
    "wider": (mlp, morphir.WiderPass(at="0", width=24), X),
    "wider channels": (
        convolutions,
        morphir.WiderPass(at="0", width=12),
        (torch.randn(2, 3, 8, 8),),
    ),
    "more heads": (Heads, morphir.WiderPass(at="qkv", heads=6), (torch.randn(2, 5, 8),)),
    "narrower": (with_silent_units, morphir.PruneDormantPass(), X),
    "shallower": (deepened, morphir.ShallowerPass(), X),
    "deeper, then wider": (mlp, [morphir.DeeperPass(at="1"), WiderPass(at="0", width=24)], X),
}


@pytest.mark.parametrize("name", ANNOUNCED)
def test_kept_6_a_certificate_announces_what_follows_the_tensors(name: str):
    """KEPT-6, SHALLOWER-4"""
    make, passes, x = ANNOUNCED[name]
    before = make()
    result = morphir.transform(before, passes, example_inputs=x)
    read = morphir.Certificate.from_json(result.certificate.to_json())
    for certificate in (result.certificate, read):
        verify = partial(
            morphir.verify, before, result.module, example_inputs=x, certificate=certificate,
            checks=("certificate", "kept"),
        )  # fmt: skip
        found = verify().check("kept")
        assert found.grade is Grade.TESTED, f"{found.where}: {found.summary}"
    result.module.get_submodule("0" if name != "more heads" else "out").training ^= True
    assert verify().check("kept").grade is Grade.REFUTED


def test_run_2_more_terms_may_be_rounded_more():
    """RUN-2: neither with a certificate nor without one is another order of sums a difference."""
    for seed in range(12):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv3d(3, 4, 2), nn.ReLU(), nn.Conv3d(4, 2, 2))
        x = torch.randn(2, 3, 4, 4, 4)
        wider = WiderPass(at="0", width=12, shares="equal")
        result = morphir.transform(net, wider, example_inputs=(x,))
        for certificate in (result.certificate, None):
            report = morphir.verify(
                net, result.module, example_inputs=(x,), certificate=certificate, checks=("native",)
            )
            found = report.check("native").grade
            assert found is Grade.TESTED, f"seed {seed}: {report}"


def test_run_2_an_insertion_may_not_round_more_however_many_numbers_it_adds(
    monkeypatch: pytest.MonkeyPatch,
):
    """RUN-2: nothing is copied, so nothing adds up to more than it did."""
    given = []
    monkeypatch.setattr(
        sys.modules["morphir.verify"],
        "check_native",
        lambda *each: given.append(each[-1]) or Check("native", Grade.TESTED, ""),
    )
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    result = morphir.transform(net, morphir.DeeperPass(at="1"), example_inputs=X)
    for certificate in (result.certificate, None):
        morphir.verify(
            net, result.module, example_inputs=X, certificate=certificate, checks=("native",)
        )
    assert given[0] == 1.0 < given[1]
