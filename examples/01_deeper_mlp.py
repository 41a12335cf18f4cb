"""Insert a layer into a trained network and see that nothing changed."""

import torch
from torch import nn

import morphir


class Net(nn.Module):
    """A small network with a feature extractor and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.extractor = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps features to scores."""
        return self.head(self.extractor(x))


def main() -> None:
    """Grows the network, prints the proof and the lineage."""
    net = Net()
    result = morphir.transform(net, morphir.DeeperPass(at="extractor.2"))
    print(result.report)
    print(result.lineage)
    x = torch.randn(5, 8)
    print("equal to the bit:", torch.equal(net(x), result.module(x)))
    print("new keys:", sorted(result.module.state_dict().keys() - net.state_dict().keys()))


if __name__ == "__main__":
    main()
