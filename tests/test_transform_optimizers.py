"""Optimizers come back with the model: those that are given and those that it holds."""

import gymnasium as gym
import pytest
import torch
from stable_baselines3.sac.policies import SACPolicy

import morphir
from morphir import DeeperPass, Grade, RefusalError
from tests.specimens import Net, fingerprint, train_a_little

AT = DeeperPass(at="extractor.1")


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
