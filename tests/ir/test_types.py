import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphir.ir import Batch, TensorType
from morphir.ir.types import dtype_name, parse_dim, parse_dtype

ALL_DTYPES = sorted({d for d in vars(torch).values() if isinstance(d, torch.dtype)}, key=str)


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=str)
def test_every_dtype_of_torch_has_a_name_that_is_read_back(dtype: torch.dtype):
    """IR-8"""
    assert parse_dtype(dtype_name(dtype)) is dtype


@given(
    st.sampled_from(ALL_DTYPES),
    st.lists(st.one_of(st.integers(0, 10**6), st.builds(Batch, st.integers(1, 99))), max_size=5),
)
def test_types_print_and_parse(dtype: torch.dtype, dims: list[int | Batch]):
    """IR-8"""
    kind = TensorType(dtype, tuple(dims))
    assert TensorType.parse(str(kind)) == kind


@pytest.mark.parametrize(("dim", "text"), [(Batch(), "B"), (Batch(3), "3*B"), (0, "0"), (12, "12")])
def test_a_dimension_prints_as_one_says_it(dim: int | Batch, text: str):
    assert str(dim) == text
    assert parse_dim(text) == dim


def test_a_type_is_that_of_its_tensor_and_knows_its_sizes():
    assert str(TensorType.of(torch.zeros(2, 3, dtype=torch.int8))) == "i8[2, 3]"
    assert TensorType(torch.float32, (Batch(2), 3)).sizes(5) == (10, 3)
    assert TensorType.of(torch.zeros(())) == TensorType(torch.float32, ())


@pytest.mark.parametrize("text", ["f33[2]", "save[2]", "f32[x]", "f32[2*C]", "f32[2B]"])
def test_what_is_no_type_is_refused(text: str):
    with pytest.raises(ValueError):  # noqa: PT011 - int() says it in its own words
        TensorType.parse(text)
