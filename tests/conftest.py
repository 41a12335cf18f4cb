"""What every test needs: one thread, fixed seeds, hypothesis profiles."""

import random

import numpy as np
import pytest
import torch

from morphir.testing import register_profiles

register_profiles()

# Two threads on two busy cores wait for each other: measured at up to a hundred times slower.
torch.set_num_threads(1)


def seed() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    seed()


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Inputs that a test file draws when it is imported are the same in every run."""
    if isinstance(collector, pytest.Module):
        seed()
