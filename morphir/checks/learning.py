"""Whether new layers learn.

    LEARN-1   every new parameter is on a path to an output, and receives a gradient in a simulated
              training of a few steps: at once, or after gates that start at zero have moved

Two trainings are simulated on copies, with random weights for the outputs. In that of the whole
model, on the given inputs with noise, a parameter may go without a gradient because of the others:
what feeds it sleeps, or what follows does, or is never asked for gradients. So each new module is
then trained alone, on noise and its mirror image at two scales, of which one wakes every unit that
can be woken: a parameter that has no gradient there is dead by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, final

import torch
from torch import nn

from morphir.checks.calling import Arguments, entry_point_of, private_copy
from morphir.ir.report import Check, Grade, InsertionClaim
from morphir.randomness import forked_random_state
from morphir.tensors import map_tensors, tensors_in

_STEPS: Final = 4  # under a zero head a zero-gated branch comes alive in the third
_RATE: Final = 1e-2
_NOISE: Final = 0.5
_SCALES: Final = (1.0, -1.0, 100.0, -100.0)


def check_learning(
    model: nn.Module,
    insertions: Sequence[InsertionClaim],
    inputs: Mapping[str, Arguments],
    before: nn.Module | None = None,
) -> Check:
    """Checks LEARN-1 for the modules that were inserted.

    Args:
        model: The new model; copies of it are trained.
        insertions: What was inserted.
        inputs: Entry point to arguments.
        before: The old model: if it can be run backwards and the new one can't, that is refuted.
    """
    try:
        return _simulate(model, insertions, inputs)
    except RuntimeError as error:
        why = f"it can't be run backwards: {error}"
    if before is not None and _trains(before, inputs):
        return Check("learning", Grade.REFUTED, f"unlike the old model, {why}", "backward")
    return Check("learning", Grade.UNKNOWN, why, "backward")


def _trains(model: nn.Module, inputs: Mapping[str, Arguments]) -> bool:
    twin = private_copy(model)
    try:
        return _train(twin, {}, lambda: _outputs(twin, inputs)).steps > 0
    except RuntimeError:
        return False


def _simulate(
    model: nn.Module, insertions: Sequence[InsertionClaim], inputs: Mapping[str, Arguments]
) -> Check:
    twin = private_copy(model)
    modules = [claim.module for claim in insertions]
    new = {
        f"{module}.{name}": parameter
        for module in modules
        for name, parameter in twin.get_submodule(module).named_parameters()
        if parameter.requires_grad
    }
    if not new:
        return Check("learning", Grade.UNKNOWN, "there is no new parameter that is to learn")
    operands = {module: _watch(twin.get_submodule(module)) for module in modules}
    whole = _train(twin, new, lambda: _outputs(twin, inputs))
    if not whole.steps:
        return Check("learning", Grade.UNKNOWN, "no output carries a gradient")
    figures = {"parameters": float(len(new)), "late": float(whole.late)}
    summary = f"{len(whole.alive)} of {len(new)} new parameters receive a gradient"
    summary += f", {whole.late} of them after the first step" if whole.late else ""
    asleep = [name for name in new if name not in whole.alive]
    dead = [
        f"{module}.{name}"
        for module in modules
        if any(name.startswith(f"{module}.") for name in asleep)
        for name in _dead_alone(model, module, operands[module])
    ]
    branches = [claim.module for claim in insertions if claim.freezes]
    dead = [name for name in dead if not _is_partly_alive(name, branches, whole)]
    if dead:
        summary += "; the rest not even when trained alone"
        return Check("learning", Grade.REFUTED, summary, ", ".join(dead), figures)
    if asleep:
        if all(operands[module] for module in modules):
            cut = [name for name in asleep if name not in whole.reached]
            why = "no path to an output carries a gradient" if cut else "asleep on these inputs"
            summary += f"; the rest only when trained alone: {why}"
        else:  # only an entry point without inputs, or one that fails, calls such a module
            summary += "; the rest never ran"
        return Check("learning", Grade.UNKNOWN, summary, ", ".join(asleep), figures)
    return Check("learning", Grade.TESTED, summary, "", figures)


def _is_partly_alive(name: str, branches: Sequence[str], found: _Training) -> bool:
    """Whether a parameter is a copy's of one that may be dead itself, beside others that learn."""
    around = [f"{branch}." for branch in branches if name.startswith(f"{branch}.")]
    return any(each.startswith(tuple(around)) for each in found.alive) if around else False


