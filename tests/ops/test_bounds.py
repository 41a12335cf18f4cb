"""Facts are propagated through a graph, and stop where nothing is known."""

import pytest

from morphir.ir import Program
from morphir.ops import DEFAULT_TABLE, Interval, propagate


def facts(body: str, inputs: str = "%x: f32[2, 3]") -> list[str]:
    """The interval of every result, in order; `-` where none is known."""
    lines = "\n".join(f"  {line.strip()}" for line in body.strip().splitlines())
    program = Program.parse(f"program M eval\n\ngraph forward({inputs}):\n{lines}\n")
    graph = program.graphs["forward"]
    found = propagate(graph, DEFAULT_TABLE)
    return [str(found.get(v, "-")) for node in graph.nodes for v in node.outputs]


def test_fact_1_relu_gives_non_negatives_that_pooling_and_views_keep():
    """FACT-1."""
    body = """
        %0: f32[2, 3] = relu(input=%x)
        %1: f32[6] = reshape(input=%0, shape=(6,))
        %2: f32[] = mean(input=%1)
        %3: f32[2, 3] = add(input=%0, other=%0)
        %4: f32[2, 3] = add(input=%0, other=%x)
    """
    assert facts(body) == ["[0, inf]"] * 4 + ["-"]


def test_numbers_narrow_intervals():
    body = """
        %0: f32[2, 3] = sigmoid(input=%x)
        %1: f32[2, 3] = mul(input=%0, other=2.0)
        %2: f32[2, 3] = sub(input=%1, other=1.0)
    """
    assert facts(body) == ["[0, 1]", "[0, 2]", "[-1, 1]"]


def test_the_dtype_of_an_input_is_a_fact():
    body = """
        %0: f32[2, 3] = to(input=%x, dtype=torch.float32)
        %1: f32[2, 3] = div(input=%0, other=255.0)
    """
    assert facts(body, "%x: u8[2, 3]") == ["[0, 255]", "[0, 1]"]


def test_every_part_of_a_split_has_the_interval_of_the_whole():
    body = """
        %0: f32[2, 4] = relu(input=%x)
        %1: f32[2, 2], %2: f32[2, 2] = chunk(input=%0, chunks=2, dim=1)
    """
    assert facts(body) == ["[0, inf]"] * 3


def test_of_a_maximum_only_the_values_are_known():
    body = """
        %0: f32[2, 4] = tanh(input=%x)
        %1: f32[2], %2: i64[2] = max_with_indices(input=%0, dim=1)
    """
    assert facts(body) == ["[-1, 1]", "[-1, 1]", "-"]


def test_an_undeclared_op_gives_no_fact():
    body = """
        %0: f32[2, 3] = relu(input=%x)
        %1: f32[2, 3] = torch.special.xlogy(args=(%0, %0))
        %2: f32[2, 3] = abs(input=%1)
    """
    assert facts(body) == ["[0, inf]", "-", "[0, inf]"]


def test_a_number_after_an_escape_may_depend_on_the_input():
    """`h * x.mean().item()` reads a number that another input would change."""
    body = """
        %0: f32[2, 3] = relu(input=%x)
        escape(args=('item', %0))
        %1: f32[2, 3] = mul(input=%0, other=2.0)
        %2: f32[2, 3] = relu(input=%1)
    """
    assert facts(body) == ["[0, inf]", "-", "[0, inf]"]


def test_what_is_written_in_place_gives_no_fact():
    body = """
        %0: f32[2, 3], %1: f32[2, 3] = relu(input=%x) writes input
    """
    assert facts(body) == ["-", "-"]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("relu", {}, "[0, inf]"),
        ("relu6", {}, "[0, 6]"),
        ("hardtanh", {}, "[-1, 1]"),
        ("hardtanh", {"min_val": 0.0, "max_val": 2.0}, "[0, 2]"),
        ("clamp", {"min": 0.0}, "[0, inf]"),
        ("clamp", {"min": 2.0, "max": 1.0}, None),
        ("leaky_relu", {}, "[0, inf]"),
        ("elu", {}, "[0, inf]"),
        ("celu", {}, "[0, inf]"),
        ("threshold", {"threshold": 0.0, "value": 0.0}, "[0, inf]"),
        ("threshold", {"threshold": -0.5, "value": 7.0}, "[0, inf]"),
        ("threshold", {"threshold": 0.0, "value": 7.0}, None),
        ("abs", {}, "[0, inf]"),
        ("dropout", {"p": 0.3}, "[-inf, inf]"),
        ("dropout", {"p": 0.3, "training": True}, None),
    ],
)
def test_fact_2_where_an_op_is_the_identity(name, arguments, expected):
    """FACT-2, with the defaults filled in; that it holds is tested by the contract."""
    op = DEFAULT_TABLE.get(name)
    assert op is not None
    assert op.identity_on is not None
    found = op.identity_on({"input": None, **arguments})
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(
    "name", ["selu", "softplus", "gelu", "silu", "tanh", "sigmoid", "hardshrink", "softsign"]
)
def test_smooth_activations_are_the_identity_nowhere(name):
    op = DEFAULT_TABLE.get(name)
    assert op is not None
    assert op.identity_on is None


def test_a_minimum_is_rounded_outward():
    """The true minima, to more digits than the declarations have."""
    minima = {
        "gelu": -0.17004075057125412,
        "silu": -0.27846454276107380,
        "mish": -0.30884348730739665,
        "hardswish": -0.375,
        "selu": -1.7580993408473769,
    }
    for name, minimum in minima.items():
        op = DEFAULT_TABLE.get(name)
        assert op is not None
        assert op.bounds is not None
        low = op.bounds({"input": "x"}, lambda _: Interval()).low
        assert minimum - 1e-4 < low <= minimum, name
