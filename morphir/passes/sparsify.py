"""Make a network sparse: most of its weights are 0, and stay 0.

    MASK-7   of the n numbers of a layer all but floor((1 - density) n) are kept, or as many as are
             named; the largest in size, or random ones, of those in use before any other; the
             others are 0, and masked (MASK-1)

The layers' densities are in `densities.py`. What was masked before and is kept stays 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Final, Literal, final, get_args

import torch

from morphir.errors import RefusalError
from morphir.ir import Grade, Program, Renumbering, Rewriter
from morphir.passes.base import MorphismPass
from morphir.passes.densities import Distribution, densities, whole
from morphir.passes.maskable import Maskable, maskable
from morphir.randomness import derive_seed

Keep = Literal["magnitude", "random"]


@final
@dataclass(frozen=True)
class SparsifyPass(MorphismPass):
    """Mask most of the weights of linear layers and convolutions; biases stay.

    The function changes, and the report says by how much (`NOT_PRESERVING`). From then on keep the
    masked weights 0 with `morphir.Masks`, and bring more of them into use with `MaskGrowPass`.

    Args:
        density: The share of the weights that stay, above 0 and at most 1.
        count: In place of it, how many weights of a layer stay, by the name of its weight; layers
            that are not named stay as they are.
        distribution: `"erdos_renyi"` (small layers denser than large ones; those of which that
            would take more than all are dense) or `"uniform"`.
        at: Qualified name of a module, a glob, or a list of them: the layers whose weights together
            get the density. By default all linear layers and convolutions.
        keep: Which stay: those of the largest `"magnitude"`, or `"random"` ones.
        dense_ends: Whether the first and the last layer stay dense; they count.
        seed: Seed of the random choice.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "sparsify"
    renumbers: ClassVar[bool] = True

    density: float | None = None
    count: Mapping[str, int] | None = None
    distribution: Distribution = "erdos_renyi"
    at: str | Sequence[str] | None = None
    keep: Keep = "magnitude"
    dense_ends: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        fits = {
            "density": self.count is not None
            or (isinstance(self.density, int | float) and 0 < self.density <= 1),
            "count": self.count is None
            or (
                self.density is None
                and isinstance(self.count, Mapping)
                and bool(self.count)
                and all(type(each) is int and each >= 0 for each in self.count.values())
            ),
            "distribution": self.distribution in get_args(Distribution),
            "at": self.at is None
            or isinstance(self.at, str)
            or (isinstance(self.at, tuple) and all(isinstance(each, str) for each in self.at)),
            "keep": self.keep in get_args(Keep),
            "dense_ends": type(self.dense_ends) is bool
            and not (self.dense_ends and self.count is not None),
            "seed": type(self.seed) is int,
        }
        for name, holds in fits.items():
            if not holds:
                expected, example = _OPTIONS[name]
                raise RefusalError(
                    f"{name}={getattr(self, name)!r}, expected {expected}", suggestions=[example]
                )

    @property
    def claim(self) -> Grade:
        """`NOT_PRESERVING`: what is masked was not 0."""
        return Grade.NOT_PRESERVING

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Chooses the masks."""
        layers = maskable(program, self.at)
        kept = self._kept(layers)
        masks = {name: self._mask(program, name, count) for name, count in kept.items()}
        how = {"density": self.density} if self.count is None else {"count": dict(self.count)}
        spec = {
            **how, "distribution": self.distribution, "keep": self.keep, "seed": self.seed,
        }  # fmt: skip
        at = self.at if isinstance(self.at, str) else ", ".join(self.at or ["the model"])
        rewriter.renumber(Renumbering(at, "MASK-7", masks, spec, keeps=False))
        total = sum(mask.numel() for mask in masks.values())
        used = sum(int(mask.sum()) for mask in masks.values())
        return [
            f"{used} of {total} weights stay in use ({used / total:.3g})",
            *(f"{name}: {float(mask.mean()):.3g}" for name, mask in masks.items()),
        ]

    def _kept(self, layers: Sequence[Maskable]) -> Mapping[str, int]:
        """How many weights of each layer stay."""
        shapes = {each.name: each.shape for each in layers}
        if self.count is not None:
            for name, count in self.count.items():
                if name not in shapes or count > prod(shapes[name]):
                    has = f"has {prod(shapes[name])}" if name in shapes else "is no weight of these"
                    raise RefusalError(
                        f"count= keeps {count} weights of {name!r}, which {has}",
                        nodes=[name],
                        suggestions=[f"count={{{each.name!r}: 1}}" for each in layers[:1]],
                    )
            return self.count
        dense = {each.name for each in layers if each.is_end} if self.dense_ends else set()
        assert self.density is not None
        try:
            shares = densities(shapes, self.density, self.distribution, dense)
        except ValueError as error:
            raise RefusalError(
                f"density={self.density:g} of all weights can't be reached: {error}",
                nodes=sorted(dense),
                suggestions=["dense_ends=False", "a larger density="],
            ) from error
        sizes = {name: prod(shape) for name, shape in shapes.items()}
        return {
            name: sizes[name] - whole((1 - share) * sizes[name]) for name, share in shares.items()
        }

    def _mask(self, program: Program, name: str, kept: int) -> torch.Tensor:
        entry = program.state[name]
        assert entry.tensor is not None
        numbers = entry.tensor.detach()
        if self.keep == "random":
            generator = torch.Generator().manual_seed(derive_seed(self.seed, name, 0))
            score = torch.rand(numbers.numel(), generator=generator)
        else:
            score = numbers.abs().flatten().double().cpu()
        old = program.state[entry.mask].tensor if entry.mask else None
        if old is not None:
            score = torch.where(old.flatten().cpu() == 0, -1.0, score)
        chosen = score.argsort(descending=True, stable=True)[:kept]
        mask = torch.zeros(len(score)).index_fill_(0, chosen, 1)
        return mask.reshape(numbers.shape).to(numbers)


_OPTIONS: Final = {
    "density": ("a number above 0, at most 1, or count=", "density=0.25"),
    "count": ("a number for each weight by name, without density=", "count={'0.weight': 100}"),
    "distribution": ("'erdos_renyi' or 'uniform'", "distribution='uniform'"),
    "at": ("a qualified module name, a glob, a list of them, or None", "at='actor.*'"),
    "keep": ("'magnitude' or 'random'", "keep='random'"),
    "dense_ends": ("True or False, and False with count=", "dense_ends=True"),
    "seed": ("an integer", "seed=0"),
}
