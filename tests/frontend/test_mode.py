"""FRONT-8: one recording is that of both modes where nothing that ran uses the mode."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from morphir import DeeperPass, transform
from morphir.frontend import record
from morphir.frontend.mode import ModeWatch, switches_plainly
from morphir.recordings import Traces
from tests.frontend.models import ZOO, Mlp, One, X, build


class OwnTrain(Mlp):
    """Merges weights when it is switched, as adapters do."""

    def train(self, mode: bool = True) -> "OwnTrain":
        self.merged = not mode
        return super().train(mode)


class OwnFlag(Mlp):
    """Keeps the flag elsewhere."""

    @property
    def training(self) -> bool:
        return bool(vars(self).get("_training"))

    @training.setter
    def training(self, value: bool) -> None:
        vars(self)["_training"] = value


def with_hook() -> nn.Module:
    model = Mlp()
    model.head.register_forward_hook(lambda module, _, out: out if module.training else out + 0)
    return model


USES: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)),
    "batch norm": lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(4, 4)),
    "functional": lambda: One(lambda s, x: F.dropout(s.fc(x), 0.5, s.training)),
    "getattr": lambda: One(lambda s, x: s.fc(x) * (2 if getattr(s, "training") else 1)),  # noqa: B009
    "inner": lambda: One(lambda s, x: s.fc(x) * (2 if s.fc.training else 1)),
    "hook": with_hook,
    "sets it": lambda: One(lambda s, x: s.fc.eval()(x)),
    "own train": OwnTrain,
    "own flag": OwnFlag,
    "scripted": lambda: nn.Sequential(torch.jit.script(nn.Linear(4, 4))),
}


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", USES)
def test_front_8_what_uses_the_mode_is_recorded_in_both(name: str):
    model = USES[name]()
    assert record(model, example_inputs=(X,)).uses_mode
    assert not Traces.of(model, (X,), ("forward",)).are_one


@pytest.mark.parametrize("name", ZOO)
def test_front_8_one_recording_is_what_two_would_be(name: str):
    model, how = build(name)
    how = {key: value for key, value in how.items() if key != "mode"}
    in_eval, in_train = (record(model, mode=mode, **how) for mode in ("eval", "train"))
    same = str(in_eval.program).replace(" eval\n", " train\n", 1) == str(in_train.program)
    assert same or in_eval.uses_mode


def test_front_8_both_modes_are_covered_by_one_recording():
    found = Traces.of(Mlp(), (X,), ("forward",))
    assert found.are_one
    assert found.train is not None
    assert found.train.program.mode == "train"
    assert found.train.program.hash != found.eval.program.hash
    report = transform(Mlp(), DeeperPass(at="extractor.1"), example_inputs=(X,)).report
    checks = {check.name: check for check in report.checks}
    train = checks["certificate (train)"]
    assert train.grade is checks["certificate"].grade
    assert train.summary == "as in eval mode, since nothing that ran uses the mode"


def test_the_watch_sees_reads_and_writes_and_goes_away():
    model = nn.Linear(2, 2)
    with ModeWatch() as outer, ModeWatch() as inner:
        assert not inner.was_used
        assert model.training
        model.eval()
    assert inner.was_used
    assert not outer.was_used
    assert not model.training
    assert "training" not in vars(nn.Module)
    with ModeWatch(), pytest.raises(AttributeError, match="training"):
        _ = object.__new__(nn.Linear).training


def test_a_model_that_raises_leaves_no_watch():
    def fail(s: Any, x: torch.Tensor) -> torch.Tensor:
        raise ValueError("no")

    with pytest.raises(Exception, match="no"):
        record(One(fail), example_inputs=(X,))
    assert "training" not in vars(nn.Module)


def test_other_threads_keep_their_modes():
    other, seen = nn.Dropout(0.5), []
    with ModeWatch():
        thread = threading.Thread(target=lambda: seen.append(other.eval().training))
        thread.start()
        thread.join()
    assert seen == [False]


def test_a_class_that_switches_in_its_own_way_is_known():
    assert switches_plainly(Mlp())
    assert not switches_plainly(nn.Sequential(OwnTrain()))
    assert not switches_plainly(OwnFlag())
