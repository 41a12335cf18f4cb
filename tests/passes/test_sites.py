"""From what a user writes to the places it means."""

import re

import pytest
import torch
from torch import nn

import morphir
from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.passes import Refusal
from morphir.passes.sites import calls_at, module_names, resolve, unprovable
from tests.passes.programs import LINEAR, parse


class Net(nn.Module):
    """Blocks with layers of the same names, something that is not called, and two results."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"fc1": nn.Linear(4, 4), "act": nn.ReLU()}) for _ in range(12)
        )
        self.split, self.pick, self.spare = Split(), Pick(), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block["act"](block["fc1"](x))
        a, b = self.split(x)
        return a + b + self.pick(x)


class Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ReLU()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * 2, self.inner(x)


class Pick(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.argmax(1, keepdim=True)


PROGRAM = record(Net(), example_inputs=(torch.randn(3, 4),)).program


@pytest.mark.parametrize(
    ("at", "names"),
    [
        ("blocks.3.fc1", ["blocks.3.fc1"]),
        (["blocks.3.fc1", "blocks.1.act"], ["blocks.3.fc1", "blocks.1.act"]),
        ("blocks.1?.fc1", ["blocks.10.fc1", "blocks.11.fc1"]),
        (["blocks.1.act", "blocks.[01].*"], ["blocks.1.act", "blocks.0.fc1", "blocks.0.act",
        "blocks.1.fc1"]), ("*.inner", ["split.inner"]),
    ],
    ids=str,
)  # fmt: skip
def test_names_globs_and_lists_in_the_order_of_the_model(at: str | list[str], names: list[str]):
    assert resolve(at, PROGRAM) == names


def test_a_glob_that_means_many():
    assert len(resolve("blocks.*.fc1", PROGRAM)) == 12


@pytest.mark.parametrize(
    ("at", "reason", "suggestion"),
    [
        ("blocks.3.fc2", "no module 'blocks.3.fc2'", "at='blocks.3.fc1'"),
        ("blocks.3.FC1", "no module", "at='blocks.3.fc1'"),
        ("splits", "no module 'splits'", "at='split'"),
        ("zzz", "no module 'zzz'", "at='blocks'"),
        ("split.weight", "no module 'split.weight' in Net", "at='split'"),
        ("blocks.3.fc1.weight", "that is a parameter, and at= names a module", "blocks.3.fc1'"),
        ("layers.*", "no module 'layers.*'", "at="),
        ("", "the whole model", "at='blocks'"),
        ([], "at= is empty", "at='blocks'"),
        (["split", "nope"], "no module 'nope'", "at="),
    ],
    ids=str,
)
def test_what_means_nothing_names_the_nearest(at: str | list[str], reason: str, suggestion: str):
    refusal = resolve(at, PROGRAM)
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason
    assert any(suggestion in each for each in refusal.suggestions)


@pytest.mark.parametrize("at", ["block.1.act", "zzz", "", []])
def test_only_names_are_suggested_at_which_the_pass_can_be_asked(at: str | list[str]):
    refusal = resolve(at, PROGRAM, lambda name: name.endswith("fc1"))
    assert isinstance(refusal, Refusal)
    assert refusal.suggestions
    assert all(each.endswith("fc1'") for each in refusal.suggestions)


def test_a_module_with_several_names_goes_by_its_first():
    """`named_modules` gives that one only, and users write the one they see."""
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu)
    program = record(model, example_inputs=(torch.randn(2, 4),)).program
    assert resolve("3", program) == ["1"]
    assert resolve(["1", "3"], program) == ["1"]


def test_a_container_that_is_never_called_names_what_is_inside():
    model = nn.Sequential(nn.ModuleDict({"fc": nn.Linear(4, 4)}))

    class Calling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.parts[0]["fc"](x)

    program = record(Calling(), example_inputs=(torch.randn(2, 4),)).program
    refusal = calls_at(program, "parts")
    assert isinstance(refusal, Refusal)
    assert refusal.suggestions[0] == "at='parts.0.fc'"


def test_the_modules_of_a_parsed_program_are_those_it_calls():
    assert module_names(parse(LINEAR)) == ["body", "body.a", "body.act", "b"]
    assert "spare" in module_names(PROGRAM)


@pytest.mark.parametrize(
    ("name", "reason", "suggestion"),
    [
        ("spare", "'spare' is never called by 'forward'", "entry_points="),
        ("blocks.3", "'blocks.3' is never called", "entry_points="),
        ("split", "'split' returns 2 tensors, expected one", "at='split.inner'"),
        ("pick", "'pick' returns i64[B, 1], expected a floating-point tensor", ""),
    ],
)
def test_modules_that_cannot_be_followed(name: str, reason: str, suggestion: str):
    refusal = calls_at(PROGRAM, name)
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason
    assert any(each.startswith(suggestion) for each in (*refusal.suggestions, ""))


def test_every_call_of_a_module_over_all_entry_points():
    relu = nn.ReLU()

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = relu

        def once(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(x)

        def twice(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.relu(x) - 1)

    program = record(
        Twice(), example_inputs=(torch.randn(2, 3),), entry_points=("once", "twice")
    ).program
    assert [graph.name for graph, _ in calls_at(program, "relu")] == ["once", "twice", "twice"]


class Casting(nn.Module):
    """Enters autocast for its middle, as a forward should not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.body(h)


@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_a_site_inside_an_autocast_region_is_refused_by_name(block: str):
    x = (torch.randn(2, 4),)
    with pytest.raises(RefusalError, match=r"'body.1' runs inside torch.autocast") as caught:
        morphir.apply(Casting(), morphir.DeeperPass(at="body.1", block=block), example_inputs=x)
    assert "around the call of the model" in caught.value.suggestions[0]
    grown = morphir.apply(
        Casting(), morphir.DeeperPass(at="first.1", block=block), example_inputs=x
    )
    assert "1_deeper1" in grown.first._modules, "the value is only read under autocast"


def test_a_part_that_is_not_called_names_the_module_around_it_as_an_entry_point():
    class Critics(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.critic = nn.ModuleDict({"qf0": nn.Sequential(nn.Linear(4, 4), nn.ReLU())})
            self.critics = nn.ModuleList([self.critic["qf0"]])
            self.value = Casting()
            self.actor = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.actor(x)

    program = record(Critics(), example_inputs=(torch.randn(2, 4),)).program
    refusal = calls_at(program, "value.body.1")
    assert isinstance(refusal, Refusal)
    assert refusal.suggestions == ("entry_points=('value',)",)
    refusal = calls_at(program, "critic.qf0.1")
    assert isinstance(refusal, Refusal)
    assert refusal.suggestions == ("entry_points=('critic.qf0',)",), "a ModuleDict has no forward"
    refusal = calls_at(program, "value")
    assert isinstance(refusal, Refusal)
    assert refusal.suggestions == ("entry_points= with a method that calls it",)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_what_no_proof_follows_is_known_beforehand():
    def change(x: torch.Tensor) -> torch.Tensor:
        h = x.clone()
        h[:, :2].mul_(2)
        return h + 1

    class Calling(nn.Module):
        def __init__(self, function) -> None:
            super().__init__()
            self.function = function

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.function(x)

    x = (torch.randn(2, 4),)
    scripted = torch.jit.script(nn.Linear(4, 4))
    for function, why in [
        (change, r"changed through a view of it \(test_sites\.py:"),
        (scripted, r"a TorchScript module is called \(test_sites\.py:"),
    ]:
        assert re.search(why, unprovable(record(Calling(function), example_inputs=x).program))
    assert unprovable(PROGRAM) == ""
