"""The code of one module as a torch.fx graph, for modules whose code is to be changed.

The modules in it are called, not traced. What symbolic tracing would freeze is read from the module
where that is known: numbers that were computed from attributes are computed in the graph, and
`training` is read. What is frozen without a word is for whoever uses the graph to find.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, final

import torch
from torch import fx, nn

from morphir.cloning import join
from morphir.frontend.inputs import Arguments
from morphir.frontend.sizes import Computed, Expression, ReadAttribute, ReadState, TaggedInt
from morphir.randomness import forked_random_state

ARITHMETIC: Final[Mapping[str, Callable[..., Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}
_KNOWN: Final = (bool, int, float, str, type(None))
# These take no tensor by which torch.fx could see that they are called.
_CREATES: Final = ("arange", "empty", "eye", "full", "ones", "rand", "randn", "zeros")


@final
class Number(int):
    """A number in a traced call: told from its equals by identity."""


@final
class _Tracer(fx.Tracer):
    """Traces what a module itself does; the modules in it are called."""

    proxy_buffer_attributes = True  # else what the code does with a buffer runs now, unseen

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def trace_code(name: str, module: nn.Module, call: Arguments) -> fx.Graph:
    """Traces what a module does when it is called with certain arguments.

    Optional arguments that are no tensors are taken for what they are in this call; the graph
    checks that.

    Args:
        name: Its qualified name in the model whose numbers are tagged.
        module: A copy of it with tagged numbers (`Scratch`), which is used up.
        call: The arguments.

    Returns:
        The graph, in which every whole number is a `Number`.

    Raises:
        Exception: What torch.fx and the code raise where it can't be traced.
    """
    vars(module)["training"] = TaggedInt(0, ReadAttribute(name, "training", 0))
    signature = inspect.signature(module.forward)
    given = signature.bind(*call[0], **call[1]).arguments
    known = {
        parameter.name: given.get(parameter.name, parameter.default)
        for parameter in signature.parameters.values()
        if parameter.default is not inspect.Parameter.empty
    }
    known = {key: each for key, each in known.items() if isinstance(each, _KNOWN)}
    tracer = _Tracer()
    with forked_random_state(0), _creating(tracer), torch.no_grad():
        graph = tracer.trace(module, concrete_args=known)
    for node in graph.find_nodes(op="placeholder"):
        target = str(node.target)
        if target not in signature.parameters:  # torch.fx gives what is known a number
            node.target = target.removesuffix("_1")
    map_arguments(graph, lambda argument: _as_node(argument, name, graph))
    return graph


@contextmanager
def _creating(tracer: fx.Tracer) -> Iterator[None]:
    """Makes the functions that create tensors part of what is traced."""

    def traced(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: tracer.create_proxy("call_function", function, args, kwargs)

    functions = {name: getattr(torch, name) for name in _CREATES}
    try:
        for name, function in functions.items():
            setattr(torch, name, traced(function))
        yield
    finally:
        for name, function in functions.items():
            setattr(torch, name, function)


def map_arguments(graph: fx.Graph, function: Callable[[Any], Any]) -> None:
    """Maps the arguments of every node; new nodes come before it."""
    for node in [*graph.nodes]:
        with graph.inserting_before(node):
            node.args = fx.node.map_aggregate(node.args, function)
            node.kwargs = fx.node.map_aggregate(node.kwargs, function)


def _as_node(argument: Any, name: str, graph: fx.Graph) -> Any:
    """A number that was computed from attributes as nodes that compute it, others told apart."""
    if isinstance(argument, TaggedInt) and _is_inside(argument.expression, name):
        return _compute(argument.expression, name, graph)
    is_number = isinstance(argument, int) and not isinstance(argument, bool)
    return Number(argument) if is_number else argument


def _is_inside(expression: Expression, name: str) -> bool:
    """Whether a module can read all that a number was computed from."""
    match expression:
        case Computed(left=left, right=right):
            return _is_inside(left, name) and _is_inside(right, name)
        case ReadAttribute(module=module, name=attribute):
            return attribute.isidentifier() and f"{module}.".startswith(f"{name}." if name else "")
        case ReadState(name=state):
            return state.startswith(f"{name}." if name else "")
        case _:
            return True


def _compute(expression: Expression, name: str, graph: fx.Graph) -> Any:
    match expression:
        case Computed(op=op, left=left, right=right):
            sides = _compute(left, name, graph), _compute(right, name, graph)
            return graph.call_function(ARITHMETIC[op], sides)
        case ReadAttribute(module=module, name=attribute):
            owner = module.removeprefix(name).removeprefix(".")
            return graph.create_node("get_attr", join(owner, attribute))
        case ReadState(name=state, axis=axis):
            tensor = graph.create_node("get_attr", state.removeprefix(f"{name}."))
            shape = graph.call_function(getattr, (tensor, "shape"))
            return graph.call_function(operator.getitem, (shape, axis))
        case _:
            assert isinstance(expression, int)  # no tensor has been seen, so there is no size
            return Number(expression)
