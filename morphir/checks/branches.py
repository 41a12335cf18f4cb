"""What a certificate says about injected branches, checked on the program that was emitted.

    CERT-17  a branch ends the call of its anchor: it reads what the anchor computed there, which
             nothing else reads afterwards, and what the anchor itself was given; it adds to the
             first the difference of two results, and these are equal (CERT-4)

As CERT-9 for inserted modules, this is not needed for equality.
"""

from __future__ import annotations

from morphir.checks.numbering import GraphForms
from morphir.checks.rejection import Rejection
from morphir.ir import Call, Graph, added_to
from morphir.ir.report import InsertionClaim


def check_branch(graph: Graph, forms: GraphForms, claim: InsertionClaim) -> None:
    """Checks what CERT-17 says about one entry point of the new program.

    Raises:
        Rejection: The claim does not hold there.
    """

    def reject(what: str) -> Rejection:
        return Rejection(f"CERT-17: {claim.module!r} {what}", f"{graph.name}: {claim.module}")

    anchors, branches = graph.runs_of(claim.anchor), graph.calls_of(claim.module)
    if len(anchors) != len(branches):
        counts = f"{len(branches)} times, its anchor {len(anchors)} times"
        raise reject(f"runs {counts}")
    place = repr(claim.anchor) if claim.anchor else "the model"
    for anchor, branch in zip(anchors, branches, strict=True):
        if not any(item is branch for item in anchor.body):
            raise reject(f"does not run inside a call of {place}")
        if anchor.body[-1] is not branch or not {*branch.results} & {*anchor.results}:
            raise reject(f"does not end the call of {place}")
        complaint = _complaint(graph, forms, anchor, branch)
        if complaint:
            raise reject(complaint)


def _complaint(graph: Graph, forms: GraphForms, anchor: Call, branch: Call) -> str:
    """Why a call is no branch of the call that it runs in, or ""."""
    try:
        operand = added_to(branch)
    except ValueError:
        return "adds nothing to anything"
    if len(branch.nodes) < 2:
        return "adds no difference"
    *_, difference, total = branch.nodes
    if total.arguments.get("other") not in difference.outputs or difference.op != "sub":
        return "adds no difference"
    if any(forms.lemmas.get(node) != "CERT-4" for node in (difference, total)):
        return "adds a difference that does not cancel"
    if forms.of(branch.results[0]) != forms.of(operand):
        return "does not return what it adds to"
    own = {*branch.nodes}
    beside = [node for node in anchor.nodes if node not in own]
    made = {value for node in beside for value in node.outputs}
    if operand not in made:
        return "does not add to what its anchor computed"
    given = {v for node in beside for v in node.operands} - made
    if not {*branch.operands} - {operand} <= given:
        return "reads what its anchor was not given"
    later = graph.nodes[graph.nodes.index(total) + 1 :]
    readers = [f"{node.op!r} reads" for node in later if operand in node.operands]
    readers += [f"output {path!r} is" for path, value in graph.outputs if value is operand]
    return f"is bypassed: {readers[0]} what it adds to" if readers else ""
