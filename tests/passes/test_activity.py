"""The score of ReDo, against its formula."""

import pytest
import torch
from torch import nn

import morphir
from morphir import RefusalError
from morphir.axes import AxisGroups
from morphir.passes.activity import scores_of, values_on
from morphir.passes.units import Units
from tests.passes.test_wider import IMAGE, X
from tests.passes.widenings import Agent, mlp


def scores(model: nn.Module, at: str, data: torch.Tensor, **options):
    program = morphir.trace(model, example_inputs=(data,), **options)
    groups = AxisGroups(program)
    given = dict.fromkeys(options.get("entry_points", ("forward",)), ((data,), {}))
    return scores_of(Units(groups, groups.of(at)[0].atom), values_on(program, given))


def redo(activations: torch.Tensor) -> torch.Tensor:
    """Sokar et al. 2023, eq. 1; rows first, then units."""
    size = (
        activations.double().abs().flatten(2).mean((0, 2))
        if activations.dim() > 2
        else (activations.double().abs().mean(0))
    )
    return size / size.mean()


def test_prune_2_the_score_of_a_dense_layer():
    model, data = mlp(), torch.randn(40, 4)
    with torch.no_grad():
        model[0].bias[2] = -50
        expected = redo(model[:2](data))
    found = scores(model, "0", data)
    assert found[2] == 0
    assert found.mean() == pytest.approx(1)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-6, atol=0)


def test_prune_2_the_score_of_channels_that_are_flattened():
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 2))
    with torch.no_grad():
        expected = redo(model[:2](IMAGE))
    torch.testing.assert_close(
        torch.from_numpy(scores(model, "0", IMAGE)), expected, rtol=1e-6, atol=0
    )


class Two(nn.Module):
    """Two readers, one of which sees only what is positive."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x)
        return self.b(h.relu()) + self.c((-h).relu())


def test_prune_2_of_several_readers_the_largest_score_counts():
    model = Two()
    with torch.no_grad():
        h = model.a(X)
        expected = torch.maximum(redo(h.relu()), redo((-h).relu()))
    torch.testing.assert_close(torch.from_numpy(scores(model, "a", X)), expected, rtol=1e-6, atol=0)


def test_prune_2_a_silent_layer_has_scores_of_zero():
    model = mlp()
    with torch.no_grad():
        model[0].bias.fill_(-50)
    assert (scores(model, "0", X) == 0).all()


def test_prune_2_every_entry_point_that_data_is_for_counts():
    found = scores(Agent(), "trunk.0", X, entry_points=("act", "value"))
    assert found.mean() == pytest.approx(1)


def test_data_that_reach_nothing_are_refused():
    program = morphir.trace(Agent(), example_inputs=(X,), entry_points=("act", "value"))
    groups = AxisGroups(program)
    units = Units(groups, groups.of("trunk.0")[0].atom)
    with pytest.raises(RefusalError, match=r"no activations of the units of 'trunk.0.weight' can"):
        scores_of(units, values_on(program, {}))
