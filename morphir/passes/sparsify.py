"""Make a network sparse: most of its weights are 0, and stay 0.

    MASK-7   of the n numbers of a layer all but floor((1 - density) n) are kept, the largest in
             size or random ones; the others are 0, and masked (MASK-1)

The layers' densities are in `densities.py`. What was masked before and is kept stays 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, final, get_args

import torch

from morphir.errors import RefusalError
from morphir.ir import Grade, Masking, Program, Rewriter
from morphir.passes.base import MorphismPass
from morphir.passes.densities import Distribution, densities
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
    masks: ClassVar[bool] = True

    density: float
    distribution: Distribution = "erdos_renyi"
    at: str | Sequence[str] | None = None
    keep: Keep = "magnitude"
    dense_ends: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        fits = {
            "density": isinstance(self.density, int | float) and 0 < self.density <= 1,
            "distribution": self.distribution in get_args(Distribution),
            "at": self.at is None
            or isinstance(self.at, str)
            or (isinstance(self.at, tuple) and all(isinstance(each, str) for each in self.at)),
            "keep": self.keep in get_args(Keep),
            "dense_ends": type(self.dense_ends) is bool,
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
        dense = {each.name for each in layers if each.is_end} if self.dense_ends else set()
        shares = self._densities(layers, dense)
        masks = {each.name: self._mask(program, each.name, shares[each.name]) for each in layers}
        spec = {
            "density": self.density, "distribution": self.distribution, "keep": self.keep,
            "seed": self.seed,
        }  # fmt: skip
        at = self.at if isinstance(self.at, str) else ", ".join(self.at or ["the model"])
        rewriter.mask(Masking(at, "MASK-7", masks, spec, keeps=False))
        total = sum(mask.numel() for mask in masks.values())
        used = sum(int(mask.sum()) for mask in masks.values())
        return [
            f"{used} of {total} weights stay in use ({used / total:.3g})",
            *(f"{name}: {float(mask.mean()):.3g}" for name, mask in masks.items()),
        ]

    def _densities(self, layers: Sequence[Maskable], dense: set[str]) -> Mapping[str, float]:
        shapes = {each.name: each.shape for each in layers}
        try:
            return densities(shapes, self.density, self.distribution, dense)
        except ValueError as error:
            raise RefusalError(
                f"density={self.density:g} of all weights can't be reached: {error}",
                nodes=sorted(dense),
                suggestions=["dense_ends=False", "a larger density="],
            ) from error

    def _mask(self, program: Program, name: str, density: float) -> torch.Tensor:
        tensor = program.state[name].tensor
        assert tensor is not None
        numbers = tensor.detach()
        if self.keep == "random":
            generator = torch.Generator().manual_seed(derive_seed(self.seed, name, 0))
            score = torch.rand(numbers.numel(), generator=generator)
        else:
            score = numbers.abs().flatten().float().cpu()
        kept = len(score) - int((1 - density) * len(score))
        chosen = score.argsort(descending=True, stable=True)[:kept]
        mask = torch.zeros(len(score)).index_fill_(0, chosen, 1)
        return mask.reshape(numbers.shape).to(numbers)


_OPTIONS: Final = {
    "density": ("a number above 0, at most 1", "density=0.25"),
    "distribution": ("'erdos_renyi' or 'uniform'", "distribution='uniform'"),
    "at": ("a qualified module name, a glob, a list of them, or None", "at='actor.*'"),
    "keep": ("'magnitude' or 'random'", "keep='random'"),
    "dense_ends": ("True or False", "dense_ends=True"),
    "seed": ("an integer", "seed=0"),
}
