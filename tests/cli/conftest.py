"""A folder with models to name on the command line."""

import sys
from pathlib import Path

import pytest

MODELS = """\
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 2))

class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor, self.critic = nn.Linear(4, 2), nn.Linear(4, 1)
    def act(self, x):
        return self.actor(x)
    def get_value(self, x):
        return self.critic(x)

class Words(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Embedding(9, 6), nn.Linear(6, 3))

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)
    def forward(self, x, y):
        return self.a(x) + self.b(y)

ready = Net()
number = 3
some = torch.zeros(2, 4)
some_act = {"act": (torch.zeros(2, 4),)}
def inputs():
    return {"forward": ((torch.zeros(2, 4),), {})}
def broken():
    raise ValueError("no such thing")
def nothing():
    return None
def conv():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
"""


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mymodels.py").write_text(MODELS, encoding="utf8")
    (tmp_path / "broken_module.py").write_text("import not_there_at_all\n", encoding="utf8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mymodels", raising=False)
    return tmp_path
