"""The laws that every pass keeps, each as a function that looks at one attempt.

TESTING-7    a pass is applied or refused, and nothing else happens
TESTING-8    what is applied keeps the function, as `morphir.verify` sees it
TESTING-9    the module and its optimizer are as they were
TESTING-10   a refusal changes nothing, in place neither
TESTING-11   a refusal has a reason and names a node
TESTING-12   the user's random state is as it was
TESTING-13   the same seed gives the same bits, or the same refusal
TESTING-14   the optimizer has every parameter once, and training goes on
TESTING-15   what is saved and loaded is the same, to the bit
TESTING-16   in place gives the same bits as a copy
TESTING-17   modes, dtypes and what is frozen stay as they were
TESTING-18   the pass can follow itself, and others can follow it
TESTING-19   the lineage replays on another module
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from torch import nn

from morphir.errors import RefusalError, VerificationError
from morphir.ir import Grade
from morphir.lineage import lineage_of
from morphir.passes import DeeperPass, WiderPass
from morphir.randomness import forked_random_state
from morphir.result import TransformResult
from morphir.state.replay import replay
from morphir.state.storage import load, save
from morphir.testing.building import build, example_inputs
from morphir.testing.preserving import assert_preserves, used_optimizer
from morphir.testing.snapshots import bits, difference, numbers, snapshot
from morphir.testing.trials import Attempt
from morphir.verify import verify

Law = Callable[[Attempt], bool]  # whether there was something to look at; raises AssertionError


def _applied_or_refused(attempt: Attempt) -> bool:
    found = attempt.outcome
    if isinstance(found, TransformResult | RefusalError):
        return True
    text = str(found).splitlines() or [""]
    raise AssertionError(f"{type(found).__name__}: {text[0]}") from found


def _function_kept(attempt: Attempt) -> bool:
    if isinstance(attempt.outcome, RefusalError):
        return False
    module = build(attempt.recipe)
    return not isinstance(
        assert_preserves(attempt.pass_, module, seed=attempt.site.seed), Exception
    )


def _original_untouched(attempt: Attempt) -> bool:
    if isinstance(attempt.outcome, RefusalError):
        return False
    _, changed, _ = attempt.seen
    assert not changed, f"{changed} after the pass was applied to a copy"
    return True


def _refusals_change_nothing(attempt: Attempt) -> bool:
    refusal, changed, _ = attempt.seen
    if not isinstance(refusal, RefusalError):
        return False
    assert not changed, f"{changed} after the refusal: {refusal.reason}"
    module = build(attempt.recipe)
    optimizer = used_optimizer(module, attempt.site.seed)
    before = snapshot(module, optimizer)
    try:
        attempt.transform(module, optimizer, inplace=True)
    except RefusalError:
        changed = difference(before, snapshot(module, optimizer))
        assert not changed, f"{changed} after the refusal in place: {refusal.reason}"
    return True


def _refusals_explain(attempt: Attempt) -> bool:
    refusal = attempt.outcome
    if not isinstance(refusal, RefusalError):
        return False
    assert refusal.reason.strip(), "a refusal has no reason"
    assert refusal.nodes, f"a refusal names no node: {refusal.reason}"
    return True


def _random_state_untouched(attempt: Attempt) -> bool:
    found, _, drawn = attempt.seen
    assert not drawn, f"{drawn} after {type(found).__name__}"
    return True


def _deterministic(attempt: Attempt) -> bool:
    found = attempt.outcome
    with forked_random_state(attempt.site.seed + 1):  # another state than the first time
        try:
            second: TransformResult | Exception = attempt.again()
        except Exception as error:  # that it may not be raised is another law
            second = error
    if isinstance(found, TransformResult) and isinstance(second, TransformResult):
        differing = difference(numbers(found.module), numbers(second.module))
        assert not differing, f"{differing} when it is applied once more with the same seed"
        return True
    assert type(found) is type(second), "it is refused only some of the time"
    reasons = {str(each) for each in (found, second) if isinstance(each, RefusalError)}
    assert len(reasons) < 2, f"it is refused for other reasons the next time: {reasons}"
    return True


def _optimizer_carried(attempt: Attempt) -> bool:
    result = attempt.result
    if result is None or result.optimizer is None:
        return False
    module, optimizer = result.module, result.optimizer
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    frozen = frozen_by(result)
    for name, parameter in module.named_parameters():
        count = held.count(id(parameter))
        expected = 0 if name in frozen else 1
        assert count == expected, f"{name!r} is {count} times in the optimizer, not {expected}"
    own = {id(parameter) for parameter in module.parameters()}
    assert {*held} <= own, "the optimizer holds a parameter that the module has not"
    _check_state(attempt, module, optimizer, frozen)
    losses = train(attempt.again(), attempt)
    assert all(map(torch.isfinite, losses)), "the loss is not finite after a step of training"
    return True


def frozen_by(result: TransformResult) -> set[str]:
    """The parameters that stopped to learn, and those of copies that never do."""
    steps = result.certificate.steps or (result.certificate,)
    branches = [claim for step in steps for claim in step.insertions if claim.freezes]
    copies = tuple(f"{claim.module}.frozen." for claim in branches)
    made = {n for n, _ in result.module.named_parameters() if copies and n.startswith(copies)}
    return made | {name for claim in branches for name in claim.freezes}


def _check_state(
    attempt: Attempt, module: nn.Module, optimizer: torch.optim.Optimizer, frozen: set[str]
) -> None:
    """What had state has it, in the parameter's shape, but for what stopped to learn."""
    old = dict(attempt.module.named_parameters())
    assert attempt.optimizer is not None
    for name, parameter in module.named_parameters():
        if name not in frozen and name in old and attempt.optimizer.state.get(old[name]):
            state = optimizer.state.get(parameter, {})
            kept = state.get("exp_avg")
            assert kept is not None, f"the optimizer has lost its state of {name!r}"
            assert kept.shape == parameter.shape, f"the state of {name!r} has another shape"


