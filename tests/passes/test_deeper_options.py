"""Options that fit no model, or not this one."""

from typing import Any

import pytest
import torch
from torch import nn

from morphir import DeeperPass, RefusalError
from tests.passes.nets import chain, grow

X = torch.randn(5, 8)


@pytest.mark.parametrize(
    "options",
    [
        {"at": []},
        {"at": 3},
        {"at": ["1", 2]},
        {"at": "1", "block": "magic"},
        {"at": "1", "kernel_size": 0},
        {"at": "1", "kernel_size": (3, -1)},
        {"at": "1", "kernel_size": (3, 3, 3, 3)},
        {"at": "1", "kernel_size": ()},
        {"at": "1", "kernel_size": 2.0},
        {"at": "1", "groups": 0},
        {"at": "1", "hidden": 0, "block": "residual"},
        {"at": "1", "hidden": 4},
        {"at": "1", "activation": nn.ReLU()},
        {"at": "1", "seed": 0.5},
        {"at": "1", "seed": True},
    ],
    ids=str,
)
def test_options_that_no_model_could_fit_are_refused_at_once(options: dict[str, Any]):
    with pytest.raises(RefusalError, match="expected"):
        DeeperPass(**options)


def test_an_unknown_activation_names_the_nearest():
    with pytest.raises(RefusalError, match="activation='rleu' is unknown") as caught:
        grow(chain(nn.Tanh()), "1", X, block="residual", activation="rleu")
    assert "activation='relu'" in caught.value.suggestions
    for name in ("softmax", "glu"):
        with pytest.raises(RefusalError, match="is unknown"):
            grow(chain(nn.Tanh()), "1", X, block="residual", activation=name)


def test_a_pass_is_frozen_hashable_and_prints_as_it_was_typed():
    deeper = DeeperPass(at=["a", "b"], block="residual", hidden=4)
    assert hash(deeper) == hash(DeeperPass(at=("a", "b"), block="residual", hidden=4))
    assert deeper.describe() == "DeeperPass(at=('a', 'b'), block='residual', hidden=4)"
    with pytest.raises(AttributeError):
        deeper.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("options", [{"kernel_size": 5}, {"kernel_size": (3,)}, {"groups": 2}])
@pytest.mark.parametrize("block", ["identity", "residual"])
def test_an_option_of_convolutions_is_refused_where_a_linear_layer_fits(block, options):
    (name,) = options
    with pytest.raises(RefusalError, match=f"{name}=.* is for a convolution, and what") as caught:
        grow(chain(nn.ReLU()), "1", X, block=block, **options)
    assert caught.value.suggestions == (f"{name}=None",)


def test_a_misspelt_block_names_the_nearest():
    with pytest.raises(RefusalError, match="try: block='identity'"):
        DeeperPass(at="1", block="ident")
    with pytest.raises(RefusalError, match="try: block='residual'"):
        DeeperPass(at="1", block=None)
