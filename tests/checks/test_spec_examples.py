"""The examples on the pages about certificates and insertions are run."""

import doctest
from pathlib import Path

import pytest

SPEC = Path(__file__).parents[2] / "spec"


@pytest.mark.parametrize(
    "page", ["certificate.md", "deeper.md", "extend.md", "inject.md", "wider.md"]
)
def test_examples_give_what_they_show(page: str):
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    results = doctest.testfile(str(SPEC / page), module_relative=False, optionflags=options)
    assert results.attempted > 3
    assert results.failed == 0
