"""KEPT-8: a model's state goes through a file."""

import torch
from torch import nn

from morphir import Grade
from morphir.checks.round_trip import check_round_trip

X = {"forward": ((torch.randn(3, 4),), {})}


def test_kept_8_what_is_saved_comes_back():
    """KEPT-8"""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    found = check_round_trip(model, X)
    assert found.grade is Grade.TESTED
    assert found.figures["tensors"] == len(model.state_dict())


def test_kept_8_a_parameter_that_is_left_out_is_refuted():
    """KEPT-8"""

    class Forgetful(nn.Linear):
        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            del destination[prefix + "bias"]

    found = check_round_trip(nn.Sequential(Forgetful(4, 2)), X)
    assert found.grade is Grade.REFUTED
    assert "0.bias" in found.summary


def test_kept_8_state_beside_the_state_dict_that_matters_is_found():
    """KEPT-8: what is loaded is not what was saved"""

    class Doubling(nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *args):
            state_dict[prefix + "weight"] = 2 * state_dict[prefix + "weight"]
            super()._load_from_state_dict(state_dict, prefix, *args)

    found = check_round_trip(nn.Sequential(Doubling(4, 2)), X)
    assert found.grade is Grade.REFUTED
    assert found.where == "forward: output ''"


def test_without_outputs_nothing_is_known():
    assert check_round_trip(nn.Linear(4, 2), {}).grade is Grade.UNKNOWN
