"""Code as a graph: what a call would freeze is read from the module, or checked by the graph."""

import pytest
import torch
from torch import fx, nn
from torch.nn import functional as F

from morphir.frontend.code import Number, trace_code
from morphir.frontend.isolation import Scratch


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.heads = nn.Linear(8, 24), 3

    def forward(self, x, mask=None, times: int = 2):
        h = self.up(x).view(-1, self.heads, self.up.out_features // self.heads).flatten(1)
        h = F.dropout(h, 0.5, training=self.training) * times
        return h + torch.ones(x.shape[0], 24) if mask is None else h * mask


class Around(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = Part()

    def forward(self, x):
        return self.part(x)


X = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


def traced(name: str, *args: object, **kwargs: object) -> tuple[fx.GraphModule, Part]:
    model = Around()
    graph = trace_code(name, Scratch(model).module.get_submodule(name), (args, kwargs))
    return fx.GraphModule(model.get_submodule(name), graph), model.part


def test_it_computes_the_same_in_both_modes():
    module, part = traced("part", X)
    for mode in (True, False):
        torch.manual_seed(0)
        expected = part.train(mode)(X)
        torch.manual_seed(0)
        assert torch.equal(module.train(mode)(X), expected)


def test_attributes_modes_and_new_tensors_are_read_and_made_when_it_runs():
    module, _ = traced("part", X)
    assert "self.heads" in module.code
    assert "self.training" in module.code
    assert "torch.ones(" in module.code
    assert "self.up.weight" in module.code  # whose shape `out_features` is


def test_modules_in_it_are_called():
    module, _ = traced("", X)
    assert [node.target for node in module.graph.find_nodes(op="call_module", target="part")]


def test_an_optional_tensor_is_an_argument_where_the_call_has_one():
    mask = torch.randn(2, 24)
    module, part = traced("part", X, mask)
    assert torch.equal(module.eval()(X, mask=mask), part.eval()(X, mask))


def test_what_is_known_of_a_call_is_checked():
    module, _ = traced("part", X, times=3)
    module.eval()(X, times=3)
    with pytest.raises(AssertionError, match="times has been specialized to have value 3"):
        module(X)
    with pytest.raises(AssertionError, match="mask has been specialized to have value None"):
        module(X, mask=X, times=3)


def test_equal_numbers_are_told_apart():
    module, _ = traced("part", X)
    numbers = [a for n in module.graph.nodes for a in n.args if isinstance(a, Number)]
    assert len({*map(id, numbers)}) == len(numbers) > len({*numbers})


def test_torch_is_as_it_was_when_the_code_raises():
    class Raises(nn.Module):
        def forward(self, x):
            raise RuntimeError(torch.zeros(2))

    before = torch.zeros
    with pytest.raises(RuntimeError):
        trace_code("", Raises(), ((X,), {}))
    assert torch.zeros is before
