"""What can be exported to ONNX: told before the work, in one clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import nn

from morphir.cloning import replica
from morphir.errors import RefusalError
from morphir.export.comparing import TOLERANCE, Row, distance
from morphir.frontend import check_module
from morphir.frontend.inputs import given_inputs
from morphir.randomness import forked_random_state, host_has_drawn
from morphir.tensors import tensors_in

_SEEDS: Final = (0, 1)


def check_forward(module: nn.Module) -> None:
    """Refuses what has no forward."""
    check_module(module)
    if getattr(module.forward, "__name__", "") == "_forward_unimplemented":
        raise RefusalError(
            f"{type(module).__name__} has no forward, and ONNX files have no other entry point",
            suggestions=["a module whose forward calls the method to export"],
        )


def arguments_of(example_inputs: Any) -> tuple[Row, int]:
    """The positional tensors and their batch size."""
    args, kwargs = given_inputs(example_inputs, ("forward",))["forward"]
    if kwargs or not all(isinstance(each, torch.Tensor) for each in args):
        raise RefusalError(
            "export_onnx takes positional tensors only", suggestions=["example_inputs=(x,)"]
        )
    if any(each.dtype is torch.bfloat16 for each in args):
        raise RefusalError(
            "an input is bfloat16, which onnxruntime's CPU kernels can't check",
            suggestions=["copy.deepcopy(module).float(), with float32 inputs"],
        )
    size = next((each.shape[0] for each in args if each.dim()), 0)
    if not size:
        raise RefusalError(
            "the example inputs have no batch dimension, or no rows",
            suggestions=["example_inputs=(x,) with x of shape (batch, ...)"],
        )
    return args, size


def outputs_of(module: nn.Module, args: Row) -> Row:
    """What a copy of the module returns in eval mode: the same from two random states.

    A file that draws random numbers can't be compared with the module, nor can one of a module
    whose state moves from call to call.
    """
    twin = replica(module).eval()
    (first, drew), (second, _) = (_call(twin, args, seed) for seed in _SEEDS)
    if [t.shape for t in first] == [t.shape for t in second]:
        pairs = zip(first, second, strict=True)
        if all(distance(one, other) <= TOLERANCE for one, other in pairs):
            return first
    name = type(module).__name__
    if drew:
        raise RefusalError(
            f"{name} draws random numbers in eval mode, so no file can be shown to compute the "
            "same",
            suggestions=["a forward that takes the random numbers as an input, or the mean"],
        )
    raise RefusalError(
        f"{name} returns something else when it is called a second time on the same inputs, so it "
        "keeps state, and an ONNX file keeps none",
        suggestions=["a forward that takes and returns its state"],
    )


def _call(twin: nn.Module, args: Row, seed: int) -> tuple[Row, bool]:
    """The tensors returned, and whether random numbers were drawn."""
    try:
        with forked_random_state(seed), torch.no_grad():
            states = _generator_states()
            returned = twin(*(each.clone() for each in args))
            moved = any(
                not torch.equal(before, after)
                for before, after in zip(states, _generator_states(), strict=True)
            )
            return tuple(t for _, t in tensors_in(returned)), moved or host_has_drawn(seed)
    except Exception as error:  # torch's exporter reports inputs that don't fit on fifty lines
        raise RefusalError(
            f"{type(twin).__name__} does not run on the example inputs: "
            f"{type(error).__name__}: {error}",
            suggestions=["example_inputs= with what forward takes"],
        ) from error


def _generator_states() -> list[torch.Tensor]:
    has_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if has_cuda else [])]


def check_output_names(names: Sequence[str] | None, count: int) -> list[str] | None:
    """Refuses names that are not one per output, each another."""
    if names is None:
        return None
    listed = [] if isinstance(names, str) else [*names]
    if len(listed) != count or not all(isinstance(each, str) and each for each in listed):
        raise RefusalError(
            f"output_names={names!r}, expected {count} names, one per tensor that forward returns",
            suggestions=[f"output_names={[f'output_{index}' for index in range(count)]!r}"],
        )
    twice = [each for each in listed if listed.count(each) > 1]
    if twice:
        raise RefusalError(f"output_names={names!r} has {twice[0]!r} twice, expected other names")
    return listed
