"""The examples on the pages about certificates and passes are run."""

import doctest
from pathlib import Path

import pytest

SPEC = Path(__file__).parents[2] / "spec"


PAGES = (
    "certificate", "compact", "deeper", "extend", "inject", "masks", "prune", "restart", "wider",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_examples_give_what_they_show(page: str):
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testfile(str(SPEC / f"{page}.md"), module_relative=False, optionflags=options)
    assert results.attempted > 3
    assert results.failed == 0
