"""The text form with its groups."""

import io

import pytest
from rich.console import Console

from morphir import RefusalError
from morphir.show import show_text
from tests.show.drawings import census_of


def text(name: str, **options: object) -> list[str]:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    with console.capture() as capture:
        console.print(show_text(census_of(name), **options), soft_wrap=True)
    return [line.partition("  # ")[0].rstrip() for line in capture.get().splitlines()]


def test_what_it_looks_like():
    assert text("conv_net", depth=None) == [
        "Sequential in eval mode",
        "",
        "parameter 0.weight: f32[8 g1 copy, 3 f1, 3 f2, 3 f2]",
        "parameter 0.bias: f32[8 g1 copy]",
        "parameter 1.weight: f32[8 g1 copy]",
        "parameter 1.bias: f32[8 g1 copy]",
        "parameter 4.weight: f32[5 f3, 128 (g1 4 4) split]",
        "parameter 4.bias: f32[5 f3]",
        "buffer 1.running_mean: f32[8 g1 copy]",
        "buffer 1.running_var: f32[8 g1 copy]",
        "buffer 1.num_batches_tracked: i64[]",
        "",
        "graph forward(%input: f32[B, 3, 6, 6]):",
        "  0 Conv2d",
        "    %0: f32[B, 8 g1, 4, 4] = conv2d(input=%input, weight=@0.weight, bias=@0.bias, "
        "stride=(1, 1), padding=(0, 0), dilation=(1, 1))",
        "  1 BatchNorm2d",
        "    %1: f32[B, 8 g1, 4, 4] = batch_norm(input=%0, running_mean=@1.running_mean, "
        "running_var=@1.running_var, weight=@1.weight, bias=@1.bias)",
        "  2 ReLU",
        "    %2: f32[B, 8 g1, 4, 4] = relu(input=%1)",
        "  3 Flatten",
        "    %3: f32[B, 128 (g1 4 4)] = flatten(input=%2, start_dim=1)",
        "  4 Linear",
        "    %4: f32[B, 5] = linear(input=%3, weight=@4.weight, bias=@4.bias)",
        "  output '' = %4",
        "",
        "group  size  changed by, or why not                            stands in",
        "g1        8  WiderPass(at='0', width=16)                       "
        "0.weight[0], 0.bias[0], 1.running_mean[0] and 4 more",
        "f1        3  it is an axis of the input 'input'                0.weight[1]",
        "f2     3, 4  conv2d mixes or indexes its units, or makes them  "
        "0.weight[2], 0.weight[3], 4.weight[1]",
        "f3        5  it is an axis of the output of 'forward'          4.weight[0], 4.bias[0]",
    ]


def test_mask_1_of_a_masked_parameter_it_says_how_much_is_in_use():
    """MASK-1"""
    lines = text("masked")
    assert (
        "parameter 0.weight: f32[8 g1 copy, 4 f1] masked by @0.weight_mask, 75.0% in use" in lines
    )
    assert "parameter 2.weight: f32[2 f2, 8 g1 split]" in lines


def test_one_module_is_described_place_by_place():
    lines = text("conv_net", at="0")
    start = lines.index("0 has g1, 8 units")
    found = [" ".join(line.split()[:7]) for line in lines[start:]]
    assert found[1] == "WiderPass(at='0', width=16) would change"
    assert "0.weight 0 8 16 copy conv2d in" in found
    assert "4.weight 1 128 256 split linear in" in found


def test_a_group_that_cannot_change_says_why():
    lines = text("conv_net", at="4")
    assert lines[-4:] == [
        "4 has f3, 5 units",
        "  it cannot change: it is an axis of the output of 'forward'",
        "  4.weight[0]",
        "  4.bias[0]",
    ]


def test_a_depth_leaves_out_what_is_deeper():
    lines = text("ActorCritic", depth=0)
    (calls,) = [line for line in lines if "blocks" in line and "->" in line]
    assert calls.startswith("  blocks Sequential -> %")
    assert not any("layer_norm" in line for line in lines[: lines.index(calls)])


def test_an_unknown_module_is_refused():
    with pytest.raises(RefusalError, match="no module 'stam'"):
        show_text(census_of("ActorCritic"), at="stam")
