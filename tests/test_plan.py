"""A plan says what would happen, and nothing happens."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, MorphismPass, RefusalError, WiderPass
from tests.axes.nets import NETS
from tests.specimens import Agent, Attributes, Conv, Net, fingerprint, train_a_little

IMAGES = (torch.zeros(2, 2, 6, 6),)
SEQUENCES = (torch.randn(2, 3, 5), torch.randn(2, 3, 5))


class Translator(nn.Module):
    """torch's Transformer, which writes its width and its heads down a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.Transformer(8, 2, 1, 1, 16, batch_first=True, dropout=0.0)
        self.embed, self.out = nn.Linear(5, 8), nn.Linear(8, 2)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return self.out(self.transformer(self.embed(source), self.embed(target)))


CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "copies": (Net, WiderPass(at="extractor.0", width=12), {}),
    "fresh units": (Net, WiderPass(at="extractor.2", width=11, init="fresh"), {}),
    "nothing to do": (Net, WiderPass(at="extractor.0", width=8), {}),
    "two at once": (Net, WiderPass(at=["extractor.0", "extractor.2"], width=12), {}),
    "a trunk": (Conv, WiderPass(at="conv1", width=6), {"example_inputs": IMAGES}),
    "wider heads of torch's Transformer": (
        Translator,
        WiderPass(at="embed", width=16, joint=True),
        {"example_inputs": SEQUENCES},
    ),
    "an insertion": (Net, DeeperPass(at="extractor.1"), {}),
    "an insertion inside": (Attributes, DeeperPass(at="act"), {}),
    "insertions, then sizes": (
        Net,
        [
            DeeperPass(at="extractor.1"),
            DeeperPass(at="extractor.3"),
            WiderPass(at="extractor.0", width=10),
            WiderPass(at="extractor.2", width=13),
        ],
        {},
    ),
    "entry points": (
        Agent,
        WiderPass(at="actor.0", width=9),
        {"entry_points": ("get_value", "get_logits")},
    ),
}
REFUSALS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "no such module": (Net, WiderPass(at="extractor.9", width=12), {}),
    "an output": (Net, WiderPass(at="head", width=12), {}),
    "not bounded": (Attributes, DeeperPass(at="fc2"), {}),
    "the second of a list": (
        Net,
        [WiderPass(at="extractor.0", width=12), WiderPass(at="head", width=12)],
        {},
    ),
    "after a step on a copy": (
        Net,
        [WiderPass(at="extractor.0", width=12), WiderPass(at="extractor.0", width=10)],
        {},
    ),
}


def built(kind: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind()


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: (*tensor.shape,) for name, tensor in model.state_dict().items()}


def attributes(model: nn.Module) -> dict[tuple[str, str], Any]:
    """Every public number, or tuple of numbers, on a module."""
    return {
        (name, key): value
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if type(value) in (int, tuple) and not key.startswith("_")
    }


def passes_in(pass_: MorphismPass | Sequence[MorphismPass]) -> Sequence[MorphismPass]:
    return [pass_] if isinstance(pass_, MorphismPass) else pass_


@pytest.mark.parametrize(("kind", "pass_", "inputs"), CASES.values(), ids=CASES)
def test_dry_2_what_is_planned_is_what_transform_does(kind: Any, pass_: Any, inputs: Any):
    """DRY-2: shapes, attributes and modules, and nothing beside them"""
    model = built(kind)
    plan = morphir.plan(model, pass_, **inputs)
    assert plan.refusal is None
    result = morphir.transform(model, pass_, **inputs)
    assert result.report.grade is morphir.Grade.PROVED
    before, after = shapes(model), shapes(result.module)
    assert [line for stage in plan.stages for line in stage.passes] == [*result.report.passes]

    planned = dict(before)
    for stage in plan.stages:
        for tensor in stage.tensors:
            assert planned[tensor.name] == tensor.old.shape
            planned[tensor.name] = tensor.new.shape
        for module in stage.modules:
            planned |= {f"{module.name}.{key}": t.shape for key, t in module.parameters.items()}
    assert planned == after

    numbers = attributes(model)
    for change in plan.attributes:
        if (change.module, change.name) in numbers:
            assert numbers[change.module, change.name] == change.old
            numbers[change.module, change.name] = change.new
    found = attributes(result.module)
    assert numbers == {key: found[key] for key in numbers}

    count = sum(p.numel() for p in result.module.parameters())
    assert plan.parameters == sum(p.numel() for p in model.parameters())
    assert plan.parameters + sum(stage.growth for stage in plan.stages) == count


