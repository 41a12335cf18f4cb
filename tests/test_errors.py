"""Errors say what was found, where, and what to do."""

import pytest

import morphir
from morphir.errors import MorphirError, RefusalError, StorageError, VerificationError
from morphir.ir import Check, Grade, Report


@pytest.mark.parametrize("kind", [RefusalError, StorageError, VerificationError])
def test_all_errors_are_morphirs(kind):
    assert issubclass(kind, MorphirError)
    assert getattr(morphir, kind.__name__) is kind
    with pytest.raises(MorphirError, match="because"):
        raise kind("because")


def test_a_refusal_says_where_and_what_would_work():
    refusal = RefusalError("it is round", nodes=["a.b", "c"], suggestions=["a square one"])
    assert str(refusal) == "it is round\n  at: a.b\n  at: c\n  try: a square one"
    assert (refusal.reason, refusal.nodes, refusal.suggestions) == (
        "it is round", ("a.b", "c"), ("a square one",),
    )  # fmt: skip
    assert str(RefusalError("it is round")) == "it is round"


def test_a_verification_error_shows_its_report():
    report = Report(Grade.REFUTED, checks=(Check("float64", Grade.REFUTED, "worst 1.0", "head"),))
    error = VerificationError("it does not hold", report=report)
    assert str(error).startswith("it does not hold\n\nREFUTED: a counterexample was found")
    assert "worst 1.0" in str(error)
    assert error.report is report
    assert VerificationError("no report").report is None


def test_a_verification_error_ends_with_what_would_do():
    error = VerificationError("too little", report=Report(Grade.TESTED), suggestions=["min_grade="])
    assert str(error).endswith("\n  entry points  none\n  try: min_grade=")
    assert error.suggestions == ("min_grade=",)
