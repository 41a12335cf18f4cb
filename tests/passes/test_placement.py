"""Where a block goes, read off programs that are written down here."""

import pytest

from morphir.passes import Refusal
from morphir.passes.placed import Options, Placement
from morphir.passes.placement import place_identity, place_open
from morphir.passes.surroundings import Surroundings
from tests.passes.programs import LINEAR, parse

PROGRAM = parse(LINEAR)


def test_after_the_activation_itself():
    placed = place_identity(Surroundings(PROGRAM), "body.act", Options())
    assert isinstance(placed, Placement)
    assert (placed.anchor, placed.reason) == ("body.act", "")
    assert (placed.spec.law, placed.spec.features, placed.spec.bias) == ("DEEPER-1", 8, True)
    assert placed.follows == ("a.weight", "a.bias")


def test_a_layer_means_the_activation_after_it():
    placed = place_identity(Surroundings(PROGRAM), "body.a", Options())
    assert isinstance(placed, Placement)
    assert (placed.anchor, placed.reason) == ("body.act", "the activation that follows")


def test_before_an_activation_that_has_no_module():
    text = LINEAR.replace("call body.act:\n", "call body:\n", 1)
    inline = """
    program Net eval
    parameter @a.weight: f32[8, 4]

    graph forward(%x: f32[B, 4]):
      call a:
        %0: f32[B, 8] = linear(input=%x, weight=@a.weight)
        results %0
      %1: f32[B, 8] = relu(input=%0)
      output '' = %1
    """
    assert text != LINEAR
    placed = place_identity(Surroundings(parse(inline)), "a", Options())
    assert isinstance(placed, Placement)
    assert (placed.anchor, placed.spec.law) == ("a", "DEEPER-2")


def test_the_head_is_refused_with_the_nearest_places():
    refusal = place_identity(Surroundings(PROGRAM), "b", Options())
    assert isinstance(refusal, Refusal)
    assert "is not bounded and no activation precedes it" in refusal.reason
    assert refusal.suggestions == (
        "block='residual'",
        "block='parametric'",
        "at='body.act'",
        "at='body'",
    )


@pytest.mark.parametrize("kind", ["residual", "parametric"])
@pytest.mark.parametrize("name", ["body.act", "b", "body"])
def test_open_blocks_fit_everywhere(kind: str, name: str):
    placed = place_open(Surroundings(PROGRAM), name, kind, Options())
    assert isinstance(placed, Placement)
    assert (placed.anchor, placed.spec.activation) == (name, "relu")
    assert placed.spec.hidden == (placed.spec.features if kind == "residual" else 0)


def test_only_a_residual_block_learns_in_front_of_a_clipping_activation():
    assert isinstance(place_open(Surroundings(PROGRAM), "body.a", "residual", Options()), Placement)
    refusal = place_open(Surroundings(PROGRAM), "body.a", "parametric", Options())
    assert isinstance(refusal, Refusal)
    assert "wherever relu changes something, relu, which follows, is flat" in refusal.reason
    assert refusal.suggestions == ("at='body.act'", "block='identity'", "block='residual'")


def test_open_blocks_take_an_activation_before_after_or_further_up():
    for before, expected in (("tanh", "tanh"), ("silu", "silu")):
        program = parse(LINEAR.replace("relu(", f"{before}("))
        for name in ("body.a", "body.act", "b"):
            placed = place_open(Surroundings(program), name, "residual", Options())
            assert isinstance(placed, Placement)
            assert placed.spec.activation == expected
    placed = place_open(
        Surroundings(PROGRAM), "b", "residual", Options(activation="gelu", hidden=3)
    )
    assert isinstance(placed, Placement)
    assert (placed.spec.activation, placed.spec.hidden) == ("gelu", 3)


def test_open_blocks_need_types():
    untyped = parse(LINEAR.replace("%0: f32[B, 8]", "%0").replace("%1: f32[B, 8]", "%1"))
    refusal = place_open(Surroundings(untyped), "body.act", "residual", Options())
    assert isinstance(refusal, Refusal)
    assert refusal.suggestions == ("example_inputs=(x,)",)
    assert isinstance(place_identity(Surroundings(untyped), "body.act", Options()), Placement)
