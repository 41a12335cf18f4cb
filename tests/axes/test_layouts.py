"""Layouts that calls share, and the atoms of a program in the place of theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir.axes import AxisGroups
from morphir.axes.layouts import LayoutCache, bind
from morphir.ops import DEFAULT_TABLE, Atom, Instance, Layout, Op, Product
from morphir.ops.axes import make_layout
from tests.axes.vision import Concatenation, Grouped, ResidualCnn


@dataclass(frozen=True)
class Shaped:
    """Anything that has a shape."""

    shape: tuple[int, ...]


def declared(name: str) -> Op:
    op = DEFAULT_TABLE.get(name)
    assert op is not None
    return op


def linear(cache: LayoutCache, batch: int, *, bias: bool = True) -> Layout:
    arguments = {"input": Shaped((batch, 3)), "weight": Shaped((4, 3))}
    arguments |= {"bias": Shaped((4,))} if bias else {}
    return cache.layout(declared("linear"), arguments, [Shaped((batch, 4))])


def test_calls_on_the_same_shapes_share_a_layout():
    cache = LayoutCache()
    assert linear(cache, 2) is linear(cache, 2)


def test_other_shapes_and_other_arguments_have_layouts_of_their_own():
    cache = LayoutCache()
    found = [linear(cache, 2), linear(cache, 5), linear(cache, 2, bias=False)]
    assert [[len(axes) for axes in layout.operands] for layout in found] == [
        [2, 2, 1],
        [2, 2, 1],
        [2, 2],
    ]
    assert found[0].operands[0][0].size == 2
    assert found[1].operands[0][0].size == 5


@pytest.mark.parametrize(
    "values",
    [(1, True, 1.0), (slice(0, 2), slice(0, 3)), ((0, 1), (1, 0), ((0, 1),)), (None, torch.int8)],
)
def test_numbers_slices_and_tuples_are_told_apart(values: tuple[Any, ...]):
    asked: list[Any] = []

    def rule(instance: Instance) -> str:
        asked.append(instance["value"])
        return "... -> ..."

    op = Op("recorded", "input, value", lambda input, value: input, (), rule)
    cache = LayoutCache()
    for value in (*values, *values):
        cache.layout(op, {"input": Shaped((2,)), "value": value}, [Shaped((2,))])
    assert [repr(value) for value in asked] == [repr(value) for value in values]


def test_what_does_not_fit_is_said_again():
    cache = LayoutCache()
    arguments = {"input": Shaped((2, 3)), "weight": Shaped((4, 5))}
    messages = []
    for _ in range(2):
        with pytest.raises(ValueError, match=r"op 'linear' on .*expected 3") as caught:
            cache.layout(declared("linear"), arguments, [Shaped((2, 4))])
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_the_first_dimension_that_an_atom_describes_stands_for_it():
    layout = linear(LayoutCache(), 2)
    names = ("batch", "in", "rows", "columns", "bias", "batch again", "out")
    sizes = (2, 3, 4, 3, 4, 2, 4)
    batch, inside, rows, columns, bias, again, out = map(Atom, names, sizes)
    bound, rest = bind(layout, [(batch, inside), (rows, columns), (bias,), (again, out)])
    assert rest == [(columns, inside), (bias, rows), (again, batch), (out, rows)]
    assert [bound.form(form) for form in layout.operands[1]] == [rows, inside]
    assert set(bound.atoms) == set(layout.roles)


def test_what_only_stands_in_products_is_new_in_every_call():
    heads, width = Atom("heads", 2), Atom("width", 3)
    layout = make_layout([(Product((heads, width)),)], [(width, heads)])
    flat, *dims = map(Atom, ("flat", "width", "heads"), (6, 3, 2))
    _, rest = bind(layout, [(flat,), tuple(dims)])
    assert rest == [(flat, Product((dims[1], dims[0])))]

    layout = make_layout([(Product((heads, width)),)], [(Product((heads, width)),)])
    bound, rest = bind(layout, [(flat,), (dims[0],)])
    form = Product((bound.atoms[heads], bound.atoms[width]))
    assert rest == [(flat, form), (dims[0], form)]
    assert set(bound.atoms.values()).isdisjoint({heads, width, flat, *dims})


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (ResidualCnn(), (2, 3, 4, 4)),
        (Concatenation(), (2, 3, 2, 2)),
        (Grouped(), (2, 2, 8, 8)),
        (nn.Sequential(*(nn.Linear(5, 5) for _ in range(4))), (2, 5)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_groups_are_those_that_a_layout_for_each_call_gives(
    model: nn.Module, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
):
    program = morphir.trace(model, example_inputs=(torch.randn(shape),))

    def shown() -> list[str]:
        return [
            f"{[*map(str, (*group.state, *group.values))]} {group.reason}"
            for group in AxisGroups(program).groups.values()
        ]

    def anew(self: LayoutCache, op: Op, arguments: Mapping[str, Any], outputs: Sequence[Any]):
        return op.layout(arguments, outputs)

    cached = shown()
    monkeypatch.setattr(LayoutCache, "layout", anew)
    assert cached == shown()
