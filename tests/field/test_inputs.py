"""The arguments of both models are the same random residues, in every container."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from morphir.field.inputs import batch_size, different_rows, draw_arguments
from morphir.field.residues import Residues
from tests.field.lifted import FIELD, bare, new_run

X = torch.randn(4, 3)
TOKENS = torch.tensor([[0, 1], [2, 3], [4, 5], [6, 7]])


def drawn(
    given: Any, longer: Any = None, *, shuffled: bool = False, flipped: int = 0
) -> tuple[Any, Any]:
    given = ((given,), {})
    longer = given if longer is None else ((longer,), {})
    one, other = draw_arguments(given, longer, new_run(), shuffled=shuffled, flipped=flipped)
    return bare(one[0][0]), bare(other[0][0])


def test_floats_become_random_residues_of_their_dtype_and_shape():
    given = ((X.half(),), {"y": [X]})
    (args, kwargs), _ = draw_arguments(given, given, new_run(), shuffled=False, flipped=0)
    assert isinstance(args[0], Residues)
    assert args[0].dtype == torch.float16
    assert kwargs["y"][0].dtype == torch.float32
    both = torch.cat([args[0].residues, kwargs["y"][0].residues])
    assert both.shape == (8, 3)
    assert len(both.unique()) == 24
    assert both.max() < FIELD.prime
    assert both.max() > FIELD.prime // 2


def test_both_models_get_the_same_numbers_in_tensors_of_their_own():
    one, other = drawn(X)
    assert torch.equal(one, other)
    one.zero_()
    assert (other != 0).any()


def test_a_longer_argument_begins_with_the_numbers_of_the_shorter():
    one, other = drawn(X, torch.randn(4, 5))
    assert one.shape == (4, 3)
    assert torch.equal(one, other[:, :3])
    one, other = drawn({"a": TOKENS}, {"a": torch.cat([TOKENS, TOKENS], 1)}, shuffled=True)
    assert torch.equal(one["a"], TOKENS)
    assert torch.equal(other["a"][:, :2], TOKENS)


def test_a_tensor_that_is_passed_twice_is_one_tensor():
    one, _ = drawn([X, X, X.clone()])
    assert torch.equal(one[0], one[1])
    assert not torch.equal(one[0], one[2])


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("given", [X, TOKENS])
def test_a_tensor_that_is_passed_twice_may_get_longer_in_one_place(
    given: torch.Tensor, shuffled: bool
):
    more = torch.cat([given, given], 1)
    for longer in ([more, given.clone()], [given.clone(), more]):
        one, other = drawn([given, given], longer, shuffled=shuffled)
        assert torch.equal(one[0], one[1])
        for part in other:
            assert torch.equal(part[:, : given.shape[1]], one[0])
    assert torch.equal(TOKENS, torch.arange(8).reshape(4, 2)), "the user's own stays as it is"


def test_what_is_drawn_is_where_the_argument_is():
    (one,), _ = drawn([X.to("meta")])
    assert one.device.type == "meta"


def test_whole_numbers_stay_or_are_shuffled():
    assert torch.equal(drawn(TOKENS)[0], TOKENS)
    one, other = drawn(TOKENS, shuffled=True)
    assert torch.equal(one, other)
    assert not torch.equal(one, TOKENS)
    assert sorted(one.reshape(-1).tolist()) == [*range(8)]
    assert torch.equal(TOKENS, torch.arange(8).reshape(4, 2)), "the user's own stays as it is"


def test_rows_are_flipped_in_tensors_with_as_many():
    plain, _ = drawn([X, TOKENS, torch.randn(3, 4), torch.tensor(5)])
    moved, _ = drawn([X, TOKENS, torch.randn(3, 4), torch.tensor(5)], flipped=4)
    assert torch.equal(moved[0], plain[0].flip(0))
    assert torch.equal(moved[1], TOKENS.flip(0))
    assert torch.equal(moved[2], plain[2])
    assert moved[3] == 5


def test_rows_of_whole_numbers_that_occur_twice_count_once():
    twice = torch.cat([TOKENS, TOKENS])
    assert different_rows(((TOKENS,), {}), 4) == 4
    assert different_rows(((twice,), {}), 8) == 4
    assert different_rows(((twice, torch.arange(8) > 3), {}), 8) == 8
    assert different_rows(((twice,), {"x": torch.zeros(8, 2)}), 8) == 8
    without_rows = {"scale": torch.tensor(0.5), "bias": torch.zeros(3)}
    assert different_rows(((twice,), without_rows), 8) == 4


def test_the_batch_is_the_first_axis_of_the_first_tensor_that_has_one():
    def size(given: Any, longer: Any = None) -> int:
        return batch_size(((given,), {}), ((given if longer is None else longer,), {}))

    assert size([torch.tensor(1.0), X, TOKENS[:1]]) == 4
    assert size(X, torch.randn(4, 9)) == 4
    assert size(X, torch.randn(5, 3)) == 1, "its rows are what got more"
    assert size([]) == 1
