"""Finds which sizes are the batch size by recording twice.

FRONT-3   a dimension is symbolic only if two recordings, at two batch sizes, gave the same graph
          and its sizes are the same multiple of the two batch sizes
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import torch

from morphir.frontend.importer import retype
from morphir.frontend.recording import Recording
from morphir.ir import Batch, Dim, Graph, TensorType, Value, print_graph
from morphir.tensors import map_tensors, tensors_in


def batch_size(arguments: Any) -> int:
    """The first size of the first tensor with a dimension, or 0 without one."""
    sizes = (tensor.shape[0] for _, tensor in tensors_in(arguments) if tensor.dim() > 0)
    return next((int(size) for size in sizes if size > 0), 0)


def another_batch(arguments: Any, size: int, *, rescale: bool) -> Any:
    """The same arguments with one more row and, with `rescale`, other numbers.

    Every tensor whose first size is `size` gets its first row again at the end. Floating-point
    elements are scaled by random factors between 1/2 and 1, so that zeros stay zero and signs stay
    signs.
    """
    generator = torch.Generator().manual_seed(0)

    def extend(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 0 or tensor.shape[0] != size:
            return tensor
        longer = torch.cat([tensor, tensor[:1]])
        if rescale and longer.is_floating_point():
            factors = 0.5 + 0.5 * torch.rand(longer.shape, generator=generator)
            longer = longer * factors.to(longer)
        return longer

    return map_tensors(arguments, extend)


def merge(first: Graph, second: Graph, sizes: tuple[int, int]) -> Graph | str:
    """Joins two recordings of one entry point; sizes are symbolic where they follow the batch.

    Returns:
        The joined graph, or the first difference in words.
    """
    texts = [print_graph(g, sources=False, types=False).split("\n") for g in (first, second)]
    for one, other in zip_longest(*texts, fillvalue="nothing more"):
        if one != other:
            return f"`{one.strip()}` became `{other.strip()}`"
    types: dict[Value, TensorType | None] = {}
    for a, b in zip(_values(first), _values(second), strict=True):
        merged = _merge_types(a.type, b.type, sizes)
        if isinstance(merged, str):
            return merged
        if merged != a.type:
            types[a] = merged
    return retype(first, types) if types else first


def _values(graph: Graph) -> Iterator[Value]:
    yield from graph.inputs
    for node in graph.nodes:
        yield from node.outputs


def _merge_types(
    a: TensorType | None, b: TensorType | None, sizes: tuple[int, int]
) -> TensorType | str | None:
    if a is None or b is None:
        return None
    if a.dtype != b.dtype or len(a.shape) != len(b.shape):
        return f"a value of type {a} became {b}"
    dims: list[Dim] = []
    for one, other in zip(a.shape, b.shape, strict=True):
        multiple = int(str(one)) // sizes[0] if isinstance(one, int) else 0
        if one == other:
            dims.append(one)
        elif multiple and (multiple * sizes[0], multiple * sizes[1]) == (one, other):
            dims.append(Batch(multiple))
        else:
            return f"a value of type {a} became {b}, which no multiple of the batch size explains"
    return TensorType(a.dtype, tuple(dims))


def constant_difference(first: Recording, second: Recording) -> str:
    """In words, the first constant that two recordings do not share, or "" when they share all."""
    if first.constants != second.constants:
        return "other constants were read"
    for name in first.constants:
        a, b = first.tensors[name], second.tensors[name]
        same = a is b or (a.shape == b.shape and a.dtype == b.dtype and _equal(a, b))
        if not same:
            return f"{name!r}, which was made outside of torch, is another tensor each time"
    return ""


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())


def size_test_notes(first: Recording, second: Recording) -> Iterator[str]:
    """Where Python compared a size that follows the batch: other sizes may go another way."""
    pairs = zip(first.size_tests, second.size_tests, strict=False)
    places = {a.source: a for a, b in pairs if a.number != b.number and a.source}
    for source, test in places.items():
        yield (
            f"at {source} Python tests a size that follows the batch ({test.number} {test.test}): "
            "only the recorded outcome is known"
        )


def fixed_note(size: int, reason: str, failure: BaseException | None, arguments: Any) -> str:
    """Why the program speaks of one batch size only.

    Args:
        size: The first size of the arguments.
        reason: What is different at another size.
        failure: What the call raised with one row more, None where it ran.
        arguments: The example inputs.
    """
    if failure is None:
        return f"the batch size is fixed at {size}: {reason}"
    if all(tensor.dim() < 2 for _, tensor in tensors_in(arguments)):
        return "the inputs have no batch dimension, so all sizes are fixed"
    return (
        f"the batch size is fixed at {size}: with {size + 1} rows the call fails "
        f"({type(failure).__name__}: {failure}); or the inputs have no batch dimension"
    )
