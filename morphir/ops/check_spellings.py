"""Checks that what torch shows a recording of any spelling means the op: OPS-2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, final

import torch
from torch.overrides import TorchFunctionMode

from morphir.ops.base import Op, Sample, Spelling
from morphir.ops.parameters import MISSING, is_default, parse_parameters
from morphir.ops.paths import tensors_of
from morphir.ops.table import OpTable, in_place_forms
from morphir.ops.verdict import ContractError, close, results_of, same_draws
from morphir.tensors import tensors_in

Written = tuple[list[Any], dict[str, Any]]  # positional arguments and keywords
_NUMBER_FIRST: Final = (torch.pow,)  # with all of Python's `operator`


@final
class _Seen(TorchFunctionMode):
    """Keeps what a recording would be shown."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append((func, tuple(args), dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


def check_spellings(op: Op, samples: Sequence[Sample], table: OpTable) -> None:
    """OPS-2: every spelling, with the arguments of each sample it can express, is recognised."""
    for given in op.spellings:
        spelling = given if isinstance(given, Spelling) else Spelling(given)
        written = [
            (sample, call)
            for sample in samples
            if (call := write(op, spelling, sample)) is not None
        ]
        if not written:
            raise ContractError(op, {}, f"no sample can be written as {spelling.function}")
        for sample, call in written:
            _check_call(op, spelling.function, sample, call, table)
            for function in in_place_forms(spelling.function):
                _check_in_place(op, function, sample, call, table)


def write(op: Op, spelling: Spelling, sample: Sample) -> Written | None:
    """The arguments with which a spelling makes the call of a sample, or None where it cannot."""
    given = op.complete(sample.arguments)
    parameters = parse_parameters(spelling.parameters or op.parameters)
    defaults = {parameter.name: parameter.default for parameter in op.parameter_list}
    implied = dict(spelling.extra)
    names = [parameter.name for parameter in parameters]
    unspoken = given.keys() - {*names}
    if any(not is_default(given[n], implied.get(n, defaults[n])) for n in unspoken):
        return None
    if spelling.when is not None and not spelling.when({n: given.get(n) for n in names}):
        return None
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    by_keyword = False
    for parameter in parameters:
        value: Any = given.get(parameter.name)
        if parameter.default is MISSING and parameter.ignored:
            value = False
        elif parameter.ignored or is_default(value, parameter.default):
            by_keyword = True
            continue
        by_keyword = by_keyword or parameter.keyword_only
        if by_keyword:
            kwargs[parameter.keyword] = value
        elif parameter.variadic and any(tensors_of(value)):
            args += value  # numbers may come as one tuple, tensors come one by one
        else:
            args.append(value)
        by_keyword = by_keyword or parameter.variadic
    return None if _is_number_misplaced(spelling.function, args) else (args, kwargs)


def _is_number_misplaced(function: Any, args: Sequence[Any]) -> bool:
    """Whether a number would come first where torch wants a tensor."""
    if getattr(function, "__module__", "") == "_operator" or function in _NUMBER_FIRST:
        return False
    return type(args[0]) in (int, float) and bool([*tensors_of([*args])]) if args else False


def _check_call(op: Op, function: Any, sample: Sample, call: Written, table: OpTable) -> None:
    args, kwargs = call
    copies = [a.clone() if isinstance(a, torch.Tensor) else a for a in args]
    same_draws()
    with _Seen() as seen:
        returned = function(*copies, **kwargs)
    # What works in place and returns nothing (`x[0] = 1`) is known by its operand.
    expected = [tensor for _, tensor in tensors_in(returned)] or copies[:1]
    _compare(op, function, sample, seen, expected, table)


def _check_in_place(op: Op, function: Any, sample: Sample, call: Written, table: OpTable) -> None:
    """The in-place form of a spelling binds too; it keeps its operand's shape and dtype."""
    args, kwargs = call
    first = args[0] if args else None
    if not isinstance(first, torch.Tensor):
        return
    results = results_of(op, sample.arguments)
    if results[0].shape != first.shape or results[0].dtype != first.dtype:
        return
    changed = first.clone()
    same_draws()
    try:
        with _Seen() as seen:
            function(changed, *args[1:], **kwargs)
    except TypeError:
        return  # `torch.dropout_` has none of the defaults of `F.dropout`, whose name it shares
    function_seen, seen_args, seen_kwargs = seen.calls[0]
    seen.calls[0] = (function_seen, (first, *seen_args[1:]), seen_kwargs)  # as it was before
    _compare(op, function, sample, seen, results, table)


def _compare(
    op: Op, function: Any, sample: Sample, seen: _Seen, expected: list[torch.Tensor], table: OpTable
) -> None:
    def fail(complaint: str) -> ContractError:
        return ContractError(op, sample.arguments, f"OPS-2: {function} {complaint}")

    if len(seen.calls) != 1:
        raise fail(f"is seen as {len(seen.calls)} calls")
    bound = table.bind(*seen.calls[0])
    if bound is None or bound[0] is not op:
        means = "nothing" if bound is None else bound[0].name
        raise fail(f"is seen as {seen.calls[0][0]}, which means {means}")
    for arguments in (bound[1], op.complete(bound[1])):
        results = results_of(op, arguments)
        if not all(map(close, results, expected)) or len(results) != len(expected):
            raise fail("and the op give different results")
