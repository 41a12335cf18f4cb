"""What ops do to boxes: for every element the interval of its result.

Sums are rounded outward by the error bound n u / (1 - n u) of their absolute sum (Higham 2002,
3.1), the rest by an ulp or two. What is 0 stays 0, and what underflows to 0 does not become it.
`morphir.ops.box` says what the rules are for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import torch

from morphir.ops.base import Op

_UNIT_ROUNDOFF: Final = 2.0**-53
TINY: Final = 5e-324  # what underflows is no larger


class Box(NamedTuple):
    """Two tensors between which a third one lies."""

    low: torch.Tensor
    high: torch.Tensor

    @property
    def is_zero(self) -> torch.Tensor:
        """Which elements are 0 and nothing else."""
        return (self.low == 0) & (self.high == 0)

    def outward(self, ulps: int = 1) -> Box:
        """The box a little larger; what is 0 or infinite stays."""
        low, high = self
        for _ in range(ulps):
            low = torch.where(low == 0, low, torch.nextafter(low, filled(low, -math.inf)))
            high = torch.where(high == 0, high, torch.nextafter(high, filled(high, math.inf)))
        return Box(low, high)


Rule = Callable[[Op, Mapping[str, Any]], Box | None]


def filled(tensor: torch.Tensor, number: float) -> torch.Tensor:
    """A tensor like another one in float64, all of whose elements are one number."""
    return torch.full_like(tensor, number, dtype=torch.float64)


def _ends(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments with the lower, and with the upper ends in the place of boxes."""

    def pick(argument: Any, end: int) -> Any:
        if isinstance(argument, Box):
            return argument[end]
        return tuple(pick(p, end) for p in argument) if isinstance(argument, tuple) else argument

    low, high = ({name: pick(a, end) for name, a in arguments.items()} for end in (0, 1))
    return low, high


def move(op: Op, arguments: Mapping[str, Any]) -> list[Box]:
    """Elements are moved, or are the largest of some."""
    low, high = (op.execute(each) for each in _ends(arguments))
    both = zip(low, high, strict=True) if isinstance(low, tuple | list) else [(low, high)]
    return [Box(a, b) for a, b in both]


def _never_falls(arguments: Mapping[str, Any]) -> bool:
    """Whether a function is non-decreasing with these settings; with the usual ones it is."""
    rises = all(arguments.get(name, 0) >= 0 for name in ("negative_slope", "alpha"))
    return rises and arguments.get("value", -math.inf) <= arguments.get("threshold", math.inf)


def _monotone(op: Op, arguments: Mapping[str, Any]) -> Box | None:
    """A non-decreasing function of one operand that torch computes to an ulp or two."""
    if not _never_falls(arguments):
        return None
    low, high = (op.execute(each) for each in _ends(arguments))
    found = Box(low, high).outward(2)
    if op.name == "hardsigmoid":  # is 0 on a half line
        return found
    x = arguments["input"]
    wide = Box(
        torch.where((low == 0) & (x.low != 0), -TINY, found.low),
        torch.where((high == 0) & (x.high != 0), TINY, found.high),
    )
    is_exact = (_is_exact(op, arguments, end) for end in x)
    return Box(*map(torch.where, is_exact, (low, high), wide))


def _is_exact(op: Op, arguments: Mapping[str, Any], at: torch.Tensor) -> torch.Tensor:
    """Where a function is computed without an error: where it is the identity (FACT-2)."""
    if op.name in ("sigmoid", "exp"):
        return at == 0  # 1/2 and 1
    kept = None if op.identity_on is None else op.identity_on(arguments)
    if kept is None:
        return torch.zeros_like(at, dtype=torch.bool)
    return (kept.low <= at) & (at <= kept.high)


def _exact(op: Op, arguments: Mapping[str, Any]) -> Box | None:
    """A non-decreasing function of one operand that is computed without an error."""
    if not _never_falls(arguments):
        return None
    low, high = (op.execute(each) for each in _ends(arguments))
    return Box(low, high)


def _add(op: Op, arguments: Mapping[str, Any]) -> Box | None:
    one, other = (_as_box(arguments[name]) for name in ("input", "other"))
    if one is None or other is None or arguments.get("alpha", 1) != 1:
        return None
    if op.name == "sub":
        other = Box(-other.high, -other.low)
    return Box(one.low + other.low, one.high + other.high).outward()


