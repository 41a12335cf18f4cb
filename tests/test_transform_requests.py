"""Bad input is one clear error, and nothing happened."""

import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import morphir
from morphir import DeeperPass, RefusalError
from tests.specimens import Net, fingerprint

AT = DeeperPass(at="extractor.1")


def wrapped() -> nn.Module:
    net = Net()
    net.part = nn.DataParallel(nn.Linear(4, 4))
    return net


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(4), nn.ReLU())


class NoForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "net", "expected a torch.nn.Module, found str"),
        (lambda: Net, "expected a torch.nn.Module, found type"),
        (lambda: Net().to("meta"), "on the meta device"),
        (lambda: nn.DataParallel(Net()), "DataParallel is a wrapper"),
        (wrapped, r"DataParallel is a wrapper(.|\n)*at: part"),
        (lambda: torch.compile(Net(), backend="eager"), "OptimizedModule is a wrapper"),
        (lambda: torch.jit.script(Net()), "TorchScript"),
        (lazy, "a lazy parameter has no shape yet"),
        (NoForward, r"no forward(.|\n)*entry_points=\('act',\)"),
    ],
)
def test_back_6_what_is_no_ordinary_module_is_one_clear_error(make, message):
    """BACK-6"""
    model = make()
    with pytest.raises(RefusalError, match=message):
        morphir.transform(model, AT)


@pytest.fixture
def process_group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (nn.parallel.DistributedDataParallel, r"DistributedDataParallel(.|\n)*model.module"),
        (
            lambda net: fully_shard(net, mesh=init_device_mesh("cpu", (1,))),
            r"sharded by fully_shard(.|\n)*gather it",
        ),
    ],
)
def test_back_6_models_that_are_spread_over_devices_are_refused(wrap, message, process_group):
    """BACK-6"""
    model = wrap(Net())
    keys = [*model.state_dict()]
    with pytest.raises(RefusalError, match=message):
        morphir.transform(model, AT, inplace=True)
    assert [*model.state_dict()] == keys


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pass_": DeeperPass(at="extractor.l")}, r"no module 'extractor.l'(.|\n)*'extractor.1'"),
        ({"pass_": []}, "expected a pass or a flat list of passes, found an empty list"),
        ({"pass_": [[AT], AT]}, r"found \[DeeperPass"),
        ({"pass_": DeeperPass}, "expected a pass.*found <class"),
        ({"pass_": "extractor.1"}, "found 'extractor.1'"),
        ({"min_grade": "PROVED"}, "min_grade is 'PROVED', expected a morphir.Grade"),
        ({"entry_points": "forward"}, "expected a tuple of method names"),
        ({"entry_points": ("forwards",)}, "'forwards'"),
        ({"example_inputs": {"act": (1,)}}, "'act', which is not among the entry points 'forward'"),
        ({"example_inputs": (3,)}, "no tensor among the example inputs"),
        ({"example_inputs": (torch.zeros(2, 9),)}, "failed on its example inputs"),
        ({"optimizer": torch.optim.Adam}, "found the class Adam"),
    ],
)
@pytest.mark.parametrize("inplace", [False, True])
def test_back_6_bad_requests_change_nothing(options, message, inplace):
    """BACK-6"""
    net = Net()
    mine = torch.optim.Adam(net.parameters())
    before = fingerprint(net, [mine])
    with pytest.raises(RefusalError, match=message):
        morphir.transform(net, **{"pass_": AT, "optimizer": mine, "inplace": inplace, **options})
    assert fingerprint(net, [mine]) == before
