"""What came out is what was described, or it is said why not."""

import copy

import pytest
import torch
from torch import nn

import morphir
from morphir.blocks import BlockSpec
from morphir.emission import check_emission
from morphir.errors import RefusalError, VerificationError
from morphir.ir import Rewriter
from morphir.ops import DEFAULT_TABLE
from tests.specimens import Attributes, Net

X = torch.ones(2, 4)


def described(model: nn.Module, anchor: str, features: int = 8) -> Rewriter:
    """A rewriter that has inserted an identity block after the anchor."""
    block = BlockSpec("identity", features, (), True, "relu").build(X, DEFAULT_TABLE)
    program = morphir.trace(block, example_inputs=(torch.ones(2, features),))
    rewriter = Rewriter(morphir.trace(model, example_inputs=(X,)))
    rewriter.insert_after(anchor, block, program, law="DEEPER-1", spec={}, follows=())
    return rewriter


def check(model: nn.Module, rewriter: Rewriter, emitted: nn.Module) -> None:
    check_emission(model, rewriter, morphir.trace(emitted, example_inputs=(X,)))


def test_back_7_what_was_described_passes():
    """BACK-7"""
    net = Net()
    rewriter = described(net, "extractor.1")
    emitted = copy.deepcopy(net)
    children = [*emitted.extractor._modules.items()]
    children.insert(2, ("1_deeper1", rewriter.edits[0].module))
    emitted.extractor._modules.clear()
    emitted.extractor._modules.update(children)
    check(emitted, rewriter, emitted)
    children[2:4] = children[3:1:-1]  # one place too late
    emitted.extractor._modules.clear()
    emitted.extractor._modules.update(children)
    with pytest.raises(
        VerificationError, match=r"report it with these lines:\n--- as rewritten\n\+"
    ):
        check(emitted, rewriter, emitted)


def test_back_7_a_layer_that_runs_too_often_or_not_at_all_is_a_refusal():
    """BACK-7: that is the model's doing"""
    net = Attributes()
    with pytest.raises(RefusalError, match="would run 0 times where 1 are needed"):
        check(net, described(net, "act"), net)


def test_back_7_a_hook_in_the_way_is_a_refusal():
    """BACK-7"""
    net = Attributes()
    net.act.register_forward_hook(lambda module, args, output: output + 1)
    grown = copy.deepcopy(net)
    rewriter = described(net, "act")
    morphir.backend.surgery.Surgery(grown).apply(rewriter.edits)
    with pytest.raises(RefusalError, match="a forward hook of 'act' computes with its output"):
        check(grown, rewriter, grown)


class Passing(nn.Module):
    """Its middle returns what it is given, which someone else reads too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle = nn.Linear(4, 8), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.first(x).relu()
        return self.middle(h) + h


def test_back_7_a_site_that_was_misjudged_is_a_refusal():
    """BACK-7"""
    with pytest.raises(RefusalError, match="'middle' returns its input, so who else reads that"):
        morphir.apply(Passing(), morphir.DeeperPass(at="middle"), example_inputs=(X,))


class Region(nn.Module):
    """Calls a part that computes nothing under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.middle, self.last = nn.Identity(), nn.Linear(4, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.last(self.middle(x))


def test_back_7_a_layer_that_turns_out_to_run_under_autocast_is_a_refusal():
    """BACK-7"""
    with pytest.raises(RefusalError, match=r"'middle' would run inside torch\.autocast"):
        morphir.apply(
            Region(), morphir.DeeperPass(at="middle", block="residual"), example_inputs=(X,)
        )


class InPlace(nn.Module):
    """Reads what an activation changed in place under the name that it had before."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.act, self.head = nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        y = self.act(h)
        return self.head(y + h)


@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_back_7_what_is_changed_in_place_and_read_by_its_other_name_is_a_refusal(block: str):
    """BACK-7"""
    net = InPlace()
    with pytest.raises(RefusalError, match="read under another name as well"):
        morphir.apply(net, morphir.DeeperPass(at="act", block=block), example_inputs=(X,))
    net.act.inplace = False
    assert morphir.apply(net, morphir.DeeperPass(at="act", block=block), example_inputs=(X,))
