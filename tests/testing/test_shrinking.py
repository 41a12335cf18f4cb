"""Shrinking a trial: what is not needed goes."""

from morphir.testing import Recipe, Step
from morphir.testing.shrinking import shrunk
from morphir.testing.trials import Trial

STEPS = tuple(
    Step(op, 2, 7) for op in ("linear", "relu", "cat", "gate", "residual", "tanh", "flatten")
)
LARGE = Trial(Recipe(STEPS, "image", "random", "bfloat16", True, 9), 4, 8)


def test_what_is_not_needed_is_left_out():
    found = shrunk(LARGE, lambda trial: "gate" in {step.op for step in trial.recipe.steps})
    assert found == Trial(Recipe((Step("gate"),)))


def test_what_is_needed_stays():
    def fails(trial: Trial) -> bool:
        ops = [step.op for step in trial.recipe.steps]
        return "cat" in ops and ops[-1] == "tanh" and trial.recipe.dtype == "bfloat16"

    found = shrunk(LARGE, fails)
    assert found == Trial(Recipe((Step("cat"), Step("tanh")), dtype="bfloat16"))


def test_it_ends():
    tried = []

    def fails(trial: Trial) -> bool:
        tried.append(trial)
        return True

    shrunk(LARGE, fails, limit=5)
    assert len(tried) == 5
    assert shrunk(LARGE, lambda trial: False) == LARGE
