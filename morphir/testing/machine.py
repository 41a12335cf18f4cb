"""A state machine that mixes passes with all else that happens to a model.

TESTING-21   in every state the model computes what its reference does, which was copied when it
             was last trained or cast; the optimizer has its parameters, and its lineage replays
             on a module that was built anew
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from torch import nn

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import Grade
from morphir.lineage import lineage_of
from morphir.passes import MorphismPass
from morphir.randomness import forked_random_state
from morphir.state.replay import replay
from morphir.state.storage import load, save
from morphir.testing.building import build, example_inputs
from morphir.testing.places import Site, program_of, site_names, width_at
from morphir.testing.preserving import assert_preserves, used_optimizer
from morphir.testing.recipe import Recipe
from morphir.testing.snapshots import difference, numbers
from morphir.testing.source import to_source
from morphir.testing.strategies import recipes
from morphir.testing.trials import Factory, factory_of
from morphir.verify import verify


def pass_machine(
    passes: Sequence[type[MorphismPass] | Factory],
    *,
    strategy: st.SearchStrategy[Recipe] | None = None,
) -> type[RuleBasedStateMachine]:
    """A state machine whose rules apply passes, train, save and load, cast, and replay.

    Args:
        passes: What to apply: classes or functions, as for `check_pass`.
        strategy: Which modules; by default `recipes(max_steps=4)` in float32 and float64.

    Returns:
        A class for `hypothesis.stateful.run_state_machine_as_test`, or whose `TestCase` pytest
        collects.

    Example:
        >>> from hypothesis import settings
        >>> from hypothesis.stateful import run_state_machine_as_test
        >>> from morphir import DeeperPass
        >>> from morphir.testing import pass_machine
        >>> few = settings(max_examples=1, stateful_step_count=2, database=None, deadline=None)
        >>> run_state_machine_as_test(pass_machine([DeeperPass]), settings=few)
    """
    types = [each if isinstance(each, type) else None for each in passes]
    makers = [factory_of(each) if isinstance(each, type) else each for each in passes]
    drawn = recipes(dtypes=("float32", "float64"), max_steps=4) if strategy is None else strategy

    @final
    class PassMachine(RuleBasedStateMachine):
        """One model from rule to rule."""

        @initialize(recipe=drawn)
        def build(self, recipe: Recipe) -> None:
            """Starts with a module that nothing was done to."""
            note(to_source(recipe))
            self.life = _Life(recipe)

        @rule(
            which=st.integers(0, len(makers) - 1), place=st.integers(0, 9), seed=st.integers(0, 9)
        )
        def apply(self, which: int, place: int, seed: int) -> None:
            """Applies a pass somewhere, or is refused."""
            note(self.life.apply(makers[which], types[which], place, seed))

        @rule(seed=st.integers(0, 9))
        def train(self, seed: int) -> None:
            """Takes a step of the optimizer."""
            self.life.train(seed)

        @rule()
        def save_and_load(self) -> None:
            """Goes on with what was saved and loaded."""
            self.life.save_and_load()

        @rule(dtype=st.sampled_from(["float32", "float64"]))
        def cast(self, dtype: str) -> None:
            """Goes on with another dtype."""
            self.life.cast(getattr(torch, dtype))

        @rule()
        def replay(self) -> None:
            """Does to a module that was built anew what was done to this one."""
            self.life.replay()

        @invariant()
        def it_computes_what_its_reference_does(self) -> None:
            """TESTING-21."""
            if hasattr(self, "life"):
                self.life.check()

    return PassMachine


@final
class _Life:
    """A model, its optimizer, and a copy of it from before the last passes."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.model = recipe, build(recipe)
        self.optimizer: Any = used_optimizer(self.model, 0)
        self.reference, self.is_checked = self.model, True
        self.dtype: torch.dtype = getattr(torch, recipe.dtype)
        self._refer()

    def _refer(self) -> None:
        self.reference, self.is_checked = copy.deepcopy(self.model), True

    def inputs(self, seed: int = 0) -> dict[str, tuple[torch.Tensor, ...]]:
        """Arguments in the model's present dtype."""
        given = example_inputs(self.recipe, rows=4, seed=seed)
        return {
            name: tuple(x.to(self.dtype) if x.is_floating_point() else x for x in arguments)
            for name, arguments in given.items()
        }

    @property
    def entry_points(self) -> tuple[str, ...]:
        return self.recipe.entry_points

    def apply(self, make: Factory, kind: type[MorphismPass] | None, place: int, seed: int) -> str:
        program = program_of(self.model, self.inputs(), self.entry_points)
        names = site_names(program, kind) or ("",)
        at = names[place % len(names)]
        site = Site(at, width_at(AxisGroups(program), at) if at else 0, seed)
        try:
            pass_ = make(site)
        except RefusalError as refusal:  # an option has a value that fits no model
            return f"a pass for {site} is refused: {refusal.reason}"
        found = assert_preserves(
            pass_,
            self.model,
            example_inputs=self.inputs(),
            entry_points=self.entry_points,
            optimizer=self.optimizer,
        )
        if isinstance(found, RefusalError):
            return f"{pass_.describe()} was refused"
        self.model, self.optimizer = found.module, found.optimizer
        self.is_checked = False
        return f"{pass_.describe()} was applied"

    def train(self, seed: int) -> None:
        with forked_random_state(seed):
            self.optimizer.zero_grad()
            given = self.inputs(seed)
            outputs = [getattr(self.model, name)(*x) for name, x in given.items()]
            loss = torch.stack([output.square().mean() for output in outputs]).sum()
            if loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
        self._refer()

    def save_and_load(self) -> None:
        before = numbers(self.model)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.safetensors"
            save(self.model, path, optimizer=self.optimizer)
            self.model, self.optimizer = load(path, self._fresh, optimizer=_adam)
        differing = difference(before, numbers(self.model))
        assert not differing, f"{differing} after it was saved and loaded"

    def _fresh(self) -> nn.Module:
        return build(self.recipe).to(self.dtype)

    def cast(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.model.to(dtype)
        for state in self.optimizer.state.values():
            for key in ("exp_avg", "exp_avg_sq"):
                if key in state:
                    state[key] = state[key].to(dtype)
        self._refer()

    def replay(self) -> None:
        other = replay(lineage_of(self.model), self._fresh())
        shapes, wanted = (
            {name: each.shape for name, each in module.state_dict().items()}
            for module in (other, self.model)
        )
        assert shapes == wanted, "the lineage leads to other shapes on another module"

    def check(self) -> None:
        own = {id(parameter) for parameter in self.model.parameters()}
        held = [id(p) for group in self.optimizer.param_groups for p in group["params"]]
        assert sorted(own) == sorted(held), "the optimizer has other parameters than the model"
        if self.is_checked:
            return
        report = verify(
            self.reference,
            self.model,
            example_inputs=self.inputs(),
            entry_points=self.entry_points,
            checks=("float64",),
        )
        assert report.grade is not Grade.REFUTED, f"it differs from its reference:\n{report}"
        self.is_checked = True


def _adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-3)
