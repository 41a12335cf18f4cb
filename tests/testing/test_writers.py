"""Every op writes what it should where it fits, and nothing where it does not."""

import pytest

from morphir import TransformResult, WiderPass
from morphir.testing import Recipe, Step, assert_preserves, build, example_inputs, to_source
from morphir.testing.recipe import EVERY_OP, OPS, Inputs
from morphir.testing.source import drafted

WRITTEN = {
    ("features", "linear", 1): "nn.Linear(4, 8)",
    ("features", "linear", 8): "nn.Linear(4, 4, bias=False)",
    ("image", "linear", 1): "nn.Conv2d(4, 8, 1)",
    ("features", "gelu", 0): "nn.GELU()",
    ("features", "gelu", 1): "F.gelu(x)",
    ("features", "tanh", 1): "torch.tanh(x)",
    ("image", "prelu", 0): "nn.PReLU(4)",
    ("features", "residual", 0): "h2 = x + h1",
    ("features", "gate", 0): "h2 = x * h1.sigmoid()",
    ("image", "cat", 0): "torch.cat([x, x], dim=1)",
    ("sequence", "chunk", 0): "x.chunk(2, dim=2)[1]",
    ("tokens", "tied", 0): "F.linear(h1, self.embedding1.weight)",
    ("features", "tied", 0): "self.linear2.weight = self.linear1.weight",
    ("image", "layer_norm", 0): "nn.GroupNorm(1, 4)",
    ("sequence", "layer_norm", 0): "nn.LayerNorm(4)",
    ("image", "batch_norm", 0): "nn.BatchNorm2d(4)",
    ("features", "group_norm", 0): "nn.GroupNorm(2, 4)",
    ("sequence", "group_norm", 0): "self.norm1(x.mT).mT",
    ("image", "dropout", 1): "nn.Dropout2d(0.25)",
    ("tokens", "freeze", 0): "self.embedding1.requires_grad_(False)",
    ("features", "block", 1): "nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))",
    ("image", "conv", 1): "nn.Conv2d(4, 8, 3, padding=1)",
    ("sequence", "conv", 1): "self.conv1(x.mT).mT",
    ("image", "grouped_conv", 2): "nn.Conv2d(4, 6, 3, padding=1, groups=2)",
    ("image", "depthwise_conv", 1): "nn.Conv2d(4, 8, 3, padding=1, groups=4)",
    ("image", "pool", 1): "nn.MaxPool2d(2)",
    ("sequence", "pool", 0): "x.mean(1)",
    ("image", "flatten", 0): "x.flatten(1)",
    ("sequence", "attention", 0): "nn.MultiheadAttention(4, 2, batch_first=True)",
    ("sequence", "attention", 1): "Attention(4, 2)",
    ("sequence", "recurrent", 2): "nn.LSTM(4, 8, batch_first=True)",
    ("sequence", "recurrent", 3): "nn.GRU(4, 8, batch_first=True)",
    ("features", "cell", 1): "self.cell1(x)[0]",
}


@pytest.mark.parametrize(("where", "text"), WRITTEN.items(), ids=map(str, WRITTEN))
def test_what_an_op_writes(where: tuple[Inputs, str, int], text: str):
    inputs, op, number = where
    assert text in to_source(Recipe((Step(op, 0, number),), inputs))


def test_a_layer_is_called_again():
    source = to_source(Recipe((Step("linear"), Step("relu"), Step("shared"))))
    assert source.count("self.linear1(") == 2


def test_in_place_on_a_copy_where_something_else_needs_the_numbers():
    in_place = Step("relu", number=2)
    assert "self.relu1(h1)" in to_source(Recipe((Step("linear"), in_place)))
    assert "self.relu1(x.clone())" in to_source(Recipe((in_place,))), "the caller's input"
    assert "self.relu1(h2.clone())" in to_source(Recipe((Step("linear"), Step("tanh"), in_place)))
    read = (Step("linear"), Step("tanh"), Step("relu", source=1, number=2))
    assert "self.relu1(h1.clone())" in to_source(Recipe(read)), "tanh has read it"


def test_what_was_changed_in_place_is_read_by_either_name():
    steps = (Step("linear"), Step("relu", number=2), Step("tanh", source=1, number=1))
    recipe = Recipe(steps, weights="random")
    assert "torch.tanh(h1)" in to_source(recipe)
    found = assert_preserves(WiderPass("linear1", 7), build(recipe))
    assert isinstance(found, TransformResult)


@pytest.mark.parametrize("inputs", OPS)
@pytest.mark.parametrize("op", EVERY_OP)
def test_every_op_is_total_and_those_that_are_listed_do_something(inputs: Inputs, op: str):
    def recipe(*middle: Step) -> Recipe:
        return Recipe((Step("linear"), *middle, Step("linear")), inputs)

    for number in range(0, 16, 3):
        tried = recipe(Step(op, 0, number))
        build(tried)(*example_inputs(tried)["forward"])
    drafts = [drafted(recipe(Step(op, 0, number))) for number in range(2)]
    plain = drafted(recipe())
    if op in OPS[inputs] and (inputs, op) not in {("features", "flatten"), ("image", "tied")}:
        assert any((d.setup, d.body) != (plain.setup, plain.body) for d in drafts)
