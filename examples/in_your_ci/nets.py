"""A network, and the same one after somebody made it faster."""

import torch
from torch import nn


def slow() -> nn.Sequential:
    """Convolution and batch normalisation, one after the other."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 2, 1))
    generator = torch.Generator().manual_seed(0)
    for numbers in (net[1].running_mean, net[1].running_var):
        numbers.copy_(torch.rand(8, generator=generator) + 0.5)
    return net.eval()


def fast() -> nn.Sequential:
    """The activation in place."""
    net = slow()
    net[2] = nn.ReLU(inplace=True)
    return net
