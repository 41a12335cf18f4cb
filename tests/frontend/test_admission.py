import pytest
import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.frontend import check_module


class DistributedDataParallel(nn.Module):
    """Called as torch's own; made without a process group."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class FullyShardedDataParallel(DistributedDataParallel):
    """As above."""


class FSDPModule:
    """What `fully_shard` mixes in."""


class FSDPLinear(FSDPModule, nn.Linear):
    """What it turns a Linear into."""


def scripted() -> nn.Module:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(nn.Linear(2, 2))


def compiled() -> nn.Module:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.compile(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("make", "words", "suggestion"),
    [
        (lambda: "agent", "expected a torch.nn.Module, found str", "the module inside it"),
        (lambda: nn.Linear, "expected a torch.nn.Module, found type", "the module inside it"),
        (lambda: nn.DataParallel(nn.Linear(2, 2)), "DataParallel is a wrapper", "model.module"),
        (lambda: DistributedDataParallel(nn.Linear(2, 2)), "DistributedDataParallel", "every rank"),
        (lambda: nn.Sequential(FullyShardedDataParallel(nn.Linear(2, 2))),
         "FullyShardedDataParallel is a wrapper", "before wrapping"),
        (lambda: nn.Sequential(FSDPLinear(2, 2)), "sharded by fully_shard", "gather it"),
        (compiled, "OptimizedModule is a wrapper", "_orig_mod"),
        (lambda: nn.Sequential(nn.Linear(2, 2), compiled()), "OptimizedModule", "_orig_mod"),
        (scripted, "TorchScript module", "the Python module"),
        (lambda: nn.LazyLinear(2), "has no shape yet", "run the model once"),
        (lambda: nn.Linear(2, 2, device="meta"), "on the meta device", "to_empty"),
        (lambda: nn.BatchNorm1d(2, affine=False, device="meta"), "on the meta device", "to_empty"),
    ],
)  # fmt: skip
def test_what_is_no_plain_module_is_refused_with_one_clear_message(make, words, suggestion):
    with pytest.raises(RefusalError, match=words) as caught:
        check_module(make())
    assert suggestion in " ".join(caught.value.suggestions)
    assert len(str(caught.value).splitlines()) <= 3


def test_the_place_of_a_wrapper_is_named():
    model = nn.Sequential(nn.Linear(2, 2), nn.DataParallel(nn.Linear(2, 2)))
    with pytest.raises(RefusalError) as caught:
        check_module(model)
    assert caught.value.nodes == ("1",)


def test_plain_modules_with_scripted_parts_are_admitted():
    check_module(nn.Sequential(nn.Linear(2, 2), scripted()))
    assert nn.Sequential(scripted())(torch.ones(1, 2)).shape == (1, 2)
