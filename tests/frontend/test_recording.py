import pytest
import torch

from morphir.frontend import recording as marks


@pytest.mark.parametrize("marker", [marks.alias, marks.escape, marks.python, marks.scripted])
def test_a_marker_stands_for_something_and_is_never_called(marker):
    with pytest.raises(NotImplementedError):
        marker("how", torch.ones(1)) if marker is not marks.alias else marker(torch.ones(1))


def test_floats_are_marked_too():
    with pytest.raises(NotImplementedError):
        marks.to_float(size=3)


def test_outputs_are_marked_too():
    with pytest.raises(NotImplementedError):
        marks.output(None, 0)
