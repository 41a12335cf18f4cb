"""What a torch call was given, as a graph can hold it."""

from enum import IntEnum
from typing import Any

import numpy as np
import pytest
import torch
from torch import fx

from morphir.errors import RefusalError
from morphir.frontend.arguments import context_of, count, hold, operands_in
from morphir.frontend.recording import Unprintable
from morphir.frontend.sizes import ReadAttribute, TaggedInt

X, Y = torch.ones(2), torch.zeros(2)


class Kind(IntEnum):
    FIRST = 1


class Own(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return super().__torch_function__(func, types, args, kwargs or {})


def held(value: Any) -> tuple[Any, list[str]]:
    graph = fx.Graph()
    nodes = {id(X): graph.placeholder("x"), id(Y): graph.placeholder("y")}
    missing: list[str] = []
    found = hold(value, lambda tensor: nodes[id(tensor)], missing)
    return found, missing


def test_operands_are_found_wherever_torch_takes_them():
    value = (X, [Y], {"a": X}, slice(None, Y, None), 3, "x")
    assert [id(t) for t in operands_in(value)] == [id(t) for t in (X, Y, X, Y)]


def test_tensors_become_nodes_and_numbers_plain():
    found, missing = held(([X, 2], {"dim": Kind.FIRST}, slice(0, np.int64(3)), torch.float32))
    assert str(found) == "((x, 2), {'dim': 1}, slice(0, 3, None), torch.float32)"
    assert [type(part) for part in (found[1]["dim"], found[2].stop)] == [int, int]
    assert missing == []


def test_a_size_keeps_its_tag():
    size = TaggedInt(4, ReadAttribute("", "heads", 4))
    assert held((size,))[0][0] is size


def test_what_no_graph_can_hold_is_named():
    found, missing = held((np.ones(2), X))
    assert found[0] == Unprintable("ndarray")
    assert missing == ["ndarray"]


def test_a_storage_is_refused():
    with pytest.raises(RefusalError, match="works on a tensor's storage"):
        held((X.untyped_storage(),))


def test_arguments_are_counted_inside_of_containers():
    assert count(((1, 2), {"a": (3, 4)}, 5)) == 5
    assert count(()) == 0


def test_autocast_and_tensors_of_another_class_are_a_context():
    assert context_of([X, torch.nn.Parameter(X)]) == ""
    assert context_of([X, X.as_subclass(Own)]) == "Own"
    with torch.autocast("cpu"):
        assert context_of([X]) == "autocast"
