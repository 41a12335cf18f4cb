"""Lives through a scenario, and raises where something is not as it should be.

FUZZ-1  what is applied, refused, trained, saved and loaded on the way is looked at with evidence
        that no checker of ours has a part in, and with the checkers beside it
FUZZ-3  a refusal, and an application to a copy, leave the model and its optimizer as they were,
        to the bit and the identity; the user's random state is untouched by all of it
"""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.axes import AxisGroups
from morphir.errors import RefusalError, VerificationError
from morphir.masks import Masks
from morphir.passes import DeeperPass
from morphir.randomness import forked_random_state
from morphir.result import TransformResult
from morphir.state.storage import load, save
from morphir.testing.building import build, example_inputs
from morphir.testing.failures import Case, general
from morphir.testing.fuzzing.carrying import states, stored_difference
from morphir.testing.fuzzing.evidence import Inputs
from morphir.testing.fuzzing.findings import (
    ALARM,
    CHANGED,
    PLACELESS,
    STORAGE,
    FoundError,
    crash,
)
from morphir.testing.fuzzing.judging import Applied, judge
from morphir.testing.fuzzing.optimizers import made
from morphir.testing.fuzzing.requests import REQUESTS
from morphir.testing.fuzzing.scenarios import SAVE, SILENCE, TRAIN, Action, Scenario
from morphir.testing.places import Site, program_of, site_names, width_at
from morphir.testing.snapshots import difference, random_state, snapshot
from morphir.testing.source import to_source
from morphir.transform import transform

CHECKS: Final = (
    "certificate", "field", "float64", "native", "gradients", "statistics", "state_dict",
)  # fmt: skip
_STEPS: Final = 2
_Conv = nn.modules.conv._ConvNd
_IDLE: Final = "nothing to do"


