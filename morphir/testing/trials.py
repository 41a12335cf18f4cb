"""One application of a pass to one module, and what was seen before and after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from torch import nn

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.lineage import lineage_of
from morphir.passes import MorphismPass
from morphir.randomness import kept_random_state
from morphir.result import TransformResult
from morphir.testing.building import build, example_inputs
from morphir.testing.failures import Case
from morphir.testing.places import Site, program_of, site_names, takes, wants_site, width_at
from morphir.testing.preserving import used_optimizer
from morphir.testing.recipe import Recipe
from morphir.testing.snapshots import difference, random_state, snapshot
from morphir.testing.source import to_source
from morphir.transform import transform

Factory = Callable[[Site], MorphismPass]


@final
@dataclass(frozen=True)
class Trial:
    """What is tried, as data that can be made simpler.

    Attributes:
        recipe: The module.
        place: Which of its sites, modulo how many there are.
        seed: Seed of the pass.
    """

    recipe: Recipe
    place: int = 0
    seed: int = 0


@final
class Attempt:
    """A trial that is carried out once; its parts are computed when a law asks for them."""

    def __init__(self, trial: Trial, make: Factory, pass_type: type[MorphismPass] | None) -> None:
        self.recipe, self._make = trial.recipe, make
        self.module = build(trial.recipe)
        program = program_of(self.module)
        names = site_names(program, pass_type) or ("",)
        at = names[trial.place % len(names)]
        self.site = Site(at, width_at(AxisGroups(program), at) if at else 0, trial.seed)
        self.sites = len(names)
        self.optimizer = used_optimizer(self.module, trial.seed)

    @cached_property
    def pass_(self) -> MorphismPass:
        """The pass for this site; each law gets another, in case one remembers something."""
        return self._make(self.site)

    @property
    def is_asked(self) -> bool:
        """Whether there is a pass for this site: its options may be refused before a model is."""
        try:
            return self.pass_ is not None
        except RefusalError:
            return False

    @property
    def is_refused(self) -> bool:
        """Whether the site, or the options for it, were refused."""
        return isinstance(self.outcome, RefusalError)

    @property
    def case(self) -> Case:
        """The trial, for a message."""
        given = example_inputs(self.recipe)
        source = to_source(self.recipe)
        return Case(
            self.pass_, self.module, given, self.recipe.entry_points, self.site.seed, source
        )

    @cached_property
    def seen(self) -> tuple[TransformResult | RefusalError | Exception, str, str]:
        """What became of it, and what differs of the module and of the user's random state."""
        before, state = snapshot(self.module, self.optimizer), random_state()
        found: TransformResult | RefusalError | Exception
        try:
            found = self.transform(self.module, self.optimizer, pass_=self._make(self.site))
        except Exception as error:  # a law says which are allowed
            found = error
        changed = difference(before, snapshot(self.module, self.optimizer))
        return found, changed, difference(state, random_state())

    @property
    def outcome(self) -> TransformResult | RefusalError | Exception:
        """The result, the refusal, or what else was raised."""
        return self.seen[0]

    @property
    def result(self) -> TransformResult | None:
        """The result if it was applied and did something."""
        found = self.outcome
        if not isinstance(found, TransformResult) or not lineage_of(found.module).steps:
            return None
        return found

    def again(self, *, inplace: bool = False, training: bool = True) -> TransformResult:
        """Applies the pass to another module of the same recipe, with an optimizer of its own.

        Raises:
            Exception: Whatever the pass raises.
        """
        module = build(self.recipe).train(training)
        optimizer = used_optimizer(module, self.site.seed)
        return self.transform(module, optimizer, inplace=inplace)

    def transform(
        self, module: nn.Module, optimizer: Any, *, inplace: bool = False, pass_: Any = None
    ) -> TransformResult:
        """Applies a pass, by default a new one for this site."""
        return transform(
            module,
            self._make(self.site) if pass_ is None else pass_,
            optimizer=optimizer,
            inplace=inplace,
            example_inputs=example_inputs(self.recipe),
            entry_points=self.recipe.entry_points,
        )

    def outputs(self, module: nn.Module) -> Sequence[torch.Tensor]:
        """What the entry points return in eval mode."""
        was_training = module.training
        module.eval()
        with torch.no_grad(), kept_random_state():
            given = example_inputs(self.recipe, rows=5, seed=1)
            found = [getattr(module, name)(*arguments) for name, arguments in given.items()]
        module.train(was_training)
        return found


def factory_of(pass_type: type[MorphismPass]) -> Factory:
    """A factory that fills in `at` if it must be said, and `width` and `seed` if there are any."""

    def make(site: Site) -> MorphismPass:
        wanted = {"width": site.width + 1 + site.seed % 3, "seed": site.seed}
        options: dict[str, Any] = {k: v for k, v in wanted.items() if takes(pass_type, k)}
        if wants_site(pass_type):
            options["at"] = site.at
        kind: Any = pass_type
        made: MorphismPass = kind(**options)
        return made

    return make
