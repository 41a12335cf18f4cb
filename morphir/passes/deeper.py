"""Insert a layer that starts as the identity; the function computed is unchanged, to the bit.

    DEEPER-1   act(I x + 0) = x                          where x lies in the identity range of act
    DEEPER-2   act(I act(x) + 0) = act(x)                where act(x) always lies in its own
               identity range
    DEEPER-3   x + (0 act(W x + b) + 0) = x
    DEEPER-4   h + a (act(h) - h) = x                    with h = I x + 0 and a = 0
    DEEPER-5   every new parameter receives a gradient, at once or within a few steps (LEARN-1)

Net2DeeperNet (Chen et al. 2016) is DEEPER-1 with ReLU; DEEPER-3 is the zero-initialised residual
branch; DEEPER-4 is Network Morphism's P-activation (Wei et al. 2016). That x lies in the range is a
fact derived from the graph (FACT-1).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, final, get_args

from morphir.blocks import BlockKind
from morphir.errors import RefusalError
from morphir.ir import Program, Rewriter
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.placed import Options, Placement, record_block
from morphir.passes.placement import place
from morphir.passes.sites import calls_at, module_names, resolve
from morphir.passes.surroundings import Surroundings
from morphir.randomness import derive_seed


@final
@dataclass(frozen=True)
class DeeperPass(MorphismPass):
    """Insert an identity layer after a module, in every entry point and at every call.

    Args:
        at: Qualified name of the module after whose output the layer goes, a glob, or a list of
            them. At a Linear or convolution (with its BatchNorm) whose only consumer is an
            activation, the layer goes after that activation, or between the two when the activation
            is not a module of its own.
        block: `"identity"` (a layer and the activation of its surroundings; exact where that
            activation returns its input unchanged), `"residual"` (a branch whose last layer is
            zero) or `"parametric"` (a learned blend of identity and activation). The last two are
            exact everywhere.
        activation: Name of the activation op (`"relu"`, `"tanh"`, `"gelu"`); by default that of the
            surroundings.
        kernel_size: Kernel of an inserted convolution, per axis or one for all; by default 3.
        groups: Groups of an inserted convolution; by default those of the one before it.
        hidden: Width inside a residual block; by default that of the site.
        seed: Seed of the random draws (the first layer of a residual block).

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "deeper"

    at: str | Sequence[str]
    block: Literal["identity", "residual", "parametric"] = "identity"
    activation: str | None = None
    kernel_size: int | tuple[int, ...] | None = None
    groups: int | None = None
    hidden: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("at", "kernel_size"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        patterns = self.at if isinstance(self.at, tuple) else (self.at,)
        sizes = self.kernel_size if isinstance(self.kernel_size, tuple) else (self.kernel_size,)
        fits = {
            "at": bool(patterns) and all(isinstance(pattern, str) for pattern in patterns),
            "block": self.block in get_args(BlockKind),
            "activation": self.activation is None or isinstance(self.activation, str),
            "kernel_size": self.kernel_size is None
            or (1 <= len(sizes) <= 3 and all(map(_is_positive, sizes))),
            "groups": self.groups is None or _is_positive(self.groups),
            "hidden": self.hidden is None or self._is_width(self.hidden),
            "seed": type(self.seed) is int,
        }
        for name, holds in fits.items():
            if not holds:
                found = f"{name}={getattr(self, name)!r}"
                near = difflib.get_close_matches(str(self.block), get_args(BlockKind), 1)
                example = f"block={near[0]!r}" if name == "block" and near else _EXAMPLES[name]
                raise RefusalError(f"{found}, expected {_EXPECTED[name]}", suggestions=[example])

    def _is_width(self, hidden: object) -> bool:
        return self.block == "residual" and _is_positive(hidden)

    def requires(self, program: Program) -> Refusal | None:
        """Refuses a site where the block would not be exact, with those where it would."""
        placements = self._placements(program)
        return placements if isinstance(placements, Refusal) else None

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Inserts one block per site."""
        placements = self._placements(program)
        assert not isinstance(placements, Refusal)  # `requires` has seen to it
        notes: list[str] = []
        done: dict[str, str] = {}
        for name, placed in placements.items():
            if placed.anchor in done:
                notes.append(f"at={name!r} is the same place as at={done[placed.anchor]!r}")
                continue
            done[placed.anchor] = name
            notes += self._insert(rewriter, name, placed)
        return notes

    def _placements(self, program: Program) -> dict[str, Placement] | Refusal:
        """Where the blocks go, by the module named; all are exact in the program as it is."""
        names = resolve(
            self.at, program, lambda name: not isinstance(calls_at(program, name), Refusal)
        )
        if isinstance(names, Refusal):
            return names
        around = Surroundings(program)
        found: dict[str, Placement] = {}
        for name in names:
            placed = self._place(around, name)
            if isinstance(placed, Refusal):
                return placed
            found[name] = placed
        return found

    def _insert(self, rewriter: Rewriter, name: str, placed: Placement) -> list[str]:
        number = 1 + _inserted_at(rewriter.program, placed.anchor)
        seed = derive_seed(self.seed, placed.anchor, number)
        spec = replace(placed.spec, seed=seed)
        module, block = record_block(spec, placed)
        new = rewriter.insert_after(
            placed.anchor,
            module,
            block,
            law=spec.law,
            spec=spec.to_dict(),
            follows=placed.follows,
        )
        notes = [f"{new} runs after {placed.anchor} ({spec.law})"]
        if placed.anchor != name:
            notes.append(f"at={name!r} was moved to {placed.anchor!r}: {placed.reason}")
        return notes

    def _place(self, around: Surroundings, name: str) -> Placement | Refusal:
        options = Options(self.activation, self.kernel_size, self.groups, self.hidden)
        return place(around, name, self.block, options)


_EXPECTED = {
    "at": "a qualified module name, a glob, or a list of them",
    "block": f"one of {', '.join(map(repr, get_args(BlockKind)))}",
    "activation": "the name of an activation",
    "kernel_size": "a positive integer, or one for each of at most three axes",
    "groups": "a positive integer",
    "hidden": "a positive integer, with block='residual'",
    "seed": "an integer",
}
_EXAMPLES = {
    "at": "at='extractor.2'",
    "block": "block='residual'",
    "activation": "activation='relu'",
    "kernel_size": "kernel_size=3",
    "groups": "groups=1",
    "hidden": "hidden=64",
    "seed": "seed=0",
}


def _is_positive(number: object) -> bool:
    return type(number) is int and number > 0


def _inserted_at(program: Program, anchor: str) -> int:
    """How many layers this pass has inserted after a module before."""
    leaf = anchor.rpartition(".")[2]
    own = re.compile(rf"{re.escape(anchor)}(\.{re.escape(leaf)})?_deeper\d+")
    return sum(own.fullmatch(name) is not None for name in module_names(program))
