"""Inserted modules are what their description says, and the identity to the bit."""

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from morphir.blocks import BlockSpec, ParametricBlock, ResidualBlock
from morphir.ops import DEFAULT_TABLE

LAWS = {"identity": "DEEPER-1", "residual": "DEEPER-3", "parametric": "DEEPER-4"}

specs = st.builds(
    BlockSpec,
    kind=st.sampled_from(["identity", "residual", "parametric"]),
    features=st.integers(1, 5),
    kernel=st.lists(st.integers(1, 4), max_size=3).map(tuple),
    bias=st.booleans(),
    activation=st.sampled_from(["relu", "relu6"]),
    hidden=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
)
dtypes = st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16])


def values(spec: BlockSpec, dtype: torch.dtype) -> torch.Tensor:
    """Inside the identity range of ReLU6, zeros among them, and subnormals where kernels keep them.

    The convolutions of short floats flush subnormals to zero.
    """
    shape = (3, spec.features, *(4 for _ in spec.kernel))
    x = (torch.rand(shape, dtype=torch.float64) * 6).to(dtype)
    x.view(-1)[::3] = 0.0
    if dtype in (torch.float32, torch.float64):
        x.view(-1)[1::3] *= torch.finfo(dtype).smallest_normal
    return x.clamp(0, 6)


# Even kernels are padded more on one side, for which torch copies the input and says so.
even_kernels = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


@even_kernels
@given(specs, dtypes)
def test_deeper_1_3_4_blocks_return_their_input_to_the_bit(spec, dtype):
    """DEEPER-1, DEEPER-3, DEEPER-4"""
    x = values(spec, dtype)
    block = spec.build(torch.empty(0, dtype=dtype), DEFAULT_TABLE)
    y = block(x)
    assert y.dtype is dtype
    assert torch.equal(y, x)
    assert spec.law == LAWS[spec.kind]


@even_kernels
@given(specs)
def test_deeper_2_with_the_activation_first_it_needs_no_range(spec):
    """DEEPER-2"""
    data = {**spec.to_dict(), "kind": "identity", "activation_first": True}
    spec = BlockSpec.from_dict(data)
    x = values(spec, torch.float32) - 3
    block = spec.build(x, DEFAULT_TABLE)
    activation = block.activation
    assert torch.equal(activation(block(x)), activation(x))
    assert spec.law == "DEEPER-2"


@given(specs, dtypes)
def test_building_again_from_json_gives_the_same_module_to_the_bit(spec, dtype):
    again = BlockSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    like = torch.empty(0, dtype=dtype)
    before = torch.get_rng_state()
    one, other = spec.build(like, DEFAULT_TABLE), again.build(like, DEFAULT_TABLE)
    assert torch.equal(torch.get_rng_state(), before)
    assert [*one.state_dict()] == [*other.state_dict()]
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert a.dtype is dtype
        assert a.requires_grad
        assert torch.equal(a, b)


@given(specs)
def test_biases_are_as_described(spec):
    names = [*spec.build(torch.empty(0), DEFAULT_TABLE).state_dict()]
    assert any(name.endswith("bias") for name in names) == spec.bias


@pytest.mark.parametrize("seed", [0, 1])
def test_the_draw_depends_on_the_seed_and_on_nothing_else(seed):
    spec = BlockSpec("residual", 4, (), True, "relu", hidden=6, seed=seed)
    reference = spec.build(torch.empty(0), DEFAULT_TABLE).first.weight.detach()
    assert reference.shape == (6, 4)
    assert float(reference.abs().max()) <= (6 / 4) ** 0.5
    assert reference.unique().numel() == 24
    other = BlockSpec("residual", 4, (), True, "relu", hidden=6, seed=seed + 1)
    assert not torch.equal(other.build(torch.empty(0), DEFAULT_TABLE).first.weight, reference)
    torch.set_default_dtype(torch.float64)
    try:
        again = spec.build(torch.empty(0, dtype=torch.float32), DEFAULT_TABLE).first.weight
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(again, reference)


def test_settings_reach_the_activation():
    spec = BlockSpec("residual", 4, (), True, "leaky_relu", {"negative_slope": 0.3}, hidden=4)
    assert spec.build(torch.empty(0), DEFAULT_TABLE).activation.negative_slope == 0.3


def test_a_zero_gate_opens():
    """DEEPER-5: nothing is dead for longer than a step"""
    spec = BlockSpec("residual", 4, (), True, "relu", hidden=4)
    block = spec.build(torch.empty(0), DEFAULT_TABLE)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(2):
        before = {n: p.detach().clone() for n, p in block.named_parameters()}
        block(torch.randn(16, 4)).square().sum().backward()
        optimizer.step()
    assert not [n for n, p in block.named_parameters() if torch.equal(before[n], p)]


def test_what_blocks_compute():
    x = torch.randn(3, 4)
    block = ResidualBlock(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4))
    assert torch.equal(block(x), x + block.last(block.first(x).tanh()))
    blend = ParametricBlock(nn.Linear(4, 4), nn.Tanh())
    with torch.no_grad():
        blend.blend.fill_(1.0)
    torch.testing.assert_close(blend(x), blend.layer(x).tanh(), rtol=1e-6, atol=1e-6)
    assert ParametricBlock(nn.Conv2d(3, 3, 1), nn.Tanh()).blend.shape == (3, 1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "gated"},
        {"features": 0},
        {"features": "x"},
        {"kernel": None},
        {"kernel": [1, 1, 1, 1]},
        {"more": 1},
    ],
)
def test_what_describes_no_block_is_not_read(changes):
    data = BlockSpec("identity", 4, (), True, "relu").to_dict()
    with pytest.raises(ValueError, match="not the description of a block"):
        BlockSpec.from_dict({**data, **changes})


def test_an_unknown_activation_is_not_built():
    spec = BlockSpec("identity", 4, (), True, "linear")
    with pytest.raises(ValueError, match="'linear' is no activation with a"):
        spec.build(torch.empty(0), DEFAULT_TABLE)


def test_building_a_block_imports_nothing():
    """torch makes empty copies of meta tensors with sympy, a third of a second at first."""
    code = """
import sys, torch
from morphir.blocks import BlockSpec
from morphir.ops import DEFAULT_TABLE
before = {*sys.modules}
BlockSpec("identity", 4, (3, 3), True, "relu").build(torch.ones(1), DEFAULT_TABLE)
BlockSpec("residual", 4, (), True, "relu", hidden=4).build(torch.ones(1), DEFAULT_TABLE)
print(*({*sys.modules} - before))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
