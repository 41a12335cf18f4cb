"""MASK-10: a model is not recorded again while nothing but numbers changes, and else it is."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import (
    Grade,
    MaskGrowPass,
    PruneDormantPass,
    RecycleDormantPass,
    ResetPass,
    SparsifyPass,
    TransformResult,
    recordings,
)
from morphir.ir import print_program
from morphir.recordings import Traces, Twins
from tests.passes.masked import masked
from tests.passes.test_mask_grow import Looking, with_gradients
from tests.passes.test_wider import X

GROW = MaskGrowPass(count=2, score="random")


class Net(nn.Module):
    """A net whose forward depends on all that Python has: numbers, tensors, lists, objects."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.scale, self.shift, self.options = 2.0, torch.ones(3), {"cut": [1]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.norm(self.a(x)))
        out = self.b(h) * self.scale + self.shift
        return out[: -self.options["cut"][0]] if self.options["cut"][0] > 1 else out

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.a(x)))


def net() -> Any:
    torch.manual_seed(0)
    return masked(Net(), 0.5)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is recorded from here on."""
    found: list[Any] = []
    of = Traces.of.__func__
    monkeypatch.setattr(Traces, "of", classmethod(lambda *given: found.append(given) or of(*given)))
    return found


def changed(model: nn.Module, pass_: Any, **options: Any) -> TransformResult:
    given = {"example_inputs": (X,), "inplace": True, **options}
    return morphir.transform(model, pass_, **given)


def assert_as_anew(result: TransformResult, model: nn.Module, **options: Any) -> None:
    """The recording is what a new one would be, text and numbers."""
    anew = Traces.of(model, (X,), options.get("entry_points", ("forward",)))
    for one, other in (
        (result.recording.traces.eval, anew.eval),
        (result.recording.traces.train, anew.train),
    ):
        assert print_program(one.program) == print_program(other.program)
        assert one.program.hash == other.program.hash
        assert one.program.state.keys() == other.program.state.keys()
        for name, entry in other.program.state.items():
            assert torch.equal(one.program.state[name].tensor, entry.tensor), name


def trained(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    masks = morphir.Masks(model)
    model.train()
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        masks.mask_gradients()
        optimizer.step()
        masks.mask_parameters()


EVENTS: dict[str, Callable[[], Any]] = {
    "grow": lambda: MaskGrowPass(count=2, score="random"),
    "grow random numbers": lambda: MaskGrowPass(count=2, score="random", init="random"),
    "sparsify": lambda: SparsifyPass(0.4),
    "recycle": lambda: RecycleDormantPass((X,), threshold=0.5),
    "prune": lambda: PruneDormantPass(data=(X,), threshold=0.8, mode="mask"),
    "reset": lambda: ResetPass("b"),
}


def test_mask_10_a_life_of_training_and_events_is_recorded_once(recorded: list[Any]):
    """MASK-10: and the recording is at each event what a new one would be"""
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    trained(model, optimizer)
    result = changed(model, GROW, optimizer=optimizer)
    assert len(recorded) == 1
    for name, make in EVENTS.items():
        trained(model, optimizer)
        before = len(recorded)
        result = changed(model, make(), optimizer=optimizer, recording=result.recording)
        assert len(recorded) == before, name
        assert result.certificate.before == result.certificate.after
        assert_as_anew(result, model)
        del recorded[:]


def test_mask_10_a_model_is_looked_at_once_per_event(monkeypatch: pytest.MonkeyPatch):
    """MASK-10: what it was like when it was recorded stays what it has to be like"""
    looks: list[nn.Module] = []
    look = recordings.attributes_of
    monkeypatch.setattr(recordings, "attributes_of", lambda m: looks.append(m) or look(m))
    result = changed(net(), GROW)
    assert len(looks) == 1
    for number in (2, 3):
        result = changed(result.module, GROW, recording=result.recording)
        assert len(looks) == number


def test_mask_10_a_recording_that_is_used_gives_the_same_verdict_as_a_new_one():
    """MASK-10: the same decisions, numbers and checks"""
    first = changed(net(), GROW)
    for make in EVENTS.values():
        one, other = (copy.deepcopy(first.module) for _ in range(2))
        with torch.no_grad():
            for each in (one, other):
                each.a.bias.add_(0.5)
        with_it = changed(one, make(), recording=first.recording)
        without = changed(other, make())
        assert with_it.report.grade is without.report.grade
        assert with_it.certificate == without.certificate
        assert [c.summary for c in with_it.report.checks] == [
            c.summary for c in without.report.checks
        ]
        for name, tensor in without.module.state_dict().items():
            assert torch.equal(with_it.module.state_dict()[name], tensor), name


class Scale:
    """What nobody can look into."""

    factor = 2.0


STALE: dict[str, Callable[[Any], object]] = {
    "a number": lambda model: setattr(model, "scale", 3.0),
    "a tensor": lambda model: model.shift.add_(1),
    "a list in a dict": lambda model: model.options["cut"].append(2),
    "a new attribute": lambda model: setattr(model, "more", 1),
    "an object": lambda model: setattr(model, "more", Scale()),
    "a layer": lambda model: model.add_module("c", nn.Linear(2, 2)),
    "another layer": lambda model: setattr(model, "norm", nn.Identity()),
    "a setting": lambda model: setattr(model.norm, "eps", 0.1),
    "a hook": lambda model: model.a.register_forward_hook(lambda *given: given[2] * 2),
    "a hook before": lambda model: model.b.register_forward_pre_hook(lambda *_: None),
    "a frozen parameter": lambda model: model.b.bias.requires_grad_(False),
    "a mode": lambda model: model.eval(),
    "a buffer": lambda model: model.a.register_buffer("more", torch.ones(1)),
    "a mask that is gone": lambda model: delattr(model.b, "weight_mask"),
    "a tie": lambda model: setattr(model.a, "bias", model.norm.bias),
    "a forward": lambda model: setattr(model, "forward", model.features),
    "a class": lambda model: setattr(model, "__class__", type("Net", (Net,), {})),
    "a size": lambda model: (
        model.__dict__.update(shift=torch.ones(2)) or setattr(model, "b", masked(nn.Linear(6, 2)))
    ),
    "a dtype": lambda model: model.double(),
}


@pytest.mark.parametrize("what", STALE)
def test_mask_10_a_recording_of_what_was_another_model_is_not_used(what: str, recorded: list[Any]):
    """MASK-10"""
    result = changed(net(), GROW)
    model: Any = result.module
    assert len(recorded) == 1
    STALE[what](model)
    x = X.double() if what == "a dtype" else X
    again = changed(model, GROW, recording=result.recording, example_inputs=(x,))
    assert len(recorded) == 2, "it is recorded again; after its edit it need not be"
    last = changed(model, GROW, recording=again.recording, example_inputs=(x,))
    known = 3 if what == "an object" else 2
    assert len(recorded) == known, "what was recorded again is known, if it can be"
    assert last.report.grade is Grade.PROVED


class Negative(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -x


class Ordered(nn.Module):
    """A net that runs its activations in their order."""

    temperature = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)
        self.between = nn.ModuleDict({"relu": nn.ReLU(), "negative": Negative()})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x)
        for each in self.between.values():
            h = each(h)
        return self.b(h / self.temperature)


STALE_CODE: dict[str, Callable[[pytest.MonkeyPatch, Any], object]] = {
    "the order of modules without state": lambda patch, model: model.between.add_module(
        "relu", model.between.pop("relu")
    ),
    "a number of the class": lambda patch, model: patch.setattr(Ordered, "temperature", 2.0),
    "a method": lambda patch, model: patch.setattr(Ordered, "forward", lambda m, x: m.b(m.a(x))),
}


@pytest.mark.parametrize("what", STALE_CODE)
def test_mask_10_a_recording_of_other_code_or_another_order_is_not_used(
    what: str, monkeypatch: pytest.MonkeyPatch, recorded: list[Any]
):
    """MASK-10"""
    torch.manual_seed(0)
    result = changed(masked(Ordered(), 0.5), GROW)
    STALE_CODE[what](monkeypatch, result.module)
    again = changed(result.module, GROW, recording=result.recording)
    assert len(recorded) == 2
    assert again.certificate.before != result.certificate.after
    assert_as_anew(again, result.module)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (("forward",), ("features",)),
        (("forward",), ("forward", "features")),
        (("forward", "features"), ("forward",)),
        (("forward", "features"), ("features", "forward")),
    ],
)
def test_mask_10_a_recording_of_other_entry_points_is_not_used(
    first: tuple[str, ...], then: tuple[str, ...], recorded: list[Any]
):
    """MASK-10: their order is that of the program"""
    result = changed(net(), GROW, entry_points=first)
    again = changed(result.module, GROW, entry_points=then, recording=result.recording)
    assert len(recorded) == 2
    assert_as_anew(again, result.module, entry_points=then)


def test_mask_10_where_python_saw_numbers_a_recording_is_not_kept(recorded: list[Any]):
    """MASK-10: other numbers may take another path"""
    result = changed(masked(Looking(), 0.5), GROW)
    with torch.no_grad():
        result.module.a.weight.add_(100 * result.module.a.weight_mask)
    del recorded[:]
    again = changed(result.module, GROW, recording=result.recording)
    assert len(recorded) == 2, "before and after"
    assert again.certificate.before != result.certificate.after


class Gated(nn.Module):
    """A net with as many inputs as a parameter says."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)
        self.gate = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        keep = self.gate > 0.5
        h = nn.functional.linear(x[:, keep], self.a.weight[:, keep], self.a.bias)
        return self.b(torch.relu(h))


