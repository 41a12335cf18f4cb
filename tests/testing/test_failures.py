"""What a failure says."""

from torch import nn

import morphir
from morphir import DeeperPass
from morphir.ir import Check, Grade, Report
from morphir.testing import Case, PreservationError


def test_a_failure_says_what_where_and_on_what():
    report = Report(Grade.REFUTED, checks=(Check("float64", Grade.REFUTED, "a difference"),))
    case = Case(DeeperPass(at="1"), nn.Sequential(), None, ("forward",), 7, "class Net: ...")
    failure = PreservationError(case, "it is wrong", "head.weight", report)
    lines = str(failure).splitlines()
    assert lines[:2] == ["it is wrong", "at head.weight"]
    assert lines[2].startswith("REFUTED")
    assert lines[-4:] == ["pass: DeeperPass(at='1')", "seed: 7", "module:", "  class Net: ..."]


def test_without_source_the_module_is_printed_and_what_was_done_to_it():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    grown = morphir.apply(net, DeeperPass(at="1"))
    text = str(Case(DeeperPass(at="1"), grown, None, ("forward",)))
    assert "1_deeper1 after 1: identity block of 4 (DEEPER-1)" in text
    assert "(1_deeper1): Sequential(" in text
