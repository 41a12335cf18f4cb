"""Give a model more inputs or more outputs; what it computed from the old ones is unchanged.

    EXTEND-1  an input has new positions behind the old ones, and whatever reads it reads them with
              weight 0:  extended(x, anything finite) = original(x)
    EXTEND-2  an output has new positions behind the old ones, from units of their own:
              extended(x)[old positions] = original(x)

A longer observation, another sensor, one more action or class. Everything else follows as when a
layer gets wider: the input may be normalised, concatenated with others, added to a hidden layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, final

from morphir.axes import AxisGroups, Freed
from morphir.errors import RefusalError
from morphir.ir import Program, Resize, Rewriter
from morphir.ops.forms import Atom
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.ends import (
    End,
    MisfitError,
    axes_of,
    extensions,
    inputs_of,
    is_looked_up,
    is_read_by,
    longer,
    outputs_of,
)
from morphir.passes.refusals import about
from morphir.passes.sites import resolve, unprovable
from morphir.passes.sizes import SIZES, is_size
from morphir.shares import widened


@final
@dataclass(frozen=True)
class ExtendInputPass(MorphismPass):
    """Give an input new features, which are ignored until the weights that read them are trained.

    Args:
        at: Name of the input, as `print(morphir.trace(model, ...))` shows it, or of the module that
            reads it. It gets longer in every entry point that has it.
        width: How many features it has afterwards. The new ones stand behind the old ones.
        dim: The axis of its features; by default the one that weights have too, of images the
            channels.
        seed: Seed of fresh numbers, where the input is added to what others compute.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "extend-input"
    resizes: ClassVar[bool] = True

    at: str
    width: int
    dim: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        dim_fits = self.dim is None or type(self.dim) is int
        _check_options(self, at=isinstance(self.at, str) and bool(self.at), dim=dim_fits)

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Changes the axes."""
        groups = AxisGroups(program)
        try:
            edit = self._plan(groups)
        except MisfitError as misfit:
            other = replace(self, width=misfit.nearest)
            works = _works(lambda: other._plan(groups))
            raise about(misfit, self.at, last=[f"width={misfit.nearest}"] * works) from misfit
        except RefusalError as refusal:
            raise about(refusal, self.at) from refusal
        return _apply(edit, self.width, rewriter)

    def _plan(self, groups: AxisGroups) -> Resize:
        program = groups.program
        ends = [*inputs_of(program)]
        asked = self._asked(program, groups, ends)
        maps = longer([(end.path, end.form(groups)) for end in asked], self.width)
        ends = [end for end in ends if not maps.keys().isdisjoint(end.leaves(groups))]
        freed = AxisGroups(program, freed=Freed(inputs=axes_of(ends)))
        maps = longer([(end.path, end.form(freed)) for end in asked], self.width)
        extended = extensions(freed, ends, maps)
        tensors, attributes = freed.resize(maps)
        spec = {"init": "fresh", "seed": self.seed}
        return Resize(self.at, "EXTEND-1", tensors, attributes, spec, inputs=extended)

    def _asked(self, program: Program, groups: AxisGroups, ends: Sequence[End]) -> list[End]:
        """The axes that are asked for, in every entry point that has them."""
        names = dict.fromkeys(v.name for graph in program.graphs.values() for v in graph.inputs)
        if self.at in names:
            return self._features(groups, self.at, ends)
        modules = resolve(
            self.at, program, lambda name: _works(lambda: replace(self, at=name)._plan(groups))
        )
        if isinstance(modules, Refusal):
            raise RefusalError(
                f"there is no input {self.at!r}, and {modules.reason}",
                nodes=modules.nodes,
                suggestions=[*(f"at={name!r}" for name in names), *modules.suggestions],
            )
        looked_up = is_looked_up(modules, program)
        if looked_up:
            raise RefusalError(
                f"{self.at!r} looks up rows by number ({looked_up}), so its input has no features "
                "that could get more",
                nodes=modules,
                suggestions=[
                    *_wider(groups, modules[0], self.width),
                    "for more rows, a module with a larger table whose first rows are these",
                ],
            )
        read = [end for end in ends if is_read_by(modules, end, program, groups)]
        found = dict.fromkeys(end.path for end in read)
        asked = [end for name in found for end in self._features(groups, name, read)]
        forms = {end.form(groups) for end in asked}  # of an input that it is called on twice, one
        if len(forms) != 1:
            raise RefusalError(
                f"{self.at!r} reads {len(forms) or 'no'} inputs with weights of its own, expected "
                "one",
                nodes=modules,
                suggestions=[f"at={name!r}" for name in found or names],
            )
        return asked

    def _features(self, groups: AxisGroups, name: str, among: Sequence[End]) -> list[End]:
        """Of the axes of an input those of its features."""
        ends = [end for end in among if end.path == name]
        kind = ends[0].value.type if ends else None
        if kind is None:
            raise RefusalError(f"the input {name!r} has no axis but the batch", nodes=[name])
        rank = len(kind.shape)
        if self.dim is None:
            weighed = [
                end for end in ends if any(groups.groups[a].state for a in end.leaves(groups))
            ]
            axes = dict.fromkeys(end.axis for end in weighed or ends)
            if len(axes) > 1:
                count = len(axes) if weighed else "none of the"
                raise RefusalError(
                    f"weights have {count} axes of the input {name!r}, expected one",
                    nodes=[f"{name}: {kind}"],
                    suggestions=[f"dim={axis}" for axis in axes],
                )
            (axis,) = axes
        else:
            axis = self.dim + rank * (self.dim < 0)
        found = [end for end in ends if end.axis == axis]
        if not found:
            raise RefusalError(
                f"axis {axis} of the input {name!r} is the batch, or there is no such axis",
                nodes=[f"{name}: {kind}"],
                suggestions=[f"dim={end.axis}" for end in ends[-1:]],
            )
        return found


@final
@dataclass(frozen=True)
class ExtendOutputPass(MorphismPass):
    """Give an output new features: one more action, one more class.

    Args:
        at: Qualified name of the module whose output features are an axis of what the model
            returns, a glob, or a list of them.
        width: How many features it has afterwards. The new ones stand behind the old ones.
        init: `"fresh"` (random numbers of the scale of the old ones) or `"zero"`.
        seed: Seed of fresh numbers.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "extend-output"
    resizes: ClassVar[bool] = True

    at: str | Sequence[str]
    width: int
    init: Literal["fresh", "zero"] = "fresh"
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        patterns = self.at if isinstance(self.at, tuple) else (self.at,)
        at_fits = bool(patterns) and all(isinstance(each, str) for each in patterns)
        _check_options(self, at=at_fits, init=self.init in ("fresh", "zero"))

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Changes the axes."""
        groups = AxisGroups(program)
        names = resolve(self.at, program, lambda name: replace(self, at=name).fits(groups))
        if isinstance(names, Refusal):
            raise RefusalError(names.reason, nodes=names.nodes, suggestions=names.suggestions)
        try:
            edit = self._plan(groups, names)
        except MisfitError as misfit:
            other = replace(self, width=misfit.nearest)
            works = _works(lambda: other._plan(groups, names))
            raise about(misfit, last=[f"width={misfit.nearest}"] * works) from misfit
        except RefusalError as refusal:
            raise about(refusal, *names) from refusal
        return _apply(edit, self.width, rewriter)

    def fits(self, groups: AxisGroups) -> bool:
        """Whether it would make an output longer; `at` is the name of one module."""
        assert isinstance(self.at, str)
        names = [self.at]
        return _works(lambda: self._plan(groups, names))

    def _plan(self, groups: AxisGroups, names: Sequence[str]) -> Resize:
        program = groups.program
        ends = [*outputs_of(program)]
        maps = longer([(name, groups.features(name)) for name in names], self.width)
        ends = [end for end in ends if not maps.keys().isdisjoint(end.leaves(groups))]
        for leaf in maps:
            if not any(leaf in end.leaves(groups) for end in ends):
                raise _not_returned(names, groups, leaf, self.width)
        freed = AxisGroups(program, freed=Freed(outputs=axes_of(ends)))
        maps = longer([(name, freed.features(name)) for name in names], self.width)
        extended = extensions(freed, ends, maps)
        tensors, attributes = freed.resize(maps)
        spec = {"init": self.init, "seed": self.seed}
        at = ", ".join(names)
        return Resize(at, "EXTEND-2", tensors, attributes, spec, outputs=extended)


def _apply(edit: Resize, width: int, rewriter: Rewriter) -> Sequence[str]:
    longer = (*edit.inputs, *edit.outputs)
    if not longer:
        return [f"{edit.at!r} already has {width} features"]
    rewriter.resize(edit)
    return [
        f"{each.path or 'the output'} of {each.entry_point}: {each.size} -> "
        f"{each.new_size} features ({edit.law})"
        for each in longer
    ]


def _not_returned(names: Sequence[str], groups: AxisGroups, leaf: Atom, width: int) -> RefusalError:
    """Output features that nobody outside sees, or that what they see is computed from."""
    reason = groups.groups[leaf].reason
    if reason is not None:
        return RefusalError(f"the axis cannot change: {reason}", nodes=names)
    return RefusalError(
        f"the features of {', '.join(map(repr, names))} are no axis of what the model returns",
        nodes=names,
        suggestions=_wider(groups, names[0], width),
    )


def _wider(groups: AxisGroups, name: str, width: int) -> list[str]:
    """The pass that gives a hidden layer more features, if that would work."""

    def attempt() -> None:
        form = groups.features(name)
        if not isinstance(form, Atom) or form.size >= width:
            raise RefusalError("another pass is needed")
        groups.resize({form: widened(form.size, width, seed=0)})

    works = not unprovable(groups.program) and _works(attempt)
    return [f"morphir.WiderPass(at={name!r}, width={width})"] * works


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except RefusalError:
        return False
    return True


def _check_options(pass_: ExtendInputPass | ExtendOutputPass, **fits: bool) -> None:
    fits["width"] = is_size(pass_.width)
    fits["seed"] = type(pass_.seed) is int
    for name, holds in fits.items():
        if not holds:
            expected, example = _EXPECTED[name]
            raise RefusalError(
                f"{name}={getattr(pass_, name)!r}, expected {expected}", suggestions=[example]
            )


_EXPECTED: Final = {
    "at": ("a name", "at='obs'"),
    "width": (SIZES, "width=12"),
    "dim": ("an axis, or None", "dim=1"),
    "init": ("'fresh' or 'zero'", "init='zero'"),
    "seed": ("an integer", "seed=0"),
}