def test_mask_10_where_sizes_depend_on_numbers_a_recording_is_not_kept():
    """MASK-10: what is drawn anew has the range of the layer that it is now"""
    torch.manual_seed(0)
    result = changed(masked(Gated(), 0.5), GROW)
    with torch.no_grad():
        result.module.gate.fill_(1)
    anew = copy.deepcopy(result.module)
    again = changed(result.module, ResetPass("a"), recording=result.recording)
    assert_as_anew(again, result.module)
    changed(anew, ResetPass("a"))
    assert torch.equal(again.module.a.weight, anew.a.weight)


def test_mask_10_first_masks_are_recorded_again(recorded: list[Any]):
    """MASK-10: a module has something new"""
    torch.manual_seed(0)
    result = changed(Net(), SparsifyPass(0.5))
    assert len(recorded) == 2
    changed(result.module, SparsifyPass(0.3), recording=result.recording)
    assert len(recorded) == 2


@pytest.mark.parametrize("inplace", [False, True])
def test_mask_10_a_recording_of_another_model_of_its_kind_may_be_used(
    inplace: bool, recorded: list[Any]
):
    """MASK-10: it holds calls; numbers are those of the model that is given"""
    result, other = changed(net(), GROW), net()
    with torch.no_grad():
        other.b.bias.add_(3)
    again = changed(other, GROW, recording=result.recording, inplace=inplace)
    assert len(recorded) == 1
    assert_as_anew(again, again.module)
    wider = masked(nn.Sequential(nn.Linear(4, 3)))
    changed(wider, GROW, recording=result.recording)
    assert len(recorded) == 3


