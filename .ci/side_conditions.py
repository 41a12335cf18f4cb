"""Writes spec/side_conditions.md: what every op asks of its operands, from the declarations."""

from __future__ import annotations

import random
import sys
import textwrap
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from morphir.checks.movement import MOVES
from morphir.ops import OPS, Layout, Op
from morphir.ops.axes import Role, Site
from morphir.ops.forms import Atom, Form, Product, Sum, atoms_in
from morphir.ops.paths import Path as Place
from morphir.ops.paths import tensors_of
from morphir.ops.verdict import results_of

PAGE: Final = Path(__file__).resolve().parent.parent / "spec" / "side_conditions.md"

HEADER: Final = """\
# Side conditions

What the certificate checker asks of a call before it says how the results are related to the old
ones (CERT-11, [certificates](certificate.md)): {rows} rows, of {ops} ops. `python
.ci/side_conditions.py` writes this page from the declarations in `morphir/ops/` and from the
layouts of their samples, and a test fails where it is out of date, so a new op has its rows before
anybody reads it. [The op table](ops.md) has the declarations themselves.

`tests/ops/test_side_conditions.py` goes through every row and every op in it. It makes a pair of
calls that keeps the condition, and the checker has to accept it; and a pair that breaks just this
condition, and the checker has to refuse it. Both are run by the real op in float64, and the parts
of a unit are any numbers that sum to it: what is accepted has to be so, and what is refused has to
be another function, or the op is marked. A row names the operands whose axis is meant; `&rarr;
result` says that the result has it too.

- \\* **conservative**: what is refused was the same in every sample. The checker refuses more than
  it has to, as the op does not read the numbers, draws its own, or makes one of most of them.
- † torch itself runs no call that breaks the condition.
"""


# By key: `title` and `words`; which ops are marked, by row; whether all others are `strict`.
CONDITIONS: Final[Mapping[str, Any]] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf8")
)

# What a call is asked by more than its operands and its own declaration: the law, and what it says.
BEYOND: Final[Mapping[str, tuple[str, str]]] = {
    "CERT-1": (
        "inserted linear layer",
        "its weight is the identity, to the bit, and its bias zero",
    ),
    "CERT-2": ("inserted branch", "the weight and the bias of its last layer are zero, to the bit"),
    "CERT-3": (
        "inserted activation",
        "its operand is known to lie where it is the identity, as [the op table](ops.md) has it",
    ),
    "CERT-4": ("inserted sum", "its terms cancel: two layers with the same bits"),
    "CERT-5": (
        "random draws",
        "the same op draws as often, in the same order, by the same numbers",
    ),
    "CERT-10": ("changed weight", "copies hold one number, and parts of a unit sum to it exactly"),
    "CERT-13": ("inputs and outputs", "their axes do not change, where no claim excepts them"),
    "CERT-14": ("unit that a sum leaves out", "it is 0, whatever the input"),
    "CERT-16": (
        "constant unit that a bias takes over",
        "the new bias is the exact sum, and no zeros are padded on the way",
    ),
}


class Ask(NamedTuple):
    """One condition of one call.

    Attributes:
        condition: Its key.
        where: The operands that it is about, in words.
        subject: What it is about: an atom, the form of an axis, or the place of an argument.
    """

    condition: str
    where: str
    subject: Any


def asked(op: Op, arguments: Mapping[str, Any], layout: Layout) -> Iterator[Ask]:
    """What a call asks, as its declaration says."""
    complete = op.complete(arguments)
    operands = [found for name, a in complete.items() for found in tensors_of(a, (name,))]
    names = [str(path[0]) for path, _ in operands]
    for atom, role in layout.roles.items():
        inside = [site for site in layout.sites[atom] if not site.output]
        real = [_has_parts(operands[site.tensor][1]) for site in inside]
        for condition in _of_atom(atom, role, inside, real):
            yield Ask(condition, _where(condition, role, layout.sites[atom], names), atom)
    yield from _of_axes(layout, names)
    yield from _of_numbers(complete, layout, names)
    if op.name in MOVES and (op.name != "getitem" or len(operands) == 1):  # or a tensor says where
        yield Ask("moved", _listed(names), None)


def _of_atom(atom: Atom, role: Role, inside: list[Site], real: list[bool]) -> Iterator[str]:
    """The conditions about an atom; a factor of 1 may have become larger (AXIS-11)."""
    if not inside or (not role.ways and atom.size == 1 and atom.name != "Broadcast"):
        return
    if not role.ways:
        yield from ["fixed"] * (atom.size > 1) + ["broadcast"] * (atom.size == 1)
        return
    if role.kind in ("uniform", "zero", "unused"):
        return
    polarity = _polarity(role, real)
    yield from [polarity] if polarity else []
    yield from ["zero"] if role.kind == "map" else []
    yield from [role.maps] if role.maps != "any" and role.kind != "lin" else []
    yield from ["left out"] if role.kind == "sum" or polarity == "pairs" else []
    if len({site.tensor for site in inside}) > 1 and atom.size > 1:
        yield "alike"


def _polarity(role: Role, real: list[bool]) -> str | None:
    """Which condition says what may be split; None where anything may that has parts."""
    count = len(real)
    taken = {
        way[:count]
        for way in role.ways
        if all(is_real or side == "copy" for is_real, side in zip(real, way, strict=False))
    }
    if len(taken) == 2 ** sum(real) or role.maps == "permutation":
        return None
    known = {"map": "copied", "stat": "copied", "extremum": "copied", "sum": "sum"}
    if role.kind != "each":
        return known.get(role.kind, "together")
    if any("split" not in way for way in role.ways):
        return "one"
    return "pairs" if len(role.ways) == count == len(role.ways[0]) > 1 else "listed"


