"""A fixture for the tests of your own repository: `pytest_plugins = ["morphir.testing.plugin"]`.

Put that line into the `conftest.py` in the root of your repository.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from morphir.ir import Grade, Report
from morphir.verify import verify


@pytest.fixture
def assert_same_function() -> Callable[..., Report]:
    """Asserts that two modules compute the same.

    The function takes two modules, `min_grade=` (by default `TESTED`), and what `morphir.verify`
    takes. It returns the report, and fails with it.

    Example:
        def test_my_edit(assert_same_function):
            assert_same_function(net, faster(net), example_inputs=(x,))
    """

    def check(
        before: nn.Module, after: nn.Module, *, min_grade: Grade = Grade.TESTED, **options: Any
    ) -> Report:
        report = verify(before, after, **options)
        if report.grade.rank > min_grade.rank:
            pytest.fail(f"expected {min_grade} or better, found:\n{report}", pytrace=False)
        return report

    return check
