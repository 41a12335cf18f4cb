"""Units that are constants, and the biases that can take them over.

    PRUNE-4   a unit that is the number c whatever the input is removed, and whatever sums it adds
              w[:, i] c to its bias:  b + sum_k w[:, k] x[k] = (b + w[:, i] c) + sum_{k != i} ...

Only a Linear and a convolution without padding have the same sum at every position, and only a bias
of their own can take it. `b + w c` is hardly ever a float, so it is rounded once (BACK-14); where
it needs no rounding, the certificate proves the change (CERT-16).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, final

import numpy as np
import numpy.typing as npt
import torch

from morphir.ir import Fold, Node, Program, Value
from morphir.passes.units import Flags, Known, Term, Total, Units

_SLACK: Final = 2.0**-44  # of a constant: boxes are rounded outward at every step
_LINEAR: Final = ("linear", "conv1d", "conv2d", "conv3d")

Numbers = npt.NDArray[np.float64]


@final
class Constants:
    """The units of an axis that are constants, but for those that do nothing anyway.

    Attributes:
        reasons: Which they are, each with the reason why it can't be folded, or "".
    """

    def __init__(self, program: Program, units: Units, known: Known) -> None:
        self._program, self._size = program, units.leaf.size
        self._folded: dict[tuple[str, str], tuple[Term, Numbers]] = {}
        is_constant = ~units.dead(known)
        reasons: dict[int, str] = {}
        for total in units.totals:
            alive = units.alive(total, known)
            constant, numbers = self._constant(total, known)
            is_constant &= ~alive | constant
            for unit, reason in self._take(total, numbers, alive & constant):
                reasons.setdefault(unit, reason)
        self.reasons = {int(u): reasons.get(int(u), "") for u in np.flatnonzero(is_constant)}

    def folds(self, units: Sequence[int]) -> tuple[Fold, ...]:
        """What biases take over when some of the units go."""
        return tuple(
            Fold(weight, bias, tuple(np.where(is_gone, numbers, 0.0).tolist()))
            for (weight, bias), (x, numbers) in self._folded.items()
            if (is_gone := np.isin(x.units, units) & (numbers != 0)).any()
        )

    def _constant(self, total: Total, known: Known) -> tuple[Flags, Numbers]:
        """Which units are constants where they are summed, and the number at each position."""
        for term in _values(total):
            box = known.box(term.tensor)
            if box is not None and box.low.shape[term.axis] == len(term.units):
                others = [each for each in range(box.low.dim()) if each != term.axis]
                low, high = box.low.double(), box.high.double()
                if others:
                    low, high = low.amin(others), high.amax(others)
                is_one = high.isfinite() & (high - low <= _SLACK * high.abs())
                numbers = torch.where(is_one, (low + high) / 2, 0.0)
                along = Term(term.tensor, 0, term.units, term.is_split)
                varies = along.over(~is_one, self._size)
                assert varies is not None
                return ~varies, np.asarray(numbers.numpy(force=True))
        return np.zeros(self._size, bool), np.zeros(())

    def _take(self, total: Total, numbers: Numbers, constant: Flags) -> Iterator[tuple[int, str]]:
        """Takes note of what a bias can take over; the units that it can't, each with the reason.

        Where a unit adds nothing the number is 0: that differs from a constant at another call.
        """
        reason = self._no_bias(total)
        if reason:
            yield from ((int(unit), reason) for unit in np.flatnonzero(constant))
            return
        (x,) = _values(total)
        layer = _name(total.node, "weight"), _name(total.node, "bias")
        held = np.where((x.units >= 0) & constant[x.units], numbers, 0.0)
        _, known = self._folded.setdefault(layer, (x, held))
        differs = np.abs(known - held) > _SLACK * np.abs(known)
        reason = f"the unit is another constant at each call of {layer[0]!r}"
        yield from ((int(unit), reason) for unit in np.unique(x.units[differs]))

    def _no_bias(self, total: Total) -> str:
        """Why there is no bias that can take a constant over, or ""."""
        node = total.node
        weight, bias = (_name(node, name) for name in ("weight", "bias"))
        if node.op not in _LINEAR or len(_values(total)) != 1 or not weight:
            return f"{node.op} has no bias that could take a constant over"
        if _is_padded(node):
            return f"{weight!r} is a convolution whose padding is 0 where the unit is a constant"
        if not bias:
            return f"the layer of {weight!r} has no bias that could take a constant over"
        for other in self._readers(bias):
            if _name(other, "weight") != weight or _name(other, "bias") != bias:
                return f"{bias!r} is also read by another {other.op}"
        return ""

    def _readers(self, name: str) -> Iterator[Node]:
        for graph in self._program.graphs.values():
            for node in graph.nodes:
                if any(v.origin == "state" and v.name == name for v in node.operands):
                    yield node


def together(folds: Iterable[Fold]) -> list[Fold]:
    """The same with one for each bias: what is left out along two axes is taken over once."""
    found: dict[tuple[str, str], Fold] = {}
    for fold in folds:
        key = fold.weight, fold.bias
        known = found.get(key, fold)
        both = zip(known.constants, fold.constants, strict=True)
        found[key] = Fold(*key, tuple(one or other for one, other in both))
    return [*found.values()]


def _values(total: Total) -> list[Term]:
    return [term for term in total.terms if isinstance(term.tensor, Value)]


def _is_padded(node: Node) -> bool:
    padding = node.arguments.get("padding", 0)
    return any(padding) if isinstance(padding, tuple) else padding not in (0, "valid")


def _name(node: Node, argument: str) -> str:
    value = node.arguments.get(argument)
    return value.name if isinstance(value, Value) and value.origin == "state" else ""
