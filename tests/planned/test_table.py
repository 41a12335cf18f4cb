"""The table of a plan: plain text, rich, and HTML."""

import io

import rich
from rich.console import Console
from torch import nn

import morphir
from morphir import DeeperPass, WiderPass


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


def without_sources(text: str) -> list[str]:
    return [line.partition("test_table.py")[0].rstrip() for line in text.splitlines()]


def test_what_it_looks_like():
    plan = morphir.plan(net(), [DeeperPass(at="2"), WiderPass(at="0", width=12)])
    assert without_sources(str(plan)) == [
        "Plan for Sequential; nothing was changed",
        "",
        "  DeeperPass(at='2')",
        "    2_deeper1 runs after 2 (DEEPER-1)",
        "",
        "    new module  runs after  as                       law       with",
        "    2_deeper1   2           next child of the model  DEEPER-1"
        "  layer.weight f32[8, 8], layer.bias f32[8]",
        "",
        "  WiderPass(at='0', width=12)",
        "    0: 8 -> 12 units (WIDER-1)",
        "    7 tensors of another shape",
        "    planned on a copy on which the passes above were carried out",
        "",
        "    tensor                  changes                because of                 source",
        "    0.weight                f32[8 -> 12 copy, 4]   linear in 0",
        "    0.bias                  f32[8 -> 12 copy]      linear in 0",
        "    1.weight                f32[8 -> 12 copy]      batch_norm in 1",
        "    1.bias                  f32[8 -> 12 copy]      batch_norm in 1",
        "    2_deeper1.layer.weight  f32[8, 8 -> 12 split]  linear in 2_deeper1.layer",
        "    1.running_mean          f32[8 -> 12 copy]      batch_norm in 1",
        "    1.running_var           f32[8 -> 12 copy]      batch_norm in 1",
        "",
        "    attribute                    is  becomes",
        "    0.out_features               8   12",
        "    1.num_features               8   12",
        "    2_deeper1.layer.in_features  8   12",
        "",
        "  74 parameters would become 206",
    ]


def test_a_refusal_is_the_plan():
    plan = morphir.plan(net(), WiderPass(at="3", width=12))
    assert str(plan).splitlines()[2:] == [
        "  WiderPass(at='3', width=12)",
        "    refused",
        *(f"      {line}" for line in str(plan.refusal).splitlines()),
    ]


def test_nothing_to_do_says_so():
    text = str(morphir.plan(net(), WiderPass(at="0", width=8)))
    assert "'0' already has 8 features" in text
    assert text.endswith("parameters, as before")


def test_rich_prints_it_in_colour_and_at_the_width_of_the_terminal():
    plan = morphir.plan(net(), WiderPass(at="0", width=12))
    file = io.StringIO()
    console = Console(file=file, width=70, force_terminal=True, color_system="standard")
    console.print(plan)
    assert "\x1b[34mcopy" in file.getvalue()
    plain = io.StringIO()
    rich.print(plan, file=plain)
    assert max(map(len, plain.getvalue().splitlines())) <= 80


def test_notebooks_get_html_with_nothing_unescaped():
    page = morphir.plan(net(), WiderPass(at="<script>", width=12))._repr_html_()
    assert page.startswith("<pre>")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
