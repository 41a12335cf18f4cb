"""Compares a recording with the module by running the graph without it.

FRONT-2   replaying a recording gives what the module returned and left in its state: on the
          inputs it was recorded with, and where the graph is symbolic in the batch size on other
          inputs at another batch size
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from morphir.errors import RefusalError
from morphir.frontend.capture import SEED
from morphir.frontend.recording import Recording
from morphir.ir import Graph, Value
from morphir.ops import OpTable
from morphir.ops.replay import Unreplayable, replay
from morphir.randomness import seed_random_state


def check_fidelity(
    graph: Graph,
    recording: Recording,
    tensors: Mapping[str, torch.Tensor],
    inputs: Mapping[str, torch.Tensor],
    given: Mapping[Value, torch.Tensor],
    table: OpTable,
) -> str:
    """Checks law FRONT-2; seeds the random state, as the recording did.

    Args:
        graph: What was imported from the recording.
        recording: The recording, with what the module gave.
        tensors: The state before the call by name.
        inputs: The tensors among the arguments by path.
        given: What no replay can compute, as recorded: the graph is checked between such values.
        table: The declarations to run ops by.

    Returns:
        Why the graph could not be replayed, or "".

    Raises:
        RefusalError: The replay gives something else.
    """
    if any(node.random and given.keys() & {*node.outputs} for node in graph.nodes):
        return "a call that cannot be run again draws random numbers"
    flat = Graph(
        graph.name,
        (*graph.inputs, *given),
        tuple(node for node in graph.nodes if not given.keys() & {*node.outputs}),
        graph.outputs,
        graph.updates,
    )
    arguments = [*(inputs[value.name] for value in graph.inputs), *given.values()]
    try:
        seed_random_state(SEED)
        with torch.no_grad():
            found = replay(flat, tensors, arguments, table, keep_values=False)
    except Unreplayable as unreplayable:
        return f"{unreplayable}"
    except Exception as error:
        raise RefusalError(
            f"the recording of {graph.name!r} cannot be run: {type(error).__name__}: {error}"
        ) from error
    pairs = [
        (f"output {path!r}", expected, actual)
        for (path, _, expected), actual in zip(recording.outputs, found.outputs, strict=True)
    ]
    pairs += [
        (f"the update of {name!r}", expected, found.updates[name])
        for name, _, expected in recording.updates
    ]
    for what, expected, actual in pairs:
        if not _agree(expected, actual):
            raise RefusalError(
                f"the recording of {graph.name!r} does not reproduce {what}: something that the "
                "model computes with does not go through torch functions",
                suggestions=["torch operations in place of a custom extension or of numpy"],
            )
    return ""


def _agree(expected: torch.Tensor, actual: torch.Tensor) -> bool:
    """Equal to the bit, or to 1e-5 of the root mean square: a replay may use another kernel."""
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return False
    if torch.equal(expected, actual) or not expected.is_floating_point():
        return torch.equal(expected, actual)
    wide, other = expected.double(), actual.double()
    same = (wide == other) | (wide.isnan() & other.isnan())
    scale = wide[wide.isfinite()].square().mean().sqrt()
    return bool((same | ((wide - other).abs() <= 1e-5 * scale)).all())
