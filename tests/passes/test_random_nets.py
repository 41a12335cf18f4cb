"""On random nets every insertion is refused, or proved and equal to the bit; nothing in between."""

from typing import Any

from hypothesis import event, given, note, settings
from hypothesis import strategies as st

import morphir
from morphir import DeeperPass, Grade, RefusalError
from morphir.testing import Recipe, build, example_inputs, recipes, sites, to_source
from tests.passes.nets import assert_same_bits

NETS = recipes(inputs=("features", "image"), dtypes=("float32", "float64"))


@settings(max_examples=40)
@given(
    recipe=NETS,
    block=st.sampled_from(["identity", "residual", "parametric"]),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_deeper_1_to_4_refused_or_proved_and_the_same_bits(
    recipe: Recipe, block: Any, seed: int, data: st.DataObject
):
    """DEEPER-1, DEEPER-2, DEEPER-3, DEEPER-4"""
    note(to_source(recipe))
    model = build(recipe)
    at = data.draw(sites(model, DeeperPass))
    try:
        result = morphir.transform(
            model,
            DeeperPass(at=at, block=block, seed=seed),
            example_inputs=example_inputs(recipe),
            entry_points=recipe.entry_points,
        )
    except RefusalError as refusal:
        event(f"refused: {refusal.reason.split(chr(39))[0][:40]}")
        return
    event(f"proved {result.report.laws[-1]}")
    assert result.report.grade is Grade.PROVED
    assert type(result.module) is type(model)
    (x,) = example_inputs(recipe)["forward"]
    for training in (False, True):
        assert_same_bits(model, result.module, x, training=training)
        assert_same_bits(model, result.module, 100 * x, training=training)
