"""A convolutional network with residuals and functional ReLUs, edited in place.

The scheduler and the optimizer keep pointing at the same objects: a trainer that holds them notices
nothing.
"""

import torch
from torch import nn
from torch.nn import functional as F

import morphir


class Block(nn.Module):
    """Two convolutions around a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps images to images of the same shape."""
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))


class Net(nn.Module):
    """A stem, one block, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.block = Block(16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps images `(batch, 3, height, width)` to scores `(batch, 10)`."""
        return self.head(self.block(F.relu(self.stem(x))).mean((2, 3)))


def main() -> None:
    """Inserts a convolution between the block's two, and shows a refusal."""
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    image = torch.randn(2, 3, 8, 8)
    result = morphir.transform(
        net,
        morphir.DeeperPass(at="block.conv1", kernel_size=3),
        optimizer=optimizer,
        example_inputs=(image,),
        inplace=True,
    )
    print(result.report)
    print("same objects:", result.module is net, result.optimizer is scheduler.optimizer)
    try:
        morphir.apply(net, morphir.DeeperPass(at="block.conv2"), example_inputs=(image,))
    except morphir.RefusalError as refusal:
        print(f"\nrefused: {refusal}")


if __name__ == "__main__":
    main()
