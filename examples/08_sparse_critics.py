"""Neuroplastic events in a training loop of your own: two critics of one Adam, and their targets.

The bundled agents do the same (`morphir-agents run td3-pendulum --method ne`).
"""

import copy

import torch
from torch import nn

import morphir
from morphir import MaskGrowPass, PruneDormantPass, RecycleDormantPass, SparsifyPass


class Critics(nn.Module):
    """Two Q functions, as in TD3."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(5, 64), (64, 64), (64, 1)]
        self.q1, self.q2 = (
            nn.Sequential(*[m for i, o in sizes for m in (nn.Linear(i, o), nn.ReLU())][:-1])
            for _ in range(2)
        )

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The value of an action, twice."""
        x = torch.cat([obs, action], 1)
        return self.q1(x), self.q2(x)


def main() -> None:
    """Learns a value from random transitions, with an event every 100 updates."""
    torch.manual_seed(0)
    critics = Critics()
    target = copy.deepcopy(critics).requires_grad_(False)
    optimizer = torch.optim.Adam(critics.parameters(), lr=1e-3)
    inside = ["q1.2", "q2.2"]  # first and last layer stay dense

    obs, action = torch.randn(256, 4), torch.rand(256, 1)
    options = {"optimizer": optimizer, "example_inputs": (obs, action), "inplace": True}
    result = morphir.transform(critics, SparsifyPass(density=0.25, at=inside), **options)
    masks = morphir.Masks(critics)
    masks.mask_parameters(target)  # which needs no masks: averages of zeros are zeros

    for update in range(1, 401):
        obs, action = torch.randn(256, 4), torch.rand(256, 1)
        with torch.no_grad():
            following = torch.min(*target(torch.randn(256, 4), torch.rand(256, 1)))
            wanted = obs.sum(1, keepdim=True) * action + 0.9 * following
        loss = sum((q - wanted).square().mean() for q in critics(obs, action))
        optimizer.zero_grad()
        loss.backward()  # dense gradients: those of unused weights say which to use next
        if update % 100 == 0:
            options["example_inputs"] = (obs, action)
            grow = MaskGrowPass(count=80, at=inside)
            # What was learned from the last event on needs no new recording of the model.
            result = morphir.transform(critics, grow, recording=result.recording, **options)
            print(f"update {update}: {result.report.grade}, {result.report.passes[0]}")
            prune = PruneDormantPass(
                data=(obs, action),
                at=["q1.0", "q2.0"],
                mode="mask",
                weights={"q1.2.weight": 16, "q2.2.weight": 16},
            )
            result = morphir.transform(critics, prune, **options)
            masks = morphir.Masks(critics)
            masks.mask_parameters(target)
        masks.mask_gradients()
        optimizer.step()
        masks.mask_parameters()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), critics.parameters(), strict=True):
                slow.lerp_(fast, 0.005)

    redo = RecycleDormantPass((obs, action), threshold=0.1)  # dormant units start anew
    print(morphir.transform(critics, redo, **options).report)
    print({name: round(share, 3) for name, share in morphir.Masks(critics).densities.items()})


if __name__ == "__main__":
    main()
