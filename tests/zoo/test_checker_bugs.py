"""Bugs that a checker could have, 31 to 35 of the list: pairs of models that it would pass."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import morphir
from morphir import DeeperPass, Grade, VerificationError
from tests.checks.pairs import Net, pair
from tests.zoo import planting
from tests.zoo.nets import make

X = torch.linspace(-1, 1, 24).reshape(6, 4)
RUNS = ("float64", "native")


def verified(old: nn.Module, new: nn.Module, *checks: str, **options: Any) -> morphir.Report:
    return morphir.verify(old, new, example_inputs=(X,), checks=checks or RUNS, **options)


def grades(report: morphir.Report) -> set[Grade]:
    return {check.grade for check in report.checks}


def scaled(scale: float, wrong: float) -> tuple[nn.Module, nn.Module]:
    """A row of outputs of one size beside a row of zeros, which are `wrong` in the second model."""

    def forward(off: float) -> Callable[[Any, Tensor], Tensor]:
        return lambda s, x: torch.stack([s.fc(x) * scale, torch.zeros_like(x[:, :2]) + off], 1)

    return pair(forward(0.0), forward(wrong), fc=nn.Linear(4, 2))


@pytest.mark.parametrize("scale", [1.0, 1e9])
@pytest.mark.parametrize("apart", [False, True])
def test_zoo_31_outputs_of_zero_are_not_hidden_by_large_ones(scale: float, apart: bool):
    """RUN-1: of a zero no more is tolerated than 1e-12 of its row, and nothing if all of it is."""
    if apart:
        old, new = pair(
            lambda s, x: (s.fc(x) * scale, x * 0),
            lambda s, x: (s.fc(x) * scale, x * 0 + 1e-30),
            fc=nn.Linear(4, 2),
        )
    else:
        old, new = scaled(scale, 1e-9 * scale)
    assert verified(old, copy.deepcopy(old)).grade is Grade.TESTED
    report = verified(old, new)
    assert report.grade is Grade.REFUTED
    assert report.check("float64").grade is Grade.REFUTED
    assert verified(old, new, "certificate").grade is Grade.UNKNOWN
    assert verified(old, new, "field").grade is Grade.UNKNOWN


def test_zoo_32_a_model_is_not_compared_with_itself(monkeypatch: pytest.MonkeyPatch):
    """In place both names mean one object: what it was is kept apart before the edit."""
    model, x = make("plain")
    seen: list[Tensor] = []
    apply = planting.Surgery.apply

    def wrong(self: Any, edits: Any) -> None:
        apply(self, edits)
        seen.append(model.get_parameter("0.weight").data)
        seen[0][1, 2] += 1

    monkeypatch.setattr(planting.Surgery, "apply", wrong)
    with pytest.raises(VerificationError) as caught:
        morphir.transform(
            model, DeeperPass(at="1", block="residual"), example_inputs=(x,), inplace=True
        )
    assert caught.value.report is not None
    assert caught.value.report.check("float64").grade is Grade.REFUTED
    assert caught.value.report.check("kept").where == "0.weight"


def test_zoo_32_models_that_share_memory_are_told_apart():
    """Two models around one tensor, of which one changes it while it runs."""
    counter = torch.zeros(2)

    def step(s: Any, x: Tensor) -> Tensor:
        s.seen += 1
        return s.fc(x) + s.seen

    old = Net(lambda s, x: s.fc(x) + s.seen, fc=nn.Linear(4, 2), seen=counter)
    new = Net(step, fc=old.fc, seen=counter)
    new._buffers["seen"] = old._buffers["seen"]
    assert new.seen is old.seen
    assert verified(old, new).grade is Grade.REFUTED
    assert not counter.any(), "what the caller holds was changed"


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_zoo_33_every_output_is_compared(place: int):
    def returned(wrong: int | None) -> Callable[[Any, Tensor], Any]:
        def forward(s: Any, x: Tensor) -> Any:
            found = [s.fc(x) + (1e-6 if wrong == n else 0) for n in range(4)]
            return found[0], {"second": found[1], "more": [found[2], (found[3],)]}

        return forward

    old, new = pair(returned(None), returned(place), fc=nn.Linear(4, 2))
    report = verified(old, new, *RUNS, "certificate", "field")
    assert {check.name: check.grade for check in report.checks} == {
        "certificate": Grade.UNKNOWN,
        "certificate (train)": Grade.UNKNOWN,
        "field": Grade.UNKNOWN,
        "float64": Grade.REFUTED,
        "native": Grade.REFUTED,
    }
    paths = ["[0]", "[1]['second']", "[1]['more'][0]", "[1]['more'][1][0]"]
    assert paths[place] in report.check("float64").where


def roots(shift: float) -> Callable[[Any, Tensor], Tensor]:
    return lambda s, x: torch.log(-1 - s.fc(x).abs()) * shift


def test_zoo_34_nan_in_both_is_no_agreement():
    """Both return NaN everywhere, and are not the same: nothing was tested."""
    old, new = pair(roots(1.0), roots(2.0), fc=nn.Linear(4, 2))
    assert old(X).isnan().all()
    report = verified(old, new)
    assert report.grade is Grade.UNKNOWN
    assert grades(report) == {Grade.UNKNOWN}


@pytest.mark.parametrize("turned", [False, True])
def test_zoo_34_nan_in_one_of_them_is_found(turned: bool):
    def some(s: Any, x: Tensor) -> Tensor:
        y = s.fc(x)
        return torch.where(y > 0.3, torch.nan, y)

    models = pair(lambda s, x: s.fc(x), some, fc=nn.Linear(4, 2))
    old, new = models[::-1] if turned else models
    assert bool(new(X).isnan().any()) != turned
    assert verified(old, new).grade is Grade.REFUTED


def test_zoo_35_a_certificate_is_about_one_pair_of_programs():
    """CERT-5: after another edit, the certificate of the one before says nothing."""
    model, x = make("plain")
    first = morphir.transform(model, DeeperPass(at="1", block="residual"), example_inputs=(x,))
    second = morphir.transform(
        first.module, DeeperPass(at="1", block="residual"), example_inputs=(x,)
    )
    given = {"example_inputs": (x,), "checks": ("certificate",)}
    right = {
        (model, first.module): first.certificate,
        (first.module, second.module): second.certificate,
    }
    for (old, new), certificate in right.items():
        for other in (first.certificate, second.certificate):
            report = morphir.verify(old, new, certificate=other, **given)
            check = report.check("certificate")
            if other is certificate:
                assert check.grade is Grade.PROVED
            else:
                assert check.grade is Grade.UNKNOWN
                assert "about another program" in check.summary
    assert morphir.verify(model, second.module, certificate=first.certificate, **given).grade is (
        Grade.UNKNOWN
    )
