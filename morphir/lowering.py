"""Lowers modules whose code writes sizes as numbers: these become attributes, which can follow.

LOWER-1   every number that a recorded call needs for an axis, and that was written in the code
          of a module, is an attribute of the lowered module; modules, parameters and buffers
          have the names they had, and modules that write no such number are of their class
LOWER-2   every graph that was traced is PROVED to compute what the module computes, in both
          modes, before its numbers become attributes; the model is as it was
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import fx, nn

from morphir.axes import Flow
from morphir.cloning import replica
from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.frontend.code import ARITHMETIC, Number, map_arguments, trace_code
from morphir.frontend.inputs import Arguments
from morphir.frontend.isolation import Scratch
from morphir.ir import Argument, Arithmetic, Grade, Program
from morphir.ops import DEFAULT_TABLE
from morphir.ops.paths import Path, read_path
from morphir.randomness import forked_random_state
from morphir.verify import verify

_HOLDS: Final = (Grade.PROVED, Grade.TESTED)
_FOUND: Final = "sizes are written as numbers there"
_INSTEAD: Final = "read them from shapes or from attributes of the module"

Places = set[tuple[str, Path]]  # ops, and places in their arguments


def lower(model: nn.Module, *, example_inputs: Any = None) -> nn.Module:
    """Makes numbers that are written in a model's code able to follow a change of sizes.

    A pass refuses where `x.view(b, 4, 16)` would have to become `x.view(b, 6, 16)`: it changes
    attributes, never code. Here every module whose forward writes such sizes is traced by torch.fx
    and becomes a `torch.fx.GraphModule`, in which they are attributes (`self.view_shape_1`). It has
    the forward of its class, its modules, parameters and buffers, and nothing else: no other
    methods, no class of its own. Other modules, the model's own class among them, stay.

    The parameters are the model's own, so that an optimizer over the model is one over the lowered
    model; everything else is copied. `transform` copies parameters as well, but with `inplace=True`
    those of the model change, too, and then only the lowered model runs. To load a file,
    `morphir.load(path, lambda: morphir.lower(make(), example_inputs=...))`.

    Args:
        model: Any module with a `forward`.
        example_inputs: As for `transform`.

    Returns:
        The lowered model, itself a `torch.fx.GraphModule` where its own forward writes sizes.

    Raises:
        RefusalError: torch.fx cannot trace a module that writes sizes, or what it traced is not
            proved to be the same; nothing changed.

    Example:
        >>> import torch, morphir
        >>> class Net(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.up, self.down = torch.nn.Linear(8, 64), torch.nn.Linear(64, 2)
        ...
        ...     def forward(self, x):
        ...         heads = self.up(x).view(x.shape[0], 4, 16).tanh()
        ...         return self.down(heads.flatten(1))
        >>> lowered = morphir.lower(Net(), example_inputs=(torch.randn(3, 8),))
        >>> lowered.view_shape_1, lowered.view_shape_2
        (4, 16)
    """
    recorded = record(model, example_inputs=example_inputs)
    if not recorded.inputs:
        raise RefusalError(
            "there are no example inputs, and without shapes no number is known to be a size",
            suggestions=["example_inputs=(x,) with tensors that it takes"],
        )
    written = _written_by_module(recorded.program)
    calls = _calls(model, [*written], recorded.inputs["forward"])
    originals = dict(model.named_modules())
    lowered = replica(model)
    parts, traced = dict(lowered.named_modules()), dict(Scratch(model).module.named_modules())
    for name in sorted(calls, key=len):  # what is around others first: it is checked with these
        as_graph = _as_graph(name, traced[name], parts[name], calls[name])
        _check(name, originals[name], as_graph, calls[name])
        _read_sizes(as_graph, written[name])
        lowered = _replaced(lowered, parts[name], as_graph)
    try:
        record(lowered, example_inputs=dict(recorded.inputs))
    except RefusalError as refusal:
        raise RefusalError(
            f"the lowered model does not run where the model does: {refusal.reason}",
            nodes=[*map(_where, calls)],
            suggestions=[_INSTEAD],
        ) from refusal
    return lowered


def _written_by_module(program: Program) -> dict[str, Places]:
    """Where the numbers stand that calls need for an axis and that the code of a module writes."""
    found: dict[str, Places] = {}
    for step in Flow(program).steps:
        for rule in () if step.bound is None else step.bound.layout.sizes:
            try:
                number = read_path(step.node.arguments, rule.path)
            except (KeyError, IndexError):
                continue  # a default, which nobody wrote
            if _is_written(number):
                found.setdefault(step.place.module, set()).add((step.node.op, rule.path))
    return found


def _is_written(number: Argument) -> bool:
    if isinstance(number, Arithmetic):
        return _is_written(number.left) or _is_written(number.right)
    return type(number) is int and number > 0


def _calls(model: nn.Module, names: Sequence[str], inputs: Arguments) -> dict[str, Arguments]:
    """The arguments that modules, those of torch left out, are first called with."""
    found: dict[str, Arguments] = {}
    runner = replica(model).eval()
    for name in names:
        part = runner.get_submodule(name)
        if isinstance(part, fx.GraphModule) or not type(part).__module__.startswith("torch."):

            def note(_: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                found.setdefault(name, (args, kwargs))

            part.register_forward_pre_hook(note, with_kwargs=True)
    args, kwargs = copy.deepcopy(inputs)
    with torch.no_grad(), forked_random_state(0):
        runner(*args, **kwargs)
    return found


def _as_graph(name: str, traced: nn.Module, part: nn.Module, call: Arguments) -> fx.GraphModule:
    """The graph module that does what a module does.

    Args:
        name: The qualified name of the module.
        traced: A copy of it with tagged numbers, which is used up.
        part: Another one, whose modules and tensors the graph module takes.
        call: The arguments that it is called with.
    """
    try:
        graph = trace_code(name, traced, call)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise RefusalError(
            f"{_FOUND}, and torch.fx cannot trace the code that does it: {reason}",
            nodes=[_where(name)],
            suggestions=[_INSTEAD],
        ) from error
    for node in graph.find_nodes(op="get_attr"):
        target = str(node.target)
        if target.startswith("_tensor_constant"):  # what the code makes of numbers alone
            setattr(part, target, getattr(traced, target))
    return fx.GraphModule(part, graph)


def _read_sizes(module: fx.GraphModule, places: Places) -> None:
    """Makes attributes of the numbers that stand at some places of a graph."""
    names: dict[int, str] = {}
    for node in module.graph.nodes:
        for size, name in _sizes(node, places):
            names.setdefault(id(size), _free_name(module, name))

    def read(argument: Any) -> Any:
        if id(argument) not in names:
            return int(argument) if isinstance(argument, Number) else argument
        setattr(module, names[id(argument)], int(argument))
        return module.graph.create_node("get_attr", names[id(argument)])

    map_arguments(module.graph, read)
    module.recompile()


def _sizes(node: fx.Node, places: Places) -> Iterator[tuple[Number, str]]:
    """The numbers in a traced call that stand where sizes do, with names for them."""
    if node.op not in ("call_function", "call_method"):
        return
    function: Any = node.target
    if node.op == "call_method":
        function = getattr(torch.Tensor, str(node.target), None)
    bound = DEFAULT_TABLE.bind(function, node.args, node.kwargs)
    for op, path in places:
        if bound is not None and bound[0].name == op:
            yield from _numbers_in(_at(bound[1], path), "_".join(map(str, (node.name, *path))))


def _at(arguments: Mapping[str, Any], path: Path) -> Any:
    """What stands at a place, or the node that computes what stands around it."""
    found: Any = arguments
    for step in path:
        if isinstance(found, fx.Node):
            break
        try:
            found = getattr(found, str(step)) if isinstance(found, slice) else found[step]
        except LookupError:  # left out, or within what one node computes, as all sizes of a view
            return found[0] if isinstance(found, tuple) and len(found) == 1 else None
    return found


def _numbers_in(found: Any, label: str) -> Iterator[tuple[Number, str]]:
    if isinstance(found, Number) and found > 0:
        yield found, label
    elif isinstance(found, tuple):
        for index, part in enumerate(found):
            yield from _numbers_in(part, f"{label}_{index}")
    elif isinstance(found, fx.Node) and found.target in ARITHMETIC.values():
        for side, part in zip(("left", "right"), found.args, strict=True):
            yield from _numbers_in(part, f"{found.name}_{side}")


def _free_name(module: nn.Module, name: str) -> str:
    while hasattr(module, name):
        name += "_"
    return name


def _replaced(model: nn.Module, part: nn.Module, lowered: nn.Module) -> nn.Module:
    """The model with another module in place of a part; the other itself where that was all."""
    for module in model.modules():
        for key, child in module._modules.items():
            if child is part:
                module._modules[key] = lowered
    return lowered if part is model else model


def _check(name: str, module: nn.Module, lowered: fx.GraphModule, call: Arguments) -> None:
    """Refuses what is not proved to be the same, or would lose something."""
    hooks = [key for key, value in vars(module).items() if key.endswith("_hooks") and value]
    lost = [*hooks, *sorted(_names(module) ^ _names(lowered))]
    if lost:
        raise RefusalError(
            f"{_FOUND}, and when it is lowered it would not have the same {', '.join(lost)}",
            nodes=[_where(name)],
            suggestions=[_INSTEAD, "hooks are registered after lowering"] if hooks else [_INSTEAD],
        )
    report = verify(module, lowered, example_inputs={"forward": call})
    if report.grade is not Grade.PROVED:
        found = (
            f"{check.name}: {check.grade.name}, {check.summary}"
            for check in report.checks
            if check.grade not in _HOLDS
        )
        raise RefusalError(
            f"{_FOUND}, and what torch.fx made of it is not proved to be the same in both modes",
            nodes=[_where(name), *found],
            suggestions=[_INSTEAD],
        )


def _where(name: str) -> str:
    return name or "the model itself"


def _names(module: nn.Module) -> set[str]:
    modules = {name for name, _ in module.named_modules(remove_duplicate=False)}
    return modules | {*module.state_dict()}
