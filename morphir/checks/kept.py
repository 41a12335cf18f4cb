"""Whether everything that was not meant to change is as it was.

    KEPT-1   every old module is there under its name, of its class, with its training flag, hooks,
             settings and attributes; every old parameter and buffer with its dtype, shape, strides,
             device, bits, `requires_grad`, gradient and hooks; and old keys of the state_dict keep
             their order
    KEPT-2   parameters that were tied are tied still, those that were not are not, and new ones
             share no memory with old ones; a module that was registered under several names still
             is
    KEPT-3   new modules have the training flag of their anchor; new parameters require gradients,
             unless the nearest layer that they follow is frozen, and none if all of these are
    KEPT-4   every old parameter is in the optimizer group that it was in, with its state and the
             group's options; every new one in exactly one group, or in none where no group holds
             the nearest layer that it follows
    KEPT-5   when a copy was changed, all of this holds for the original too, with nothing new, and
             the two share no memory; the random state of torch, numpy and Python is what it was

This looks at modules, not at graphs, and knows nothing about ops: it finds what a proof about
functions is blind to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, final

from torch import nn
from torch.optim import Optimizer

from morphir.checks.inventory import (
    NUMBERS,
    Facts,
    Group,
    Inventory,
    memories,
    random_state,
)
from morphir.checks.succession import Place, check_branches
from morphir.ir.masks import mask_name
from morphir.ir.report import Check, Grade, InsertionClaim, counted

Follows = Mapping[str, Sequence[str]]
_NOTHING: Final[Follows] = MappingProxyType({})
_NOWHERE: Final[Mapping[str, Place]] = MappingProxyType({})
_SHOWN: Final = 3
Complaints = Iterator[tuple[str, str]]


@final
@dataclass(frozen=True, eq=False)
class Original:
    """A model and its optimizers with the inventory taken before anything was done to them.

    Attributes:
        model: The model.
        optimizers: The optimizers over it.
        inventory: What it was like.
        random_state: A digest of the global random states at that moment.
    """

    model: nn.Module
    optimizers: Sequence[Optimizer]
    inventory: Inventory
    random_state: str

    @classmethod
    def of(cls, model: nn.Module, optimizers: Sequence[Optimizer] = ()) -> Original:
        """Takes inventory now."""
        inventory = Inventory.of(model, optimizers)
        return cls(model, tuple(optimizers), inventory, random_state())

    def check(
        self,
        target: nn.Module,
        optimizers: Sequence[Optimizer] = (),
        insertions: Sequence[InsertionClaim] = (),
        follows: Follows = _NOTHING,
        since: Inventory | None = None,
        masked: Sequence[str] = (),
        places: Mapping[str, Place] = _NOWHERE,
        now: Inventory | None = None,
    ) -> list[Check]:
        """Checks what became of it: `kept` about the target, and `original` if that is a copy.

        Args:
            target: The changed model: the original itself, or a copy.
            optimizers: The optimizers over it.
            insertions: What was inserted where.
            follows: New module to the parameters of the layers that it follows, the nearest first.
            since: What the target should be like but for the insertions; by default the original.
            masked: Parameters that may have a new mask.
            places: Of what learns in an injected branch the places that it takes.
            now: The inventory of the target, if it was taken already.
        """
        now = now or Inventory.of(target, optimizers)
        kept = check_kept(since or self.inventory, now, insertions, follows, masked, places)
        if random_state() != self.random_state and kept.grade is not Grade.REFUTED:
            what = "KEPT-5: random numbers were drawn from it"
            kept = replace(kept, grade=Grade.REFUTED, summary=what, where="the random state")
        if target is self.model:
            return [kept]
        same = check_kept(self.inventory, Inventory.of(self.model, self.optimizers))
        mine, own = memories(self.model, self.optimizers), memories(target, optimizers)
        both = [name for address, name in own.items() if address in mine]
        if both and same.grade is not Grade.REFUTED:
            what = "KEPT-5: the copy shares memory with the original"
            same = replace(same, grade=Grade.REFUTED, summary=what, where=both[0])
        return [kept, replace(same, name="original")]


def check_kept(
    before: Inventory,
    after: Inventory,
    insertions: Sequence[InsertionClaim] = (),
    follows: Follows = _NOTHING,
    masked: Sequence[str] = (),
    places: Mapping[str, Place] = _NOWHERE,
) -> Check:
    """Checks KEPT-1 to KEPT-4, and KEPT-10.

    Args:
        before: Taken before anything was done.
        after: Taken now.
        insertions: What was inserted where.
        follows: New module to the parameters of the layers that it follows, the nearest first.
        masked: Parameters that may have a new mask.
        places: Of what learns in an injected branch the places that it takes.
    """
    branches = [claim for claim in insertions if claim.freezes]
    masks = [mask for mask in map(mask_name, masked) if mask not in before.tensors]
    new = tuple(_places(after, [*(claim.module for claim in insertions), *masks]))
    complaints = [
        *_compare(before.modules, after.modules, new, "module"),
        *_compare(before.tensors, after.tensors, new, "tensor"),
        *_compare_aliases(before, after),
        *_compare_sharing(before, after),
        *_compare_keys(before, after, new),
        *_check_new(after, insertions, follows),
        *_compare_groups(before, after, new),
        *_check_joined(before, after, new, follows, branches),
        *check_branches(after, branches, places),
    ]
    figures = {"modules": float(len(before.modules)), "tensors": float(len(before.tensors))}
    if complaints:
        where, what = complaints[0]
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        return Check("kept", Grade.REFUTED, f"{what}{more}", where, figures)
    modules = counted(len(before.modules), "module")
    summary = f"{modules}, {counted(len(before.tensors), 'tensor')} as they were"
    if before.groups:
        summary += f", {counted(len(before.groups), 'optimizer group')}"
    return Check("kept", Grade.TESTED, summary, "", figures)


def _places(after: Inventory, names: Sequence[str]) -> Iterator[str]:
    """Prefixes of what is new: where a module has several names, so has what is put into it."""
    for name in names:
        home, _, key = name.rpartition(".")
        for place in (home, *after.aliases.get(home, ())):
            yield f"{place}.{key}.".removeprefix(".")


def other_python(before: Inventory, after: Inventory) -> str:
    """A module whose class or attributes differ, so that its code may do other things; or ""."""
    for name, facts in before.modules.items():
        now = after.modules.get(name, {})
        keys = ("class", *(key for key in facts if key.startswith("attribute ")))
        if any(facts[key] != now.get(key) for key in keys):
            return name or "the model itself"
    return ""


def _compare(
    before: Mapping[str, Facts], after: Mapping[str, Facts], new: tuple[str, ...], kind: str
) -> Complaints:
    for name, facts in before.items():
        if name not in after:
            yield name, f"KEPT-1: this {kind} is gone"
            continue
        now = after[name]
        if facts == now:
            continue
        for key in [*dict.fromkeys((*facts, *now))]:
            if key in NUMBERS and not (key in facts and key in now):
                continue
            was, is_now = facts.get(key, "missing"), now.get(key, "missing")
            if was != is_now:
                yield name, f"KEPT-1: {key} was {was!r} and is {is_now!r}"
    for name in after:
        if name not in before and not f"{name}.".startswith(new or ("\0",)):
            yield name, f"KEPT-1: a {kind} that nobody announced"


def _compare_aliases(before: Inventory, after: Inventory) -> Complaints:
    for name in before.modules:
        was, is_now = before.aliases.get(name, ()), after.aliases.get(name, ())
        if was != is_now:
            old, new = (", ".join(each) or "nothing" for each in (was, is_now))
            yield name, f"KEPT-2: was also {old}, is also {new}"


def _compare_sharing(before: Inventory, after: Inventory) -> Complaints:
    for name, (tied, near) in after.shared.items():
        old_tied, old_near = before.shared.get(name, (frozenset({name}), frozenset()))
        if name in before.shared and tied != old_tied:
            yield (
                name,
                f"KEPT-2: was tied to {_listed(old_tied, name)}, is to {_listed(tied, name)}",
            )
        elif name in before.shared and near != old_near:
            yield name, f"KEPT-2: shares memory with {_listed(near, name)}"
        elif name not in before.shared and near & before.shared.keys():
            yield name, f"KEPT-2: is new and shares memory with {_listed(near, name)}"


def _listed(names: frozenset[str], own: str) -> str:
    return ", ".join(sorted(names - {own})[:_SHOWN]) or "none"


def _compare_keys(before: Inventory, after: Inventory, new: tuple[str, ...]) -> Complaints:
    left = tuple(key for key in after.keys if not f"{key}.".startswith(new or ("\0",)))
    if left != before.keys:
        moved = next((a for a, b in zip(before.keys, left, strict=False) if a != b), "")
        yield moved or "the model", "KEPT-1: the keys of the state_dict or their order changed"


def _check_new(
    after: Inventory, insertions: Sequence[InsertionClaim], follows: Follows
) -> Complaints:
    for claim in insertions:
        anchor = after.modules.get(claim.anchor, {}).get("training flag")
        for name, facts in after.modules.items():
            if f"{name}.".startswith(f"{claim.module}.") and facts["training flag"] != anchor:
                yield name, f"KEPT-3: its training flag is not that of {claim.anchor!r}"
        if claim.freezes:
            continue  # KEPT-10 is about it
        followed = [n for n in follows.get(claim.module, ()) if n in after.tensors]
        trains = [after.tensors[name]["requires_grad"] for name in followed]
        for name, facts in after.tensors.items():
            if not name.startswith(f"{claim.module}.") or facts["class"] != "Parameter":
                continue
            is_known = claim.module in follows  # a certificate alone does not say it
            if not facts["requires_grad"] and is_known and (not trains or trains[0]):
                yield name, "KEPT-3: a new parameter that requires no gradient"
            if facts["requires_grad"] and trains and not any(trains):
                yield name, "KEPT-3: requires gradients, and all that it follows is frozen"


def _compare_groups(before: Inventory, after: Inventory, new: tuple[str, ...]) -> Complaints:
    if len(before.groups) != len(after.groups):
        yield "the optimizers", f"KEPT-4: {len(after.groups)} groups, {len(before.groups)} before"
        return
    for index, (was, now) in enumerate(zip(before.groups, after.groups, strict=True)):
        yield from _compare_group(was, now, new, f"group {index} ({was[0]['class']})")


def _check_joined(
    before: Inventory,
    after: Inventory,
    new: tuple[str, ...],
    follows: Follows,
    branches: Sequence[InsertionClaim],
) -> Complaints:
    in_branches = tuple(_places(after, [claim.module for claim in branches])) or ("\0",)
    held = Counter(name for _, group in after.groups for name in group)
    for name, facts in after.tensors.items() if before.groups else ():
        is_new = facts["class"] == "Parameter" and name.startswith(new or ("\0",))
        is_first = name == min(after.shared[name][0])  # of several names groups have one
        if not is_new or not is_first or held[name] == 1 or name.startswith(in_branches):
            continue
        followed = next((v for k, v in follows.items() if name.startswith(f"{k}.")), ())
        is_led = not followed or min(after.shared[followed[0]][0]) in held
        if held[name] or is_led:
            yield name, f"KEPT-4: a new parameter in {held[name]} optimizer groups"


def _compare_group(was: Group, now: Group, new: tuple[str, ...], where: str) -> Complaints:
    (options, held), (own, holds) = was, now
    if options != own:
        yield where, f"KEPT-4: its options were {dict(options)} and are {dict(own)}"
    for name, state in held.items():
        if name not in holds:
            yield name, f"KEPT-4: left {where}"
        elif holds[name] != state:
            yield name, f"KEPT-4: its state in {where} was {state} and is {holds[name]}"
    for name in holds:
        if name not in held and not name.startswith(new or ("\0",)):
            yield name, f"KEPT-4: joined {where}"
