"""Units at the positions of an axis."""

from morphir.ops.forms import Atom, add, multiply
from morphir.passes.labels import labels_of


def test_a_leaf_is_found_in_one_of_its_places():
    """Sums lay side by side, products repeat"""
    unit, other = Atom("u", 2), Atom("o", 3)
    assert labels_of(unit, unit, 0).tolist() == [0, 1]
    assert labels_of(multiply([unit, other]), unit, 0).tolist() == [0, 0, 0, 1, 1, 1]
    twice = add([unit, other, unit])
    assert labels_of(twice, unit, 0).tolist() == [0, 1, -1, -1, -1, -1, -1]
    assert labels_of(twice, unit, 1).tolist() == [-1, -1, -1, -1, -1, 0, 1]
