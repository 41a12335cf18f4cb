"""Products of matrices, convolutions and average pooling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import torch

from morphir.field.modular import SHORT
from morphir.field.residues import Kernel, Residues, Run

aten = torch.ops.aten


def _product(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Kernel:
    def multiplied(run: Run, left: Any, right: Any) -> Residues:
        rows, columns = run.lift(left), run.lift(right)
        parts = [(rows, columns)]
        if columns.dim() > 1:  # short sums are the faster ones
            axes = torch.split(rows, SHORT, -1), torch.split(columns, SHORT, -2)
            parts = [*zip(*axes, strict=True)]
        found = [run.field.bilinear(function, *part, part[0].shape[-1]) for part in parts]
        return run.wrap(sum(found[1:], found[0]) % run.field.prime, left, right)

    return multiplied


def _product_plus(name: str) -> Kernel:
    def added(
        run: Run, summand: Any, left: Any, right: Any, *, beta: float = 1, alpha: float = 1
    ) -> Any:
        multiplied = COMPUTED[name](run, left, right)
        return beta * summand + alpha * multiplied

    return added


def linear(run: Run, tensor: Any, weight: Any, bias: Any = None) -> Any:
    """A linear layer."""
    found = COMPUTED["matmul"](run, tensor, weight.t())
    return found if bias is None else found + bias


def trilinear(run: Run, left: Any, weight: Any, right: Any, *added: Any) -> Any:
    """A product of three, to each of which axes are added, summed along others."""
    *axes, along = added[:4]
    found: Any = 1
    for tensor, places in zip((left, weight, right), axes, strict=True):
        for place in places:
            tensor = tensor.unsqueeze(place)
        found = found * tensor
    return found.sum(along)


def convolution(
    run: Run,
    image: Any,
    weight: Any,
    bias: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    *rest: Any,
) -> Any:
    """Any convolution."""

    def convolve(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        settings = stride, padding, dilation, transposed, *rest[:2]
        found: torch.Tensor = aten.convolution(left, right, None, *settings)
        return found

    terms = weight.numel() // weight.shape[1 if transposed else 0]
    found = run.wrap(
        run.field.bilinear(convolve, run.lift(image), run.lift(weight), terms), image, weight
    )
    return found if bias is None else found + bias.reshape(-1, *[1] * (weight.dim() - 2))


def average_pool(
    run: Run,
    image: Residues,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = 0,  # type: ignore[assignment]
    ceil: bool = False,
    with_border: bool = True,
    divisor: int | None = None,
    *,
    name: str,
) -> Residues:
    """Average pooling: sums, divided by how many numbers each is of."""
    pool = partial(getattr(aten, name), kernel_size=kernel, stride=stride, padding=padding)
    summed = partial(pool, ceil_mode=ceil, count_include_pad=with_border, divisor_override=1)
    high, low = (
        summed(limb.double()).long() % run.field.prime
        for limb in (image.residues >> 16, image.residues & 0xFFFF)
    )
    total = (high * 2**16 + low) % run.field.prime
    ones = torch.ones_like(image.residues, dtype=torch.float64)
    mean = pool(ones, ceil_mode=ceil, count_include_pad=with_border, divisor_override=divisor)
    count = (summed(ones) / mean).round().long()
    return run.wrap(total * run.field.inverse(count) % run.field.prime, image)


def average_pool_1d(
    run: Run, line: Any, kernel: Any, stride: Any = (), padding: Any = (0,), *rest: Any
) -> Any:
    """The same along one axis."""
    wide = ([1, *each] for each in (kernel, stride or kernel))
    found = COMPUTED["avg_pool2d"](run, line.unsqueeze(-2), *wide, [0, *padding], *rest)
    return found.squeeze(-2)


def adaptive_average_pool(run: Run, image: Any, sizes: int | Sequence[int]) -> Any:
    """Means over cells that cover an image; one axis after the other, since cells are boxes."""
    each = [sizes] if isinstance(sizes, int) else [*sizes]
    for axis, size in zip(range(-len(each), 0), each, strict=True):
        length = image.shape[axis]
        cells = [(k * length // size, -(-(k + 1) * length // size)) for k in range(size)]
        means = [image.narrow(axis, start, end - start).mean(axis) for start, end in cells]
        image = torch.stack(means, axis)
    return image


COMPUTED: Final[Mapping[str, Kernel]] = {
    **{name: _product(getattr(torch, name)) for name in ("mm", "bmm", "matmul", "mv", "dot")},
    "addmm": _product_plus("mm"),
    "addmv": _product_plus("mv"),
    "baddbmm": _product_plus("bmm"),
    "linear": linear,
    "_trilinear": trilinear,
    "convolution": convolution,
    "_convolution": convolution,
    "avg_pool1d": average_pool_1d,
    **{name: partial(average_pool, name=name) for name in ("avg_pool2d", "avg_pool3d")},
    **dict.fromkeys(
        [
            "adaptive_avg_pool1d",
            *[f"{mark}adaptive_avg_pool{count}d" for mark in ("", "_") for count in (2, 3)],
        ],
        adaptive_average_pool,
    ),
}
