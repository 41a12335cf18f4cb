"""RUN-7: what torch.compile makes of a model."""

import pytest
import torch
from torch import nn

from morphir import Grade
from morphir.checks.calling import double_copy
from morphir.checks.compiled import check_compiled

X = {"forward": ((torch.randn(3, 4),), {})}
NET = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))


def test_run_7_a_compiled_model_is_compared_with_itself(monkeypatch: pytest.MonkeyPatch):
    """RUN-7"""
    monkeypatch.setattr(torch, "compile", lambda model: model)
    found = check_compiled(NET, X, double_copy(NET))
    assert (found.name, found.grade) == ("compile", Grade.TESTED)


def test_run_7_another_result_is_refuted(monkeypatch: pytest.MonkeyPatch):
    """RUN-7"""

    def miscompiled(model: nn.Module) -> nn.Module:
        with torch.no_grad():
            model[0].weight[0] = 0
        return model

    monkeypatch.setattr(torch, "compile", miscompiled)
    weight = NET[0].weight.clone()
    assert check_compiled(NET, X, double_copy(NET)).grade is Grade.REFUTED
    assert torch.equal(NET[0].weight, weight), "a copy is compiled"


def test_what_cannot_be_compiled_is_unknown(monkeypatch: pytest.MonkeyPatch):
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("there is no compiler\nand a long explanation")

    monkeypatch.setattr(torch, "compile", lambda model: Broken())
    found = check_compiled(NET, X)
    assert found.grade is Grade.UNKNOWN
    assert found.summary == "it can't be compiled: there is no compiler"
    assert check_compiled(NET, {}).grade is Grade.UNKNOWN
