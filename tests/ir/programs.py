"""Random well-formed programs, and a small one to break."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

from morphir.ir import (
    Arithmetic,
    Batch,
    Call,
    Graph,
    Item,
    ModuleAttribute,
    Node,
    Program,
    SizeOf,
    StateEntry,
    TensorType,
    Value,
)

DTYPES = (
    torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64,
    torch.uint8, torch.float8_e4m3fn,
)  # fmt: skip
# Whatever nn.Module and dictionaries allow: quotes, signs of the text form, other alphabets.
odd_names = st.one_of(
    st.from_regex(r"[a-z][a-z0-9_]{0,6}(\.[a-z0-9]{1,3}){0,2}", fullmatch=True),
    st.sampled_from(
        ["0", "7", "-", "a b", "x%0", "@w", 'say "hi"', "it's", "a\\b", "# no", "  # x", ")", "=",
         "batch['mask']", "größe", "\U0001d518", "line\nbreak", "tab\t", "", ") writes x", "1.5",
         " random", "1e5", "B", "call", "results", "\u2028", "\x00", "'", '"', "a:b",
         "torch.float32", "None"]
    ),
    st.text(max_size=6),
)  # fmt: skip
literals = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=True),
    st.complex_numbers(allow_nan=True),
    st.text(max_size=8),
    st.sampled_from(["it's", '"', "\\", "a  # b", ") writes c", "%0", "@w", "_[0]", "\n"]),
    st.sampled_from(
        [..., torch.float32, torch.bool, torch.strided, torch.sparse_coo, torch.channels_last,
         torch.device("cpu"), torch.device("cuda:1"), torch.device("meta"), -0.0]
    ),
)  # fmt: skip
types = st.one_of(
    st.none(),
    st.builds(
        TensorType,
        st.sampled_from(DTYPES),
        st.lists(st.one_of(st.integers(0, 9), st.builds(Batch, st.integers(1, 4))), max_size=4).map(
            tuple
        ),
    ),
)


def argument_of(values: list[Value]) -> st.SearchStrategy[Any]:
    """An argument that mentions some of these values."""
    sizes = st.recursive(
        st.one_of(
            st.integers(-3, 3),
            st.builds(ModuleAttribute, odd_names, odd_names, st.integers(-2, 9)),
            *([st.builds(SizeOf, st.sampled_from(values), st.integers(-2, 3))] if values else []),
        ),
        lambda inner: st.builds(
            Arithmetic, st.sampled_from(["+", "-", "*", "//", "%"]), inner, inner
        ),
        max_leaves=4,
    )
    leaves = st.one_of(literals, sizes, *([st.sampled_from(values)] if values else []))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(tuple), st.builds(slice, inner, inner, inner)
        ),
        max_leaves=5,
    )


@st.composite
def graphs(draw: st.DrawFn, name: str, state: dict[str, StateEntry]) -> Graph:
    """A graph whose nodes read what was defined before."""
    names = draw(st.lists(odd_names, max_size=3, unique=True))
    inputs = tuple(Value("input", each, draw(types)) for each in names)
    held = tuple(Value("state", entry.name, entry.type) for entry in state.values())
    defined = [*inputs, *held]

    def items(depth: int) -> tuple[Item, ...]:
        found: list[Item] = []
        for _ in range(draw(st.integers(0, 3))):
            if depth and draw(st.booleans()):
                body = items(depth - 1)
                some = st.lists(st.sampled_from(defined), max_size=2) if defined else st.just([])
                found.append(Call(draw(odd_names), body, tuple(draw(some))))
                continue
            keys = draw(st.lists(st.sampled_from("abcd"), max_size=3, unique=True))
            arguments = {key: draw(argument_of(defined)) for key in keys}
            outputs = tuple(
                Value("result", "", draw(types)) for _ in range(draw(st.integers(0, 2)))
            )
            writes = tuple(keys[: draw(st.integers(0, min(len(keys), len(outputs))))])
            op = draw(st.sampled_from(["relu", "linear", "torch.Tensor.x_", "a.lambda", "odd op"]))
            found.append(Node(op, arguments, outputs, writes, draw(st.booleans()), ""))
            defined.extend(outputs)
        return tuple(found)

    body = items(2)
    some = st.lists(st.tuples(st.text(max_size=5), st.sampled_from(defined)), max_size=3)
    outputs = tuple(draw(some)) if defined else ()
    updates = tuple((each, draw(st.sampled_from(defined))) for each in [*state][:1] if defined)
    return Graph(name, inputs, body, outputs, updates)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A program with state, tied names, several entry points and every kind of argument."""
    names = draw(st.lists(odd_names, max_size=4, unique=True))
    state = {}
    for each in names[: max(0, len(names) - 1)]:
        kind = TensorType(draw(st.sampled_from(DTYPES)), (draw(st.integers(0, 5)),))
        kinds = st.sampled_from(["parameter", "buffer", "constant"])
        aliases = tuple(names[-1:]) if not state else ()
        state[each] = StateEntry(each, draw(kinds), kind, aliases)
    entries = draw(st.lists(odd_names, min_size=1, max_size=2, unique=True))
    found = {each: draw(graphs(each, state)) for each in entries}
    sequentials = tuple(draw(st.lists(odd_names, max_size=2, unique=True)))
    return Program(
        draw(odd_names), draw(st.sampled_from(["eval", "train"])), state, found, sequentials
    )


def small(**changes: Any) -> Program:
    """`relu(linear(x, w))` inside a call of `net`, with a buffer update."""
    kind, weight = TensorType(torch.float32, (Batch(), 4)), TensorType(torch.float32, (4, 4))
    x, h, y = Value("input", "x", kind), Value("result", "", kind), Value("result", "", kind)
    w = Value("state", "net.weight", weight)
    linear = Node("linear", {"input": x, "weight": w}, (h,))
    relu = Node("relu", {"input": h}, (y,))
    state = {
        "net.weight": StateEntry("net.weight", "parameter", weight),
        "seen": StateEntry("seen", "buffer", kind),
    }
    body = (Call("net", (linear, relu), (y,)),)
    graph = Graph("forward", (x,), body, (("", y),), (("seen", h),))
    return Program("Net", "eval", state, {"forward": graph}, **changes)
