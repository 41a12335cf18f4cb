"""What a block is made of, once it has a place."""

from morphir.passes.placed import Options, Placement, record_block
from morphir.passes.placement import place_identity
from morphir.passes.surroundings import Surroundings
from tests.passes.programs import LINEAR, parse


def test_a_block_is_recorded_at_the_type_of_its_site():
    placed = place_identity(Surroundings(parse(LINEAR)), "body.act", Options())
    assert isinstance(placed, Placement)
    module, program = record_block(placed.spec, placed)
    (graph,) = program.graphs.values()
    assert str(graph.inputs[0].type) == "f32[B, 8]"
    assert [node.op for node in graph.nodes] == ["linear", "relu"]
    assert [name for name, _ in module.named_parameters()] == ["layer.weight", "layer.bias"]