def _multiply(op: Op, arguments: Mapping[str, Any]) -> Box | None:
    one, other = (_as_box(arguments[name]) for name in ("input", "other"))
    if one is None or other is None:
        return None
    corners = torch.stack([product(a, b) for a in one for b in other])
    found = Box(corners.amin(0), corners.amax(0))
    wide = found.outward()
    exact = _is_sign(one) | _is_sign(other)  # a mask rounds nothing
    return Box(*(torch.where(exact, a, b) for a, b in zip(found, wide, strict=True)))


def _is_sign(box: Box) -> torch.Tensor:
    """Which elements are -1, 0 or 1 and nothing else."""
    return (box.low == box.high) & ((box.low.abs() == 1) | (box.low == 0))


def _as_box(argument: Any) -> Box | None:
    if isinstance(argument, Box):
        return argument if argument.low.is_floating_point() else None
    if isinstance(argument, bool) or not isinstance(argument, int | float):
        return None
    number = torch.tensor(float(argument), dtype=torch.float64)
    return Box(number, number)


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a * b, where infinity times zero is zero and what underflows keeps its sign."""
    zero = (a == 0) | (b == 0)
    product = torch.where(zero, torch.zeros((), dtype=torch.float64), a * b)
    tiny = torch.copysign(torch.full_like(product, TINY), a) * torch.copysign(_one(b), b)
    return torch.where((product == 0) & ~zero, tiny, product)


def _one(tensor: torch.Tensor) -> torch.Tensor:
    return filled(tensor, 1.0)


def _affine(op: Op, arguments: Mapping[str, Any]) -> Box | None:
    """A linear map or convolution with stored weights: a sum of products and a bias."""
    box, weight = arguments["input"], arguments["weight"]
    if not isinstance(box, Box):
        return None
    if not torch.equal(weight.low, weight.high):
        return _summed(op, arguments, "input", "weight")
    bias = arguments.get("bias")
    rest = {k: v for k, v in arguments.items() if k not in ("input", "weight", "bias")}

    def run(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = op.execute({**rest, "input": x, "weight": w, "bias": None})
        return found

    w = weight.low
    up, down = w.clamp(min=0), w.clamp(max=0)
    finite = [torch.where(end.isinf(), torch.zeros_like(end), end) for end in box]
    open_low, open_high = (end.isinf().double() for end in box)
    low, high = (run(a, up) + run(b, down) for a, b in (finite, finite[::-1]))
    size = run(torch.maximum(*map(torch.abs, finite)), w.abs())
    if bias is not None:
        added = bias.low.reshape([-1, *[1] * (weight.low.dim() - 2)])
        low, high, size = low + added, high + added, size + added.abs()
    terms = w[0].numel() + 2
    slack = size * (terms * _UNIT_ROUNDOFF / (1 - terms * _UNIT_ROUNDOFF)) * 2
    # A sum of zeros and one number is that number; other terms may underflow.
    loaded = run((~box.is_zero).double(), (w != 0).double()) > 0
    slack = torch.where(loaded, slack + terms * TINY, torch.zeros_like(slack))
    no_low = (run(open_low, up) > 0) | (run(open_high, -down) > 0)
    no_high = (run(open_high, up) > 0) | (run(open_low, -down) > 0)
    infinite = torch.full((), math.inf, dtype=torch.float64)
    return Box(
        torch.where(no_low, -infinite, low - slack), torch.where(no_high, infinite, high + slack)
    )


def _summed(op: Op, arguments: Mapping[str, Any], *factors: str) -> Box | None:
    """Sums of products of which nothing is known but where all of them are 0."""
    boxes = [arguments[name] for name in factors]
    if not all(isinstance(box, Box) and box.low.is_floating_point() for box in boxes):
        return None
    if any(value is not None for name, value in arguments.items() if name == "bias"):
        return None
    loaded = {name: (~box.is_zero).double() for name, box in zip(factors, boxes, strict=True)}
    terms = op.execute({**arguments, **loaded})
    return keep_zeros(Box(terms, terms), Box(filled(terms, -math.inf), filled(terms, math.inf)))


def _attention(op: Op, arguments: Mapping[str, Any]) -> Box | None:
    """A mean of values is 0 where all of them are."""
    query, value = arguments["query"], arguments["value"]
    heads, tokens, features = query.low.shape[:-2], query.low.shape[-2], value.low.shape[-1]
    if value.low.shape[:-2] != heads:
        return None
    whole = value.is_zero.all(-2, keepdim=True).expand(*heads, tokens, features)
    low, high = (torch.where(whole, 0.0, end).double() for end in (-math.inf, math.inf))
    return Box(low, high)


def keep_zeros(of: Box, box: Box) -> Box:
    """A box in which what is 0 in another one is 0 too."""
    zero = of.is_zero.expand_as(box.low)
    nothing = torch.zeros((), dtype=torch.float64)
    return Box(torch.where(zero, nothing, box.low), torch.where(zero, nothing, box.high))


def _batch_norm(op: Op, arguments: Mapping[str, Any]) -> Box | None:
    """In eval mode a scale and a shift; in train mode what is constant becomes the shift."""
    box = arguments["input"]
    shape = [-1, *[1] * (box.low.dim() - 2)]
    scale, shift = (
        torch.full((), end, dtype=torch.float64) if given is None else given.low.reshape(shape)
        for end, given in ((1.0, arguments["weight"]), (0.0, arguments["bias"]))
    )
    if arguments["training"]:
        axes = [axis for axis in range(box.low.dim()) if axis != 1]
        low, high = (end.amax(axes, keepdim=True) for end in (box.low, box.high))
        is_constant = (low == high) & (box.low == low) & (box.high == low) & low.isfinite()
        zero = (scale == 0) | is_constant
        infinite = filled(box.low, math.inf)
        return Box(torch.where(zero, shift, -infinite), torch.where(zero, shift, infinite))
    mean, variance = (arguments[n].low.reshape(shape) for n in ("running_mean", "running_var"))
    factor = scale / (variance + arguments["eps"]).sqrt()
    corners = torch.stack([product(end - mean, factor) + shift for end in box])
    size = (corners.abs().amax(0) + shift.abs() + (factor * mean).abs()) * 8 * _UNIT_ROUNDOFF
    size = torch.where(size.isinf() | (factor == 0), torch.zeros_like(size), size + TINY)
    return Box(corners.amin(0) - size, corners.amax(0) + size)


def _mean(op: Op, arguments: Mapping[str, Any]) -> Box | None:
    """A mean: of elements that are all 0 it is 0."""
    low, high = (op.execute(each) for each in _ends(arguments))
    box = arguments["input"]
    size = op.execute({**arguments, "input": torch.maximum(box.low.abs(), box.high.abs())})
    loaded = op.execute({**arguments, "input": (~box.is_zero).double()}) > 0
    slack = size * box.low.numel() * 2 * _UNIT_ROUNDOFF + TINY * loaded.double()
    slack = torch.where(slack.isfinite(), slack, torch.zeros_like(slack))
    return Box(low - slack, high + slack)


MOVEMENT: Final = frozenset(
    {
        "cat",
        "chunk",
        "clone",
        "contiguous",
        "detach",
        "expand",
        "flatten",
        "flip",
        "getitem",
        "max_pool1d",
        "max_pool2d",
        "max_pool3d",
        "movedim",
        "narrow",
        "pad",
        "permute",
        "pixel_shuffle",
        "repeat",
        "reshape",
        "roll",
        "select",
        "split",
        "squeeze",
        "stack",
        "transpose",
        "unbind",
        "unflatten",
        "unsqueeze",
    }
)
# Elementwise, and 0 where the first operand is, whatever is drawn.
KEEPS_ZERO: Final = frozenset(
    {
        "abs",
        "atan",
        "dropout",
        "dropout1d",
        "dropout2d",
        "dropout3d",
        "erf",
        "neg",
        "sin",
        "sqrt",
        "square",
        "tanhshrink",
    }
)
RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("relu", "relu6", "hardtanh", "clamp", "threshold"), _exact),
    **dict.fromkeys(
        ("sigmoid", "tanh", "leaky_relu", "elu", "selu", "celu", "softplus", "hardsigmoid",
         "softsign", "exp"),
        _monotone,
    ),
    **dict.fromkeys(("add", "sub"), _add),
    "mul": _multiply,
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d"), _affine),
    "matmul": lambda op, arguments: _summed(op, arguments, "input", "other"),
    "bmm": lambda op, arguments: _summed(op, arguments, "input", "mat2"),
    "scaled_dot_product_attention": _attention,
    "batch_norm": _batch_norm,
    **dict.fromkeys(
        ("mean", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
         "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        _mean,
    ),
}  # fmt: skip
