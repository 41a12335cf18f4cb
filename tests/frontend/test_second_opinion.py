"""torch.export as a second opinion on recordings: FRONT-2 against a capture that is not ours.

Both capture a call as a graph of functional ops over named state, in ways that share nothing: ours
by watching a real call, torch.export by symbolic execution of the bytecode.
"""

import pytest
import torch
from torch import nn

from morphir.frontend import record
from morphir.ops.replay import replay
from morphir.tensors import tensors_in
from tests.frontend.models import ZOO, build

# torch.export takes one forward, and returns no classes of the user's; a change through an alias is
# recorded, and cannot be replayed.
ONE_CALL = [
    name
    for name, (_, how) in ZOO.items()
    if "entry_points" not in how
    and how.get("mode") != "train"
    and name not in ("structured", "in_place")
]


def nets():
    for name in ONE_CALL:
        net, how = build(name)
        yield name, net.eval(), how["example_inputs"]
    layers = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    yield "transformer", nn.TransformerEncoder(layers, 2).eval(), (torch.randn(2, 3, 8),)
    yield (
        "lstm",
        nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True).eval(),
        (torch.randn(2, 3, 4),),
    )


def other(inputs):
    """Inputs of the same shapes with other numbers; integers stay."""
    generator = torch.Generator().manual_seed(7)
    return torch.utils._pytree.tree_map_only(
        torch.Tensor,
        lambda t: torch.randn(t.shape, generator=generator) if t.is_floating_point() else t,
        inputs,
    )


@pytest.mark.filterwarnings("ignore:The tensor attribute")  # it undoes what forward assigns
@pytest.mark.parametrize(("net", "inputs"), [pytest.param(*each, id=n) for n, *each in nets()])
def test_front_2_torch_export_captures_the_same_function(net: nn.Module, inputs):
    """FRONT-2: on inputs that neither was captured on, and from the same parameters"""
    program = record(net, example_inputs=inputs).program
    graph = program.graphs["forward"]
    given = other(inputs)
    with torch.no_grad():
        exported = torch.export.export(net, inputs, strict=False)
        theirs = [t for _, t in tensors_in(exported.module()(*given))]
        state = {name: entry.tensor for name, entry in program.state.items()}
        found = replay(graph, state, [t for _, t in tensors_in(given)]).outputs
    kept = zip(graph.outputs, found, strict=True)
    ours = [tensor for (path, _), tensor in kept if not path.startswith("self.")]
    assert len(ours) == len(theirs)
    for one, another in zip(ours, theirs, strict=True):
        assert torch.allclose(one, another, rtol=1e-5, atol=1e-6)
    read = {value.name for value in graph.state}
    names = exported.graph_signature
    used = {
        names.inputs_to_parameters.get(node.name) or names.inputs_to_buffers.get(node.name)
        for node in exported.graph.nodes
        if node.op == "placeholder" and node.users
    } - {None}
    canonical = {alias: e.name for e in program.state.values() for alias in (e.name, *e.aliases)}
    assert {canonical[name] for name in used} == {
        name for name in read if program.state[name].kind != "constant"
    }
