"""NE-3: how much is grown, and that real masks stay within bounds whatever the schedule."""

import math
import random
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import MaskGrowPass, PruneDormantPass
from morphir.backend.renumbering import put_numbers
from morphir.ir import Program, Rewriter
from morphir.passes.base import MorphismPass
from morphir_agents.amounts import Amount
from morphir_agents.errors import ConfigError
from tests.passes.masked import assert_masked, masks_of

SHAPES = ("constant", "cosine", "warm_decay")
Used = dict[str, torch.Tensor]  # where the weights are in use


def test_ne_3_the_shapes_are_those_of_the_formulas():
    """NE-3"""
    assert [Amount("constant", 0.2, 100).share(t) for t in (0, 50, 99, 100, 300)] == [
        0.2, 0.2, 0.2, 0.0, 0.0,
    ]  # fmt: skip
    cosine = Amount("cosine", 0.2, 100)
    assert cosine.share(0) == 0.2
    assert cosine.share(50) == pytest.approx(0.1)
    assert cosine.share(25) == pytest.approx(0.1 * (1 + math.sqrt(0.5)))
    assert cosine.share(100) == 0
    warm = Amount("warm_decay", 0.2, 120, 20)
    assert warm.share(0) == 0
    assert warm.share(5) == pytest.approx(0.05)
    assert warm.share(20) == 0.2
    assert [warm.share(20 + t) for t in range(0, 101, 10)] == pytest.approx(
        [cosine.share(t) for t in range(0, 101, 10)]
    )


@given(
    st.sampled_from(SHAPES), st.floats(0, 1), st.integers(1, 10**7), st.integers(0, 10**7),
    st.integers(0, 10**6), st.data(),
)  # fmt: skip
def test_ne_3_a_count_is_a_share_of_what_is_unused(shape, rate, end, step, unused, data):
    """NE-3"""
    amount = Amount(shape, rate, end, data.draw(st.integers(0, end - 1)))
    assert 0 <= amount.share(step) <= rate
    assert 0 <= amount.count(unused, step) <= rate * unused
    assert amount.count(unused, end) == 0


@final
@dataclass(frozen=True, eq=False)
class Net:
    """A small net, some of whose weights carry masks, and its program, which reads what it holds.

    Attributes:
        model: The net.
        program: Its recording.
        data: Inputs.
        hidden: The layers whose units may be dormant.
    """

    model: nn.Sequential
    program: Program
    data: tuple[torch.Tensor, ...]
    hidden: list[str]

    @classmethod
    def drawn(cls, draw: random.Random) -> "Net":
        """Two to four layers with masks; all have one, or all but the first and the last."""
        has_dense_ends = draw.random() < 0.5
        count = draw.randrange(2, 5)
        sizes = [draw.randrange(2, 9) for _ in range(count + 1 + 2 * has_dense_ends)]
        layers = [each for pair in pairwise(sizes) for each in (nn.Linear(*pair), nn.ReLU())]
        model = nn.Sequential(*layers[:-1])
        for layer in model[2:-1] if has_dense_ends else model:
            if isinstance(layer, nn.Linear):
                layer.register_buffer("weight_mask", torch.ones_like(layer.weight))
        x = torch.rand(3, sizes[0])
        hidden = [str(2 * number) for number in range(len(sizes) - 2)]
        return cls(model, morphir.trace(model, example_inputs=(x,)), (x,), hidden)

    def begin(self, draw: random.Random) -> None:
        """Draw all numbers, masks and dormant units anew."""
        for layer in self.model:
            if isinstance(layer, nn.Linear):
                density = draw.choice([0.0, draw.random(), draw.random(), 1.0])
                layer.reset_parameters()
                with torch.no_grad():
                    silent = torch.rand(layer.out_features) < draw.choice([0.0, 0.3, 0.6])
                    layer.bias[silent] = -9.0
                    if hasattr(layer, "weight_mask"):
                        layer.weight_mask.copy_(torch.rand(layer.weight.shape) < density)
                        layer.weight *= layer.weight_mask

    def run(self, pass_: MorphismPass) -> Used:
        """Change masks and numbers as a pass says, unverified, and return what is in use then."""
        rewriter = Rewriter(self.program)
        pass_.rewrite(self.program, rewriter)
        for edit in rewriter.renumberings:
            for _ in put_numbers(self.model, edit):
                pass
        assert_masked(self.model)
        return {name: mask == 1 for name, mask in masks_of(self.model).items()}


def live(net: Net, amount: Amount, draw: random.Random) -> tuple[int, int]:
    """One schedule on a net, event by event, each within its bounds; what began and what ceased."""
    net.begin(draw)
    omega, threshold = draw.uniform(0, 1.5), draw.choice([0.0, 0.3])
    began = ceased = 0
    used = {name: mask == 1 for name, mask in masks_of(net.model).items()}
    for step in sorted(draw.randrange(int(1.2 * amount.end)) for _ in range(draw.randrange(2, 6))):
        unused = {name: int((~each).sum()) for name, each in used.items()}
        asked = {n: amount.count(each, step) + draw.choice([0, 0, 9]) for n, each in unused.items()}
        for parameter in net.model.parameters():
            parameter.grad = torch.randn_like(parameter).round(decimals=1)  # some are equal
        before = {name: each.detach().clone() for name, each in net.model.named_parameters()}
        score = draw.choice(["gradient", "random"])
        more = net.run(MaskGrowPass(count=asked, score=score, seed=step))
        for name, each in net.model.named_parameters():
            assert torch.equal(each, before[name]), "what begins to be used begins at 0"
        grown = {name: int(each.sum() - used[name].sum()) for name, each in more.items()}
        assert grown == {name: min(asked[name], unused[name]) for name in used}
        assert all(bool((each & used[name]).equal(used[name])) for name, each in more.items())

        most = {name: math.floor(omega * count) for name, count in grown.items()}
        used = net.run(
            PruneDormantPass(
                net.hidden, data=net.data, threshold=threshold, mode="mask", weights=most, seed=step
            )
        )
        lost = {name: int(more[name].sum() - each.sum()) for name, each in used.items()}
        assert all(0 <= count <= most[name] for name, count in lost.items())
        assert not any(bool((each & ~more[name]).any()) for name, each in used.items())
        began, ceased = began + sum(grown.values()), ceased + sum(lost.values())
    return began, ceased


@pytest.mark.parametrize(
    "trial", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(1, 10))]
)
def test_ne_3_masks_stay_within_bounds_over_ten_thousand_random_schedules(trial: int):
    """NE-3, MASK-1, MASK-8, MASK-9, PRUNE-6: a thousand in each trial"""
    draw = random.Random(trial)
    torch.manual_seed(trial)
    nets = [Net.drawn(draw) for _ in range(20)]
    totals = np.zeros(2, dtype=int)
    for _ in range(1_000):
        end = draw.randrange(2, 5_000)
        amount = Amount(draw.choice(SHAPES), draw.random(), end, draw.randrange(end))
        totals += live(draw.choice(nets), amount, draw)
    assert totals.min() > 1_000, "it shows nothing where nothing happens"


@pytest.mark.parametrize("options", [{"rate": -0.1}, {"rate": 1.1}, {"warm": 5, "end": 5}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        Amount(**options)
