"""The optimizers of torch that keep numbers for each number of a parameter, with usual options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Literal

from torch import nn, optim

Kind = Literal["gradient", "squared", "magnitude", "update", "update_size"]

_MOMENTS: Final[Mapping[str, Kind]] = {
    "exp_avg": "gradient",
    "exp_avg_sq": "squared",
    "max_exp_avg_sq": "squared",
    "square_avg": "squared",
    "grad_avg": "gradient",
    "sum": "squared",
    "exp_inf": "magnitude",
    "acc_delta": "update_size",
    "prev": "gradient",
    "step_size": "update_size",
}

OPTIMIZERS: Final[Mapping[str, Callable[..., optim.Optimizer]]] = {
    "adam": partial(optim.Adam, lr=1e-3),
    "adam-amsgrad": partial(optim.Adam, lr=1e-3, amsgrad=True, foreach=True),
    "adam-fused": partial(optim.Adam, lr=1e-3, fused=True),
    "adamw": partial(optim.AdamW, lr=1e-3),
    "nadam": partial(optim.NAdam, lr=1e-3),
    "radam": partial(optim.RAdam, lr=1e-3),
    "adamax": partial(optim.Adamax, lr=1e-3),
    "adagrad": partial(optim.Adagrad, lr=1e-3, initial_accumulator_value=0.1),
    "adadelta": partial(optim.Adadelta, lr=1e-2),
    "rmsprop": partial(optim.RMSprop, lr=1e-3, momentum=0.9, centered=True),
    "rprop": partial(optim.Rprop, lr=1e-3),
    "asgd": partial(optim.ASGD, lr=1e-3),
    "sgd": partial(optim.SGD, lr=1e-3),
    "sgd-momentum": partial(optim.SGD, lr=1e-3, momentum=0.9, nesterov=True, foreach=True),
}


def made(name: str, model: nn.Module) -> optim.Optimizer:
    """An optimizer with a group for weights and one for what has a single axis.

    Args:
        name: One of `OPTIMIZERS`.
        model: Whose parameters it takes.
    """
    parameters = [*model.parameters()]
    groups = [[p for p in parameters if (p.dim() > 1) is several] for several in (True, False)]
    options: list[Any] = [{"params": group, "weight_decay": 0.0} for group in groups if group]
    if name == "rprop":  # has none
        options = [{"params": each["params"]} for each in options]
    return OPTIMIZERS[name](options)


def kind_of(optimizer: optim.Optimizer, entry: str) -> Kind | None:
    """What an entry of a state is, None for one that is a value or a scalar.

    Args:
        optimizer: Whose state.
        entry: The entry's name.
    """
    if entry == "momentum_buffer":
        return "update" if isinstance(optimizer, optim.RMSprop) else "gradient"
    return _MOMENTS.get(entry)


def start_of(optimizer: optim.Optimizer, group: Mapping[str, Any], entry: str) -> float:
    """What an entry of a state holds before the first gradient.

    Args:
        optimizer: Whose state.
        group: The options of the parameter's group.
        entry: The entry's name.
    """
    if isinstance(optimizer, optim.Adagrad) and entry == "sum":
        return float(group["initial_accumulator_value"])
    if isinstance(optimizer, optim.Rprop) and entry == "step_size":
        return float(group["lr"])
    return 0.0
