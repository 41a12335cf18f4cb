"""Runs of models whose inputs or outputs got longer: what the old one takes and returns.

RUN-5    what is behind the old positions of an input that got longer is noise, and of an output
         that did only the old positions are compared
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import torch
from torch import nn

from morphir.checks.calling import Arguments, Observation, entry_point_of
from morphir.checks.comparison import numbers_in, plain_in
from morphir.errors import RefusalError
from morphir.ir import Extension
from morphir.tensors import map_tensors, tensors_in


@final
@dataclass(frozen=True)
class Extended:
    """What to give to a new model, and what to compare of what both return.

    Attributes:
        inputs: The inputs that got longer.
        outputs: The outputs that did.
    """

    inputs: Sequence[Extension] = ()
    outputs: Sequence[Extension] = ()

    def arguments(self, model: nn.Module, entry_point: str, arguments: Arguments) -> Arguments:
        """Arguments of the old model as the new one takes them: with noise at the end (RUN-5).

        Raises:
            RefusalError: An input is held by an object of which no changed copy can be made.
        """
        claims = {each.path: each for each in self.inputs if each.entry_point == entry_point}
        if not claims:
            return arguments
        # One tensor may be given twice, and get longer in one place only.
        apart: Arguments = map_tensors(arguments, lambda tensor: tensor.detach())
        longer = {
            id(tensor): claims[path]
            for path, tensor in _named(model, entry_point, apart).items()
            if path in claims
        }
        found: Arguments = map_tensors(apart, partial(_with_noise, claims=longer))
        named = _named(model, entry_point, found)
        for path, claim in claims.items():
            if named[path].shape[claim.axis] != claim.new_size:
                raise RefusalError(
                    f"the input {path!r} is held by an object, which can't be given a longer one",
                    suggestions=["tensors, or tuples, lists, dicts and dataclasses of them"],
                )
        return found

    def inputs_of(self, model: nn.Module, inputs: Mapping[str, Arguments]) -> dict[str, Arguments]:
        """The same for all entry points."""
        return {name: self.arguments(model, name, each) for name, each in inputs.items()}

    def seen(self, entry_point: str, result: Any) -> Any:
        """What either model returned, in the positions that both have."""
        claims = {each.path: each for each in self.outputs if each.entry_point == entry_point}
        if not claims:
            return result
        numbers = numbers_in(result)
        for path, claim in claims.items():
            if path in numbers:  # or it is kept on a module, and not returned
                numbers[path] = numbers[path].narrow(claim.axis, 0, claim.size)
        return {**plain_in(result), **numbers}

    def of(self, observation: Observation) -> Observation:
        """The same for all entry points."""
        results = {name: self.seen(name, each) for name, each in observation.results.items()}
        return replace(observation, results=results)


def _named(model: nn.Module, entry_point: str, arguments: Arguments) -> Mapping[str, torch.Tensor]:
    """The tensors among arguments by their paths, which begin with a parameter's name."""
    function = entry_point_of(model, entry_point)
    called = function.forward if isinstance(function, nn.Module) else function
    bound = inspect.signature(called).bind(*arguments[0], **arguments[1])
    return {
        path: tensor
        for name, value in bound.arguments.items()
        for path, tensor in tensors_in(value, name)
    }


def _with_noise(tensor: torch.Tensor, claims: Mapping[int, Extension]) -> torch.Tensor:
    """A tensor that is longer as claimed, with numbers of the size that its own have."""
    claim = claims.get(id(tensor))
    if claim is None:
        return tensor
    axis, count = claim.axis, claim.new_size - claim.size
    if tensor.is_floating_point():
        generator = torch.Generator().manual_seed(0)
        shape = [*tensor.shape[:axis], count, *tensor.shape[axis + 1 :]]
        size = tensor.double().square().mean().sqrt()
        noise = torch.randn(shape, generator=generator).to(tensor) * (size or 1.0)
    else:  # whatever numbers it may hold, it holds some of them
        index = torch.arange(count, device=tensor.device) % claim.size
        noise = tensor.index_select(axis, index)
    return torch.cat([tensor, noise.to(tensor)], axis)
