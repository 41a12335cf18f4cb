"""Examples in docstrings are run."""

import doctest
import importlib
import pkgutil

import pytest

import morphir

MODULES = [each.name for each in pkgutil.walk_packages(morphir.__path__, "morphir.")]


def test_there_are_modules_with_examples():
    finder = doctest.DocTestFinder()
    tests = [each for name in MODULES for each in finder.find(importlib.import_module(name))]
    assert any(each.examples for each in tests)


@pytest.mark.parametrize("name", ["morphir", *MODULES])
def test_examples_give_what_they_show(name: str):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.failed == 0, f"{name}: see the output above"
