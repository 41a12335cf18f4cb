"""Reset: layers start anew, with numbers as torch draws them.

    RESET-1   the parameters of layers are drawn as the constructors of torch's layers draw them:
              weight and bias of a linear layer or convolution uniform, of a size of at most
              1 / sqrt(fan in), an embedding normal; the weight of a norm is 1, its bias 0, and its
              statistics start anew, counts included; optimizers keep nothing of them, steps
              included

Nikishin et al. 2022 reset the last layers of an agent, or all of them, and keep the replay buffer.
Numbers that a mask switches off stay 0, and so do rows of an embedding that are 0, as that of a
padding token is. Of several layers that share a parameter the first that is called says how.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch

from morphir.errors import RefusalError
from morphir.ir import Argument, Grade, Graph, Node, Program, Renumbering, Rewriter, Value
from morphir.passes.anew import mask_of
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.sites import resolve
from morphir.randomness import derive_seed

_Draw = Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]


@final
@dataclass(frozen=True)
class ResetPass(MorphismPass):
    """Draw the parameters of layers anew; the function changes, and the report says by how much.

    Args:
        at: Qualified name of a module, a glob, or a list of them: all layers in it; by default the
            whole model.
        seed: Seed of the draws.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "reset"
    renumbers: ClassVar[bool] = True

    at: str | Sequence[str] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        names = [self.at] if isinstance(self.at, str) else self.at
        if names is not None and not (
            isinstance(names, list | tuple) and names and all(isinstance(n, str) for n in names)
        ):
            raise RefusalError(
                f"at={self.at!r}, expected a qualified module name, a glob, a list of them, or "
                "None",
                suggestions=["at='critic'"],
            )
        if type(self.seed) is not int:
            raise RefusalError(f"seed={self.seed!r}, expected an integer", suggestions=["seed=0"])

    @property
    def claim(self) -> Grade:
        """`NOT_PRESERVING`."""
        return Grade.NOT_PRESERVING

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Draws the numbers."""
        draws = _draws(program)
        names = self._names(program)
        unknown = [n for n in names if program.state[n].kind == "parameter" and n not in draws]
        if unknown:
            raise RefusalError(
                f"how {unknown[0]!r} is drawn is not known: no entry point reads it as the weight "
                "or bias of a linear layer, convolution, embedding or norm",
                nodes=unknown[:1],
                suggestions=[
                    "at= with the layers that are to start anew",
                    "entry_points= with a method that reads it",
                ],
            )
        numbers = {n: self._drawn(program, n, *draws[n]) for n in names if n in draws}
        if not numbers:
            return ["there is nothing to draw"]
        at = self.at if isinstance(self.at, str) else ", ".join(self.at or ["the model"])
        spec = {"seed": self.seed}
        rewriter.renumber(Renumbering(at, "RESET-1", {}, spec, numbers, keeps=False, restarts=True))
        return [f"{len(numbers)} tensors drawn anew: {', '.join(numbers)}"]

    def _names(self, program: Program) -> list[str]:
        if self.at is None:
            return [*program.state]
        owners = {
            name: [each.rpartition(".")[0] for each in (name, *entry.aliases)]
            for name, entry in program.state.items()
        }
        every = [each for own in owners.values() for each in own]
        found = resolve(self.at, program, lambda name: any(_holds(name, each) for each in every))
        if isinstance(found, Refusal):
            raise RefusalError(found.reason, nodes=found.nodes, suggestions=found.suggestions)
        return [n for n, own in owners.items() if any(_holds(a, b) for a in found for b in own)]

    def _drawn(self, program: Program, name: str, draw: _Draw, fan_in: int) -> torch.Tensor:
        old, mask = program.state[name].tensor, mask_of(program, name)
        assert old is not None
        generator = torch.Generator().manual_seed(derive_seed(self.seed, name, 0))
        new = draw(old.detach(), fan_in, generator).to(old)
        return new if mask is None else new * mask


def _holds(module: str, owner: str) -> bool:
    return not module or owner == module or owner.startswith(f"{module}.")


def _uniform(old: torch.Tensor, fan_in: int, generator: torch.Generator) -> torch.Tensor:
    return (torch.rand(old.shape, generator=generator) * 2 - 1) / math.sqrt(max(1, fan_in))


def _normal(old: torch.Tensor, fan_in: int, generator: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(old.shape, generator=generator)
    return torch.where((old != 0).any(-1, keepdim=True).cpu(), drawn, 0.0)


def _ones(old: torch.Tensor, fan_in: int, generator: torch.Generator) -> torch.Tensor:
    return torch.ones(old.shape)


def _zeros(old: torch.Tensor, fan_in: int, generator: torch.Generator) -> torch.Tensor:
    return torch.zeros(old.shape)


_LAYER: Final = {"weight": _uniform, "bias": _uniform}
_NORM: Final = {
    "weight": _ones, "bias": _zeros, "running_mean": _zeros, "running_var": _ones,
}  # fmt: skip
_BY_OP: Final = {
    **dict.fromkeys(
        (
            "linear", "conv1d", "conv2d", "conv3d",
            "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
        ),
        _LAYER,
    ),
    **dict.fromkeys(
        ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"), _NORM
    ),
    "embedding": {"weight": _normal},
}  # fmt: skip


def _draws(program: Program) -> dict[str, tuple[_Draw, int]]:
    """State entry to how it is drawn, and of how many numbers a unit of its layer is the sum."""
    found: dict[str, tuple[_Draw, int]] = {}
    for graph in program.graphs.values():
        for node in graph.nodes:
            for argument, draw in _BY_OP.get(node.op, {}).items():
                value = _read(graph, node.arguments.get(argument))
                if value is not None and _is_real(value):
                    found.setdefault(value.name, (draw, _fan_in(node)))
                    if argument == "running_mean":
                        found.setdefault(_count(value.name), (_zeros, 1))
    return found


def _read(graph: Graph, value: Argument) -> Value | None:
    """The state that an argument is, or is a part of; None if it is none."""
    while isinstance(value, Value) and value.origin != "state":
        maker = graph.producers.get(value)
        value = maker.arguments.get("input") if maker and maker.op == "getitem" else None
    return value if isinstance(value, Value) else None


def _count(running_mean: str) -> str:
    """How many batches a norm has seen, which torch keeps beside the means."""
    return f"{running_mean.removesuffix('running_mean')}num_batches_tracked"


def _is_real(value: Value) -> bool:
    return value.type is not None and value.type.dtype.is_floating_point


def _fan_in(node: Node) -> int:
    weight = node.arguments.get("weight")
    shape = weight.type.sizes(1) if isinstance(weight, Value) and weight.type is not None else ()
    return math.prod(shape[1:])  # as torch counts it, of transposed convolutions too
