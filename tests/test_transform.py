"""Everything comes back."""

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, Grade
from morphir.lineage import lineage_of
from tests.specimens import Agent, Attributes, Conv, Net, fingerprint, train_a_little

AT = DeeperPass(at="extractor.1")


@pytest.mark.parametrize("inplace", [False, True])
def test_back_1_a_module_of_the_same_class_that_computes_the_same(inplace):
    """BACK-1, BACK-4: and the original is as it was, unless it was asked for"""
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    train_a_little(net, optimizer)
    x = torch.randn(5, 4)
    y, before = net(x), fingerprint(net, [optimizer])
    result = morphir.transform(net, AT, optimizer=optimizer, inplace=inplace)
    assert result.report.grade is Grade.PROVED
    assert (result.module is net) == inplace
    assert (result.optimizer is optimizer) == inplace
    assert (fingerprint(net, [optimizer]) == before) != inplace
    assert torch.equal(result.module(x), y)
    assert [*result.module.state_dict()] == [
        "extractor.0.weight", "extractor.0.bias",
        "extractor.1_deeper1.layer.weight", "extractor.1_deeper1.layer.bias",
        "extractor.2.weight", "extractor.2.bias", "head.weight", "head.bias",
    ]  # fmt: skip


def test_the_random_state_of_the_user_is_not_touched():
    net = Net()
    states = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    morphir.transform(net, DeeperPass(at="extractor", block="residual"))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert random.getstate() == states[2]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_growing_while_acting_gives_parameters_that_train(mode):
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    with mode():
        result = morphir.transform(net, AT, optimizer=optimizer)
    assert result.report.grade is Grade.PROVED
    before = [p.detach().clone() for p in result.module.parameters()]
    train_a_little(result.module, result.optimizer)
    assert not any(map(torch.equal, before, result.module.parameters()))


def test_several_passes_are_listed_and_checked_together():
    net, x = Net(), torch.randn(5, 4)
    y = net(x)
    passes = [AT, DeeperPass(at="extractor.3"), DeeperPass(at="extractor.1", block="residual")]
    result = morphir.transform(net, passes)
    assert torch.equal(result.module(x), y)
    assert [*result.module.extractor._modules] == [
        "0", "1", "1_deeper2", "1_deeper1", "2", "3", "3_deeper1",
    ]  # fmt: skip
    assert [text.splitlines()[0] for text in result.report.passes] == [
        "DeeperPass(at='extractor.1')",
        "DeeperPass(at='extractor.3')",
        "DeeperPass(at='extractor.1', block='residual')",
    ]
    assert [step.application for step in result.lineage.steps] == [1, 1, 1]


def test_growing_again_at_the_same_place_and_in_what_was_inserted():
    net, x = Net(), torch.randn(5, 4)
    y = net(x)
    for at in (
        "extractor.1", "extractor.1", "extractor.1_deeper1", "extractor.1_deeper1.activation",
        "extractor", "extractor.extractor_deeper1",
    ):  # fmt: skip
        net = morphir.apply(net, DeeperPass(at=at))
    assert torch.equal(net(x), y)
    assert len(lineage_of(net).steps) == 6
    net = Attributes()
    y = net(x)
    for at in ("act", "act", "act.act_deeper1", "act.act_deeper1.activation"):
        net = morphir.apply(net, DeeperPass(at=at), example_inputs=(x,))
        assert type(net) is Attributes
        assert isinstance(net.act, nn.ReLU)
        assert net.greet() == f"{len([*net.parameters()])} parameters"
    assert torch.equal(net(x), y)


def test_the_report_prints_and_round_trips():
    net = Net()
    result = morphir.transform(net, AT, optimizer=torch.optim.Adam(net.parameters()))
    report = result.report
    text = str(report)
    assert text.startswith("PROVED: equal for all inputs")
    assert "extractor.1_deeper1 runs after extractor.1 (DEEPER-1)" in text
    assert "2 new parameters joined group 0 of Adam" in text
    assert all(f"  {check.name}" in text for check in report.checks)
    assert max(map(len, text.splitlines())) <= 120
    assert morphir.Report.from_json(report.to_json()) == report
    certificate = result.certificate
    assert morphir.Certificate.from_json(certificate.to_json()) == certificate
    assert json.loads(report.to_json())["grade"] == "PROVED"


def test_agents_without_forward():
    agent, x = Agent(), torch.randn(3, 4)
    before = agent.get_value(x), agent.get_logits(x)
    result = morphir.transform(
        agent,
        [DeeperPass(at="actor.1"), DeeperPass(at="critic.1")],
        example_inputs=(x,),
        entry_points=("get_value", "get_logits"),
    )
    assert result.report.entry_points == ("get_value", "get_logits")
    assert torch.equal(result.module.get_value(x), before[0])
    assert torch.equal(result.module.get_logits(x), before[1])


def test_a_convolutional_net_with_residuals_and_functional_activations():
    net, x = Conv().eval(), torch.randn(3, 2, 5, 5)
    result = morphir.transform(
        net, [DeeperPass(at="conv1"), DeeperPass(at="conv2")], example_inputs=(x,)
    )
    assert result.report.grade is Grade.PROVED
    assert torch.equal(result.module(x), net(x))
    assert not any(m.training for m in result.module.modules())


class Branching(nn.Module):
    """One entry point whose inputs are known and one that is traced without."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        self.other = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)

    def both(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.other(x) + y


def test_entry_points_of_which_only_some_have_known_inputs():
    result = morphir.transform(
        Branching(), DeeperPass(at="net.1"), entry_points=("forward", "both")
    )
    assert result.report.entry_points == ("forward", "both")
    assert result.report.grade is Grade.PROVED
    assert result.report.check("train mode").grade is Grade.UNKNOWN


def test_a_last_pass_that_changes_nothing_is_reported_and_not_checked_again():
    passes = [morphir.WiderPass(at="extractor.0", width=12), morphir.CompactPass()]
    report = morphir.transform(Net(), passes).report
    names = [check.name for check in report.checks]
    assert names.count("certificate") == 1
    assert [text.partition("\n")[0] for text in report.passes] == [
        "WiderPass(at='extractor.0', width=12)",
        "CompactPass()",
    ]
