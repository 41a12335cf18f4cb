"""CERT-11, CERT-12: every side condition of every op is asked, and nothing false gets through."""

import random
import runpy
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from morphir.ops import DEFAULT_TABLE, OPS, Op
from morphir.ops.broadcast import elementwise, reducing
from tests.ops.side_breaks import BREAKS, UNSAFE, kept
from tests.ops.side_calls import holds, verdict
from tests.ops.side_changes import Call, Try
from tests.ops.side_models import MODELS, Models, activations

ROOT = Path(__file__).resolve().parents[2]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "side_conditions.py"))
PAGE = ROOT / "spec" / "side_conditions.md"

TRIES = 12
Row = tuple[str, str]  # a condition, and the operands that it is about


def rows_of(op: Op) -> dict[Row, list[tuple[Call, Any]]]:
    """Every row of an op, with the calls that have it and what it is about there."""
    found = defaultdict(list)
    for sample in op.samples(random.Random(0)):
        call = Call.of(op, sample.arguments)
        for ask in SCRIPT["asked"](op, call.arguments, call.layout):
            if ask.condition != "arguments" or op.name not in UNSAFE:
                found[ask.condition, ask.where].append((call, ask.subject))
    return found


def is_accepted(attempt: Try) -> bool:
    """What the checker says; what it accepts has to be so."""
    found = verdict(attempt.pair)
    if isinstance(found, str):
        assert found.startswith("CERT-1"), found
        return False
    assert holds(attempt.pair, found), f"a false acceptance: {attempt.pair}"
    return True


def outcome(row: Row, cases: list[tuple[Call, Any]], numbers: random.Random, tries: int) -> str:
    """How the op refuses what breaks a row, after something that keeps it was accepted."""
    seen: Counter[str] = Counter()
    for turn in range(max(tries, len(cases))):
        call, subject = cases[turn % len(cases)]
        if not seen["kept"]:
            for attempt in kept(call, subject, numbers):
                assert is_accepted(attempt), (row, attempt.pair, verdict(attempt.pair))
                seen["kept"] += 1
        for attempt in BREAKS[row[0]](call, subject, numbers):
            if not is_accepted(attempt):
                alike = any(holds(attempt.pair, found) for found in attempt.expected)
                seen["conservative" if alike else "refused"] += 1
        if seen["kept"] and seen["refused"]:
            break
    assert seen["kept"], f"{row}: nothing was accepted"
    return next((name for name in ("refused", "conservative") if seen[name]), "by-torch")


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_cert_11_every_row_accepts_what_keeps_it_and_refuses_what_breaks_it(op: Op):
    """CERT-11, CERT-12: and what is refused is another function, where the page does not mark it"""
    numbers = random.Random(op.name)
    for row, cases in rows_of(op).items():
        found = outcome(row, cases, numbers, TRIES)
        if SCRIPT["CONDITIONS"][row[0]].get("strict", True):
            assert found == SCRIPT["outcome"](*row, op.name), f"{row}: .ci/side_conditions.toml"
        else:
            assert found in ("refused", "conservative"), row


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_cert_11_nothing_false_gets_through(record_property: Any):
    """CERT-11, CERT-12: all samples of all rows, several times; only soundness is asked"""
    verdicts: Counter[bool] = Counter()
    for seed in range(4):
        for op in OPS:
            numbers = random.Random(f"{op.name} {seed}")
            for (condition, _), cases in rows_of(op).items():
                for call, subject in cases:
                    for make in (kept, BREAKS[condition]):
                        verdicts.update(map(is_accepted, make(call, subject, numbers)))
    record_property("accepted, and so", verdicts[True])
    record_property("refused", verdicts[False])
    assert verdicts[True] > 10_000


# A declaration that is wrong about one op, and the row of the right one that it lacks.
WRONG = {
    "a softmax that is computed unit by unit": ("softmax", elementwise()),
    "a norm filed as a mean": ("norm", reducing("stat")),
    "a maximum that may lose units": ("amax", reducing("map")),
    "a product that is split on both sides": ("mul", elementwise("input", "other")),
    "an activation that passes splits": ("relu", elementwise("input")),
    "a group norm without its groups": ("group_norm", "b c ..., c, c -> b c ... | stat c ..."),
    "a linear map whose bias lacks the axis": ("linear", "... i, o i, o -> ... o | lin o ..."),
}


@pytest.mark.parametrize(("name", "axes"), WRONG.values(), ids=WRONG)
def test_cert_11_a_wrong_declaration_lets_something_false_through(name: str, axes: Any):
    """CERT-11: what this file compares results with is not what the declaration says"""
    right = DEFAULT_TABLE.get(name)
    assert right is not None
    wrong, numbers = replace(right, axes=axes), random.Random(0)
    pairs = [
        attempt
        for (condition, _), cases in rows_of(right).items()
        for call, subject in cases
        for make in (kept, BREAKS[condition])
        for attempt in make(call, subject, numbers)
    ]
    accepted = [(each, verdict(replace(each.pair, op=wrong))) for each in pairs]
    assert any(not isinstance(v, str) and not holds(each.pair, v) for each, v in accepted)


# -- what is asked by more than one call ----------------------------------------------------------


def assert_decided(keeps: Models, breaks: Models) -> None:
    """One pair of models is proved and equal, the other one neither."""
    assert keeps.is_proved()
    assert keeps.is_equal()
    assert not breaks.is_proved()
    assert not breaks.is_equal()


@pytest.mark.parametrize("law", MODELS)
def test_cert_conditions_beyond_one_call(law: str):
    """CERT-1, CERT-2, CERT-4, CERT-5, CERT-10, CERT-13, CERT-14, CERT-16"""
    torch.manual_seed(0)
    assert_decided(MODELS[law](True), MODELS[law](False))


# Those that are the identity on a part of the line: what is it everywhere can't be broken.
IN_PLACES = [
    op
    for op in OPS
    if op.identity_on is not None and any(activations(op, op.samples(random.Random(0))))
]


@pytest.mark.parametrize("op", IN_PLACES, ids=lambda op: op.name)
def test_cert_3_an_inserted_activation_is_the_identity_where_it_is_declared_to_be(op: Op):
    """CERT-3"""
    for keeps, breaks in activations(op, op.samples(random.Random(0))):
        assert_decided(keeps, breaks)


def test_every_condition_has_a_test():
    assert len(IN_PLACES) >= 10
    assert BREAKS.keys() == SCRIPT["CONDITIONS"].keys()
    assert {*MODELS, "CERT-3"} == SCRIPT["BEYOND"].keys()


def test_every_op_is_in_a_row():
    """A new op gets its rows from its declaration; only what has no operand has none."""
    text = PAGE.read_text(encoding="utf8")
    for op in OPS:
        assert f"`{op.name}`" in text or not rows_of(op), op.name


def test_the_page_of_side_conditions_is_up_to_date():
    expected = SCRIPT["page"]()
    assert PAGE.read_text(encoding="utf8") == expected, "run: python .ci/side_conditions.py"
