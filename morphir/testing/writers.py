"""What each op writes: a function of the draft, the tensor, and the step's number.

A writer that does not fit its tensor writes nothing. What it derives from the tensor (heads,
groups, widths) is legal whatever the tensor is: that is why every recipe is a module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Final

from morphir.testing.draft import Draft, Tensor
from morphir.testing.recipe import ACTIVATIONS

Writer = Callable[[Draft, Tensor, int], object]

_WIDTHS: Final = (0, 8, 0, 6, 0, 3, 4, 1)  # 0 stands for the width that there is
_WIDEST: Final = 48
_VOCABULARY: Final = 5
_CHANNELS_FIRST: Final[Mapping[str, str]] = {
    "features": "self.{layer}({x})",
    "image": "self.{layer}({x})",
    "sequence": "self.{layer}({x}.mT).mT",
}
_CLASSES: Final[Mapping[str, str]] = {
    "relu": "nn.ReLU()",
    "gelu": "nn.GELU()",
    "tanh": "nn.Tanh()",
    "silu": "nn.SiLU()",
    "leaky_relu": "nn.LeakyReLU()",
    "elu": "nn.ELU()",
    "sigmoid": "nn.Sigmoid()",
    "hardtanh": "nn.Hardtanh()",
}
_IN_PLACE: Final = ("relu", "leaky_relu", "elu", "hardtanh")


def write(draft: Draft, op: str, x: Tensor, number: int) -> None:
    """Writes one step.

    Args:
        draft: What was written so far.
        op: The op.
        x: The tensor that it takes.
        number: What else there is to choose.
    """
    _WRITERS[op](draft, x, number)


def flatten(draft: Draft, x: Tensor, number: int = 0) -> None:
    """Makes features of an image or a sequence."""
    if x.kind != "features":
        draft.write(f"{x.name}.flatten(1)", x, kind="features", shape=(prod(x.shape),))


def _width(x: Tensor, number: int) -> int:
    return _WIDTHS[number % len(_WIDTHS)] or min(x.width, _WIDEST)


def _bias(number: int) -> str:
    return "" if number < len(_WIDTHS) else ", bias=False"


def _linear(draft: Draft, x: Tensor, number: int) -> Tensor:
    width = _width(x, number)
    if x.kind == "image":
        layer = f"nn.Conv2d({x.width}, {width}, 1{_bias(number)})"
        return draft.call("conv", layer, x, x.of_width(width), changeable=True)
    layer = f"nn.Linear({x.width}, {width}{_bias(number)})"
    linear = (x.width, width)
    return draft.call("linear", layer, x, x.of_width(width), linear=linear, changeable=True)


def _tied(draft: Draft, x: Tensor, number: int) -> None:
    """A layer with the weight of an earlier one; or the embedding as a head."""
    if x.kind == "image" or x.width > _WIDEST:
        return
    embedding = next((each for each in draft.layers if each.name.startswith("embedding")), None)
    if embedding is not None and embedding.shape[-1] == x.width and number % 4 < 3:
        weight = f"self.{embedding.name}.weight"
        draft.write(f"F.linear({x.name}, {weight})", x, kind=x.kind, shape=x.of_width(_VOCABULARY))
        return
    fitting = [each for each in draft.layers if each.linear and each.linear[0] == x.width]
    if not fitting:
        x = _linear(draft, x, 0)
        fitting = draft.layers[-1:]
    other = fitting[number % len(fitting)]
    layer = f"nn.Linear({x.width}, {other.shape[-1]})"
    draft.call("linear", layer, x, x.of_width(other.shape[-1]), linear=other.linear)
    draft.setup.append(f"self.{draft.layers[-1].name}.weight = self.{other.name}.weight")


def _activation(draft: Draft, x: Tensor, number: int, *, op: str) -> None:
    """A module, a function, or a module that changes its operand, or a copy if others need it."""
    form = ("module", "function", "in place")[number % 3]
    if op == "prelu":
        draft.call(op, f"nn.PReLU({x.width if x.kind != 'sequence' else 1})", x, x.shape)
    elif form == "function":
        package = "torch" if op in ("tanh", "sigmoid") else "F"
        draft.write(f"{package}.{op}({x.name})", x, kind=x.kind, shape=x.shape)
    elif form == "in place" and op in _IN_PLACE:
        layer = _CLASSES[op].replace("()", "(inplace=True)")
        how = "self.{layer}({x})" if draft.may_change(x) else "self.{layer}({x}.clone())"
        draft.call(op, layer, x, x.shape, how=how)
    else:
        draft.call(op, _CLASSES[op], x, x.shape)


def _alike(x: Tensor, y: Tensor) -> bool:
    return (x.kind, x.shape) == (y.kind, y.shape)


def _partner(draft: Draft, x: Tensor, number: int) -> Tensor:
    """Another tensor of the same shape; where there is none, a layer makes one."""
    others = [each for each in draft.tensors if each != x and _alike(each, x)]
    if not others:
        others = [x if x.width > _WIDEST else _linear(draft, x, 0)]
    return others[number % len(others)]


def _residual(draft: Draft, x: Tensor, number: int) -> None:
    y = _partner(draft, x, number)
    draft.write(f"{x.name} + {y.name}", x, y, kind=x.kind, shape=x.shape)


def _gate(draft: Draft, x: Tensor, number: int) -> None:
    y = _partner(draft, x, number)
    draft.write(f"{x.name} * {y.name}.sigmoid()", x, y, kind=x.kind, shape=x.shape)


def _cat(draft: Draft, x: Tensor, number: int) -> None:
    others = [y for y in draft.tensors if y.kind == x.kind and _alike(y, _resized(x, y.width))]
    y = others[number % len(others)]
    width = x.width + y.width
    if width <= _WIDEST:
        operands = f"[{x.name}, {y.name}], dim={x.axis}"
        draft.write(f"torch.cat({operands})", x, y, kind=x.kind, shape=x.of_width(width))


def _resized(x: Tensor, width: int) -> Tensor:
    return Tensor(x.name, x.kind, x.of_width(width))


def _chunk(draft: Draft, x: Tensor, number: int) -> None:
    if x.width % 2 == 0:
        for part in (0, 1) if number % 2 else (1, 0):
            chunk = f"{x.name}.chunk(2, dim={x.axis})[{part}]"
            draft.write(chunk, x, kind=x.kind, shape=x.of_width(x.width // 2))


def _shared(draft: Draft, x: Tensor, number: int) -> None:
    """One more call of a layer that was called before."""
    fitting = [
        layer
        for layer in draft.layers
        if layer.takes == (x.kind, x.shape)
        and (draft.may_change(x) or not draft.changes_operand(layer))
    ]
    if fitting:
        draft.run(fitting[number % len(fitting)], x)


def _freeze(draft: Draft, x: Tensor, number: int) -> None:
    """Takes a layer out of training."""
    if draft.layers:
        name = draft.layers[number % len(draft.layers)].name
        line = f"self.{name}.requires_grad_(False)"
        if line not in draft.setup:
            draft.setup.append(line)


def _dropout(draft: Draft, x: Tensor, number: int) -> None:
    kind = "nn.Dropout2d(0.25)" if x.kind == "image" and number % 2 else "nn.Dropout(0.25)"
    draft.call("dropout", kind, x, x.shape)


def _batch_norm(draft: Draft, x: Tensor, number: int) -> None:
    if x.kind != "sequence":
        dims = 2 if x.kind == "image" else 1
        draft.call("norm", f"nn.BatchNorm{dims}d({x.width})", x, x.shape, changeable=True)


def _layer_norm(draft: Draft, x: Tensor, number: int) -> None:
    layer = f"nn.GroupNorm(1, {x.width})" if x.kind == "image" else f"nn.LayerNorm({x.width})"
    draft.call("norm", layer, x, x.shape, changeable=True)


def _group_norm(draft: Draft, x: Tensor, number: int) -> None:
    if x.width > 1:
        groups = next((g for g in (2, 3) if x.width % g == 0 and x.width > g), 1)
        layer = f"nn.GroupNorm({groups}, {x.width})"
        draft.call("norm", layer, x, x.shape, how=_CHANNELS_FIRST[x.kind])


def _conv(draft: Draft, x: Tensor, number: int, *, groups: str = "one") -> None:
    """A convolution over the pixels of an image, or over the steps of a sequence."""
    if x.kind == "features":
        return
    width, count = _width(x, number), 1
    if groups != "one":
        count = x.width if groups == "every" or x.width % 2 else 2
        width = count * (1 + number % 3)
    if width > _WIDEST:
        return
    options = f"padding=1, groups={count}" if count > 1 else "padding=1"
    dims = 1 if x.kind == "sequence" else 2
    layer = f"nn.Conv{dims}d({x.width}, {width}, 3, {options}{_bias(number)})"
    draft.call("conv", layer, x, x.of_width(width), how=_CHANNELS_FIRST[x.kind], changeable=True)


def _pool(draft: Draft, x: Tensor, number: int) -> None:
    if x.kind == "sequence":
        draft.write(f"{x.name}.mean(1)", x, kind="features", shape=(x.width,))
    elif x.kind == "image" and x.shape[1] > 1:
        layer = "nn.MaxPool2d(2)" if number % 2 else "nn.AvgPool2d(2)"
        draft.call("pool", layer, x, (x.width, x.shape[1] // 2, x.shape[2] // 2))


def _block(draft: Draft, x: Tensor, number: int) -> None:
    """Two layers in an `nn.Sequential`, which may be another shape of the same features."""
    if x.kind != "image":
        hidden = _width(x, number)
        act = ("nn.ReLU()", "nn.GELU()", "nn.Tanh()")[number % 3]
        layers = f"nn.Linear({x.width}, {hidden}), {act}, nn.Linear({hidden}, {x.width})"
        draft.call("block", f"nn.Sequential({layers})", x, x.shape)


def _attention(draft: Draft, x: Tensor, number: int) -> None:
    if x.kind != "sequence":
        return
    heads = 2 if x.width % 2 == 0 else 1
    if number % 2:
        draft.classes.add("Attention")
        draft.call("attention", f"Attention({x.width}, {heads})", x, x.shape)
        return
    layer = f"nn.MultiheadAttention({x.width}, {heads}, batch_first=True)"
    how = "self.{layer}({x}, {x}, {x}, need_weights=False)[0]"
    draft.call("attention", layer, x, x.shape, how=how)


def _recurrent(draft: Draft, x: Tensor, number: int) -> None:
    if x.kind == "sequence":
        kind, width = ("LSTM", "GRU")[number % 2], _width(x, number // 2)
        layer = f"nn.{kind}({x.width}, {width}, batch_first=True)"
        draft.call("recurrent", layer, x, x.of_width(width), how="self.{layer}({x})[0]")


def _cell(draft: Draft, x: Tensor, number: int) -> None:
    if x.kind == "features":
        width = _width(x, number // 2)
        kind, how = (("GRU", ""), ("LSTM", "[0]"))[number % 2]
        layer = f"nn.{kind}Cell({x.width}, {width})"
        draft.call("cell", layer, x, (width,), how="self.{layer}({x})" + how)


def embed(draft: Draft, tokens: Tensor, width: int) -> None:
    """Makes a sequence of features of tokens."""
    shape = (*tokens.shape, width)
    layer = f"nn.Embedding({_VOCABULARY}, {width})"
    draft.call("embedding", layer, tokens, shape, kind="sequence")


_WRITERS: Final[Mapping[str, Writer]] = {
    "linear": _linear,
    **{op: partial(_activation, op=op) for op in ACTIVATIONS},
    "residual": _residual,
    "gate": _gate,
    "cat": _cat,
    "chunk": _chunk,
    "shared": _shared,
    "tied": _tied,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "dropout": _dropout,
    "freeze": _freeze,
    "block": _block,
    "conv": _conv,
    "grouped_conv": partial(_conv, groups="two"),
    "depthwise_conv": partial(_conv, groups="every"),
    "pool": _pool,
    "flatten": flatten,
    "attention": _attention,
    "recurrent": _recurrent,
    "cell": _cell,
}
