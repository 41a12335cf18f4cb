"""One change of one architecture: asked of morphir, then compared in float64.

The comparison shares nothing with morphir's own checks, so that a mistake in these shows.
"""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final

import torch
from architectures import ARCHITECTURES, Architecture, Site, silence, width
from architectures.base import Arguments
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

import morphir

TOLERANCE: Final = 1e-9  # of the largest number of an output
_NUDGE: Final = 1e-3  # of a weight, by which the comparison shows that it can see the site
_LEAST_SIGHT: Final = 100 * TOLERANCE
_DRAWS: Final = 2
CHANGES: Final = ("inner", "trunk", "insert", "prune")


def is_available(change: str) -> bool:
    """Whether this version of morphir has the pass."""
    names = {"insert": "DeeperPass", "prune": "PruneDormantPass"}
    return hasattr(morphir, names.get(change, "WiderPass"))


def run(name: str, change: str, seed: int) -> dict[str, Any]:
    """Changes an architecture and says how that ended.

    Returns:
        A row with `status`: `PROVED`; a weaker grade; `refused`, with reason and suggestions;
        `rejected`, where a check of morphir's own failed; `error`, where something else was raised;
        `wrong`, where the result differs in float64 or has not the size that was asked for;
        `blind`, where the comparison could not have seen that.
    """
    torch.set_num_threads(1)
    architecture = ARCHITECTURES[name]
    model = architecture.model(seed)
    if change == "prune":
        silence(model, architecture)
    row: dict[str, Any] = {"architecture": name, "change": change, "seed": seed}
    refused: list[dict[str, Any]] = []
    for pass_ in _passes(architecture, change, seed):
        start = time.perf_counter()
        outcome = _outcome(model, pass_, architecture, change, seed)
        outcome["seconds"] = round(time.perf_counter() - start, 2)
        if outcome["status"] != "refused":
            break
        refused.append(outcome)
    row = {**row, **outcome, "refused": [each for each in refused if each is not outcome]}
    row["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return row


def _passes(architecture: Architecture, change: str, seed: int) -> list[Any]:
    """What is asked for: if the first is refused, the next."""
    if change == "insert":
        at = architecture.insert
        blocks = ("identity", "residual")
        return [morphir.DeeperPass(at=at, block=block, seed=seed) for block in blocks]
    if change == "prune":
        return [morphir.PruneDormantPass(at=architecture.inner.at, mode="remove")]
    site: Site = getattr(architecture, change)
    init = "copy" if site.copies_only or seed % 2 == 0 else "fresh"
    if site.heads is not None:
        return [morphir.WiderPass(at=site.at, heads=site.heads, init=init, seed=seed)]
    alone = morphir.WiderPass(at=site.at, width=site.width, init=init, seed=seed)
    return [alone, replace(alone, joint=True)]  # heads and width may have to change together


def _outcome(
    model: nn.Module, pass_: Any, architecture: Architecture, change: str, seed: int
) -> dict[str, Any]:
    row: dict[str, Any] = {"pass": pass_.describe(), "reason": "", "suggestions": []}
    draws = [_drawn(architecture, 1000 * seed + draw) for draw in range(_DRAWS)]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    try:
        result = morphir.transform(
            model,
            pass_,
            example_inputs=draws[0],
            entry_points=tuple(draws[0]),
            min_grade=morphir.Grade.UNKNOWN,
        )
    except Exception as error:
        row.update(_raised(error))
        if changed := _changed(before, model):
            row.update(
                status="wrong", reason=f"{row['reason']}, and the model has another {changed}"
            )
        return row
    report = result.report
    row.update(grade=str(report.grade), status=str(report.grade))
    if report.grade is not morphir.Grade.PROVED:
        row["checks"] = {check.name: f"{check.grade}: {check.summary}" for check in report.checks}
    row["phases"] = {phase: round(seconds, 3) for phase, seconds in report.seconds.items()}
    row.update(_judge(model, result.module, architecture, change, draws))
    if changed := _changed(before, model):
        row.update(status="wrong", reason=f"the model that was given has another {changed}")
    return row


def _raised(error: Exception) -> dict[str, Any]:
    """How a change ended that returned nothing."""
    if isinstance(error, morphir.RefusalError):
        lists = {"nodes": [*error.nodes], "suggestions": [*error.suggestions]}
        return {"status": "refused", "reason": error.reason, **lists}
    if isinstance(error, morphir.VerificationError):
        return {"status": "rejected", "reason": str(error)}
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return {"status": "error", "reason": f"{type(error).__name__}: {error} ({where})"}


def _judge(
    old: nn.Module,
    new: nn.Module,
    architecture: Architecture,
    change: str,
    draws: Sequence[Mapping[str, Arguments]],
) -> dict[str, Any]:
    """Compares in float64; both modules are in float64 afterwards."""
    if missing := _not_done(old, new, architecture, change):
        return {"status": "wrong", "reason": missing}
    try:
        was = [_call(old.double(), draw) for draw in draws]
    except (RuntimeError, NotImplementedError) as error:  # a kernel that has no float64
        return {"status": "uncompared", "reason": f"in float64: {error}"}
    try:
        error = _difference(was, [_call(new.double(), draw) for draw in draws])
        with _nudged(_site_parameters(old, new, architecture, change)):
            sight = _difference(was, [_call(new, draw) for draw in draws])
    except Exception as error:
        return {"status": "wrong", "reason": f"the new model raises {error!r}"}
    found: dict[str, Any] = {"difference": error, "sight": sight}
    if not error < TOLERANCE:
        found.update(status="wrong", reason=f"the outputs differ by {error:.1e} in float64")
    elif not sight > _LEAST_SIGHT:
        found.update(status="blind", reason=f"a nudge of the site moves the outputs by {sight:.1e}")
    return found


def _not_done(old: nn.Module, new: nn.Module, architecture: Architecture, change: str) -> str:
    """What was asked for and is not there."""
    if change == "insert":
        is_larger = len(list(new.parameters())) > len(list(old.parameters()))
        return "" if is_larger else "nothing was inserted"
    at = architecture.inner.at if change == "prune" else getattr(architecture, change).at
    wanted = (
        width(old.get_submodule(at)) - len(architecture.dead)
        if change == "prune"
        else getattr(architecture, change).width
    )
    found = width(new.get_submodule(at))
    return "" if found == wanted else f"{at} has {found} output features, expected {wanted}"


def _changed(before: Mapping[str, torch.Tensor], model: nn.Module) -> str:
    """What the model has that is no longer as it was, its dtype aside, or ""."""
    after = model.state_dict()
    if before.keys() != after.keys():
        return "set of entries"
    for name, value in before.items():
        if not torch.equal(value.to(after[name].dtype), after[name]):
            return f"value of {name}"
    return ""


def _site_parameters(
    old: nn.Module, new: nn.Module, architecture: Architecture, change: str
) -> list[nn.Parameter]:
    """The parameters of the new model that the change is about."""
    if change == "insert":
        known = dict(old.named_parameters())
        return [each for name, each in new.named_parameters() if name not in known]
    site = architecture.trunk if change == "trunk" else architecture.inner
    return [new.get_submodule(site.at).weight]


@contextmanager
def _nudged(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Adds a little noise to some parameters for a while."""
    kept = [each.detach().clone() for each in parameters]
    torch.manual_seed(7)
    with torch.no_grad():
        for each in parameters:
            scale = each.abs().max().item() or 1.0
            each.add_(_NUDGE * scale * torch.randn_like(each))
        yield
        for each, value in zip(parameters, kept, strict=True):
            each.copy_(value)


def _drawn(architecture: Architecture, seed: int) -> dict[str, Arguments]:
    torch.manual_seed(seed)
    return dict(architecture.inputs())


@torch.no_grad()
def _call(model: nn.Module, inputs: Mapping[str, Arguments]) -> dict[str, list[torch.Tensor]]:
    """The tensors that every entry point returns, in float64, always from one random state."""
    found = {}
    for entry_point, arguments in inputs.items():
        args, kwargs = tree_map_only(torch.Tensor, _lifted, arguments)
        torch.manual_seed(5)
        with _Lift():
            method = model if entry_point == "forward" else getattr(model, entry_point)
            result = method(*args, **kwargs)
        found[entry_point] = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor)]
    return found


def _lifted(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor.clone()


def _difference(
    old: Sequence[Mapping[str, Sequence[torch.Tensor]]],
    new: Sequence[Mapping[str, Sequence[torch.Tensor]]],
) -> float:
    """The worst difference of an output, relative to its largest number."""
    worst, compared = 0.0, 0
    for was, now in zip(old, new, strict=True):
        for entry_point, tensors in was.items():
            for one, other in zip(tensors, now[entry_point], strict=True):
                if one.shape != other.shape or one.dtype != other.dtype:
                    return float("inf")
                if not one.isfinite().all():
                    return float("nan")
                scale = max(one.abs().max().item(), 1e-300)
                worst = max(worst, (one.double() - other.double()).abs().max().item() / scale)
                compared += one.is_floating_point()
    return worst if compared else float("nan")


@final
class _Lift(TorchFunctionMode):
    """Turns a model's own casts to shorter floats into casts to float64."""

    _SHORT: Final = (torch.float32, torch.float16, torch.bfloat16)
    _CASTS: Final = (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16)

    def __enter__(self) -> _Lift:
        torch.set_default_dtype(torch.float64)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.set_default_dtype(torch.float32)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in self._CASTS:
            return args[0].double()
        args, kwargs = tree_map_only(torch.dtype, self._longer, (tuple(args), kwargs or {}))
        return func(*args, **kwargs)

    def _longer(self, dtype: torch.dtype) -> torch.dtype:
        return torch.float64 if dtype in self._SHORT else dtype
