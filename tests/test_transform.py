"""Everything comes back, or nothing happened."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.sac.policies import SACPolicy
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

import morphir
from morphir import DeeperPass, Grade, RefusalError, VerificationError
from morphir.blocks import BlockSpec
from morphir.frontend import record
from morphir.lineage import lineage_of
from morphir.ops import DEFAULT_TABLE
from tests.specimens import Agent, Attributes, Conv, Net, fingerprint, train_a_little

AT = DeeperPass(at="extractor.1")


# -- what comes back ---------------------------------------------------------------------------


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


# -- optimizers --------------------------------------------------------------------------------


class Holder(Net):
    def __init__(self) -> None:
        super().__init__()
        self.optimizer = torch.optim.Adam(self.parameters())


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_an_optimizer_that_the_model_holds(given, inplace):
    net = Holder()
    options = {"optimizer": net.optimizer} if given else {}
    result = morphir.transform(net, AT, inplace=inplace, **options)
    assert result.optimizer is result.module.optimizer
    assert (result.optimizer is net.optimizer) == inplace
    assert len(result.optimizer.param_groups[0]["params"]) == 8
    train_a_little(result.module, result.optimizer)


def test_a_policy_with_an_optimizer_for_each_part():
    """Stable-Baselines3's SAC: every part is trained by its own"""
    space = gym.spaces.Box(-1, 1, (4,))
    policy = SACPolicy(space, gym.spaces.Box(-1, 1, (2,)), lambda _: 1e-3)
    result = morphir.transform(policy, DeeperPass(at="actor.latent_pi.1"))
    grown = result.module
    assert result.report.grade is Grade.PROVED
    assert result.optimizer == [grown.actor.optimizer, grown.critic.optimizer]
    for part in (grown.actor, grown.critic):
        held = {id(p) for group in part.optimizer.param_groups for p in group["params"]}
        assert held == {id(p) for p in part.parameters()}
    assert "2 new parameters joined group 0 of Adam (optimizer 0)" in result.report.notes


def test_optimizers_come_back_in_the_form_in_which_they_were_given():
    net = Net()
    one = torch.optim.SGD(net.extractor.parameters(), lr=0.1)
    other = torch.optim.Adam(net.head.parameters())
    kinds = [type(o).__name__ for o in morphir.transform(net, AT, optimizer=(other, one)).optimizer]
    assert kinds == ["Adam", "SGD"]
    again = morphir.transform(net, AT, optimizer=[one, one, other]).optimizer
    assert again[0] is again[1]
    assert [type(o).__name__ for o in again] == ["SGD", "SGD", "Adam"]
    assert morphir.transform(net, AT, optimizer=[]).optimizer == []
    assert morphir.transform(net, AT).optimizer is None
    net.parts = {"one": one, "other": other}
    result = morphir.transform(net, AT)
    assert result.optimizer == [*result.module.parts.values()]


def test_in_place_everything_that_holds_the_objects_goes_on():
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    ema = torch.optim.swa_utils.AveragedModel(net)
    train_a_little(net, optimizer)
    parameters = dict(net.named_parameters())
    result = morphir.transform(net, AT, optimizer=[optimizer], inplace=True)
    assert result.optimizer == [optimizer]
    assert all(net.get_parameter(name) is p for name, p in parameters.items())
    train_a_little(net, optimizer)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 5e-3
    morphir.replay(result.lineage, ema.module)
    ema.update_parameters(net)


def test_in_place_without_an_optimizer_is_said():
    note = "no optimizer was given, so none has the new parameters"
    assert note in morphir.transform(Net(), AT, inplace=True).report.notes
    assert note not in morphir.transform(Net(), AT).report.notes


def test_apply_does_not_lose_an_optimizer():
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    before = fingerprint(net, [optimizer])
    with pytest.raises(RefusalError, match=r"new optimizer would be lost(.|\n)*morphir.transform"):
        morphir.apply(net, AT, optimizer=optimizer)
    assert fingerprint(net, [optimizer]) == before
    assert morphir.apply(net, AT, optimizer=optimizer, inplace=True) is net
    assert len(optimizer.param_groups[0]["params"]) == 8


# -- where a layer can go ----------------------------------------------------------------------


class Indexed(Net):
    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.extractor[:2](x)


def test_back_2_a_sequential_that_a_method_slices_keeps_its_children():
    """BACK-2"""
    net, x = Indexed(), torch.randn(3, 4)
    features, y = net.features(x), net(x)
    grown = morphir.apply(net, AT)
    assert [*grown.extractor._modules] == ["0", "1", "2", "3"]
    assert torch.equal(grown(x), y)
    assert torch.equal(grown.features(x), features)
    with pytest.raises(RefusalError, match=r"used by index(.|\n)*at='extractor\.3'"):
        morphir.apply(net, DeeperPass(at="extractor"))


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = Children()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