def train(result: TransformResult, attempt: Attempt, steps: int = 2) -> list[torch.Tensor]:
    """Trains a result for some steps; returns the losses, that after the last step included."""
    losses = []
    with forked_random_state(0):
        for number in range(steps + 1):
            result.optimizer.zero_grad()
            given = example_inputs(attempt.recipe, rows=4, seed=number)
            outputs = [getattr(result.module, name)(*x) for name, x in given.items()]
            loss = torch.stack([output.float().square().mean() for output in outputs]).sum()
            losses.append(loss.detach())
            if number < steps and loss.requires_grad:
                loss.backward()  # type: ignore[no-untyped-call]
                result.optimizer.step()
    return losses


def _saved_and_loaded(attempt: Attempt) -> bool:
    result = attempt.result
    if result is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        save(result, path)
        loaded = load(path, lambda: build(attempt.recipe))
    differing = difference(numbers(result.module), numbers(loaded))
    assert not differing, f"{differing} after it was saved and loaded"
    pairs = zip(attempt.outputs(result.module), attempt.outputs(loaded), strict=True)
    assert all(bits(old) == bits(new) for old, new in pairs), "it returns something else then"
    return True


def _in_place(attempt: Attempt) -> bool:
    result = attempt.result
    if result is None:
        return False
    module = build(attempt.recipe)
    optimizer = used_optimizer(module, attempt.site.seed)
    edited = attempt.transform(module, optimizer, inplace=True)
    assert edited.module is module, "in place returns another module"
    assert edited.optimizer is optimizer, "in place returns another optimizer"
    differing = difference(numbers(result.module), numbers(module))
    assert not differing, f"{differing} when it is done in place"
    return True


def _flags_kept(attempt: Attempt) -> bool:
    if attempt.result is None:
        return False
    for training in (True, False):
        before = build(attempt.recipe).train(training)
        result = attempt.again(training=training)
        after, frozen = result.module, frozen_by(result)
        old = dict(before.named_modules())
        for name, module in after.named_modules():
            expected = old[name].training if name in old else training
            mode = "train" if module.training else "eval"
            assert module.training is expected, f"{name!r} is in {mode} mode, unlike before"
        tensors = dict(before.named_parameters())
        for name, tensor in after.named_parameters():
            dtype = getattr(torch, attempt.recipe.dtype)
            assert tensor.dtype is dtype, f"{name!r} has the dtype {tensor.dtype}, unlike before"
            if name in tensors:
                expected = tensors[name].requires_grad and name not in frozen
                assert tensor.requires_grad is expected, f"{name!r} is frozen or not as before"
    return True


def _composes(attempt: Attempt) -> bool:
    result = attempt.result
    if result is None:
        return False
    module = result.module
    for following in (attempt.pass_, DeeperPass("head", "residual"), *_widenings(attempt)):
        try:
            module = attempt.transform(module, None, pass_=following).module
        except RefusalError:
            continue
        except VerificationError as error:
            raise AssertionError(f"{following.describe()} can't follow it: {error}") from error
    report = verify(
        build(attempt.recipe),
        module,
        example_inputs=example_inputs(attempt.recipe),
        entry_points=attempt.recipe.entry_points,
        checks=("float64",),
    )
    claim = attempt.pass_.claim
    if claim in (Grade.PROVED, Grade.TESTED):
        assert report.grade is not Grade.REFUTED, f"with others it is not exact:\n{report}"
    return True


def _widenings(attempt: Attempt) -> list[WiderPass]:
    at, width = attempt.site.at, attempt.site.width
    return [WiderPass(at, width=width + 5, seed=attempt.site.seed)] if width else []


def _replays(attempt: Attempt) -> bool:
    result = attempt.result
    if result is None:
        return False
    other = build(attempt.recipe)
    replay(result.lineage, other)
    assert lineage_of(other) == result.lineage, "the other module has another lineage"
    wanted, found = (
        {f"tensor {name!r}": (each.shape, each.dtype) for name, each in module.state_dict().items()}
        for module in (result.module, other)
    )
    differing = difference(wanted, found)
    assert not differing, f"{differing} in shape when the lineage is replayed"
    return True


LAWS: Final[Mapping[str, Law]] = {
    "TESTING-7 applied or refused": _applied_or_refused,
    "TESTING-8 function kept": _function_kept,
    "TESTING-9 original untouched": _original_untouched,
    "TESTING-10 refusals change nothing": _refusals_change_nothing,
    "TESTING-11 refusals explain": _refusals_explain,
    "TESTING-12 random state untouched": _random_state_untouched,
    "TESTING-13 deterministic": _deterministic,
    "TESTING-14 optimizer carried": _optimizer_carried,
    "TESTING-15 saved and loaded": _saved_and_loaded,
    "TESTING-16 in place": _in_place,
    "TESTING-17 flags kept": _flags_kept,
    "TESTING-18 composes": _composes,
    "TESTING-19 replays": _replays,
}
