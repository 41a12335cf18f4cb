"""A network in which plasticity was injected: what learns of it, and what is its own."""

from __future__ import annotations

from torch import nn

from morphir.injected import InjectedBranch

__all__ = ["learning_part", "own_modules"]


def learning_part(network: nn.Module) -> nn.Module:
    """The last fresh copy that learns in a network's place (INJECT-2), or the network itself."""
    branches = [each for each in network.children() if isinstance(each, InjectedBranch)]
    return branches[-1].fresh if branches else network


def own_modules(network: nn.Module) -> dict[str, nn.Module]:
    """The modules of a network by name, but for what was injected beside them."""
    named = dict(network.named_modules())
    branches = tuple(f"{name}." for name, m in named.items() if isinstance(m, InjectedBranch))
    return {name: each for name, each in named.items() if not f"{name}.".startswith(branches)}
