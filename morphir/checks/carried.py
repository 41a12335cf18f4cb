"""Whether gradients and the state of optimizers went along with the units that they belong to.

    KEPT-7   a number that belongs to a unit is at each copy what it was times the same function of
             the copy's share: the share for gradients and their means, its square for means of
             squares, counted from one number where Adagrad's start; on split axes it is what it
             was, and at fresh positions it is one number; a mean of parameters is copied and
             split as they are, and at fresh positions it is anything; where copies are merged,
             gradients and their means are the sum over what was copied, of any one of the parts of
             what was split

This looks at the numbers that were there and those that are there now, and does not know how they
were carried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from morphir.checks.weights import unrelated
from morphir.ir import Check, Grade, TensorChange
from morphir.ir.report import counted
from morphir.tensors import real_parts

_ULPS: Final = 8
_PART: Final = 2**17  # numbers that are compared at once, in float64 with intermediate results
_Scale = Callable[[np.ndarray], np.ndarray]
_ANY: Final[Sequence[_Scale]] = (np.asarray, np.square, np.abs, np.sign, np.ones_like)
# What the entries mean that are called the same in every optimizer that has them.
_KNOWN: Final[Mapping[str, Sequence[_Scale]]] = {
    **dict.fromkeys(("grad", "exp_avg", "grad_avg", "prev"), (np.asarray,)),
    **dict.fromkeys(("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum"), (np.square,)),
    "exp_inf": (np.abs,),
}


@final
@dataclass(frozen=True, eq=False)
class Carried:
    """Numbers that belong to the units of a parameter whose axes changed.

    Attributes:
        parameter: Its name.
        entry: What they are: `grad`, or an entry of an optimizer's state.
        change: How its axes changed.
        old: The numbers before.
        new: Those afterwards.
        inverse: Whether `change` says how the new axes would become the old ones.
    """

    parameter: str
    entry: str
    change: TensorChange
    old: torch.Tensor
    new: torch.Tensor
    inverse: bool = False


def belongings(
    model: nn.Module, optimizers: Sequence[Optimizer], tensors: Mapping[str, TensorChange]
) -> dict[tuple[str, str], torch.Tensor]:
    """The gradients, and the state with a number for each of a parameter's, by name and entry."""
    found: dict[tuple[str, str], torch.Tensor] = {}
    named = dict(model.named_parameters())
    for name in (name for name in tensors if name in named):  # in their order
        parameter = named[name]
        if parameter.grad is not None:
            found[name, "grad"] = parameter.grad.data  # the numbers: the tensor may get others
        for number, optimizer in enumerate(optimizers):
            for entry, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                    found[name, f"{entry}{f' ({number})' if number else ''}"] = value.data
    return found


def check_carried(found: Sequence[Carried]) -> Check:
    """Checks KEPT-7."""
    for each in found:
        if not _is_carried(each):
            what = f"KEPT-7: {each.entry} did not go along with the units"
            return Check("carried", Grade.REFUTED, what, each.parameter)
    summary = f"{counted(len(found), 'tensor')} of gradients and optimizer state went along"
    return Check("carried", Grade.TESTED, summary, "", {"tensors": float(len(found))})


def _is_carried(each: Carried) -> bool:
    if each.inverse:
        return _is_merged(each)
    shape = tuple(axis.new_size for axis in each.change)
    if tuple(each.new.shape) != shape or each.new.dtype != each.old.dtype:
        return False
    old, new = real_parts(each.old), real_parts(each.new)
    fresh = torch.zeros(1, dtype=torch.bool, device=new.device)
    for axis, change in enumerate(each.change):
        if change.relation.is_identity:
            continue
        source = change.relation.source
        index = torch.from_numpy(np.maximum(source, 0)).to(old.device)
        old = old.index_select(axis, index)
        fresh = fresh | _along(torch.from_numpy(source < 0).to(new.device), axis, new.dim())
    fresh = fresh.expand(new.shape)
    entry = each.entry.partition(" ")[0]
    scales = _KNOWN.get(entry, _ANY)
    if fresh.any() and bool((new[fresh] != new[fresh][0]).any()):
        scales = () if entry in _KNOWN else (np.ones_like,)  # only values have numbers there
    shares = [change.shares("copy") for change in each.change]
    fits = any(
        all(_fits(*part) for part in _in_parts(old, new, fresh, [*map(scale, shares)]))
        for scale in scales
    )
    if entry == "sum" and not fits:
        return _fits_from_a_start(old, new, fresh, [np.square(share) for share in shares])
    return fits or (entry not in _KNOWN and _is_value(each))


