"""Random draws of a model: the same ones in every model that draws as many (FIELD-6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from morphir.field.residues import Kernel, Residues, Run


def _draw(run: Run, like: Residues) -> Any:
    return run.wrap(run.draw(like.shape, like.device), like)


def normal(run: Run, mean: Any, scale: Any = 1, **kwargs: Any) -> Any:
    """Numbers around a mean."""
    both: Any = mean + scale
    return mean + scale * run.wrap(run.draw(both.shape, both.device), both)


def normal_in_place(
    run: Run, target: Residues, mean: float = 0, scale: float = 1, **kwargs: Any
) -> Any:
    """The same, as many as a tensor has, written into it."""
    return target.copy_(mean + scale * _draw(run, target))


def uniform(run: Run, target: Residues, least: float = 0, most: float = 1, **kwargs: Any) -> Any:
    """Numbers between two others."""
    return least + (most - least) * _draw(run, target)


def exponential(run: Run, target: Residues, rate: float = 1, **kwargs: Any) -> Any:
    """Waiting times."""
    return _draw(run, target) / rate


def _drawn_by(name: str) -> Kernel:
    """Draws by parameters, element by element."""

    def drawn(run: Run, tensor: Residues, *generator: Any) -> Residues:
        draws = run.draw(tensor.shape, tensor.device)
        return run.wrap(run.functions.value(name, tensor.residues, draws), tensor)

    return drawn


def choice(
    run: Run, weights: Residues, count: int, replacement: bool = False, **kwargs: Any
) -> torch.Tensor:
    """Places, drawn as the weights in their row say."""
    rows, size = weights.shape[:-1], weights.shape[-1]
    place = torch.arange(size, device=weights.device)
    said = weights.residues * run.functions.value("place", place) % run.field.prime
    said = said.sum(-1, keepdim=True) % run.field.prime
    draws = run.draw((*rows, count if replacement else size), weights.device)
    found = run.functions.value("choice", said, draws)
    return found % size if replacement else found.topk(count).indices


COMPUTED: Final[Mapping[str, Kernel]] = {
    "normal": normal,
    "normal_": normal_in_place,
    "uniform": uniform,
    "exponential": exponential,
    "multinomial": choice,
    "_standard_gamma": _drawn_by("gamma"),
    "_sample_dirichlet": _drawn_by("dirichlet"),
    "poisson": _drawn_by("poisson"),
}
