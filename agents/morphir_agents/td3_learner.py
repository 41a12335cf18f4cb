"""The update of TD3 (Fujimoto et al. 2018): what a batch of transitions does to the networks.

    TD3-1   y = r + gamma * goes_on * min_i Q_i'(s', clip(pi'(s') + clip(noise, -c, c), -1, 1))
    TD3-2   both critics descend the mean of (Q_i(s, a) - y)^2, at every update
    TD3-3   the actor descends -mean Q_1(s, pi(s)), and every target moves by
            theta' <- theta' + tau * (theta - theta'), at every `policy_delay`-th update only

Both losses are simple enough to write down their gradients, so nothing is recorded and nothing is
computed that no one needs: the critics' parameters get no gradients in the actor's step, and the
second critic isn't even asked (`passage.py`).

    TD3-4   masked weights are 0 after every update, in the targets as well, and no moment of an
            optimizer is that of a masked weight
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor, nn

from morphir import Masks
from morphir_agents.passage import passage_of
from morphir_agents.replay import Batch
from morphir_agents.weight_clip import WeightClip

if TYPE_CHECKING:
    from morphir_agents.td3 import TD3Config
    from morphir_agents.td3_networks import TD3Agent

__all__ = ["TD3Learner", "noise_for"]


@final
class TD3Learner:
    """Updates an agent as it is; after its networks were changed, build another.

    Args:
        agent: What learns.
        optimizers: Over the actor's parameters, and over those of both critics.
        config: How it learns.
    """

    def __init__(
        self, agent: TD3Agent, optimizers: list[torch.optim.Optimizer], config: TD3Config
    ) -> None:
        self._actor_optimizer, self._critic_optimizer = optimizers
        self._config = config
        self._actor, self._target_actor, *critics = (
            passage_of(network, config.batch)
            for network in (
                agent.actor,
                agent.target_actor,
                *agent.critics,
                *agent.target_critics,
            )
        )
        self._critics, self._target_critics = critics[:2], critics[2:]
        trained = (agent.actor, *agent.critics)
        targets = (agent.target_actor, *agent.target_critics)
        self._parameters: list[Tensor] = [p for each in trained for p in each.parameters()]
        self._target_parameters: list[Tensor] = [p for each in targets for p in each.parameters()]
        self._actor_masks = Masks(agent.actor)
        self._critic_masks = Masks(nn.ModuleList(agent.critics))
        kappa = config.weight_clip
        self._actor_clip = WeightClip(agent.actor, kappa) if kappa else None
        self._critic_clip = WeightClip(nn.ModuleList(agent.critics), kappa) if kappa else None
        for network, target in zip(trained, targets, strict=True):
            Masks(network).mask_parameters(target)  # once: averages of zeros are zeros (TD3-3)
        self._errors: list[Tensor] = []

    @torch.no_grad()
    def update(self, batch: Batch, noise: np.ndarray, number: int) -> None:
        """Learn from a batch; its action columns are used as working space.

        Args:
            batch: Transitions.
            noise: Standard normal numbers, (batch, action), for the smoothing of the targets.
            number: Which update of the run this is, from 1 on.
        """
        self._judge(batch, noise)
        _descend(self._critic_optimizer, self._critic_masks, self._critic_clip)

        if number % self._config.policy_delay == 0:
            self._policy_gradients(batch)
            _descend(self._actor_optimizer, self._actor_masks, self._actor_clip)
            torch._foreach_lerp_(self._target_parameters, self._parameters, self._config.tau)

    @torch.no_grad()
    def leave_gradients(self, batch: Batch, noise: np.ndarray) -> None:
        """Leave the gradients of both losses in `.grad`, of masked weights too; nothing is learned.

        Args:
            batch: Transitions; their action columns are used as working space.
            noise: As for `update`.
        """
        self._judge(batch, noise)
        self._policy_gradients(batch)

    def _judge(self, batch: Batch, noise: np.ndarray) -> None:
        """The gradients of the critics' losses (TD3-1, TD3-2)."""
        config = self._config
        smoothing = torch.from_numpy(noise).to(batch.inputs.device) * config.target_noise
        smoothing.clamp_(-config.target_noise_clip, config.target_noise_clip)
        action = smoothing.add_(self._target_actor.forward(batch.next_observations))
        torch.clamp(action, -1.0, 1.0, out=batch.next_actions)
        first, second = (critic.forward(batch.next_inputs) for critic in self._target_critics)
        next_values = torch.minimum(first, second).mul_(batch.continues)
        targets = torch.add(batch.rewards, next_values, alpha=config.discount)

        self._errors = [critic.forward(batch.inputs) - targets for critic in self._critics]
        for critic, error in zip(self._critics, self._errors, strict=True):
            critic.backward(error * (2.0 / config.batch))

    @torch.no_grad()
    def losses(self, batch: Batch) -> dict[str, float]:
        """The critics' loss at the last update, and the actor's on that batch.

        The gradients of both are in `.grad` then, and the actions in the batch are the policy's.
        """
        values = self._policy_gradients(batch)
        self._actor_masks.mask_gradients()
        return {
            "critic_loss": sum(float(error.square().mean()) for error in self._errors),
            "actor_loss": -float(values.mean()),
        }

    def _policy_gradients(self, batch: Batch) -> Tensor:
        """The first critic's values of the policy's actions, which overwrite the batch's."""
        batch.actions.copy_(self._actor.forward(batch.observations))
        critic, actions = self._critics[0], batch.actions.shape[1]
        values = critic.forward(batch.inputs)
        ascent = torch.full_like(values, -1.0 / self._config.batch)
        self._actor.backward(critic.input_gradient(ascent)[:, -actions:])
        return values


def noise_for(batch: Batch, generator: np.random.Generator) -> np.ndarray:
    """Standard normal numbers for the smoothing of the targets of a batch."""
    return generator.standard_normal(batch.actions.shape, dtype=np.float32)


def _descend(optimizer: torch.optim.Optimizer, masks: Masks, clip: WeightClip | None) -> None:
    """The only place where gradients change weights (TD3-4).

    Behind a mask weights are 0, and so are their moments and these gradients: Adam leaves them 0.
    """
    masks.mask_gradients()
    optimizer.step()
    if clip is not None:
        clip.apply()
