"""Bring masked weights into use.

    MASK-8   the weights that begin to be used are those with the largest scores among those that
             were not, of each layer or of all together; equal scores in the order of the model
    MASK-9   what begins at 0 keeps the function; random numbers are uniform, of a size of at most
             clip / sqrt(fan in)

The gradient of a weight that is 0 and not in use says how much the loss would gain by it (RigL,
Evci et al. 2020; Neuroplastic Expansion, Liu et al. 2025, section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, final, get_args

import numpy as np
import torch

from morphir.errors import RefusalError
from morphir.frontend.inputs import given_inputs
from morphir.ir import Grade, Program, Renumbering, Rewriter, is_of_train_mode
from morphir.passes.base import MorphismPass
from morphir.passes.data import Loss, run_on, total_of
from morphir.passes.densities import whole
from morphir.passes.maskable import maskable
from morphir.randomness import derive_seed

Score = Literal["gradient", "random"]
Init = Literal["zero", "random"]
Tensors = Mapping[str, torch.Tensor]


@final
@dataclass(frozen=True)
class MaskGrowPass(MorphismPass):
    """Bring weights into use that are 0 behind a mask; the function is unchanged.

    Args:
        at: Qualified name of a module, a glob, or a list of them; by default all masked layers.
        count: How many weights: so many of all layers together, or of each layer by the name of
            its weight.
        fraction: In place of it, the share of each layer's unused weights, rounded down.
        score: Which: those with the largest `"gradient"` in size, or `"random"` ones.
        init: What they start with: `"zero"`, which is `PROVED`, or `"random"` numbers, which change
            the function (`NOT_PRESERVING`).
        clip: How large random numbers are at most, times the root of the fan in.
        data: Inputs, in the form of `example_inputs`, for the gradient of the loss. Without them it
            is what `backward()` left in `.grad`, before anybody masked it.
        loss: A function from what an entry point returns to the number to make smaller.
        seed: Seed of the random choices.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "mask_grow"
    renumbers: ClassVar[bool] = True

    at: str | Sequence[str] | None = None
    count: int | Mapping[str, int] | None = None
    fraction: float | None = None
    score: Score = "gradient"
    init: Init = "zero"
    clip: float = 1.0
    data: Any = None
    loss: Loss | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        counts = [*self.count.values()] if isinstance(self.count, Mapping) else [self.count]
        is_count = all(type(each) is int and each >= 0 for each in counts)
        fits = {
            "at": self.at is None
            or isinstance(self.at, str)
            or (isinstance(self.at, tuple) and all(isinstance(each, str) for each in self.at)),
            "count": is_count if self.fraction is None else self.count is None,
            "fraction": self.fraction is None
            or (isinstance(self.fraction, int | float) and 0 <= self.fraction <= 1),
            "score": self.score in get_args(Score),
            "init": self.init in get_args(Init),
            "clip": isinstance(self.clip, int | float) and self.clip > 0,
            "loss": (self.loss is None or callable(self.loss))
            and (self.loss is None) == (self.data is None)
            and (self.loss is None or self.score == "gradient"),
            "seed": type(self.seed) is int,
        }
        for name, holds in fits.items():
            if not holds:
                expected, example = _OPTIONS[name]
                found = "..." if name == "loss" else repr(getattr(self, name))
                raise RefusalError(f"{name}={found}, expected {expected}", suggestions=[example])

    @property
    def claim(self) -> Grade:
        """`PROVED`, but for random numbers."""
        return Grade.PROVED if self.init == "zero" else Grade.NOT_PRESERVING

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Chooses what is used from now on."""
        weights = maskable(program, self.at)
        names = _learning(program, [e.name for e in weights if program.state[e.name].mask])
        if not names:
            raise RefusalError(
                "none of these weights has a mask",
                nodes=[each.name for each in weights],
                suggestions=["morphir.SparsifyPass(density=0.25) first"],
            )
        old = {name: _tensor(program, program.state[name].mask) for name in names}
        scores = self._scores(program, names)
        chosen = self._chosen(scores, old)
        new = {name: mask + chosen[name].to(mask) for name, mask in old.items()}
        grown = {name: int(each.sum()) for name, each in chosen.items()}
        if not any(grown.values()):
            return ["nothing begins to be used"]
        numbers = self._numbers(program, chosen) if self.init == "random" else {}
        at = self.at if isinstance(self.at, str) else ", ".join(self.at or ["the model"])
        spec = {"score": self.score, "init": self.init, "seed": self.seed, "grown": grown}
        changed = {name: mask for name, mask in new.items() if grown[name]}
        keeps = self.init == "zero"
        rewriter.renumber(Renumbering(at, "MASK-8", changed, spec, numbers, keeps=keeps))
        blind = [
            name
            for name in changed
            if self.score == "gradient" and not bool((scores[name] * chosen[name]).any())
        ]
        return [
            *(
                f"{name}: {grown[name]} weights begin to be used, density "
                f"{float(old[name].mean()):.3g} -> {float(new[name].mean()):.3g}"
                for name in changed
            ),
            *(
                f"{name}: their gradients are all 0, so these are just the first ones; "
                "Masks.mask_gradients() comes after growing"
                for name in blind
            ),
        ]

    def _chosen(self, scores: Tensors, masks: Tensors) -> dict[str, torch.Tensor]:
        """Where weights begin to be used (MASK-8)."""
        used = {name: mask.real for name, mask in masks.items()}
        unused = {name: scores[name] * (1 - each) - each for name, each in used.items()}
        if type(self.count) is int:
            every = torch.cat([each.flatten() for each in unused.values()])
            found = torch.split(_largest(every, self.count), [m.numel() for m in masks.values()])
            return {n: each.view_as(masks[n]) for n, each in zip(masks, found, strict=True)}
        counts = self._counts(masks)
        return {
            name: _largest(each.flatten(), counts.get(name, 0)).view_as(each)
            for name, each in unused.items()
        }

    def _counts(self, masks: Tensors) -> Mapping[str, int]:
        if self.fraction is not None:
            return {n: whole(self.fraction * int((mask == 0).sum())) for n, mask in masks.items()}
        assert isinstance(self.count, Mapping)
        unknown = [name for name in self.count if name not in masks]
        if unknown:
            raise RefusalError(
                f"count= names {unknown[0]!r}, which is no masked weight",
                nodes=unknown[:1],
                suggestions=[f"count={dict.fromkeys(masks, 10)}"],
            )
        return self.count

    def _scores(self, program: Program, names: Sequence[str]) -> Tensors:
        if self.score == "random":
            return {name: self._drawn(program, name, "score").abs() for name in names}
        if self.data is None:
            found = {name: _tensor(program, name).grad for name in names}
        else:
            found = self._gradients(program, names)
        scores = {}
        for name, gradient in found.items():
            if gradient is None or not _is_finite(gradient):
                what = "no gradient" if gradient is None else "a gradient that is not finite"
                raise RefusalError(
                    f"{name!r} has {what}, so nothing says which of its weights to use",
                    nodes=[name],
                    suggestions=[
                        "loss.backward() before, and Masks.mask_gradients() after",
                        "data= and loss=",
                        "score='random'",
                    ],
                )
            scores[name] = gradient.detach().abs()
        return scores

    def _gradients(self, program: Program, names: Sequence[str]) -> dict[str, torch.Tensor | None]:
        """The gradients of the loss on the data, summed over its entry points."""
        entry_points = [name for name in program.graphs if not is_of_train_mode(name)]
        if isinstance(self.data, Mapping) and {*self.data} <= {*entry_points}:
            entry_points = [*self.data]
        state = {n: e.tensor.detach() for n, e in program.state.items() if e.tensor is not None}
        leaves = {name: state[name].clone().requires_grad_() for name in names}
        assert self.loss is not None
        with torch.enable_grad():
            totals = [
                total_of(
                    self.loss,
                    run_on(program.graphs[name], {**state, **leaves}, arguments).outputs,
                    name,
                )
                for name, arguments in given_inputs(self.data, entry_points).items()
            ]
            found = torch.autograd.grad(
                torch.stack(totals).sum(), [*leaves.values()], allow_unused=True
            )
        return dict(zip(leaves, found, strict=True))

    def _numbers(self, program: Program, chosen: Tensors) -> dict[str, torch.Tensor]:
        """The weights, with random numbers for those that begin to be used (MASK-9)."""
        found = {}
        for name, places in chosen.items():
            old = _tensor(program, name).detach()
            largest = self.clip / math.sqrt(old[0].numel())
            found[name] = torch.where(places, self._drawn(program, name, "init") * largest, old)
        return found

    def _drawn(self, program: Program, name: str, what: str) -> torch.Tensor:
        """Uniform numbers between -1 and 1, the same on every device."""
        like = _tensor(program, name).detach()
        count = int((_tensor(program, program.state[name].mask) == 0).sum())
        generator = torch.Generator().manual_seed(derive_seed(self.seed, f"{name} {what}", count))
        return (torch.rand(like.shape, generator=generator) * 2 - 1).to(like)


def _learning(program: Program, names: Sequence[str]) -> list[str]:
    """Those of some weights that are trained; all where none is, as in a target network."""
    return [name for name in names if _tensor(program, name).requires_grad] or [*names]


def _tensor(program: Program, name: str) -> torch.Tensor:
    tensor = program.state[name].tensor
    assert tensor is not None
    return tensor


def _is_finite(tensor: torch.Tensor) -> bool:
    """Quicker than `isfinite` of every number: infinities and NaN survive a maximum."""
    return not tensor.numel() or math.isfinite(tensor.abs().amax())


def _largest(scores: torch.Tensor, count: int) -> torch.Tensor:
    """Where the largest scores are, the first of equal ones; what is in use has -1."""
    wide = torch.promote_types(scores.dtype, torch.float32)  # NumPy knows no bfloat16
    values = scores.to(wide).numpy(force=True)
    count = min(count, int(np.count_nonzero(values >= 0)))
    if not count:
        return torch.zeros_like(scores, dtype=torch.bool)
    least = np.partition(values, -count)[-count]  # quicker than topk, which sorts
    chosen = values > least
    ties = np.flatnonzero(values == least)
    chosen[ties[: count - np.count_nonzero(chosen)]] = True
    return torch.from_numpy(chosen).to(scores.device)


_OPTIONS: Final = {
    "at": ("a qualified module name, a glob, a list of them, or None", "at='actor.*'"),
    "count": ("a number of weights, or one for each by name, without fraction=", "count=100"),
    "fraction": ("a number from 0 to 1", "fraction=0.01"),
    "score": ("'gradient' or 'random'", "score='random'"),
    "init": ("'zero' or 'random'", "init='random'"),
    "clip": ("a number above 0", "clip=1.0"),
    "loss": ("a function, together with data= and score='gradient'", "data=(x,), loss=my_loss"),
    "seed": ("an integer", "seed=0"),
}
