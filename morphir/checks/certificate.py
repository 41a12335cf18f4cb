"""The certificate checker: decides that two programs compute the same.

    CERT-5   if the state that both programs have is equal to the bit, and in every entry point the
             outputs, the state updates and the values that left torch have equal forms, then the
             programs return the same tensors for all inputs that take the recorded path
    CERT-6   state that only one program has is new state of the second, finite, inside claimed
             modules, or the mask of a parameter that is claimed to have one
    CERT-13  no axis of an input or output changed, but for those that are claimed to be longer and
             are by exactly that; and an update of state changed as that state did
    CERT-8   nothing is proved about programs without entry points, or where no output depends on
             the content of an input
    CERT-15  a change may be claimed the other way round, as that from the new program to the old
             one: a merger is a widening read backwards, a removal an insertion

It reads two programs, both recorded from modules, and the certificate; it imports nothing from the
passes, the frontend or the backend. A rejection names the law and the node. It is never a
counterexample: the grade is then `UNKNOWN`, and another checker may refute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, final

import torch

from morphir.checks.bits import digest, equal_bits
from morphir.checks.calls import Axes
from morphir.checks.claims import check_calls, check_insertions
from morphir.checks.commits import Commits
from morphir.checks.ends import check_claims, check_ends, input_axes
from morphir.checks.folds import may_take_over
from morphir.checks.following import Following
from morphir.checks.forms import FormTable
from morphir.checks.masked import check_masked, newly_used
from morphir.checks.numbering import GraphForms
from morphir.checks.rejection import Rejection
from morphir.checks.weights import unrelated
from morphir.errors import VerificationError
from morphir.ir import (
    Graph,
    Node,
    Program,
    StateEntry,
    TensorChange,
    Value,
    check_structure,
    is_inside,
    number_values,
    print_node,
)
from morphir.ir.report import Certificate, Check, Grade, counted
from morphir.ops import OpTable
from morphir.ops.box import propagate_boxes
from morphir.ops.box_rules import Box


def check_certificate(
    before: Program,
    after: Program,
    certificate: Certificate | None,
    table: OpTable,
    commits: Commits | None = None,
) -> Check:
    """Checks that two programs are equal (CERT-5).

    Args:
        before: The old program.
        after: The new program, recorded from the module that was emitted.
        certificate: Which programs are meant, and what was inserted where. Without one, new state
            may be anywhere, and only what the programs compute is checked.
        table: The op declarations; they are part of what is trusted.
        commits: What was found of tensors when they changed, whose old numbers are gone.

    Returns:
        A check with the grade `PROVED`, or `UNKNOWN` with the first thing that stands in the way.
    """
    if certificate is not None and certificate.is_inverse:  # equality is symmetric (CERT-15)
        before, after, certificate = after, before, certificate.inverted
    name = "certificate" if after.mode == "eval" else f"certificate ({after.mode})"
    try:
        proof = _Proof(before, after, certificate, table, commits)
        for entry_point in before.graphs:
            proof.compare(entry_point)
        return Check(name, proof.grade, proof.summary(), figures=proof.figures())
    except Rejection as rejection:
        return Check(name, Grade.UNKNOWN, rejection.summary, rejection.where)


@final
class _Proof:
    """One attempt; whatever does not hold is raised as a rejection."""

    def __init__(
        self,
        before: Program,
        after: Program,
        certificate: Certificate | None,
        table: OpTable,
        commits: Commits | None,
    ) -> None:
        self._before, self._after, self._table = before, after, table
        self._certificate = certificate
        self._lemmas: Counter[str] = Counter()
        self._nodes = self._escapes = 0
        self._is_random = False
        _check_identity(before, after, certificate)
        if certificate is not None:
            if certificate.is_inverse:
                raise Rejection("CERT-15: changes are claimed in both directions", after.model)
            check_claims(before, certificate)
            check_insertions(before, after, certificate)
        self._changed, self._biases = _check_state(before, after, certificate, commits)
        self._calls = self._assumed = self._folds = 0
        self._draws = False
        self._fresh = _new_state(before, after, certificate)
        self._inserted = (
            frozenset(c.module for c in certificate.insertions) if certificate else frozenset()
        )
        self._old_atoms = _state_atoms(before, {})
        self._new_atoms = _state_atoms(after, self._fresh)

    def compare(self, entry_point: str) -> None:
        """Compares one entry point."""
        old, new = self._before.graphs[entry_point], self._after.graphs[entry_point]
        given = self._certificate
        inputs = input_axes(old, new, () if given is None else given.inputs)
        outputs = () if given is None else given.outputs
        forms = FormTable()
        none: frozenset[str] = frozenset()
        tensors = {n: e.tensor for n, e in self._before.state.items() if e.tensor is not None}
        boxes = self._boxes(old, tensors)
        following = Following(self._changed, tensors, boxes, inputs, self._biases)
        was = GraphForms(old, self._before, self._old_atoms, {}, none, forms, self._table)
        now = GraphForms(
            new,
            self._after,
            self._new_atoms,
            self._fresh,
            self._inserted,
            forms,
            self._table,
            was,
            # Where nothing changed, what is new is new: zeros of some size aren't other zeros.
            following if self._changed or inputs else None,
        )
        check_ends(new, following, outputs)
        self._calls += following.calls
        self._folds += following.folds
        self._draws |= following.draws
        self._assumed = max(self._assumed, following.assumed)
        if _seen_from_outside(old, was) != _seen_from_outside(new, now):
            self._reject(old, new, was, now)
        if self._certificate is not None:
            check_calls(new, now, self._certificate)
        if not any(forms.depends_on_input(now.of(value)) for _, value in new.outputs):
            raise Rejection("CERT-8: no output depends on the content of an input", new.name)
        self._lemmas.update(now.lemmas.values())
        self._nodes += len(new.nodes)
        self._escapes += len(now.escapes)
        self._is_random = self._is_random or any(node.random for node in new.nodes)

    def _boxes(
        self, graph: Graph, tensors: Mapping[str, torch.Tensor]
    ) -> list[Callable[[], Mapping[Value, Box]]]:
        """What is known about elements: whatever the input, and if the inputs lie in a box."""
        if len(tensors) < len(self._before.state):
            return []
        given = None if self._certificate is None else self._certificate.box
        bounds: list[Mapping[str, tuple[float, float]]] = [{}] if given is None else [{}, given]
        return [
            cache(partial(propagate_boxes, graph, tensors, self._table, each)) for each in bounds
        ]

    @property
    def grade(self) -> Grade:
        """What was proved: for all inputs, or for those in the box."""
        return Grade.PROVED if self._assumed < 2 else Grade.PROVED_ON_BOX

    def _reject(self, old: Graph, new: Graph, was: GraphForms, now: GraphForms) -> None:
        node = _first_difference(old, new, was, now, self._inserted)
        if node is None:
            raise Rejection(_difference_in_words(old, new, was, now), new.name)
        where = f"{new.name}: {print_node(node, number_values(new))}"
        module = new.modules[node]
        raise Rejection(
            f"CERT-5: this node of {module or 'the model'!r} has no equal in the old program", where
        )

    def summary(self) -> str:
        """What was proved, in one line."""
        used = ", ".join(f"{lemma} x{count}" for lemma, count in sorted(self._lemmas.items()))
        given = ["the same random draws"] * self._is_random
        given += ["one draw for all copies of a unit"] * self._draws
        if self._escapes:
            given.append(f"the same Python on {counted(self._escapes, 'value')}")
        equal = counted(len(self._before.state) - len(self._changed), "tensor")
        line = f"{counted(self._nodes, 'node')}, {equal} equal to the bit; "
        if self._changed:
            related = counted(len(self._changed), "tensor")
            line += f"{related} and {counted(self._calls, 'call')} related exactly; "
            constant = "constants that biases took over" if self._folds else "0"
            line += f"units left out are {constant}; " if self._assumed else ""
        line += f"{used or 'congruence only'}"
        return f"{line}; given {' and '.join(given)}" if given else line

    def figures(self) -> dict[str, float]:
        """What was counted; facts are what the field checker may not see (FIELD-7)."""
        facts = self._lemmas.total() + self._assumed + self._folds
        return {
            "nodes": float(self._nodes),
            "tensors": float(len(self._before.state)),
            "escapes": float(self._escapes),
            **({"facts": float(facts)} if facts else {}),
            **({"related tensors": float(len(self._changed))} if self._changed else {}),
            **{lemma: float(count) for lemma, count in sorted(self._lemmas.items())},
        }


def _check_identity(before: Program, after: Program, certificate: Certificate | None) -> None:
    for program in (before, after):
        try:
            check_structure(program)
        except VerificationError as error:
            raise Rejection(f"the program is malformed: {error}", program.model) from error
    if before.mode != after.mode:
        raise Rejection(f"one is of mode {before.mode!r}, the other {after.mode!r}", after.model)
    if before.graphs.keys() != after.graphs.keys():
        differing = ", ".join(sorted({*before.graphs} ^ {*after.graphs}))
        raise Rejection("CERT-5: only one program has this entry point", differing)
    if not before.graphs:
        raise Rejection("CERT-8: there is no entry point", before.model)
    if certificate is None:
        return
    if certificate.steps:
        count = len(certificate.steps)
        raise Rejection(f"the certificate has {count} steps, each between two models of its own")
    for what, program, stated in (
        ("before", before, certificate.before),
        ("after", after, certificate.after),
    ):
        if program.hash != stated:
            raise Rejection(f"the certificate is about another program {what}", program.model)


def _check_state(
    before: Program, after: Program, certificate: Certificate | None, commits: Commits | None
) -> tuple[dict[str, Axes], dict[str, torch.Tensor]]:
    """Checks the state of CERT-5 and CERT-10: equal bit for bit, or related as claimed.

    Returns:
        The relations of the entries that changed, and the numbers of biases that may have taken
        units over: each call says whether they are right (CERT-16).
    """
    claimed = {} if certificate is None else certificate.tensors
    missing = sorted(claimed.keys() - before.state.keys())
    if missing:
        raise Rejection("CERT-10: a tensor is claimed to change that there is not", missing[0])
    renumbered = set() if certificate is None else {*certificate.renumbered}
    masked = set() if certificate is None else {*certificate.masked}
    check_masked(before, after, {*claimed, *renumbered, *masked})
    changed: dict[str, Axes] = {}
    biases: dict[str, torch.Tensor] = {}
    for name, entry in before.state.items():
        if entry.kind == "constant":
            continue  # what the code makes on the way is known by its content
        other = after.state.get(name)
        if other is None:
            raise Rejection("CERT-6: a tensor is missing", f"@{name}")
        if name in claimed:
            is_mask = name in before.masks
            changed[name], problem = _relate(entry, other, claimed[name], commits, is_mask=is_mask)
            may_differ = problem or not any(changed[name])
            if may_differ and other.tensor is not None and may_take_over(after, name, claimed):
                biases[name] = other.tensor
            elif problem:
                raise Rejection(f"CERT-10: {problem}", f"@{name}")
            continue
        if before.masks.get(name) not in masked:  # else no entry point reads it
            may_be_masked, is_told = name in masked, name in renumbered
            _check_untouched(entry, other, commits, may_be_masked=may_be_masked, is_told=is_told)
    return changed, biases


def _check_untouched(
    entry: StateEntry,
    other: StateEntry,
    commits: Commits | None,
    *,
    may_be_masked: bool,
    is_told: bool,
) -> None:
    """Checks the state of CERT-5 that no claim is about, but perhaps that it has another mask.

    Other numbers prove nothing, also where a change says that it gives them (`is_told`).
    """
    where = f"@{entry.name}"
    if entry != other and not (may_be_masked and replace(entry, mask=other.mask) == other):
        found, expected = (f"{e.kind} {e.type} {e.aliases}" for e in (other, entry))
        raise Rejection(
            f"CERT-5: another kind, type or other names: {found}, expected {expected}", where
        )
    same = equal_bits if commits is None else commits.equal_bits
    if not same(entry.tensor, other.tensor):
        what = "was given other numbers" if is_told else "should be untouched, and differs"
        raise Rejection(f"CERT-5: a tensor {what}", where)


def _relate(
    entry: StateEntry,
    other: StateEntry,
    change: TensorChange,
    commits: Commits | None,
    *,
    is_mask: bool,
) -> tuple[Axes, str]:
    """The relations of the axes of a tensor, and why its numbers are not related so, or ""."""
    where = f"@{entry.name}"
    if (entry.kind, entry.aliases) != (other.kind, other.aliases):
        found = f"{other.kind} {other.aliases}"
        raise Rejection(f"CERT-10: another kind or other names: {found}", where)
    relations = [axis.relation for axis in change]
    sizes = tuple(relation.size for relation in relations)
    if sizes != entry.type.shape:
        raise Rejection(f"CERT-10: axes of {sizes} are claimed of {entry.type}", where)
    problem = None if commits is None else commits.outcome(entry.name, change, other.tensor)
    if problem is None:
        if entry.tensor is None or other.tensor is None:
            raise Rejection("CERT-10: a tensor has no numbers", where)
        problem = unrelated(entry.tensor, other.tensor, relations)
    if problem and is_mask:
        problem = newly_used(entry.tensor, other.tensor, relations)
    return tuple(None if relation.is_identity else relation for relation in relations), problem


def _new_state(
    before: Program, after: Program, certificate: Certificate | None
) -> dict[str, torch.Tensor]:
    """Checks CERT-6; returns what only the new program has."""
    fresh: dict[str, torch.Tensor] = {}
    for name, entry in after.state.items():
        if entry.kind == "constant" or name in before.state:
            continue
        claimed = [] if certificate is None else [c.module for c in certificate.insertions]
        if certificate is not None and after.masks.get(name) in certificate.masked:
            continue
        if certificate is not None and not is_inside(name, claimed):
            raise Rejection("CERT-6: there is new state that no claim covers", f"@{name}")
        if entry.tensor is None:
            raise Rejection("CERT-6: new state has no numbers", f"@{name}")
        if not bool(entry.tensor.isfinite().all()):
            raise Rejection("CERT-6: new state is not finite", f"@{name}")
        fresh[name] = entry.tensor
    return fresh


def _state_atoms(program: Program, fresh: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What stands for each tensor: its name; for constants and new state its content."""
    atoms: dict[str, Any] = {}
    for name, entry in program.state.items():
        if entry.kind != "constant" and name not in fresh:
            atoms[name] = name
            continue
        content = None if entry.tensor is None else digest(entry.tensor)
        if content is None:
            raise Rejection("CERT-6: the bits of this tensor can't be compared", f"@{name}")
        atoms[name] = (content,)
    return atoms


