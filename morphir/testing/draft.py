"""A module while it is written: statements, and which tensors and layers there are so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, final

Kind = Literal["features", "image", "sequence", "tokens"]
Shape = tuple[int, ...]


@final
@dataclass(frozen=True)
class Tensor:
    """A local variable of the forward.

    Attributes:
        name: Its name.
        kind: What its axes behind the batch mean.
        shape: Their sizes: `(c,)`, `(c, h, w)` of an image, `(t, c)` of a sequence.
        changeable: Whether autograd does not need its numbers, so that they may be changed.
    """

    name: str
    kind: Kind
    shape: Shape
    changeable: bool = False

    @property
    def width(self) -> int:
        """How many features or channels."""
        return self.shape[0] if self.kind == "image" else self.shape[-1]

    @property
    def axis(self) -> int:
        """Which axis they are, the batch counted."""
        return 1 if self.kind == "image" else len(self.shape)

    def of_width(self, width: int) -> Shape:
        """The shape with another number of features."""
        return (width, *self.shape[1:]) if self.kind == "image" else (*self.shape[:-1], width)


@final
@dataclass(frozen=True)
class Layer:
    """A submodule, and how it is called.

    Attributes:
        name: The attribute that holds it.
        call: A call of it, with `{x}` for its operand.
        takes: Kind and shape of its operand.
        kind: Kind of its result.
        shape: Shape of its result.
        linear: Input and output features, of an `nn.Linear`.
    """

    name: str
    call: str
    takes: tuple[Kind, Shape]
    kind: Kind
    shape: Shape
    linear: tuple[int, int] | None = None


@final
@dataclass(eq=False)
class Draft:
    """What was written so far.

    Attributes:
        tensors: The variables, in the order in which they were made.
        layers: The submodules that were called.
        setup: Statements of `__init__`.
        body: Statements of the forward.
        read: Names of the variables that something reads.
        classes: Names of the classes that it uses beside torch's.
    """

    tensors: list[Tensor]
    layers: list[Layer] = field(default_factory=list)
    setup: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)
    _names: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, expression: str) -> str:
        """Writes a submodule; returns its name, which has a number behind it."""
        self._names[name] += 1
        full = f"{name}{self._names[name]}"
        self.setup.append(f"self.{full} = {expression}")
        return full

    def may_change(self, x: Tensor) -> bool:
        """Whether a layer may change a variable in place: nothing needs its numbers."""
        return x.changeable and x.name not in self.read

    def changes_operand(self, layer: Layer) -> bool:
        """Whether a layer that was written changes what it is called on."""
        (made,) = (line for line in self.setup if line.startswith(f"self.{layer.name} = "))
        return "inplace=True" in made and "clone" not in layer.call

    def write(
        self, expression: str, *read: Tensor, kind: Kind, shape: Shape, changeable: bool = False
    ) -> Tensor:
        """Writes a statement that makes a variable."""
        self._names["h"] += 1
        made = Tensor(f"h{self._names['h']}", kind, shape, changeable)
        self.body.append(f"{made.name} = {expression}")
        self.read |= {each.name for each in read}
        self.tensors.append(made)
        return made

    def run(self, layer: Layer, x: Tensor, *, changeable: bool = False) -> Tensor:
        """Writes a call of a submodule that was written."""
        if layer not in self.layers:
            self.layers.append(layer)
        expression = layer.call.format(x=x.name)
        return self.write(expression, x, kind=layer.kind, shape=layer.shape, changeable=changeable)

    def call(
        self,
        name: str,
        expression: str,
        x: Tensor,
        shape: Shape,
        *,
        kind: Kind | None = None,
        how: str = "self.{layer}({x})",
        linear: tuple[int, int] | None = None,
        changeable: bool = False,
    ) -> Tensor:
        """Writes a submodule and a call of it.

        Args:
            name: What to name it after.
            expression: What builds it.
            x: Its operand.
            shape: Shape of its result.
            kind: Kind of its result; by default that of the operand.
            how: How it is called.
            linear: Input and output features, of an `nn.Linear`.
            changeable: Whether autograd does not need the numbers of the result.
        """
        full = self.add(name, expression)
        takes = (x.kind, x.shape)
        layer = Layer(full, how.replace("{layer}", full), takes, kind or x.kind, shape, linear)
        return self.run(layer, x, changeable=changeable)
