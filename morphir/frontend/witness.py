"""Watches what torch really does below the functional level: what is changed, and what is random.

A `TorchDispatchMode` sees every kernel that runs. From the kernel's schema it knows which tensors
are written to, however the model spelled that (`relu_`, `x[0] = 1`, `out=`, a view of a view,
inference mode), and it stops a kernel that would change memory which the scratch copy shares with
the user's model. What ran without any functional call around it (TorchScript, the C++ part of a
library) comes to the recorder through here, as kernels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from morphir.dispatch import Dispatch
from morphir.errors import RefusalError

# These write running statistics (operands 3 and 4) when operand 5 is true; their schemas hide it.
_NORMS: Final = ("aten::native_batch_norm", "aten::cudnn_batch_norm", "aten::miopen_batch_norm")


@final
@dataclass(frozen=True, slots=True)
class _Traits:
    """What a kernel's schema says."""

    written: tuple[tuple[int, str], ...]
    is_norm: bool
    draws: bool
    reads_numbers: bool


@cache
def _traits(kernel: Any) -> _Traits | None:
    """The traits of a kernel, or None where it neither writes nor draws."""
    arguments = kernel._schema.arguments
    traits = _Traits(
        tuple(
            (index, argument.name)
            for index, argument in enumerate(arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ),
        kernel._schema.name in _NORMS,
        torch.Tag.nondeterministic_seeded in kernel.tags,
        torch.Tag.dynamic_output_shape in kernel.tags
        or torch.Tag.data_dependent_output in kernel.tags,
    )
    plain = _Traits((), False, False, False)
    return None if traits == plain else traits


def memory_of(tensor: torch.Tensor) -> Any:
    """What tensors that share memory have in common: the address where it begins."""
    try:
        with torch._C.DisableTorchFunction():
            storage = tensor.untyped_storage()
        return storage.data_ptr() or ("storage", storage._cdata)
    except (NotImplementedError, RuntimeError):  # sparse, nested and functorch tensors have none
        return ("tensor", id(tensor))


@final
class Witness(Dispatch, TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects what the kernels did since `start`.

    Attributes:
        changed: Tensors that were written to.
        drew: Whether random numbers were drawn.
        read_numbers: Whether a kernel read elements to find a shape or a number.
    """

    def __init__(self, protected: Mapping[Any, str], *, everything: bool = False) -> None:
        """Starts with nothing seen.

        Args:
            protected: Memory that must not be written to, and what it is.
            everything: Protect all memory whatsoever.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.changed: list[torch.Tensor] = []
        self.drew = False
        self.read_numbers = False
        self._protected = dict(protected)
        self._everything = everything

    def start(self) -> None:
        """Forgets what was seen."""
        self.changed = []
        self.drew = self.read_numbers = False

    def protect(self, tensor: torch.Tensor, name: str) -> None:
        """Refuses from now on whatever would change this tensor's memory."""
        self._protected[memory_of(tensor)] = name

    def run(self, kernel: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Runs a kernel and notes what it does."""
        traits = _traits(kernel)
        if traits is None:
            return kernel(*args, **kwargs)
        written = [*_written(traits, args, kwargs)]
        for tensor in written:
            self.check(tensor)
        self.read_numbers |= traits.reads_numbers and not _picks_by_number(kernel, args)
        before = _generator_states(args, kwargs) if traits.draws else []
        result = kernel(*args, **kwargs)
        if traits.draws:
            after = _generator_states(args, kwargs)
            with torch._C.DisableTorchFunction():
                pairs = zip(before, after, strict=True)
                self.drew |= any(not torch.equal(old, new) for old, new in pairs)
        self.changed += written
        return result

    def check(self, tensor: torch.Tensor) -> None:
        """Refuses a change of protected memory.

        Raises:
            RefusalError: The tensor lies there.
        """
        name = self._protected.get(memory_of(tensor)) if self._protected else None
        if name is None and self._everything:
            name = "a tensor of its own"
        if name is not None:
            raise RefusalError(
                f"the model changes {name} in place while it runs",
                suggestions=["register what forward changes as a buffer"],
            )


def _written(
    traits: _Traits, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Iterable[torch.Tensor]:
    for index, name in traits.written:
        value = args[index] if index < len(args) else kwargs.get(name)
        yield from _tensors(value)
    if traits.is_norm and len(args) > 5 and args[5]:
        yield from _tensors(args[3:5])


def _picks_by_number(kernel: Any, args: Sequence[Any]) -> bool:
    """Whether `x[...]` is indexed by integers: only masks make its size follow from elements."""
    if kernel is not torch.ops.aten.index.Tensor:
        return False
    return all(index.dtype not in (torch.bool, torch.uint8) for index in _tensors(args[1]))


def _tensors(value: Any) -> Iterable[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _generator_states(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[torch.Tensor]:
    """The states of the generators that a kernel may draw from."""
    given = [v for v in (*args, *kwargs.values()) if isinstance(v, torch.Generator)]
    if given:
        return [generator.get_state() for generator in given]
    states = [torch.default_generator.get_state()]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states += torch.cuda.get_rng_state_all()
    return states
