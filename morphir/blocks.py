"""The modules that growing inserts, and how to build them from a description.

A description (`BlockSpec`) is plain data: it is stored in the lineage, and building it again gives
the same module to the bit, so a lineage replays anywhere. An identity block is an ordinary
`nn.Sequential`.

    DEEPER-1   identity block:    act(I x + 0) = x             where x lies in the identity range of
               act
    DEEPER-2   identity block before an activation:  act(I act(x) + 0) = act(x)   where act(x) lies
               in its identity range
    DEEPER-3   residual block:    x + (0 act(W x + b) + 0) = x
    DEEPER-4   parametric block:  h + a (act(h) - h) = x        with h = I x + 0 and a = 0
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, final, get_args

import torch
from torch import nn
from torch.nn import functional as F

from morphir.ops import Op, OpTable

BlockKind = Literal["identity", "residual", "parametric"]
_NOT_ELEMENTWISE: Final = ("softmax", "softmin", "log_softmax", "glu")


@final
@dataclass(frozen=True)
class BlockSpec:
    """Everything that determines an inserted module.

    Attributes:
        kind: Which block.
        features: Width of the feature axis, in and out.
        kernel: Kernel size per spatial axis; empty for a linear layer.
        bias: Whether its layers have biases.
        activation: Canonical name of the activation op, or "" for none.
        settings: The activation's other arguments (`negative_slope`, `approximate`).
        activation_first: For identity blocks, whether the activation comes before the layer
            (DEEPER-2).
        hidden: Width inside a residual block.
        seed: Seed of the random draws (a residual block's first layer).
        groups: Groups of its convolutions.
    """

    kind: BlockKind
    features: int
    kernel: tuple[int, ...]
    bias: bool
    activation: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    activation_first: bool = False
    hidden: int = 0
    seed: int = 0
    groups: int = 1

    @property
    def law(self) -> str:
        """The law by which the block keeps the function."""
        if self.kind == "identity":
            return "DEEPER-2" if self.activation_first else "DEEPER-1"
        return "DEEPER-3" if self.kind == "residual" else "DEEPER-4"

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON-ready data."""
        return {**asdict(self), "kernel": list(self.kernel), "settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BlockSpec:
        """Reads what `to_dict` wrote.

        Raises:
            ValueError: It is no description of a block, or of one that this morphir doesn't know.
        """
        try:
            spec = cls(**{**data, "kernel": tuple(map(int, data["kernel"]))})
            sound = spec.features > 0 and spec.hidden >= 0 and len(spec.kernel) in (0, 1, 2, 3)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the description of a block: {error}") from error
        if not sound or spec.kind not in get_args(BlockKind):
            raise ValueError(f"not the description of a block: {dict(data)}")
        return spec

    def build(self, like: torch.Tensor, table: OpTable) -> nn.Module:
        """Builds the block in the dtype and on the device of a tensor."""
        if self.kind == "identity":
            parts = [("layer", self._layer(like)), *self._activations(like, table)]
            return nn.Sequential(OrderedDict(parts[::-1] if self.activation_first else parts))
        if self.kind == "residual":
            return ResidualBlock(
                self._layer(like, outputs=self.hidden, draw=True),
                self._activation(like, table),
                self._layer(like, inputs=self.hidden, zero=True),
            )
        return ParametricBlock(self._layer(like), self._activation(like, table))

    def _activations(self, like: torch.Tensor, table: OpTable) -> list[tuple[str, nn.Module]]:
        return [("activation", self._activation(like, table))] if self.activation else []

    def _activation(self, like: torch.Tensor, table: OpTable) -> nn.Module:
        op = table.get(self.activation)
        kind = None if op is None else activation_module(op)
        if kind is None:
            raise ValueError(f"{self.activation!r} is no activation with a torch.nn module")
        if kind is nn.Hardtanh and self.settings == {"min_val": 0.0, "max_val": 6.0}:
            return nn.ReLU6()
        return kind(**self.settings).to(like)

    def _layer(
        self,
        like: torch.Tensor,
        *,
        inputs: int = 0,
        outputs: int = 0,
        zero: bool = False,
        draw: bool = False,
    ) -> nn.Module:
        """An identity layer, a zero layer or a drawn one; the global random state is not used."""
        size = (inputs or self.features, outputs or self.features)
        options: dict[str, Any] = {"bias": self.bias, "dtype": like.dtype, "device": like.device}
        layer: nn.Module
        pads = self._pads()
        if self.kernel:
            kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(self.kernel)]
            padding = 0 if pads else tuple(k // 2 for k in self.kernel)
            # A width that the groups do not divide is that of a residual block's inside.
            groups = 1 if any(width % self.groups for width in size) else self.groups
            options |= {"padding": padding, "groups": groups}
            layer = _empty(kind, *size, self.kernel, **options)
        else:
            layer = _empty(nn.Linear, *size, **options)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.zero_()
            if draw:
                self._draw(layer)
            elif not zero:
                self._set_identity(layer)
        if not pads:
            return layer
        pad = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}[len(self.kernel)]
        return nn.Sequential(OrderedDict(pad=pad(pads, 0.0), conv=layer))

    def _pads(self) -> Any:
        """How an even kernel's operand is padded (last axis first); convolutions pad both sides."""
        if all(k % 2 for k in self.kernel):
            return ()
        return tuple(n for k in reversed(self.kernel) for n in ((k - 1) // 2, k // 2))

    def _set_identity(self, layer: nn.Module) -> None:
        weight: Any = layer.weight
        if not self.kernel:
            weight.fill_diagonal_(1)
            return
        tap = tuple((k - 1) // 2 for k in self.kernel)
        channels = torch.arange(self.features, device=weight.device)
        weight[(channels, channels % weight.shape[1], *tap)] = 1

    def _draw(self, layer: nn.Module) -> None:
        """He's uniform initialisation, drawn on the CPU in float32, the same for every device."""
        weight: Any = layer.weight
        generator = torch.Generator("cpu").manual_seed(self.seed)
        bound = math.sqrt(6 / weight[0].numel())
        drawn = torch.empty(weight.shape, dtype=torch.float32, device="cpu")
        weight.copy_(drawn.uniform_(-bound, bound, generator=generator))


def activation_module(op: Op) -> type[nn.Module] | None:
    """The `torch.nn` class of an elementwise activation; None for every other op."""
    if op.name == "prelu":  # its weight is a parameter of the module, not of its constructor
        return nn.PReLU
    if op.name == "relu6":
        return ReLU6
    return None if op.name in _NOT_ELEMENTWISE else op.module


def _empty(kind: type[nn.Module], *args: Any, device: torch.device, **options: Any) -> nn.Module:
    """A module whose parameters hold no numbers yet, as `nn.utils.skip_init` makes it.

    That one copies meta tensors, for which torch imports sympy: a third of a second.
    """
    module = kind(*args, device="meta", **options)
    for name, meta in [*module.named_parameters()]:
        empty = torch.empty(meta.shape, dtype=meta.dtype, device=device)
        setattr(module, name, nn.Parameter(empty))
    return module


@final
class ReLU6(nn.ReLU6):
    """The op `relu6`: torch's own module calls `hardtanh`, an equal function of another name."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Maps a tensor to one of the same shape."""
        return F.relu6(input)


@final
class ResidualBlock(nn.Module):
    """`x + last(activation(first(x)))`; the identity while `last` is zero (DEEPER-3)."""

    def __init__(self, first: nn.Module, activation: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.first, self.activation, self.last = first, activation, last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps a tensor to one of the same shape."""
        y: torch.Tensor = x + self.last(self.activation(self.first(x)))
        return y


@final
class ParametricBlock(nn.Module):
    """A layer, then a learned blend of the identity and an activation, `h + blend (act(h) - h)`.

    With an identity layer and a zero blend it is the identity (DEEPER-4). The blend has one element
    per feature; at 1 it is the plain activation. Network Morphism's P-activation (Wei et al. 2016)
    with its parameter counted from the other end.
    """

    def __init__(self, layer: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.layer, self.activation = layer, activation
        weight = next(parameter for parameter in layer.parameters() if parameter.dim() > 1)
        shape = (weight.shape[0], *([1] * (weight.dim() - 2)))
        self.blend = nn.Parameter(torch.zeros(shape, dtype=weight.dtype, device=weight.device))

    def reset_parameters(self) -> None:
        """Makes the blend 0 again."""
        nn.init.zeros_(self.blend)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps a tensor to one of the same shape."""
        h: torch.Tensor = self.layer(x)
        y: torch.Tensor = h + self.blend * (self.activation(h) - h)
        return y