@final
@dataclass
class _Training:
    """What a simulated training showed: parameter to the first step in which it had a gradient."""

    steps: int = 0
    alive: dict[str, int] = field(default_factory=dict)
    reached: set[str] = field(default_factory=set)

    @property
    def late(self) -> int:
        """How many parameters had their first gradient after the first step."""
        return sum(step > 0 for step in self.alive.values())


def _train(
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    outputs: Callable[[], list[torch.Tensor]],
) -> _Training:
    found = _Training()
    for step in range(_STEPS):
        model.zero_grad(set_to_none=True)
        with forked_random_state(step), torch.enable_grad():
            losses = [_weighted(tensor) for tensor in outputs() if tensor.requires_grad]
        if not losses:
            break
        sum(losses[1:], losses[0]).backward()  # type: ignore[no-untyped-call]
        found.steps += 1
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                found.reached.add(name)
                if bool(parameter.grad.count_nonzero()):
                    found.alive.setdefault(name, step)
        if found.alive.keys() == parameters.keys():
            break
        _descend(model)
    return found


def _weighted(tensor: torch.Tensor) -> torch.Tensor:
    """A random weighting of the finite elements."""
    finite = torch.where(tensor.isfinite(), tensor, 0).double()
    return (finite * torch.randn_like(finite)).sum()


def _descend(model: nn.Module) -> None:
    """One step on everything that has a gradient, of a length that does not depend on its size."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None and parameter.requires_grad:
                gradient = parameter.grad.nan_to_num(0, 0, 0)
                parameter.sub_(_RATE * gradient / (gradient.abs().max() + 1e-30))


def _outputs(model: nn.Module, inputs: Mapping[str, Arguments]) -> list[torch.Tensor]:
    """The floating-point outputs of all entry points on noisy inputs."""
    found: list[torch.Tensor] = []
    for name, arguments in inputs.items():
        args, kwargs = map_tensors(arguments, _with_noise)
        try:
            result = entry_point_of(model, name)(*args, **kwargs)
        except Exception:  # other checks say that it fails
            continue
        found += (t for _, t in tensors_in(result) if t.is_floating_point())
    return found


def _with_noise(tensor: torch.Tensor) -> torch.Tensor:
    """The given numbers with some noise, so that constant example inputs still reach units."""
    if not tensor.is_floating_point():
        return tensor.clone()
    return tensor.detach() + _NOISE * torch.randn_like(tensor)


def _watch(module: nn.Module) -> list[Arguments]:
    """A list that will hold what the module takes."""
    seen: list[Arguments] = []

    def note(_: nn.Module, args: Any, kwargs: Any) -> None:
        if not seen:
            seen.append(map_tensors((args, kwargs), torch.Tensor.detach))

    module.register_forward_pre_hook(note, with_kwargs=True)
    return seen


def _dead_alone(model: nn.Module, name: str, taken: Sequence[Arguments]) -> list[str]:
    """The parameters of a module that have no gradient even when it is trained alone, on noise."""
    if not taken or not any(tensor.numel() for _, tensor in tensors_in(taken)):
        return []
    module = private_copy(model).get_submodule(name)

    def outputs() -> list[torch.Tensor]:
        return [_run(module, map_tensors(taken[0], partial(_noise, scale))) for scale in _SCALES]

    new = {each: p for each, p in module.named_parameters() if p.requires_grad}
    found = _train(module, new, outputs)
    return [each for each in new if each not in found.alive]


def _run(module: nn.Module, arguments: Arguments) -> torch.Tensor:
    args, kwargs = arguments
    result: torch.Tensor = module(*args, **kwargs)
    return result


def _noise(scale: float, tensor: torch.Tensor) -> torch.Tensor:
    """Noise in the place of a tensor of numbers; what is no number stays."""
    if not tensor.is_floating_point():
        return tensor
    return (scale * torch.randn(tensor.shape, dtype=torch.float64)).to(tensor)
