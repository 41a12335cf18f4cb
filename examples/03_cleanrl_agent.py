"""An agent without `forward`: several methods over one network, all of them proved."""

import torch
from torch import nn
from torch.distributions import Categorical

import morphir


class Agent(nn.Module):
    """The shape that CleanRL's PPO scripts use."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.actor = nn.Linear(64, 2)
        self.critic = nn.Linear(64, 1)

    def get_value(self, obs: torch.Tensor) -> torch.Tensor:
        """The value of each observation, shape `(batch, 1)`."""
        return self.critic(self.trunk(obs))

    def get_action_and_value(
        self, obs: torch.Tensor, action: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Action, log-probability, entropy and value."""
        hidden = self.trunk(obs)
        policy = Categorical(logits=self.actor(hidden))
        action = policy.sample() if action is None else action
        return action, policy.log_prob(action), policy.entropy(), self.critic(hidden)


def main() -> None:
    """Grows the shared trunk."""
    agent = Agent()
    result = morphir.transform(
        agent,
        [morphir.DeeperPass(at="trunk.1"), morphir.DeeperPass(at="trunk.3")],
        optimizer=torch.optim.Adam(agent.parameters()),
        example_inputs=(torch.zeros(2, 4),),
        entry_points=("get_value", "get_action_and_value"),
    )
    print(result.report)


if __name__ == "__main__":
    main()
