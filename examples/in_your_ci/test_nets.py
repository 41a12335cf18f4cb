"""What CI asks about a model that somebody edited, and about a pass that somebody wrote."""

import torch
from nets import fast, slow

from morphir import WiderPass
from morphir.testing import assert_preserves


def test_the_fast_one_is_the_slow_one(assert_same_function):
    """The certificate, the field checker and the float64 run agree."""
    torch.manual_seed(0)
    before = slow()
    after = fast()
    after.load_state_dict(before.state_dict())
    assert_same_function(before, after, example_inputs=(torch.randn(2, 3, 8, 8),))


def test_it_can_be_widened():
    """Here a pass of your own would stand."""
    images = (torch.randn(2, 3, 8, 8),)
    assert_preserves(WiderPass(at="0", width=12), slow(), example_inputs=images)
