"""Symbolic torch.fx, for models whose inputs are unknown, with its known silent mistakes refused.

    FRONT-4   a symbolic trace is believed only if the root has no hooks, what it changes in place
              is nobody else's memory, no random numbers were drawn and no attribute was changed
              while tracing, every optional argument has its default, no size is read, no value
              leaves torch and no method asks for types

Values have no types here. Traced through `torch.nn`'s own forwards, so the graph is on the
functional level of a recording.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any, Final, NoReturn, final

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.modules import module as nn_module

from morphir.errors import RefusalError
from morphir.frontend.arguments import context_of
from morphir.frontend.effects import Effects
from morphir.frontend.entry import EntryPoint
from morphir.frontend.isolation import Scratch
from morphir.frontend.recording import Event, Recording
from morphir.frontend.surface import COUNTS, EXPOSES_MEMORY, METADATA, SHAPES
from morphir.frontend.witness import Witness
from morphir.ir import Mode, TensorType
from morphir.randomness import forked_random_state, host_has_drawn

_T = torch.Tensor
_OPERATORS: Final[Mapping[Any, Any]] = {
    getattr(operator, name): getattr(_T, method)
    for name, method in {
        "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "neg": "neg", "pow": "pow",
        "matmul": "matmul", "gt": "gt", "lt": "lt", "ge": "ge", "le": "le", "eq": "eq", "ne": "ne",
        "getitem": "__getitem__", "floordiv": "floor_divide", "mod": "remainder",
    }.items()
}  # fmt: skip
_READS_NO_ELEMENTS: Final = METADATA | SHAPES | COUNTS | {getattr, _T.dim, len}
_ASKS: Final = {"isinstance", "type"}
_LEAVES_TORCH: Final = EXPOSES_MEMORY | {_T.item, _T.tolist}
# Their results are memory of their own, so changing one in place changes nothing else.
_FRESH: Final = frozenset(
    {
        F.linear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d,
        F.conv_transpose3d, F.batch_norm, F.layer_norm, F.group_norm, F.instance_norm, F.embedding,
        F.relu, F.gelu, F.silu, F.elu, F.leaky_relu, F.max_pool2d, F.avg_pool2d, torch.cat,
        torch.add, torch.sub, torch.mul, torch.matmul, torch.relu, torch.tanh, torch.sigmoid,
        _T.add, _T.sub, _T.mul, _T.div, _T.matmul, _T.clone, _T.relu, _T.tanh, _T.sigmoid,
    }
)  # fmt: skip
_RANDOM: Final = frozenset(
    {
        "gumbel_softmax", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout",
        "fractional_max_pool2d", "fractional_max_pool3d", "multi_head_attention_forward",
    }
)  # fmt: skip


class _UnsafeError(Exception):
    """Why a model is not traced this way."""


@final
class _Tracer(fx.Tracer):
    """Traces through every module and keeps the calls and nodes in order."""

    proxy_buffer_attributes = True  # else what a model does with a buffer runs now, unseen

    def __init__(self, method: str) -> None:
        super().__init__()
        self.traced_func_name = method
        self.events: list[Event] = []

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return False

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        name = self.path_of_module(m)
        self.events.append(Event("enter", name))
        result = super().call_module(m, forward, args, kwargs)
        self.events.append(Event("exit", name, results=tuple(_nodes_in(result))))
        return result

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)
        if kind == "call_method":
            node.op, node.target = "call_function", getattr(_T, str(target))
        if node.op == "call_function":
            node.target = _OPERATORS.get(node.target, node.target)
            function: Any = node.target
            in_place = _changes_first_operand(function, node.kwargs)
            node.meta.update(
                outputs=(node,),
                writes=(),
                in_place=in_place,
                random=_may_draw(node),
                source="",
                context=context_of(()),
            )
            self.events.append(Event("node", node=node))
        return node


def trace_symbolically(model: nn.Module, entry: EntryPoint, mode: Mode) -> Recording:
    """Traces one entry point without running it.

    Raises:
        RefusalError: The model cannot be traced this way, or the trace could be silently wrong.
    """
    try:
        return _trace(model, entry, mode)
    except _UnsafeError as why:
        raise RefusalError(
            f"there are no example inputs for {entry.name!r}, and {why}",
            suggestions=[f"{entry.usage} with tensors that it takes"],
        ) from why.__cause__


def _trace(model: nn.Module, entry: EntryPoint, mode: Mode) -> Recording:
    if entry.owner:
        _refuse("a part of a model must be recorded")
    if mode == "train":
        _refuse("what is random in train mode can only be seen in a real call")
    hooks = (model._forward_hooks, model._forward_pre_hooks)
    if any(hooks) or nn_module._global_forward_hooks or nn_module._global_forward_pre_hooks:
        _refuse("the model has hooks on its root, which symbolic tracing would drop")
    asking = next(_asking(model), None)
    if asking is not None:
        _refuse(f"{asking} asks for types, which a traced value answers wrongly")
    scratch = Scratch(model)
    module = scratch.module.eval()
    effects = Effects(scratch)
    for part in module.modules():
        if hasattr(part, "_check_input_dim"):  # asks a proxy for its rank
            vars(part)["_check_input_dim"] = lambda input: None
    parameters = entry.signature.parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    tracer = _Tracer(entry.method)
    with forked_random_state(0):
        before = torch.default_generator.get_state()
        try:
            with torch.no_grad(), Witness({}, everything=True):
                graph = tracer.trace(module, concrete_args=defaults)
        except Exception as error:
            _refuse(f"it cannot be traced without them ({type(error).__name__}: {error})", error)
        has_drawn = not torch.equal(before, torch.default_generator.get_state())
        has_drawn = has_drawn or host_has_drawn(0)
    if has_drawn:
        _refuse("the model draws random numbers that symbolic tracing would freeze")
    _check_effects(effects, module)
    optional = {node for node in graph.nodes if _is_optional(node, defaults)}
    events = [*_without_assertions(tracer.events, optional)]
    _check_nodes([event.node for event in events if event.node is not None])
    return _as_recording(scratch, graph, events, optional)


def _asking(model: nn.Module) -> Iterator[str]:
    """The functions of the model's own classes that may ask whether a value is a tensor."""
    for module in model.modules():
        kinds = [k for k in type(module).__mro__ if not k.__module__.startswith("torch.")]
        for holder in (module, *kinds):
            for name, member in vars(holder).items():
                code = getattr(member, "__code__", None)
                if code is not None and name != "__init__" and _ASKS & {*_names(code)}:
                    yield f"{type(module).__name__}.{name}"


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _check_effects(effects: Effects, module: nn.Module) -> None:
    effects.check_parameters()
    effects.check_modules()
    effects.check_shared()
    kept = [
        f"{name}.{key}".removeprefix(".")
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if any(True for _ in _nodes_in(value))
    ]
    replaced = [name for name, _ in effects.replaced_buffers()]
    changed = [*kept, *replaced, *effects.changed_attributes()]
    if changed:
        _refuse(f"the model changes self.{changed[0]}, which symbolic tracing does not follow")


