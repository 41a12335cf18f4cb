"""The op table: declarations by name, and torch calls recognised as ops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import nn

from morphir.ops.base import Op, Spelling
from morphir.ops.parameters import bind_arguments, is_default, parse_parameters


@final
class OpTable:
    """The declarations by name and by torch callable."""

    def __init__(self, ops: Sequence[Op]) -> None:
        """Builds the table.

        Raises:
            ValueError: Two ops have the same name, or one callable means two ops in the same way.
        """
        self.ops = tuple(ops)
        self._by_name = {op.name: op for op in self.ops}
        if len(self._by_name) < len(self.ops):
            names = [op.name for op in self.ops]
            raise ValueError(
                f"op declared twice: {sorted({n for n in names if names.count(n) > 1})}"
            )
        self._by_function: dict[Any, list[tuple[Op, Spelling]]] = {}
        for op in self.ops:
            for spelling in op.spellings:
                self._add(op, spelling if isinstance(spelling, Spelling) else Spelling(spelling))

    def _add(self, op: Op, spelling: Spelling) -> None:
        for function in (spelling.function, *in_place_forms(spelling.function)):
            known = self._by_function.setdefault(function, [])
            for other, given in known:
                if given.when is None and spelling.when is None and other is not op:
                    raise ValueError(f"{function} means both {other.name!r} and {op.name!r}")
            if (op, spelling) not in known:
                known.append((op, spelling))

    def get(self, name: str) -> Op | None:
        """The declaration of a canonical name, or None for an undeclared op."""
        return self._by_name.get(name)

    def bind(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Op, dict[str, Any]] | None:
        """Recognises a torch call.

        Returns:
            The op and its canonical arguments with defaults left out, or None when the callable is
            undeclared or was called in a form that no spelling covers.
        """
        try:
            candidates = self._by_function.get(function, ())
        except TypeError:  # an unhashable callable
            return None
        for op, spelling in candidates:
            arguments = _bind(op, spelling, args, kwargs)
            if arguments is not None:
                return op, arguments
        return None


def _bind(
    op: Op, spelling: Spelling, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any] | None:
    bound = bind_arguments(parse_parameters(spelling.parameters or op.parameters), args, kwargs)
    if bound is None or (spelling.when is not None and not spelling.when(bound)):
        return None
    bound.update(spelling.extra)
    defaults = {parameter.name: parameter.default for parameter in op.parameter_list}
    if not bound.keys() <= defaults.keys():
        return None
    return {
        name: bound[name]
        for name, default in defaults.items()
        if name in bound and not is_default(bound[name], default)
    }


# By name they are in-place forms, but they read no probability and no mean from their operand.
_OTHERS: Final = (torch.Tensor.bernoulli_, torch.Tensor.normal_)


def in_place_forms(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The torch callables that do the same in place: `add_`, `__iadd__`, `relu_`."""
    name = getattr(function, "__name__", "")
    form = f"__i{name[2:]}" if name.startswith("__") else f"{name}_"
    owners: tuple[Any, ...] = (torch.Tensor, torch, nn.functional)
    found = [getattr(owner, form) for owner in owners if name and hasattr(owner, form)]
    return [form for form in found if form not in _OTHERS]
