import pytest
import torch

from morphir.frontend.surface import COUNTS, EXPOSES_MEMORY, METADATA, SHAPES, function_name

X = torch.rand(2, 3)
# Of the object, not of its elements; or not for such a tensor.
OTHER = {
    "register_hook", "requires_grad_", "retain_grad", "__set__", "__hash__", "is_same_size",
    "is_set_to", "result_type", "get_device", "is_pinned",
}  # fmt: skip


def name(function):
    """Without the address that its own text form may have."""
    return (
        f"{getattr(function.__self__, '__name__', '')}.{function.__name__}"
        if hasattr(function, "__self__")
        else function.__qualname__
    )


ASKS = [f for f in METADATA if getattr(f, "__name__", "") not in OTHER]


@pytest.mark.parametrize("function", sorted(ASKS, key=name), ids=name)
def test_metadata_tells_nothing_about_elements(function):
    """FRONT-5: what is recorded without a node must be the same for all elements."""
    results = [function(tensor) for tensor in (X, X * 2 + 1)]
    assert not any(isinstance(result, torch.Tensor) for result in results)
    assert results[0] == results[1]


def test_the_groups_do_not_overlap():
    groups = [METADATA, SHAPES, COUNTS, EXPOSES_MEMORY]
    assert sum(map(len, groups)) == len(frozenset().union(*groups))


@pytest.mark.parametrize(
    "name", ["item", "tolist", "__bool__", "__float__", "__repr__", "__format__", "type", "data"]
)
def test_what_gives_elements_or_tensors_is_no_metadata(name: str):
    member = getattr(torch.Tensor, name)
    assert getattr(member, "__get__", None) not in METADATA
    assert member not in METADATA


def test_functions_are_called_by_the_name_they_can_be_found_under():
    assert function_name(torch.relu) == "torch.relu"
    assert function_name(torch.Tensor.add) == "torch.Tensor.add"
    assert function_name(torch.ops.aten.relu.default) == "torch.ops.aten.relu.default"
    assert function_name(Ellipsis.__class__) == "builtins.ellipsis"
