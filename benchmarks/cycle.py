"""The whole cycle of widening a ResNet-50: where the time goes.

    python benchmarks/cycle.py [--image 64] [--repeat 5]

An inner convolution, and a residual stream with all convolutions and BatchNorms that it runs
through, each with Adam's moments carried over. Writes `results/cycle.json`.
"""

from __future__ import annotations

import argparse
import statistics

import torch
from planner_models import ResNet50
from results import write_results

import morphir

_SITES = {"inner convolution": ("blocks.4.conv1", 160), "residual stream": ("blocks.0.conv3", 320)}


def measure(at: str, width: int, image: int, repeat: int) -> dict[str, object]:
    """Median milliseconds of each phase over `repeat` events after a first one."""
    model = ResNet50().eval()
    optimizer = torch.optim.Adam(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    x = torch.randn(2, 3, image, image)
    phases: dict[str, list[float]] = {}
    for index in range(repeat + 1):
        result = morphir.transform(
            model, morphir.WiderPass(at=at, width=width), optimizer=optimizer, example_inputs=(x,)
        )
        assert result.report.grade is morphir.Grade.PROVED
        for name, seconds in result.report.seconds.items() if index else ():
            phases.setdefault(name, []).append(1e3 * seconds)
    medians = {name: round(statistics.median(values), 1) for name, values in phases.items()}
    # What has to be done for any change; the copies and the runs are a second opinion.
    cycle = {
        "plan": medians["rewrite"],
        "rewrite": medians["emit"],
        "optimizer": medians["optimizer"],
        "certificate": medians["certificate"],
    }
    return {
        "at": at,
        "width": width,
        "tensors": len(result.certificate.tensors),
        "phases_ms": medians,
        "cycle_ms": cycle,
        "certificate_share": round(cycle["certificate"] / sum(cycle.values()), 3),
        "certificate_share_of_all": round(cycle["certificate"] / sum(medians.values()), 3),
    }


def main() -> None:
    """Measures both sites and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--image", type=int, default=64, help="side of the images")
    parser.add_argument("--repeat", type=int, default=5, help="counted events per site")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for what, (at, width) in _SITES.items():
        row = measure(at, width, options.image, options.repeat)
        rows.append({"what": what, **row})
        print(f"{what} ({at}, {row['tensors']} tensors):")
        for name, value in row["phases_ms"].items():  # type: ignore[attr-defined]
            print(f"    {name:<14} {value:8.1f} ms")
        print(f"    certificate: {100 * row['certificate_share']:.0f} % of the cycle")  # type: ignore[operator]
    print("written to", write_results("cycle", rows))


if __name__ == "__main__":
    main()
