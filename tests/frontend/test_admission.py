from collections.abc import Iterator

import pytest
import torch
from torch import distributed, nn

from morphir.errors import RefusalError
from morphir.frontend import check_module


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


@pytest.fixture
def process_group() -> Iterator[None]:
    """One process that talks to itself."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def sharded() -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(nn.Sequential(nn.Linear(2, 2)), mesh=init_device_mesh("cpu", (1,)))


def fully_sharded() -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(nn.Linear(2, 2), device_id=torch.device("cpu"))


def tensor_parallel() -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    model = nn.Sequential(nn.Linear(2, 2))
    return parallelize_module(model, init_device_mesh("cpu", (1,)), {"0": ColwiseParallel()})


@pytest.mark.filterwarnings("ignore")  # torch's own, about a group of one
@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize(
    ("make", "words", "suggestion"),
    [
        (lambda: nn.parallel.DistributedDataParallel(nn.Linear(2, 2)),
         "DistributedDataParallel is a wrapper", "every rank"),
        (lambda: nn.Sequential(fully_sharded()), "FullyShardedDataParallel is a wrapper",
         "before wrapping"),
        (sharded, "sharded by fully_shard", "gather it"),
        (tensor_parallel, "is distributed over devices", "gather it"),
    ],
    ids=["DDP", "FSDP", "fully_shard", "tensor parallel"],
)  # fmt: skip
def test_distributed_modules_are_refused(make, words: str, suggestion: str):
    with pytest.raises(RefusalError, match=words) as caught:
        check_module(make())
    assert suggestion in " ".join(caught.value.suggestions)


def test_the_place_of_a_wrapper_is_named():
    model = nn.Sequential(nn.Linear(2, 2), nn.DataParallel(nn.Linear(2, 2)))
    with pytest.raises(RefusalError) as caught:
        check_module(model)
    assert caught.value.nodes == ("1",)


def test_plain_modules_with_scripted_parts_are_admitted():
    check_module(nn.Sequential(nn.Linear(2, 2), scripted()))
    assert nn.Sequential(scripted())(torch.ones(1, 2)).shape == (1, 2)
