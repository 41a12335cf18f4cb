"""Normalisation layers."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from morphir.ops.axes import Flow, Layout, make_layout
from morphir.ops.base import AxisRule, Instance, Op, Spelling
from morphir.ops.broadcast import along, broadcast, plain
from morphir.ops.declare import Draw, samples
from morphir.ops.forms import Atom


def _normalized_rule(operands: int) -> AxisRule:
    """`... c, c, c -> ... c | stat c` for as many axes as are normalised."""

    def rule(instance: Instance) -> str:
        names = [f"c{k}" for k in range(len(instance["normalized_shape"]))]
        axes = " ".join(names)
        sizes = "; ".join(f"{name} = normalized_shape[{k}]" for k, name in enumerate(names))
        return f"... {axes}{f', {axes}' * operands} -> ... {axes} | stat {axes}; {sizes}"

    return rule


def _batch_norm_rule(instance: Instance) -> str:
    """Per channel; a batch in train mode accepts permutations: its variance divides by n - 1."""
    text = "b c ..., c, c, c, c -> b c ..."
    return f"{text} | norm b ..." if instance["training"] else text


def _instance_norm_rule(instance: Instance) -> str:
    text = "b c ..., c, c, c, c -> b c ..."
    return f"{text} | norm ..." if instance["use_input_stats"] else text


def _weight_norm_rule(instance: Instance) -> Layout:
    """`v / |v| * g`, with a norm for each unit of `dim`: linear in g there, a norm of the rest."""
    atoms = plain(instance.shapes[0])
    flows: dict[Atom, Flow] = dict.fromkeys(atoms, "norm")
    if instance["dim"] >= 0:
        flows[atoms[instance["dim"]]] = frozenset([1])
    return make_layout([atoms, broadcast(atoms, instance.shapes[1])], [atoms], flows)


def _statistics(draw: Draw, channels: int) -> dict[str, torch.Tensor]:
    return {"running_mean": draw(channels), "running_var": draw.positive(channels)}


def _affine(draw: Draw, channels: int) -> dict[str, torch.Tensor]:
    return {"weight": draw(channels), "bias": draw(channels)}


OPS = (
    Op(
        name="batch_norm",
        parameters=(
            "input, running_mean, running_var, weight=None, bias=None, "
            "training=False, momentum=0.1, eps=1e-05"
        ),
        run=F.batch_norm,
        spellings=(
            F.batch_norm,
            Spelling(
                torch.batch_norm,
                "input, weight, bias, running_mean, running_var, training, momentum, eps, "
                "-cudnn_enabled",
            ),
        ),
        axes=_batch_norm_rule,
        samples=samples(
            lambda d: (
                {"input": d(4, 3), **_statistics(d, 3), **_affine(d, 3)},
                {"input": d(2, 3, 4, 4), **_statistics(d, 3), **_affine(d, 3)},
                {"input": d(2, 3, 4), **_statistics(d, 3)},
                {"input": d(4, 3, 2), "running_mean": None, "running_var": None, "training": True},
                {"input": d(2, 1, 4), **_statistics(d, 1), **_affine(d, 1), "training": True},
            )
        ),
    ),
    Op(
        name="instance_norm",
        parameters=(
            "input, running_mean=None, running_var=None, weight=None, bias=None, "
            "use_input_stats=True, momentum=0.1, eps=1e-05"
        ),
        run=F.instance_norm,
        spellings=(F.instance_norm,),
        axes=_instance_norm_rule,
        samples=samples(
            lambda d: (
                {"input": d(2, 3, 4)},
                {"input": d(2, 3, 4, 4), **_affine(d, 3)},
                {"input": d(2, 3, 4), **_statistics(d, 3), "use_input_stats": False},
            )
        ),
    ),
    Op(
        name="layer_norm",
        parameters="input, weight=None, bias=None, normalized_shape, eps=1e-05",
        run=F.layer_norm,
        spellings=(
            Spelling(F.layer_norm, "input, normalized_shape, weight=None, bias=None, eps=1e-05"),
            Spelling(
                torch.layer_norm,
                "input, normalized_shape, weight=None, bias=None, eps=1e-05, -cudnn_enable=True",
            ),
        ),
        axes=_normalized_rule(2),
        samples=samples(
            lambda d: (
                {"input": d(3, 4), **_affine(d, 4), "normalized_shape": (4,)},
                {"input": d(2, 3, 4), "normalized_shape": (4,)},
                {"input": d(2, 3, 4), "weight": d(4), "normalized_shape": (4,), "eps": 0.1},
                {
                    "input": d(2, 3, 4),
                    "weight": d(3, 4),
                    "bias": d(3, 4),
                    "normalized_shape": (3, 4),
                },
            )
        ),
    ),
    Op(
        name="rms_norm",
        parameters="input, weight=None, normalized_shape, eps=None",
        run=F.rms_norm,
        spellings=(
            Spelling(F.rms_norm, "input, normalized_shape, weight=None, eps=None"),
            Spelling(torch.rms_norm, "input, normalized_shape, weight=None, eps=None"),
        ),
        axes=_normalized_rule(1),
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "weight": d(4), "normalized_shape": (4,)},
                {"input": d(2, 3, 4), "normalized_shape": (3, 4), "eps": 0.1},
            )
        ),
    ),
    Op(
        name="group_norm",
        parameters="input, weight=None, bias=None, num_groups, eps=1e-05",
        run=F.group_norm,
        spellings=(
            Spelling(F.group_norm, "input, num_groups, weight=None, bias=None, eps=1e-05"),
            Spelling(
                torch.group_norm,
                "input, num_groups, weight=None, bias=None, eps=1e-05, -cudnn_enabled=True",
            ),
        ),
        axes="b (g c) ..., (g c), (g c) -> b (g c) ... | stat c ...; g = num_groups",
        samples=samples(
            lambda d: (
                {"input": d(2, 6, 3), **_affine(d, 6), "num_groups": 3},
                {"input": d(2, 6), **_affine(d, 6), "num_groups": 2},
                {"input": d(2, 4, 2, 2), "num_groups": 1},
            )
        ),
    ),
    Op(
        name="local_response_norm",
        parameters="input, size, alpha=0.0001, beta=0.75, k=1.0",
        run=F.local_response_norm,
        spellings=(F.local_response_norm,),
        axes="b C ... -> b C ...",
        samples=samples(lambda d: ({"input": d(2, 5, 4), "size": 3, "alpha": 0.5},)),
    ),
    Op(
        name="weight_norm",
        parameters="v, g, dim=0",
        run=torch._weight_norm,
        spellings=(torch._weight_norm,),
        axes=_weight_norm_rule,
        samples=samples(
            lambda d: (
                {"v": d(3, 4), "g": d(3, 1)},
                {"v": d(3, 4, 2), "g": d(1, 4, 1), "dim": 1},
                {"v": d(3, 4), "g": d(), "dim": -1},
            )
        ),
    ),
    Op(
        name="normalize",
        parameters="input, p=2.0, dim=1, eps=1e-12",
        run=F.normalize,
        spellings=(Spelling(F.normalize, "input, p=2.0, dim=1, eps=1e-12, !out=None"),),
        axes=along("norm"),
        keeps_zero=True,
        samples=samples(lambda d: ({"input": d(3, 4)}, {"input": d(2, 3, 4), "p": 1.0, "dim": -1})),
    ),
)
