"""What a proof says about itself: its name, its counts, and its reasons, over all entry points."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.checks import Commits, check_certificate
from morphir.checks.bits import equal_bits
from morphir.frontend import record
from morphir.ir import (
    AxisMap,
    Certificate,
    Check,
    Grade,
    InsertionClaim,
    Mapped,
    Mode,
    Program,
    ResizeClaim,
    TensorChange,
)
from morphir.ops import DEFAULT_TABLE
from tests.checks.changed_nets import dense, grown, sides
from tests.checks.pairs import Net, certify, identity, mlp, pair
from tests.checks.resized import check, coarse, resize
from tests.checks.test_claims import Blend, Branch
from tests.checks.test_following import dead_unit

X = torch.randn(3, 4)
COPIED, SPLIT = sides(grown(8, 2, 5, -1))
WIDER = {"a.weight": (COPIED, Mapped(4)), "a.bias": (COPIED,), "b.weight": (Mapped(3), SPLIT)}


class Twice(Net):
    """A function with two entry points."""

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward(x)


def both(model: nn.Module, mode: Mode = "eval") -> Program:
    return record(model, example_inputs=(X,), entry_points=("forward", "act"), mode=mode).program


def resized(old: nn.Module, new: nn.Module, tensors: dict, mode: Mode = "eval") -> Check:
    before, after = both(old, mode), both(new, mode)
    claim = ResizeClaim("WIDER-1", "", tensors)
    certificate = Certificate(before.hash, after.hash, resizes=(claim,))
    return check_certificate(before, after, certificate, DEFAULT_TABLE)


def test_a_proof_is_named_by_the_mode_that_it_is_about():
    """GRADE-1 reads the names."""
    model = mlp()
    assert certify(model, copy.deepcopy(model)).name == "certificate"
    assert certify(model, copy.deepcopy(model), mode="train").name == "certificate (train)"


def test_what_is_counted_is_counted_in_every_entry_point():
    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        h = F.dropout(s.a(x).relu(), 0.5, s.training)
        return s.b(h) * (1.0 if float(x.sum()) > 1e9 else 2.0)

    old = Twice(forward, a=nn.Linear(4, 8), b=nn.Linear(8, 3))
    found = resized(old, resize(coarse(old), WIDER), WIDER, "train")
    assert found.grade is Grade.PROVED, found
    assert found.figures["escapes"] == 2
    assert found.figures["nodes"] == 14
    assert found.figures["related tensors"] == 3
    assert found.summary == (
        "14 nodes, 1 tensor equal to the bit; 3 tensors and 8 calls related exactly; congruence "
        "only; given the same random draws and one draw for all copies of a unit and the same "
        "Python on 2 values"
    )


def test_what_only_the_first_entry_point_does_is_said_all_the_same():
    class First(Net):
        def act(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x).relu())

    def forward(s: Net, x: torch.Tensor) -> torch.Tensor:
        return s.b(F.dropout(s.a(x).relu(), 0.5, s.training))

    old = First(forward, a=nn.Linear(4, 8), b=nn.Linear(8, 3))
    found = resized(old, resize(coarse(old), WIDER), WIDER, "train")
    assert found.grade is Grade.PROVED, found
    assert "one draw for all copies of a unit" in found.summary
    assert "the same random draws" in found.summary


def twice_read(s: Net, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return s.b(s.a(x).relu()), s.b(s.a(x).relu())


def constant_unit() -> tuple[nn.Module, nn.Module, dict]:
    """Unit 1 is a constant that the next bias takes over."""
    torch.manual_seed(0)
    old = Twice(twice_read, a=nn.Linear(4, 3), b=nn.Linear(3, 2))
    with torch.no_grad():
        coarse(old).a.weight[1] = 0
        old.a.bias[1] = 0.5
    gone = Mapped(3, AxisMap.copies(3, (0, 2)), "copy")
    tensors = {
        "a.weight": (gone, Mapped(4)), "a.bias": (gone,),
        "b.weight": (Mapped(2), gone), "b.bias": (Mapped(2),),
    }  # fmt: skip
    new = resize(old, tensors)
    with torch.no_grad():
        new.b.bias += old.b.weight[:, 1] * 0.5
    return old, new, tensors


def test_grade_3_every_fact_that_a_proof_rests_on_is_counted():
    """GRADE-3: four calls with another bias, and what is known whatever the input"""
    found = resized(*constant_unit())
    assert found.grade is Grade.PROVED, found
    assert found.figures["facts"] == 5
    assert "units left out are constants that biases took over" in found.summary
    model = mlp()
    assert certify(model, copy.deepcopy(model)).figures == {"nodes": 3, "tensors": 4, "escapes": 0}


def test_a_rejection_names_the_module_and_says_what_it_found():
    before, after = pair(
        lambda s, x: s.a(x), lambda s, x: s.new(s.a(x)), a=nn.Linear(8, 8), new=identity(8)
    )
    with torch.no_grad():
        after.new.weight[0, 1] = 1
    found = certify(before, after)
    assert found.summary == "CERT-5: this node of 'new' has no equal in the old program"
    assert found.where.startswith("forward: ")
    assert "@new.weight" in found.where


def test_a_rejection_passes_over_what_is_new_inside_of_an_insertion():
    before, after = pair(
        lambda s, x: s.b(s.a(x)),
        lambda s, x: s.b(s.new(s.a(x))).sigmoid(),
        a=nn.Linear(8, 8),
        b=nn.Linear(8, 8),
        new=Branch(),
    )
    claims = [InsertionClaim("DEEPER-3", "a", "new")]
    assert "sigmoid" in certify(before, after, claims=claims).where


def test_a_rejection_says_what_differs_where_every_node_has_an_equal():
    before, after = pair(lambda s, x: (x + 1, x * 2), lambda s, x: (x * 2, x + 1)[::1])
    found = certify(before, after)
    assert found.summary == "CERT-5: these differ: outputs"
    assert found.where == "forward"


def off(block: nn.Module, name: str) -> nn.Module:
    """A block with one number that is not what its law asks for."""
    with torch.no_grad():
        block.get_parameter(name).view(-1)[1] += 1
    return block


class Asides(nn.Module):
    """A layer, and another one that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.aside = identity(8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layer(x)
        self.aside(h)
        return h


@pytest.mark.parametrize(
    ("law", "block", "culprit"),
    [
        ("DEEPER-1", lambda: nn.Tanh(), "tanh"),
        ("DEEPER-1", lambda: off(Asides(), "layer.weight"), "@new.layer.weight"),
        ("DEEPER-3", lambda: off(Branch(), "last.weight"), "@new.last.weight"),
        ("DEEPER-4", lambda: off(Blend(), "layer.weight"), "@new.layer.weight"),
    ],
)
def test_a_rejection_names_what_reads_new_state_and_no_lemma_explains(law, block, culprit):
    before, after = pair(
        lambda s, x: s.b(s.a(x)),
        lambda s, x: s.new_too(s.b(s.new(s.a(x)))),
        a=nn.Linear(8, 8),
        b=nn.Linear(8, 8),
        new=block(),
        new_too=identity(8),
    )
    claims = [InsertionClaim(law, "a", "new"), InsertionClaim("DEEPER-1", "b", "new_too")]
    assert culprit in certify(before, after, claims=claims).where


# -- models that were edited in place --------------------------------------------------------------


def in_place(
    old: nn.Module, new: nn.Module, tensors: dict[str, TensorChange], change: float = 0.0
) -> Check:
    """The old program has lost the tensors that changed; they were compared when they did."""
    commits = Commits(tensors)
    for name in tensors:
        commits.check(name, old.get_parameter(name), new.get_parameter(name))
    with torch.no_grad():
        new.get_parameter(next(iter(tensors))).view(-1)[0] += change
    before, after = (record(m, example_inputs=(X,)).program for m in (old, new))
    lost = {name: replace(before.state[name], tensor=None) for name in tensors}
    before = replace(before, state={**before.state, **lost})
    claim = ResizeClaim("WIDER-1", "", tensors)
    certificate = Certificate(before.hash, after.hash, resizes=(claim,))
    without = check_certificate(before, after, certificate, DEFAULT_TABLE)
    assert without.summary == "CERT-10: a tensor has no numbers"
    return check_certificate(before, after, certificate, DEFAULT_TABLE, commits)


def test_cert_10_of_tensors_whose_old_numbers_are_gone_the_comparison_counts():
    """CERT-10"""
    old, tensors, _, _ = dense()
    coarse(old)
    assert in_place(old, resize(old, tensors), tensors).grade is Grade.PROVED
    found = in_place(old, resize(old, tensors), tensors, 2.0**-20)
    assert found.grade is Grade.UNKNOWN
    assert found.where == "@0.weight"


def test_cert_5_equal_tensors_are_compared_once_for_all_modes(monkeypatch: pytest.MonkeyPatch):
    """CERT-5: what was compared is remembered with the commits."""
    compared = []
    noted = lambda one, other: compared.append(one) or equal_bits(one, other)  # noqa: E731
    monkeypatch.setattr("morphir.checks.commits.equal_bits", noted)
    model, commits = mlp(), Commits({})
    for mode in ("eval", "train"):
        program = record(model, example_inputs=(torch.randn(3, 8),), mode=mode).program
        check = check_certificate(program, program, None, DEFAULT_TABLE, commits)
        assert check.grade is Grade.PROVED, check
    assert len(compared) == 4


def test_cert_14_of_lost_numbers_nothing_is_known():
    """CERT-14: the unit was 0 whatever the input, and nobody can tell any more"""
    net, tensors, _ = dead_unit(-1.0)
    assert check(net, resize(net, tensors), tensors, X).grade is Grade.PROVED
    assert in_place(net, resize(net, tensors), tensors).grade is Grade.UNKNOWN


def test_cert_16_of_lost_numbers_no_bias_takes_units_over():
    """CERT-16"""
    found = in_place(*constant_unit())
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-16: 'b.bias' has other numbers")
