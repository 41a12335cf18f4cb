"""Save a grown model without pickle, load it into a fresh instance, export it to ONNX."""

import tempfile
from pathlib import Path

import torch
from torch import nn

import morphir


def make() -> nn.Module:
    """The model as it was born."""
    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))


def main() -> None:
    """Goes all the way to a file and back."""
    grown = morphir.apply(make(), morphir.DeeperPass(at="1"))
    x = torch.randn(3, 4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grown.safetensors"
        morphir.save(grown, path)
        print(morphir.inspect(path))
        again = morphir.load(path, make)
        print("equal after loading:", torch.equal(grown(x), again(x)))
        print(morphir.export_onnx(grown, Path(folder) / "grown.onnx", example_inputs=(x,)))


if __name__ == "__main__":
    main()
