"""Grow a network in the middle of training; Adam keeps its moments, the loss does not jump."""

import torch
from torch import nn
from torch.nn import functional as F

import morphir


def main() -> None:
    """Fits a sine, growing twice on the way."""
    torch.manual_seed(0)
    net: nn.Module = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    x = torch.linspace(-3, 3, 256)[:, None]
    y = torch.sin(2 * x)
    for step in range(600):
        if step in (200, 400):
            before = F.mse_loss(net(x), y)
            result = morphir.transform(net, morphir.DeeperPass(at="1"), optimizer=optimizer)
            net, optimizer = result.module, result.optimizer
            after = F.mse_loss(net(x), y)
            print(f"step {step}: {result.report.grade}, loss {before:.6f} -> {after:.6f}")
        loss = F.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"final loss {loss.item():.6f} with {len(list(net.children()))} children")


if __name__ == "__main__":
    main()
