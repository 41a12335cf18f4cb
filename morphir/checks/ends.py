"""What the world sees of a change of axes: inputs and outputs.

    CERT-13  no axis of an input or output changed, but for those that are claimed to be longer and
             are by exactly that; and an update of state changed as that state did

Claims can say one thing only: the old positions are where they were, and others stand behind them.
"""

from __future__ import annotations

from collections.abc import Sequence

from morphir.checks.calls import Axes
from morphir.checks.following import Following
from morphir.checks.rejection import Rejection
from morphir.ir import Certificate, Extension, Graph, Program, TensorType, Value


def check_claims(before: Program, certificate: Certificate) -> None:
    """Checks that what is claimed to be longer is there, and that each is claimed once."""
    inputs = {(name, v.name) for name, graph in before.graphs.items() for v in graph.inputs}
    outputs = {(name, path) for name, graph in before.graphs.items() for path, _ in graph.outputs}
    for claims, known in ((certificate.inputs, inputs), (certificate.outputs, outputs)):
        named = [(claim.entry_point, claim.path) for claim in claims]
        for claim, place in zip(claims, named, strict=True):
            is_longer = claim.axis >= 0 and 0 < claim.size < claim.new_size
            if not is_longer or place not in known or named.count(place) > 1:
                raise Rejection("CERT-13: no claim about one input or output", ": ".join(place))


def input_axes(old: Graph, new: Graph, claims: Sequence[Extension]) -> dict[Value, Axes]:
    """The relations of the inputs that are longer; the others are the old ones (CERT-13)."""
    if [value.name for value in old.inputs] != [value.name for value in new.inputs]:
        raise Rejection("CERT-5: the inputs differ", new.name)
    claimed = {claim.path: claim for claim in claims if claim.entry_point == new.name}
    found: dict[Value, Axes] = {}
    for was, now in zip(old.inputs, new.inputs, strict=True):
        claim = claimed.get(was.name)
        expected = was.type if claim is None else _longer(was.type, claim)
        if now.type != expected or (claim is not None and expected is None):
            raise Rejection("CERT-5: the inputs differ", f"{new.name}: {was.name!r}")
        if claim is not None and expected is not None:
            found[now] = _axes_of(claim, len(expected.shape))
    return found


def _longer(kind: TensorType | None, claim: Extension) -> TensorType | None:
    """The type of what is longer as claimed; None where it is not of the size that is claimed."""
    if kind is None or kind.shape[claim.axis : claim.axis + 1] != (claim.size,):
        return None
    shape = (*kind.shape[: claim.axis], claim.new_size, *kind.shape[claim.axis + 1 :])
    return TensorType(kind.dtype, shape)


def _axes_of(claim: Extension, count: int) -> Axes:
    return tuple(claim.relation if axis == claim.axis else None for axis in range(count))


def check_ends(graph: Graph, following: Following, claims: Sequence[Extension]) -> None:
    """Checks CERT-13: what the world sees and the state have changed as was claimed."""
    claimed_of = {claim.path: claim for claim in claims if claim.entry_point == graph.name}
    for path, value in graph.outputs:
        claim = claimed_of.get(path)
        if claim is None and following.is_changed(value):
            raise Rejection("CERT-13: an axis of an output changed", f"{graph.name}: {path!r}")
        kind = value.type
        expected = () if claim is None or kind is None else _axes_of(claim, len(kind.shape))
        if claim is not None and not (any(expected) and following.axes(value) == expected):
            what = "an output is not longer as was claimed, the old one first"
            raise Rejection(f"CERT-13: {what}", f"{graph.name}: {path!r}")
    for name, value in graph.updates:
        known, claimed = following.axes(value), following.state.get(name, ())
        if any(known) != any(claimed) or (any(known) and known != claimed):
            raise Rejection("CERT-13: this is updated by something of other units", f"@{name}")
