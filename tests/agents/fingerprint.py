"""All bits that training leaves behind."""

import hashlib

import torch


def fingerprint(trained):
    """A digest of the agent's state and of what its optimizers keep."""
    digest = hashlib.sha256()
    for name, tensor in trained.agent.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    optimizers = trained.optimizer if isinstance(trained.optimizer, list) else [trained.optimizer]
    kept = {parameter: state for each in optimizers for parameter, state in each.state.items()}
    for parameter in trained.agent.parameters():
        for key, value in sorted(kept.get(parameter, {}).items()):
            digest.update(key.encode() + torch.as_tensor(value).numpy().tobytes())
    return digest.hexdigest()
