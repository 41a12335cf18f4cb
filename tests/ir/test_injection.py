"""IR-10: what the rewriter predicts of an injection is what surgery emits."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from morphir.backend.surgery import Surgery
from morphir.frontend import record
from morphir.ir import (
    Call,
    Node,
    Program,
    Rewriter,
    Value,
    added_to,
    check_structure,
    injections_in,
    originals_in,
    print_program,
)
from morphir.ir.injection import inside_of, is_part_of, led_by, within

X = torch.zeros(3, 4)
SPEC = {"kind": "branch", "seed": 3}


class Net(nn.Module):
    """A Sequential that is called twice, a size that is an attribute, a tie, a mask, two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 4))
        self.body[0].register_buffer("weight_mask", torch.ones(6, 4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.twin = self.body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.twin(self.body(x))
        y = self.attention(y, y, y, need_weights=False)[0]
        return self.second(torch.tanh(self.first(y))) + x.shape[-1]


def check_prediction(model: nn.Module, anchors: list[str]) -> tuple[Rewriter, nn.Module]:
    model.eval()
    rewriter = Rewriter(record(model, example_inputs=(X,)).program)
    for anchor in anchors:
        rewriter.inject(anchor, law="INJECT-1", spec=SPEC)
        check_structure(rewriter.program)
    emitted = copy.deepcopy(model)
    surgery = Surgery(emitted)
    surgery.apply(rewriter.edits)
    after = record(emitted, example_inputs=(X,)).program
    predicted = print_program(rewriter.program, sources=False).splitlines()
    found = print_program(after, sources=False).splitlines()
    is_plain = [line for line in found if not line.startswith("sequential ")]
    assert [line for line in predicted if not line.startswith("sequential ")] == is_plain
    assert Program.parse(str(rewriter.program)) == rewriter.program
    assert rewriter.program.shared.items() <= after.shared.items()
    assert rewriter.program.modules == after.modules
    surgery.undo()
    assert (
        record(emitted, example_inputs=(X,)).program == record(model, example_inputs=(X,)).program
    )
    return rewriter, emitted


@pytest.mark.parametrize(
    "anchors",
    [["body"], ["first"], ["attention"], [""], ["body.0", "first"], ["body", "body"], ["", ""],
     ["body.2", "body"], ["first", ""]],
)  # fmt: skip
def test_ir_10_the_emitted_program_is_the_predicted_one(anchors: list[str]):
    check_prediction(Net(), anchors)


def test_an_injection_is_an_application_of_its_own():
    rewriter = Rewriter(record(Net(), example_inputs=(X,)).program)
    rewriter.inject("first", law="INJECT-1", spec=SPEC)
    for edit in (lambda: rewriter.renumber(None), lambda: rewriter.resize(None)):  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="an application of its own"):
            edit()
    with pytest.raises(ValueError, match="applications of their own"):
        rewriter.remove(None)  # type: ignore[arg-type]
    assert len(rewriter.injections) == 1
    assert rewriter.changed


def test_who_takes_whose_place():
    """Of a parameter and those that took its place before the last one that learns."""
    rewriter, _ = check_prediction(Net(), ["body.2"])
    (edit,) = rewriter.injections
    assert edit.freezes == ("body.2.weight", "body.2.bias")
    heirs = {"body.2.injected1.fresh.weight": "body.2.weight",
             "body.2.injected1.fresh.bias": "body.2.bias"}  # fmt: skip
    assert dict(edit.heirs) == heirs
    emitted = Net()
    Surgery(emitted).apply([edit])
    for name in edit.freezes:
        emitted.get_parameter(name).requires_grad_(False)
    program = record(emitted, example_inputs=(X,)).program
    again = Rewriter(program).inject("body", law="INJECT-1", spec=SPEC)
    assert again.heirs["body.injected1.fresh.2.weight"] == "body.2.injected1.fresh.weight"
    assert again.heirs["body.injected1.fresh.0.weight"] == "body.0.weight"
    assert {n.rpartition(".")[0] for n in again.freezes} == {
        "body.0", "body.2", "body.2.injected1.fresh", "body.2.injected1.frozen",
    }  # fmt: skip
    assert injections_in(program, "body") == ("body.2.injected1",)
    assert injections_in(program, "first") == ()
    assert [*originals_in(program, "body.2")] == ["weight", "bias"]


def test_names_of_parts():
    assert (within("a.b", "a"), within("a", "a"), within("a", "")) == ("b", "", "a")
    assert (inside_of("a", "b"), inside_of("", "b"), inside_of("a", "")) == ("a.b", "b", "a")
    assert is_part_of("a.b", "a")
    assert is_part_of("a", "")
    assert not is_part_of("ab", "a")


def test_inject_2_whom_a_layer_follows():
    """Behind the sum the copy that learns; in the other copy nothing but that."""
    rewriter = Rewriter(record(Net(), example_inputs=(X,)).program)
    rewriter.inject("body", law="INJECT-1", spec=SPEC)
    program = rewriter.program

    def copy_of(part: str, *layers: str) -> tuple[str, ...]:
        names = [f"{layer}.{name}" for layer in layers for name in ("weight", "bias")]
        return tuple(f"body.injected1.{part}.{name}" for name in names)

    upstream = (*copy_of("frozen", "2"), *copy_of("fresh", "2"), "body.0.weight")
    behind = (*copy_of("fresh", "2"), "body.0.weight")
    for module in ("body", "body.injected1", "first", "", "frozen.injected", "injected1"):
        assert led_by(program, module, upstream) == behind
    assert led_by(program, "body.injected1.fresh", behind) == behind
    for module in ("body.injected1.frozen", "body.injected1.frozen.2"):
        assert led_by(program, module, upstream) == copy_of("frozen", "2", "0")
    assert led_by(program, "body.injected1.frozen.0", ()) == copy_of("frozen", "0", "2")
    # What was put into the frozen copy alone has no twin that learns.
    guest = replace(program.state["body.0.weight"], name="body.injected1.frozen.guest")
    more = replace(program, state={**program.state, guest.name: guest})
    assert led_by(more, "first", [guest.name]) == (guest.name,)


@pytest.mark.parametrize("op", ["", "mul"])
def test_what_adds_nothing_is_no_branch(op: str):
    value = Value("result", "", None)
    body: tuple[Any, ...] = (Node(op, {"input": value}, (value,)),) if op else ()
    with pytest.raises(ValueError, match="'b' adds nothing"):
        added_to(Call("b", body, (value,)))
