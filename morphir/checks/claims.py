"""What a certificate says about inserted modules, checked on the program that was emitted.

    CERT-9   a claimed module is new, and every new module is claimed; it runs after every call of
             its anchor, on what the anchor computed, which nothing reads afterwards; and it keeps
             the function by the lemmas that its law rests on

The equality of the programs (CERT-5) does not need this. It is checked so that what a report says
about an insertion is true, and so that a forgotten call site or consumer is found, although an
identity that is left out somewhere harms nobody yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from morphir.checks.branches import check_branch
from morphir.checks.numbering import GraphForms
from morphir.checks.rejection import Rejection
from morphir.ir import Call, Graph, Node, Program, Value, is_inside, is_part_of
from morphir.ir.report import Certificate, InsertionClaim

_INJECTION: Final = "INJECT-1"
# Which lemmas are used inside a module that was inserted by a law. CERT-3 may always be; None for
# the laws of removal and injection, which are about any module.
_RESTS_ON: Final[Mapping[str, frozenset[str] | None]] = {
    "DEEPER-1": frozenset({"CERT-1"}),
    "DEEPER-2": frozenset({"CERT-1"}),
    "DEEPER-3": frozenset({"CERT-2", "CERT-4"}),
    "DEEPER-4": frozenset({"CERT-1", "CERT-2", "CERT-4"}),
    "SHALLOWER-1": None,
    "SHALLOWER-2": None,
    _INJECTION: None,
}
_AFTER_ITS_ACTIVATION: Final = ("DEEPER-2", "SHALLOWER-2")


def check_insertions(before: Program, after: Program, certificate: Certificate) -> None:
    """Checks what CERT-9 says about the programs as a whole.

    Raises:
        Rejection: A claim does not hold.
    """
    names = [claim.module for claim in certificate.insertions]
    old = _called(before) | {*before.modules}
    called = _called(after)
    for claim in certificate.insertions:
        where = claim.module or before.model
        if names.count(claim.module) > 1:
            raise Rejection("CERT-9: this module is claimed twice", where)
        if claim.law not in _RESTS_ON:
            raise Rejection(f"CERT-9: {claim.law!r} is no law of insertion", where)
        if any(is_inside(name, [claim.module]) for name in old):
            raise Rejection("CERT-9: this module is claimed to be new and is not", where)
        if claim.module not in called:
            raise Rejection("CERT-9: this module is claimed to run and never does", where)
        if {*claim.freezes} != _frozen_by(before, claim):
            raise Rejection("CERT-17: other parameters are claimed to stop to learn", where)
    for name in sorted(called - old):
        if not is_inside(name, names):
            raise Rejection("CERT-9: this module is new and no claim covers it", name)


def _frozen_by(before: Program, claim: InsertionClaim) -> set[str]:
    """The parameters that stop to learn by a law: all that the anchor has, or none."""
    if claim.law != _INJECTION:
        return set()
    entries = before.state.values()
    return {e.name for e in entries if e.kind == "parameter" and is_part_of(e.name, claim.anchor)}


def _called(program: Program) -> set[str]:
    return {call.module for graph in program.graphs.values() for call in graph.calls}


def check_calls(graph: Graph, forms: GraphForms, certificate: Certificate) -> None:
    """Checks what CERT-9 says about one entry point of the new program.

    Raises:
        Rejection: A claim does not hold there.
    """
    for claim in certificate.insertions:
        if claim.law == _INJECTION:
            check_branch(graph, forms, claim)
            continue
        same_anchor = (c.module for c in certificate.insertions if c.anchor == claim.anchor)
        _check_claim(graph, forms, claim, frozenset({claim.anchor, *same_anchor}))


def _check_claim(
    graph: Graph, forms: GraphForms, claim: InsertionClaim, kin: frozenset[str]
) -> None:
    def reject(what: str) -> Rejection:
        return Rejection(f"CERT-9: {claim.module!r} {what}", f"{graph.name}: {claim.module}")

    calls = [(path, item) for path, item in graph.walk() if isinstance(item, Call)]
    anchors = [call for _, call in calls if call.module == claim.anchor]
    own = [(path, call) for path, call in calls if call.module == claim.module]
    if len(own) != len(anchors):
        raise reject(f"runs {len(own)} times, its anchor {claim.anchor!r} {len(anchors)} times")
    computed = {v for _, call in calls if call.module in kin for v in call.results}
    for path, call in own:
        nodes, operands = call.nodes, call.operands
        if len(operands) != 1 or len(call.results) != 1:
            raise reject(f"takes {len(operands)} tensors and returns {len(call.results)}")
        is_guest = bool(path) and path[-1].module == claim.anchor
        if not (_comes_last(path[-1], kin) if is_guest else operands[0] in computed):
            raise reject(f"does not run on what {claim.anchor!r} computed")
        reader = _later_reader(graph, operands[0], nodes[-1])
        if reader is not None:
            raise reject(f"is bypassed: what it runs on is read afterwards by {reader}")
        complaint = _complaint(forms, claim.law, nodes, operands[0], call.results[0])
        if complaint:
            raise reject(f"{complaint}, which is not {claim.law}")


def _comes_last(anchor: Call, guests: frozenset[str]) -> bool:
    """Whether an anchor's call ends with its guests."""
    is_guest = [isinstance(item, Call) and item.module in guests for item in anchor.body]
    return all(is_guest[is_guest.index(True) :])


def _later_reader(graph: Graph, operand: Value, last: Node) -> str | None:
    """Who reads a value after a node; tensors that a module kept for itself don't count."""
    after = graph.nodes[graph.nodes.index(last) + 1 :]
    readers = [
        f"{n.op!r} in {graph.modules[n] or 'the model'!r}" for n in after if operand in n.operands
    ]
    readers += [
        f"output {path!r}"
        for path, value in graph.outputs
        if value is operand and not path.startswith("self.")
    ]
    return next(iter(readers), None)


def _complaint(
    forms: GraphForms, law: str, nodes: Sequence[Node], operand: Value, result: Value
) -> str:
    """Why a module does not keep the function by the law that it claims, or ""."""
    used = {forms.lemmas.get(node, "") for node in nodes} - {"", "CERT-3"}
    if _RESTS_ON[law] not in (None, used):
        return f"rests on {', '.join(sorted(used)) or 'no lemma'}"
    if law in _AFTER_ITS_ACTIVATION:
        is_first = forms.of(result) == forms.of(nodes[0].outputs[0])
        is_layer = forms.lemmas.get(nodes[0]) == "CERT-1"
        return "" if is_first and not is_layer else "starts with its layer"
    if forms.of(result) != forms.of(operand):
        return "does not return its operand"
    return ""
