"""Unification: a union-find of the atoms of a whole program, with refinement.

The layout of one call names its axes by atoms of its own (`morphir.ops.forms`). Here atoms of many
calls are made equal, and an atom that turns out to be a product or a sum is refined into it:

    PLAN-1   what is unified has the same leaves in the same order; the refinement is the coarsest
             that products with common factors, sums with common seams and products cut at
             multiples of their minor factors have
    PLAN-2   two forms without one are fixed, and the reason shows both
    PLAN-3   whatever is equal to something fixed, or part of it, is fixed, for the first reason
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, final

from morphir.ops.forms import Atom, Form, Product, Sum, add, atoms_in, multiply, parts_of

Pairs = list[tuple[Form, Form]]


@final
@dataclass(frozen=True, slots=True)
class Reason:
    """Why an axis cannot change.

    Attributes:
        text: What was found.
        op: The op that fixed it, empty where it was none.
        module: The qualified name of the module whose call the op ran in.
        source: `file:line` in the model's code.
    """

    text: str
    op: str = ""
    module: str = ""
    source: str = ""

    def __str__(self) -> str:
        module = f"module {self.module!r}" if self.module else ""
        places = ", ".join(filter(None, (module, self.source)))
        return f"{self.text} ({places})" if places else self.text


_SIZE_ONE: Final = Reason("it is a factor of size 1")
_EMPTY: Final = Reason("its size is 0")


def show_sizes(form: Form) -> str:
    """Writes a form by the sizes of its atoms: `(3 4)`, `(16 + 16)`."""
    if isinstance(form, Atom):
        return str(form.size)
    joint = " " if isinstance(form, Product) else " + "
    return f"({joint.join(map(show_sizes, parts_of(form)))})"


@final
class AtomTable:
    """The atoms of a program: which are equal, what they are made of, which are fixed.

    Every step makes two atoms one or refines one, so all of them together take time near-linear in
    the size of the forms.
    """

    def __init__(self) -> None:
        self._parent: dict[Atom, Atom] = {}
        self._made_of: dict[Atom, Form] = {}  # of roots: a product or a sum
        self._fixed: dict[Atom, int] = {}  # of roots: which reason
        self._reasons: list[Reason] = []

    def find(self, atom: Atom) -> Atom:
        """The atom that stands for all that are equal to this one."""
        root = atom
        while (parent := self._parent.get(root)) is not None:
            root = parent
        while atom is not root:
            self._parent[atom], atom = root, self._parent[atom]
        return root

    def normal_form(self, form: Form) -> Form:
        """The form in leaves, atoms that are not refined any further: a sum of products.

        A sum that leads a product is distributed, `(a + b) c = a c + b c`, so that what is unified
        has one normal form. A sum that follows a factor stays inside: `a (b + c)` interleaves.
        Terms of one unit become factors of size 1, and are fixed.
        """
        opened = self.opened(form)
        if isinstance(opened, Atom):
            return opened
        if isinstance(opened, Sum):
            return add(term for part in opened.terms for term in _terms(self.normal_form(part)))
        major, *minor = opened.factors
        tail = [self.normal_form(factor) for factor in minor]
        found: list[Form] = []
        for term in _terms(self.normal_form(major)):
            if term.size == 1:
                self.fix(term, _SIZE_ONE)
                found += _terms(self.normal_form(multiply(minor)))
            else:
                factors = term.factors if isinstance(term, Product) else (term,)
                found.append(multiply([*factors, *tail]))
        return add(found)

    def reason(self, leaf: Atom) -> Reason | None:
        """Why a leaf is fixed, or None where it is free."""
        index = self._fixed.get(self.find(leaf))
        return None if index is None else self._reasons[index]

    def fix(self, form: Form, reason: Reason) -> None:
        """Fixes a form with all its parts; what is fixed already keeps its reason (PLAN-3)."""
        self._reasons.append(reason)
        self._fix(form, len(self._reasons) - 1)

    def _fix(self, form: Form, index: int) -> None:
        pending = [form]
        while pending:
            part = pending.pop()
            if not isinstance(part, Atom):
                pending += parts_of(part)
                continue
            root = self.find(part)
            if root not in self._fixed:
                self._fixed[root] = index
                if root in self._made_of:
                    pending.append(self._made_of[root])

    def unify(self, first: Form, second: Form, place: Reason) -> None:
        """Makes two forms one axis (PLAN-1), or fixes them where they cannot be (PLAN-2).

        Args:
            first: A form.
            second: Another one of the same size.
            place: What to say of the place where they met, should they not fit; its text is
                replaced.

        Raises:
            ValueError: The sizes differ.
        """
        pending: Pairs = [(first, second)]
        while pending:
            a, b = pending.pop()
            a = self.find(a) if isinstance(a, Atom) else self._simplify(a)
            b = self.find(b) if isinstance(b, Atom) else self._simplify(b)
            if a.size != b.size:
                raise ValueError(f"cannot unify {show_sizes(a)} with {show_sizes(b)}")
            if a is b:
                continue
            if a.size == 0:
                self.fix(a, _EMPTY)
                self.fix(b, _EMPTY)
            elif isinstance(a, Atom) and a not in self._made_of:
                self._link(a, b)
            elif isinstance(b, Atom) and b not in self._made_of:
                self._link(b, a)
            else:
                pending += self._reconcile(self.opened(a), self.opened(b), place)
                if isinstance(a, Atom) and isinstance(b, Atom):
                    self._link(a, b)

    def _link(self, root: Atom, form: Form) -> None:
        """Lets a root stand for a form from now on."""
        if isinstance(form, Atom):
            self._parent[root] = form
            self._made_of.pop(root, None)
            index = self._fixed.pop(root, None)
            if index is not None:
                self._fix(form, index)
                self._fixed[form] = min(index, self._fixed[form])
        else:
            self._made_of[root] = form
            if root in self._fixed:
                self._fix(form, self._fixed[root])

    def _simplify(self, form: Form) -> Form:
        """A root, or a product or sum of at least two parts that is none of its own kind."""
        if isinstance(form, Atom):
            return self.find(form)
        parts = self._flatten(form)
        return parts[0] if len(parts) == 1 else type(form)(tuple(parts))

    def opened(self, form: Form) -> Form:
        """What a form is made of: a leaf, or a simplified product or sum."""
        simple = self._simplify(form)
        if not isinstance(simple, Atom) or simple not in self._made_of:
            return simple
        # Stored, so that a sum that grew term by term is walked once.
        opened = self._made_of[simple] = self._simplify(self._made_of[simple])
        return opened

    def _flatten(self, form: Product | Sum) -> list[Form]:
        """The parts of a form, of which none is of its kind and none says nothing (AXIS-6)."""
        kind, neutral = (Product, 1) if isinstance(form, Product) else (Sum, 0)
        found: list[Form] = []
        pending = [*reversed(parts_of(form))]
        while pending:
            part = self._simplify(pending.pop())
            inner = self._made_of.get(part, part) if isinstance(part, Atom) else part
            if isinstance(inner, kind):
                pending += reversed(parts_of(inner))
            elif part.size == neutral:
                self.fix(part, _SIZE_ONE if neutral else _EMPTY)
            else:
                found.append(part)
        return found or [self.find(next(atoms_in(form)))]

    def _reconcile(self, a: Form, b: Form, place: Reason) -> Pairs:
        """What has to be unified so that two products or sums are one; the rest is fixed."""
        pairs, clash = _align(a, b) if type(a) is type(b) else _distribute(a, b)
        if clash is not None:
            text = " and ".join(map(show_sizes, clash)) + " have no common refinement"
            for form in clash:
                self.fix(form, replace(place, text=text))
        return pairs


def _terms(form: Form) -> tuple[Form, ...]:
    return form.terms if isinstance(form, Sum) else (form,)


def _align(a: Form, b: Form) -> tuple[Pairs, tuple[Form, Form] | None]:
    """Walks two products, or two sums, from the major side and splits the bigger by the smaller.

    Returns:
        What is to be unified, and the rests from where the two do not fit.
    """
    make, kind = (multiply, Product) if isinstance(a, Product) else (add, Sum)
    pairs: Pairs = []
    sides = [*reversed(parts_of(a))], [*reversed(parts_of(b))]
    while all(sides):
        bigger = int(sides[0][-1].size < sides[1][-1].size)  # which side
        big, small = sides[bigger].pop(), sides[1 - bigger].pop()
        if big.size == small.size:
            pairs.append((big, small))
            continue
        size, over = divmod(big.size, small.size) if kind is Product else (big.size - small.size, 0)
        if over:
            sides[bigger].append(big)
            sides[1 - bigger].append(small)
            return pairs, (make(reversed(sides[0])), make(reversed(sides[1])))
        rest = Atom("rest", size)
        pairs.append((big, make([small, rest])))
        sides[bigger].append(rest)
    return pairs, None


def _distribute(a: Form, b: Form) -> tuple[Pairs, tuple[Form, Form] | None]:
    """Cuts the major factor of a product as a sum is cut: `p q = (p1 + p2) q = p1 q + p2 q`."""
    product, total = (a, b) if isinstance(a, Product) else (b, a)
    major, *minor = parts_of(product)
    inner = multiply(minor).size
    terms = parts_of(total)
    if any(term.size % inner for term in terms):
        return [], (product, total)
    cuts = [Atom("cut", term.size // inner) for term in terms]
    pairs: Pairs = [(term, multiply([cut, *minor])) for term, cut in zip(terms, cuts, strict=True)]
    return [(major, add(cuts)), *pairs], None
