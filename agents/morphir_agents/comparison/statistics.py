"""What is said of the returns of several seeds.

    COMPARE-1   the final return of a run is the mean of the last ceil(n / 10) of its n evaluations
    COMPARE-2   its area is the mean over steps of the line through its evaluations, from the first
                to the last: the area under the curve, over its length
    COMPARE-3   the interquartile mean of n numbers is the mean of what is left without the
                floor(n / 4) smallest and the floor(n / 4) largest
    COMPARE-4   its 95 % interval goes from the 2.5th to the 97.5th percentile of the interquartile
                means of 2,000 samples with replacement, always the same; of fewer than 3 numbers
                there is none

Few runs say little, and a mean is what one lucky seed makes of it: Agarwal et al. 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

__all__ = [
    "LEAST_FOR_AN_INTERVAL",
    "Figures",
    "area",
    "figures",
    "final_return",
    "interquartile_mean",
    "interval",
]

LEAST_FOR_AN_INTERVAL = 3
_SAMPLES = 2_000


@final
@dataclass(frozen=True)
class Figures:
    """What is left of one number per seed."""

    median: float
    iqm: float
    interval: tuple[float, float] | None
    """None where the seeds are too few."""


def figures(values: Sequence[float]) -> Figures:
    """The figures of one number per seed."""
    array = np.asarray(values)
    bounds = interval(array)
    return Figures(
        median=float(np.median(array)),
        iqm=float(interquartile_mean(array)),
        interval=None if bounds is None else (float(bounds[0]), float(bounds[1])),
    )


def final_return(returns: Sequence[float]) -> float:
    """The mean of the last tenth of a run's evaluations (COMPARE-1)."""
    return float(np.mean(returns[-math.ceil(len(returns) / 10) :]))


def area(steps: Sequence[int], returns: Sequence[float]) -> float:
    """The mean return over the steps of a run (COMPARE-2)."""
    length = steps[-1] - steps[0]
    return float(np.trapezoid(returns, steps)) / length if length else float(returns[0])


def interquartile_mean(values: np.ndarray, axis: int = 0) -> Any:
    """The mean of the middle half (COMPARE-3)."""
    from scipy.stats import trim_mean  # takes two seconds to load

    return trim_mean(values, 0.25, axis=axis)


def interval(values: np.ndarray) -> tuple[Any, Any] | None:
    """The bounds of the interquartile mean over the first axis (COMPARE-4)."""
    from scipy.stats import bootstrap

    if len(values) < LEAST_FOR_AN_INTERVAL:
        return None
    found = bootstrap(
        (values,),
        interquartile_mean,
        axis=0,
        n_resamples=_SAMPLES,
        confidence_level=0.95,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return found.low, found.high
