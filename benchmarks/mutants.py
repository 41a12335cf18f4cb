"""How many single-weight mutants of emitted models each checker finds.

    python benchmarks/mutants.py [--per-family 120]

A model of each family of ops is changed by a pass. In the new model one number is then moved by one
unit in the last place, doubled, negated, cleared or exchanged with its neighbour, and each checker
is asked about old and new, on its own. Beside them stands what people do by hand: the outputs in
float32 on the example inputs, compared by `torch.testing.assert_close`. Writes
`results/mutants.json`.

What a mutant is not: a number that stays the same (a cleared zero), a weight behind a gate that is
zero, and a bias of keys, which no output of a softmax depends on.
"""

from __future__ import annotations

import argparse
import copy
import random
from collections import Counter
from typing import Final

import torch
from mutant_models import FAMILIES, changed
from results import write_results
from rich.progress import track
from torch import Tensor, nn

import morphir
from morphir import Certificate, Grade

KINDS: Final = ("ulp up", "ulp down", "double", "negate", "clear", "exchange")
CHECKERS: Final = ("certificate", "field", "float64")


def mutate(
    model: nn.Module, free: tuple[str, ...], draw: random.Random
) -> tuple[nn.Module, str, str] | None:
    """A copy in which one number is another, with its place and kind; None where it is the same."""
    mutant = copy.deepcopy(model)
    name, parameter = draw.choice(
        [p for p in mutant.named_parameters() if not p[0].startswith(free)]
    )
    kind, flat = draw.choice(KINDS), parameter.data.view(-1)
    at = draw.randrange(len(flat))
    if "in_proj_bias" in name and len(flat) // 3 <= at < 2 * len(flat) // 3:
        return None
    old = flat[at].clone()
    _apply(kind, flat, at)
    return None if flat[at] == old else (mutant, f"{name}[{at}]", kind)


def _apply(kind: str, flat: Tensor, at: int) -> None:
    infinity = torch.tensor(float("inf"))
    if kind == "exchange":
        other = (at + 1) % len(flat)
        flat[at], flat[other] = flat[other].clone(), flat[at].clone()
    else:
        flat[at] = {
            "ulp up": torch.nextafter(flat[at], infinity),
            "ulp down": torch.nextafter(flat[at], -infinity),
            "double": 2 * flat[at],
            "negate": -flat[at],
            "clear": 0 * flat[at],
        }[kind]


def found_by(
    model: nn.Module, mutant: nn.Module, certificate: Certificate, inputs: tuple[Tensor, ...]
) -> set[str]:
    """The checkers that object to a mutant."""
    found = set()
    for checker in CHECKERS:
        report = morphir.verify(
            model, mutant, example_inputs=inputs, certificate=certificate, checks=(checker,)
        )
        if report.grade not in (Grade.PROVED, Grade.TESTED):
            found.add(checker)
    try:
        torch.testing.assert_close(mutant(*inputs), model(*inputs))
    except AssertionError:
        found.add("assert_close")
    return found


def main() -> None:
    """Tries mutants of every family, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--per-family", type=int, default=120, help="mutants of each family")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in track(FAMILIES, description="mutants"):
        model, result = changed(name, 0)
        draw, killed, total = random.Random(name), Counter[str](), 0
        missed: list[dict[str, str]] = []
        while total < options.per_family:
            made = mutate(result.module, FAMILIES[name].free, draw)
            if made is None:
                continue
            mutant, place, kind = made
            total += 1
            found = found_by(model, mutant, result.certificate, FAMILIES[name].inputs)
            killed.update(found)
            missed += [
                {"checker": each, "place": place, "kind": kind}
                for each in CHECKERS
                if each not in found
            ]
        rows.append({"family": name, "mutants": total, "killed": dict(killed), "missed": missed})
        print(name, total, dict(killed), flush=True)
    print("written to", write_results("mutants", rows))


if __name__ == "__main__":
    main()
