"""Which node holds a tensor's value: identity, memory, and where an unknown tensor comes from."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import fx, nn

from morphir.frontend import recording as marks
from morphir.frontend.isolation import Scratch
from morphir.frontend.ledger import Ledger
from morphir.frontend.witness import Witness
from tests.frontend.models import One, X


class Log:
    """A ledger over one model, and the markers that it emits."""

    def __init__(self, names: dict[int, str] | None = None, numbered: int = 0) -> None:
        self.model = One(lambda s, x: x)
        self.scratch, self.graph = Scratch(self.model), fx.Graph()
        self.ledger = Ledger(self.scratch, self.graph, Witness({}), names or {}, numbered)
        self.ledger.emit = self.emit
        self.emitted: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def emit(self, marker: Callable[..., Any], nodes: Any, outputs: Sequence[Any]) -> fx.Node:
        self.emitted.append((marker, nodes))
        return self.node()

    def node(self) -> fx.Node:
        return self.graph.call_function(len, ())


def test_an_input_keeps_its_node_until_it_is_changed():
    log = Log()
    x = X.clone()
    first = log.ledger.add_input(x)
    assert log.ledger.node_of(x) is first
    log.ledger.mark_changed(x, second := log.node())
    assert log.ledger.node_of(x) is second
    assert log.emitted == []


def test_whoever_shares_memory_reads_an_alias_once():
    log = Log()
    x = X.clone()
    view, other = x[0], X.clone()
    nodes = [log.ledger.add_input(tensor) for tensor in (x, view, other)]
    log.ledger.mark_changed(view, changed := log.node())
    alias = log.ledger.node_of(x)
    assert log.emitted == [(marks.alias, (nodes[0], changed))]
    assert log.ledger.node_of(x) is alias
    assert log.ledger.node_of(view) is changed
    assert log.ledger.node_of(other) is nodes[2]
    assert len(log.emitted) == 1


def test_parameters_buffers_and_attributes_are_state_by_name():
    log = Log()
    part = log.scratch.module
    for tensor, name in [
        (part.fc.weight, "fc.weight"), (part.seen, "seen"), (part.table, "table"),
    ]:  # fmt: skip
        node = log.ledger.node_of(tensor)
        assert (node.op, node.target) == ("get_attr", name)
        assert not log.ledger.computed(tensor)
        assert log.ledger.reads(tensor)
    assert log.ledger.constants == ["table"]
    assert log.ledger.tensors["table"] is log.model.table, "the model's own, not the copy"
    assert log.ledger.unexplained == []


def test_a_buffer_whose_memory_was_changed_before_it_is_read_is_an_alias():
    """A view of it was changed; the buffer itself is read for the first time afterwards."""
    log = Log()
    buffer = log.scratch.module.seen
    view = buffer.view(2, 2)
    log.ledger.bind(view, log.node())
    log.ledger.mark_changed(view, changed := log.node())
    log.ledger.node_of(buffer)
    ((marker, nodes),) = log.emitted
    assert marker is marks.alias
    assert nodes[1] is changed
    ((name, _, tensor),) = log.ledger.updates()
    assert (name, tensor) == ("seen", buffer)


def test_a_buffer_that_is_never_read_is_updated_all_the_same():
    log = Log()
    view = log.scratch.module.seen.view(2, 2)
    log.ledger.bind(view, log.node())
    log.ledger.mark_changed(view, log.node())
    assert [name for name, _, _ in log.ledger.updates()] == ["seen"]


def test_an_unknown_tensor_on_known_memory_is_an_alias_of_all_that_lie_there():
    log = Log()
    x = X.clone()
    nodes = [log.ledger.add_input(x), log.ledger.add_input(x[0])]
    log.ledger.node_of(nn.Parameter(x))
    assert log.emitted == [(marks.alias, tuple(nodes))]


def test_what_python_made_depends_on_what_had_left_torch_by_then():
    log = Log()
    early, late = torch.ones(1), torch.ones(1)
    log.ledger.made_by_python(early)
    log.ledger.escape([node := log.node()])
    log.ledger.made_by_python(late)
    log.ledger.escape([log.node()])
    log.ledger.node_of(late)
    assert log.emitted == [(marks.python, (node,))]
    assert log.ledger.node_of(early).target == "constant.0"
    assert log.ledger.unexplained == []


def test_a_tensor_of_unknown_origin_is_a_constant_under_suspicion():
    """FRONT-5: the trace accepts it only if the next call reads the same object."""
    log = Log({}, numbered=3)
    mystery = torch.ones(1)
    assert log.ledger.node_of(mystery).target == "constant.3"
    assert log.ledger.unexplained == ["constant.3"]
    with pytest.raises(Exception, match="a tensor from outside the model"), log.ledger._witness:
        mystery.add_(1)


def test_a_constant_keeps_the_name_that_an_earlier_entry_point_gave_it():
    known = torch.ones(1)
    log = Log({id(known): "constant.1"}, numbered=2)
    assert log.ledger.node_of(known).target == "constant.1"
    assert log.ledger.node_of(torch.ones(1)).target == "constant.2"


def test_a_numbered_name_that_the_model_has_is_left_to_it():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.constant = nn.ParameterList([nn.Parameter(torch.ones(1))])

    scratch = Scratch(Odd())
    ledger = Ledger(scratch, fx.Graph(), Witness({}), {}, 0)
    assert ledger.node_of(torch.ones(1)).target == "constant.1"
