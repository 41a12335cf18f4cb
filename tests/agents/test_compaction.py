"""DEPLOY-3: what a sparse policy becomes when it is shipped."""

import gymnasium as gym
import numpy as np
import onnxruntime
import torch

import morphir
from morphir_agents.compaction import compact_policy
from morphir_agents.deploy import deployed_policy
from morphir_agents.envs import GymConfig
from morphir_agents.td3_networks import TD3NetworkConfig, build_td3_agent

SPACE = gym.spaces.Box(-2.0, 2.0, (1,))


def sparse_policy(unread: list[int]) -> torch.nn.Module:
    """A policy for Pendulum, half of whose middle weights are in use; of some units none."""
    agent = build_td3_agent(TD3NetworkConfig((8, 6)), 3, SPACE, 0.1, seed=0)
    seen = torch.randn(4, 3)
    made = morphir.transform(
        agent,
        morphir.SparsifyPass(0.5, at="actor.2", keep="random"),
        example_inputs={"act": (seen,)},
        entry_points=("act",),
    ).module
    with torch.no_grad():
        made.actor[2].weight_mask[:, unread] = 0
    morphir.Masks(made).mask_parameters()
    return deployed_policy(made, GymConfig("Pendulum-v1").encoding(), SPACE).eval()


def test_deploy_3_what_does_nothing_goes_and_actions_stay(tmp_path):
    """DEPLOY-3"""
    deployed, example = sparse_policy([1, 4, 5]), torch.randn(7, 3)
    dense, path = tmp_path / "policy.onnx", tmp_path / "compact.onnx"
    morphir.export_onnx(
        deployed, dense, example_inputs=(example,), output_names=deployed.output_names
    )
    before = {name: tensor.clone() for name, tensor in deployed.state_dict().items()}
    found = compact_policy(deployed, dense, path, example)

    gone = 3 * (3 + 1 + 6)  # of each unit its three weights, its bias, and six that read it
    assert found.grade == "PROVED"
    assert found.parameters == (found.parameters[1] - gone, 8 * 4 + 6 * 9 + 7)
    numbers = [each.detach().numpy() for each in deployed.parameters()]
    assert found.in_use == sum(int((each != 0).sum()) for each in numbers)
    assert found.bytes == (path.stat().st_size, dense.stat().st_size)
    assert found.bytes[0] < found.bytes[1]
    assert {*found.microseconds} == {1, 256}
    for name, tensor in deployed.state_dict().items():
        assert torch.equal(tensor, before[name])

    given = {"observation": np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)}
    ours, theirs = (
        onnxruntime.InferenceSession(str(each)).run(["action"], given)[0] for each in (path, dense)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert "PROVED" in str(found)


def test_a_policy_of_which_nothing_can_go_stays_as_large(tmp_path):
    deployed, example = sparse_policy([]), torch.randn(7, 3)
    with torch.no_grad():
        deployed.actor[2].weight_mask.fill_(1)
        deployed.actor[2].weight.fill_(0.5)
    dense = tmp_path / "policy.onnx"
    morphir.export_onnx(
        deployed, dense, example_inputs=(example,), output_names=deployed.output_names
    )
    found = compact_policy(deployed, dense, tmp_path / "compact.onnx", example)
    assert found.parameters == (93, 93)
