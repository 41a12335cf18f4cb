"""Size obligations: the numbers in a model's code that have to follow its axes.

PLAN-10  every number of a call that follows an axis has the axis' new size: a size that was
         read follows by itself, an attribute is set, arithmetic on these is computed, and any
         other number refuses
PLAN-11  an attribute has one number wherever it is read; a number that follows no axis stays
         what it was
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import final

from morphir.axes.atoms import Reason
from morphir.axes.flow import Flow, Step
from morphir.axes.incidence import Incidence, Name
from morphir.axes.numbers import attributes_in, compute, show_number, sizes_in, undo
from morphir.errors import RefusalError
from morphir.ir import Argument, Arithmetic, ModuleAttribute, SizeOf
from morphir.ops import Atom, Form
from morphir.ops.forms import Sum, atoms_in, parts_of
from morphir.ops.paths import read_path, show_path

Sizes = Mapping[Atom, int]  # leaves to new sizes


@final
@dataclass(frozen=True, eq=False, slots=True)
class Demand:
    """A number that a call needs.

    Attributes:
        step: The call.
        what: Which of its arguments, in words.
        number: How the argument was computed; an int where that is not known.
        old: What it is.
        new: What it has to be.
        form: The axis that it follows, in atoms of the program; None where it follows none.
    """

    step: Step
    what: str
    number: Argument
    old: int
    new: int
    form: Form | None


@final
@dataclass(frozen=True, eq=False, slots=True)
class Unmet:
    """What stands in the way of new sizes.

    Attributes:
        refusal: What to tell.
        leaves: What would have to change as well, those first that are likely to help.
        at: The call, and which of its arguments.
    """

    refusal: RefusalError
    leaves: tuple[Atom, ...]
    at: tuple[Step, str]


@final
class Obligations:
    """What the calls of a program ask of new sizes."""

    def __init__(self, flow: Flow, incidence: Incidence, sizes: Sizes) -> None:
        self._numbers: dict[Name, int] = {}  # what an attribute has to be, changed or not
        self._flow = flow
        self._incidence = incidence
        self._sizes = sizes
        self._asked: dict[Name, tuple[ModuleAttribute, Demand]] = {}  # who asked for it
        self._new: dict[Atom, int] = {}

    def meet(self) -> Unmet | None:
        """Solves for the attributes; the first obligation that cannot be met, or None."""
        steps = self._incidence.steps(self._sizes)
        while True:
            demands = [demand for step in steps for demand in self._demands(step)]
            known = len(self._numbers)
            unmet = self._solve(demands)
            if unmet is not None:
                return unmet
            if len(self._numbers) == known:
                return self._unequal(steps)
            steps = self._incidence.steps(self._sizes, map(_name, self.attributes))

    @property
    def attributes(self) -> dict[ModuleAttribute, int]:
        """The attributes that change, and their new numbers, once the obligations are met."""
        return {
            attribute: self._numbers[name]
            for name, (attribute, _) in self._asked.items()
            if self._numbers[name] != attribute.number
        }

    def attribute_of(self, leaf: Atom) -> ModuleAttribute | None:
        """The first attribute that is the number of units of a leaf; an element of one is not."""
        for step in self._incidence.steps([leaf]):
            for demand in self._demands(step):
                form, number = demand.form, demand.number
                is_whole = isinstance(form, Atom) and self._flow.form(form) is leaf
                if is_whole and isinstance(number, ModuleAttribute) and "[" not in number.name:
                    return number
        return None

    def _solve(self, demands: list[Demand]) -> Unmet | None:
        for demand in demands:
            if isinstance(demand.number, ModuleAttribute):
                self._set(demand.number, demand.new, demand)
        for demand in demands:
            if self._value(demand.number) == demand.new:
                continue
            found = self._invert(demand.number, demand.new)
            if found is None:
                return self._unmet(demand)
            self._set(*found, demand)
        return next((self._unmet(d) for d in demands if self._value(d.number) != d.new), None)

    def _set(self, attribute: ModuleAttribute, number: int, demand: Demand) -> None:
        name = _name(attribute)
        if name not in self._numbers:
            self._numbers[name], self._asked[name] = number, (attribute, demand)

    def _demands(self, step: Step) -> Iterator[Demand]:
        """What a call asks: of the numbers that follow an axis, and of those that follow none."""
        rules = () if step.bound is None else step.bound.layout.sizes
        for rule in rules:
            form = step.bound.form(rule.form) if step.bound else rule.form
            try:
                number = read_path(step.node.arguments, rule.path)
            except (KeyError, IndexError):
                number = rule.sign * form.size  # a default, which nobody wrote
            old, new = rule.sign * form.size, rule.sign * self.new_size(form)
            yield Demand(step, show_path(rule.path), number, old, new, form)
        follows = {rule.path for rule in rules}
        for path, number in step.numbers:
            if path not in follows:
                old = compute(number, lambda size: self._dim(size).size, lambda a: a.number)
                yield Demand(step, show_path(path), number, old, old, None)

    def new_size(self, form: Form) -> int:
        """The size of a form afterwards."""
        if isinstance(form, Atom):
            made_of = self._flow.form(form)
            if isinstance(made_of, Atom):
                return self._sizes.get(made_of, made_of.size)
            if form not in self._new:
                self._new[form] = self.new_size(made_of)
            return self._new[form]
        sizes = [self.new_size(part) for part in parts_of(form)]
        return sum(sizes) if isinstance(form, Sum) else prod(sizes)

    def _dim(self, size: SizeOf) -> Atom:
        return self._flow.dims(size.value).atoms[size.axis]

    def _value(self, number: Argument) -> int:
        """What a number will be."""
        return compute(
            number,
            lambda size: self.new_size(self._dim(size)),
            lambda attribute: self._numbers.get(_name(attribute), attribute.number),
        )

    def _invert(self, number: Argument, wanted: int) -> tuple[ModuleAttribute, int] | None:
        """The one attribute that nobody has set yet, and what it must be; None where unclear."""
        if isinstance(number, ModuleAttribute):
            return None if _name(number) in self._numbers else (number, wanted)
        if not isinstance(number, Arithmetic):
            return None
        left, right = (
            [a for a in attributes_in(part) if _name(a) not in self._numbers]
            for part in (number.left, number.right)
        )
        if len(left) + len(right) != 1:
            return None
        others = self._value(number.left), self._value(number.right)
        inner = undo(number.op, *others, wanted, solve_left=bool(left))
        part = number.left if left else number.right
        return None if inner is None else self._invert(part, inner)

    def _unmet(self, demand: Demand) -> Unmet:
        place, number = demand.step.place, demand.number
        needs = f"{demand.what} of {place.op} would have to be {demand.new}"
        if isinstance(number, int):
            refusal = RefusalError(
                # What hands out plain numbers can't be told from the code that writes them.
                f"{needs}, and {demand.old} does not follow: it is written in the code, or comes "
                f"from a tuple, a list, a dict or int(){_where(place)}",
                nodes=[place.module] if place.module else [],
                suggestions=[
                    "morphir.lower(model, example_inputs=...) first, which makes it an attribute",
                    "a size that is read from a shape, or an integer attribute of the module, in "
                    "its place",
                ],
            )
            return Unmet(refusal, self._leaves(demand), (demand.step, demand.what))
        text = f"{needs}, and {show_number(number)} would be {self._value(number)}{_where(place)}"
        nodes = [place.module]
        for attribute in attributes_in(number):
            _, asked = self._asked.get(_name(attribute), (attribute, demand))
            if asked.step.place != place:
                becomes = self._numbers[_name(attribute)]
                text += (
                    f"; {show_number(attribute)} has to be {becomes} for {asked.what} of "
                    f"{asked.step.place.op}{_where(asked.step.place)}"
                )
                nodes.append(asked.step.place.module)
        refusal = RefusalError(text, nodes=[*dict.fromkeys(filter(None, nodes))])
        return Unmet(refusal, self._leaves(demand), (demand.step, demand.what))

    def _leaves(self, demand: Demand) -> tuple[Atom, ...]:
        """What a change of which might help: what its attributes follow, its axis, its sizes."""
        found: list[Atom] = []
        for attribute in attributes_in(demand.number):
            for step in self._incidence.steps((), [_name(attribute)]):
                for other in self._demands(step):
                    if other.number == attribute and other.form is not None:
                        found += self._leaves_in(other.form)
        if demand.form is not None:
            found += self._leaves_in(demand.form)
        for size in sizes_in(demand.number):
            found += self._leaves_in(self._dim(size))
        return tuple(dict.fromkeys(found))

    def _leaves_in(self, form: Form) -> list[Atom]:
        return [leaf for atom in atoms_in(form) for leaf in self._flow.leaves(atom)]

    def _unequal(self, steps: list[Step]) -> Unmet | None:
        """The first parts that have to stay of equal size and do not."""
        for step in steps:
            for tied in () if step.bound is None else step.bound.layout.ties:
                forms = [step.bound.form(form) for form in tied] if step.bound else []
                sizes = [self.new_size(form) for form in forms]
                if len({*sizes}) > 1:
                    place = step.place
                    shown = ", ".join(map(str, sizes))
                    refusal = RefusalError(
                        f"{place.op} wants parts of equal size, and they would have {shown}"
                        f"{_where(place)}",
                        nodes=[place.module] if place.module else [],
                    )
                    leaves = [leaf for form in forms for leaf in self._leaves_in(form)]
                    return Unmet(refusal, tuple(dict.fromkeys(leaves)), (step, "parts"))
        return None


def _name(attribute: ModuleAttribute) -> Name:
    return attribute.module, attribute.name


def _where(place: Reason) -> str:
    return str(Reason("", "", place.module, place.source))
