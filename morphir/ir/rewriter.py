"""The only way to change a program, and the witness of what was changed.

A pass gets a `Rewriter` over the program; the program itself never changes. The rewriter applies
each edit to every entry point, keeps the list of edits for the backend, and says whether anything
changed by looking at the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, final

from torch import nn

from morphir.errors import RefusalError
from morphir.ir.change import Resize
from morphir.ir.injection import Injection, injected, injection, inside_of
from morphir.ir.masks import complaint, copied, mask_name
from morphir.ir.program import Program, StateEntry
from morphir.ir.removal import Removal, removed
from morphir.ir.renumbering import Renumbering
from morphir.ir.splicing import Splice, block_after


@final
@dataclass(frozen=True, eq=False)
class Insertion:
    """A module that runs on the output of another.

    Attributes:
        anchor: Qualified name of the module whose output it takes.
        name: Qualified name of the new module in the new model.
        module: The new module itself.
        law: The law by which the insertion keeps the function.
        spec: JSON-ready description from which the module can be built again.
        follows: Parameters that the new ones resemble, the nearest layer's first.
        inside: Whether it becomes a child of the anchor and runs at the end of the anchor's own
            call; otherwise it becomes the anchor's next neighbour in their `nn.Sequential`.
        assumes: What the prediction takes for granted because the program cannot tell, or nothing.
            If the emitted module turns out differently, the site is refused.
    """

    anchor: str
    name: str
    module: nn.Module
    law: str
    spec: Mapping[str, Any]
    follows: tuple[str, ...]
    inside: bool
    assumes: str = ""


Edit = Insertion | Removal | Resize | Renumbering | Injection


@final
class Rewriter:
    """Applies edits to a copy of a program and remembers them."""

    def __init__(self, program: Program) -> None:
        self._before = program
        self._program = program
        self._edits: list[Edit] = []

    @property
    def program(self) -> Program:
        """The program as it is now."""
        return self._program

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What was done, in order."""
        return tuple(self._edits)

    @property
    def insertions(self) -> tuple[Insertion, ...]:
        """The modules that were inserted, in order."""
        return tuple(edit for edit in self._edits if isinstance(edit, Insertion))

    @property
    def removals(self) -> tuple[Removal, ...]:
        """The modules that were removed, in order."""
        return tuple(edit for edit in self._edits if isinstance(edit, Removal))

    @property
    def resizes(self) -> tuple[Resize, ...]:
        """The changes of axes, in order."""
        return tuple(edit for edit in self._edits if isinstance(edit, Resize))

    @property
    def renumberings(self) -> tuple[Renumbering, ...]:
        """The changes of numbers and masks, in order."""
        return tuple(edit for edit in self._edits if isinstance(edit, Renumbering))

    @property
    def injections(self) -> tuple[Injection, ...]:
        """The branches that were injected, in order."""
        return tuple(edit for edit in self._edits if isinstance(edit, Injection))

    @property
    def changed(self) -> bool:
        """Whether anything differs from the start: observed, not declared."""
        return bool(self.resizes or self.renumberings) or self._program != self._before

    def resize(self, edit: Resize) -> None:
        """Changes the sizes of axes; nothing else may be done to the program before or after.

        The program keeps its old sizes: how a module computes at others is seen only when it runs.
        Masks go along with their parameters (MASK-2).

        Raises:
            RefusalError: What should be a mask of one of the parameters is none (MASK-1).
            ValueError: There are other edits.
        """
        if self._edits:
            raise ValueError("a change of sizes is an application of its own")
        masks = {}
        for name, change in edit.tensors.items():
            mask = self._program.state[name].mask
            if mask:
                self._check_mask(name, mask)
                masks[mask] = copied(change)
        if masks:
            spec = {**edit.spec, "masks": [*masks]}
            edit = replace(edit, tensors={**edit.tensors, **masks}, spec=spec)
        self._edits.append(edit)

    def renumber(self, edit: Renumbering) -> None:
        """Gives state other numbers, and masks; nothing else may be done before or after.

        Raises:
            RefusalError: What should be a mask of one of the parameters is none (MASK-1).
            ValueError: There are other edits.
        """
        if self._edits:
            raise ValueError("a change of numbers is an application of its own")
        state = dict(self._program.state)
        for name in edit.names:
            mask = state[name].mask
            if mask:
                self._check_mask(name, mask)
        first = tuple(name for name in edit.masks if not state[name].mask)
        for name in first:
            entry, mask = state[name], mask_name(name)
            state[mask] = StateEntry(mask, "buffer", entry.type)
            state[name] = replace(entry, mask=mask)
        self._program = replace(self._program, state=state)
        self._edits.append(replace(edit, first=first))

    def _check_mask(self, name: str, mask: str) -> None:
        parameter, numbers = (self._program.state[each].tensor for each in (name, mask))
        problem = "" if parameter is None or numbers is None else complaint(parameter, numbers)
        if problem:
            buffer = f"model.get_buffer({mask!r})"
            binary = numbers is not None and bool(((numbers == 0) | (numbers == 1)).all())
            fix = "morphir.Masks(model).mask_parameters()"
            raise RefusalError(
                f"{name!r} is masked by {mask!r}, and {problem}",
                nodes=[name],
                suggestions=[fix] if binary else [f"{buffer}.copy_({buffer} != 0)"],
            )

    def insert_after(
        self,
        anchor: str,
        module: nn.Module,
        block: Program,
        *,
        law: str,
        spec: Mapping[str, Any],
        follows: tuple[str, ...],
    ) -> str:
        """Runs `module` after every call of `anchor`; who read the old output reads the new one.

        Args:
            anchor: Qualified name of a module that returns a single tensor at each of its calls.
            module: The new module; it takes and returns one tensor.
            block: The recording of `module`, with one input and one output.
            law: The law by which this keeps the function.
            spec: JSON-ready description of the module, for the lineage.
            follows: Parameters whose optimizer group the new ones should join, the nearest first.

        Returns:
            The qualified name of the new module: `<anchor>_deeper<n>`, next to the anchor when that
            stands in a sequential container and nowhere else, and inside it otherwise.

        Raises:
            RefusalError: Only submodules were recorded, and the anchor is also used outside them.
        """
        if len(self.insertions) < len(self._edits):
            raise ValueError("changes of sizes and removals are applications of their own")
        self._check_held(anchor)
        parent, _, leaf = anchor.rpartition(".")
        inside = parent not in self._program.sequentials or self._stands_elsewhere(anchor)
        home = anchor if inside else parent
        name = self._free_name(inside_of(home, f"{leaf}_deeper"))
        # Where the home has several names, what is put into it has, too.
        key = name.removeprefix(home).removeprefix(".")
        others = [f"{other}.{key}" for other in self._program.shared.get(home, ())]
        state = {
            f"{name}.{entry.name}": replace(
                entry,
                name=f"{name}.{entry.name}",
                aliases=tuple(
                    f"{place}.{each}"
                    for place in (name, *others)
                    for each in (entry.name, *entry.aliases)
                )[1:],
            )
            for entry in block.state.values()
        }
        (graph,) = block.graphs.values()
        splice = Splice(anchor, block_after(name, graph), inside=inside)
        sequentials = [f"{name}.{child}".removesuffix(".") for child in block.sequentials]
        modules = {f"{name}.{child}".removesuffix("."): k for child, k in block.modules.items()}
        shared = {each: tuple(o + each.removeprefix(name) for o in others) for each in modules}
        self._program = replace(
            self._program,
            state={**self._program.state, **state},
            graphs={key: splice.apply(old) for key, old in self._program.graphs.items()},
            sequentials=(*self._program.sequentials, *sequentials),
            modules={**self._program.modules, **modules},
            shared={**self._program.shared, **(shared if others else {})},
        )
        edit = Insertion(anchor, name, module, law, spec, follows, inside, splice.assumes)
        self._edits.append(edit)
        return name

    def remove(self, edit: Removal) -> None:
        """Takes out a module that takes one tensor and returns one; nothing is inserted as well.

        Raises:
            RefusalError: Only submodules were recorded, and the module or the one that it follows
                is also used outside them.
        """
        if len(self.removals) < len(self._edits):
            raise ValueError("changes of sizes and removals are applications of their own")
        for name in (edit.name, edit.anchor):
            self._check_held(name)
        self._program = removed(self._program, edit.name)
        self._edits.append(edit)

    def inject(self, anchor: str, *, law: str, spec: Mapping[str, Any]) -> Injection:
        """Adds the difference of two equal copies of a module to what it returns, at every call.

        Args:
            anchor: Qualified name of a module that returns a single tensor at each of its calls; ""
                is the model itself.
            law: The law by which this keeps the function.
            spec: JSON-ready description of the copies, for the lineage.

        Returns:
            The edit; the branch that it adds is the anchor's child `injected<n>`.

        Raises:
            RefusalError: Only submodules were recorded, and the anchor is also used outside them.
        """
        if len(self.injections) < len(self._edits):
            raise ValueError("an injection is an application of its own")
        self._check_held(anchor)
        name = self._free_name(inside_of(anchor, "injected"))
        edit = injection(self._program, anchor, name, law, spec)
        self._program = injected(self._program, edit)
        self._edits.append(edit)
        return edit

    def _check_held(self, anchor: str) -> None:
        use = self._program.outside.get(anchor)
        if use is not None:
            raise RefusalError(
                f"{anchor!r} is used outside of what was recorded: {use}",
                nodes=[anchor],
                suggestions=[
                    "entry_points= with a method of the whole model that reaches every use"
                ],
            )

    def _stands_elsewhere(self, anchor: str) -> bool:
        """Whether a module is one of several in its container, or also in another one."""
        parent, _, leaf = anchor.rpartition(".")
        shared = self._program.shared
        explained = {f"{other}.{leaf}" for other in shared.get(parent, ())}
        return not explained.issuperset(shared.get(anchor, ()))

    def _free_name(self, stem: str) -> str:
        calls = (call.module for graph in self._program.graphs.values() for call in graph.calls)
        names = self._program.modules, *self._program.shared.values()
        taken = {*calls, *(edit.name for edit in self.insertions), *chain(*names)}
        number = 1
        while f"{stem}{number}" in taken:
            number += 1
        return f"{stem}{number}"
