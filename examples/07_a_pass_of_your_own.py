"""A pass of your own, checked by the laws of every pass; and one with a bug, which they find.

It needs hypothesis: `pip install 'morphir[testing]'`, and takes a minute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, final

from morphir import MorphismPass, Program, RefusalError
from morphir.axes import AxisGroups
from morphir.ir import AxisMap, Resize, Rewriter, TensorChange
from morphir.testing import check_pass


@dataclass(frozen=True)
class SwapUnits(MorphismPass):
    """Exchanges the first two units of a layer, wherever they are used: the function stays."""

    name: ClassVar[str] = "swap units"
    resizes: ClassVar[bool] = True

    at: str
    seed: int = 0

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Says which unit stands where; what follows from that, the planner knows."""
        groups = AxisGroups(program)
        (units, *others) = groups.of(self.at)
        if others or units.atom.size < 2 or any("_hh" in p.tensor for p in units.state):
            raise RefusalError(
                f"{self.at!r} has no two units of one kind that may change places",
                nodes=[self.at],
                suggestions=["at= a Linear or a convolution that others read"],
            )
        size = units.atom.size
        swapped = AxisMap(size, (1, 0, *range(2, size)), (Fraction(1),) * size)
        tensors, attributes = groups.resize({units.atom: swapped})
        rewriter.resize(
            Resize(self.at, "SWAP", self.changed(tensors), attributes, {"init": "copy"})
        )
        return [f"{self.at}: units 0 and 1 changed places"]

    def changed(self, tensors: Mapping[str, TensorChange]) -> Mapping[str, TensorChange]:
        """The tensors that change: all that the planner found."""
        return tensors


@final
@dataclass(frozen=True)
class SwapRowsOnly(SwapUnits):
    """Forgets the layers that read the units."""

    def changed(self, tensors: Mapping[str, TensorChange]) -> Mapping[str, TensorChange]:
        """Only those of the layer itself."""
        return {name: each for name, each in tensors.items() if name.startswith(f"{self.at}.")}


def main() -> None:
    """Checks both."""
    check_pass(SwapUnits, modules=6)
    found = check_pass(SwapRowsOnly, modules=6, show=False)
    broken = next(law for law in found.laws if law.law.endswith("function kept"))
    print(
        "\nThe pass that forgets the readers:", *broken.counterexample.splitlines()[:2], sep="\n  "
    )


if __name__ == "__main__":
    main()
