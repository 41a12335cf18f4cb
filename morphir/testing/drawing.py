"""One example of a strategy from a seed, without a test around it."""

from __future__ import annotations

from typing import Final, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

_WARM: Final = 3  # examples of a run of hypothesis, of which the first are the simplest
Example = TypeVar("Example")


def drawn(strategy: st.SearchStrategy[Example], seed: int) -> Example:
    """Draws from a run of its own, since the examples of one run resemble each other.

    Args:
        strategy: What to draw from.
        seed: The same seed gives the same example.
    """
    found: list[Example] = []

    @seeded(seed)
    @settings(
        max_examples=_WARM,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(strategy)
    def draw(example: Example) -> None:
        found.append(example)

    draw()
    return found[-1]
