"""A graph replays what its module computed."""

import pytest
import torch

from morphir.ir import Arithmetic, Graph, ModuleAttribute, Node, Program, SizeOf, Value
from morphir.ops.replay import Unreplayable, replay

HEADER = """program M eval
parameter @w: f32[3, 4]
buffer @mean: f32[4]
buffer @var: f32[4]

graph forward(%x: f32[2, 4]):
"""


def graph(body: str) -> Graph:
    lines = "\n".join(f"  {line.strip()}" for line in body.strip().splitlines())
    return Program.parse(f"{HEADER}{lines}\n").graphs["forward"]


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 4)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {"w": torch.randn(3, 4), "mean": torch.randn(4), "var": torch.rand(4)}


def test_ops_3_declared_ops_run_on_inputs_and_state(x, state):
    """OPS-3."""
    found = replay(
        graph("""
            %0: f32[2, 3] = linear(input=%x, weight=@w)
            %1: f32[2, 3] = relu(input=%0)
            output 'a' = %1
            output 'b' = @w
        """),
        state,
        [x],
    )
    assert torch.equal(found.outputs[0], (x @ state["w"].T).relu())
    assert found.outputs[1] is state["w"]
    assert found.updates == {}


def test_what_is_read_no_more_is_let_go_of(x, state):
    made = graph("""
        %0: f32[2, 3] = linear(input=%x, weight=@w)
        %1: f32[2, 3] = relu(input=%0)
        %2: f32[2, 3] = add(input=%0, other=%1)
        %3: f32[2, 3] = neg(input=%2)
        output 'a' = %1
        output 'b' = %2
    """)
    whole, slim = replay(made, state, [x]), replay(made, state, [x], keep_values=False)
    assert len(whole.values) == 5
    assert {*slim.values} == {value for _, value in made.outputs}
    assert all(map(torch.equal, whole.outputs, slim.outputs))


def test_undeclared_ops_run_by_their_names(x, state):
    found = replay(
        graph("""
            %0: f32[2, 4] = torch.special.xlogy(args=(%x, 2.0))
            %1: f32[2, 4] = torch.Tensor.hypot(args=(%0,), kwargs=(('other', %x),))
            %2: f32[2, 4] = torch.ops.aten.sin.default(args=(%1,))
            output '' = %2
        """),
        state,
        [x],
    )
    assert torch.equal(found.outputs[0], torch.special.xlogy(x, 2.0).hypot(x).sin())


def test_several_results_are_taken_in_order(x, state):
    found = replay(
        graph("""
            %0: f32[2], %1: i64[2] = max_with_indices(input=%x, dim=1)
            %2: f32[2, 2], %3: f32[2, 2] = chunk(input=%x, chunks=2, dim=1)
            output 'i' = %1
            output 'r' = %3
        """),
        state,
        [x],
    )
    assert torch.equal(found.outputs[0], x.argmax(1))
    assert torch.equal(found.outputs[1], x[:, 2:])


def test_ops_4_writes_go_to_clones_and_come_out_as_values(x, state):
    """OPS-4: BatchNorm in train mode."""
    before = {name: tensor.clone() for name, tensor in state.items()}
    found = replay(
        graph("""
            %0: f32[2, 4], %1: f32[4], %2: f32[4] = batch_norm(input=%x, running_mean=@mean, \
running_var=@var, training=True) writes running_mean, running_var
            update @mean = %1
            update @var = %2
            output '' = %0
        """),
        state,
        [x],
    )
    mean, var = before["mean"].clone(), before["var"].clone()
    expected = torch.nn.functional.batch_norm(x, mean, var, training=True)
    assert torch.equal(found.outputs[0], expected)
    assert torch.equal(found.updates["mean"], mean)
    assert torch.equal(found.updates["var"], var)
    assert all(torch.equal(state[name], before[name]) for name in state)


