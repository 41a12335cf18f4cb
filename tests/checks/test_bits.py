"""Equality to the bit: what `==` and `torch.equal` get wrong."""

import pytest
import torch

from morphir.checks.bits import bits, digest, equal_bits, fingerprint

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.uint8, torch.bool, torch.complex64, torch.complex128),
]


@pytest.fixture(params=[digest, fingerprint], ids=lambda function: function.__name__)
def hashed(request):
    return request.param


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4)])
def test_a_copy_is_equal_and_a_changed_one_is_not(
    dtype: torch.dtype, shape: tuple[int, ...], hashed
):
    tensor = torch.zeros(shape, dtype=dtype)
    assert equal_bits(tensor, tensor.clone())
    assert hashed(tensor) == hashed(tensor.clone())
    if tensor.numel():
        other = tensor.clone()
        other.view(-1)[-1] = 1
        assert not equal_bits(tensor, other)
        assert hashed(tensor) != hashed(other)


def test_nan_is_itself_and_negative_zero_is_not_zero(hashed):
    assert equal_bits(torch.tensor(float("nan")), torch.tensor(float("nan")))
    assert not equal_bits(torch.tensor(0.0), torch.tensor(-0.0))
    assert hashed(torch.tensor(0.0)) != hashed(torch.tensor(-0.0))


def test_dtype_and_shape_are_part_of_it(hashed):
    assert not equal_bits(torch.zeros(4), torch.zeros(4, dtype=torch.int32))
    assert not equal_bits(torch.zeros(4), torch.zeros(2, 2))
    assert hashed(torch.zeros(4)) != hashed(torch.zeros(2, 2))
    assert hashed(torch.zeros(4)) != hashed(torch.zeros(4, dtype=torch.int32))


def test_the_layout_in_memory_is_not(hashed):
    tensor = torch.randn(4, 6)
    assert equal_bits(tensor, tensor.t().contiguous().t())
    assert hashed(tensor) == hashed(tensor.t().contiguous().t())
    conjugate = torch.randn(3, dtype=torch.complex64).conj()
    assert equal_bits(conjugate, conjugate.resolve_conj())


def test_bits_are_read_where_they_are(hashed):
    """Not where new tensors would be made, which may be another device."""
    one, other = torch.ones(3), torch.tensor([1.0, 1.0, 2.0])
    with torch.device("meta"):
        assert equal_bits(one, one.clone())
        assert not equal_bits(one, other)
        assert hashed(one) != hashed(other)


def test_a_part_of_what_is_in_memory_is_as_good_as_a_copy(hashed):
    one = torch.arange(12)
    for dtype in (torch.uint8, torch.int16, torch.float32, torch.complex64):
        part = one.to(dtype)[1::2]
        assert equal_bits(part, part.clone())
        assert hashed(part) == hashed(part.clone())
        assert not equal_bits(part, part + 1)


def test_what_has_no_bits_equals_nothing_else(hashed):
    meta, sparse = torch.zeros(2, device="meta"), torch.eye(2).to_sparse()
    assert bits(meta) is None
    assert hashed(sparse) is None
    assert not equal_bits(meta, meta)
    assert not equal_bits(meta, torch.zeros(2, device="meta"))
    assert not equal_bits(sparse, torch.eye(2).to_sparse())
    assert equal_bits(sparse, sparse)
    assert not equal_bits(None, None)
    assert not equal_bits(torch.zeros(1), None)
