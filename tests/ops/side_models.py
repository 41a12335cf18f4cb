"""Pairs of models that keep or break what a lemma of the certificate asks, by law."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from morphir.ir import AxisMap, Mapped, TensorChange
from morphir.ops import Op
from tests.checks.pairs import Net, certify, identity, pair, zeros
from tests.checks.resized import check, coarse, resize

OFF: Final = 1 + 2.0**-12


class Models(NamedTuple):
    """Two models, and the tensors that are claimed to change."""

    before: nn.Module
    after: nn.Module
    claimed: Mapping[str, TensorChange] | None
    x: torch.Tensor

    def is_proved(self) -> bool:
        """What the checker says."""
        if self.claimed is None:
            found = certify(self.before, self.after, self.x, mode=self._mode)
        else:
            found = check(self.before, self.after, self.claimed, self.x, mode=self._mode)
        assert found.grade.name in ("PROVED", "UNKNOWN"), found
        return found.grade.name == "PROVED"

    def is_equal(self) -> bool:
        """Whether they return the same, in float64 and with the same draws."""
        results = []
        for model in (self.before, self.after):
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(0)
                results.append(copy.deepcopy(model).double()(self.x.double()))
        one, other = results
        return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=1e-12)

    @property
    def _mode(self) -> Any:
        return (
            "train" if isinstance(self.before, nn.Sequential) and self.before.training else "eval"
        )


Make = Callable[[bool], Models]  # one that keeps the condition, or one that does not


def inserted(code: Callable[..., Any], member: nn.Module, number: torch.Tensor | None) -> Models:
    """A layer after a linear one; one of its numbers is off if it is given."""
    if number is not None:
        with torch.no_grad():
            number.mul_(OFF).add_(2.0**-12)
    models = pair(lambda s, x: s.fc(x), code, fc=nn.Linear(8, 8), new=member)
    return Models(*models, None, torch.randn(3, 8))


def linear(keeps: bool) -> Models:
    """CERT-1"""
    layer = identity(8)
    return inserted(lambda s, x: s.new(s.fc(x)), layer, None if keeps else layer.weight[2, 2])


def branch(keeps: bool) -> Models:
    """CERT-2"""
    layer = zeros(8, 8)
    code = lambda s, x: s.fc(x) + s.new(torch.tanh(x))  # noqa: E731
    return inserted(code, layer, None if keeps else layer.bias[2])


def difference(keeps: bool) -> Models:
    """CERT-4"""
    both = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
    both[1].load_state_dict(both[0].state_dict())
    code = lambda s, x: s.fc(x) + (s.new[0](x) - s.new[1](x))  # noqa: E731
    return inserted(code, both, None if keeps else both[1].weight[1, 1])


def draws(keeps: bool) -> Models:
    """CERT-5"""
    other = nn.Dropout(0.5 if keeps else 0.25)
    before = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
    after = nn.Sequential(copy.deepcopy(before[0]), other)
    return Models(before.train(), after.train(), None, torch.randn(3, 8))


def activation(op: Op, arguments: Mapping[str, Any], keeps: bool) -> Models | None:
    """CERT-3: an op after what is clamped to where it is the identity, or to one more."""
    assert op.identity_on is not None
    found = op.identity_on(arguments)
    bounds = [b for b in (found.low, found.high) if abs(b) < 99] if found is not None else []
    given = {k: v for k, v in arguments.items() if k != "input"}
    if not bounds or any(isinstance(value, torch.Tensor) for value in given.values()):
        return None
    low, high = max(found.low, -4.0), min(found.high, 4.0)
    if not keeps:  # at one end the operand may be outside
        low, high = (low - 1.5, high) if found.low == bounds[0] else (low, high + 1.5)
    models = (
        Net(lambda s, x: x.clamp(low, high)),
        Net(lambda s, x: op.run(input=x.clamp(low, high), **given)),
    )
    return Models(*models, None, torch.linspace(-6, 6, 97).reshape(1, 97).repeat(3, 1))


# -- axes that change -----------------------------------------------------------------------------

_COPIES = AxisMap.copies(5, (0, 1, 2, 3, 4, 2))
COPY, SPLIT = Mapped(5, _COPIES, "copy"), Mapped(5, _COPIES, "split")
GONE = Mapped(5, AxisMap.copies(5, (0, 2, 3, 4)), "copy")


def _net(unit: float | None = None) -> nn.Sequential:
    """A network, maybe with a unit that is this number, whatever the input."""
    net = coarse(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))).eval()
    if unit is not None:
        with torch.no_grad():
            net[0].weight[1], net[0].bias[1] = 0, unit
    return net


def _wider(first: Mapped, second: Mapped) -> dict[str, TensorChange]:
    return {"0.weight": (first, Mapped(4)), "0.bias": (first,), "2.weight": (Mapped(3), second)}


def numbers(keeps: bool) -> Models:
    """CERT-10"""
    net, claimed = _net(), _wider(COPY, SPLIT)
    after = resize(net, claimed)
    if not keeps:
        with torch.no_grad():
            after[2].weight[0, 2] += 2.0**-10
    return Models(net, after, claimed, torch.randn(3, 4))


def ends(keeps: bool) -> Models:
    """CERT-13"""
    net, turned = _net(), Mapped(3, AxisMap.copies(3, (2, 0, 1)), "copy")
    last = {"2.weight": (turned, Mapped(5)), "2.bias": (turned,)}
    claimed = _wider(COPY, SPLIT) if keeps else last
    return Models(net, resize(net, claimed), claimed, torch.randn(3, 4))


def zero_unit(keeps: bool) -> Models:
    """CERT-14"""
    net, claimed = _net(-1.0 if keeps else 0.5), _wider(GONE, GONE)
    return Models(net, resize(net, claimed), claimed, torch.randn(3, 4))


def constant_unit(keeps: bool) -> Models:
    """CERT-16: at the border of an image that is padded a constant is another number"""
    first, last = nn.Conv2d(2, 5, 1), nn.Conv2d(5, 3, 3, padding=0 if keeps else 1)
    net = coarse(nn.Sequential(first, nn.ReLU(), last)).eval()
    with torch.no_grad():
        first.weight[1], first.bias[1] = 0, 0.5
    kept = Mapped(3), Mapped(3)
    claimed: dict[str, TensorChange] = {
        "0.weight": (GONE, Mapped(2), Mapped(1), Mapped(1)),
        "0.bias": (GONE,),
        "2.weight": (Mapped(3), GONE, *kept),
        "2.bias": (Mapped(3),),
    }
    after = resize(net, claimed)
    with torch.no_grad():
        after[2].bias.add_(0.5 * last.weight[:, 1].sum(dim=(1, 2)))
    return Models(net, after, claimed, torch.randn(2, 2, 6, 6))


MODELS: Final[Mapping[str, Make]] = {
    "CERT-1": linear,
    "CERT-2": branch,
    "CERT-4": difference,
    "CERT-5": draws,
    "CERT-10": numbers,
    "CERT-13": ends,
    "CERT-14": zero_unit,
    "CERT-16": constant_unit,
}


def activations(op: Op, samples: Iterator[Any]) -> Iterator[tuple[Models, Models]]:
    """CERT-3 for every sample of an op: a pair that keeps the condition, and one that does not."""
    for sample in samples:
        complete = op.complete(sample.arguments)
        both = (activation(op, complete, True), activation(op, complete, False))
        if both[0] is not None and both[1] is not None:
            yield both[0], both[1]
