"""Runs torch's functions on lifted numbers, and says which kernels that took."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

from morphir.field.kernels import KERNELS
from morphir.field.modular import PrimeField
from morphir.field.reading import Unread
from morphir.field.residues import Gates, Kernels, Residues, Run

FIELD = PrimeField.drawn(5)

Case = tuple[str, Callable[..., Any], tuple[Any, ...]]


class _Noting(dict[str, Any]):
    """A table that notes what is looked up in it with success."""

    def __init__(self, table: Any, used: set[str]) -> None:
        super().__init__(table)
        self._used = used

    def get(self, name: str, default: Any = None) -> Any:
        if name in self.keys():
            self._used.add(name)
        return super().get(name, default)


class _NotingNames(frozenset[str]):
    used: set[str]

    def __contains__(self, name: object) -> bool:
        found = super().__contains__(name)
        if found:
            self.used.add(str(name))
        return found


def new_run(gates: Gates = "square", used: set[str] | None = None) -> Run:
    used = set() if used is None else used
    moving = _NotingNames(KERNELS.moving)
    moving.used = used
    computed = _Noting(KERNELS.computed, used)
    return Run(FIELD, gates, Kernels(_Noting(KERNELS.makers, used), computed, moving))


def lift(value: Any, run: Run) -> Any:
    """Residues in the place of floats, in any container."""

    def lifted(leaf: Any) -> Any:
        is_float = isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
        return Residues(run.field.lift(leaf), leaf.dtype, run) if is_float else leaf

    return tree_map(lifted, value)


def call(
    function: Callable[..., Any],
    *args: Any,
    run: Run | None = None,
    inference: bool = False,
) -> Any:
    """What a function returns on lifted arguments: residues, and other things as they are."""
    run = new_run() if run is None else run
    given = lift(args, run)
    run.begin("call")
    mode: AbstractContextManager[Any] = torch.inference_mode() if inference else torch.no_grad()
    with mode, run, Unread():
        return bare(function(*given))


def bare(value: Any) -> Any:
    """The int64 tensors of residues."""
    return tree_map(lambda leaf: leaf.residues if isinstance(leaf, Residues) else leaf, value)


def assert_lifts(case: Case) -> None:
    """A function of lifted numbers is the lifted function of the numbers, and a kernel computes it.

    Where torch takes a function apart before a kernel is asked for, it does not in inference mode.
    """
    name, function, args = case
    used: set[str] = set()
    for inference in (False, True):
        found = call(function, *args, run=new_run(used=used), inference=inference)
        doubled = tree_map(_double, args)
        expected = function(*doubled)
        assert_is_lifted(found, expected)
    assert name in used, f"{name} was not called, but {sorted(used)}"


def assert_is_lifted(found: Any, expected: Any) -> None:
    pairs = [*zip(tree_leaves(found), tree_leaves(expected), strict=True)]
    assert pairs
    for residues, number in pairs:
        if not isinstance(number, torch.Tensor):
            assert residues == number
        elif number.is_floating_point():
            assert torch.equal(residues, FIELD.lift(number))
        else:
            assert torch.equal(residues, number)


def _double(leaf: Any) -> Any:
    is_float = isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
    return leaf.double().clone() if is_float else leaf.clone() if torch.is_tensor(leaf) else leaf


def whole(*shape: int, most: int = 9, times: int = 1) -> torch.Tensor:
    """Small whole numbers of both signs."""
    return torch.randint(-most, most + 1, shape).float() * times


def cases(*found: Case) -> pytest.MarkDecorator:
    """One test for each, named by its kernel."""
    return pytest.mark.parametrize("case", found, ids=[name for name, *_ in found])
