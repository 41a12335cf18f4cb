"""What each checker costs, in forward passes of the model.

    python benchmarks/checkers.py [--repeat 3]

The model is an MLP of 10 million parameters, and a forward is one of it in float32 at batch 256. It
is compared with itself after one layer was widened by an eighth, and after every hidden layer was
doubled; then MLPs of other sizes after one widening. Counted is CPU time on one thread, of the
check alone: recording and copying come before. Writes `results/checkers.json`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import torch
from results import write_results
from torch import nn

import morphir
from morphir import WiderPass
from morphir.checks import check_certificate, check_double
from morphir.checks.calling import double_copy
from morphir.field import check_field
from morphir.ops import DEFAULT_TABLE

_WIDTH: Final = 1808  # of four hidden layers: 9.9 million parameters
_BATCH: Final = 256


def mlp(width: int) -> nn.Sequential:
    """Five layers, four of them hidden."""
    layers: list[nn.Module] = [nn.Linear(64, width), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 8))


def seconds(function: Callable[[], Any], repeat: int) -> float:
    """Median CPU seconds of a call."""
    found = []
    for _ in range(repeat):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return statistics.median(found)


def measure(what: str, width: int, at: list[str], new_width: int, repeat: int) -> dict[str, Any]:
    """The costs of checking one change."""
    torch.manual_seed(0)
    model, x = mlp(width), torch.randn(_BATCH, 64)
    certificate = {"checks": ("certificate",), "example_inputs": (x[:16],)}
    result = morphir.transform(model, WiderPass(at=at, width=new_width), **certificate)
    programs = [morphir.trace(each, example_inputs=(x[:16],)) for each in (model, result.module)]
    inputs = {"forward": ((x[:16],), {})}
    with torch.no_grad():
        model(x)
        forward = seconds(lambda: model(x), 5 * repeat)
    doubles = double_copy(model), double_copy(result.module)
    costs = {
        "certificate": seconds(
            lambda: check_certificate(*programs, result.certificate, DEFAULT_TABLE), repeat
        ),
        "field": seconds(lambda: check_field(model, result.module, inputs), repeat),
        "float64": seconds(lambda: check_double(*doubles, inputs, DEFAULT_TABLE), repeat),
    }
    return {
        "change": what,
        "parameters": sum(each.numel() for each in model.parameters()),
        "grade": str(result.report.grade),
        "forward_s": forward,
        "seconds": costs,
        "forwards": {name: round(cost / forward, 2) for name, cost in costs.items()},
    }


def main() -> None:
    """Measures all rows and prints them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3, help="runs of each check")
    options = parser.parse_args()
    torch.set_num_threads(1)
    hidden = ["0", "2", "4", "6"]
    rows = [
        measure("one layer wider by an eighth", _WIDTH, ["2"], _WIDTH * 9 // 8, options.repeat),
        measure("every layer doubled", _WIDTH, hidden, 2 * _WIDTH, options.repeat),
        *(
            measure("one layer wider by an eighth", width, ["2"], width * 9 // 8, options.repeat)
            for width in (64, 256, 512)
        ),
    ]
    for row in rows:
        print(row["change"], f"{row['parameters']:,}", row["forwards"], row["grade"])
    print("written to", write_results("checkers", rows))


if __name__ == "__main__":
    main()
