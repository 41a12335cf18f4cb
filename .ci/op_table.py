"""Writes spec/ops.md: the op table as a page, from the declarations."""

from __future__ import annotations

import operator
import pkgutil
import random
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch.nn import functional as F

import morphir.ops
from morphir.ops import ANYTHING, OPS, Interval, Layout, Op, Sample, Spelling
from morphir.ops.base import Instance
from morphir.ops.paths import tensors_of
from morphir.ops.verdict import results_of

PAGE = Path(__file__).resolve().parent.parent / "spec" / "ops.md"
OWNERS = (("torch", torch), ("F", F), ("x", torch.Tensor), ("torch.linalg", torch.linalg))

HEADER = """\
# The op table

Every torch operation that morphir knows, by family: {ops} ops, {spellings} spellings, tested on
{samples} samples. `python .ci/op_table.py` writes this page from the declarations in
`morphir/ops/`, and a test fails where it is out of date. [Axes and facts](axes.md) explains the
notation, and states the laws by which every row is tested.

- **torch**: what a recording recognises. `F` is `torch.nn.functional`, `x` a tensor; in-place forms
  count as well.
- **axes**: the signature. Where it depends on the call, the forms of one sample: `d1:4` is an atom
  of size 4, `(a b)` a product, `(a + b)` a sum.
- **roles**: how axes may change, in the samples; what is not listed is fixed.
- **facts**: the interval of the result where nothing is known about the operands, or *follows*
  where it depends on theirs. "id on" is where the op returns its operand bit for bit, "0 to 0" says
  that zeros stay zeros.
- **n**: how many samples the contract test maps at random.

An op that is not here is opaque: its axes are fixed, and nothing is known about its values.
"""


def main() -> int:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf8")
    print(f"wrote {PAGE.name}")
    return 0


def page() -> str:
    """The text of the page."""
    samples = {op: [*op.samples(random.Random(0))] for op in OPS}
    header = HEADER.format(
        ops=len(OPS),
        spellings=sum(len(op.spellings) for op in OPS),
        samples=sum(map(len, samples.values())),
    )
    parts = [header]
    for family in _families():
        rows = [_row(op, samples[op]) for op in family.OPS]
        parts.append("\n".join([*_heading(family), *rows]) + "\n")
    return "\n".join(parts)


def _families() -> list[ModuleType]:
    """The files that declare ops, in the order of the table."""
    names = [info.name for info in pkgutil.iter_modules(morphir.ops.__path__)]
    modules = [import_module(f"morphir.ops.{name}") for name in names]
    return sorted((m for m in modules if hasattr(m, "OPS")), key=lambda m: OPS.index(m.OPS[0]))


def _heading(family: ModuleType) -> list[str]:
    name = family.__name__.rpartition(".")[2]
    first, *_ = (family.__doc__ or "").split("\n\n")
    return [
        f"## {name.capitalize()}",
        "",
        " ".join(first.split()),
        "",
        "| op | torch | axes | roles | facts | n |",
        "| --- | --- | --- | --- | --- | ---: |",
    ]


def _row(op: Op, samples: list[Sample]) -> str:
    layouts = [op.layout(sample.arguments, results_of(op, sample.arguments)) for sample in samples]
    cells = (
        f"`{op.name}`",
        ", ".join(dict.fromkeys(f"`{name}`" for name in map(_spelling, op.spellings))),
        f"`{_axes(op, samples[0])}`",
        ", ".join(_kinds(layouts)) or "fixed",
        ", ".join(_facts(op, samples[0])),
        str(len(samples)),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _spelling(given: Spelling | Callable[..., Any]) -> str:
    """A callable as one writes it: `torch.relu`, `x.relu`, `x.T`, `operator.add`."""
    function = given.function if isinstance(given, Spelling) else given
    name = getattr(function, "__name__", "")
    if name == "__get__":
        return f"x.{function.__self__.__name__}"  # type: ignore[attr-defined]
    for owner, holder in (*OWNERS, ("operator", operator)):
        if getattr(holder, name, None) is function:
            return f"{owner}.{name}"
    return f"{getattr(function, '__module__', '')}.{name}".removeprefix(".")


def _axes(op: Op, sample: Sample) -> str:
    """The signature of an op, or the forms of one sample."""
    if isinstance(op.axes, str):
        return op.axes
    complete = op.complete(sample.arguments)
    operands = [
        (path, tuple(tensor.shape))
        for name, argument in complete.items()
        for path, tensor in tensors_of(argument, (name,))
    ]
    outputs = [tuple(tensor.shape) for tensor in results_of(op, sample.arguments)]
    found = op.axes(Instance(complete, tuple(operands), tuple(outputs)))
    return found if isinstance(found, str) else str(found).partition(" | ")[0]


def _kinds(layouts: list[Layout]) -> list[str]:
    """The roles of atoms that may change, the most frequent first."""
    found = [role.kind for layout in layouts for role in layout.roles.values() if role.ways]
    return sorted({*found}, key=lambda kind: (-found.count(kind), kind))


def _facts(op: Op, sample: Sample) -> Iterator[str]:
    arguments = op.complete(sample.arguments)
    if op.bounds is not None:
        found = op.bounds(arguments, lambda _: ANYTHING)
        yield "follows" if found == ANYTHING else _interval(found)
    identity = op.identity_on(arguments) if op.identity_on is not None else None
    if identity is not None:
        yield f"id on {_interval(identity)}"
    if op.keeps_zero:
        yield "0 to 0"


def _interval(interval: Interval) -> str:
    if interval == ANYTHING:
        return "all"
    low = "(-inf" if interval.low == -torch.inf else f"[{interval.low:.4g}"
    high = "inf)" if interval.high == torch.inf else f"{interval.high:.4g}]"
    return f"{low}, {high}"


if __name__ == "__main__":
    sys.exit(main())