class Children(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for child in self.children():
            x = child(x)
        return x


def test_a_container_that_would_run_the_new_layer_itself_is_refused():
    net = Loop()
    before = fingerprint(net)
    with pytest.raises(RefusalError, match="would run 2 times where 1 are needed"):
        morphir.apply(net, DeeperPass(at="body"), inplace=True)
    assert fingerprint(net) == before
    grown = morphir.apply(net, DeeperPass(at="body.second"))
    x = torch.randn(3, 4)
    assert torch.equal(grown(x), net(x))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        relu = nn.ReLU()
        self.net = nn.Sequential(nn.Linear(4, 8), relu, nn.Linear(8, 8), relu, nn.Linear(8, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.parametrize(("at", "block"), [("net.1", "identity"), ("net.3", "residual")])
def test_back_3_a_module_that_stands_in_two_places_is_a_host_in_both(at, block):
    """BACK-3: under its first name; the layer runs wherever it stands"""
    net, x = Shared(), torch.randn(3, 4)
    before = fingerprint(net)
    result = morphir.transform(net, DeeperPass(at=at, block=block))
    grown = result.module
    assert torch.equal(grown(x), net(x))
    assert fingerprint(net) == before
    assert grown.net[1] is grown.net[3]
    assert result.certificate.insertions[0].module == "net.1.1_deeper1"
    again = morphir.replay(result.lineage, Shared())
    assert [*again.state_dict()] == [*grown.state_dict()]
    with torch.no_grad():
        grown.net[1].get_submodule("1_deeper1").get_parameter(
            "layer.bias" if block == "identity" else "last.bias"
        ).add_(1)
    hidden = torch.relu(grown.net[0](x)) + 1
    assert torch.equal(grown(x), grown.net[4](torch.relu(grown.net[2](hidden)) + 1))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("at", ["features_extractor.cnn.1", "pi_features_extractor.cnn.1"])
def test_an_extractor_that_a_policy_holds_under_three_names(at, inplace, tmp_path):
    """BACK-1, KEPT-2, STATE-2, STATE-8: Stable-Baselines3 shares it between actor and critic"""

    def make() -> ActorCriticCnnPolicy:
        image = gym.spaces.Box(0, 255, (3, 36, 36), np.uint8)
        return ActorCriticCnnPolicy(image, gym.spaces.Discrete(3), lambda _: 1e-3)

    policy = make().eval()
    x = torch.randint(0, 256, (2, 3, 36, 36), dtype=torch.uint8)
    values = policy.predict_values(x)
    entry_points = ("predict_values", "get_distribution")
    result = morphir.transform(
        policy, DeeperPass(at=at), example_inputs=(x,), entry_points=entry_points, inplace=inplace
    )
    grown = result.module
    assert result.report.grade is Grade.PROVED
    assert torch.equal(grown.predict_values(x), values)
    assert grown.vf_features_extractor is grown.features_extractor
    assert "vf_features_extractor.cnn.1_deeper1.layer.weight" in grown.state_dict()
    held = [p for group in grown.optimizer.param_groups for p in group["params"]]
    assert {*map(id, held)} == {*map(id, grown.parameters())}
    assert len(held) == len([*grown.parameters()])
    morphir.save(grown, tmp_path / "policy", optimizer=grown.optimizer)
    loaded, _ = morphir.load(tmp_path / "policy", make, optimizer=lambda p: p.optimizer)
    assert torch.equal(loaded.eval().predict_values(x), values)


def test_hooks_that_only_look_are_kept():
    net, seen = Attributes(), []
    net.act.register_forward_hook(lambda module, args, out: seen.append(out.shape))
    result = morphir.transform(net, DeeperPass(at="act"))
    seen.clear()
    result.module(torch.randn(7, 4))
    assert seen == [(7, 8)]


def test_a_hook_that_computes_with_the_output_of_a_host_is_refused():
    net = Attributes()
    net.act.register_forward_hook(lambda module, args, out: out * 2)
    before = fingerprint(net)
    with pytest.raises(RefusalError, match=r"a forward hook of 'act' computes with its output"):
        morphir.transform(net, DeeperPass(at="act"), inplace=True)
    assert fingerprint(net) == before


def test_a_parametrized_host():
    net, x = Attributes(), torch.randn(3, 4)
    parametrizations.weight_norm(net.fc1)
    y = net(x)
    result = morphir.transform(net, DeeperPass(at="fc1", block="residual"), example_inputs=(x,))
    assert torch.equal(result.module(x), y)
    assert parametrize.is_parametrized(result.module.fc1, "weight")
    assert result.report.grade is Grade.PROVED


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes(dtype):
    net, x = Net().to(dtype), torch.randn(3, 4, dtype=dtype)
    result = morphir.transform(net, AT, example_inputs=(x,))
    assert torch.equal(result.module(x), net(x))
    assert {p.dtype for p in result.module.parameters()} == {dtype}


# -- bad input ---------------------------------------------------------------------------------


def wrapped() -> nn.Module:
    net = Net()
    net.part = nn.DataParallel(nn.Linear(4, 4))
    return net


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(4), nn.ReLU())


class NoForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "net", "expected a torch.nn.Module, found str"),
        (lambda: Net, "expected a torch.nn.Module, found type"),
        (lambda: Net().to("meta"), "on the meta device"),
        (lambda: nn.DataParallel(Net()), "DataParallel is a wrapper"),
        (wrapped, r"DataParallel is a wrapper(.|\n)*at: part"),
        (lambda: torch.compile(Net(), backend="eager"), "OptimizedModule is a wrapper"),
        (lambda: torch.jit.script(Net()), "TorchScript"),
        (lazy, "a lazy parameter has no shape yet"),
        (NoForward, r"no forward(.|\n)*entry_points=\('act',\)"),
    ],
)
def test_back_6_what_is_no_ordinary_module_is_one_clear_error(make, message):
    """BACK-6"""
    model = make()
    with pytest.raises(RefusalError, match=message):
        morphir.transform(model, AT)


