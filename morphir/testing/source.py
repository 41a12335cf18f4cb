"""A recipe as Python source: the interpreter, which is total (TESTING-1).

The source is not a picture of the module, it is how the module is made: `build` runs it. So what a
counterexample prints builds the same module elsewhere, to the bit (TESTING-2).
"""

from __future__ import annotations

from textwrap import indent
from typing import Final

from morphir.testing.draft import Draft, Tensor
from morphir.testing.recipe import Recipe
from morphir.testing.writers import embed, flatten, write

_SHAPES: Final = {"features": (4,), "image": (4, 4, 4), "sequence": (3, 4), "tokens": (3,)}
_RESULTS: Final = 3
_ATTENTION: Final = """
class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        rows, steps, width = x.shape
        split = self.qkv(x).view(rows, steps, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(rows, steps, width))
"""
_FILL: Final = {
    "integers": (
        'low = 1 if name.endswith("running_var") else -2',
        "tensor.copy_(torch.randint(low, 3, tensor.shape))",
    ),
    "random": ('tensor.uniform_(*((0.5, 1.5) if name.endswith("running_var") else (-1.0, 1.0)))',),
    "sparse": (
        'tensor.uniform_(*((0.5, 1.5) if name.endswith("running_var") else (-1.0, 1.0)))',
        "if tensor.dim() > 1 and tensor.shape[1] > 1:",
        "    tensor[:, ::3] = 0",
    ),
}
_SIZES: Final = {
    "features": "torch.randn(rows, 4, generator=generator)",
    "image": "torch.randn(rows, 4, 4, 4, generator=generator)",
    "sequence": "torch.randn(rows, 3, 4, generator=generator)",
    "tokens": "torch.randint(0, 5, (rows, 3), generator=generator)",
}


def to_source(recipe: Recipe) -> str:
    """The module as Python source that needs nothing but torch.

    It defines the class `Net`, `make()`, which builds the module, and `example_inputs(rows, seed)`,
    which draws arguments for each of its entry points.

    Args:
        recipe: The recipe.

    Example:
        >>> from morphir.testing import Recipe, Step, to_source
        >>> print(to_source(Recipe((Step("linear"), Step("tanh"), Step("residual")))))
        import torch
        from torch import nn
        <BLANKLINE>
        <BLANKLINE>
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.linear1 = nn.Linear(4, 4)
                self.tanh1 = nn.Tanh()
                self.head = nn.Linear(4, 3)
        <BLANKLINE>
            def forward(self, x):
                h1 = self.linear1(x)
                h2 = self.tanh1(h1)
                h3 = h2 + x
                return self.head(h3)
        ...
    """
    draft = drafted(recipe)
    setup = [*draft.setup, f"self.head = nn.Linear({draft.tensors[-1].width}, {_RESULTS})"]
    if recipe.value:
        setup.append(f"self.value_head = nn.Linear({draft.tensors[-1].width}, 1)")
    text = "".join(
        [
            _ATTENTION + "\n" if draft.classes else "",
            "\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n",
            indent("\n".join(setup), " " * 8),
            "\n",
            *_methods(recipe, draft),
            *_making(recipe),
        ]
    )
    functional = "from torch.nn import functional as F\n" if "F." in text else ""
    return f"import torch\nfrom torch import nn\n{functional}\n{text}"


def drafted(recipe: Recipe) -> Draft:
    """What the steps write, up to the features that the heads read."""
    draft = Draft([Tensor("x", recipe.inputs, _SHAPES[recipe.inputs])])
    if recipe.inputs == "tokens":
        embed(draft, draft.tensors.pop(), 4)
    for step in recipe.steps:
        x = draft.tensors[-1 - step.source % len(draft.tensors)]
        write(draft, step.op, x, step.number)
    _join(draft)
    return draft


def _join(draft: Draft) -> None:
    """Makes one tensor of features of all that nothing reads."""
    for x in [each for each in draft.tensors if each.name not in draft.read]:
        flatten(draft, x)
    loose = [each for each in draft.tensors if each.name not in draft.read]
    if len(loose) > 1:
        names = ", ".join(each.name for each in loose)
        width = sum(each.width for each in loose)
        draft.write(f"torch.cat([{names}], dim=1)", *loose, kind="features", shape=(width,))


def _methods(recipe: Recipe, draft: Draft) -> list[str]:
    last = draft.tensors[-1].name
    if not recipe.value:
        return [_method("forward", [*draft.body, f"return self.head({last})"])]
    return [
        _method("body", [*draft.body, f"return {last}"]),
        _method("forward", ["return self.head(self.body(x))"]),
        _method("value", ["return self.value_head(self.body(x))"]),
    ]


def _method(name: str, lines: list[str]) -> str:
    return f"\n    def {name}(self, x):\n" + indent("\n".join(lines), " " * 8) + "\n"


def _making(recipe: Recipe) -> list[str]:
    lines = ["with torch.random.fork_rng(devices=[]):"]
    lines += [f"    torch.manual_seed({recipe.seed})", "    net = Net()"]
    if recipe.weights in _FILL:
        lines.append("    for name, tensor in net.state_dict().items():")
        lines.append("        if tensor.is_floating_point():")
        lines += [f"            {line}" for line in _FILL[recipe.weights]]
    cast = "" if recipe.dtype == "float32" else f".to(torch.{recipe.dtype})"
    lines.append(f"return net{cast}")
    cast = "" if recipe.inputs == "tokens" else cast
    inputs = [
        "generator = torch.Generator().manual_seed(seed)",
        f"x = {_SIZES[recipe.inputs]}{cast}",
        f"return {{name: (x,) for name in {list(recipe.entry_points)!r}}}",
    ]
    return [
        "\n\ndef make():\n",
        indent("\n".join(lines), " " * 4),
        "\n\n\ndef example_inputs(rows=3, seed=0):\n",
        indent("\n".join(inputs), " " * 4),
        "\n",
    ]
