"""Torch's exporter says in one line why it failed, and nothing else."""

import logging

import pytest
import torch
from torch import nn

from morphir import RefusalError
from morphir.export.graph import export_graph
from tests.specimens import Net


class Stepping(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if float(x.sum()) > 0 else x


class Fixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.arange(3.0)[:, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.rows


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Stepping(), r"^torch can't export the Stepping: \w+: .*(.|\n)*does not branch on values"),
        (Fixed(), "^torch can't export the Fixed with a dynamic batch: it fixes that of 'x'"),
    ],
)
def test_a_failure_is_one_clear_error_and_nothing_on_the_console(module, message, capfd):
    disabled = logging.root.manager.disable
    with pytest.raises(RefusalError, match=message) as caught:
        export_graph(module.eval(), (torch.ones(2, 4),), 2)
    assert str(caught.value).count("\n") == 1
    assert "\x1b" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == disabled


@pytest.mark.parametrize("name", ["x", "relu", "extractor.0.weight"])
def test_a_name_that_is_taken_is_not_given_to_an_output(name):
    with pytest.raises(RefusalError, match=f"output_names has '{name}', which is the name of an"):
        export_graph(Net().eval(), (torch.ones(2, 4),), 2, [name])
