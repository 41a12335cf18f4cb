"""Models of torchvision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from architectures.base import Architecture, Site, images
from architectures.torchvision_import import import_torchvision

_MODELS = import_torchvision().models


def _build(name: str, **options: object) -> Callable[[], nn.Module]:
    return partial(_MODELS.get_model, name, weights=None, **options)


ARCHITECTURES = (
    Architecture(
        "torchvision/resnet18",
        _build("resnet18"),
        images(32),
        inner=Site("layer2.0.conv1", 160),
        trunk=Site("layer2.1.conv2", 160),
        insert="layer2.1",
        readers=("layer2.0.conv2",),
    ),
    Architecture(
        "torchvision/resnet50",
        _build("resnet50"),
        images(32),
        inner=Site("layer2.1.conv1", 160),
        trunk=Site("layer2.0.conv3", 640),
        insert="layer2.3",
        readers=("layer2.1.conv2",),
    ),
    Architecture(
        "torchvision/mobilenet_v3_small",
        _build("mobilenet_v3_small"),
        images(32),
        inner=Site("features.5.block.0.0", 300),
        trunk=Site("features.5.block.3.0", 50),
        insert="features.5",
        readers=("features.5.block.2.fc1", "features.5.block.3.0"),
    ),
    Architecture(
        "torchvision/efficientnet_b0",
        _build("efficientnet_b0"),
        images(32),
        inner=Site("features.3.1.block.0.0", 300),
        trunk=Site("features.3.0.block.3.0", 50),
        insert="features.4",
        readers=("features.3.1.block.2.fc1", "features.3.1.block.3.0"),
    ),
    Architecture(
        "torchvision/vit_b_16",
        _build("vit_b_16", image_size=32),
        images(32),
        inner=Site("encoder.layers.encoder_layer_5.mlp.0", 3840),
        trunk=Site("encoder.layers.encoder_layer_5.mlp.3", 1536, copies_only=True),
        insert="encoder.layers.encoder_layer_5",
        readers=("encoder.layers.encoder_layer_5.mlp.3",),
    ),
    Architecture(
        "torchvision/swin_t",
        _build("swin_t"),
        images(32),
        inner=Site("features.3.0.mlp.0", 960),
        trunk=Site("features.3.0.mlp.3", 384, copies_only=True),
        insert="features.3.0",
        readers=("features.3.0.mlp.3",),
    ),
    Architecture(
        "torchvision/convnext_tiny",
        _build("convnext_tiny"),
        images(32),
        inner=Site("features.3.0.block.3", 960),
        trunk=Site("features.3.0.block.5", 384, copies_only=True),
        insert="features.3.0",
        readers=("features.3.0.block.5",),
    ),
    Architecture(
        "torchvision/densenet121",
        _build("densenet121"),
        images(32),
        inner=Site("features.denseblock2.denselayer3.conv1", 160),
        trunk=Site("features.transition2.conv", 320),
        insert="features.denseblock2.denselayer3.relu2",
        readers=("features.denseblock2.denselayer3.conv2",),
    ),
    Architecture(
        "torchvision/googlenet",
        _build("googlenet", aux_logits=False, init_weights=False),
        images(32),
        inner=Site("inception4b.branch2.0.conv", 140),
        trunk=Site("inception4a.branch4.1.conv", 80),
        insert="inception4b",
        readers=("inception4b.branch2.1.conv",),
    ),
    Architecture(
        "torchvision/inception_v3",
        _build("inception_v3", aux_logits=False, init_weights=False),
        images(75),
        inner=Site("Mixed_6c.branch7x7_1.conv", 200),
        trunk=Site("Mixed_6b.branch_pool.conv", 240),
        insert="Mixed_6c",
        readers=("Mixed_6c.branch7x7_2.conv",),
    ),
    Architecture(
        "torchvision/vgg11",
        _build("vgg11"),
        images(32),
        inner=Site("features.8", 320),
        trunk=Site("features.18", 640),  # read by the classifier through a flatten of 7 x 7
        insert="features.12",
        readers=("features.11",),
    ),
    Architecture(
        "torchvision/shufflenet_v2_x0_5",
        _build("shufflenet_v2_x0_5"),
        images(32),
        inner=Site("stage3.1.branch2.0", 60),
        trunk=Site("stage3.1.branch2.5", 60),
        insert="stage3.1",
        readers=("stage3.1.branch2.5",),
    ),
    Architecture(
        "torchvision/squeezenet1_1",
        _build("squeezenet1_1"),
        images(32),
        inner=Site("features.7.squeeze", 40),
        trunk=Site("features.6.expand1x1", 160),
        insert="features.7",
        readers=("features.7.expand1x1", "features.7.expand3x3"),
    ),
    Architecture(
        "torchvision/regnet_y_400mf",
        _build("regnet_y_400mf"),
        images(32),
        inner=Site("trunk_output.block2.block2-1.f.a.0", 128),  # 13 groups of 8 become 16
        trunk=Site("trunk_output.block2.block2-0.proj.0", 130),
        insert="trunk_output.block2.block2-1",
        readers=(
            "trunk_output.block2.block2-1.f.se.fc1",
            "trunk_output.block2.block2-1.f.c.0",
        ),
        dead=tuple(range(8, 16)),  # a whole group
    ),
    Architecture(
        "torchvision/deeplabv3_resnet50",
        _build("deeplabv3_resnet50", weights_backbone=None),
        images(32),
        inner=Site("backbone.layer2.1.conv1", 160),
        trunk=Site("backbone.layer2.0.conv3", 640),
        insert="backbone.layer3.1",
        readers=("backbone.layer2.1.conv2",),
    ),
)
