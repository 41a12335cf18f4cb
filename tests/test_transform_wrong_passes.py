"""Passes that are wrong are found, and nothing happened."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, final

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, Grade, VerificationError
from morphir.blocks import BlockSpec
from morphir.frontend import record
from morphir.lineage import lineage_of
from morphir.ops import DEFAULT_TABLE
from tests.specimens import Net, fingerprint

AT = DeeperPass(at="extractor.1")


@final
@dataclass(frozen=True)
class Nothing(morphir.MorphismPass):
    name: ClassVar[str] = "nothing"

    def requires(self, program):
        return None

    def rewrite(self, program, rewriter) -> Sequence[str]:
        return []


def test_a_pass_that_does_nothing():
    net, x = Net(), torch.randn(3, 4)
    result = morphir.transform(net, [Nothing(), Nothing()])
    assert result.module is not net
    assert torch.equal(result.module(x), net(x))
    assert result.report.passes == ("Nothing()\n  nothing to do",) * 2
    assert result.certificate.before == result.certificate.after
    assert lineage_of(result.module).steps == ()


class Halves(nn.Module):
    """The identity, which no lemma knows to be one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 2 + x / 2


@final
@dataclass(frozen=True)
class Sabotage(morphir.MorphismPass):
    """Inserts something after `extractor.1`, and says something about it."""

    name: ClassVar[str] = "sabotage"
    claim: ClassVar[Grade] = Grade.PROVED

    emitted: str = "identity"
    described: str = "identity"

    def requires(self, program):
        return None

    def rewrite(self, program, rewriter) -> Sequence[str]:
        module, other = (_module(kind) for kind in (self.emitted, self.described))
        block = record(other, example_inputs=(torch.zeros(2, 8),)).program
        rewriter.insert_after(
            "extractor.1", module, block, law="DEEPER-1", spec={}, follows=("head.weight",)
        )
        return ["sabotaged"]


def _module(kind: str) -> nn.Module:
    block = BlockSpec("identity", 8, (), True, "relu").build(torch.empty(0), DEFAULT_TABLE)
    with torch.no_grad():
        if kind == "off by one bit":
            block.layer.weight[3, 3] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
        elif kind == "off by far":
            block.layer.weight[3, 3] = 2.0
    end = {"another op": nn.Tanh(), "in halves": Halves()}.get(kind)
    return block if end is None else nn.Sequential(*block, end)


def test_back_7_a_module_that_is_not_the_one_described_is_found(capsys):
    """BACK-7: the message shows the lines that differ"""
    net = Net()
    before = fingerprint(net)
    with pytest.raises(morphir.VerificationError, match=r"not the one(.|\n)*\+.*tanh") as caught:
        morphir.transform(net, Sabotage(emitted="another op"), inplace=True)
    assert "--- as rewritten" in str(caught.value)
    assert "+++ as emitted" in str(caught.value)
    assert fingerprint(net) == before


@pytest.mark.parametrize("kind", ["off by one bit", "off by far"])
@pytest.mark.parametrize("inplace", [False, True])
def test_back_6_a_wrong_claim_is_found_and_nothing_changed(kind, inplace):
    """BACK-6"""
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = fingerprint(net, [optimizer])
    with pytest.raises(morphir.VerificationError, match="expected PROVED or better") as caught:
        morphir.transform(net, [AT, Sabotage(kind, kind)], optimizer=optimizer, inplace=inplace)
    report = caught.value.report
    assert report.grade is Grade.REFUTED
    assert report.check("certificate").grade is not Grade.PROVED
    assert report.check("float64").grade is Grade.REFUTED
    assert fingerprint(net, [optimizer]) == before


@final
@dataclass(frozen=True)
class Broken(morphir.MorphismPass):
    """Leaves a program in which a value is used before it is defined."""

    name: ClassVar[str] = "broken"

    def requires(self, program):
        return None

    def rewrite(self, program, rewriter) -> Sequence[str]:
        graph = program.graphs["forward"]
        backwards = replace(graph, body=graph.body[::-1])
        rewriter._program = replace(program, graphs={"forward": backwards})
        return []


def test_back_6_a_pass_that_breaks_the_structure_is_found():
    """BACK-6"""
    net = Net()
    before = fingerprint(net)
    with pytest.raises(morphir.VerificationError, match=r"malformed graph 'forward' of Net: IR-1"):
        morphir.transform(net, Broken(), inplace=True)
    assert fingerprint(net) == before


def test_min_grade():
    with pytest.raises(morphir.VerificationError, match="is REFUTED, expected NOT_PRESERVING"):
        morphir.transform(
            Net(), Sabotage("off by far", "off by far"), min_grade=Grade.NOT_PRESERVING
        )
    assert morphir.transform(Net(), AT, min_grade=Grade.TESTED).report.grade is Grade.PROVED


def test_what_is_below_its_claim_says_how_to_accept_it():
    with pytest.raises(VerificationError, match="TESTED, expected PROVED") as caught:
        morphir.transform(Net(), Sabotage("in halves", "in halves"))
    assert str(caught.value).endswith("\n  try: min_grade=morphir.Grade.TESTED")
    result = morphir.transform(Net(), Sabotage("in halves", "in halves"), min_grade=Grade.TESTED)
    assert result.report.grade is Grade.TESTED
    with pytest.raises(VerificationError, match="REFUTED, expected PROVED") as caught:
        morphir.transform(Net(), Sabotage("off by far", "off by far"))
    assert caught.value.suggestions == (), "what is wrong is not to be accepted"


def test_what_can_only_be_tested_is_refused_where_nothing_is_exercised():
    net = Net()
    nn.init.zeros_(net.head.weight)
    before = fingerprint(net)
    halves = Sabotage("in halves", "in halves")
    with pytest.raises(morphir.RefusalError, match="the outputs never changed") as caught:
        morphir.transform(net, halves, min_grade=Grade.TESTED, inplace=True)
    assert caught.value.nodes[0].startswith("forward: %6: f32[B, 8] = add(")
    assert "example_inputs=" in caught.value.suggestions[0]
    assert fingerprint(net) == before
