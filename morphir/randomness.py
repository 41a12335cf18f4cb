"""Random state that is borrowed and given back, and seeds that are the same on every machine."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def forked_random_state(seed: int) -> Iterator[None]:
    """Seeds torch, numpy and random for a while, and puts back what they were.

    `torch.manual_seed` would prepare every kind of accelerator, at most of a millisecond a call:
    only those in use are touched.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()
    cpu_state = torch.get_rng_state()
    has_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda_states = torch.cuda.get_rng_state_all() if has_cuda else []
    torch.default_generator.manual_seed(seed)
    if cuda_states:
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(cpu_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def derive_seed(seed: int, name: str, number: int) -> int:
    """A seed for one draw: a hash of the pass's seed, the place and the count."""
    text = f"{seed}/{name}/{number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
