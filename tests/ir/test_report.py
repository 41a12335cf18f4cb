import json

import pytest

from morphir.ir import Certificate, Check, Grade, InsertionClaim, Report
from morphir.ir.report import counted


def test_grades_are_ordered_and_a_list_has_the_weakest():
    ranks = [grade.rank for grade in Grade]
    assert ranks == sorted(ranks)
    assert Grade.PROVED.rank == 0
    assert Grade.weakest([Grade.PROVED, Grade.UNKNOWN, Grade.TESTED]) is Grade.UNKNOWN
    assert Grade.weakest([Grade.REFUTED, Grade.UNKNOWN]) is Grade.REFUTED
    assert str(Grade.PROVED_ON_BOX) == "PROVED_ON_BOX"


def report() -> Report:
    return Report(
        Grade.PROVED,
        passes=("DeeperPass(at='0')\n  1_deeper1 runs after 1", "Other()\n  nothing to do"),
        laws=("CERT-5", "DEEPER-1"),
        entry_points=("forward", "get_value"),
        not_covered=tuple(f"unused.{i}" for i in range(6)),
        checks=(
            Check("certificate", Grade.PROVED, "7 nodes", figures={"nodes": 7.0}),
            Check("certificate (train)", Grade.PROVED, "7 nodes", figures={"nodes": 7.0}),
            Check("float64", Grade.TESTED, "differs", where="output ''"),
        ),
        notes=("the batch size is fixed", "no optimizer was given"),
        seconds={"trace": 0.0041, "rewrite": 0.002, "copy": 0.0001, "emit": 0.0003, "native": 0.01},
    )


def test_a_report_survives_json():
    text = report().to_json()
    assert json.loads(text)["grade"] == "PROVED"
    assert Report.from_json(text) == report()


def test_a_certificate_survives_json():
    claims = (InsertionClaim("DEEPER-1", "net.1", "net.1_deeper1"),)
    certificate = Certificate("ab", "cd", claims)
    assert Certificate.from_json(certificate.to_json()) == certificate
    back = certificate.inverted
    assert back.is_inverse
    assert (back.before, back.insertions, back.removals) == ("cd", (), claims)
    assert Certificate.from_json(back.to_json()) == back
    assert back.inverted == certificate


def test_a_report_prints_what_a_reader_needs():
    assert str(report()).splitlines() == [
        f"PROVED: {Grade.PROVED.value}",
        "  DeeperPass(at='0')",
        "    1_deeper1 runs after 1",
        "  Other()",
        "    nothing to do",
        "  entry points         forward, get_value",
        "  laws                 CERT-5, DEEPER-1",
        "  certificate          PROVED: 7 nodes",
        "  certificate (train)  PROVED: as above",
        "  float64              TESTED: differs",
        "                       at output ''",
        "  not covered          6 parameters: unused.0, unused.1, unused.2, unused.3, ...",
        "  notes                the batch size is fixed",
        "                       no optimizer was given",
        "  time                 16.5 ms, of it native 10.0, trace 4.1, rewrite 2.0, emit 0.3",
    ]
    assert str(Report(Grade.UNKNOWN)).splitlines() == [
        f"UNKNOWN: {Grade.UNKNOWN.value}",
        "  entry points  none",
    ]


def test_a_check_is_found_by_its_name():
    found = report().check("float64")
    assert found is not None
    assert found.grade is Grade.TESTED
    assert report().check("native") is None


def test_what_is_no_grade_is_refused():
    with pytest.raises(KeyError):
        Report.from_json(report().to_json().replace('"PROVED"', '"SURE"'))


def test_arguments_on_which_models_differ_are_printed_and_stay_out_of_json():
    given = Check("float64", Grade.REFUTED, "no", "x", {}, "(1,)", ((1,), {}))
    report = Report(Grade.REFUTED, checks=(given,))
    assert str(report).splitlines()[-2:] == ["                at x", "                with (1,)"]
    again = Report.from_json(report.to_json())
    assert again == report
    assert again.checks[0].arguments is None


def test_one_thing_is_no_plural():
    assert [counted(n, "input") for n in (0, 1, 2)] == ["0 inputs", "1 input", "2 inputs"]
    assert "1 parameter: a.b" in str(Report(Grade.UNKNOWN, not_covered=("a.b",)))
