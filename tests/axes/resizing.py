"""Applies a resize by itself, in float64: the plan against what the network computes."""

import copy
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

import morphir
from morphir.axes import AxisGroups
from morphir.ir import AttributeChange, AxisMap, TensorChange
from morphir.ir.axis_map import FRESH
from morphir.ir.change import Added, AxisChange, Mapped, Multiplied
from morphir.ir.relation import FREE, ZERO
from morphir.ops import Atom
from morphir.ops.check import draw_shares
from morphir.tensors import tensors_in
from tests.axes.nets import NETS

Maps = dict[Atom, AxisMap]


def groups_of(name: str, **widths: int) -> AxisGroups:
    """The groups of a network of `tests.axes.nets`."""
    make, inputs, entry_points = NETS[name]
    program = morphir.trace(make(**widths), example_inputs=(inputs,), entry_points=entry_points)
    return AxisGroups(program)


def mapped(tensor: Tensor, change: TensorChange) -> Tensor:
    """A tensor by its change: copies by index, splits by share, noise where anything may stand."""
    if not tensor.is_floating_point():
        return tensor
    for axis, each in enumerate(change):
        source = torch.from_numpy(each.relation.source)
        shape = [-1 if k == axis else 1 for k in range(tensor.dim())]
        shares = torch.from_numpy(each.shares("split")).reshape(shape)
        tensor = tensor.index_select(axis, source.clamp(min=0)) * shares
        free = torch.from_numpy(each.relation.take == FREE).reshape(shape)
        tensor = torch.where(free, torch.rand_like(tensor) + 0.5, tensor)
    for axis, each in enumerate(change):
        zero = torch.from_numpy(each.relation.take == ZERO)
        tensor = tensor.index_fill(axis, zero.nonzero().flatten(), 0)
    return tensor


def entry(model: nn.Module, name: str) -> Tensor:
    module, _, key = name.rpartition(".")
    found = getattr(model.get_submodule(module), key)
    assert isinstance(found, Tensor)
    return found


def describe(module: nn.Module) -> None:
    """Sets what some modules of torch check and nothing else reads, as the backend does."""
    if isinstance(module, nn.InstanceNorm1d):
        module.num_features = len(module.weight)
    if isinstance(module, nn.RNNBase):
        module.input_size = module.weight_ih_l0.shape[1]
    if isinstance(module, nn.RNNCellBase):
        module.hidden_size = module.weight_hh.shape[1]


def applied(
    model: nn.Module, tensors: Mapping[str, TensorChange], attributes: Sequence[AttributeChange]
) -> nn.Module:
    """A copy of a model with the changes made."""
    changed = copy.deepcopy(model)
    for name, change in tensors.items():
        tensor = entry(changed, name)
        tensor.data = mapped(tensor.data, change)
        describe(changed.get_submodule(name.rpartition(".")[0]))
    for each in attributes:
        assert getattr(changed.get_submodule(each.module), each.name) == each.old
        setattr(changed.get_submodule(each.module), each.name, each.new)
    return changed


def without_what_goes(model: nn.Module, tensors: Mapping[str, TensorChange]) -> nn.Module:
    """A copy of a model in which units that a change removes contribute nothing."""
    changed = copy.deepcopy(model)
    for name, change in tensors.items():
        for axis, each in enumerate(change):
            gone = np.flatnonzero(_kept(each) == 0)
            entry(changed, name).data.index_fill_(axis, torch.from_numpy(gone), 0)
    return changed


def _kept(change: AxisChange) -> np.ndarray:
    """For each old unit whether it stays, or is copied: then what goes is of no consequence."""
    match change:
        case Mapped():
            kept = np.ones(change.size)
            if change.map is not None and change.polarity == "split":
                kept[sorted({*range(change.size)} - {*change.map.source})] = 0
            return kept
        case Multiplied(factors=factors):
            kept = np.ones(1)
            for factor in factors:
                kept = np.multiply.outer(kept, _kept(factor)).ravel()
            return kept
        case Added(terms=terms):
            return np.concatenate([_kept(term) for term in terms])


def outputs_of(model: nn.Module, inputs: Tensor, entry_points: Sequence[str]) -> list[Tensor]:
    x = inputs.double() if inputs.is_floating_point() else inputs
    with torch.no_grad():
        results = [getattr(model, name)(x) for name in entry_points]
    return [tensor for _, tensor in tensors_in(tuple(results))]


def distance(old: Sequence[Tensor], new: Sequence[Tensor]) -> float:
    """The largest difference, relative to the largest output."""
    scale = max(float(tensor.abs().max()) for tensor in old)
    assert 1e-6 < scale < 1e6
    return max(float((a - b).abs().max()) for a, b in zip(old, new, strict=True)) / scale


def awake(model: nn.Module) -> nn.Module:
    """The model in float64, no parameter or statistic at a special value."""
    model = model.double().eval()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5) if "var" in name else tensor.data.uniform_(-0.9, 1.0)
    return model


def grown(size: int, numbers: random.Random) -> AxisMap:
    """Copies of some units in another order, and a fresh one."""
    source = [*range(size), numbers.randrange(size), numbers.randrange(size), FRESH]
    numbers.shuffle(source)
    return AxisMap(size, tuple(source), draw_shares(source, numbers))


def doubled(size: int, numbers: random.Random) -> AxisMap:
    """Every unit twice, unequal shares."""
    source = [*range(size), *range(size)]
    numbers.shuffle(source)
    return AxisMap(size, tuple(source), draw_shares(source, numbers))


def turned(size: int, numbers: random.Random) -> AxisMap:
    """Another order."""
    source = (*range(1, size), 0)
    return AxisMap(size, source, (Fraction(1),) * size)


def without_one(size: int, numbers: random.Random) -> AxisMap:
    """One unit less."""
    source = [*range(size)]
    source.pop(numbers.randrange(size))
    return AxisMap.copies(size, source)


def free_leaves(groups: AxisGroups) -> list[Atom]:
    return [g.atom for g in groups.groups.values() if g.state and not g.reason]
