"""What every test needs: one thread, fixed seeds, hypothesis profiles."""

import os
import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

# No deadlines: the first call to a torch function takes many times longer than the next.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "nightly",
    max_examples=1000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))

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
