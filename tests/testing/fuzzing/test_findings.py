"""What two findings have in common that are one."""

import pytest

from morphir.ir import Check, Grade, Report
from morphir.testing.fuzzing import FoundError
from morphir.testing.fuzzing.findings import CRASH, crash, objections
from morphir.testing.recipe import Step


def test_fuzz_6_names_and_numbers_do_not_part_findings():
    """FUZZ-6"""
    one, other = (
        FoundError("changed", f"widen: 'linear{n}' is off by {n / 7}", f"at {n}") for n in (3, 12)
    )
    assert one.key == other.key == "changed: widen: '...' is off by N"
    assert str(one) == "changed: at 3"
    assert FoundError("moments", "widen: 'linear3' is off by 1", "").key != one.key


def test_a_crash_is_known_by_its_type_and_the_innermost_line_of_ours():
    with pytest.raises(Exception) as caught:  # noqa: PT011
        Step("no such op")
    found = crash(caught.value, "a test")
    assert found.kind == CRASH
    assert found.key == "crash: RefusalError in recipe.py __post_init__"
    assert str(found).startswith("crash: a test: RefusalError: a step has the op 'no such op'")
    assert "recipe.py" in str(found)
    assert crash(ValueError("elsewhere"), "a test").key == "crash: ValueError in torch"


def test_checks_that_object_are_quoted():
    checks = (
        Check("certificate", Grade.PROVED, "it holds"),
        Check("field", Grade.UNKNOWN, "they differ", "", {"differs": 1.0}),
        Check("native", Grade.TESTED, "near", "", {"differs": 1.0}),
        Check("float64", Grade.REFUTED, "far"),
    )
    report = Report(Grade.REFUTED, checks=checks)
    assert objections(report) == "field: they differ; float64: far; native: near"
