"""Directions for fresh units in which their outgoing weights receive a large gradient.

A fresh unit k has incoming weights w_k and outgoing ones a_k = 0. With x what the layer reads, f
the activation and d the gradient of the loss with respect to what the next layer returns, the
gradient of a_k is, summed over the data,

    G(w_k) = sum d f(w_k x)^T  ~  f'(0) M w_k      with  M = sum d x^T

so the right singular vectors of M maximise it, among incoming weights of one length, as far as f is
linear. This is GradMax (Evci et al. 2022, eq. 10) with the layers changed over: there the outgoing
weights are singular vectors and the incoming ones zero, where a ReLU passes no gradient in torch.

    WIDER-4   fresh units start with the right singular vectors of M, as long as the rows that are
              there, with no bias; of v and -v the one for which G is larger on the data; beyond
              the rank of M with random directions
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import torch

from morphir.errors import RefusalError
from morphir.frontend.inputs import given_inputs
from morphir.ir import (
    ZERO,
    Node,
    Program,
    TensorChange,
    Value,
    is_of_train_mode,
)
from morphir.ops import DEFAULT_TABLE
from morphir.ops.replay import evaluate
from morphir.passes.chains import Chains
from morphir.passes.data import Loss, run_on, total_of
from morphir.randomness import derive_seed

Tensors = Mapping[str, torch.Tensor]

_ROUNDING: Final = 1e-6  # singular values that are smaller, relative to the largest, are rounding


@final
@dataclass(frozen=True, eq=False)
class Directions:
    """The incoming numbers of the fresh units of one axis.

    Attributes:
        given: State entry to the numbers of its free positions.
        gain: How large the gradient of their outgoing weights is on the data, relative to that for
            random directions of the same length.
        drawn: How many of them have a random direction, since the data have no more directions.
    """

    given: Tensors
    gain: float
    drawn: int

    def told(self, weight: str) -> Iterator[str]:
        """Says what came of it, for the report."""
        yield (
            f"{weight}: what reads the new units has a gradient {self.gain:.2g} times as large as "
            "for random directions (WIDER-4)"
        )
        if self.drawn:
            count = len(self.given[weight])
            yield (
                f"{weight}: {self.drawn} of the {count} new units have random directions, since "
                f"the gradient on the data has no more than {count - self.drawn}"
            )


@final
@dataclass(frozen=True, eq=False)
class _Run:
    """What one entry point computed on the data.

    Attributes:
        values: Every value.
        slopes: The gradient of the loss with respect to what the reading layers return.
    """

    values: Mapping[Value, torch.Tensor]
    slopes: Mapping[Value, torch.Tensor]


@final
class Search:
    """Looks for the directions of fresh units."""

    def __init__(
        self, program: Program, chains: Chains, tensors: Mapping[str, TensorChange]
    ) -> None:
        """Says for which units.

        Args:
            program: The program.
            chains: How the units are made and read.
            tensors: How every state entry changes.
        """
        self._graphs, self._chains = program.graphs, chains
        self._state: Tensors = {
            key: entry.tensor.detach()
            for key, entry in program.state.items()
            if entry.tensor is not None
        }
        self._change = tensors[chains.weight]
        self._axis = chains.axis[chains.weight]

    def directions(self, data: Any, loss: Loss, seed: int) -> Directions:
        """The incoming numbers of fresh units (WIDER-4).

        Args:
            data: Inputs, in the form of `example_inputs`, of some of the entry points.
            loss: From what an entry point returns to a number; a tuple where it is several tensors.
            seed: Seed of the directions beyond those that the data have.

        Raises:
            RefusalError: The data or the loss do not fit, or no gradient reaches the next layer.
        """
        runs = self._runs(data, loss)
        change = self._change[self._axis]
        count = change.new_size - change.size
        old = self._state[self._chains.weight].movedim(self._axis, 0).flatten(1)
        vectors = self._singular_vectors(runs, old.new_ones(old.shape[1]).diag())
        drawn = _drawn((count, old.shape[1]), derive_seed(seed, self._chains.weight, count)).to(
            vectors
        )
        length = old.double().norm(dim=1).mean()
        found, random = (
            (rows / rows.norm(dim=1, keepdim=True) * length).to(old)
            for rows in (torch.cat([vectors[:count], drawn])[:count], drawn)
        )
        ahead, back = self._sizes(runs, found), self._sizes(runs, -found)
        found = torch.where((ahead >= back)[:, None], found, -found)
        gain = torch.maximum(ahead, back).norm() / self._sizes(runs, random).norm()
        biases = {name: old.new_zeros(count) for name in self._chains.vectors}
        given = {self._chains.weight: self._grown(self._shaped(found)), **biases}
        return Directions(given, float(gain), max(count - len(vectors), 0))

    def _runs(self, data: Any, loss: Loss) -> dict[str, _Run]:
        """Runs the entry points of the data in eval mode, with their gradients."""
        names = [name for name in self._graphs if not is_of_train_mode(name)]
        if isinstance(data, Mapping) and {*data} <= {*names}:
            names = [*data]
        state = {n: t.clone().requires_grad_(t.is_floating_point()) for n, t in self._state.items()}
        found = {}
        for name, arguments in given_inputs(data, names).items():
            graph = self._graphs[name]
            read = [c.last.results[0] for c in self._chains.all if c.graph is graph]
            with torch.enable_grad():
                done = run_on(graph, state, arguments)
                total = total_of(loss, done.outputs, name)
            tensors = [done.values[value] for value in read]
            slopes = torch.autograd.grad(total, tensors, allow_unused=True) if read else ()
            found[name] = _Run(
                {value: tensor.detach() for value, tensor in done.values.items()},
                {v: s for v, s in zip(read, slopes, strict=True) if s is not None},
            )
        return found

    def _singular_vectors(self, runs: Mapping[str, _Run], basis: torch.Tensor) -> torch.Tensor:
        """Those of M on the side of the layer's input, the largest first."""
        matrix = self._gradients(runs, basis, skip=True).T.double()
        if not (matrix.isfinite().all() and matrix.any()):
            raise RefusalError(
                f"no gradient, or none that is finite, reaches what reads the units of "
                f"{self._chains.weight!r} on the data",
                nodes=[self._chains.weight],
                suggestions=["init='fresh', data=None, loss=None", "other data= or loss="],
            )
        _, values, vectors = torch.linalg.svd(matrix, full_matrices=False)
        found: torch.Tensor = vectors[values > values[0] * _ROUNDING]
        return found

    def _sizes(self, runs: Mapping[str, _Run], rows: torch.Tensor) -> torch.Tensor:
        """For each unit with these incoming numbers how large the gradient of its outgoing is."""
        found: torch.Tensor = torch.linalg.vector_norm(self._gradients(runs, rows).double(), dim=1)
        return found

    def _gradients(
        self, runs: Mapping[str, _Run], rows: torch.Tensor, *, skip: bool = False
    ) -> torch.Tensor:
        """The gradients of the outgoing weights of units with these incoming ones, a row for each.

        Args:
            runs: What was computed.
            rows: The incoming weights of each unit.
            skip: Whether to leave out the activations.
        """
        made = dict.fromkeys(self._chains.vectors, rows.new_zeros(len(rows)))
        made[self._chains.weight] = self._shaped(rows)
        outgoing = {n: self._like(n, len(rows)).requires_grad_() for n in self._chains.outgoing}
        totals = []
        with torch.enable_grad():
            for chain in self._chains.all:
                run = runs.get(chain.graph.name)
                slope = None if run is None else run.slopes.get(chain.last.results[0])
                if run is None or slope is None:
                    continue
                value = _computed(chain.first, run.values, {**self._state, **made})
                read = chain.first.results[0]
                for node in chain.between:
                    if not skip:
                        value = _computed(node, {**run.values, read: value}, self._state)
                    read = node.results[0]
                values = {**run.values, read: value}
                result = _computed(chain.last, values, {**self._state, **outgoing})
                totals.append((slope * result).sum())
            if not totals:
                return rows.new_zeros(len(rows), 1)
            every = [*outgoing.values()]
            found = torch.autograd.grad(torch.stack(totals).sum(), every, allow_unused=True)
        return torch.cat(
            [
                gradient.movedim(self._chains.axis[name], 0).flatten(1)
                for name, gradient in zip(outgoing, found, strict=True)
                if gradient is not None
            ],
            1,
        )

    def _like(self, name: str, count: int) -> torch.Tensor:
        """Zeros like a state entry, for so many units."""
        shape = [*self._state[name].shape]
        shape[self._chains.axis[name]] = count
        return self._state[name].new_zeros(shape)

    def _shaped(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows of units in the form of the layer's weight."""
        axis = self._axis
        rest = [each.size for k, each in enumerate(self._change) if k != axis]
        return rows.reshape(len(rows), *rest).movedim(0, axis)

    def _grown(self, weight: torch.Tensor) -> torch.Tensor:
        """The same where other axes of the weight change as well: 0 for units that are new."""
        for axis, each in enumerate(self._change):
            if axis != self._axis and not each.relation.is_identity:
                source = torch.from_numpy(each.relation.source).to(weight.device)
                new = weight.index_select(axis, source.clamp(min=0))
                weight = new.index_fill(axis, (source == ZERO).nonzero().flatten(), 0)
        return weight


def _computed(node: Node, values: Mapping[Value, torch.Tensor], state: Tensors) -> torch.Tensor:
    op = DEFAULT_TABLE.get(node.op)
    assert op is not None
    arguments = {name: evaluate(each, values, state) for name, each in node.arguments.items()}
    result = op.execute(arguments)
    assert isinstance(result, torch.Tensor)
    return result


def _drawn(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.empty(shape, dtype=torch.float64, device="cpu").normal_(generator=generator)
