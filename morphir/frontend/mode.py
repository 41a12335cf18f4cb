"""Whether what runs depends on train and eval mode.

    FRONT-8   where nothing that runs in eval mode reads `training`, and no class switches modes in
              a way of its own, the recording is that of both modes

A call can only run differently once it has read what differs, and modules differ by one flag.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, final

import torch
from torch import nn


@final
class ModeWatch:
    """Notes, while it is entered, whether the flag of any module is read or set.

    Attributes:
        was_used: Whether it was.
    """

    def __init__(self) -> None:
        self.was_used = False
        self._outer: Any = None

    def __enter__(self) -> ModeWatch:
        self._outer = vars(nn.Module).get("training")
        nn.Module.training = self  # type: ignore[assignment]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._outer is None:
            del nn.Module.training
        else:
            nn.Module.training = self._outer

    def __get__(self, module: nn.Module | None, owner: type[nn.Module]) -> Any:
        self.was_used = True
        try:
            return vars(module)["training"]
        except (KeyError, TypeError):  # a module before its constructor ran, or the class itself
            raise AttributeError("training") from None

    def __set__(self, module: nn.Module, value: bool) -> None:
        self.was_used = True
        vars(module)["training"] = value


def switches_plainly(model: nn.Module) -> bool:
    """Whether switching the model between modes sets the flag of each module and does no more."""
    return all(
        type(module).train is nn.Module.train
        and type(module).eval is nn.Module.eval
        and not vars(module).keys() & {"train", "eval"}
        and not any("training" in vars(kind) for kind in type(module).__mro__)
        and not isinstance(module, torch.jit.ScriptModule)
        for module in model.modules()
    )
