"""The changes of the small models in which bugs are planted, by their names in spec/zoo.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

import morphir
from morphir import (
    CompactPass,
    ExtendInputPass,
    ExtendOutputPass,
    InjectPlasticityPass,
    PruneDormantPass,
    Report,
    ShallowerPass,
    TransformResult,
    WiderPass,
)
from tests.zoo.nets import trained
from tests.zoo.planted import EVERY_CHECKER


def _squares(output: Tensor) -> Tensor:
    return output.square().mean()


def _gradmax(x: Tensor) -> WiderPass:
    return WiderPass(at="0", width=9, init="gradmax", data=(x,), loss=_squares)


# Model and change to the pass, given the input of the model.
CHANGES: Final[dict[tuple[str, str], Callable[[Tensor], Any]]] = {
    ("fork", "prune"): lambda x: PruneDormantPass(at="fc"),
    ("fork", "fold"): lambda x: PruneDormantPass(at="fc", fold=True),
    ("fork", "prune in a box"): lambda x: PruneDormantPass(at="fc", box=(-1.0, 1.0)),
    ("fork", "compact"): lambda x: CompactPass(),
    ("normed", "prune"): lambda x: PruneDormantPass(),
    ("padded", "fold"): lambda x: PruneDormantPass(at="0", fold=True),
    ("chain", "compact"): lambda x: CompactPass(),
    ("twins", "merge"): lambda x: CompactPass(merge_copies=True),
    ("deep", "shallower"): lambda x: ShallowerPass(at="same"),
    ("deep", "shallower of what was trained"): lambda x: ShallowerPass(at="trained"),
    ("residual", "wider"): lambda x: WiderPass(at="stem", width=12),
    ("stream", "wider"): lambda x: WiderPass(at="stem", width=9),
    ("tied", "wider"): lambda x: WiderPass(at="fc", width=9),
    ("plain", "three copies"): lambda x: WiderPass(at="0", width=18, shares="equal"),
    ("gated", "wider"): lambda x: WiderPass(at="up", width=18),
    ("joined", "wider"): lambda x: WiderPass(at="a", width=9),
    ("queries", "heads"): lambda x: WiderPass(at="q", heads=4),
    ("queries", "wider against a literal"): lambda x: WiderPass(at="k", width=12),
    ("lstm", "wider"): lambda x: WiderPass(at="cell", width=5),
    ("gru", "wider"): lambda x: WiderPass(at="cell", width=5),
    ("blocks", "wider"): lambda x: WiderPass(at="2", width=8),
    ("blocks", "more groups"): lambda x: WiderPass(at="4", width=12),
    ("words", "wider"): lambda x: WiderPass(at="0", width=8),
    ("plain", "longer input"): lambda x: ExtendInputPass(at="0", width=6),
    ("plain", "longer output"): lambda x: ExtendOutputPass(at="2", width=5),
    ("plain", "inject"): lambda x: InjectPlasticityPass(at="2"),
    ("plain", "inject all"): lambda x: InjectPlasticityPass(at=""),
    ("plain", "fresh"): lambda x: WiderPass(at="0", width=9, init="fresh"),
    ("plain", "gradmax"): _gradmax,
}
REFUSED: Final = (("queries", "wider against a literal"), ("deep", "shallower of what was trained"))


def changed(name: str, change: str) -> tuple[torch.nn.Module, TransformResult, Tensor]:
    """A model, what a change makes of it and of its optimizer in train mode, and an input."""
    model, x, optimizer = trained(name)
    pass_ = CHANGES[name, change](x)
    result = morphir.transform(
        model, pass_, optimizer=optimizer, example_inputs=(x,), checks=EVERY_CHECKER
    )
    return model, result, x


def report_of(name: str, change: str) -> Report:
    """What is said about a change."""
    return changed(name, change)[1].report
