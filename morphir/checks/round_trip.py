"""Whether a model's state goes through a file.

KEPT-8   the state_dict of the new model, written and read by torch without unpickling code, and
         loaded strictly into a copy in which all that it holds was overwritten, gives the same
         bits on the given inputs
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch
from torch import nn

from morphir.checks.bits import equal_bits
from morphir.checks.calling import Arguments, observe, private_copy
from morphir.checks.comparison import numbers_in
from morphir.ir.report import Check, Grade, counted


def check_round_trip(model: nn.Module, inputs: Mapping[str, Arguments]) -> Check:
    """Checks KEPT-8.

    Args:
        model: The new model; copies of it are run.
        inputs: Entry point to arguments.
    """
    one, other = private_copy(model), private_copy(model)
    file = io.BytesIO()
    try:
        torch.save(one.state_dict(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        with torch.no_grad():
            for tensor in other.state_dict().values():
                if isinstance(tensor, torch.Tensor):
                    tensor.zero_()
        other.load_state_dict(state, strict=True)
    except Exception as error:
        what = " ".join(str(error).split())
        return Check("state_dict", Grade.REFUTED, f"KEPT-8: {what}", "state_dict")
    was, now = observe(one, inputs), observe(other, inputs)
    count = 0
    for name, result in was.results.items():
        found = numbers_in(now.results.get(name))
        for path, tensor in numbers_in(result).items():
            count += 1
            if path not in found or not equal_bits(tensor, found[path]):
                summary = "KEPT-8: the reloaded model returns something else"
                return Check("state_dict", Grade.REFUTED, summary, f"{name}: output {path!r}")
    if not count:
        return Check("state_dict", Grade.UNKNOWN, "nothing could be compared: no output")
    summary = f"{counted(len(state), 'tensor')} reloaded, the same bits"
    return Check("state_dict", Grade.TESTED, summary, "", {"tensors": float(len(state))})