@final
@dataclass(frozen=True)
class Tally:
    """What was done so far.

    Attributes:
        outcomes: How often each pass had each outcome: a grade, a refusal, nothing to do.
        reasons: How often each pass was refused for each reason, without names and numbers.
        events: How often a model was trained, and saved and loaded.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)


def live(scenario: Scenario, *, checks: Sequence[str] = CHECKS, tally: Tally | None = None) -> None:
    """Lives through a scenario.

    Args:
        scenario: What happens to which model.
        checks: The checks of `morphir.verify` that look at every application too.
        tally: Where to count what happens.

    Raises:
        FoundError: Something is not as it should be.

    Example:
        >>> from morphir.testing import Recipe, Step
        >>> from morphir.testing.fuzzing import Action, Scenario, live
        >>> steps = Step("linear", number=1), Step("relu")
        >>> live(Scenario(Recipe(steps), (Action("widen"), Action("train"), Action("save"))))
    """
    life = _Life(scenario, tuple(checks), Tally() if tally is None else tally)
    for action in scenario.actions:
        if not life.is_finite:
            break
        life.act(action)


@final
class _Life:
    """A model with its optimizer, from action to action."""

    def __init__(self, scenario: Scenario, checks: Sequence[str], tally: Tally) -> None:
        self.scenario, self.checks, self.tally = scenario, checks, tally
        self.recipe = scenario.recipe
        self.model = build(self.recipe)
        self.optimizer = self._optimizer(self.model)
        self.longer: dict[int, int] = {}  # axis of the inputs to its size, if they were extended
        values = copy.deepcopy(self.model.state_dict())
        self._train(self.model, self.optimizer)  # so that there is state, while dead units stay
        self.model.load_state_dict(values)

    def _optimizer(self, model: nn.Module) -> Optimizer:
        return made(self.scenario.optimizer, model)

    @property
    def is_finite(self) -> bool:
        """Whether training has not gone out of bounds."""
        kept = (value for state in self.optimizer.state.values() for value in state.values())
        tensors = (each for each in kept if isinstance(each, torch.Tensor))
        return all(bool(each.isfinite().all()) for each in (*self.model.parameters(), *tensors))

    def act(self, action: Action) -> None:
        """Does one thing."""
        random, before = random_state(), f"{action.what} of {self.scenario.optimizer}"
        try:
            if action.what == TRAIN:
                self._train(self.model, self.optimizer)
            elif action.what == SAVE:
                self._save_and_load()
            elif action.what == SILENCE:
                self._silence(action)
            else:
                self._request(action)
        except FoundError:
            raise
        except Exception as error:
            raise crash(error, before) from error
        drawn = difference(random, random_state())
        if drawn:
            raise FoundError(CHANGED, f"{drawn} by {action.what}", f"{drawn} after {action.what}")
        if action.what not in REQUESTS:
            self.tally.events[action.what] += 1

    def inputs(
        self, seed: int = 0, rows: int = 3, longer: dict[int, int] | None = None
    ) -> dict[str, tuple[torch.Tensor, ...]]:
        """Arguments for the model as it is, or with other sizes; what is new comes last."""
        sizes = self.longer if longer is None else longer
        found: dict[str, tuple[torch.Tensor, ...]] = {}
        for name, (x,) in example_inputs(self.recipe, rows, seed).items():
            for axis, size in sizes.items():
                more = range(x.shape[axis], size)
                x = torch.cat([x, *(_position(x, axis, seed, number) for number in more)], axis)
            found[name] = (x,)
        return found

    def _train(self, model: nn.Module, optimizer: Optimizer) -> None:
        model.train()
        masks = Masks(model)
        for number in range(_STEPS):
            optimizer.zero_grad()
            with forked_random_state(number):
                given = self.inputs(number, rows=4)
                returned = [getattr(model, name)(*x) for name, x in given.items()]
            loss = torch.stack([each.float().square().mean() for each in returned]).sum()
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
                masks.mask_gradients()
                optimizer.step()
                masks.mask_parameters()

    def _save_and_load(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.safetensors"
            save(self.model, path, optimizer=self.optimizer)
            model, optimizer = load(path, lambda: build(self.recipe), optimizer=self._optimizer)
        differing = stored_difference(
            (self.model, self.optimizer), (model, optimizer), self.inputs(5)
        )
        if differing:
            raise FoundError(STORAGE, differing, f"{differing} after it was saved and loaded")
        self.model, self.optimizer = model, optimizer

    def _silence(self, action: Action) -> None:
        """Has some units do nothing, as training may: nobody reads them, or they are always 0."""
        layers = [each for each in self.model.modules() if isinstance(each, nn.Linear | _Conv)]
        layer, some = layers[action.place % len(layers)], slice(action.number % 3, None, 3)
        with torch.no_grad():
            if action.number % 2:
                layer.weight[:, some] = 0
                return
            layer.weight[some] = 0
            if layer.bias is not None:
                layer.bias[some] = 0

    def _request(self, action: Action) -> None:
        """Asks for a pass, and looks at what becomes of it."""
        given = self.inputs()
        self.model.train(action.number % 3 > 0)
        try:
            pass_ = REQUESTS[action.what].make(self._site(action, given), given)
        except RefusalError as refusal:  # an option has a value that fits no model
            self._count(action, refusal)
            return
        reference, moments = copy.deepcopy(self.model), states(self.model, self.optimizer)
        case = Case(
            pass_, reference, given, self.recipe.entry_points, action.number,
            to_source(self.recipe),
        )  # fmt: skip
        found = self._outcome(action, case)
        if isinstance(found, RefusalError):
            self._count(action, found)
            if not found.nodes:
                what = f"is refused, and no node is named: {found}"
                raise FoundError(
                    PLACELESS, f"{action.what} {what}", f"{pass_.describe()} {what}", case
                )
            return
        parts = found.certificate.steps or (found.certificate,)
        is_idle = not any(
            part.resizes or part.insertions or part.removals or part.renumbered for part in parts
        )
        was = dict(self.longer)
        self.longer |= {each.axis: each.new_size for part in parts for each in part.inputs}
        self.model, self.optimizer = found.module, found.optimizer
        self.tally.outcomes[action.what, _IDLE if is_idle else str(found.report.grade)] += 1

        def feed(seed: int) -> tuple[Inputs, Inputs]:
            return self.inputs(seed, longer=was), self.inputs(seed)

        applied = Applied(action.what, case, moments, found, feed, self._train)
        judge(applied, () if is_idle else self.checks)

    def _site(self, action: Action, given: Inputs) -> Site:
        """A place: mostly, of those with features, one where these can change."""
        request = REQUESTS[action.what]
        program = program_of(self.model, given, self.recipe.entry_points)
        groups, names = AxisGroups(program), site_names(program)
        if request.features:
            names = tuple(name for name in names if width_at(groups, name))
            likely = tuple(name for name in names if request.fits(groups, name))
            names = likely if likely and action.number % 7 else names
        at = names[action.place % len(names)] if names else ""
        return Site(at, width_at(groups, at) if at else 0, action.number)

    def _outcome(self, action: Action, case: Case) -> TransformResult | RefusalError:
        """The result or the refusal; anything else is a finding, as is what it changes (FUZZ-3)."""
        before, inplace = snapshot(self.model, self.optimizer), action.number % 5 == 4
        asked = [case.pass_]
        if action.number % 11 == 10:  # several at once
            asked.append(DeeperPass("head", "residual", seed=action.number))
        what = f"{' and '.join(p.describe() for p in asked)}{' in place' if inplace else ''}"
        found: TransformResult | RefusalError
        try:
            found = transform(
                self.model, asked, optimizer=self.optimizer, inplace=inplace,
                example_inputs=case.example_inputs, entry_points=case.entry_points,
            )  # fmt: skip
        except RefusalError as refusal:
            found = refusal
        except VerificationError as error:
            first = str(error).partition("\n")[0]
            raise FoundError(ALARM, f"{action.what}: {first}", f"{what}: {error}", case) from error
        except Exception as error:
            raise crash(error, what, case) from error
        was_refused = isinstance(found, RefusalError)
        changed = difference(before, snapshot(self.model, self.optimizer))
        if changed and (was_refused or not inplace):
            why = f"{changed} after it was {'refused' if was_refused else 'applied to a copy'}"
            raise FoundError(CHANGED, f"{action.what}: {why}", f"{what}: {why}", case)
        return found

    def _count(self, action: Action, refusal: RefusalError) -> None:
        self.tally.outcomes[action.what, "refused"] += 1
        self.tally.reasons[action.what, general(refusal.reason)] += 1


def _position(x: torch.Tensor, axis: int, seed: int, number: int) -> torch.Tensor:
    """One more position of an axis, whatever there is beside it: numbers, or tokens that exist."""
    generator = torch.Generator().manual_seed(1000 * seed + number)
    new = torch.randn(x.narrow(axis, 0, 1).shape, generator=generator)
    return (new if x.is_floating_point() else new.abs()).to(x)
