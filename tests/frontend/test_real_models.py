"""Whole Stable-Baselines3 policies, Hugging Face models and torch's own layers record."""

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from morphir.frontend import record
from morphir.ir import Program, check_structure

BOX = gymnasium.spaces.Box(-1, 1, (5,), np.float32)
IMAGE = gymnasium.spaces.Box(0, 255, (3, 36, 36), np.uint8)
DISCRETE = gymnasium.spaces.Discrete(3)
BOTH = gymnasium.spaces.Dict({"state": BOX, "image": IMAGE})
IDS = torch.arange(12).reshape(2, 6)
SEQUENCE = torch.randn(2, 5, 8)


def rate(_: float) -> float:
    return 3e-4


def sb3(algorithm: str, policy: str, *spaces: gymnasium.Space, **options: Any) -> nn.Module:
    import importlib

    module = importlib.import_module(f"stable_baselines3.{algorithm}")
    return getattr(module, policy)(*spaces, rate, **options)


def checked(model: nn.Module, **how: Any) -> Program:
    """Records, and checks what holds for every recording: structure, text form, a replay."""
    program = record(model, **how).program
    check_structure(program)
    assert Program.parse(str(program)) == program
    assert not [note for note in program.notes if "not compared with a replay" in note]
    return program


def opaque(program: Program) -> set[str]:
    nodes = (node for graph in program.graphs.values() for node in graph.nodes)
    return {n.op for n in nodes if "." in n.op or n.op in ("alias", "python", "scripted")}


# SB3's own distributions sample by functions that are no declared ops.
SAMPLING = {"torch.empty", "torch.Tensor.normal_"}


@pytest.mark.parametrize(
    ("make", "entry_points"),
    [
        (lambda: sb3("ppo", "MlpPolicy", BOX, BOX),
         ("forward", "predict_values", "evaluate_actions", "get_distribution")),
        (lambda: sb3("ppo", "MlpPolicy", BOX, DISCRETE), ("forward", "evaluate_actions")),
        (lambda: sb3("ppo", "MlpPolicy", BOX, BOX, use_sde=True), ("forward", "evaluate_actions")),
        (lambda: sb3("ppo", "MlpPolicy", DISCRETE, gymnasium.spaces.MultiDiscrete([2, 3])),
         ("forward", "evaluate_actions")),
        (lambda: sb3("ppo", "CnnPolicy", IMAGE, DISCRETE), ("forward", "predict_values")),
        (lambda: sb3("ppo", "MultiInputPolicy", BOTH, DISCRETE), ("forward", "predict_values")),
        (lambda: sb3("td3", "MlpPolicy", BOX, BOX, net_arch=[16, 16]),
         ("forward", "actor", "critic", "critic.q1_forward")),
        (lambda: sb3("sac", "MlpPolicy", BOX, BOX, net_arch=[16, 16]),
         ("forward", "critic", "actor.action_log_prob")),
        (lambda: sb3("dqn", "MlpPolicy", BOX, DISCRETE), ("forward", "q_net")),
    ],
)  # fmt: skip
def test_a_whole_policy_records_from_its_spaces(make: Callable[[], nn.Module], entry_points):
    """FRONT-2, FRONT-3: several entry points over one state, inputs from the spaces."""
    program = checked(make(), entry_points=entry_points)
    assert [*program.graphs] == [*entry_points]
    assert opaque(program) <= SAMPLING
    for graph in program.graphs.values():
        assert "[B" in str(graph.inputs[0].type)
        assert graph.outputs
    assert not [note for note in program.notes if "batch size is fixed" in note]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_what_a_policy_does_in_numpy_is_an_escape():
    """FRONT-5: `predict` takes and gives arrays; the actions leave torch."""
    program = record(sb3("ppo", "MlpPolicy", BOX, BOX), entry_points=("predict",)).program
    ops = [node.op for node in program.graphs["predict"].nodes]
    assert "python" in ops
    assert ops.count("escape") >= 2
    assert any("values that leave torch" in note for note in program.notes)


def hugging_face(kind: str, config: str, **options: Any) -> nn.Module:
    import transformers

    transformers.logging.set_verbosity_error()
    return getattr(transformers, kind)(getattr(transformers, config)(**options))


SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
}  # fmt: skip
WORDS = {"vocab_size": 40, "max_position_embeddings": 16}


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: hugging_face("GPT2LMHeadModel", "GPT2Config", n_layer=2, n_head=2, n_embd=16,
                              vocab_size=40, n_positions=16, bos_token_id=0, eos_token_id=0),
         (IDS,)),
        (lambda: hugging_face("BertModel", "BertConfig", **SMALL, **WORDS), (IDS,)),
        (lambda: hugging_face("LlamaForCausalLM", "LlamaConfig", num_key_value_heads=1, **SMALL,
                              **WORDS), (IDS,)),
        (lambda: hugging_face("T5ForConditionalGeneration", "T5Config", d_model=16, d_kv=8, d_ff=24,
                              num_layers=2, num_heads=2, vocab_size=40, decoder_start_token_id=0),
         {"forward": ((), {"input_ids": IDS, "decoder_input_ids": IDS})}),
        (lambda: hugging_face("ViTModel", "ViTConfig", image_size=16, patch_size=8, **SMALL),
         (torch.randn(2, 3, 16, 16),)),
    ],
    ids=["gpt2", "bert", "llama", "t5", "vit"],
)  # fmt: skip
def test_a_hugging_face_model_records(make: Callable[[], nn.Module], inputs: Any, mode: str):
    """FRONT-2, FRONT-3: all of it, with declared ops only, at any batch size."""
    program = checked(make(), example_inputs=inputs, mode=mode)
    assert opaque(program) == set()
    assert program.unreached == ()
    assert not [note for note in program.notes if "batch size is fixed" in note]
    random = any(node.random for graph in program.graphs.values() for node in graph.nodes)
    assert random == (mode == "train" and type(make()).__name__[:5] not in ("Llama", "ViTMo"))


def test_the_inputs_of_a_hugging_face_model_are_found():
    model = hugging_face("BertModel", "BertConfig", **SMALL, **WORDS)
    found = record(model)
    assert "input_ids" in found.inputs["forward"][1]
    assert found.inputs["forward"][1]["input_ids"].max() < 40


def test_a_part_of_a_hugging_face_model_records_by_its_name():
    """FRONT-6: its MLPs are used by nobody but their blocks."""
    model = hugging_face(
        "GPT2LMHeadModel", "GPT2Config", n_layer=1, n_head=2, n_embd=16, vocab_size=40,
        n_positions=16, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    program = checked(
        model, example_inputs=(torch.randn(2, 6, 16),), entry_points=("transformer.h.0.mlp",)
    )
    assert program.outside == {}
    assert program.graphs["transformer.h.0.mlp"].calls[0].module == "transformer.h.0.mlp"


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        lengths = torch.full((x.shape[0],), 5)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0]


def old_weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(nn.Linear(8, 4))


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    ("make", "inputs", "expected"),
    [
        (lambda: nn.LSTM(8, 4, 2, dropout=0.5, batch_first=True), (SEQUENCE,), set()),
        (lambda: nn.GRU(8, 4, bidirectional=True), (SEQUENCE,), set()),
        (lambda: nn.EmbeddingBag(8, 4), (torch.zeros(2, 5, dtype=torch.long),), set()),
        (Packed, (SEQUENCE,), None),
        (lambda: nn.MultiheadAttention(8, 2, batch_first=True), (SEQUENCE,) * 3, None),
        (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (SEQUENCE,), None),
        (lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True), (SEQUENCE, SEQUENCE), None),
        (lambda: parametrizations.weight_norm(nn.Linear(8, 4)), (SEQUENCE[0],), None),
        (lambda: parametrizations.spectral_norm(nn.Linear(8, 4)), (SEQUENCE[0],), None),
        (lambda: parametrizations.orthogonal(nn.Linear(8, 8)), (SEQUENCE[0],), None),
        (old_weight_norm, (SEQUENCE[0],), None),
        (lambda: nn.Sequential(nn.Conv1d(5, 4, 3), nn.BatchNorm1d(4, momentum=None)), (SEQUENCE,),
         set()),
        (lambda: nn.Sequential(nn.Conv1d(5, 4, 3), nn.InstanceNorm1d(4, track_running_stats=True)),
         (SEQUENCE,), None),
        (lambda: torch.fx.symbolic_trace(nn.Sequential(nn.Linear(8, 8), nn.ReLU())), (SEQUENCE,),
         set()),
    ],
)  # fmt: skip
def test_a_layer_of_torch_records(make: Callable[[], nn.Module], inputs: Any, expected: Any, mode):
    """FRONT-2: what has no declaration is an opaque leaf; everything it reads is an operand."""
    torch.manual_seed(0)
    model = make()
    program = checked(model, example_inputs=inputs, mode=mode)
    assert expected is None or opaque(program) == expected
    assert program.unreached == ()
    changed = {name for graph in program.graphs.values() for name, _ in graph.updates}
    assert changed == really_changed(model, inputs, mode)


def really_changed(model: nn.Module, inputs: Any, mode: str) -> set[str]:
    """The buffers that a real call in this mode changes."""
    model.train(mode == "train")
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad():
        model(*inputs)
    return {name for name, buffer in model.named_buffers() if not torch.equal(buffer, before[name])}
