"""A pass as somebody else would write it, and passes that are broken in one way each."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from typing import ClassVar, final

import torch

import morphir
from morphir import MorphismPass, Program, RefusalError
from morphir.axes import AxisGroups
from morphir.ir import AxisMap, Resize, Rewriter
from morphir.randomness import derive_seed

_CALLS = count()  # what a pass remembers from one call to the next


@final
@dataclass(frozen=True)
class SwapUnitsPass(MorphismPass):
    """Swaps two output features of a module, everywhere they are used.

    Args:
        at: Qualified name of the module.
        seed: Seed of the choice of the two.
        bug: What is wrong with it, or "".
    """

    name: ClassVar[str] = "swap"
    resizes: ClassVar[bool] = True

    at: str
    seed: int = 0
    bug: str = ""

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Changes the axes."""
        if self.bug == "changes the original":
            self._touch(program)
        with self._refusing(program):
            groups = AxisGroups(program)
            (group, *others) = groups.of(self.at)
            leaf = group.atom
            if others or leaf.size < 2:
                raise RefusalError(f"{self.at!r} has no two features of one kind")
            # The certificate does not relate permuted states of a recurrent layer.
            if any("weight_hh" in str(place.tensor) for place in group.state):
                raise RefusalError(f"{self.at!r} has features that are the state of a layer")
            source = [*range(leaf.size)]
            i, j = self._units(leaf.size)
            source[i], source[j] = j, i
            axis_map = AxisMap(leaf.size, tuple(source), (Fraction(1),) * leaf.size)
            tensors, attributes = groups.resize({leaf: axis_map})
        if self.bug == "forgets the readers":
            own = f"{self.at}."
            tensors = {name: each for name, each in tensors.items() if name.startswith(own)}
        rewriter.resize(Resize(self.at, "SWAP", tensors, attributes, {"init": "copy"}))
        return [f"{self.at}: units {i} and {j} are swapped"]

    @contextmanager
    def _refusing(self, program: Program) -> Iterator[None]:
        try:
            yield
        except RefusalError as refusal:
            if self.bug == "refuses after a change":
                self._touch(program)
            if self.bug == "refuses without a word":
                raise RefusalError("") from None
            if self.bug == "fails where it should refuse":
                raise KeyError(self.at) from None
            suggestions = refusal.suggestions or ["at= another module"]
            raise RefusalError(
                refusal.reason, nodes=refusal.nodes or [self.at], suggestions=suggestions
            ) from refusal

    def _units(self, size: int) -> list[int]:
        if self.bug == "is not deterministic":
            return random.Random(next(_CALLS)).sample(range(size), 2)
        if self.bug == "draws from the user":
            return torch.randperm(size)[:2].tolist()
        return random.Random(derive_seed(self.seed, self.at, 0)).sample(range(size), 2)

    def _touch(self, program: Program) -> None:
        first = next(each.tensor for each in program.state.values() if each.tensor is not None)
        with torch.no_grad():
            first.view(-1)[0] += 1


@final
@dataclass(frozen=True)
class LonelyPass(MorphismPass):
    """Inserts what `DeeperPass` inserts, and says that it follows no layer."""

    name: ClassVar[str] = "lonely"

    at: str
    seed: int = 0

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Inserts a layer."""
        scratch = Rewriter(program)
        morphir.DeeperPass(self.at, "residual", seed=self.seed).rewrite(program, scratch)
        for edit in scratch.insertions:
            recorded = self._recorded(program, edit)
            rewriter.insert_after(
                edit.anchor, edit.module, recorded, law=edit.law, spec=edit.spec, follows=()
            )
        return ["inserted"]

    def _recorded(self, program: Program, edit: morphir.ir.Insertion) -> Program:
        ((_, call), *_) = (
            (graph, call)
            for graph in program.graphs.values()
            for call in graph.calls
            if call.module == edit.anchor
        )
        kind = call.results[0].type
        shape = [3 if not isinstance(size, int) else size for size in kind.shape]
        return morphir.trace(edit.module, example_inputs=(torch.zeros(shape, dtype=kind.dtype),))
