"""Recipes: modules as flat lists of steps, of which every one can be built (TESTING-1).

A step never names a tensor or a size. It says how far to count back, and gives a number from which
the interpreter derives what fits: so a step can be taken out, or the list cut anywhere, and what is
left is a module again. That is what makes counterexamples shrink.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, final, get_args

from morphir.errors import RefusalError

Inputs = Literal["features", "image", "sequence", "tokens"]
Weights = Literal["integers", "default", "random", "sparse"]
Dtype = Literal["float32", "float64", "bfloat16"]

ACTIVATIONS: Final = (
    "relu", "gelu", "tanh", "silu", "leaky_relu", "elu", "sigmoid", "hardtanh", "prelu",
)  # fmt: skip
_JOINING: Final = ("residual", "cat", "shared", "tied", "chunk", "gate")
_OTHER: Final = ("layer_norm", "group_norm", "dropout", "freeze", "flatten")
_IMAGE: Final = ("conv", "grouped_conv", "depthwise_conv", "batch_norm", "pool")
_SEQUENCE: Final = ("block", "attention", "recurrent", "conv", "pool")


def _listed(*own: str) -> tuple[str, ...]:
    """The ops of one kind of input: there are many activations, so what has structure is twice."""
    structure = ("linear", "relu", *_JOINING, *own)
    return *structure, *structure, *ACTIVATIONS[1:], *_OTHER


# Which ops do something where, the simplest first.
OPS: Final[Mapping[Inputs, tuple[str, ...]]] = {
    "features": _listed("block", "batch_norm", "cell"),
    "image": _listed(*_IMAGE),
    "sequence": _listed(*_SEQUENCE),
    "tokens": _listed(*_SEQUENCE),
}
EVERY_OP: Final = tuple(dict.fromkeys(op for ops in OPS.values() for op in ops))


@final
@dataclass(frozen=True)
class Step:
    """One thing that a module does.

    Attributes:
        op: What: one of `EVERY_OP`. Where it does not fit it does nothing.
        source: Which tensor it takes, counted back from the last one, modulo how many there are.
        number: What else there is to choose (a width, an earlier layer, module or function), modulo
            how many choices there are.

    Example:
        >>> from morphir.testing import Recipe, Step, to_source
        >>> steps = Step("linear", number=3), Step("gelu", number=1), Step("cat", source=1)
        >>> [line.strip() for line in to_source(Recipe(steps)).splitlines() if " h" in line][:3]
        ['h1 = self.linear1(x)', 'h2 = F.gelu(h1)', 'h3 = torch.cat([h1, x], dim=1)']
    """

    op: str = "linear"
    source: int = 0
    number: int = 0

    def __post_init__(self) -> None:
        if self.op not in EVERY_OP:
            raise RefusalError(
                f"a step has the op {self.op!r}, expected one of {', '.join(EVERY_OP)}",
                suggestions=["Step('linear')"],
            )


@final
@dataclass(frozen=True)
class Recipe:
    """A module as data: what it takes, what it does step by step, and what its numbers are.

    What no step reads goes into the head, so that every step matters.

    Attributes:
        steps: What it does, in order.
        inputs: What it takes: features, an image, a sequence of features or of tokens.
        weights: Its numbers: small integers, those that torch draws, all drawn anew (the scales of
            norms too), or with zeros in some columns, so that units are dead.
        dtype: Its numbers' type.
        value: Whether it has a second entry point, `value`, beside `forward`.
        seed: Seed of its numbers.

    Example:
        >>> from morphir.testing import Recipe, Step, build
        >>> net = build(Recipe((Step("linear", number=1), Step("relu"), Step("residual", 1))))
        >>> net
        Net(
          (linear1): Linear(in_features=4, out_features=8, bias=True)
          (relu1): ReLU()
          (head): Linear(in_features=8, out_features=3, bias=True)
        )
    """

    steps: tuple[Step, ...] = ()
    inputs: Inputs = "features"
    weights: Weights = "integers"
    dtype: Dtype = "float32"
    value: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {"inputs": Inputs, "weights": Weights, "dtype": Dtype}
        for name, choice in choices.items():
            if getattr(self, name) not in get_args(choice):
                raise RefusalError(
                    f"{name}={getattr(self, name)!r}, expected one of {get_args(choice)}",
                    suggestions=[f"{name}={get_args(choice)[0]!r}"],
                )

    @property
    def entry_points(self) -> tuple[str, ...]:
        """The methods to record."""
        return ("forward", "value") if self.value else ("forward",)
