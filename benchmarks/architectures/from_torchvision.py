"""Models of torchvision."""

from __future__ import annotations

from functools import partial

from architectures.base import Site, image_model
from architectures.torchvision_import import import_torchvision

_create = import_torchvision().models.get_model
_model = partial(image_model, "torchvision", partial(_create, weights=None))

ARCHITECTURES = (
    _model(
        "resnet18",
        inner=Site("layer2.0.conv1", 160),
        trunk=Site("layer2.1.conv2", 160),
        insert="layer2.1",
        readers=("layer2.0.conv2",),
    ),
    _model(
        "resnet50",
        inner=Site("layer2.1.conv1", 160),
        trunk=Site("layer2.0.conv3", 640),
        insert="layer2.3",
        readers=("layer2.1.conv2",),
    ),
    _model(
        "mobilenet_v3_small",
        inner=Site("features.5.block.0.0", 300),
        trunk=Site("features.5.block.3.0", 50),
        insert="features.5",
        readers=("features.5.block.2.fc1", "features.5.block.3.0"),
    ),
    _model(
        "efficientnet_b0",
        inner=Site("features.3.1.block.0.0", 300),
        trunk=Site("features.3.0.block.3.0", 50),
        insert="features.4",
        readers=("features.3.1.block.2.fc1", "features.3.1.block.3.0"),
    ),
    _model(
        "vit_b_16",
        options={"image_size": 32},
        inner=Site("encoder.layers.encoder_layer_5.mlp.0", 3840),
        trunk=Site("encoder.layers.encoder_layer_5.mlp.3", 1536, copies_only=True),
        insert="encoder.layers.encoder_layer_5",
        readers=("encoder.layers.encoder_layer_5.mlp.3",),
    ),
    _model(
        "swin_t",
        inner=Site("features.3.0.mlp.0", 960),
        trunk=Site("features.3.0.mlp.3", 384, copies_only=True),
        insert="features.3.0",
        readers=("features.3.0.mlp.3",),
    ),
    _model(
        "convnext_tiny",
        inner=Site("features.3.0.block.3", 960),
        trunk=Site("features.3.0.block.5", 384, copies_only=True),
        insert="features.3.0",
        readers=("features.3.0.block.5",),
    ),
    _model(
        "densenet121",
        inner=Site("features.denseblock2.denselayer3.conv1", 160),
        trunk=Site("features.transition2.conv", 320),
        insert="features.denseblock2.denselayer3.relu2",
        readers=("features.denseblock2.denselayer3.conv2",),
    ),
    _model(
        "googlenet",
        options={"aux_logits": False, "init_weights": False},
        inner=Site("inception4b.branch2.0.conv", 140),
        trunk=Site("inception4a.branch4.1.conv", 80),
        insert="inception4b",
        readers=("inception4b.branch2.1.conv",),
    ),
    _model(
        "inception_v3",
        size=75,
        options={"aux_logits": False, "init_weights": False},
        inner=Site("Mixed_6c.branch7x7_1.conv", 200),
        trunk=Site("Mixed_6b.branch_pool.conv", 240),
        insert="Mixed_6c",
        readers=("Mixed_6c.branch7x7_2.conv",),
    ),
    _model(
        "vgg11",
        inner=Site("features.8", 320),
        trunk=Site("features.18", 640),  # read by the classifier through a flatten of 7 x 7
        insert="features.12",
        readers=("features.11",),
    ),
    _model(
        "shufflenet_v2_x0_5",
        inner=Site("stage3.1.branch2.0", 60),
        trunk=Site("stage3.1.branch2.5", 60),
        insert="stage3.1",
        readers=("stage3.1.branch2.5",),
    ),
    _model(
        "squeezenet1_1",
        inner=Site("features.7.squeeze", 40),
        trunk=Site("features.6.expand1x1", 160),
        insert="features.7",
        readers=("features.7.expand1x1", "features.7.expand3x3"),
    ),
    _model(
        "regnet_y_400mf",
        inner=Site("trunk_output.block2.block2-1.f.a.0", 128),  # 13 groups of 8 become 16
        trunk=Site("trunk_output.block2.block2-0.proj.0", 130),
        insert="trunk_output.block2.block2-1",
        readers=(
            "trunk_output.block2.block2-1.f.se.fc1",
            "trunk_output.block2.block2-1.f.c.0",
        ),
        dead=tuple(range(8, 16)),  # a whole group
    ),
    _model(
        "deeplabv3_resnet50",
        options={"weights_backbone": None},
        inner=Site("backbone.layer2.1.conv1", 160),
        trunk=Site("backbone.layer2.0.conv3", 640),
        insert="backbone.layer3.1",
        readers=("backbone.layer2.1.conv2",),
    ),
)
