"""Profiles of hypothesis that fit tests of modules.

TESTING-22   the profile of a run is `HYPOTHESIS_PROFILE`, else `ci` where `CI` is set, else
             `dev`; in `ci` the examples are the same in every run
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings


def register_profiles() -> str:
    """Registers `dev`, `ci` and `nightly`, loads the one that is asked for, and returns its name.

    Call it in `conftest.py`. None of them has deadlines: the first call of a torch function takes
    many times longer than the next.

    Example:
        >>> from hypothesis import settings
        >>> from morphir.testing import register_profiles
        >>> before = settings()
        >>> name = register_profiles()
        >>> settings.get_profile(name).deadline is None
        True
        >>> settings.register_profile("as before", before)
        >>> settings.load_profile("as before")
    """
    # What is not said is taken from the profile that is loaded: so each says everything.
    every = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
    short = settings(every, max_examples=50, stateful_step_count=8)
    settings.register_profile("dev", short, derandomize=False)
    settings.register_profile("ci", short, derandomize=True)
    settings.register_profile(
        "nightly", every, max_examples=1000, stateful_step_count=30, derandomize=False
    )
    name = os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev")
    settings.load_profile(name)
    return name
