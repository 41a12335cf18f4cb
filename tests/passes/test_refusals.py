"""Refusals name the module that was asked for, and what they suggest works."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import (
    ExtendInputPass,
    ExtendOutputPass,
    MorphismPass,
    PruneDormantPass,
    RefusalError,
    WiderPass,
)
from morphir.passes.refusals import about
from tests.checks.pairs import Net

X, IMAGE, ROWS = torch.randn(8, 5), torch.randn(2, 3, 8, 8), torch.randint(0, 9, (4, 3))


def test_a_refusal_about_modules_says_so_first():
    first = RefusalError("no", nodes=["b"], suggestions=["x"])
    found = about(first, "a", "b", first=["w"], last=["y", "x"])
    assert (found.reason, found.nodes, found.suggestions) == ("no", ("a", "b"), ("w", "x", "y"))


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2))


def grouped() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 2, 3))


def between(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], nn.Module]:
    return lambda: Net(lambda s, x: s.b(function(s.a(x))), a=nn.Linear(5, 8), b=nn.Linear(8, 2))


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))


def constant() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 6), nn.Sigmoid(), nn.Linear(6, 2))
    with torch.no_grad():
        model[0].weight[2] = 0
    return model


def pairs() -> nn.Module:
    """Features that come two by two."""
    return Net(lambda s, x: s.a(x.view(len(x), s.a.in_features, 2)[:, :, 0]), a=nn.Linear(2, 3))


def gradmax(width: int) -> WiderPass:
    return WiderPass("0", width, "gradmax", data=(X,), loss=torch.sum)


# A model, its input, what is refused, and the first suggestion.
REFUSED: dict[str, tuple[Callable[[], nn.Module], torch.Tensor, MorphismPass, str]] = {
    "mean": (normed, X, WiderPass("0", 12), "width=16"),
    "mean, fresh": (normed, X, WiderPass("0", 16, "fresh"), "init='copy'"),
    "mean, fresh, no multiple": (
        normed, X, WiderPass("0", 12, "fresh"), "width=16, init='copy'"
    ),
    "mean, gradmax": (normed, X, gradmax(16), "init='copy', data=None, loss=None"),
    "mean, narrower": (normed, X, WiderPass("0", 6), "width=16"),
    "mean in groups": (grouped, IMAGE, WiderPass("0", 10), "width=12"),
    "blocks": (grouped, IMAGE, WiderPass("0", 9), "width=12"),
    "blocks, fresh": (grouped, IMAGE, WiderPass("0", 9, "fresh"), "width=12"),
    "maximum": (
        between(lambda h: h - h.amax(-1, keepdim=True)), X, WiderPass("a", 12, "fresh"),
        "init='copy'",
    ),
    "no chain": (
        lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)), X, gradmax(9),
        "init='fresh', data=None, loss=None",
    ),
    "output": (plain, X, WiderPass("2", 3), "morphir.ExtendOutputPass(at='2', width=3)"),
    "no output": (plain, X, ExtendOutputPass("0", 9), "morphir.WiderPass(at='0', width=9)"),
    "fewer outputs": (plain, X, ExtendOutputPass("2", 1), "width=3"),
    "blocks of an input": (pairs, X[:, :4], ExtendInputPass("args[0]", 5), "width=6"),
    "table": (
        lambda: nn.Sequential(nn.EmbeddingBag(9, 8), nn.Linear(8, 2)), ROWS,
        ExtendInputPass("0", 12), "morphir.WiderPass(at='0', width=12)",
    ),
    "constant": (constant, X, PruneDormantPass("0", [2]), "fold=True"),
    "constant, on data": (
        constant, X, PruneDormantPass("0", [2], data=(X,)), "fold=True"
    ),
}  # fmt: skip


def suggested(pass_: MorphismPass, text: str) -> MorphismPass:
    """What a suggestion comes to: another pass, or other options."""
    if text.startswith("morphir."):
        found = eval(text, {"morphir": morphir})
        assert isinstance(found, MorphismPass)
        return found
    options: dict[str, Any] = eval(f"dict({text})")
    return replace(pass_, **options)  # type: ignore[type-var]


def refused(make: Callable[[], nn.Module], x: torch.Tensor, pass_: MorphismPass) -> RefusalError:
    torch.manual_seed(0)
    with pytest.raises(RefusalError) as caught:
        morphir.transform(make(), pass_, example_inputs=(x,))
    return caught.value


@pytest.mark.parametrize("case", REFUSED)
def test_the_first_suggestion_works(case: str):
    make, x, pass_, wanted = REFUSED[case]
    refusal = refused(make, x, pass_)
    assert refusal.nodes[0] == pass_.at  # type: ignore[attr-defined]
    first = next(each for each in refusal.suggestions if "=..." not in each)
    assert first == wanted
    torch.manual_seed(0)
    result = morphir.transform(make(), suggested(pass_, first), example_inputs=(x,))
    assert result.lineage.steps


# Nothing that a pass can do would help, so nothing is suggested.
HOPELESS: dict[str, tuple[Callable[[], nn.Module], MorphismPass, str]] = {
    "softmax": (between(lambda h: h.softmax(-1)), WiderPass("a", 16), "softmax wants every unit"),
    "norm": (between(lambda h: F.normalize(h, dim=-1)), WiderPass("a", 16), "normalize wants"),
    "a mean over an input": (
        lambda: nn.Sequential(nn.LayerNorm(5), nn.Linear(5, 2)), ExtendInputPass("input", 7),
        "layer_norm wants every unit equally often, and no fresh one",
    ),
    "a mean over an output": (
        lambda: Net(lambda s, x: s.a(x) - s.a(x).mean(-1, keepdim=True), a=nn.Linear(5, 4)),
        ExtendOutputPass("a", 6), "mean wants every unit equally often, and no fresh one",
    ),
    "a unit before a mean": (
        normed, PruneDormantPass("0", [1]), "layer_norm wants every unit equally often"
    ),
    "an op without a declaration": (
        between(torch.special.airy_ai), WiderPass("a", 16), "airy_ai is not a declared op"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOPELESS)
def test_nothing_is_suggested_where_nothing_would_work(case: str):
    make, pass_, reason = HOPELESS[case]
    refusal = refused(make, X, pass_)
    assert reason in refusal.reason
    assert refusal.nodes[0] == pass_.at  # type: ignore[attr-defined]
    assert refusal.suggestions == ()


def test_of_several_modules_the_one_is_named_that_is_refused():
    for pass_ in (WiderPass("[02]", 9), PruneDormantPass(["0", "2"])):
        assert refused(plain, X, pass_).nodes == ("2",)
