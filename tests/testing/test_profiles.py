"""The profiles of hypothesis."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from morphir.testing import register_profiles


@pytest.fixture(autouse=True)
def _profile_as_before() -> Iterator[None]:
    settings.register_profile("as before", settings())
    yield
    settings.load_profile("as before")


@pytest.mark.parametrize(
    ("asked", "ci", "name"),
    [(None, None, "dev"), (None, "true", "ci"), ("nightly", "true", "nightly")],
)
def test_testing_22_the_profile_of_a_run(monkeypatch, asked, ci, name):
    """TESTING-22"""
    for variable, value in (("HYPOTHESIS_PROFILE", asked), ("CI", ci)):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert register_profiles() == name
    assert settings().max_examples == settings.get_profile(name).max_examples
    assert settings().derandomize is (name == "ci")
    assert settings().deadline is None