def _is_optional(node: fx.Node, defaults: Mapping[str, Any]) -> bool:
    """Whether a node is the placeholder of an argument that has its default, called `mask_1`."""
    name, _, number = str(node.target).rpartition("_")
    return node.op == "placeholder" and name in defaults and number.isdigit()


def _without_assertions(events: list[Event], optional: set[fx.Node]) -> Iterator[Event]:
    """Leaves out the checks that fx adds for optional arguments."""
    for event in events:
        is_check = event.node is not None and (
            "_assert" in getattr(event.node.target, "__name__", "")
            or any(node in optional for node in event.node.all_input_nodes)
        )
        if not is_check:
            yield event


def _check_nodes(nodes: list[fx.Node]) -> None:
    order = {node: index for index, node in enumerate(nodes)}
    for node in nodes:
        if node.target in _READS_NO_ELEMENTS:
            _refuse("the model reads a size or a type, which symbolic tracing does not know")
        if node.target in _LEAVES_TORCH:
            _refuse("values leave torch, and what Python does with them is not followed")
        if any(
            n.op == "placeholder" and str(n.target).startswith("*") for n in node.all_input_nodes
        ):
            _refuse("the model takes any number of arguments")
        if node.meta["in_place"]:
            _check_in_place(node, order)


def _check_in_place(node: fx.Node, order: Mapping[fx.Node, int]) -> None:
    """What is changed in place must be fresh memory that nobody reads again and nobody views."""
    changed = node.args[0] if node.args else None
    if not isinstance(changed, fx.Node) or changed.target not in _FRESH:
        _refuse(f"{node.name} changes in place what may be somebody else's memory")
    others = [user for user in changed.users if user is not node]
    if any(order.get(user, len(order)) > order[node] for user in others):
        _refuse(f"a value that {node.name} changes in place is read again afterwards")
    if any(user.target not in _FRESH for user in others):
        _refuse(f"a value that {node.name} changes in place may have a view")


