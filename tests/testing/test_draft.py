"""A draft: variables and layers get names, and what is read is known."""

from morphir.testing.draft import Draft, Layer, Tensor


def test_the_axes_of_tensors():
    image, sequence = Tensor("x", "image", (6, 4, 2)), Tensor("x", "sequence", (3, 5))
    assert (image.width, image.axis, image.of_width(9)) == (6, 1, (9, 4, 2))
    assert (sequence.width, sequence.axis, sequence.of_width(9)) == (5, 2, (3, 9))


def test_what_is_written_and_what_is_read():
    x = Tensor("x", "features", (4,))
    draft = Draft([x])
    y = draft.call("linear", "nn.Linear(4, 6)", x, (6,), linear=(4, 6))
    z = draft.run(draft.layers[0], x)
    draft.write(f"{y.name} + {z.name}", y, z, kind="features", shape=(6,))
    assert draft.setup == ["self.linear1 = nn.Linear(4, 6)"]
    assert draft.body == ["h1 = self.linear1(x)", "h2 = self.linear1(x)", "h3 = h1 + h2"]
    takes = ("features", (4,))
    assert draft.layers == [Layer("linear1", "self.linear1({x})", takes, "features", (6,), (4, 6))]
    assert draft.read == {"x", "h1", "h2"}
    assert [each.shape for each in draft.tensors] == [(4,), (6,), (6,), (6,)]
