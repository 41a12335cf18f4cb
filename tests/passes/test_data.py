"""Data that passes are given: what fits is run, what does not is one clear error."""

import pytest
import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.passes.data import run_on

NET = nn.Linear(3, 2)
PROGRAM = record(NET, example_inputs=(torch.randn(2, 3),)).program
STATE = {name: entry.tensor for name, entry in PROGRAM.state.items()}
GRAPH = PROGRAM.graphs["forward"]


def test_data_are_run_as_the_model_runs_them():
    x = torch.randn(5, 3)
    (output,) = run_on(GRAPH, STATE, ((x,), {})).outputs
    assert torch.equal(output, NET(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), {}), "data= has 0 tensors for 'forward', which takes input"),
        (((torch.randn(5, 4),), {}), "'forward' can't be run on data="),
        (((torch.randn(0, 3),), {}), r"a tensor of shape \(0, 3\), which is empty"),
        (((torch.tensor([[1.0, 2.0, torch.nan]]),), {}), "that is not finite everywhere"),
    ],
)
def test_data_that_do_not_fit_are_one_clear_error(arguments, message: str):
    with pytest.raises(RefusalError, match=message):
        run_on(GRAPH, STATE, arguments)
