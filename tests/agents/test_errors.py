import pytest

from morphir_agents import errors


@pytest.mark.parametrize("name", [n for n in errors.__all__ if n != "AgentsError"])
def test_every_error_can_be_caught_as_one(name):
    assert issubclass(getattr(errors, name), errors.AgentsError)


def test_errors_keep_their_usual_bases():
    assert not issubclass(errors.ConfigError, ValueError)  # tyro would catch and garble it
    assert issubclass(errors.MissingExtraError, ImportError)