def _seen_from_outside(graph: Graph, forms: GraphForms) -> tuple[object, ...]:
    """What the rest of the world sees of a call."""
    return (
        [(path, forms.of(value)) for path, value in graph.outputs],
        {name: forms.of(value) for name, value in graph.updates},
        forms.escapes,
        forms.random,
        forms.world,
    )


def _difference_in_words(old: Graph, new: Graph, was: GraphForms, now: GraphForms) -> str:
    parts = ("outputs", "state updates", "values that left torch", "random draws", "undeclared ops")
    sides = zip(parts, _seen_from_outside(old, was), _seen_from_outside(new, now), strict=True)
    return f"CERT-5: these differ: {', '.join(part for part, a, b in sides if a != b)}"


def _first_difference(
    old: Graph, new: Graph, was: GraphForms, now: GraphForms, inserted: frozenset[str]
) -> Node | None:
    """The first node without an equal in the old graph; of inserted modules only results count."""
    known = {was.of(value) for node in old.nodes for value in node.outputs}
    known |= {was.of(value) for value in old.inputs}
    results = {v for call in new.calls if call.module in inserted for v in call.results}
    for node in new.nodes:
        module = new.modules[node]
        inside = is_inside(module, inserted)
        relevant: list[Value] = [v for v in node.outputs if not inside or v in results]
        if any(now.of(value) not in known for value in relevant):
            return _culprit(new, now, node, inserted) if inside else node
    return None


def _culprit(graph: Graph, forms: GraphForms, result: Node, inserted: frozenset[str]) -> Node:
    """The last node of an inserted module that reads new state and that no lemma explains."""
    (around,) = (name for name in inserted if is_inside(graph.modules[result], [name]))
    nodes = [n for n in graph.nodes[: graph.nodes.index(result) + 1] if n not in forms.lemmas]
    reads = [n for n in nodes if any(is_inside(v.name, [around]) for v in n.operands)]
    return reads[-1] if reads else result