def _has_parts(tensor: Any) -> bool:
    return bool(tensor.is_floating_point() or tensor.is_complex())


def _where(condition: str, role: Role, sites: tuple[Site, ...], names: list[str]) -> str:
    if condition == "zero":
        return "all that are computed unit by unit"
    inside = [names[site.tensor] for site in sites if not site.output]
    text = _listed(inside)
    if condition in ("together", "listed"):
        sides = [*zip(inside, role.ways[-1], strict=False)]
        copied = _listed(name for name, side in sides if side == "copy")
        text = _listed(name for name, side in sides if side == "split")
        text += f"; copied: {copied}" if copied else ""
    return text if len(sites) == len(inside) else f"{text} -> result"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _of_axes(layout: Layout, names: list[str]) -> Iterator[Ask]:
    """The conditions about axes that are products or sums."""
    forms = {str(form): form for axes in layout.operands for form in axes}
    for form in forms.values():
        large = [atom for atom in atoms_in(form) if atom.size > 1]
        if len(large) < 2 or not any(layout.roles[atom].ways for atom in large):
            continue
        if isinstance(form, Product) or any(isinstance(p, Product) for p in _terms(form)):
            yield Ask("groups", _operands(layout, form, names), form)
        if isinstance(form, Sum):
            yield Ask("seams", _operands(layout, form, names), form)


def _terms(form: Form) -> tuple[Form, ...]:
    return form.terms if isinstance(form, Sum) else ()


def _operands(layout: Layout, form: Form, names: list[str]) -> str:
    """The operands that have an axis of a form, or of which it is a part."""
    atoms = {*atoms_in(form)}
    sides = zip(names, layout.operands, strict=True)
    return _listed(n for n, axes in sides if any(atoms <= {*atoms_in(each)} for each in axes))


def _of_numbers(complete: Mapping[str, Any], layout: Layout, names: list[str]) -> Iterator[Ask]:
    """The conditions about arguments that are no tensors."""
    follow = {rule.path for rule in layout.sizes}
    for path in sorted(follow, key=str):
        yield Ask("numbers", f"`{path[0]}`", path)
    for tied in layout.ties:
        if all(any(layout.roles[atom].ways for atom in atoms_in(form)) for form in tied):
            yield Ask("tied", _operands(layout, tied[0], names), tied)
    for name, argument in complete.items():
        for path in _settings(argument, (name,)):
            if path not in follow:
                yield Ask("arguments", "any", path)


def _settings(argument: Any, path: Place) -> Iterator[Place]:
    """The places of numbers and flags; of a tuple only the first one."""
    if isinstance(argument, bool | int | float):
        yield path
    elif isinstance(argument, tuple) and argument:
        yield from _settings(argument[0], (*path, 0))


# -- the page -------------------------------------------------------------------------------------


def page() -> str:
    """The text of the page."""
    rows: dict[str, dict[str, dict[str, None]]] = {key: defaultdict(dict) for key in CONDITIONS}
    for op in OPS:
        for sample in op.samples(random.Random(0)):
            layout = op.layout(sample.arguments, results_of(op, sample.arguments))
            for ask in asked(op, sample.arguments, layout):
                rows[ask.condition][ask.where][op.name] = None
    count = sum(map(len, rows.values()))
    parts = [_filled(HEADER.format(rows=count, ops=len(OPS)))]
    parts += ["\n".join(_section(key, rows[key])) for key in CONDITIONS]
    parts.append("\n".join(_beyond()))
    return "\n\n".join(parts) + "\n"


def _section(key: str, rows: Mapping[str, Iterable[str]]) -> Iterator[str]:
    yield from (f"## {CONDITIONS[key]['title']}", "", _filled(CONDITIONS[key]["words"]), "")
    yield from ("| of the operands | ops |", "| --- | --- |")
    for where in sorted(rows, key=lambda each: (each.count(","), each)):
        ops = ", ".join(f"`{name}`{_mark(key, where, name)}" for name in rows[where])
        yield f"| {where.replace('->', '&rarr;')} | {ops} |"


def _beyond() -> Iterator[str]:
    yield from ("## Beyond one call", "")
    yield _filled("Conditions of the lemmas, of the ends and of the state, which are stated in")
    yield from ("[certificates](certificate.md).", "", "| law | of | condition |")
    yield "| --- | --- | --- |"
    yield from (f"| {law} | {what} | {words} |" for law, (what, words) in BEYOND.items())


def _mark(key: str, where: str, name: str) -> str:
    return {"conservative": "\\*", "by-torch": " †", "refused": ""}[outcome(key, where, name)]


def outcome(key: str, where: str, name: str) -> str:
    """How an op refuses what breaks a row."""
    marked = ("conservative", "by-torch")
    rows = {mark: CONDITIONS[key].get(mark, {}).get(where, "") for mark in marked}
    return next((mark for mark, ops in rows.items() if name in ops.split()), "refused")


def _filled(text: str) -> str:
    """Paragraphs and list items in lines of the width of a page."""
    lines: list[str] = []
    for block in text.strip().split("\n\n"):
        items = block.replace("\n- ", "\n\n- ").split("\n\n")
        for item in items:
            indent = "  " if item.startswith("- ") else ""
            lines += textwrap.wrap(" ".join(item.split()), 130, subsequent_indent=indent)
        lines.append("")
    return "\n".join(lines).rstrip()


def main() -> int:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf8")
    print(f"wrote {PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
