"""How much memory it takes to widen one hidden layer of a large model in place.

    python benchmarks/memory.py --parameters 0.8

The model is an MLP of equal layers. Peak resident memory is sampled while `morphir.transform` runs,
and compared with what the process used once the model was there.
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

import torch
from results import write_results
from torch import nn

import morphir

_PAGE = 4096
_WIDTH = 8192


def resident() -> int:
    """Bytes of resident memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


class Peak:
    """Samples resident memory in a thread while a block runs."""

    def __enter__(self) -> Peak:
        self.bytes, self._stop = resident(), False
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._stop:
            self.bytes = max(self.bytes, resident())
            time.sleep(0.002)

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()


def main() -> None:
    """Builds the model, widens its middle layer and writes what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parameters", type=float, default=0.8, help="billions of parameters")
    parser.add_argument("--by", type=float, default=0.05, help="how much wider the layer gets")
    options = parser.parse_args()
    depth = round(options.parameters * 1e9 / (_WIDTH * (_WIDTH + 1)))
    layers = (nn.Sequential(nn.Linear(_WIDTH, _WIDTH), nn.ReLU()) for _ in range(depth))
    model = nn.Sequential(*(layer for pair in layers for layer in pair))
    count = sum(parameter.numel() for parameter in model.parameters())
    at, width = str(2 * (depth // 2)), round(_WIDTH * (1 + options.by))
    before = resident()
    start = time.perf_counter()
    with Peak() as peak:
        result = morphir.transform(
            model,
            morphir.WiderPass(at=at, width=width),
            example_inputs=(torch.randn(2, _WIDTH),),
            inplace=True,
        )
    row = {
        "parameters": count,
        "depth": depth,
        "width": _WIDTH,
        "new_width": width,
        "grade": result.report.grade.name,
        "model_bytes": 4 * count,
        "before_bytes": before,
        "peak_bytes": peak.bytes,
        "peak_to_before": round(peak.bytes / before, 4),
        "extra_to_model": round((peak.bytes - before) / (4 * count), 4),
        "seconds": round(time.perf_counter() - start, 2),
    }
    for name, value in row.items():
        print(f"{name:<16}{value}")
    write_results("memory", [row])


if __name__ == "__main__":
    main()
