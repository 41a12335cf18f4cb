"""Whether `torch.compile` makes of a model what it is.

RUN-7   compiled, the new model is no less accurate than RUN-2 allows, compared with itself
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from morphir.checks.calling import Arguments, call_entry_point, private_copy
from morphir.checks.native import check_native
from morphir.ir.report import Check, Grade
from morphir.randomness import kept_random_state


def check_compiled(
    model: nn.Module, inputs: Mapping[str, Arguments], reference: nn.Module | None = None
) -> Check:
    """Checks RUN-7 for `forward`; other methods are not compiled.

    Args:
        model: The new model; copies of it are compiled and run.
        inputs: Entry point to arguments.
        reference: A float64 copy of the model.
    """
    given = {name: arguments for name, arguments in inputs.items() if name == "forward"}
    if not given:
        return Check("compile", Grade.UNKNOWN, "not run: only forward is compiled")
    compiled: Any = torch.compile(private_copy(model))
    with kept_random_state():
        try:
            call_entry_point(compiled, "forward", given["forward"])
        except Exception as error:  # there may be no compiler, or something that it does not take
            what = str(error).partition("\n")[0]
            return Check("compile", Grade.UNKNOWN, f"it can't be compiled: {what}", "forward")
    return replace(check_native(private_copy(model), compiled, given, reference), name="compile")
