"""The one line that a repository needs for the fixture."""

pytest_plugins = ["morphir.testing.plugin"]
