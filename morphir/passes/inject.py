"""Let a module begin anew beside what it was; the function computed is unchanged.

    INJECT-1   h(x) + (h1(x) - h2(x)) = h(x)          where h2 equals h1
    INJECT-2   h and h2 are frozen, and h1 learns in h's place
    INJECT-3   h1 is drawn anew, from the seed, the place, and how often that began anew before

Plasticity Injection (Nikishin et al. 2023): a network that has lost the ability to learn gets a
fresh one, and what it computes stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import prod
from typing import ClassVar, Final, final

from morphir.errors import RefusalError
from morphir.ir import Program, Rewriter, injections_in, is_inside
from morphir.passes.base import MorphismPass, Refusal
from morphir.passes.injectable import unlike, why_not
from morphir.passes.sites import module_names, resolve, unprovable
from morphir.randomness import derive_seed

LAW: Final = "INJECT-1"
_SHOWN: Final = 3


@final
@dataclass(frozen=True)
class InjectPlasticityPass(MorphismPass):
    """Add the difference of two fresh copies of a module, of which one learns in its place.

    Args:
        at: Qualified name of the module (a head, a layer, a Sequential, a whole network), a glob,
            or a list of them; `""` is the model itself.
        targets: For a module the one that is its target, in the same model: that begins anew as
            well, with the same numbers. Targets that are models of their own go into one call with
            theirs, as `morphir.transform([online, target], ...)`.
        seed: Seed of the fresh numbers.

    Raises:
        RefusalError: An option has a value that no model could fit.

    Example:
        >>> import torch, morphir
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> injected = morphir.apply(net, morphir.InjectPlasticityPass(at="2"))
        >>> [name for name, p in injected.named_parameters() if p.requires_grad]
        ['0.weight', '0.bias', '2.injected1.fresh.weight', '2.injected1.fresh.bias']
    """

    name: ClassVar[str] = "inject"
    injects: ClassVar[bool] = True

    at: str | Sequence[str]
    targets: Mapping[str, str] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.at, list):
            object.__setattr__(self, "at", tuple(self.at))
        patterns = self.at if isinstance(self.at, tuple) else (self.at,)
        pairs = self.targets.items() if isinstance(self.targets, Mapping) else ()
        fits = {
            "at": bool(patterns) and all(isinstance(pattern, str) for pattern in patterns),
            "targets": self.targets is None
            or (bool(pairs) and all(isinstance(name, str) for pair in pairs for name in pair)),
            "seed": type(self.seed) is int,
        }
        for name, holds in fits.items():
            if not holds:
                expected, example = _OPTIONS[name]
                found = f"{name}={getattr(self, name)!r}"
                raise RefusalError(f"{found}, expected {expected}", suggestions=[example])

    def requires(self, program: Program) -> Refusal | None:
        """Refuses a module whose copies would not cancel, or that shares what would be frozen."""
        places = self._places(program)
        if isinstance(places, Refusal):
            return places
        why = unprovable(program)
        if why:
            return Refusal(why, tuple(places))
        refusals = [why_not(program, name, places) for name in places]
        refusals += [unlike(program, *pair) for pair in (self.targets or {}).items()]
        found = next(filter(None, refusals), None)
        if found is None or found.suggestions:
            return found
        names = sorted(module_names(program), key=lambda name: not is_inside(name, found.nodes))
        fitting = (name for name in (*names, "") if why_not(program, name) is None)
        return replace(found, suggestions=tuple(f"at={each!r}" for each in islice(fitting, _SHOWN)))

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Injects one branch per module."""
        places = self._places(program)
        assert not isinstance(places, Refusal)  # `requires` has seen to it
        notes = []
        for name, online in places.items():
            number = 1 + len(injections_in(program, online))
            spec = {"kind": "branch", "seed": derive_seed(self.seed, online, number)}
            edit = rewriter.inject(name, law=LAW, spec=spec)
            types = [rewriter.program.state[each].type for each in edit.heirs]
            count = sum(prod(each.sizes(1)) for each in types)
            notes.append(f"{edit.name}: {count:,} numbers begin anew ({LAW})")
        return notes

    def _places(self, program: Program) -> dict[str, str] | Refusal:
        """The modules that begin anew, each with the one whose name goes into its draws."""
        asked = [self.at] if isinstance(self.at, str) else [*self.at]
        named = [each for each in asked if each]  # "" is the model itself
        found = [] if named == asked else [""]
        if named:
            names = resolve(named, program, lambda name: why_not(program, name) is None)
            if isinstance(names, Refusal):
                return names
            found += names
        targets = self.targets or {}
        for online, target in targets.items():
            if online not in found:
                reason = f"targets= has one for {online!r}, which at= does not name"
                return Refusal(reason, (online,), (f"at={[*found, online]!r}",))
            listed = resolve(target, program)
            if isinstance(listed, Refusal):
                return listed
        return {**{n: n for n in found}, **{t: online for online, t in targets.items()}}


_OPTIONS: Final = {
    "at": ("a qualified module name, a glob, or a list of them", "at='critic'"),
    "targets": ("a module and its target by name", "targets={'critic': 'target_critic'}"),
    "seed": ("an integer", "seed=0"),
}
