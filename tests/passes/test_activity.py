"""The score of ReDo, against its formula."""

import pytest
import torch
from torch import nn

import morphir
from morphir import RefusalError
from morphir.axes import AxisGroups
from morphir.passes.activity import scores_of, values_on
from morphir.passes.units import Units
from tests.passes.test_wider import IMAGE, SEQUENCE, X
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


class Head(nn.Module):
    """Reads the last step of what a recurrent layer returns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2)

    def forward(self, found: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return self.linear(found[0][:, -1])


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


@pytest.mark.parametrize("bidirectional", [False, True])
def test_prune_2_every_layer_and_direction_of_a_stack_counts(bidirectional: bool):
    """PRUNE-2: also those whose states the stack does not return"""
    options = {"nonlinearity": "relu", "batch_first": True, "bidirectional": bidirectional}
    model = nn.Sequential(nn.RNN(4, 6, 2, **options), Head(12 if bidirectional else 6))
    with torch.no_grad():
        model[0].bias_ih_l1[[1, 2]] = -50
        model[0].bias_ih_l0[[2, 3]] = -50
        if bidirectional:
            model[0].bias_ih_l1_reverse[[1, 2]] = -50
            model[0].bias_ih_l0_reverse[2] = -50
        lower = nn.RNN(4, 6, 1, **options)
        for name, parameter in lower.named_parameters():
            parameter.copy_(getattr(model[0], name))
        places = [*lower(SEQUENCE)[0].chunk(1 + bidirectional, -1)]
        top = model[0](SEQUENCE)[0].chunk(1 + bidirectional, -1)
        places += [*top, *(each[:, -1:] for each in top)]  # read by the stack, and by the head
        sizes = [place.double().mean((0, 1)) for place in places]
        expected = torch.stack([size / size.mean() for size in sizes]).amax(0)
    found = scores(model, "0", SEQUENCE)
    assert (found == 0).nonzero()[0].tolist() == [2]
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-5, atol=0)


class Steps(nn.Module):
    """A cell that is called at every step; only the last state is returned."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(4, 6), nn.Linear(6, 2)

    def states(self, x: torch.Tensor) -> list[torch.Tensor]:
        found = [(x.new_zeros(len(x), 6), x.new_zeros(len(x), 6))]
        for step in x.unbind(1):
            found.append(self.cell(step, found[-1]))
        return [h for h, _ in found]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.states(x)[-1])


def test_prune_2_every_step_of_a_cell_counts():
    """PRUNE-2: a unit that is silent in the end has been active"""
    model = Steps()
    with torch.no_grad():
        states = torch.stack(model.states(SEQUENCE)).double().abs().mean(1)
    expected = (states[1:] / states[1:].mean(1, keepdim=True)).amax(0)
    found = torch.from_numpy(scores(model, "cell", SEQUENCE))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_what_another_call_keeps_to_itself_is_refused():
    """The heads of attention are summed inside of one call."""
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    x = torch.randn(2, 3, 8)
    program = morphir.trace(Attending(), example_inputs=(x,))
    groups = AxisGroups(program)
    (heads,) = (leaf for leaf, group in groups.groups.items() if leaf.size == 2 and group.state)
    with pytest.raises(RefusalError, match="multi_head_attention multiplies with numbers that it"):
        scores_of(Units(groups, heads), values_on(program, {"forward": ((x,), {})}))


def test_prune_2_a_silent_layer_has_scores_of_zero():
    model = mlp()
    with torch.no_grad():
        model[0].bias.fill_(-50)
    assert (scores(model, "0", X) == 0).all()


def test_prune_2_beside_a_unit_that_overflows_only_silence_is_dormant():
    """PRUNE-2: the mean of all units is infinite, and each of the others nothing beside it"""
    model, data = mlp(), torch.rand(8, 4) + 1
    with torch.no_grad():
        model[0].weight.abs_()
        model[0].weight[2], model[0].bias[2] = 1e38, 0
        model[0].weight[3], model[0].bias[3] = 0, -1
    found = scores(model, "0", data)
    assert found[3] == 0
    assert all(score == float("inf") for unit, score in enumerate(found) if unit != 3)


def test_prune_2_every_entry_point_that_data_is_for_counts():
    found = scores(Agent(), "trunk.0", X, entry_points=("act", "value"))
    assert found.mean() == pytest.approx(1)


def test_data_that_reach_nothing_are_refused():
    program = morphir.trace(Agent(), example_inputs=(X,), entry_points=("act", "value"))
    groups = AxisGroups(program)
    units = Units(groups, groups.of("trunk.0")[0].atom)
    with pytest.raises(RefusalError, match=r"no activations of the units of 'trunk.0.weight' can"):
        scores_of(units, values_on(program, {}))
