"""What a call leaves behind beside its result: on modules, on parameters, in its arguments."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final, final

import numpy as np
import torch
from torch import nn

from morphir.cloning import attribute_tensors, hooks_by_attribute, join
from morphir.errors import RefusalError
from morphir.frontend.isolation import Scratch

_SIMPLE: Final = (int, float, complex, bool, str, type(None))
_GENERATORS: Final = (np.random.Generator, np.random.RandomState, random.Random)
_MANY: Final = 1000  # of a longer container only the length is compared
_OWN: Final = frozenset(vars(nn.Module()))  # what nn.Module keeps for itself


@final
@dataclass(frozen=True, eq=False, slots=True)
class _ParameterState:
    """What recording must leave as it was on a parameter, which the scratch copy shares."""

    parameter: nn.Parameter
    version: int
    requires_grad: bool
    grad: torch.Tensor | None
    grad_version: int

    @classmethod
    def of(cls, parameter: nn.Parameter) -> _ParameterState:
        grad = parameter.grad
        return cls(parameter, _version(parameter), parameter.requires_grad, grad, _version(grad))

    def restore(self) -> bool:
        """Puts back gradient and flag; says whether anything had changed."""
        now = _ParameterState.of(self.parameter)
        changed = (
            now.version != self.version
            or now.requires_grad != self.requires_grad
            or now.grad is not self.grad
            or now.grad_version != self.grad_version
        )
        if changed:
            self.parameter.requires_grad_(self.requires_grad)
            self.parameter.grad = self.grad
        return changed


def _version(tensor: torch.Tensor | None) -> int:
    return -1 if tensor is None or tensor.is_inference() else tensor._version


def _held(module: nn.Module) -> tuple[Mapping[str, Any], ...]:
    return module._parameters, module._buffers, module._modules


@final
class Effects:
    """Compares a scratch copy after a call with what it was before."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._parameters = [
            (scratch.names[id(parameter)], _ParameterState.of(parameter))
            for parameter in scratch.parameters
        ]
        self._modules = [
            (name, module, dict(module._parameters), dict(module._buffers), dict(module._modules))
            for name, module, _ in scratch.modules
        ]
        self._shared = [(part, _standing(part)) for part in scratch.shared]
        self._training = {name: module.training for name, module, _ in scratch.modules}

    def check_parameters(self) -> None:
        """Restores what the call did to shared parameters; also to be called when it raised.

        Raises:
            RefusalError: The call did something.
        """
        changed = [name for name, state in self._parameters if state.restore()]
        if changed:
            raise RefusalError(
                "the model changes a parameter, its gradient or its requires_grad while it runs",
                nodes=changed[:4],
                suggestions=["entry_points= with a method that only computes"],
            )

    def check_modules(self) -> None:
        """Checks that the call neither added nor replaced parameters and modules.

        Raises:
            RefusalError: It did.
        """
        for name, module, parameters, _, children in self._modules:
            for what, before, held in (
                ("parameter", parameters, module._parameters),
                ("module", children, module._modules),
            ):
                now = dict(held.items())
                different = [key for key in before | now if before.get(key) is not now.get(key)]
                if different:
                    raise RefusalError(
                        f"the call adds or replaces the {what} {different[0]!r}",
                        nodes=[name or "the model itself"],
                        suggestions=["run the model once before, if it builds itself on first use"],
                    )

    def check_shared(self) -> None:
        """Checks that the call left files and locks as they were.

        Raises:
            RefusalError: It did not; what it did there cannot be undone.
        """
        for part, before in self._shared:
            if _standing(part) != before:
                raise RefusalError(
                    f"the model changes a {type(part).__name__} that it holds and that cannot be "
                    "copied",
                    suggestions=["entry_points= with a method that only computes"],
                )

    def replaced_buffers(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Buffers to which the call assigned another tensor, with that tensor."""
        for name, module, _, buffers, _ in self._modules:
            for key, now in module._buffers.items():
                if now is not None and now is not buffers.get(key):
                    yield join(name, key), now

    def kept_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Tensors in attributes of modules, but for those that each forward makes anew."""
        for name, module, *_ in self._modules:
            made = {join(name, key) for key in hooks_by_attribute(module)}
            yield from (each for each in attribute_tensors(module, name) if each[0] not in made)

    def changed_attributes(self) -> list[str]:
        """Attributes that the call changed: state of Python, which no graph holds."""
        changed = []
        for name, module, original in self._scratch.modules:
            if module.training != self._training[name]:
                changed.append(join(name, "training"))
            if type(original).__module__.startswith("torch."):
                continue
            now = vars(module)
            for key, value in vars(original).items():
                if key not in _OWN and _form(value) != _form(now.get(key)):
                    changed.append(join(name, key))
        return changed

    def drew(self) -> bool:
        """Whether the call drew from a generator of Python or numpy that a module keeps."""
        return any(
            isinstance(value, _GENERATORS)
            and _generator_state(value) != _generator_state(vars(module).get(key))
            for _, module, original in self._scratch.modules
            for key, value in vars(original).items()
        )


def _standing(part: Any) -> Any:
    """How far a file was read or written, whether a lock is held; None for anything else."""
    ask = getattr(part, "tell", None) or getattr(part, "locked", None)
    try:
        return ask() if callable(ask) else None
    except (OSError, ValueError):  # a closed file, a pipe
        return None


def _form(value: Any, depth: int = 3) -> Any:
    """A plain value as text, containers and plain objects by their parts, else nothing."""
    if isinstance(value, _SIMPLE):
        return repr(value)  # by repr, as nan is not nan
    if depth == 0 or isinstance(value, nn.Module | torch.Tensor | type | FunctionType):
        return None
    if isinstance(value, dict | list | tuple) and len(value) > _MANY:
        return len(value)
    if isinstance(value, dict):
        return [(_form(k, depth - 1), _form(v, depth - 1)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return [_form(part, depth - 1) for part in value]
    return _form(getattr(value, "__dict__", None), depth - 1)


def _generator_state(generator: Any) -> str:
    if isinstance(generator, random.Random):
        return repr(generator.getstate())
    if isinstance(generator, np.random.RandomState):
        state = generator.get_state(legacy=False)
        return repr((state["state"]["key"].tolist(), state["state"]["pos"]))
    return repr(generator.bit_generator.state)
