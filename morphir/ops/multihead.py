"""Multi-head attention as one call: projections, heads and all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, final

from torch.nn import functional as F

from morphir.ops.axes import Dimension, Flow, Layout, SizeRule, make_layout
from morphir.ops.base import Instance, Op
from morphir.ops.broadcast import nothing_moves
from morphir.ops.declare import Draw, samples
from morphir.ops.forms import Atom, Axes, multiply


@final
class _Names:
    """The atoms of one call, and the axes of its operands by the names of the parameters."""

    def __init__(self, instance: Instance) -> None:
        query, key, value, *_ = instance.shapes
        self.heads = Atom("h", instance["num_heads"])
        self.width = Atom("Width", query[-1] // self.heads.size)  # of a head
        self.embedding = self.key = self.value = Atom("e", query[-1])
        if instance["use_separate_proj_weight"]:
            self.key, self.value = Atom("k", key[-1]), Atom("v", value[-1])
        self.batch = (Atom("b", query[1]),) if len(query) == 3 else ()
        self.target, self.source = Atom("Target", query[0]), Atom("Source", key[0])
        self.out = Atom("f", instance.outputs[0][-1])
        self.inner = multiply([self.heads, self.width])
        self.three, self.one = Atom("Three", 3), Atom("One", 1)
        packed = multiply([self.three, self.heads, self.width])
        added = (self.one, self.one, self.inner)
        rows = multiply([*self.batch, self.heads])
        mask = instance["attn_mask"]
        self.axes: dict[str, Axes] = {
            "query": (self.target, *self.batch, self.embedding),
            "key": (self.source, *self.batch, self.key),
            "value": (self.source, *self.batch, self.value),
            "in_proj_weight": (packed, self.embedding),
            "in_proj_bias": (packed,),
            "bias_k": added,
            "bias_v": added,
            "out_proj_weight": (self.out, self.inner),
            "out_proj_bias": (self.out,),
            "key_padding_mask": (*self.batch, self.source),
            "attn_mask": (
                *((rows,) if mask is not None and len(mask.shape) == 3 else ()),
                self.target,
                self.source,
            ),
            "q_proj_weight": (self.inner, self.embedding),
            "k_proj_weight": (self.inner, self.key),
            "v_proj_weight": (self.inner, self.value),
        }
        self.fixed = (self.width, self.three, self.target, self.source, self.one)
        self._places = {str(path[0]): index for index, (path, _) in enumerate(instance.operands)}

    @property
    def operands(self) -> list[Axes]:
        """The axes of the operands that are there."""
        return [self.axes[name] for name in self._places]

    def last(self, *names: str) -> frozenset[Dimension]:
        """The last dimensions of some operands, as far as they are there."""
        found = [(self._places[n], len(self.axes[n]) - 1) for n in names if n in self._places]
        return frozenset(found)


def _multihead_rule(instance: Instance) -> Layout:
    """Queries of width e, projected to h heads of one width and back to any width f.

    In the packed form `... T e, ... S e, ... S e, (3 h d) e, (3 h d), f (h d), f -> ... T f`.
    Torch demands that e = h * d, so heads and width can only change together; d is fixed, as the
    scale is read off it. A unit of e is split in the weights, or in all that they are applied to.
    Heads are copied into the softmax and split in the last projection. Where the attention weights
    are returned as a mean over heads, all heads have to be copied equally often. Dropout has the
    axes of what it drops.
    """
    if instance["static_k"] is not None or instance["static_v"] is not None:
        return nothing_moves(instance)
    names = _Names(instance)
    heads, average = names.heads, instance["average_attn_weights"]
    flows: dict[Atom, Flow] = {
        heads: (names.last("out_proj_weight"),),
        names.out: "lin",
        **dict.fromkeys(names.batch, "map"),
        **dict.fromkeys(names.fixed, "fixed"),
    }
    if names.key is names.embedding:
        inputs = names.last("query", "key", "value")
        flows[names.embedding] = (names.last("in_proj_weight"), inputs)
    else:
        projected = (names.embedding, "query"), (names.key, "key"), (names.value, "value")
        for atom, name in projected:
            flows[atom] = (names.last(f"{name[0]}_proj_weight"), names.last(name))
    outputs: list[Axes] = [(names.target, *names.batch, names.out)]
    for shape in instance.outputs[1:]:
        rows = () if average else (heads,)
        outputs.append((*names.batch, *rows, names.target, Atom("Attended", shape[-1])))
    numbers = ("num_heads", heads), ("embed_dim_to_check", names.embedding)
    sizes = [SizeRule((name,), atom) for name, atom in numbers]
    ties = [(names.embedding, names.inner)]
    layout = make_layout(names.operands, outputs, flows, sizes, ties)
    if len(outputs) == 1 or not average:
        return layout
    role = replace(layout.roles[heads], maps="equal")
    return replace(layout, roles={**layout.roles, heads: role})


def _draws(d: Draw) -> Iterable[dict[str, Any]]:
    """Calls with 2 heads of width 3 on 4 queries and 5 keys of 2 examples."""
    e, rest = 6, {"bias_k": None, "bias_v": None, "add_zero_attn": False, "dropout_p": 0.0}
    proj: dict[str, Any] = {"out_proj_weight": d(5, e), "out_proj_bias": d(5), **rest}
    size = {"embed_dim_to_check": e, "num_heads": 2}
    packed = {"in_proj_weight": d(3 * e, e), "in_proj_bias": d(3 * e), **proj, **size}
    across = {"query": d(4, 2, e), "key": d(5, 2, e), "value": d(5, 2, e), **packed}
    yield across
    yield {**across, "need_weights": False, "in_proj_bias": None, "out_proj_bias": None}
    yield {**across, "average_attn_weights": False, "key_padding_mask": d(2, 5)}
    yield {**across, "attn_mask": d(4, 5), "need_weights": False, "training": False}
    yield {**across, "attn_mask": d(4, 4, 5), "need_weights": False}
    yield {**across, "bias_k": d(1, 1, e), "bias_v": d(1, 1, e), "add_zero_attn": True}
    x = d(4, e)
    yield {**packed, "query": x, "key": x, "value": x, "attn_mask": d(2, 4, 4)}
    yield {
        **{**across, "key": d(5, 2, 3), "value": d(5, 2, 4), "in_proj_weight": None},
        "use_separate_proj_weight": True,
        "q_proj_weight": d(e, e),
        "k_proj_weight": d(e, 3),
        "v_proj_weight": d(e, 4),
        "need_weights": False,
    }
    yield {**across, "static_k": d(4, 5, 3), "need_weights": False}


OPS = (
    Op(
        name="multi_head_attention",
        parameters=(
            "query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, "
            "bias_k, bias_v, add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, "
            "training=True, key_padding_mask=None, need_weights=True, attn_mask=None, "
            "use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, "
            "v_proj_weight=None, static_k=None, static_v=None, average_attn_weights=True, "
            "is_causal=False"
        ),
        run=F.multi_head_attention_forward,
        spellings=(F.multi_head_attention_forward,),
        axes=_multihead_rule,
        samples=samples(_draws),
    ),
)
