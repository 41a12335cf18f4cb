"""Changes the axes of a model's tensors, one tensor after the other, and can change them back.

BACK-11  every parameter and buffer is the same object as before, under all its names, with its
         hooks, attributes and flags; its gradient is that of the new numbers (STATE-11)
BACK-12  attributes that describe a module's tensors still do after these changed
BACK-13  while tensors change, and when they change back, no more than one of them is there twice,
         and what is between the changes of two of its axes; only sums, which can't be taken apart,
         keep the numbers that they are of
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from morphir.backend.apart import check_apart
from morphir.backend.folding import folded
from morphir.backend.scaling import pulled_back, scaled
from morphir.backend.splitting import merge, merged, split, united
from morphir.cloning import hooks_by_attribute
from morphir.described import describe
from morphir.errors import RefusalError
from morphir.initial import fill_free
from morphir.ir import AttributeChange, Resize

Undo = Callable[[], None]
Watch = Callable[[str, torch.Tensor, torch.Tensor], None]


def resize(
    model: nn.Module,
    edit: Resize,
    given: Mapping[str, torch.Tensor],
    watch: Watch | None,
    exact: dict[str, torch.Tensor],
) -> Iterator[Undo]:
    """Makes an edit step by step; what undoes a step comes before it.

    Args:
        model: What is edited.
        edit: What changes.
        given: State entry to the numbers of its free positions, where they are not drawn.
        watch: Called with name, old and new numbers while both are there; if it raises, the new
            ones are not taken.
        exact: Is given the numbers in float64 that had to be rounded.

    Raises:
        RefusalError: The model is not as the edit says, or a tensor can't be changed.
    """
    tensors = {name: _find(model, name) for name in edit.tensors}
    for name in edit.tensors:
        _check_tensor(name, tensors[name], edit.old_shape(name))
    check_apart(model, edit.tensors)
    for attribute in edit.attributes:
        _check_attribute(model, attribute)
    described = [(module, describe(module)) for module in model.modules()]
    biases = folded(edit.folds, {name: tensor.data for name, tensor in tensors.items()})
    for name in edit.tensors:
        tensor = _Resized(name, tensors[name], edit)
        yield tensor.undo
        tensor.commit(biases.get(name), given.get(name), watch)
        if tensor.exact is not None:
            exact[name] = tensor.exact
    for attribute in edit.attributes:
        yield from _set(model.get_submodule(attribute.module), {attribute.name: attribute.new})
    for module in _holding(model, [*tensors.values()]):
        for name, hook in hooks_by_attribute(module).items():
            yield from _set(module, {name: getattr(module, name)})
            hook(module, None)
    for module, before in described:
        after = describe(module)
        # One that was something else before means something else.
        yield from _set(
            module,
            {k: v for k, v in after.items() if v != before[k] == getattr(module, k, None)},
        )


def _set(module: nn.Module, values: Mapping[str, Any]) -> Iterator[Undo]:
    for name, value in values.items():
        old = getattr(module, name)
        yield lambda name=name, old=old: setattr(module, name, old)  # type: ignore[misc]
        setattr(module, name, value)


@final
class _Resized:
    """One tensor; what it was is computed from what it is, where that is possible.

    Attributes:
        exact: The new numbers in float64, where they had to be rounded.
    """

    def __init__(self, name: str, tensor: torch.Tensor, edit: Resize) -> None:
        self._name, self._tensor, self._edit = name, tensor, edit
        self._change = edit.tensors[name]
        self.exact: torch.Tensor | None = None
        self._kept: torch.Tensor | None = None
        self._grad = tensor.grad if tensor.is_leaf else None
        self._old_grad = None if self._grad is None else self._grad.data
        self._lost: list[torch.Tensor] | None = None
        self._barrier: Any = None

    def commit(
        self, bias: torch.Tensor | None, given: torch.Tensor | None, watch: Watch | None
    ) -> None:
        tensor, old = self._tensor, self._tensor.data
        lost: list[torch.Tensor] | None = None
        if bias is not None or self._edit.inverse:
            new = self._rounded(old if bias is None else bias)
        else:
            new, lost = split(old, self._change)
            fill_free(new, old, self._change, self._name, self._edit.spec, given)
        if watch is not None:
            watch(self._name, old, new)
        if self._grad is not None and self._old_grad is not None:
            transport = pulled_back if self._edit.inverse else scaled
            self._grad.data = transport(self._old_grad, self._change, "gradient")
        self._barrier = _close_graphs(self._name, tensor)
        _set_data(tensor, new)
        self._lost, self._kept = lost, old if lost is None else None

    def _rounded(self, old: torch.Tensor) -> torch.Tensor:
        """The new numbers where they are sums."""
        inverse = self._edit.inverse
        if inverse and self._name in self._edit.spec.get("masks", ()):
            return united(old, self._change)
        exact = merged(old, self._change) if inverse else split(old, self._change)[0]
        new = exact.to(self._tensor.dtype)
        if not torch.equal(new.to(exact.dtype), exact):
            self.exact = exact
        return new

    def undo(self) -> None:
        if self._kept is not None:  # a sum can't be taken apart again
            _set_data(self._tensor, self._kept)
            self._kept = None
        if self._lost is not None:
            _set_data(self._tensor, merge(self._tensor.data, self._change, self._lost))
            self._lost = None
        if self._barrier is not None:
            self._barrier.remove()
        if self._grad is not None and self._old_grad is not None:
            self._grad.data = self._old_grad


def _set_data(tensor: torch.Tensor, data: torch.Tensor) -> None:
    """Sets the numbers of a tensor that goes on being the same one.

    What accumulates its gradient may be alive still, held by a graph or a hook, and expects the old
    shape. torch makes a new one only where the dtype changes, so it changes twice.
    """
    other = torch.float16 if tensor.dtype == torch.float32 else torch.float32
    tensor.data = torch.empty(0, dtype=other, device=tensor.device)
    tensor.data = data


def _close_graphs(name: str, tensor: torch.Tensor) -> Any:
    """Makes the backward of a graph that is older than the change raise; it would corrupt `.grad`.

    Returns:
        What opens them again, None where nothing needs a gradient.
    """
    if not (tensor.requires_grad and tensor.is_leaf):
        return None
    with torch.enable_grad():
        node = tensor.view_as(tensor).grad_fn
    assert node is not None

    def refuse(gradients: Any) -> None:
        raise RuntimeError(
            f"{name!r} has changed its shape since this graph was made: run forward again"
        )

    return node.next_functions[0][0].register_prehook(refuse)  # type: ignore[union-attr]


def _find(model: nn.Module, name: str) -> torch.Tensor:
    home, _, key = name.rpartition(".")
    try:
        owner = model.get_submodule(home)
    except AttributeError:
        owner = nn.Module()
    tensor = {**owner._buffers, **owner._parameters}.get(key)
    if tensor is None:
        raise RefusalError(
            f"{type(model).__name__} has no parameter or buffer {name!r}", nodes=[name]
        )
    return tensor


def _check_tensor(name: str, tensor: torch.Tensor, expected: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != expected:
        raise RefusalError(
            f"{name!r} has the shape {tuple(tensor.shape)}, and a change of {expected} was planned",
            nodes=[name],
        )
    gradient = tensor.grad if tensor.is_leaf else None
    for what, each in (("", tensor), ("the gradient of ", gradient)):
        if each is None or (each.layout == torch.strided and type(each.data) is torch.Tensor):
            continue
        kind = type(each.data).__name__ if each.layout == torch.strided else each.layout
        raise RefusalError(
            f"{what}{name!r} is no ordinary tensor, but a {kind}: how its axes change is not known",
            nodes=[name],
            suggestions=["optimizer.zero_grad()"] if what else [],
        )


def _check_attribute(model: nn.Module, change: AttributeChange) -> None:
    found = getattr(model.get_submodule(change.module), change.name)
    if found != change.old:
        name = f"{change.module}.{change.name}".removeprefix(".")
        raise RefusalError(
            f"{name!r} is {found!r}, and a change of {change.old!r} was planned", nodes=[name]
        )


def _holding(model: nn.Module, tensors: list[torch.Tensor]) -> list[nn.Module]:
    """The modules that hold one of the tensors, or a parametrization that does."""
    changed = {id(tensor) for tensor in tensors}
    found = []
    for module in model.modules():
        own: Any = module.parametrizations if is_parametrized(module) else {}
        parts = [module, *own.values()]
        held = [t for p in parts for t in (*p._parameters.values(), *p._buffers.values())]
        if any(id(tensor) in changed for tensor in held):
            found.append(module)
    return found
