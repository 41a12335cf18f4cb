"""Parameter lists, and how a call's arguments are bound to them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, final

import torch

MISSING: Final = object()
_NUMPY_NAMES: Final = {"axis": "dim", "keepdims": "keepdim"}  # torch takes these too
_NAMED_DEFAULTS: Final[Mapping[str, Any]] = {"inf": float("inf")}


@final
@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an op or of a spelling.

    `weight`, `bias=None`; `*shape` takes the rest as one tuple, and what follows a bare `*` is
    keyword-only, as in Python. `split_size_or_sections:split_size` is known to torch by the first
    name and to the op by the second. `-inplace=False` is accepted and dropped,
    `!return_indices=False` is dropped, and accepted with its default only.
    """

    keyword: str
    name: str
    default: Any = MISSING
    variadic: bool = False
    ignored: bool = False
    only_default: bool = False
    keyword_only: bool = False

    @classmethod
    def parse(cls, text: str, *, keyword_only: bool = False) -> Parameter:
        """Reads one parameter."""
        sigil = text[0] if text[0] in "*-!" else ""
        name, _, default = text.removeprefix(sigil).partition("=")
        keyword, _, own = name.partition(":")
        value = MISSING
        if default:
            value = _NAMED_DEFAULTS.get(default, MISSING)
            value = ast.literal_eval(default) if value is MISSING else value
        ignored = sigil in ("-", "!")
        return cls(
            keyword, own or keyword, value, sigil == "*", ignored, sigil == "!", keyword_only
        )


@cache
def parse_parameters(text: str) -> tuple[Parameter, ...]:
    """Reads a parameter list such as `input, weight, bias=None`."""
    depth, parts = 0, [""]
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    names = [part.strip() for part in parts if part.strip()]
    star = names.index("*") if "*" in names else len(names)
    return tuple(
        Parameter.parse(name, keyword_only=index > star)
        for index, name in enumerate(names)
        if index != star
    )


def bind_arguments(
    parameters: Sequence[Parameter], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Gives every parameter its argument, lists as tuples; None where the call does not fit."""
    names = {parameter.keyword for parameter in parameters}
    kwargs = {key if key in names else _NUMPY_NAMES.get(key, key): kwargs[key] for key in kwargs}
    if not kwargs.keys() <= names:
        return None
    bound: dict[str, Any] = {}
    rest = list(args)
    for parameter in parameters:
        if parameter.variadic and rest:
            single = len(rest) == 1 and isinstance(rest[0], list | tuple)
            bound[parameter.name] = rest[0] if single else tuple(rest)
            rest = []
        elif rest and not parameter.keyword_only:
            bound[parameter.name] = rest.pop(0)
        elif parameter.keyword in kwargs:
            bound[parameter.name] = kwargs[parameter.keyword]
        elif parameter.default is not MISSING:
            bound[parameter.name] = parameter.default
        else:
            return None
    only_defaults = (is_default(bound[p.name], p.default) for p in parameters if p.only_default)
    if rest or not all(only_defaults):
        return None
    return {p.name: _frozen(bound[p.name]) for p in parameters if not p.ignored}


def is_default(value: Any, default: Any) -> bool:
    """Whether an argument is the default: same type and equal; 1 is not 1.0."""
    return type(value) is type(default) and not isinstance(value, torch.Tensor) and value == default


def _frozen(value: Any) -> Any:
    """Turns lists and `torch.Size` into tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
