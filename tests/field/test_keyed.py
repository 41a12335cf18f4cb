"""FIELD-2: keyed pseudo-random functions."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from morphir.field.keyed import Keyed

P = 2**31 - 1
FUNCTIONS = Keyed("key", P)
RESIDUES = torch.randint(0, P, (4000,))

number = st.integers(0, P - 1)


@given(number, number)
def test_field_2_equal_arguments_give_equal_results_wherever_they_stand(one: int, other: int):
    tensor = torch.tensor([[one, other, one], [other, one, other]])
    found = FUNCTIONS.value("f", tensor)
    assert found[0, 0] == found[0, 2] == found[1, 1] == FUNCTIONS.value("f", torch.tensor(one))
    assert (found[0, 0] == found[0, 1]) == (one == other)


def test_field_2_other_names_and_other_keys_are_other_functions():
    found = [
        FUNCTIONS.value("f", RESIDUES),
        FUNCTIONS.value("g", RESIDUES),
        Keyed("other", P).value("f", RESIDUES),
        RESIDUES,
    ]
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            assert (one == other).sum() < 3


def test_field_2_the_same_function_is_the_same_in_every_process():
    assert FUNCTIONS.value("f", torch.tensor([0, 1, P - 1])).tolist() == [
        367698752,
        1538604123,
        1409411278,
    ]


def test_field_2_the_order_of_arguments_matters():
    one, other = RESIDUES[:100], RESIDUES[100:200]
    assert (FUNCTIONS.value("f", one, other) != FUNCTIONS.value("f", other, one)).all()
    assert (FUNCTIONS.value("f", one, other) != FUNCTIONS.value("f", one)).all()


def test_field_2_arguments_of_other_shapes_are_broadcast():
    found = FUNCTIONS.value("f", RESIDUES[:3].reshape(3, 1), RESIDUES[3:5])
    assert found.shape == (3, 2)
    assert found[1, 1] == FUNCTIONS.value("f", RESIDUES[1], RESIDUES[4])


def test_field_2_values_are_residues_and_spread_evenly():
    found = FUNCTIONS.value("f", torch.arange(40_000))
    assert found.min() >= 0
    assert found.max() < P
    counts = (found * 8 // P).bincount(minlength=8)
    assert ((counts - 5000).abs() < 350).all()  # five standard deviations
    assert len(found.unique()) > 39_990
