"""Scaled dot-product attention."""

from __future__ import annotations

from torch.nn import functional as F

from morphir.ops.axes import Flow, Layout, make_layout
from morphir.ops.base import Instance, Op
from morphir.ops.broadcast import broadcast
from morphir.ops.declare import samples
from morphir.ops.forms import Atom, Axes, Form, multiply


def _attention_rule(instance: Instance) -> Layout:
    """`... T d, ... S d, ... S v -> ... T v`.

    Without `scale=` the width d is fixed, as the scale is read off it. Keys are permuted with their
    values and the mask's last axis. Grouped queries: `(h g)` query heads share the h heads of keys
    and values.
    """
    query, key, value, *mask = instance.shapes
    out = instance.outputs[0]
    lead: list[Form] = [Atom(f"...{k}", size) for k, size in enumerate(out[:-2])]
    few = list(lead)
    if instance["enable_gqa"] and query[-3] != key[-3]:
        heads, group = Atom("h", key[-3]), Atom("g", query[-3] // key[-3])
        lead[-1], few[-1] = multiply([heads, group]), heads
    t, s, d, v = (
        Atom("t", query[-2]),
        Atom("s", key[-2]),
        Atom("d", query[-1]),
        Atom("v", value[-1]),
    )
    flows: dict[Atom, Flow] = {
        t: "fixed" if instance["is_causal"] else "map",
        s: "fixed" if instance["is_causal"] else "norm",
        d: "each" if instance["scale"] is not None else "fixed",
        v: frozenset([2]),
    }

    def axes(heads: list[Form], last: tuple[Atom, Atom], shape: tuple[int, ...]) -> Axes:
        return broadcast([*heads, *last], shape)

    operands = [axes(lead, (t, d), query), axes(few, (s, d), key), axes(few, (s, v), value)]
    operands += [axes(lead, (t, s), shape) for shape in mask]
    return make_layout(operands, [(*lead, t, v)], flows)


OPS = (
    Op(
        name="scaled_dot_product_attention",
        parameters=(
            "query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, "
            "enable_gqa=False"
        ),
        run=F.scaled_dot_product_attention,
        spellings=(F.scaled_dot_product_attention,),
        axes=_attention_rule,
        bounds=lambda a, of: of(a["value"]),
        samples=samples(
            lambda d: (
                {"query": d(2, 3, 4, 5), "key": d(2, 3, 6, 5), "value": d(2, 3, 6, 4)},
                {"query": d(2, 4, 5), "key": d(2, 6, 5), "value": d(2, 6, 4), "scale": 0.5},
                {
                    "query": d(2, 3, 4, 5),
                    "key": d(2, 3, 4, 5),
                    "value": d(2, 3, 4, 5),
                    "is_causal": True,
                },
                {
                    "query": d(2, 3, 4, 5),
                    "key": d(2, 3, 6, 5),
                    "value": d(2, 3, 6, 4),
                    "attn_mask": d(4, 6),
                },
                {
                    "query": d(2, 3, 4, 5),
                    "key": d(2, 3, 6, 5),
                    "value": d(2, 3, 6, 4),
                    "attn_mask": d(2, 1, 1, 6),
                },
                {
                    "query": d(2, 6, 4, 5),
                    "key": d(2, 3, 4, 5),
                    "value": d(2, 3, 4, 5),
                    "enable_gqa": True,
                    "scale": 0.3,
                },
                {
                    "query": d(2, 6, 4, 5),
                    "key": d(2, 3, 7, 5),
                    "value": d(2, 3, 7, 4),
                    "attn_mask": d(6, 4, 7),
                    "enable_gqa": True,
                },
                {
                    "query": d(2, 6, 4, 5),
                    "key": d(2, 3, 7, 5),
                    "value": d(2, 3, 7, 4),
                    "attn_mask": d(2, 1, 1, 7),
                    "enable_gqa": True,
                },
            )
        ),
    ),
)
