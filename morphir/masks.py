"""What keeps parameters 0 behind their masks while they are trained.

    MASK-4  after `mask_parameters()` every masked parameter is 0 wherever its mask is; nothing else
            changes, to the bit
    MASK-5  after `mask_gradients()` every gradient of a masked parameter is 0 wherever the mask is,
            so that no optimizer of torch's moves a number there that is 0 and was never in use

A forward that multiplies by masks pays for it at every call, in the target network as well. Here
the parameters themselves are sparse: one fused multiplication before the optimizer's step, one
after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.ir.masks import mask_name
from morphir.tensors import equal_numbers


@final
class Masks:
    """The masks of a model's parameters.

    They are buffers, `weight_mask` beside `weight`, in the dtype of the parameter: saved with the
    model, moved and cast with it. Masks that change in place are known here; make a new one after
    any other change of the model.

    Attributes:
        parameters: The masked parameters by name.
        masks: Their masks, by the same names.

    Example:
        >>> import torch, morphir
        >>> net = torch.nn.Linear(4, 2)
        >>> net.register_buffer("weight_mask", torch.tensor([[1.0, 0, 0, 1], [0, 1, 1, 0]]))
        >>> masks = morphir.Masks(net)
        >>> masks.mask_parameters()
        >>> int(net.weight.count_nonzero())
        4
        >>> optimizer = torch.optim.Adam(net.parameters())
        >>> net(torch.ones(3, 4)).sum().backward()
        >>> masks.mask_gradients()
        >>> optimizer.step()
        >>> masks.mask_parameters()  # weight decay and stale moments may have moved something
        >>> masks.densities
        {'weight': 0.5}
    """

    def __init__(self, model: nn.Module) -> None:
        """Finds the masks of a model.

        Args:
            model: Any module; one without masks has none to apply.
        """
        buffers = dict(model.named_buffers(remove_duplicate=False))
        self.parameters: Mapping[str, nn.Parameter] = {
            name: parameter
            for name, parameter in model.named_parameters()
            if _fits(buffers.get(mask_name(name)), parameter)
        }
        self.masks: Mapping[str, torch.Tensor] = {
            name: buffers[mask_name(name)] for name in self.parameters
        }

    def mask_gradients(self) -> None:
        """Makes the gradients 0 behind the masks (MASK-5): before the optimizer's step."""
        pairs = [
            (parameter.grad, self.masks[name])
            for name, parameter in self.parameters.items()
            if parameter.grad is not None
        ]
        _multiply([gradient for gradient, _ in pairs], [mask for _, mask in pairs])

    def mask_parameters(self, other: nn.Module | None = None) -> None:
        """Makes the parameters 0 behind the masks (MASK-4): after the optimizer's step.

        Args:
            other: Does so in another model, such as a target network, which needs no masks of its
                own: averages of zeros are zeros.

        Raises:
            RefusalError: The other model has no such parameter; nothing changed.
        """
        parameters = self.parameters if other is None else self._in(other)
        with torch.no_grad():
            _multiply([*parameters.values()], [*self.masks.values()])

    def _in(self, other: nn.Module) -> Mapping[str, nn.Parameter]:
        """The parameters of another model that have the names of the masked ones."""
        known = dict(other.named_parameters(remove_duplicate=False))
        for name, mask in self.masks.items():
            found = known.get(name)
            if found is None or found.shape != mask.shape:
                has = "no such parameter" if found is None else f"one of shape {(*found.shape,)}"
                raise RefusalError(
                    f"the mask of {name!r} has shape {(*mask.shape,)}, the other model {has}",
                    nodes=[name],
                    suggestions=["a model of the same structure, such as the target network"],
                )
        return {name: known[name] for name in self.masks}

    @property
    def densities(self) -> dict[str, float]:
        """The share of the numbers of each masked parameter that is in use."""
        return {name: float(mask.float().mean()) for name, mask in self.masks.items()}


def _fits(mask: torch.Tensor | None, parameter: torch.Tensor) -> bool:
    """Whether a buffer may be a mask: who reads it can't be seen here."""
    if mask is None or (mask.shape, mask.dtype) != (parameter.shape, parameter.dtype):
        return False
    return equal_numbers(mask * mask, mask)


def _multiply(tensors: list[torch.Tensor], masks: list[torch.Tensor]) -> None:
    if tensors:
        torch._foreach_mul_(tensors, masks)
