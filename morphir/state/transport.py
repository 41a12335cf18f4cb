"""The state of optimizers when parameters change their shape.

    STATE-11  every number of an optimizer's state is transported as what it is: a gradient, its
              square or size, an update or the size of one, a value, or a scalar that is kept
    STATE-12  what is not declared is refused by name, never reset
    STATE-13  `undo` puts back the very tensors that were there
    STATE-19  where a number begins or ceases to be in use, what an optimizer keeps of it is what a
              fresh one would

What is what stands in a table for each optimizer of torch. A subclass has what its base has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, final, get_args

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.backend.scaling import ScaledKind, pulled_back, scaled
from morphir.backend.splitting import merged, split
from morphir.errors import RefusalError
from morphir.ir import FREE, ZERO, Resize, TensorChange
from morphir.state.forgotten import check_none_forgotten
from morphir.state.optimizer import fresh_state

StateKind = ScaledKind | Literal["value", "scalar"]
StateRules = Mapping[type[Optimizer], Mapping[str, StateKind]]
STATE_KINDS: Final[tuple[str, ...]] = (*get_args(ScaledKind), "value", "scalar")

_ADAM: Final[Mapping[str, StateKind]] = {
    "step": "scalar",
    "exp_avg": "gradient",
    "exp_avg_sq": "squared",
    "max_exp_avg_sq": "squared",
}
_RULES: Final[StateRules] = {
    torch.optim.Adadelta: {
        "step": "scalar",
        "square_avg": "squared",
        "acc_delta": "update_size",
    },
    torch.optim.Adagrad: {"step": "scalar", "sum": "squared"},
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.Adamax: {"step": "scalar", "exp_avg": "gradient", "exp_inf": "magnitude"},
    torch.optim.ASGD: {"step": "scalar", "eta": "scalar", "mu": "scalar", "ax": "value"},
    torch.optim.NAdam: {**_ADAM, "mu_product": "scalar"},
    torch.optim.RAdam: _ADAM,
    torch.optim.RMSprop: {
        "step": "scalar",
        "square_avg": "squared",
        "grad_avg": "gradient",
        "momentum_buffer": "update",
    },
    torch.optim.Rprop: {"step": "scalar", "prev": "gradient", "step_size": "update_size"},
    torch.optim.SGD: {"momentum_buffer": "gradient"},
}
# The option of the group that says what a fresh optimizer starts with, where that is not 0.
_STARTS_AT: Final[Mapping[tuple[type[Optimizer], str], str]] = {
    (torch.optim.Adagrad, "sum"): "initial_accumulator_value",
    (torch.optim.Rprop, "step_size"): "lr",
}

_INSTEAD: Final = (
    "another optimizer for this part of the model",
    "a new optimizer after the change",
)


@final
class Transport:
    """Carries the state of resized parameters over; `undo` brings it back."""

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        model: nn.Module,
        rules: StateRules | None = None,
    ) -> None:
        """Says over what, and by which rules beyond those of torch's own optimizers.

        Args:
            optimizers: All optimizers that hold parameters of the model.
            model: Whose parameters change.
            rules: Optimizer class to the kind of each entry of its state. They come before the
                rules for torch's own.

        Raises:
            RefusalError: A rule is for no optimizer, or of no kind.
        """
        self._optimizers, self._model = optimizers, model
        _check_rules({} if rules is None else rules)
        self._rules = {**_RULES, **(rules or {})}
        self._old: list[tuple[dict[str, Any], str, Any]] = []
        self._restarted: list[tuple[Optimizer, torch.Tensor, dict[str, Any]]] = []

    def check(self, edit: Resize) -> None:
        """Refuses before anything changes.

        Raises:
            RefusalError: An optimizer holds a parameter that changes, and what its state means for
                that is not known (STATE-12), or it was not given (STATE-17).
        """
        parameters = dict(self._model.named_parameters(remove_duplicate=False))
        changed = [parameters[name] for name in edit.tensors if name in parameters]
        check_none_forgotten(self._optimizers, changed, edit.at)
        self.check_state(edit)

    def check_state(self, edit: Resize) -> None:
        """Refuses state of the optimizers that were given.

        Raises:
            RefusalError: What it means for a parameter that changes is not known (STATE-12).
        """
        for _ in self._entries(edit):
            pass

    def apply(self, edit: Resize) -> None:
        """Carries over what belongs to the parameters of an edit that the model has by now.

        Raises:
            RefusalError: What the state of an optimizer means is not known; nothing has changed.
        """
        for state, entry, parameter, change, kind, start in [*self._entries(edit)]:
            old = state[entry]
            new = (
                _merged(old, change, kind, start)
                if edit.inverse
                else _transported(old, parameter, change, kind, start)
            )
            self._old.append((state, entry, old))
            state[entry] = new

    def forget(self, changed: Mapping[str, torch.Tensor], restarted: Collection[str] = ()) -> None:
        """Starts what is kept of some numbers of parameters anew (STATE-19).

        Args:
            changed: Parameter to where its numbers are others now, or are in use or not.
            restarted: The parameters of which all that is kept goes, steps and all.

        Raises:
            RefusalError: What the state of an optimizer means is not known.
        """
        shapes = {n: tuple(places.shape) for n, places in changed.items() if n not in restarted}
        for state, entry, parameter, name, kind, start in [*self._kept(shapes)]:
            old = state[entry]
            begin = parameter.detach().to(old) if kind == "value" else old.new_tensor(start)
            self._old.append((state, entry, old))
            state[entry] = torch.where(changed[name], begin, old)
        for name in restarted:
            parameter = self._model.get_parameter(name)
            for optimizer, group in self._holding(parameter):
                _check_history(optimizer, name)
                if optimizer.state.get(parameter):
                    self._restarted.append((optimizer, parameter, optimizer.state[parameter]))
                    optimizer.state[parameter] = _begun(optimizer, group, parameter)

    def undo(self) -> None:
        """Puts back what `apply` and `forget` replaced (STATE-13)."""
        while self._restarted:
            optimizer, parameter, state = self._restarted.pop()
            optimizer.state[parameter] = state
        while self._old:
            state, entry, old = self._old.pop()
            state[entry] = old

    def _entries(
        self, edit: Resize
    ) -> Iterator[tuple[dict[str, Any], str, torch.Tensor, TensorChange, StateKind, float]]:
        """What is to be carried: state, entry, parameter, its change, the kind, its start."""
        shapes = {name: edit.old_shape(name) for name in edit.tensors}
        for state, entry, parameter, name, kind, start in self._kept(shapes):
            yield state, entry, parameter, edit.tensors[name], kind, start

    def _kept(
        self, shapes: Mapping[str, tuple[int, ...]]
    ) -> Iterator[tuple[dict[str, Any], str, torch.Tensor, str, StateKind, float]]:
        """What is kept of parameters: state, entry, parameter, its name, the kind, its start."""
        parameters = dict(self._model.named_parameters(remove_duplicate=False))
        for name, shape in shapes.items():
            parameter = parameters.get(name)
            if parameter is None:  # a buffer
                continue
            for optimizer, group in self._holding(parameter):
                _check_history(optimizer, name)
                base = self._rule_of(optimizer, name)
                state = optimizer.state.get(parameter, {})
                for entry, value in state.items():
                    kind = self._kind(optimizer, base, entry)
                    if kind == "scalar" or value is None:
                        continue
                    _check_shape(optimizer, entry, value, name, shape)
                    _check_dtype(optimizer, entry, value, name, kind)
                    option = _STARTS_AT.get((base, entry))
                    start = 0.0 if option is None else float(group[option])
                    yield state, entry, parameter, name, kind, start

    def _holding(self, parameter: torch.Tensor) -> Iterator[tuple[Optimizer, dict[str, Any]]]:
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                if any(each is parameter for each in group["params"]):
                    yield optimizer, group

    def _rule_of(self, optimizer: Optimizer, name: str) -> type[Optimizer]:
        for kind in type(optimizer).__mro__:
            if kind in self._rules:
                return kind
        found = type(optimizer).__name__
        raise RefusalError(
            f"how the state of {found} follows a parameter that changes its shape is not known",
            nodes=[name],
            suggestions=[
                *[
                    f"state_rules={{{found}: {{<entry>: <kind>, ...}}}} with kinds out of "
                    f"{', '.join(STATE_KINDS)}; {{{found}: {{}}}} if it keeps no state"
                ]
                * _is_by_element(optimizer),
                *_INSTEAD,
            ],
        )

    def _kind(self, optimizer: Optimizer, base: type[Optimizer], entry: str) -> StateKind:
        kind = self._rules[base].get(entry)
        if kind is None:
            found = type(optimizer).__name__
            known = {**self._rules[base], entry: "<kind>"}
            raise RefusalError(
                f"{found} keeps {entry!r}, and what that is of a parameter is not known",
                suggestions=[f"state_rules={{{found}: {known}}}, <kind> out of {STATE_KINDS}"],
            )
        return kind


def _transported(
    old: torch.Tensor,
    parameter: torch.Tensor,
    change: TensorChange,
    kind: StateKind,
    start: float,
) -> torch.Tensor:
    if kind == "scalar":
        return old
    with torch.no_grad():
        if kind != "value":
            return scaled(old, change, kind, start)
        new, _ = split(old, change)
        # An average of the parameter starts where the parameter does.
        for axis, each in enumerate(change):
            source = torch.from_numpy(each.relation.source)
            free = (source == FREE).nonzero().flatten().to(new.device)
            new.index_copy_(axis, free, parameter.detach().index_select(axis, free).to(new))
            zero = (source == ZERO).nonzero().flatten().to(new.device)
            new.index_fill_(axis, zero, 0)
        return new


def _merged(old: torch.Tensor, change: TensorChange, kind: StateKind, start: float) -> torch.Tensor:
    if kind == "scalar":
        return old
    with torch.no_grad():
        if kind == "value":
            return merged(old, change).to(old.dtype)
        return pulled_back(old, change, kind, start)


def _begun(
    optimizer: Optimizer, group: Mapping[str, Any], parameter: nn.Parameter
) -> dict[str, Any]:
    """What a fresh optimizer keeps of a parameter; most wait for a step."""
    try:
        return fresh_state(optimizer, group, parameter) or {}
    except (ValueError, RuntimeError):  # it is of a class that is made in another way
        return {}


def _check_rules(rules: Any) -> None:
    if not isinstance(rules, Mapping):
        raise _no_rules(rules)
    for kind, entries in rules.items():
        _check_rule(kind, entries)


def _no_rules(found: Any) -> RefusalError:
    return RefusalError(
        f"state_rules= maps classes of optimizers to what the entries of their state are, found "
        f"{found!r}",
        suggestions=['state_rules={MyOptimizer: {"momentum": "gradient"}}'],
    )


def _check_rule(kind: Any, entries: Any) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Optimizer)):
        raise _no_rules(kind)
    if not isinstance(entries, Mapping):
        raise _no_rules(entries)
    for entry, each in entries.items():
        if each not in STATE_KINDS:
            raise RefusalError(
                f"state_rules= says that {entry!r} of {kind.__name__} is {each!r}",
                suggestions=[f"a kind out of {', '.join(STATE_KINDS)}"],
            )


def _is_by_element(optimizer: Optimizer) -> bool:
    """Whether all that is kept of a parameter has a number for each of its own, or is a number."""
    return all(
        value.numel() == 1 or value.shape == parameter.shape
        for parameter, state in optimizer.state.items()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )


def _check_history(optimizer: Optimizer, name: str) -> None:
    """Refuses what is kept with the first parameter and is of all of them."""
    if isinstance(optimizer, torch.optim.LBFGS) and optimizer.state:
        raise RefusalError(
            f"{type(optimizer).__name__} keeps one history of all parameters together, of which no "
            "number is that of a parameter that changes its shape",
            nodes=[name],
            suggestions=_INSTEAD,
        )


def _check_shape(
    optimizer: Optimizer, entry: str, value: Any, name: str, expected: tuple[int, ...]
) -> None:
    found = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
    if found != expected:
        raise RefusalError(
            f"{entry!r} of {type(optimizer).__name__} is {found}, and the parameter {expected}: it "
            "does not have a number for each of the parameter's",
            nodes=[name],
        )


def _check_dtype(
    optimizer: Optimizer, entry: str, value: torch.Tensor, name: str, kind: StateKind
) -> None:
    if kind != "value" and not (value.is_floating_point() or value.is_complex()):
        raise RefusalError(
            f"{entry!r} of {type(optimizer).__name__} is a {value.dtype}, which has no place for "
            f"the fractions of a {kind}",
            nodes=[name],
            suggestions=["'value' or 'scalar' as its kind in state_rules="],
        )
