"""An application that fails anywhere leaves everything as it was."""

import doctest
from pathlib import Path

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, Grade
from morphir import pipeline as pipeline_module
from morphir import transform as transform_function
from morphir.grading import verdict
from morphir.ir import Check
from morphir.lineage import Lineage
from morphir.recordings import Clock, Traces, Twins
from tests.specimens import Attributes, Net, fingerprint, train_a_little

transform_module = __import__(transform_function.__module__, fromlist=["transform"])
stages_module = __import__("morphir.stages", fromlist=["rewrite"])

PASSES = {
    Net: [DeeperPass(at="extractor.1"), DeeperPass(at="extractor.3", block="residual")],
    Attributes: [DeeperPass(at="act"), DeeperPass(at="fc1", block="residual")],
}


class BoomError(Exception):
    """Raised by nobody else."""


def fail_at(monkeypatch, owner, name: str, call: int, error: type[BaseException]) -> list[int]:
    """Makes the nth call of a function raise, after it did its work if it is a later one."""
    original, calls = getattr(owner, name), []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            original(*args, **kwargs)
            raise error("boom")
        return original(*args, **kwargs)

    is_class_method = isinstance(vars(owner).get(name), classmethod)
    monkeypatch.setattr(owner, name, staticmethod(failing) if is_class_method else failing)
    return calls


PHASES = [
    (Traces, "of", 1),
    (stages_module, "run_pass", 1),
    (stages_module, "run_pass", 2),
    (Twins, "of", 1),
    (pipeline_module.Surgery, "_insert", 1),
    (pipeline_module.Surgery, "_insert", 2),
    (pipeline_module.Surgery, "apply", 1),
    (pipeline_module.Joining, "_place_for", 1),
    (pipeline_module.Joining, "_place_for", 3),
    (pipeline_module.Joining, "join", 1),
    (pipeline_module.Joining, "join", 2),
    (Traces, "of", 2),
    (pipeline_module, "check_emission", 1),
    (pipeline_module, "check_certificate", 1),
    (pipeline_module.Application, "_train_check", 1),
    (Twins, "of", 2),
    (pipeline_module, "check_double", 1),
    (pipeline_module, "check_native", 1),
    (pipeline_module, "check_learning", 1),
    (pipeline_module.Application, "_report", 1),
    (Lineage, "extended", 1),
    (transform_module, "_complete", 1),
]


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("kind", [Net, Attributes])
@pytest.mark.parametrize(("owner", "name", "call"), PHASES, ids=lambda v: getattr(v, "__name__", v))
def test_back_6_a_failure_in_any_phase_changes_nothing(
    monkeypatch, owner, name, call, kind, inplace
):
    """BACK-6: neither of the model, nor of the optimizers, nor of the random state"""
    model = kind()
    optimizers = [
        torch.optim.Adagrad(model.parameters()),
        torch.optim.SGD([*model.parameters()][:1]),
    ]
    train_a_little(model, optimizers[0])
    model.train()
    before = fingerprint(model, optimizers)
    error = KeyboardInterrupt if call == 2 else BoomError
    calls = fail_at(monkeypatch, owner, name, call, error)
    with pytest.raises(error, match="boom"):
        morphir.transform(
            model,
            PASSES[kind],
            optimizer=optimizers,
            inplace=inplace,
            example_inputs=(torch.ones(3, 4),),
        )
    assert len(calls) == call
    assert fingerprint(model, optimizers) == before
    monkeypatch.undo()
    result = morphir.transform(
        model,
        PASSES[kind],
        optimizer=optimizers,
        inplace=inplace,
        example_inputs=(torch.ones(3, 4),),
    )
    assert result.report.grade is Grade.PROVED


def test_back_6_a_failing_copy_changes_nothing(monkeypatch):
    """BACK-6"""
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    before = fingerprint(model, [optimizer])
    fail_at(monkeypatch, transform_module, "duplicate", 1, BoomError)
    with pytest.raises(BoomError):
        morphir.transform(model, PASSES[Net], optimizer=optimizer)
    assert fingerprint(model, [optimizer]) == before


