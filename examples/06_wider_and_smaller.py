"""A Q-network and its target get wider in lockstep, learn, and lose the units that went dormant."""

import torch
from torch import nn
from torch.nn import functional as F

import morphir


def q_network() -> nn.Sequential:
    """Maps observations `(batch, 6)` to the values of four actions `(batch, 4)`."""
    return nn.Sequential(
        nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
    )


def main() -> None:
    """Widens two networks at once, trains the first, and makes it smaller again."""
    torch.manual_seed(0)
    online, target = q_network(), q_network()
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=3e-3)
    states, values = torch.randn(512, 6), torch.randn(512, 4)

    # One seed, the same draws: the networks stay copies of each other, the optimizer goes along.
    wider = morphir.WiderPass(at=["0", "2"], width=48)
    print(morphir.plan(online, wider))
    result, _ = morphir.transform([online, target], wider, optimizer=optimizer, inplace=True)
    print(f"widened: {result.report.grade}, target still equal:", equal(online, target))

    for _ in range(300):
        loss = F.mse_loss(online(states), values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    # Units that hardly fire on these states go (a ReDo score of at most 0.3); what that costs is
    # measured, not proved.
    prune = morphir.PruneDormantPass(data=(states,), threshold=0.3)
    result = morphir.transform(online, prune, optimizer=optimizer)
    net, optimizer = result.module, result.optimizer
    print(f"pruned: {result.report.grade}, {count(online)} -> {count(net)} parameters")

    # A mask makes a network sparse; compacting makes it small, and that is proved.
    with torch.no_grad():
        net[2].weight[:8] = 0
        net[2].bias[:8] = 0
    result = morphir.transform(net, morphir.CompactPass(), optimizer=optimizer)
    print(f"compacted: {result.report.grade}, {count(net)} -> {count(result.module)} parameters")


def count(model: nn.Module) -> int:
    """How many numbers a model has."""
    return sum(parameter.numel() for parameter in model.parameters())


def equal(a: nn.Module, b: nn.Module) -> bool:
    """Whether two models hold the same bits."""
    return all(map(torch.equal, a.parameters(), b.parameters()))


if __name__ == "__main__":
    main()
