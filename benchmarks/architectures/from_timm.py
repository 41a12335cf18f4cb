"""Models of timm."""

from __future__ import annotations

from functools import partial

from architectures.base import Site, image_model
from architectures.torchvision_import import import_torchvision

import_torchvision()  # timm imports it

import timm  # noqa: E402

_model = partial(image_model, "timm", partial(timm.create_model, pretrained=False))

ARCHITECTURES = (
    _model(
        "resnet50",
        inner=Site("layer2.1.conv1", 160),
        trunk=Site("layer2.0.conv3", 640),
        insert="layer2.3",
        readers=("layer2.1.conv2",),
    ),
    _model(
        "vit_base_patch16_224",
        options={"img_size": 32},
        inner=Site("blocks.5.mlp.fc1", 3840),
        trunk=Site("blocks.5.mlp.fc2", 1536, copies_only=True),
        insert="blocks.5",
        readers=("blocks.5.mlp.fc2",),
    ),
    _model(
        "convnext_tiny",
        inner=Site("stages.1.blocks.0.mlp.fc1", 960),
        trunk=Site("stages.1.blocks.0.mlp.fc2", 384, copies_only=True),
        insert="stages.1.blocks.0",
        readers=("stages.1.blocks.0.mlp.fc2",),
    ),
    _model(
        "mobilenetv3_small_100",
        inner=Site("blocks.2.1.conv_pw", 300),
        trunk=Site("blocks.2.0.conv_pwl", 50),
        insert="blocks.2.1",
        readers=("blocks.2.1.se.conv_reduce", "blocks.2.1.conv_pwl"),
    ),
    _model(
        "efficientnet_b0",
        inner=Site("blocks.2.1.conv_pw", 300),
        trunk=Site("blocks.2.0.conv_pwl", 50),
        insert="blocks.3",
        readers=("blocks.2.1.se.conv_reduce", "blocks.2.1.conv_pwl"),
    ),
    _model(
        "swin_tiny_patch4_window7_224",
        options={"img_size": 32},
        inner=Site("layers.1.blocks.0.mlp.fc1", 960),
        trunk=Site("layers.1.blocks.0.mlp.fc2", 384, copies_only=True),
        insert="layers.1.blocks.0",
        readers=("layers.1.blocks.0.mlp.fc2",),
    ),
    _model(
        "mixer_s32_224",
        size=64,
        options={"img_size": 64},
        inner=Site("blocks.3.mlp_channels.fc1", 2560),
        trunk=Site("blocks.3.mlp_channels.fc2", 1024, copies_only=True),
        insert="blocks.3",
        readers=("blocks.3.mlp_channels.fc2",),
    ),
    _model(
        "regnety_002",
        inner=Site("s3.b2.conv1.conv", 192),  # 19 groups of 8 become 24
        trunk=Site("s3.b1.downsample.conv", 190),
        insert="s3.b2",
        readers=("s3.b2.se.fc1", "s3.b2.conv3.conv"),
        dead=tuple(range(8, 16)),  # a whole group
    ),
    _model(
        "deit3_small_patch16_224",
        options={"img_size": 32},
        inner=Site("blocks.5.mlp.fc1", 1920),
        trunk=Site("blocks.5.mlp.fc2", 768, copies_only=True),
        insert="blocks.5",
        readers=("blocks.5.mlp.fc2",),
    ),
    _model(
        "coatnet_0_rw_224",
        options={"img_size": 32},
        inner=Site("stages.1.blocks.1.conv1_1x1", 960),
        trunk=Site("stages.2.blocks.0.mlp.fc2", 768, copies_only=True),
        insert="stages.2.blocks.1",
        readers=("stages.1.blocks.1.se_early.fc1", "stages.1.blocks.1.conv3_1x1"),
    ),
    _model(
        "xcit_nano_12_p16_224",
        inner=Site("blocks.5.mlp.fc1", 640),
        trunk=Site("blocks.5.mlp.fc2", 256, copies_only=True),
        insert="blocks.5",
        readers=("blocks.5.mlp.fc2",),
    ),
    _model(
        "densenet121",
        inner=Site("features.denseblock2.denselayer3.conv1", 160),
        trunk=Site("features.transition2.conv", 320),
        insert="features.denseblock2.denselayer3.norm2",
        readers=("features.denseblock2.denselayer3.conv2",),
    ),
)
