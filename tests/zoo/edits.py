"""Changes that no pass of ours makes: edits by hand, replays, files, models in lockstep."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import morphir
from morphir import DeeperPass, Report, TransformResult, WiderPass
from tests.zoo.nets import make, trained

BY_HAND: Final = ("certificate", "field", "float64", "native")
ALIKE: Final = (*BY_HAND, "kept")


class Mask(nn.Module):
    """Multiplies a weight with zeros and ones."""

    is_saved = True

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=self.is_saved)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def masked() -> tuple[nn.Module, Tensor]:
    """A layer one weight in four of which is masked; what is stored there is no zero."""
    model, x = make("plain")
    layer: Any = model[0]
    mask = torch.ones(layer.weight.shape)
    mask.view(-1)[::4] = 0
    parametrize.register_parametrization(layer, "weight", Mask(mask))
    return model, x


def unmask(model: nn.Module) -> nn.Module:
    """A copy with one more weight, which starts at zero."""
    new: Any = copy.deepcopy(model)
    weight = new[0].parametrizations.weight
    with torch.no_grad():
        clear(weight.original.view(-1)[4:5])
        weight[0].mask.view(-1)[4] = 1
    return new


def clear(weights: Tensor) -> None:
    """Makes weights zero that were masked, whatever was stored."""
    weights.zero_()


class Twice(nn.Module):
    """A convolution that is called twice, once in front of a norm whose numbers are round."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.other: nn.Module = self.conv
        self.norm: nn.Module = nn.BatchNorm2d(3, eps=0.25)
        norm: Any = self.norm
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
            norm.bias.copy_(torch.tensor([0.25, -1.0, 0.5]))
            norm.running_var.fill_(0.75)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.other(x).tanh()


def fold_norm(model: nn.Module) -> nn.Module:
    """A copy without the norm, whose factors are in a convolution of their own."""
    new: Any = copy.deepcopy(model)
    norm, new.norm = new.norm, nn.Identity()
    new.conv = of_its_own(new.conv)
    with torch.no_grad():
        new.conv.weight.mul_(norm.weight.reshape(-1, 1, 1, 1))
        new.conv.bias.copy_(new.conv.bias * norm.weight + norm.bias)
    return new


def of_its_own(layer: nn.Module) -> nn.Module:
    """A layer that can be changed while others go on using the old one."""
    return copy.deepcopy(layer)


def _edited(made: tuple[nn.Module, Tensor], edit: Callable[[nn.Module], nn.Module]) -> Report:
    model, x = made
    return morphir.verify(model.eval(), edit(model), example_inputs=(x,), checks=BY_HAND)


def _alike(one: nn.Module, other: nn.Module, x: Tensor) -> Report:
    """What is said about two models that should be the same to the bit."""
    return morphir.verify(one, other, example_inputs=(x,), checks=ALIKE)


def _twice() -> tuple[nn.Module, Tensor]:
    model = Twice()
    with torch.no_grad():  # few bits, so that products with round numbers need no rounding
        for parameter in model.conv.parameters():
            parameter.copy_((parameter * 64).round() / 64)
    return model, torch.randn(2, 2, 5, 5)


def _grown() -> tuple[nn.Module, TransformResult, Tensor]:
    """A model, what a widening and a deepening make of it, and an input."""
    model, x = make("plain")
    passes = [WiderPass(at="0", width=9, init="fresh"), DeeperPass(at="1", block="residual")]
    return model, morphir.transform(model, passes, example_inputs=(x,)), x


def _replayed() -> Report:
    """What came of a model next to what its lineage makes of a copy of it."""
    model, result, x = _grown()
    lineage = morphir.Lineage.from_json(result.lineage.to_json())
    return _alike(result.module, morphir.replay(lineage, copy.deepcopy(model)), x)


def _replayed_heads() -> Report:
    model, x = make("queries")
    result = morphir.transform(model, WiderPass(at="q", heads=4), example_inputs=(x,))
    return _alike(result.module, morphir.replay(result.lineage, copy.deepcopy(model)), x)


def _loaded(model: nn.Module, factory: Callable[[], nn.Module]) -> nn.Module:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        morphir.save(model, path)
        return morphir.load(path, factory)


def _saved() -> Report:
    """A model next to the one that was read from its file."""
    _, result, x = _grown()
    return _alike(result.module, _loaded(result.module, lambda: make("plain")[0]), x)


def _saved_mask() -> Report:
    model, x = masked()
    new = unmask(model)
    return _alike(new, _loaded(new, lambda: masked()[0]), x)


def _lockstep() -> Report:
    """The report on the second of two models."""
    (first, x, _), (second, _, _) = trained("plain"), trained("plain")
    passes = WiderPass(at="0", width=9)
    return morphir.transform([first, second], passes, example_inputs=(x,))[1].report


EDITS: Final[dict[tuple[str, str], Callable[[], Report]]] = {
    ("masked", "unmask"): lambda: _edited(masked(), unmask),
    ("twice", "fold norm"): lambda: _edited(_twice(), fold_norm),
    ("plain", "replay"): _replayed,
    ("queries", "replay"): _replayed_heads,
    ("plain", "save and load"): _saved,
    ("masked", "save and load"): _saved_mask,
    ("plain", "lockstep"): _lockstep,
}
