"""Models of transformers, built from small configurations.

The defaults of each model decide whether its head is tied to its embedding.
"""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn

from architectures.base import Architecture, Arguments, Site, images
from architectures.torchvision_import import import_torchvision

with suppress(ModuleNotFoundError):
    import_torchvision()  # transformers imports it where it is installed

import transformers as hf

_VOCABULARY, _WIDTH, _HIDDEN, _TOKENS = 64, 32, 48, 6
# What most configurations call these sizes.
_ENCODER = {
    "hidden_size": _WIDTH,
    "intermediate_size": _HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
_DECODER = {**_ENCODER, "vocab_size": _VOCABULARY, "num_key_value_heads": 2, "use_cache": False}


def _ids() -> torch.Tensor:
    return torch.randint(3, _VOCABULARY, (2, _TOKENS))


def _text() -> dict[str, Arguments]:
    return {"forward": ((), {"input_ids": _ids()})}


def _text_pair() -> dict[str, Arguments]:
    return {"forward": ((), {"input_ids": _ids(), "decoder_input_ids": _ids()})}


def _speech() -> dict[str, Arguments]:
    return {"forward": ((torch.randn(2, 8, 16),), {"decoder_input_ids": _ids()})}


def _gpt2() -> nn.Module:
    config = hf.GPT2Config(
        vocab_size=_VOCABULARY,
        n_embd=_WIDTH,
        n_layer=2,
        n_head=4,
        n_positions=16,
        bos_token_id=1,
        eos_token_id=2,
        use_cache=False,
    )
    return hf.GPT2LMHeadModel(config)


def _bert() -> nn.Module:
    config = hf.BertConfig(**_ENCODER, vocab_size=_VOCABULARY, max_position_embeddings=16)
    return hf.BertForSequenceClassification(config)


def _llama() -> nn.Module:
    return hf.LlamaForCausalLM(hf.LlamaConfig(**_DECODER))


def _t5() -> nn.Module:
    config = hf.T5Config(
        vocab_size=_VOCABULARY,
        d_model=_WIDTH,
        d_kv=8,
        d_ff=_HIDDEN,
        num_layers=2,
        num_heads=4,
        use_cache=False,
    )
    return hf.T5ForConditionalGeneration(config)


def _whisper() -> nn.Module:
    config = hf.WhisperConfig(
        vocab_size=_VOCABULARY,
        d_model=_WIDTH,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=_HIDDEN,
        decoder_ffn_dim=_HIDDEN,
        num_mel_bins=8,
        max_source_positions=8,
        max_target_positions=16,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        use_cache=False,
    )
    return hf.WhisperForConditionalGeneration(config)


def _mixtral() -> nn.Module:
    config = hf.MixtralConfig(
        **_DECODER,
        num_local_experts=4,
        num_experts_per_tok=2,
        experts_implementation="eager",  # the grouped product has no float64 kernel
    )
    return hf.MixtralForCausalLM(config)


def _vit() -> nn.Module:
    config = hf.ViTConfig(**_ENCODER, image_size=16, patch_size=8, num_labels=5)
    return hf.ViTForImageClassification(config)


ARCHITECTURES = (
    Architecture(
        "transformers/gpt2",
        _gpt2,
        _text,
        inner=Site("transformer.h.0.mlp.c_fc", 160),
        trunk=Site("transformer.h.0.mlp.c_proj", 64, copies_only=True),
        insert="transformer.h.0.mlp",
        readers=("transformer.h.0.mlp.c_proj",),
    ),
    Architecture(
        "transformers/bert",
        _bert,
        _text,
        inner=Site("bert.encoder.layer.0.intermediate.dense", 60),
        trunk=Site("bert.encoder.layer.0.output.dense", 64, copies_only=True),
        insert="bert.encoder.layer.0",
        readers=("bert.encoder.layer.0.output.dense",),
    ),
    Architecture(
        "transformers/llama",
        _llama,
        _text,
        inner=Site("model.layers.0.mlp.gate_proj", 60),
        trunk=Site("model.layers.0.mlp.down_proj", 64, copies_only=True),
        insert="model.layers.0",
        readers=("model.layers.0.mlp.down_proj",),
    ),
    Architecture(
        "transformers/t5",
        _t5,
        _text_pair,
        inner=Site("encoder.block.1.layer.1.DenseReluDense.wi", 60),
        trunk=Site("encoder.block.1.layer.1.DenseReluDense.wo", 64, copies_only=True),
        insert="encoder.block.1.layer.1",
        readers=("encoder.block.1.layer.1.DenseReluDense.wo",),
    ),
    Architecture(
        "transformers/whisper",
        _whisper,
        _speech,
        inner=Site("model.encoder.layers.1.fc1", 60),
        trunk=Site("model.encoder.layers.1.fc2", 64, copies_only=True),
        insert="model.encoder.layers.1",
        readers=("model.encoder.layers.1.fc2",),
    ),
    Architecture(
        "transformers/mixtral",
        _mixtral,
        _text,
        # No module returns the hidden units of the experts: a key-value head and its queries.
        inner=Site("model.layers.0.self_attn.v_proj", 24, heads=3),
        trunk=Site("model.layers.0.self_attn.o_proj", 64, copies_only=True),
        insert="model.layers.0",
        readers=("model.layers.0.self_attn.o_proj",),
        dead=tuple(range(8, 16)),  # the second key-value head, which two query heads read
        columns=tuple(range(16, 32)),
    ),
    Architecture(
        "transformers/vit",
        _vit,
        images(16),
        inner=Site("vit.layers.0.mlp.fc1", 60),
        trunk=Site("vit.layers.0.mlp.fc2", 64, copies_only=True),
        insert="vit.layers.0",
        readers=("vit.layers.0.mlp.fc2",),
    ),
)