def test_ops_4_an_undeclared_op_that_works_in_place_changes_a_clone(x, state):
    """OPS-4."""
    before = x.clone()
    found = replay(
        graph("""
            %0: f32[2, 4] = torch.Tensor.fill_diagonal_(args=(%x, 7.0))
            output '' = %0
        """),
        state,
        [x],
    )
    assert torch.equal(found.outputs[0], before.clone().fill_diagonal_(7.0))
    assert torch.equal(x, before)


def test_ops_4_what_an_undeclared_op_writes_comes_out_as_values(x, state):
    """OPS-4."""
    before = {name: tensor.clone() for name, tensor in state.items()}
    found = replay(
        graph("""
            %0: f32[2, 4], %1: f32[4], %2: f32[4], %3: f32[4], %4: f32[4] = \
torch.native_batch_norm(args=(%x, None, None, @mean, @var, True, 0.1, 1e-05)) writes args, args
            update @mean = %3
            update @var = %4
            output '' = %0
        """),
        state,
        [x],
    )
    mean, var = before["mean"].clone(), before["var"].clone()
    expected = torch.native_batch_norm(x, None, None, mean, var, True, 0.1, 1e-05)[0]
    assert torch.equal(found.outputs[0], expected)
    assert torch.equal(found.updates["mean"], mean)
    assert torch.equal(found.updates["var"], var)
    assert all(torch.equal(state[name], before[name]) for name in state)


def test_sizes_are_those_of_the_tensors_at_hand(state):
    x = Value("input", "x", None)
    y = Value("result", "", None)
    half = Arithmetic("//", SizeOf(x, 1), ModuleAttribute("m", "n", 2))
    node = Node("reshape", {"input": x, "shape": (SizeOf(x, 0), 2, half)}, (y,))
    made = Graph("forward", (x,), (node,), (("", y),))
    assert replay(made, {}, [torch.zeros(5, 6)]).outputs[0].shape == (5, 2, 3)
    assert replay(made, {}, [torch.zeros(3, 8)]).outputs[0].shape == (3, 2, 4)


def test_slices_hold_sizes():
    x, y = Value("input", "x", None), Value("result", "", None)
    index = (slice(None), slice(Arithmetic("-", SizeOf(x, 1), 2), None))
    made = Graph(
        "forward", (x,), (Node("getitem", {"input": x, "index": index}, (y,)),), (("", y),)
    )
    assert replay(made, {}, [torch.arange(8).view(2, 4)]).outputs[0].tolist() == [[2, 3], [6, 7]]


@pytest.mark.parametrize("mark", ["escape(args=('item', %x))", "float(size=size(%x, 0))"])
def test_an_escape_and_a_float_are_skipped(mark, x, state):
    found = replay(graph(f"{mark}\noutput '' = %x"), state, [x])
    assert found.outputs[0] is x


@pytest.mark.parametrize(
    "call",
    [
        "alias(args=(%x, %x))",
        "python(args=(%x,))",
        "scripted(args=('m', %x))",
        "torch.nowhere.at_all(args=(%x,))",
        "os.path.join(args=(%x,))",
        "torch.special.xlogy(args=(%x, '<Generator>'))",
    ],
)
def test_what_the_graph_does_not_hold_cannot_be_replayed(x, state, call):
    made = graph(f"%0: f32[2, 4] = {call}\noutput '' = %0")
    with pytest.raises(Unreplayable) as caught:
        replay(made, state, [x])
    assert caught.value.node is made.nodes[0]
    assert caught.value.node.op in str(caught.value)


def test_a_wrong_number_of_results_is_an_error_with_the_node(x, state):
    made = graph("%0: f32[2, 4], %1: f32[2, 4] = relu(input=%x)\noutput '' = %0")
    with pytest.raises(ValueError, match="found 1 results, expected 2"):
        replay(made, state, [x])


def test_what_a_node_raises_shows_the_node(x, state):
    made = graph("""
        %0: f32[2, 3] = relu(input=%x)
        %1: f32[2, 3] = linear(input=%0, weight=@w)
        output '' = %1
    """)
    with pytest.raises(RuntimeError) as error:
        replay(made, state, [x[:, :3]])
    assert error.value.__notes__ == ["%1: f32[2, 3] = linear(input=%0, weight=@w)"]
