"""Random state that is borrowed and given back, and seeds that are the same on every machine."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Puts back the states of torch, numpy and random as they were.

    This costs far more than seeding does: around many calls it is to be entered once.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    cpu_state = torch.get_rng_state()
    has_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda_states = torch.cuda.get_rng_state_all() if has_cuda else []
    try:
        yield
    finally:
        torch.set_rng_state(cpu_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def seed_random_state(seed: int) -> None:
    """Seeds torch, numpy and random.

    `torch.manual_seed` would prepare every kind of accelerator, at most of a millisecond a call:
    only those in use are touched.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def forked_random_state(seed: int) -> Iterator[None]:
    """Seeds torch, numpy and random for a while, and puts back what they were."""
    with kept_random_state():
        seed_random_state(seed)
        yield


def host_has_drawn(seed: int) -> bool:
    """Whether Python or numpy drew since they were seeded; the answer costs one draw of each."""
    return _next_numbers() != _first_numbers(seed)


def _next_numbers() -> tuple[float, float]:
    return random.random(), np.random.random()


@cache
def _first_numbers(seed: int) -> tuple[float, float]:
    with forked_random_state(seed):
        return _next_numbers()


def derive_seed(seed: int, name: str, number: int) -> int:
    """A seed for one draw: a hash of the pass's seed, the place and the count."""
    text = f"{seed}/{name}/{number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
