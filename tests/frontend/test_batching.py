"""FRONT-3: which sizes follow the batch."""

import pytest
import torch
from torch import nn

from morphir.frontend import trace
from morphir.frontend.batching import another_batch, batch_size
from morphir.ir import Batch, Graph
from tests.frontend.models import One, X


def types(graph: Graph) -> list[str]:
    return [str(node.outputs[0].type) for node in graph.nodes if node.outputs]


def test_the_batch_is_the_first_size_of_the_first_tensor_that_has_one():
    assert batch_size(((torch.zeros(()), {"x": torch.zeros(5, 2)}), {})) == 5
    assert batch_size(((torch.zeros(()),), {})) == 0
    assert batch_size(((torch.zeros(0, 3), torch.zeros(4)), {})) == 4


def test_another_batch_has_one_more_row_and_other_numbers_of_the_same_sign():
    x, ids, table = torch.tensor([[1.0, 0.0], [-2.0, 3.0]]), torch.tensor([5, 6]), torch.ones(3)
    (longer, more, same), _ = another_batch(((x, ids, table), {}), 2, rescale=True)
    assert longer.shape == (3, 2)
    assert torch.equal(longer.sign(), torch.cat([x, x[:1]]).sign())
    assert (longer.abs() <= torch.cat([x, x[:1]]).abs()).all()
    assert not torch.equal(longer[:2], x)
    assert more.tolist() == [5, 6, 5]
    assert same is table
    (longer, _, _), _ = another_batch(((x, ids, table), {}), 2, rescale=False)
    assert torch.equal(longer, torch.cat([x, x[:1]]))


def test_multiples_of_the_batch_are_recognised():
    """FRONT-3"""

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        return torch.cat([h, h]).reshape(-1).unsqueeze(0)

    program = trace(One(forward), example_inputs=(X,))
    assert types(program.graphs["forward"]) == [
        "f32[B, 4]", "f32[2*B, 4]", "f32[8*B]", "f32[1, 8*B]",
    ]  # fmt: skip


def test_a_size_that_only_looks_like_the_batch_is_not_symbolic():
    """FRONT-3: three rows, three features."""

    class Square(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x).T

    program = trace(Square(), example_inputs=(torch.eye(3),))
    assert types(program.graphs["forward"]) == ["f32[B, 3]", "f32[3, B]"]


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (lambda s, x: s.fc(x) * float(len(x)), r"`%1 = mul\(input=%0, other=3.0\)` became"),
        (lambda s, x: torch.stack([s.fc(row) for row in x]), r"`%0, %1, %2 = unbind"),
        (lambda s, x: s.fc(x).reshape(3, 4), r"with 4 rows the call fails \(RuntimeError: "),
        (lambda s, x: torch.cat([s.fc(x), x[:1]]), "which no multiple of the batch size explains"),
        (lambda s, x: s.fc(x)[: x.shape[0] - 1], "which no multiple of the batch size explains"),
        (lambda s, x: s.fc(x) if x.shape[0] == 3 else s.fc(x) * 2, "`output '' = %0` became"),
        (
            lambda s, x: s.fc(x) + torch.as_tensor(range(len(x)))[:, None].float(),
            "is another tensor",
        ),
    ],
)
def test_a_batch_that_cannot_vary_is_fixed_with_the_reason(forward, reason):
    """FRONT-3: the graph then speaks of the recorded size only."""
    program = trace(One(forward), example_inputs=(X,))
    assert not any("B" in kind for kind in types(program.graphs["forward"]))
    (value,) = program.graphs["forward"].inputs
    assert value.type is not None
    assert value.type.shape == (3, 4)
    assert "the batch size is fixed at 3" in program.notes[0]
    assert pytest.importorskip("re").search(reason, program.notes[0]), program.notes[0]


def test_what_depends_on_numbers_only_still_has_a_symbolic_batch():
    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) * x.max().item()

    (value,) = trace(One(forward), example_inputs=(X,)).graphs["forward"].inputs
    assert value.type is not None
    assert value.type.shape == (Batch(), 4)


def test_inputs_without_a_batch_are_recorded_twice_as_they_are():
    program = trace(
        One(lambda s, x: s.fc(x * torch.ones(2, 4))), example_inputs=(torch.tensor(2.0),)
    )
    assert types(program.graphs["forward"]) == ["f32[2, 4]", "f32[2, 4]", "f32[2, 4]"]
    assert program.notes == ()


def test_front_3_inputs_without_a_batch_are_said_to_have_none():
    """FRONT-3: what one row more does to such a call looked like an error."""
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
    (note,) = trace(model, example_inputs=(torch.randn(4),)).notes
    assert note == "forward: the inputs have no batch dimension, so all sizes are fixed"
    image = (torch.randn(3, 6, 6),)
    (note,) = trace(torch.nn.Conv2d(3, 4, 3), example_inputs=image).notes
    assert note.startswith("forward: the batch size is fixed at 3: with 4 rows the call fails (Run")
    assert note.endswith("; or the inputs have no batch dimension")