def _changes_first_operand(function: Callable[..., Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether the name of a torch function says that it works in place."""
    name = getattr(function, "__name__", "")
    if name.startswith("__"):
        return name == "__setitem__" or (name[2:3] == "i" and hasattr(operator, name.strip("_")))
    return name.endswith("_") or kwargs.get("inplace") is True or "out" in kwargs


def _may_draw(node: fx.Node) -> bool:
    """Whether a call may draw random numbers; only a switched-off `training` rules it out."""
    name = getattr(node.target, "__name__", "").removesuffix("_")
    packet = getattr(torch.ops.aten, name, None)
    tags = (getattr(packet, overload).tags for overload in packet.overloads()) if packet else ()
    if name not in _RANDOM and not any(torch.Tag.nondeterministic_seeded in t for t in tags):
        return False
    try:
        bound = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # built in, without a signature
        return bool(node.kwargs.get("dropout_p", 1.0) != 0.0)
    bound.apply_defaults()
    return bool(bound.arguments.get("training", True))


def _as_recording(
    scratch: Scratch, graph: fx.Graph, events: list[Event], optional: set[fx.Node]
) -> Recording:
    tensors: dict[str, _T] = {}
    constants: list[str] = []
    inputs: list[tuple[str, fx.Node]] = []
    outputs: tuple[fx.Node, ...] = ()
    for node in graph.nodes:
        if node.op == "get_attr":
            owner, _, leaf = str(node.target).rpartition(".")
            tensor = getattr(scratch.module.get_submodule(owner), leaf)
            name = scratch.names.get(id(tensor))
            constants += [str(node.target)] if name is None else []
            node.target = name or str(node.target)
            tensors[node.target] = scratch.originals.get(id(tensor), tensor)
            node.meta["type"] = TensorType.of(tensor)
        elif node.op == "placeholder" and node not in optional and "*" not in str(node.target):
            inputs.append((str(node.target), node))
        elif node.op == "output":
            outputs = tuple(_nodes_in(node.args[0]))
    returned = tuple(
        (f"[{i}]" if len(outputs) > 1 else "", node, _T()) for i, node in enumerate(outputs)
    )
    names = tuple(dict.fromkeys(constants))
    return Recording(graph, tuple(events), tuple(inputs), returned, tensors, names)


def _nodes_in(value: Any) -> Iterator[fx.Node]:
    """The nodes in what a symbolic call returned, as proxies or already as nodes."""
    if isinstance(value, fx.Proxy):
        yield value.node
    elif isinstance(value, fx.Node):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _nodes_in(part)
    elif isinstance(value, dict):
        yield from _nodes_in(tuple(value.values()))


def _refuse(reason: str, error: Exception | None = None) -> NoReturn:
    raise _UnsafeError(reason) from error
