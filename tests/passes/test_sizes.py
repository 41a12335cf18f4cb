"""Sizes that can be asked for, in every pass that takes one."""

import pytest

from morphir import ExtendInputPass, ExtendOutputPass, RefusalError, WiderPass
from morphir.passes.sizes import is_size


@pytest.mark.parametrize("size", [1, 2**24])
def test_a_size_is_a_whole_number_of_units(size: int):
    assert is_size(size)


@pytest.mark.parametrize("size", [0, -1, True, 4.0, "4", None, 2**24 + 1])
def test_anything_else_is_none(size: object):
    assert not is_size(size)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WiderPass("0", 10**12),
        lambda: WiderPass("0", heads=10**12),
        lambda: ExtendInputPass("x", 10**12),
        lambda: ExtendOutputPass("0", 10**12),
    ],
)
def test_a_size_that_no_memory_holds_is_refused_at_once(make):
    expected = r"=1000000000000, expected a positive integer of at most 16,777,216"
    with pytest.raises(RefusalError, match=expected):
        make()
