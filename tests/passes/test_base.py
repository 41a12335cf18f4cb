"""The sandwich that every pass runs in: an author can't forget a slice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, final

import pytest

from morphir.errors import RefusalError, VerificationError
from morphir.ir import Program, Rewriter
from morphir.passes import DeeperPass, MorphismPass, Refusal
from morphir.passes.base import run_pass
from tests.passes.programs import LINEAR, parse


@final
@dataclass(frozen=True)
class Probe(MorphismPass):
    """Refuses, breaks or leaves alone what it is given."""

    name: ClassVar[str] = "probe"
    how: str = "nothing"
    seed: int = 0

    def requires(self, program: Program) -> Refusal | None:
        if self.how == "refuse":
            return Refusal("it does not fit", ("body.a",), ("another model",))
        return None

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        if self.how == "break":
            graph = program.graphs["forward"]
            broken = replace(graph, body=graph.body[1:])
            rewriter._program = replace(program, graphs={"forward": broken})
        return ["said"] if self.how == "say" else []


def test_a_refusal_is_raised_with_all_that_it_says():
    rewriter = Rewriter(parse(LINEAR))
    with pytest.raises(RefusalError) as caught:
        run_pass(Probe("refuse"), rewriter)
    error = caught.value
    assert (error.reason, error.nodes, error.suggestions) == (
        "it does not fit",
        ("body.a",),
        ("another model",),
    )
    assert not rewriter.changed


def test_what_a_pass_breaks_is_found_at_once():
    with pytest.raises(VerificationError, match="IR-1"):
        run_pass(Probe("break"), Rewriter(parse(LINEAR)))


def test_a_malformed_program_is_found_before_the_pass_sees_it():
    program = parse(LINEAR)
    graph = program.graphs["forward"]
    broken = replace(program, graphs={"forward": replace(graph, body=graph.body[1:])})
    with pytest.raises(VerificationError, match="IR-1"):
        run_pass(Probe("refuse"), Rewriter(broken))


def test_a_pass_that_does_nothing_says_so():
    assert run_pass(Probe(), Rewriter(parse(LINEAR))) == ["nothing to do"]
    assert run_pass(Probe("say"), Rewriter(parse(LINEAR))) == ["said"]


def test_a_pass_prints_as_it_could_be_typed():
    assert Probe().describe() == "Probe()"
    assert Probe("say", seed=3).describe() == "Probe(how='say', seed=3)"


def test_a_pass_has_to_fit_in_train_mode_too():
    eval_mode, train_mode = Rewriter(parse(LINEAR)), Rewriter(parse(LINEAR.replace("relu", "tanh")))
    deeper = DeeperPass(at="body.act")
    with pytest.raises(RefusalError, match=r"^in train mode an identity block"):
        run_pass(deeper, eval_mode, train_mode)
    same = Rewriter(parse(LINEAR)), Rewriter(parse(LINEAR))
    run_pass(deeper, *same)
    assert [rewriter.edits[0].anchor for rewriter in same] == ["body.act"] * 2


def test_a_pass_has_to_do_the_same_in_both_modes():
    plain = Rewriter(parse(LINEAR))
    other = Rewriter(parse(LINEAR.replace("relu(input=%0)", "relu6(input=%0)")))
    with pytest.raises(RefusalError, match="done in another way"):
        run_pass(DeeperPass(at="body.act"), plain, other)