class Counting(Net):
    """Its forward leaves traces."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen += x.detach().sum(0)
        return super().forward(x)


@pytest.mark.parametrize("inplace", [False, True])
def test_back_6_checking_leaves_no_trace_on_the_user_s_model(inplace):
    """BACK-6"""
    model = Counting()
    result = morphir.transform(model, DeeperPass(at="extractor.1"), inplace=inplace)
    assert result.report.grade is Grade.PROVED
    for each in (model, result.module):
        assert each.calls == 0
        assert not each.seen.any()


def test_twins_are_what_the_model_is_and_apart_from_it():
    model = Net()
    model.optimizer = torch.optim.Adam(model.parameters())
    model.last = model(torch.randn(2, 4))
    twins = Twins.of(model)
    assert twins.native.head.weight is model.head.weight
    assert twins.double.head.weight.dtype is torch.float64
    assert model.head.weight.dtype is torch.float32
    assert twins.native.optimizer is twins.double.optimizer is model.optimizer
    assert model.training


def test_a_model_without_train_mode_is_said_to_be_so():
    class Picky(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise ValueError("not while training")
            return super().forward(x)

    result = morphir.transform(Picky(), DeeperPass(at="extractor.1"))
    check = result.report.check("train mode")
    assert check.grade is Grade.UNKNOWN
    assert "not while training" in check.summary
    assert result.report.grade is Grade.PROVED


def check(name: str, grade: Grade) -> Check:
    return Check(name, grade, "")


@pytest.mark.parametrize(
    ("certificate", "others", "expected"),
    [
        (Grade.PROVED, {}, Grade.PROVED),
        (Grade.PROVED, {"float64": Grade.TESTED, "native": Grade.UNKNOWN}, Grade.PROVED),
        (Grade.PROVED, {"float64": Grade.REFUTED}, Grade.REFUTED),
        (Grade.PROVED, {"native": Grade.REFUTED}, Grade.REFUTED),
        (Grade.PROVED, {"kept": Grade.REFUTED}, Grade.REFUTED),
        (Grade.PROVED, {"certificate (train)": Grade.UNKNOWN}, Grade.UNKNOWN),
        (Grade.UNKNOWN, {}, Grade.UNKNOWN),
        (Grade.UNKNOWN, {"float64": Grade.UNKNOWN}, Grade.UNKNOWN),
        (Grade.UNKNOWN, {"float64": Grade.TESTED}, Grade.TESTED),
        (Grade.UNKNOWN, {"float64": Grade.TESTED, "native": Grade.REFUTED}, Grade.REFUTED),
    ],
)
def test_the_verdict(certificate, others, expected):
    """GRADE-1"""
    checks = [check("certificate", certificate), *(check(n, g) for n, g in others.items())]
    assert verdict(checks) is expected


def test_the_clock_adds_up():
    clock = Clock()
    for _ in range(2):
        with clock("a"):
            pass
    with pytest.raises(ValueError, match="x"), clock("b"):
        raise ValueError("x")
    assert clock.seconds.keys() == {"a"}
    assert 0 < clock.seconds["a"] < 1


def test_phases_are_timed():
    seconds = morphir.transform(Net(), PASSES[Net]).report.seconds
    assert {"trace", "rewrite", "copy", "emit", "trace again", "certificate", "float64"} <= {
        *seconds
    }


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 4, batch_first=True)
        self.head = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(x)[0][:, -1])


def test_what_is_opaque_only_blocks_what_passes_through_it():
    model, x = Gru(), torch.randn(2, 5, 4)
    result = morphir.transform(model, DeeperPass(at="head.1"), example_inputs=(x,))
    assert result.report.grade is Grade.PROVED
    assert torch.equal(result.module(x), model(x))


def test_the_examples_of_the_page_give_what_they_show():
    page = Path(__file__).resolve().parents[1] / "spec" / "backend.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 0
    assert found.failed == 0
