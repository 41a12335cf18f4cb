"""What `transform` returns."""

import dataclasses

import pytest

import morphir
from tests.specimens import Net


def test_a_result_has_everything_and_prints_its_report():
    result = morphir.transform(Net(), morphir.DeeperPass(at="extractor.1"))
    assert isinstance(result.module, Net)
    assert result.optimizer is None
    assert result.report.grade is morphir.Grade.PROVED
    assert len(result.certificate.insertions) == len(result.lineage.steps) == 1
    assert str(result) == str(result.report)
    assert str(result).startswith("PROVED: equal for all inputs")
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.module = None
