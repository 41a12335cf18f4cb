"""CERT-5 to CERT-14: a certificate in which any one claim is another is rejected."""

from dataclasses import replace

import pytest
import torch

from tests.zoo.certificates import FAMILIES, case, count, counts, follows_from

MUTANTS = 4_000


@pytest.mark.parametrize("family", FAMILIES)
def test_every_mutant_of_a_certificate_is_rejected(family: str):
    """And what is said to say the same is accepted: the rule hides no mutant that is wrong."""
    torch.manual_seed(0)
    found = count(family)
    assert found.accepted == ()
    assert found.misjudged == ()
    assert found.rejected >= 20


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(1, 5))
def test_every_mutant_is_rejected_with_other_numbers(seed: int):
    torch.manual_seed(seed)
    found = [*counts()]
    assert {each.family: each.accepted for each in found if each.accepted} == {}
    assert {each.family: each.misjudged for each in found if each.misjudged} == {}
    assert sum(each.mutants for each in found) >= MUTANTS


def test_what_says_the_same_and_what_does_not():
    """Fresh units may be exchanged, copies of different units may not, nor a fresh and an old."""
    torch.manual_seed(0)
    given = case("plain fresh")
    mutants = dict(given.mutants())
    same = {name for name, each in mutants.items() if follows_from(each, given.certificate)}
    assert {"everywhere: exchanged 6 and 7", "0.weight[0]: exchanged 7 and 8"} <= same
    assert not {"everywhere: exchanged 5 and 6", "0.weight[0]: 6 from 0", "0.bias dropped"} & same
    law = replace(given.certificate.resizes[0], law="WIDER-1", at="elsewhere")
    assert follows_from(replace(given.certificate, resizes=(law,)), given.certificate)


def test_a_family_whose_certificate_does_not_hold_is_no_family(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tests.zoo.certificates.Case.is_accepted", lambda *_: False)
    with pytest.raises(ValueError, match="the certificate of plain fresh is rejected"):
        count("plain fresh")
