"""Refusals name the module that was asked for, and what they suggest works."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import (
    DeeperPass,
    ExtendInputPass,
    ExtendOutputPass,
    MorphismPass,
    PruneDormantPass,
    RefusalError,
    WiderPass,
)
from morphir.passes.refusals import about
from tests.axes.nets import NETS
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


def attending(norm: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """Attention in a residual stream, with something behind it that reads the stream."""
    return lambda: Net(
        lambda s, x: s.out(s.norm((h := s.stem(x)) + s.attention(h, h, h, need_weights=False)[0])),
        stem=nn.Linear(5, 16),
        attention=nn.MultiheadAttention(16, 4, batch_first=True),
        norm=norm(),
        out=nn.Linear(16, 3),
    )


STREAM, ATTENDING = torch.randn(2, 4, 5), attending(lambda: nn.LayerNorm(16))
GPT, TOKENS, _ = NETS["gpt"]

# A model, its input, what is refused, the last suggestion, and what it says of two axes.
JOINTLY: dict[str, tuple[Callable[[], nn.Module], torch.Tensor, MorphismPass, str, list[str]]] = {
    "no mean": (
        attending(nn.Identity), STREAM, WiderPass("stem", 17), "width=20, joint=True",
        ["16 -> 20", "4 -> 5"],
    ),
    "width": (
        ATTENDING, STREAM, WiderPass("stem", 24), "width=32, joint=True", ["16 -> 32", "4 -> 8"]
    ),
    "no width of heads": (
        ATTENDING, STREAM, WiderPass("stem", 33), "width=48, joint=True", ["16 -> 48", "4 -> 12"]
    ),
    "heads": (
        ATTENDING, STREAM, WiderPass("attention", heads=5), "heads=8, joint=True",
        ["4 -> 8", "16 -> 32"],
    ),
    "fresh": (
        ATTENDING, STREAM, WiderPass("stem", 24, "fresh"), "width=32, init='copy', joint=True",
        ["16 -> 32", "4 -> 8"],
    ),
    "heads of a gpt": (
        GPT, TOKENS, WiderPass("h.0.attn", heads=5), "heads=6, joint=True", ["3 -> 6", "12 -> 24"]
    ),
    "width of a gpt": (
        GPT, TOKENS, WiderPass("wte", 13), "width=24, joint=True", ["12 -> 24", "3 -> 6"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", JOINTLY)
def test_plan_12_a_joint_change_is_proposed_at_a_size_at_which_everything_is_met(case: str):
    make, x, pass_, wanted, sizes = JOINTLY[case]
    *_, proposal, last = refused(make, x, pass_).suggestions
    assert last == wanted
    assert proposal.startswith("change together: ")
    assert all(f"{each} units of" in proposal for each in sizes)
    result = morphir.transform(make(), suggested(pass_, last), example_inputs=(x,))
    assert result.report.grade is morphir.Grade.PROVED
    # It is the nearest: with what is asked for and everything between it is refused.
    option = "width" if pass_.width else "heads"  # type: ignore[attr-defined]
    found = suggested(pass_, last)
    for size in range(getattr(pass_, option), getattr(found, option)):
        refused(make, x, replace(found, **{option: size}))  # type: ignore[type-var]


@pytest.mark.parametrize("case", [*REFUSED, *JOINTLY])
def test_every_suggestion_works(case: str):
    make, x, pass_, *_ = {**REFUSED, **JOINTLY}[case]
    for text in refused(make, x, pass_).suggestions:
        if re.match(r"morphir\.|\w+=\S", text) and "=..." not in text:  # others are prose
            result = morphir.transform(make(), suggested(pass_, text), example_inputs=(x,))
            assert result.lineage.steps


# Nothing that a pass can do would help, so nothing is suggested.


def through_a_view(s: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Any change of this model is TESTED at best."""
    h = s.a(x)
    h[:, :2].mul_(2)
    return h, s.b(x)


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
    "an output that is no proof's end": (
        lambda: Net(through_a_view, a=nn.Linear(5, 4), b=nn.Linear(5, 4)),
        WiderPass("b", 6), "it is an axis of the output '[1]' of",
    ),
    "a hidden layer beside what no proof follows": (
        lambda: Net(through_a_view, a=nn.Linear(5, 4), b=nn.Sequential(*plain(), nn.Linear(2, 4))),
        ExtendOutputPass("b.0", 9), "the features of 'b.0' are no axis of what the model returns",
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


@pytest.mark.parametrize(
    ("pass_", "names"),
    [
        (WiderPass("7", 9), ["0", "2"]),
        (WiderPass("", 9), ["0", "2"]),
        (ExtendOutputPass("7", 9), ["4"]),
        (ExtendInputPass("7", 9), ["input", "0"]),
        (DeeperPass("7"), ["0", "1", "2"]),
    ],
)
def test_a_name_that_is_wrong_is_answered_with_names_at_which_the_pass_can_be_asked(
    pass_: MorphismPass, names: list[str]
):
    deep = nn.Sequential(*plain()[:2], nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2))  # type: ignore[index]
    refusal = refused(lambda: deep, X, pass_)
    assert refusal.suggestions == tuple(f"at={name!r}" for name in names)


def test_of_several_modules_the_one_is_named_that_is_refused():
    for pass_ in (WiderPass("[02]", 9), PruneDormantPass(["0", "2"])):
        assert refused(plain, X, pass_).nodes == ("2",)
