"""Which versions wrote a file."""

import torch

import morphir
from morphir.versions import library_versions


def test_versions_are_those_of_the_installed_libraries():
    found = library_versions("numpy")
    assert found.keys() == {"morphir", "torch", "numpy"}
    assert found["morphir"] == morphir.__version__
    assert torch.__version__.startswith(found["torch"].partition("+")[0])
