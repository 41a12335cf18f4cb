"""`check_pass` accepts correct passes, and says of wrong ones which law, what, and where."""

from typing import Any

import pytest
from hypothesis import strategies as st

from morphir import CompactPass, DeeperPass, PruneDormantPass, RefusalError, WiderPass
from morphir.testing import PassReport, Recipe, Site, Step, check_pass, recipes
from morphir.testing.laws import LAWS
from tests.testing.third_party import LonelyPass, SwapUnitsPass

SMALL = recipes(inputs=("features",), dtypes=("float32",), min_steps=2, max_steps=3)


def residual(site: Site) -> DeeperPass:
    return DeeperPass(site.at, "residual", seed=site.seed)


@pytest.mark.slow
@pytest.mark.parametrize("pass_", [WiderPass, residual, PruneDormantPass, CompactPass])
def test_the_passes_of_morphir_keep_every_law(pass_: Any):
    report = check_pass(pass_, modules=3, show=False)
    assert report.ok, str(report)
    assert report.modules == 3
    assert report.grades.keys() == {"PROVED"}


def test_a_pass_of_somebody_else_keeps_every_law(capsys: pytest.CaptureFixture[str]):
    report = check_pass(SwapUnitsPass, modules=4)
    printed = capsys.readouterr().out
    assert report.ok, printed
    assert printed == f"{report}\n"
    assert printed.startswith("SwapUnitsPass keeps every law\n4 modules, ")
    assert f"{report.applied} times applied" in printed
    assert "grades: PROVED" in printed
    for law in LAWS:
        assert law in printed


def test_a_pass_that_inserts_keeps_every_law():
    report = check_pass(LonelyPass, modules=2, strategy=SMALL, show=False)
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("bug", "number", "said"),
    [
        ("forgets the readers", 8, "is REFUTED, expected PROVED or better"),
        ("draws from the user", 12, "torch's random state differs"),
        ("changes the original", 9, "differs after the pass was applied to a copy"),
        ("refuses after a change", 10, "differs after the refusal"),
        ("is not deterministic", 13, "when it is applied once more"),
        ("refuses without a word", 11, "a refusal has no reason"),
        ("fails where it should refuse", 7, "KeyError: 'head'"),
    ],
)
def test_testing_20_a_broken_pass_is_refuted_with_the_law_and_a_small_module(
    bug: str, number: int, said: str
):
    """TESTING-20"""

    def broken(site: Site) -> SwapUnitsPass:
        return SwapUnitsPass(site.at, site.seed, bug)

    report = check_pass(broken, modules=4, strategy=SMALL, show=False)
    assert not report.ok
    (law,) = (each for each in report.laws if each.law.startswith(f"TESTING-{number} "))
    assert law.failed > 0
    assert said in law.counterexample
    assert "pass: SwapUnitsPass(at='" in law.counterexample
    assert law.counterexample.count(" = nn.") <= 3, "the head, and at most two layers before it"
    assert "broken BREAKS A LAW" in str(report)


def test_a_pass_that_was_never_applied_is_not_praised():
    def never(site: Site) -> SwapUnitsPass:
        raise RefusalError("not today", nodes=["head"])

    report = check_pass(never, modules=2, strategy=SMALL, show=False)
    assert not report.ok
    assert not any(each.failed for each in report.laws)
    assert "never was never applied, so nothing is known about it" in str(report)
    assert report.reasons == {"not today": report.refused}
    assert report.unadvised == report.refused


def test_what_a_factory_refuses_is_counted_and_no_law_is_broken():
    def doubled(site: Site) -> WiderPass:
        return WiderPass(site.at, width=2 * site.width)  # 0 at an activation

    flat = st.just(Recipe((Step("relu"), Step("tanh"))))
    report = check_pass(doubled, modules=1, strategy=flat, show=False)
    assert not any(each.failed for each in report.laws), str(report)
    assert any(each.startswith("width=N, expected a positive integer") for each in report.reasons)


def test_the_same_arguments_give_the_same_report():
    def said(seed: int) -> PassReport:
        return check_pass(WiderPass, modules=2, strategy=SMALL, seed=seed, show=False)

    first, second = said(1), said(1)
    assert (first.laws, first.reasons) == (second.laws, second.reasons)