def _is_merged(each: Carried) -> bool:
    """Whether each number is the sum over copies, of one of the parts that it was split into."""
    if tuple(each.new.shape) != tuple(axis.size for axis in each.change):
        return False
    if _KNOWN.get(each.entry.partition(" ")[0]) != (np.asarray,):
        return True
    sums, new = real_parts(each.old).double(), real_parts(each.new).double()
    sizes, units = sums.abs(), []
    for axis, change in enumerate(each.change):
        take = torch.from_numpy(change.relation.take).to(sums.device)
        taken = (take >= 0).nonzero().flatten()
        count = int(take.max()) + 1
        sums, sizes = (_summed(part, axis, take[taken], taken, count) for part in (sums, sizes))
        units.append(torch.from_numpy(change.relation.group[:count]).to(sums.device))
        new = new.index_select(axis, units[-1])
    fits = (sums - new).abs() <= _ULPS * torch.finfo(each.new.dtype).eps * sizes
    for axis, (change, unit) in enumerate(zip(each.change, units, strict=True)):
        found = _summed(fits.double(), axis, unit, torch.arange(len(unit)), change.size)
        fits = found > 0
    return bool(fits.all())


def _summed(
    tensor: torch.Tensor, axis: int, to: torch.Tensor, of: torch.Tensor, count: int
) -> torch.Tensor:
    """Some slices of a tensor, added up in fewer."""
    shape = [*tensor.shape]
    shape[axis] = count
    return tensor.new_zeros(shape).index_add(axis, to, tensor.index_select(axis, of.to(to.device)))


def _in_parts(
    old: torch.Tensor, new: torch.Tensor, fresh: torch.Tensor, scales: Sequence[np.ndarray]
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, Sequence[np.ndarray]]]:
    """Some rows at a time: moments may be as large as all that is left of the memory."""
    count = max(1, _PART // max(1, new[:1].numel()))
    for start in range(0, len(new), count):
        rows = slice(start, start + count)
        yield old[rows], new[rows], fresh[rows], [scales[0][rows], *scales[1:]]


def _fits(
    old: torch.Tensor, new: torch.Tensor, fresh: torch.Tensor, scales: Sequence[np.ndarray]
) -> bool:
    expected = old.double()
    for axis, scale in enumerate(scales):
        expected = expected * _along(torch.from_numpy(scale).to(old.device), axis, old.dim())
    rounding = torch.finfo(new.dtype if new.is_floating_point() else torch.float64)
    slack = _ULPS * rounding.eps * expected.abs() + rounding.tiny
    near = (new.double() - expected).abs() <= slack
    same = new.double() == expected  # infinities
    return bool((near | same | fresh | expected.isnan()).all())


def _fits_from_a_start(
    old: torch.Tensor, new: torch.Tensor, fresh: torch.Tensor, scales: Sequence[np.ndarray]
) -> bool:
    """Whether there is one number c with  new - c = scale (old - c)  everywhere."""
    scale = torch.ones_like(old.double())
    for axis, each in enumerate(scales):
        scale = scale * _along(torch.from_numpy(each).to(old.device), axis, old.dim())
    expected = old.double() * scale
    gap, rest = new.double() - expected, 1 - scale
    rounding = torch.finfo(new.dtype if new.is_floating_point() else torch.float64)
    slack = _ULPS * rounding.eps * torch.maximum(expected.abs(), new.double().abs())
    kept, moved = ~fresh & (rest == 0), ~fresh & (rest != 0)
    if bool((gap.abs() > slack)[kept].any()):
        return False
    ends = torch.stack([gap - slack, gap + slack])[:, moved] / rest[moved]
    return not moved.any() or bool(ends.amin(0).max() <= ends.amax(0).min())


def _is_value(each: Carried) -> bool:
    """Whether it was split as the parameter is, like ASGD's mean of parameters."""
    return not unrelated(each.old, each.new, [axis.relation for axis in each.change])


def _along(line: torch.Tensor, axis: int, dims: int) -> torch.Tensor:
    shape = [1] * dims
    shape[axis] = len(line)
    return line.reshape(shape)
