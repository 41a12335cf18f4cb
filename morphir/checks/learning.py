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


def _watch(module: nn.Module) -> list[torch.Tensor]:
    """A list that will hold what the module takes."""
    seen: list[torch.Tensor] = []

    def note(_: nn.Module, args: Any) -> None:
        if not seen:
            seen.extend(tensor.detach() for _, tensor in tensors_in(args))

    module.register_forward_pre_hook(note)
    return seen


def _dead_alone(model: nn.Module, name: str, operands: Sequence[torch.Tensor]) -> list[str]:
    """The parameters of a module that have no gradient even when it is trained alone, on noise."""
    if len(operands) != 1 or not operands[0].numel():
        return []
    module = private_copy(model).get_submodule(name)

    def outputs() -> list[torch.Tensor]:
        noise = torch.randn(operands[0].shape, dtype=torch.float64)
        return [module((scale * noise).to(operands[0])) for scale in _SCALES]

    found = _train(module, dict(module.named_parameters()), outputs)
    return [each for each, _ in module.named_parameters() if each not in found.alive]
