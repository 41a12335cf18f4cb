"""Which places of a leaf are copied and which are split."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import morphir
from morphir.axes import AxisGroups, Flow, Freed
from morphir.axes.incidence import Incidence
from morphir.axes.polarity import Polarities, Spot
from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.ir import FRESH, AxisMap
from morphir.ops.axes import Way
from morphir.ops.forms import atoms_in
from tests.axes.nets import NETS
from tests.axes.random_nets import TOKENS, RandomNet
from tests.axes.resizing import groups_of


def polarities_of(model: nn.Module, inputs: Tensor, name: str, axis: int) -> dict[str, str]:
    """How the one free leaf of an axis is read, by tensor and axis, place by place."""
    program = morphir.trace(model, example_inputs=(inputs,))
    flow = Flow(program)
    (leaf,) = (
        leaf
        for leaf in flow.leaves(flow.state[name].atoms[axis])
        if flow.atoms.reason(leaf) is None
    )
    solved = Polarities(flow, Incidence(flow), leaf)
    return {
        f"{name}[{axis}]": " ".join(solved.of(Spot(name, axis, k)) for k in range(count))
        for name, dims in flow.state.items()
        for axis, atom in enumerate(dims.atoms)
        if (count := [*atoms_in(flow.form(atom))].count(leaf))
    }


class Net(nn.Module):
    """Layers of one width with a function of its own in the place of a forward."""

    def __init__(self, function: Callable[["Net", Tensor], Tensor], width: int = 5) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, width), nn.Linear(3, width)
        self.square, self.head = nn.Linear(width, width), nn.Linear(width, 2)
        self.scale = nn.Parameter(torch.ones(width))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


X = torch.randn(2, 4, 3)


def test_plan_7_rows_copy_and_columns_split():
    found = polarities_of(Net(lambda s, x: s.head(s.first(x).relu())), X, "first.weight", 0)
    assert found == {"first.weight[0]": "copy", "first.bias[0]": "copy", "head.weight[1]": "split"}


def test_plan_7_what_nothing_forces_is_copied_by_the_first_parameter_that_produces_it():
    found = polarities_of(
        Net(lambda s, x: s.first(x) @ s.second(x).transpose(-1, -2)), X, "first.weight", 0
    )
    assert found["first.weight[0]"] == found["first.bias[0]"] == "copy"
    assert found["second.weight[0]"] == found["second.bias[0]"] == "split"


def test_plan_7_a_tied_head_behind_nothing_but_linear_layers_has_polarities():
    make, inputs, _ = NETS["tied"]
    assert polarities_of(make(), inputs, "embedding.weight", 1) == {
        "embedding.weight[1]": "copy",
        "inner.bias[0]": "split",
        "inner.weight[0]": "split",
        "inner.weight[1]": "split",
    }


def test_plan_7_a_sum_over_units_splits_what_produces_them():
    found = polarities_of(Net(lambda s, x: s.first(x).sum(-1)), X, "first.weight", 0)
    assert found == {"first.weight[0]": "split", "first.bias[0]": "split"}


def test_plan_7_one_factor_of_a_product_that_is_summed_is_split():
    found = polarities_of(
        Net(lambda s, x: (s.first(x) * s.second(x) * s.scale).sum(-1)), X, "first.weight", 0
    )
    weights = found["first.weight[0]"], found["second.weight[0]"], found["scale[0]"]
    assert sorted(weights) == ["copy", "copy", "split"]
    assert weights[0] == "copy"


def test_plan_7_the_axes_of_a_square_weight_have_polarities_of_their_own():
    found = polarities_of(
        Net(lambda s, x: s.head(s.square(s.first(x).relu()) + s.first(x))), X, "square.weight", 0
    )
    assert (found["square.weight[0]"], found["square.weight[1]"]) == ("copy", "split")


def test_plan_7_one_axis_may_copy_a_leaf_in_one_place_and_split_it_in_another():
    make, inputs, _ = NETS["by_split"]
    flow = Flow(morphir.trace(make(), example_inputs=(inputs,)))
    _, both, alone = flow.leaves(flow.state["qkv.weight"].atoms[0])
    found = {
        leaf: [
            Polarities(flow, Incidence(flow), leaf).of(Spot("qkv.weight", 0, place)) for place in n
        ]
        for leaf, n in ((both, (0, 1)), (alone, (0,)))
    }
    assert found == {both: ["copy", "split"], alone: ["copy"]}


def test_plan_7_a_factor_behind_a_sum_has_one_polarity_in_every_term():
    class Flattened(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stretch, self.head = nn.Linear(3, 6), nn.Linear(36, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stretch(x)
            return self.head(torch.cat([x.relu(), x[:, :2].tanh()], 1).flatten(1))

    found = polarities_of(Flattened(), X, "stretch.weight", 0)
    assert found["stretch.weight[0]"] == "copy"
    assert found["head.weight[1]"] == "split split split"


def test_plan_7_what_is_written_to_keeps_its_polarity():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    program = record(model, example_inputs=(torch.randn(5, 3),), mode="train").program
    flow = Flow(program)
    (leaf,) = flow.leaves(flow.state["0.weight"].atoms[0])
    solved = Polarities(flow, Incidence(flow), leaf)
    after = dict(program.graphs["forward"].updates)["1.running_mean"]
    assert solved.of(Spot("1.running_mean", 0, 0)) == solved.of(Spot(after, 0, 0)) == "copy"
    assert solved.of(Spot("2.weight", 1, 0)) == "split"


def refusal(function: Callable[[Net, Tensor], Tensor]) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        polarities_of(Net(function), X, "first.weight", 0)
    return caught.value


@pytest.mark.parametrize(
    ("function", "first", "second"),
    [
        (lambda s, x: s.first(x).relu().sum(-1), "relu", "sum"),
        (lambda s, x: s.first(x) @ s.first(x).mT, "linear", "linear"),
        (lambda s, x: s.head(s.first(x).relu()) + s.first.weight.pow(2).sum(), "pow", "sum"),
        (lambda s, x: F.linear(s.first(x), s.first.weight.t()), "t", "linear"),
    ],
)
def test_plan_8_a_contradiction_names_the_two_places(function, first: str, second: str):
    error = refusal(function)
    assert error.reason.startswith("a unit would have to be copied and split at once: ")
    assert first in error.reason
    assert second in error.reason
    assert error.reason.count("test_polarity.py:") == 2


def test_plan_8_a_tied_head_contradicts_the_embedding():
    groups = groups_of("transformer")
    (embedding,) = groups.of("embedding")
    with pytest.raises(RefusalError, match=r"embedding .* and linear .* contradict") as caught:
        groups.resize({embedding.atom: AxisMap.copies(11, [*range(11), 0])})
    assert caught.value.nodes == ("embedding", "head")


def test_plan_8_a_product_that_is_summed_behind_two_functions_has_no_way():
    error = refusal(lambda s, x: (s.first(x).relu() * s.second(x).tanh()).sum(-1))
    assert "mul" in error.reason
    assert "contradict one another" in error.reason


EQUAL: tuple[Way, ...] = (("copy", "copy"), ("split", "split"))
Constraint = tuple[tuple[Spot, ...], tuple[Way, ...]]


def has_solution(constraints: list[Constraint], known: dict[Spot, str]) -> bool:
    """Whether polarities agree with one way of every call, by trying."""
    if not constraints:
        return True
    choices = []
    for spots, ways in constraints:
        agree = (
            w for w in ways if all(known.get(s, p) == p for s, p in zip(spots, w, strict=True))
        )
        choices.append([w for w in agree if len({*zip(spots, w, strict=True)}) == len({*spots})])
    first = min(range(len(choices)), key=lambda k: len(choices[k]))
    spots, _ = constraints[first]
    rest = constraints[:first] + constraints[first + 1 :]
    return any(
        has_solution(rest, known | dict(zip(spots, way, strict=True))) for way in choices[first]
    )


@pytest.mark.parametrize("seed", range(24))
def test_plan_8_a_leaf_is_refused_only_where_no_polarities_agree(seed: int, monkeypatch):
    flow = Flow(morphir.trace(RandomNet(seed), example_inputs=(torch.randn(2, TOKENS, 3),)))
    incidence = Incidence(flow)
    atoms = [atom for dims in flow.state.values() for atom in dims.atoms]
    leaves = dict.fromkeys(leaf for atom in atoms for leaf in flow.leaves(atom))
    for leaf in (leaf for leaf in leaves if flow.atoms.reason(leaf) is None):
        try:
            Polarities(flow, incidence, leaf)
            solved = True
        except RefusalError:
            solved = False
        constraints: list[Constraint] = []
        with monkeypatch.context() as patch:  # only the readings, and what is one place
            patch.setattr(
                Polarities,
                "_relate",
                lambda _, e, c=constraints: c.append(((e.first, e.second), EQUAL)),
            )
            patch.setattr(Polarities, "_constrain", lambda *_: None)
            patch.setattr(Polarities, "_orient", lambda _: None)
            readings = Polarities(flow, incidence, leaf).readings
        constraints += [(reading.spots, reading.role.ways) for reading in readings]
        assert has_solution(constraints, {}) is solved


def test_plan_8_a_freed_input_that_is_summed_contradicts_itself():
    program = morphir.trace(
        Net(lambda s, x: s.first(x) * x.sum(-1, keepdim=True)), example_inputs=(X,)
    )
    (x,) = program.graphs["forward"].inputs
    groups = AxisGroups(program, freed=Freed(inputs=frozenset([(x, 2)])))
    with pytest.raises(RefusalError, match="it is an axis of the input 'x' and sum"):
        groups.resize({groups.axis(x, 2): AxisMap.copies(3, (0, 1, 2, FRESH))})
