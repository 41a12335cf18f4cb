"""CERT-10 at the moment of the change: what was compared is what is there later."""

import torch

from morphir.checks import Commits
from morphir.ir import AxisMap, Mapped

WIDER = (Mapped(2, AxisMap.copies(2, (0, 1, 1)), "copy"),)
OLD = torch.tensor([1.0, 2.0])
NEW = torch.tensor([1.0, 2.0, 2.0])


def test_cert_10_what_was_compared_is_known_by_its_bits():
    commits = Commits({"w": WIDER})
    commits.check("w", OLD, NEW)
    assert commits.outcome("w", WIDER, NEW.clone()) == ""
    assert "another tensor" in commits.outcome("w", WIDER, NEW + 1e-6)


def test_cert_10_what_does_not_hold_stays_wrong():
    commits = Commits({"w": WIDER})
    commits.check("w", OLD, NEW + torch.tensor([0.0, 0.0, 1e-6]))
    assert "copies" in commits.outcome("w", WIDER, NEW + torch.tensor([0.0, 0.0, 1e-6]))


def test_cert_10_nothing_is_known_of_another_claim_or_tensor():
    commits = Commits({"w": WIDER})
    assert commits.outcome("w", WIDER, NEW) is None
    commits.check("w", OLD, NEW)
    assert commits.outcome("w", (Mapped(2),), NEW) is None
    assert commits.outcome("w", WIDER, None) is None
    assert commits.outcome("v", WIDER, NEW) is None
