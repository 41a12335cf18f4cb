import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from morphir_agents.returns import generalised_advantages


def _by_definition(r, v, last, terminated, truncated, final, gamma, lam):
    """Sums discounted deltas of an episode from scratch for every step: no recursion, no masks."""
    steps, count = r.shape
    advantages = np.zeros((steps, count))
    for i in range(count):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                if terminated[k, i]:
                    after = 0.0
                elif truncated[k, i]:
                    after = final[k, i]
                else:
                    after = v[k + 1, i] if k + 1 < steps else last[i]
                advantages[t, i] += weight * (r[k, i] + gamma * after - v[k, i])
                weight *= gamma * lam
                if terminated[k, i] or truncated[k, i]:
                    break
    return advantages


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 12),
    count=st.integers(1, 3),
    gamma=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    lam=st.sampled_from([0.0, 0.7, 1.0]),
)
def test_gae_1_equals_its_definition_with_ends_and_cuts(seed, steps, count, gamma, lam):
    generator = np.random.default_rng(seed)
    r, v, final = generator.standard_normal((3, steps, count))
    last = generator.standard_normal(count)
    kind = generator.integers(0, 4, (steps, count))
    terminated, truncated = kind == 1, kind == 2

    advantages, targets = generalised_advantages(
        r, v, last, terminated, truncated, final, gamma, lam
    )

    expected = _by_definition(r, v, last, terminated, truncated, final, gamma, lam)
    np.testing.assert_allclose(advantages, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(targets, expected + v, rtol=1e-10, atol=1e-12)


def test_a_cut_is_bootstrapped_and_an_end_is_not():
    one, no, yes = np.ones((1, 1)), np.zeros((1, 1), bool), np.ones((1, 1), bool)
    common = {"discount": 0.5, "smoothing": 1.0}

    cut, _ = generalised_advantages(one, 0 * one, np.ones(1), no, yes, 8 * one, **common)
    end, _ = generalised_advantages(one, 0 * one, np.ones(1), yes, no, 8 * one, **common)
    goes_on, _ = generalised_advantages(one, 0 * one, np.ones(1), no, no, 8 * one, **common)

    assert (cut.item(), end.item(), goes_on.item()) == pytest.approx((5.0, 1.0, 1.5))
