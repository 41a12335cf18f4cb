"""Probes keep shapes and integers, cover scales, and wake units that sleep."""

import torch
from torch import nn

from morphir.checks.calling import double_copy
from morphir.checks.power import LiftToDouble, SwitchRecord
from morphir.checks.probes import probes, waking_probes
from morphir.ops import DEFAULT_TABLE


def test_probes_keep_what_they_know_nothing_about():
    ids, x = torch.tensor([[1, 2], [3, 4]]), torch.randn(2, 5)
    given = ((ids, {"x": x}), {"flag": True})
    labels = []
    for label, ((other_ids, holder), kwargs) in probes(given):
        labels.append(label)
        assert sorted(other_ids.flatten().tolist()) == [1, 2, 3, 4]
        assert holder["x"].shape == x.shape
        assert holder["x"].dtype == x.dtype
        assert kwargs == {"flag": True}
    assert labels[0] == "the given inputs"
    assert len(labels) == len(set(labels)) == 8


def test_probes_cover_six_orders_of_magnitude():
    sizes = {label: float(x.abs().max()) for label, x in probes(torch.randn(4, 6))}
    assert sizes["noise x0.001"] < 0.01
    assert sizes["noise x1000"] > 500
    assert sizes["zeros"] == 0


def test_one_hots_have_one_element_per_row():
    (x,) = [x for label, x in probes(torch.randn(7, 2, 3)) if label == "one-hots"]
    assert x.abs().flatten(1).sum(1).tolist() == [1.0] * 7


def test_waking_probes_switch_a_unit_that_noise_does_not():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1))
    with torch.no_grad():
        model[0].bias[0] = -30.0
        model[0].bias[1] = 30.0
    twin, record = double_copy(model), SwitchRecord(DEFAULT_TABLE)
    x = torch.randn(8, 4, dtype=torch.float64)
    with LiftToDouble(), record:
        for scale in (1, -1):
            record.start_run("forward")
            twin(scale * x)
    assert record.share is not None
    before = record.share
    assert before < 1
    for _, ((moved,), _) in waking_probes(twin, "forward", ((x,), {}), record):
        with record:
            record.start_run("forward")
            twin(moved.detach())
    assert record.share > before
    assert not any(p.grad is not None for p in model.parameters())


def test_waking_stops_where_there_is_nothing_to_wake():
    model = double_copy(nn.Sequential(nn.Linear(4, 6), nn.Tanh()))
    record = SwitchRecord(DEFAULT_TABLE)
    with record:
        record.start_run("forward")
        model(torch.randn(2, 4, dtype=torch.float64))
    assert record.share is None
    assert not [*waking_probes(model, "forward", ((torch.randn(2, 4).double(),), {}), record)]


def test_waking_probes_are_the_same_whatever_was_drawn_before():
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.relu(x * (torch.rand_like(x) - 0.5))

    model, found = Noisy(), []
    x = torch.full((2, 50), 3.0, dtype=torch.float64)
    for seed in (1, 2):
        record = SwitchRecord(DEFAULT_TABLE)
        with record:
            record.start_run("forward")
            model(torch.zeros_like(x))
        torch.manual_seed(seed)
        found.append(
            [moved for _, ((moved,), _) in waking_probes(model, "forward", ((x,), {}), record)]
        )
    assert found[0]
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