@pytest.mark.parametrize(("kind", "pass_", "inputs"), REFUSALS.values(), ids=REFUSALS)
def test_dry_3_a_refusal_is_that_of_transform(kind: Any, pass_: Any, inputs: Any):
    """DRY-3: in the same words, and the plan says which pass it was"""
    model = built(kind)
    plan = morphir.plan(model, pass_, **inputs)
    with pytest.raises(RefusalError) as refused:
        morphir.transform(model, pass_, **inputs)
    assert str(plan.refusal) == str(refused.value)
    assert plan.refused == (passes_in(pass_)[-1].describe(),)
    assert len(plan.stages) == len(passes_in(pass_)) - 1


@pytest.mark.parametrize(
    ("kind", "pass_", "inputs"), [*CASES.values(), *REFUSALS.values()], ids=[*CASES, *REFUSALS]
)
def test_dry_1_nothing_changes(kind: Any, pass_: Any, inputs: Any):
    """DRY-1: model, optimizer, gradients and random states are what they were"""
    model = built(kind)
    optimizer = torch.optim.Adam(model.parameters())
    if kind is Net:
        train_a_little(model, optimizer)
    before, random_state = fingerprint(model, [optimizer]), torch.get_rng_state()
    morphir.plan(model, pass_, optimizer=optimizer, **inputs)
    assert fingerprint(model, [optimizer]) == before
    assert torch.equal(torch.get_rng_state(), random_state)


class Unknown(torch.optim.SGD):
    """An optimizer with a state that nobody declared."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, lr=0.1)

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["curvature"] = torch.zeros_like(parameter)


def test_what_changes_jointly_is_named_by_where_its_number_is():
    make, x, _ = NETS["gpt"]
    wider = WiderPass(at="wte", width=24, joint=True)
    (stage,) = morphir.plan(make(), wider, example_inputs=(x,)).stages
    assert [line.strip() for line in stage.passes[0].splitlines()[1:-1]] == [
        "wte: 12 -> 24 units (WIDER-1)",
        "h.0.attn.n_head: 3 -> 6 units (WIDER-1)",
        "h.1.attn.n_head: 3 -> 6 units (WIDER-1)",
    ]


def test_dry_3_an_optimizer_refuses_as_in_transform():
    net, widen = Net(), WiderPass(at="extractor.0", width=12)
    optimizer = Unknown(net.parameters())
    optimizer.step()
    plan = morphir.plan(net, widen, optimizer=optimizer)
    with pytest.raises(RefusalError) as refused:
        morphir.transform(net, widen, optimizer=optimizer)
    assert "curvature" in str(plan.refusal)
    assert str(plan.refusal) == str(refused.value)
    rules = {Unknown: {"curvature": "squared"}}
    assert morphir.plan(net, widen, optimizer=optimizer, state_rules=rules).refusal is None


def test_an_optimizer_that_was_not_given_is_none_of_the_copys():
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    train_a_little(net, optimizer)
    assert morphir.plan(net, WiderPass(at="extractor.0", width=12)).refusal is None


def test_later_stages_say_that_they_were_planned_on_a_copy():
    plan = morphir.plan(Net(), CASES["insertions, then sizes"][1])
    assert [stage.on_copy for stage in plan.stages] == [False, True, True]
    assert "on a copy on which the passes above were carried out" in str(plan)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("net", DeeperPass(at="1")), {}, "Module"),
        (([Net(), Net()], DeeperPass(at="1")), {}, "list of models"),
        ((Net(), "extractor"), {}, "expected a pass"),
        ((Net(), []), {}, "an empty list"),
        ((Net(), DeeperPass(at="1")), {"entry_points": ("foward",)}, "foward"),
        (
            (Net(), DeeperPass(at="1")),
            {"optimizer": torch.optim.Adam(Net().parameters())},
            "none of the parameters",
        ),
    ],
)
def test_bad_arguments_are_errors(arguments: Any, options: Any, message: str):
    with pytest.raises(RefusalError, match=message):
        morphir.plan(*arguments, **options)


def test_a_bug_of_a_pass_that_is_carried_out_is_an_error(monkeypatch: pytest.MonkeyPatch):
    from morphir.backend.surgery import Surgery

    apply = Surgery.apply

    def wrong(self: Surgery, edits: Any) -> None:
        apply(self, edits)
        with torch.no_grad():
            self._model.extractor[0].weight.add_(1)

    monkeypatch.setattr(Surgery, "apply", wrong)
    widen = WiderPass(at="extractor.0", width=12)
    with pytest.raises(morphir.VerificationError):
        morphir.plan(Net(), [widen, WiderPass(at="extractor.0", width=13)])


def test_it_works_while_the_caller_is_acting():
    with torch.inference_mode():
        assert morphir.plan(Net(), WiderPass(at="extractor.0", width=12)).tensors
