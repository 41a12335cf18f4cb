"""What torch does below the functional level is seen, and stopped where it must be."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.errors import RefusalError
from morphir.frontend.witness import Witness, memory_of

X = torch.rand(2, 3, 4, 4)


def witnessed(function: Callable[[], object]) -> Witness:
    witness = Witness({})
    with torch.no_grad(), witness:
        function()
    return witness


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.add_(1), lambda x: x.view(-1)[3].zero_(), lambda x: torch.add(x, 1, out=x),
        lambda x: x.__setitem__(0, 1.0), lambda x: torch._foreach_add_([x], 1.0),
        lambda x: x.detach().clamp_(0), lambda x: F.relu(x, inplace=True), lambda x: x.uniform_(),
        lambda x: nn.init.ones_(x), lambda x: x.unsqueeze_(0), lambda x: x.set_(x + 1),
        lambda x: torch.ops.aten.mul_.Scalar(x, 2), lambda x: x.T.copy_(x.T + 1),
    ],
)  # fmt: skip
def test_every_way_of_writing_is_seen(change: Callable[[torch.Tensor], object]):
    x = torch.ones(3, 3)
    changed = witnessed(lambda: change(x)).changed
    assert memory_of(x) in {memory_of(tensor) for tensor in changed}


@pytest.mark.parametrize(
    "read", [lambda x: x + 1, lambda x: x.view(-1), lambda x: x.clone(), lambda x: x.sum().item()]
)
def test_reading_is_no_writing(read: Callable[[torch.Tensor], object]):
    assert witnessed(lambda: read(torch.ones(2))).changed == []


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", [F.batch_norm, F.instance_norm])
def test_running_statistics_are_seen_although_their_schema_hides_it(norm, training: bool):
    mean, var = torch.zeros(3), torch.ones(3)
    witness = witnessed(lambda: norm(X, mean, var, None, None, training))
    written = {memory_of(tensor) for tensor in witness.changed}
    assert ({memory_of(mean), memory_of(var)} <= written) is training
    assert bool(mean.any()) is training


@pytest.mark.parametrize(
    ("draw", "drew"),
    [
        (lambda: torch.rand(2), True), (lambda: F.dropout(X), True),
        (lambda: torch.rand(2, generator=torch.Generator().manual_seed(0)), True),
        (lambda: torch.multinomial(torch.ones(3), 1), True), (lambda: torch.randperm(3), True),
        (lambda: torch.normal(X, 1.0), True), (lambda: nn.LSTM(4, 4, 2, dropout=0.5)(X[0]), True),
        (lambda: F.scaled_dot_product_attention(X, X, X), False),
        (lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=0.5), True),
        (lambda: F.dropout(X, training=False), False), (lambda: torch.zeros(3), False),
        (lambda: torch.randn(0), False), (lambda: F.dropout(X, 0.0), False),
    ],
)  # fmt: skip
def test_random_is_what_moved_a_generator(draw: Callable[[], object], drew: bool):
    with torch.random.fork_rng():
        witness = Witness({})
        state = torch.get_rng_state()
        with torch.no_grad(), witness:
            draw()
        if drew or torch.equal(state, torch.get_rng_state()):
            assert witness.drew is drew


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (lambda: X.nonzero(), True), (lambda: X[X > 0.5], True), (lambda: X.sum().item(), True),
        (lambda: torch.unique(X), True), (lambda: F.one_hot(torch.tensor([1, 2])), True),
        (lambda: X + 1, False), (lambda: X.view(-1), False),
    ],
)  # fmt: skip
def test_shapes_and_numbers_that_follow_from_elements_are_seen(read, expected: bool):
    assert witnessed(read).read_numbers is expected


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.add_(1), lambda w: w.detach()[0].zero_(), lambda w: torch.mul(w, 2, out=w),
        lambda w: nn.init.zeros_(w), lambda w: F.embedding(torch.tensor([0]), w, max_norm=0.1),
    ],
)  # fmt: skip
def test_protected_memory_is_refused_before_it_is_written(change):
    weight = torch.ones(3, 3)
    witness = Witness({memory_of(weight): "its parameter 'w'"})
    with pytest.raises(RefusalError, match="changes its parameter 'w' in place"), witness:
        change(weight)
    assert torch.equal(weight, torch.ones(3, 3))
    with witness:
        assert torch.equal(weight * 2, torch.full((3, 3), 2.0))


def test_memory_can_be_protected_later_and_all_of_it():
    x = torch.ones(2)
    witness = Witness({})
    witness.protect(x, "a tensor from outside")
    with pytest.raises(RefusalError, match="a tensor from outside"), witness:
        x.add_(1)
    with pytest.raises(RefusalError, match="a tensor of its own"), Witness({}, everything=True):
        torch.zeros(2).add_(1)


def test_start_forgets():
    witness = Witness({})
    with witness:
        torch.zeros(2).uniform_()
        torch.ones(2).sum().item()
    assert (bool(witness.changed), witness.drew, witness.read_numbers) == (True, True, True)
    witness.start()
    assert (witness.changed, witness.drew, witness.read_numbers) == ([], False, False)


def test_memory_is_shared_by_views_and_by_arrays_and_by_nothing_else():
    x = torch.ones(4)
    assert memory_of(x) == memory_of(x.view(2, 2)) == memory_of(torch.from_numpy(x.numpy()))
    assert memory_of(x) != memory_of(x.clone())
    assert memory_of(torch.empty(0)) != memory_of(torch.empty(0))
    assert memory_of(torch.eye(2).to_sparse()) != memory_of(torch.eye(2).to_sparse())


def test_recording_does_not_load_the_machinery_of_torch_compile():
    """It would take more than a second the first time."""
    code = (
        "import sys, torch, morphir; morphir.trace(torch.nn.Sequential(torch.nn.Linear(2, 2))); "
        "print('torch._dynamo' in sys.modules)"
    )
    run = [sys.executable, "-c", code]
    found = subprocess.run(run, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
