"""Which method keeps the networks plastic, and its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, final, get_args

import tyro

from morphir_agents.amounts import Amount
from morphir_agents.errors import ConfigError

__all__ = ["USED_BY", "MethodConfig", "MethodKind"]

MethodKind = Literal[
    "none",
    "ne",
    "ne-no-pruning",
    "ne-no-review",
    "random-growth",
    "static-sparse",
    "rigl",
    "small-dense",
    "redo",
    "reset",
    "layer-norm",
    "injection",
]

_GROWING: Final[tuple[MethodKind, ...]] = ("ne", "ne-no-pruning", "ne-no-review", "random-growth")

USED_BY: Final[Mapping[str, tuple[MethodKind, ...]]] = {
    "as_released": ("ne",),
    "every": (*_GROWING, "rigl", "redo"),
    "density": (*_GROWING, "rigl", "static-sparse", "small-dense"),
    "amount": (*_GROWING, "rigl"),
    "prune": ("ne", "ne-no-review"),
    "threshold": ("ne", "ne-no-review", "redo"),
    "review_threshold": ("ne", "ne-no-pruning"),
    "review_share": ("ne", "ne-no-pruning"),
    "adam_steps": ("redo",),
    "reset_every": ("reset",),
    "inject_at": ("injection",),
}
"""Which methods use an option of `MethodConfig`; as released, ne uses `every` alone."""


@final
@dataclass(frozen=True)
class MethodConfig:
    """What is done to the networks while they learn; none is plain TD3."""

    kind: Annotated[MethodKind, tyro.conf.arg(name="")] = "none"
    """none: plain TD3. ne: Neuroplastic Expansion, which starts sparse, grows where gradients are
    large, prunes dormant units and reviews old experience; ne-no-pruning and ne-no-review leave one
    of these out. random-growth grows anywhere, and does neither. static-sparse never grows. rigl
    moves a share of the weights where gradients are large. small-dense: narrower dense layers, with
    which a critic has as many weights as a sparse one begins with. redo: dormant units start anew.
    reset: all networks do. layer-norm: a LayerNorm behind each hidden layer. injection: Plasticity
    Injection, once."""
    as_released: bool = False
    """With ne: what its released code does in place of what the paper says. Of the other settings
    only `every` counts then; that code has 100, so add --method.every 100."""
    every: int = 1_000
    """Updates from one event to the next, of methods that grow, prune, move or recycle. A run that
    makes too few of them for one event is refused."""
    density: float = 0.25
    """The share of the weights of sparse layers that is in use at first: all layers but the first
    and the last one."""
    amount: Amount = field(default_factory=Amount)
    """How much a layer grows by; of rigl, the share of its weights that moves."""
    prune: float = 0.4
    """omega: how many weights of dormant units a layer loses at most, of those it grows by. At
    most 1: no layer loses more than it gains."""
    threshold: float = 0.0
    """The largest score of a dormant unit; redo is often given 0.025 or 0.1."""
    review_threshold: float = 0.02
    """The change of the share of activations above 0, between two events, from which on no batch is
    a review of old experience. The smaller it is, the less is reviewed: studies/README.md has what
    0.02 and 0.002 do."""
    review_share: float = 0.25
    """The part of the buffer that is reviewed, from its oldest transition on."""
    adam_steps: Literal["keep", "reset"] = "keep"
    """What becomes of Adam's count of steps, one number for a whole tensor, where redo started a
    unit anew: keep, as in the authors' code, or reset: 0 for parameters that have numbers of such a
    unit, with which the next steps of its neighbours are small."""
    reset_every: int = 200_000
    """Updates from one reset of all networks to the next. A run must make as many."""
    inject_at: int = 500_000
    """The update at which plasticity is injected. A run must make as many."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(MethodKind):
            raise ConfigError(
                f"method is {self.kind!r}; expected one of {', '.join(get_args(MethodKind))}."
            )
        if self.as_released and self.kind != "ne":
            raise ConfigError(
                f"method.as_released is on and method is {self.kind!r}; expected --method ne."
            )
        for name in ("every", "reset_every", "inject_at"):
            if getattr(self, name) < 1:
                raise ConfigError(f"method.{name} is {getattr(self, name)}; expected at least 1.")
        if not 0.0 < self.density <= 1.0:
            raise ConfigError(f"method.density is {self.density}; expected more than 0, at most 1.")
        if not 0.0 <= self.prune <= 1.0:
            raise ConfigError(f"method.prune is {self.prune}; expected between 0 and 1.")
        if not 0.0 <= self.threshold < math.inf:
            raise ConfigError(f"method.threshold is {self.threshold}; expected 0 or more.")
        if not 0.0 < self.review_threshold < math.inf or not 0.0 < self.review_share <= 1.0:
            raise ConfigError(
                f"method.review_threshold is {self.review_threshold} and method.review_share "
                f"{self.review_share}; expected more than 0, and the share at most 1."
            )

    def uses(self, option: str) -> bool:
        """Whether an option makes a difference to the method."""
        if self.as_released:
            return option in ("as_released", "every")
        return self.kind in USED_BY[option]
