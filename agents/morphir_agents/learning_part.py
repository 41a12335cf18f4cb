"""What of a network learns, where plasticity was injected into it."""

from __future__ import annotations

from torch import nn

from morphir.injected import InjectedBranch

__all__ = ["learning_part"]


def learning_part(network: nn.Module) -> nn.Module:
    """The last fresh copy that learns in a network's place (INJECT-2), or the network itself."""
    branches = [each for each in network.children() if isinstance(each, InjectedBranch)]
    return branches[-1].fresh if branches else network
