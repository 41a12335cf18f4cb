"""Every activation of `torch.nn` is declared, and builds the module that it names."""

import inspect
import random

import pytest
import torch
from torch import nn
from torch.nn.modules import activation
from torch.overrides import TorchFunctionMode

from morphir.ops import DEFAULT_TABLE, OPS, Op

# It holds projections of its own: what it calls is undeclared, and blocks what passes through.
NOT_ELEMENTARY = {"MultiheadAttention"}
MODULES = {
    name: cls
    for name, cls in vars(activation).items()
    if inspect.isclass(cls) and issubclass(cls, nn.Module) and name in activation.__all__
}
ARGUMENTS = {"Threshold": (0.5, -1.0), "Softmax": (-1,), "LogSoftmax": (-1,), "Softmin": (-1,)}


class Seen(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.bound = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") != "dim":
            self.bound.append(DEFAULT_TABLE.bind(func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def test_torch_has_the_activations_that_we_think_it_has():
    assert len(MODULES) >= 29
    assert MODULES.keys() > NOT_ELEMENTARY


CASES = [
    (name, {"inplace": True} if inplace else {})
    for name, cls in MODULES.items()
    for inplace in (False, True)
    if name not in NOT_ELEMENTARY
    and (not inplace or "inplace" in inspect.signature(cls).parameters)
]


@pytest.mark.parametrize(("name", "inplace"), CASES)
def test_every_activation_module_is_one_declared_op(name, inplace):
    cls = MODULES[name]
    module = cls(*ARGUMENTS.get(name, ()), **inplace).eval()
    x = torch.randn(2, 4, 4, 4)
    given = x.clone()
    with torch.no_grad(), Seen() as seen:
        expected = module(given)
    (bound,) = seen.bound
    assert bound is not None, f"{name} is not recognised"
    op, arguments = bound
    if not inplace:
        assert torch.equal(op.execute(arguments), expected)
    # PReLU has a parameter, RReLU is random in train mode, Softmax2d is a Softmax with a check.
    if name not in ("PReLU", "RReLU", "Softmax2d"):
        assert op.module is not None
        assert issubclass(cls, op.module)


@pytest.mark.parametrize("op", [op for op in OPS if op.module], ids=lambda op: op.name)
def test_an_activation_builds_its_module_from_its_other_arguments(op: Op):
    for sample in op.samples(random.Random(0)):
        arguments = dict(sample.arguments)
        x = arguments.pop("input")
        assert op.module is not None
        module = op.module(**arguments).eval()
        assert torch.equal(module(x), op.execute(sample.arguments))
