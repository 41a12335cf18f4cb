"""The sandwich that every pass runs in: an author can't forget a slice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, final

import pytest
import torch
from torch import nn

import morphir
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
        if self.how == "in eval mode" and program.mode == "eval":
            return DeeperPass(at="body.act").rewrite(program, rewriter)
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


@final
@dataclass(frozen=True)
class Wordless(MorphismPass):
    """Refuses and does not say where."""

    name: ClassVar[str] = "wordless"
    at: object = ""

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        raise RefusalError("it does not fit", suggestions=["another model"])


@pytest.mark.parametrize(
    ("at", "nodes"), [("a", ("a",)), (("a", "b"), ("a", "b")), ("", ()), (None, ()), (3, ())]
)
def test_a_refusal_that_names_no_place_gets_that_of_the_pass(at, nodes):
    with pytest.raises(RefusalError) as caught:
        run_pass(Wordless(at), Rewriter(parse(LINEAR)))
    assert (caught.value.nodes, caught.value.suggestions) == (nodes, ("another model",))


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
    relu6 = LINEAR.replace("relu(input=%0)", "relu6(input=%0)")
    plain, other = Rewriter(parse(LINEAR)), Rewriter(parse(relu6))
    with pytest.raises(RefusalError) as caught:
        run_pass(DeeperPass(at="body.act"), plain, other)
    assert caught.value.reason == (
        "the activation of a layer after 'body.act' would have to be 'relu' for eval mode and "
        "'relu6' for train mode, as the model does not run the same operations there in both"
    )
    assert caught.value.suggestions == ("activation='relu'",), "relu6 is not exact after a relu"
    both = Rewriter(parse(LINEAR)), Rewriter(parse(relu6))
    run_pass(DeeperPass(at="body.act", activation="relu"), *both)
    assert both[0].edits[0].spec == both[1].edits[0].spec


class Branches(nn.Module):
    """Runs another activation in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act, self.other, self.head = (
            nn.Linear(4, 4), nn.ReLU(), nn.ReLU(), nn.Linear(4, 2),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        return self.head(self.act(h) if self.training else self.other(h))


def test_places_that_depend_on_the_mode_are_named_with_their_mode():
    model, given = Branches(), {"example_inputs": (torch.randn(2, 4),)}
    with pytest.raises(RefusalError) as caught:
        morphir.apply(model, DeeperPass(at="fc"), **given)
    assert caught.value.reason.startswith(
        "for eval mode the layer would have to go after 'other', for train mode after 'act'"
    )
    assert caught.value.suggestions == ("block='residual'",), "no activation runs in both modes"
    grown = morphir.apply(model, DeeperPass(at="fc", block="residual"), **given)
    assert grown.fc.fc_deeper1 is not None


def test_a_layer_for_one_mode_only_is_refused():
    in_train = Rewriter(parse(LINEAR.replace("Net eval", "Net train")))
    with pytest.raises(RefusalError, match="would go in for eval mode only") as it:
        run_pass(Probe("in eval mode"), Rewriter(parse(LINEAR)), in_train)
    assert it.value.suggestions[0].startswith("at= a place around which")
