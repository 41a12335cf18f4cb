import torch

from morphir_agents.methods.steps import restart_steps
from morphir_agents.td3 import interact, learn
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_trainer import TD3Trainer


def test_only_the_count_of_those_that_are_named_starts_anew(tiny_td3_config, tmp_path):
    trainer = TD3Trainer.start(tiny_td3_config("tiny/Aim-v0"), tmp_path)
    learner = TD3Learner(trainer.agent, trainer.optimizer, trainer.config.td3)
    for _ in range(40):
        interact(trainer)
    for _ in range(4):
        learn(trainer, learner)
    trainer.moments = {f"1.critic1.0.weight.{name}": torch.ones(()) for name in ("step", "exp_avg")}
    trainer.moments["1.critic2.0.weight.step"] = torch.ones(())
    named = ("actor.2.bias", "critic1.0.weight")
    restart_steps(trainer, named)
    state = {p: held for each in trainer.optimizer for p, held in each.state.items()}
    for name, parameter in trainer.agent.named_parameters():
        if parameter in state:
            assert (int(state[parameter]["step"]) == 0) == (name in named), name
            assert state[parameter]["exp_avg"].any(), name
    assert [int(each) for each in trainer.moments.values()] == [0, 1, 1]
    trainer.close()
