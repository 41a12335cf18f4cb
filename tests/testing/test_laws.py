"""Each law holds for a correct pass, and is broken by what it is there for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import pytest
import torch

import morphir
from morphir import (
    DeeperPass,
    InjectPlasticityPass,
    MorphismPass,
    Program,
    RefusalError,
    WiderPass,
)
from morphir.ir import Rewriter
from morphir.testing import Recipe, Site, Step
from morphir.testing.laws import LAWS
from morphir.testing.trials import Attempt, Trial
from tests.testing.third_party import SwapUnitsPass

STEPS = (Step("linear", number=1), Step("relu"), Step("freeze"), Step("linear"))
RECIPE = Recipe(STEPS, weights="random")
APPLIED, REFUSED = Trial(RECIPE), Trial(RECIPE, place=2)
ON_REFUSAL = ("TESTING-10 ", "TESTING-11 ")
ALWAYS = ("TESTING-7 ", "TESTING-12 ", "TESTING-13 ")


def law(number: str) -> Callable[[Attempt], bool]:
    (found,) = (each for name, each in LAWS.items() if name.split()[0] == number)
    return found


def attempt(trial: Trial, bug: str = "") -> Attempt:
    def make(site: Site) -> SwapUnitsPass:
        return SwapUnitsPass(site.at, site.seed, bug)

    return Attempt(trial, make, SwapUnitsPass)


@pytest.mark.parametrize("name", LAWS)
def test_a_correct_pass_keeps_the_law(name: str):
    on_refusal = name.startswith((*ON_REFUSAL, *ALWAYS))
    assert LAWS[name](attempt(REFUSED)) is on_refusal
    assert LAWS[name](attempt(APPLIED)) is not name.startswith(ON_REFUSAL)


@pytest.mark.parametrize("make", [DeeperPass, WiderPass, InjectPlasticityPass])
def test_the_passes_of_morphir_keep_the_laws(make: type):
    def made(site: Site) -> Any:
        return {
            WiderPass: lambda: WiderPass(site.at, width=site.width + 2),
            DeeperPass: lambda: DeeperPass(site.at, "residual"),
            InjectPlasticityPass: lambda: InjectPlasticityPass(site.at),
        }[make]()

    tried = Attempt(APPLIED, made, make)
    assert all(each(tried) for name, each in LAWS.items() if not name.startswith(ON_REFUSAL))


@pytest.mark.parametrize(
    ("number", "bug", "said"),
    [
        ("TESTING-7", "fails where it should refuse", "KeyError: 'head'"),
        ("TESTING-7", "forgets the readers", "VerificationError: the change is REFUTED"),
        ("TESTING-8", "forgets the readers", "weight=@linear2.weight"),
        ("TESTING-9", "changes the original", "tensor 'linear1.weight' differs after the pass"),
        ("TESTING-10", "refuses after a change", "'linear1.weight' differs after the refusal: "),
        ("TESTING-11", "refuses without a word", "a refusal has no reason"),
        ("TESTING-12", "draws from the user", "torch's random state differs after"),
        ("TESTING-13", "is not deterministic", "differs when it is applied once more"),
    ],
)
def test_a_broken_pass_breaks_the_law(number: str, bug: str, said: str):
    """TESTING-7, TESTING-8, TESTING-9, TESTING-10, TESTING-11, TESTING-12, TESTING-13"""
    trial = REFUSED if "refuse" in bug else APPLIED
    with pytest.raises(AssertionError) as caught:
        law(number)(attempt(trial, bug))
    assert said in str(caught.value)


@final
@dataclass(frozen=True)
class Nowhere(MorphismPass):
    """Says why it refuses, and not where."""

    name: ClassVar[str] = "nowhere"

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        raise RefusalError("it does not fit")


def test_testing_11_a_refusal_that_names_no_node_is_seen():
    """TESTING-11"""
    with pytest.raises(AssertionError, match="names no node: it does not fit"):
        law("TESTING-11")(Attempt(APPLIED, lambda site: Nowhere(), Nowhere))


def spoiling(spoil: Callable[[morphir.TransformResult], morphir.TransformResult]) -> Any:
    """What to put in the place of `transform`."""

    def transform(*arguments: Any, **options: Any) -> morphir.TransformResult:
        return spoil(morphir.transform(*arguments, **options))

    return transform


def forget_state(result: morphir.TransformResult) -> morphir.TransformResult:
    return replace(result, optimizer=torch.optim.Adam(result.module.parameters()))


def forget_parameter(result: morphir.TransformResult) -> morphir.TransformResult:
    result.optimizer.param_groups[0]["params"].pop()
    return result


def leave_nan(result: morphir.TransformResult) -> morphir.TransformResult:
    result.optimizer.param_groups[0]["lr"] = float("nan")
    return result


def hold_another(result: morphir.TransformResult) -> morphir.TransformResult:
    result.optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    return result


def reshape_state(result: morphir.TransformResult) -> morphir.TransformResult:
    state = result.optimizer.state[result.module.head.weight]
    state["exp_avg"] = state["exp_avg"][:1]
    return result


def cast(result: morphir.TransformResult) -> morphir.TransformResult:
    result.module.head.double()
    return result


def change_numbers(result: morphir.TransformResult) -> morphir.TransformResult:
    changed(result.module)
    return result


def unfreeze(result: morphir.TransformResult) -> morphir.TransformResult:
    result.module.requires_grad_(True)
    return result


def switch_to_train(result: morphir.TransformResult) -> morphir.TransformResult:
    result.module.train()
    return result


@pytest.mark.parametrize(
    ("number", "spoil", "said"),
    [
        ("TESTING-14", forget_state, "the optimizer has lost its state of 'linear2.weight'"),
        ("TESTING-14", forget_parameter, "'head.bias' is 0 times in the optimizer"),
        ("TESTING-14", hold_another, "holds a parameter that the module has not"),
        ("TESTING-14", reshape_state, "the state of 'head.weight' has another shape"),
        ("TESTING-14", leave_nan, "the loss is not finite"),
        ("TESTING-17", cast, "'head.weight' has the dtype torch.float64, unlike before"),
        ("TESTING-17", unfreeze, "is frozen or not as before"),
        ("TESTING-17", switch_to_train, "is in train mode, unlike before"),
        ("TESTING-18", change_numbers, "with others it is not exact"),
    ],
)
def test_what_the_infrastructure_might_lose_is_seen(
    monkeypatch: pytest.MonkeyPatch, number: str, spoil: Any, said: str
):
    """TESTING-14, TESTING-17, TESTING-18"""
    monkeypatch.setattr("morphir.testing.trials.transform", spoiling(spoil))
    with pytest.raises(AssertionError, match=said):
        law(number)(attempt(APPLIED))


def changed(module: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        module.head.bias.add_(1)
    return module


def test_testing_15_what_is_lost_in_a_file_is_seen(monkeypatch: pytest.MonkeyPatch):
    """TESTING-15"""
    monkeypatch.setattr(
        "morphir.testing.laws.load", lambda path, make: changed(morphir.load(path, make))
    )
    with pytest.raises(AssertionError, match=r"'head.bias' differs after it was saved and loaded"):
        law("TESTING-15")(attempt(APPLIED))


def test_testing_16_what_differs_in_place_is_seen(monkeypatch: pytest.MonkeyPatch):
    """TESTING-16"""

    def transform(*arguments: Any, inplace: bool = False, **options: Any) -> Any:
        result = morphir.transform(*arguments, inplace=inplace, **options)
        if inplace:
            changed(result.module)
        return result

    monkeypatch.setattr("morphir.testing.trials.transform", transform)
    with pytest.raises(AssertionError, match=r"'head.bias' differs when it is done in place"):
        law("TESTING-16")(attempt(APPLIED))


def test_testing_18_what_can_not_follow_is_seen(monkeypatch: pytest.MonkeyPatch):
    """TESTING-18"""
    broken = SwapUnitsPass("linear1", bug="forgets the readers")
    monkeypatch.setattr("morphir.testing.laws.DeeperPass", lambda *options: broken)
    with pytest.raises(
        AssertionError, match=r"forgets the readers'\) can't follow it: the change is REFUTED"
    ):
        law("TESTING-18")(attempt(APPLIED))


def test_testing_19_a_lineage_that_leads_elsewhere_is_seen(monkeypatch: pytest.MonkeyPatch):
    """TESTING-19"""
    monkeypatch.setattr("morphir.testing.laws.replay", lambda lineage, module: module)
    with pytest.raises(AssertionError, match="has another lineage"):
        law("TESTING-19")(attempt(APPLIED))

    def elsewhere(lineage: morphir.Lineage, module: torch.nn.Module) -> None:
        morphir.replay(lineage, module).head.bias = torch.nn.Parameter(torch.ones(9))

    monkeypatch.setattr("morphir.testing.laws.replay", elsewhere)
    with pytest.raises(AssertionError, match=r"'head.bias' differs in shape when the lineage"):
        law("TESTING-19")(attempt(APPLIED))
