"""Memory that was handed out is compared at the end."""

import pytest
import torch

from morphir.errors import RefusalError
from morphir.frontend.exposure import Exposure


def test_memory_that_was_written_to_is_refused_and_restored():
    exposure, x = Exposure(), torch.zeros(3)
    exposure.add(x)
    exposure.add(x)
    exposure.check()
    x.numpy()[1] = 7
    with pytest.raises(RefusalError, match="writes to a tensor's memory through numpy"):
        exposure.check()
    assert not x.any()
    exposure.check()


def test_what_torch_itself_wrote_is_known_elsewhere():
    exposure, x = Exposure(), torch.tensor([0.0, float("nan")])
    exposure.add(x)
    exposure.check()
    x.add_(1)
    exposure.check()


def test_tensors_without_memory_or_versions():
    exposure = Exposure()
    exposure.add(torch.zeros(2, device="meta"))
    with torch.inference_mode():
        x = torch.zeros(2)
        exposure.add(x)
        exposure.check()
        x.numpy()[0] = 1
        with pytest.raises(RefusalError):
            exposure.check()