def test_mask_10_a_change_of_sizes_is_recorded_again_and_known_from_then_on(recorded: list[Any]):
    """MASK-10"""
    result = changed(net(), GROW)
    wider = changed(result.module, morphir.WiderPass("a", width=9), recording=result.recording)
    assert len(recorded) == 2
    again = changed(result.module, GROW, recording=wider.recording)
    assert len(recorded) == 2
    assert_as_anew(again, result.module)
    stale = changed(result.module, GROW, recording=result.recording)
    assert stale.certificate.before == again.certificate.after


def test_in_place_without_edits_the_model_is_neither_recorded_again_nor_run(
    recorded: list[Any], monkeypatch: pytest.MonkeyPatch
):
    """MASK-10"""
    made: list[Any] = []
    of = Twins.of.__func__
    monkeypatch.setattr(Twins, "of", classmethod(lambda *given: made.append(given) or of(*given)))
    model = with_gradients(net())
    result = changed(model, MaskGrowPass(count=0))
    assert (len(recorded), len(made)) == (1, 0)
    assert result.report.grade is Grade.PROVED
    assert "not run: nothing changes" in str(result.report)
    assert morphir.lineage.lineage_of(model).steps == ()
    again = changed(model, MaskGrowPass(count=0), recording=result.recording)
    assert (len(recorded), len(made)) == (1, 0)
    assert again.certificate == result.certificate
    changed(model, MaskGrowPass(count=0), inplace=False)
    assert made, "a copy is another model"


def test_a_result_can_be_shown_without_its_recording():
    assert "Recording(" not in repr(changed(net(), GROW))
