"""Tensors with hard numbers, sums without rounding, and memory."""

from collections.abc import Callable
from fractions import Fraction

import torch

from morphir.ir import FRESH, AxisMap

DTYPES = ("float16", "bfloat16", "float32", "float64")


def random_tensor(shape: tuple[int, ...], dtype: str, seed: int) -> torch.Tensor:
    """Numbers of all magnitudes: ordinary ones, subnormals, zeros of both signs, the largest."""
    kind = getattr(torch, dtype)
    generator = torch.Generator().manual_seed(seed)
    size = torch.Size(shape).numel()
    numbers = torch.randn(size, generator=generator, dtype=torch.float64).to(kind)
    info = torch.finfo(kind)
    odd = torch.randint(1, 200, (size,), generator=generator).double() * info.smallest_normal
    subnormal = (odd * info.eps).to(kind)
    large = torch.full((size,), info.max, dtype=kind) * torch.sign(numbers)
    choices = torch.stack([numbers, subnormal, -subnormal, large, numbers * 0, -numbers * 0])
    which = torch.randint(0, 9, (size,), generator=generator) % 6
    return choices.gather(0, which[None])[0].reshape(shape)


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are equal, with the signs of their zeros."""
    return (
        one.dtype == other.dtype
        and torch.equal(one, other)
        and (not one.is_floating_point() or torch.equal(one.signbit(), other.signbit()))
    )


def assert_exact(old: torch.Tensor, new: torch.Tensor, axis_map: AxisMap) -> None:
    """The parts on the first axis sum to the old numbers, as rationals."""
    for unit in range(axis_map.size):
        positions = [p for p, source in enumerate(axis_map.source) if source == unit]
        if positions:
            parts = new[positions].flatten(1) if new.dim() > 1 else new[positions, None]
            columns = zip(*parts.tolist(), strict=True)
            sums = [sum(map(Fraction, column)) for column in columns]
            assert sums == [Fraction(x) for x in old[unit].flatten().tolist()]
    for position, source in enumerate(axis_map.source):
        if source == FRESH:
            assert (new[position] == 0).all()


def peak_of(action: Callable[[], object]) -> int:
    """The most memory that torch held beyond what it held at the start."""
    with torch.profiler.profile(profile_memory=True) as profile:
        action()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in events:
        now += event.nbytes()
        peak = max(peak, now)
    assert events
    return peak
