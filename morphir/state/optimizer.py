"""Optimizers follow the model.

STATE-1   after an insertion every parameter that was in a group is in it still, with its
          options and its state
STATE-2   every new parameter is in exactly one group, that of the layer it follows, with the
          state of a fresh optimizer; in none where no group holds what it follows
STATE-9   what follows layers whose parameters are all frozen is frozen
STATE-10  a group whose parameters were in the order of `model.parameters()` still is
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.errors import RefusalError

Named = Sequence[tuple[str, nn.Parameter]]

_CANNOT_TAKE: Final[Mapping[type[Optimizer], str]] = {
    torch.optim.LBFGS: "keeps one flat history over all parameters at once",
    torch.optim.SparseAdam: "only takes sparse gradients",
}


_FOR_THE_CONSTRUCTOR: Final = ("initial_accumulator_value",)


def check_optimizer(optimizer: Any, model: nn.Module) -> None:
    """Refuses what is no optimizer over this model.

    Raises:
        RefusalError: It is no `torch.optim.Optimizer`, holds none of the model's parameters, or
            holds one twice.
    """
    if not isinstance(optimizer, Optimizer):
        raise RefusalError(f"expected a torch.optim.Optimizer, found {_kind_of(optimizer)}")
    held = [p for group in optimizer.param_groups for p in group["params"]]
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for p in held):
        raise RefusalError(
            f"the {type(optimizer).__name__} holds none of the parameters of "
            f"{type(model).__name__}: it belongs to another model, or to a copy of this one",
            suggestions=["the optimizer that was made from model.parameters()"],
        )
    if len({id(p) for p in held}) < len(held):
        raise RefusalError(
            f"the {type(optimizer).__name__} holds a parameter twice",
            suggestions=["a list of parameters without repeats"],
        )


def optimizers_over(model: nn.Module, given: Any, attached: Sequence[Optimizer]) -> list[Optimizer]:
    """The optimizers that a caller gave, checked, then those that hang on the model, each once.

    Attached ones that hold no parameter of the model (a temperature's) are not meant.
    """
    listed = [*given] if isinstance(given, list | tuple) else [] if given is None else [given]
    for each in listed:
        check_optimizer(each, model)
    own = {id(p) for p in model.parameters()}
    over = [o for o in attached if any(id(p) in own for g in o.param_groups for p in g["params"])]
    return [*dict.fromkeys([*listed, *over])]


def _kind_of(found: Any) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else type(found).__name__


@final
class Joining:
    """Adds new parameters to optimizers; `undo` takes them out."""

    def __init__(self, optimizers: Sequence[Optimizer], model: nn.Module) -> None:
        self._optimizers, self._model = optimizers, model
        self._added: list[tuple[Optimizer, dict[str, Any], torch.Tensor]] = []
        self._ambiguous: dict[str, tuple[str, list[str]]] = {}
        self._frozen = self._left_out = 0

    def join(self, new: Mapping[str, nn.Parameter], leaders: Named) -> None:
        """Adds every new parameter to the group of the leader that it resembles most.

        Only leaders in the module around the first one count: behind a target network's layers
        may come those of a network that trains. If all these are frozen, so are the new ones
        (STATE-9); if no optimizer holds one, none gets the new ones. Where several optimizers hold
        that leader, the first of them gets it.

        Args:
            new: Qualified name to new parameter.
            leaders: Names and parameters of the layer that the new ones follow, then of layers
                further away. A weight follows a weight and a bias the bias of such a layer; where
                no optimizer holds one, the nearest parameter that one does hold.

        Raises:
            RefusalError: There is nothing to follow and more than one group, or the optimizer
                can't take a new parameter.
        """
        near = _same_part(leaders)
        is_frozen = bool(near) and not any(p.requires_grad for _, p in near)
        if is_frozen:
            self._frozen += len(new)
            for parameter in new.values():
                parameter.requires_grad_(False)
        for name, parameter in new.items() if self._optimizers else ():
            place = self._place_for(name, parameter, near)
            if place is None:
                self._left_out += not is_frozen
            else:
                self._add(name, parameter, *place)

    def _add(
        self,
        name: str,
        parameter: nn.Parameter,
        leader: tuple[str, nn.Parameter] | None,
        optimizer: Optimizer,
        group: dict[str, Any],
    ) -> None:
        state = _state_to_join(optimizer, group, parameter)
        self._added.append((optimizer, group, parameter))
        position = self._position(parameter, group)
        if "param_names" in group:
            group["param_names"].insert(position, _renamed(name, leader, group))
        group["params"].insert(position, parameter)
        if state is not None:
            optimizer.state[parameter] = state

    def _position(self, parameter: nn.Parameter, group: Mapping[str, Any]) -> int:
        """Where it keeps the order of the model (STATE-10): torch loads a state by position."""
        order = {id(p): number for number, p in enumerate(self._model.parameters())}
        numbers = [order.get(id(p), -1) for p in group["params"]]
        is_ordered = -1 not in numbers and numbers == sorted(numbers)
        end = len(numbers)
        return bisect(numbers, order.get(id(parameter), end)) if is_ordered else end

    def undo(self) -> None:
        """Removes what `join` added."""
        for optimizer, group, parameter in reversed(self._added):
            position = next(i for i, p in enumerate(group["params"]) if p is parameter)
            del group["params"][position]
            if "param_names" in group:
                del group["param_names"][position]
            optimizer.state.pop(parameter, None)
        self._added.clear()
        self._ambiguous.clear()
        self._frozen = self._left_out = 0

    @property
    def notes(self) -> list[str]:
        """What was done, a line per group."""
        counts = Counter(
            (self._label(optimizer), number)
            for optimizer, joined, _ in self._added
            for number, group in enumerate(optimizer.param_groups)
            if group is joined
        )
        lines = [
            f"{count} new parameter{'s' if count > 1 else ''} joined group {number} of {name}"
            for (name, number), count in counts.items()
        ]
        if self._frozen:
            lines.append(f"{_counted(self._frozen)} frozen, as the layers they follow")
        if self._left_out:
            lines.append(f"{_counted(self._left_out)} in no optimizer, as the layers they follow")
        return lines + [
            f"{leader} is in {chosen} and in {', '.join(others)}: what follows it joined the first"
            for leader, (chosen, others) in self._ambiguous.items()
        ]

    def _label(self, optimizer: Optimizer) -> str:
        kind = type(optimizer).__name__
        if len(self._optimizers) == 1:
            return kind
        number = next(i for i, each in enumerate(self._optimizers) if each is optimizer)
        return f"{kind} (optimizer {number})"

    def _place_for(
        self, name: str, parameter: nn.Parameter, leaders: Named
    ) -> tuple[tuple[str, nn.Parameter] | None, Optimizer, dict[str, Any]] | None:
        """The leader that is followed, the optimizer and the group; None where none trains."""
        for leader in _by_likeness(name, parameter, leaders):
            places = [*self._holding(leader[1])]
            if places:
                others = sorted({type(o).__name__ for o, _ in places[1:]})
                if others:
                    self._ambiguous[leader[0]] = (type(places[0][0]).__name__, others)
                return leader, *places[0]
        if leaders:
            return None
        if len(self._optimizers) == 1 and len(self._optimizers[0].param_groups) == 1:
            return None, self._optimizers[0], self._optimizers[0].param_groups[0]
        kinds = ", ".join(
            f"{type(o).__name__} with {len(o.param_groups)} groups" for o in self._optimizers
        )
        raise RefusalError(
            f"it is not clear which group {name!r} belongs to: there is no layer before it, and "
            f"there are {kinds}",
            nodes=[name],
            suggestions=["at= a module behind the first layer", "an optimizer with one group"],
        )

    def _holding(self, leader: nn.Parameter) -> Iterator[tuple[Optimizer, dict[str, Any]]]:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                if any(p is leader for p in group["params"]):
                    yield optimizer, group


def _same_part(leaders: Named) -> Named:
    """The leaders in the module that holds the first one's layer."""
    layer = leaders[0][0].rpartition(".")[0] if leaders else ""
    home = f"{layer.rpartition('.')[0]}.".removeprefix(".")
    return [(name, parameter) for name, parameter in leaders if name.startswith(home)]


def _counted(count: int) -> str:
    return f"{count} new parameter{'s are' if count > 1 else ' is'}"


def _by_likeness(name: str, parameter: nn.Parameter, leaders: Named) -> Named:
    """Leaders of the same role in a layer with weights, then of the same role, then the others."""
    layers = {n.rpartition(".")[0] for n, p in leaders if _is_weight(n, p)}

    def unlikeness(leader: tuple[str, nn.Parameter]) -> int:
        if _is_weight(*leader) != _is_weight(name, parameter):
            return 2
        return 0 if leader[0].rpartition(".")[0] in layers else 1

    return sorted(leaders, key=unlikeness)


def _is_weight(name: str, parameter: nn.Parameter) -> bool:
    """Whether it is a matrix or a kernel; a bias or a scale per channel, `(C, 1, 1)`, is not."""
    is_long = math.prod(parameter.shape[1:]) > 1
    return parameter.dim() > 1 and (is_long or name.rpartition(".")[2] == "weight")


def _renamed(name: str, leader: tuple[str, nn.Parameter] | None, group: Mapping[str, Any]) -> str:
    """The name that goes into `param_names`, whose names may start at another module than ours."""
    if leader is None:
        return name
    full, parameter = leader
    known = next(
        n for n, p in zip(group["param_names"], group["params"], strict=True) if p is parameter
    )
    if full.endswith(f".{known}") and name.startswith(full.removesuffix(known)):
        return name.removeprefix(full.removesuffix(known))
    return f"{known.removesuffix(full)}{name}" if known.endswith(f".{full}") else name


def fresh_state(
    optimizer: Optimizer, group: Mapping[str, Any], parameter: nn.Parameter
) -> dict[str, Any] | None:
    """The state that a new optimizer gives a parameter, None where that waits for a step.

    Args:
        optimizer: One that may have state for others already.
        group: The group that the parameter is in.
        parameter: The parameter.

    Raises:
        ValueError: The optimizer does not take it.
        RuntimeError: The optimizer does not take it.
    """
    options = {k: v for k, v in group.items() if k not in ("params", "param_names")}
    try:
        build: Any = type(optimizer)
        # Adagrad fills its sums with what its constructor is given, whatever a group says.
        given = {key: options[key] for key in _FOR_THE_CONSTRUCTOR if key in options}
        probe = build([{**options, "params": [parameter]}], **given)
    except (ValueError, RuntimeError):
        raise
    except Exception:  # its constructor wants something else than groups
        return None
    state = dict(probe.state[parameter]) if parameter in probe.state else None
    return _fused_momentum(optimizer, group, parameter) if state is None else state


def _state_to_join(
    optimizer: Optimizer, group: Mapping[str, Any], parameter: nn.Parameter
) -> dict[str, Any] | None:
    """The state with which a new parameter joins a group.

    Raises:
        RefusalError: The optimizer does not take it.
    """
    name, shape = type(optimizer).__name__, tuple(parameter.shape)
    suggestions = ["another optimizer for this part of the model", "a new optimizer after growing"]
    for kind, why in _CANNOT_TAKE.items():
        if isinstance(optimizer, kind):
            raise RefusalError(
                f"{name} {why}, so it can't take a new parameter", suggestions=suggestions
            )
    own = own_list(optimizer)
    if own:
        raise RefusalError(
            f"{name} keeps parameters in a list of its own, {own!r}, where a new one would be "
            "missing",
            suggestions=["an optimizer that reads its param_groups", suggestions[1]],
        )
    try:
        return fresh_state(optimizer, group, parameter)
    except (ValueError, RuntimeError) as error:
        raise RefusalError(
            f"{name} does not take a new parameter of shape {shape}: {error}",
            suggestions=suggestions,
        ) from error


def own_list(optimizer: Optimizer) -> str:
    """The attribute that lists parameters which the groups hold, or "" for none."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    for name, value in vars(optimizer).items():
        listed = value.values() if isinstance(value, dict) else value
        is_list = isinstance(value, list | tuple | set | dict)
        if is_list and any(id(each) in held for each in listed):
            return name
    return ""


def _fused_momentum(
    optimizer: Optimizer, group: Mapping[str, Any], parameter: nn.Parameter
) -> dict[str, Any] | None:
    """Fused SGD fails where only some parameters have momentum yet; a zero one is a fresh one."""
    is_fused = isinstance(optimizer, torch.optim.SGD) and group.get("fused")
    buffers = (optimizer.state.get(p, {}).get("momentum_buffer") for p in group["params"])
    if is_fused and any(buffer is not None for buffer in buffers):
        return {"momentum_buffer": torch.zeros_like(parameter)}
    return None