@pytest.fixture
def process_group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (nn.parallel.DistributedDataParallel, r"DistributedDataParallel(.|\n)*model.module"),
        (
            lambda net: fully_shard(net, mesh=init_device_mesh("cpu", (1,))),
            r"sharded by fully_shard(.|\n)*gather it",
        ),
    ],
)
def test_back_6_models_that_are_spread_over_devices_are_refused(wrap, message, process_group):
    """BACK-6"""
    model = wrap(Net())
    keys = [*model.state_dict()]
    with pytest.raises(RefusalError, match=message):
        morphir.transform(model, AT, inplace=True)
    assert [*model.state_dict()] == keys


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pass_": DeeperPass(at="extractor.l")}, r"no module 'extractor.l'(.|\n)*'extractor.1'"),
        ({"pass_": []}, "expected a pass or a flat list of passes, found an empty list"),
        ({"pass_": [[AT], AT]}, r"found \[DeeperPass"),
        ({"pass_": DeeperPass}, "expected a pass.*found <class"),
        ({"pass_": "extractor.1"}, "found 'extractor.1'"),
        ({"min_grade": "PROVED"}, "min_grade is 'PROVED', expected a morphir.Grade"),
        ({"entry_points": "forward"}, "expected a tuple of method names"),
        ({"entry_points": ("forwards",)}, "'forwards'"),
        ({"example_inputs": {"act": (1,)}}, "'act', which is not among the entry points 'forward'"),
        ({"example_inputs": (3,)}, "no tensor among the example inputs"),
        ({"example_inputs": (torch.zeros(2, 9),)}, "failed on its example inputs"),
        ({"optimizer": torch.optim.Adam}, "found the class Adam"),
    ],
)
@pytest.mark.parametrize("inplace", [False, True])
def test_back_6_bad_requests_change_nothing(options, message, inplace):
    """BACK-6"""
    net = Net()
    mine = torch.optim.Adam(net.parameters())
    before = fingerprint(net, [mine])
    with pytest.raises(RefusalError, match=message):
        morphir.transform(net, **{"pass_": AT, "optimizer": mine, "inplace": inplace, **options})
    assert fingerprint(net, [mine]) == before


# -- passes that are wrong ---------------------------------------------------------------------


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
        from dataclasses import replace

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


def test_functional_activations_and_the_functions_users_know():
    """The issue's first must-show line"""

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.extractor = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU())
            self.head = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.log_softmax(self.head(self.extractor(x)), -1)

    mlp, x = Mlp(), torch.randn(3, 4)
    grown = morphir.apply(mlp, DeeperPass(at="extractor.2"))
    assert isinstance(grown, Mlp)
    assert torch.equal(grown(x), mlp(x))


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("block", ["identity", "residual"])
def test_a_graph_module_grows_inside_its_leaves(block: str, inplace: bool):
    x = torch.randn(3, 4)
    for at in ("extractor.1", "extractor.2"):
        model = torch.fx.symbolic_trace(Net())
        expected = model(x)
        result = morphir.transform(
            model, DeeperPass(at=at, block=block), example_inputs=(x,), inplace=inplace
        )
        assert result.report.grade is Grade.PROVED
        assert torch.equal(result.module(x), expected)
        result.module.recompile()
        assert torch.equal(result.module(x), expected), "torch.fx writes its code anew"


class Halves(nn.Module):
    """The identity, which no lemma knows to be one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 2 + x / 2


def test_what_is_below_its_claim_says_how_to_accept_it():
    with pytest.raises(VerificationError, match="TESTED, expected PROVED") as caught:
        morphir.transform(Net(), Sabotage("in halves", "in halves"))
    assert str(caught.value).endswith("\n  try: min_grade=morphir.Grade.TESTED")
    result = morphir.transform(Net(), Sabotage("in halves", "in halves"), min_grade=Grade.TESTED)
    assert result.report.grade is Grade.TESTED
    with pytest.raises(VerificationError, match="REFUTED, expected PROVED") as caught:
        morphir.transform(Net(), Sabotage("off by far", "off by far"))
    assert caught.value.suggestions == (), "what is wrong is not to be accepted"
