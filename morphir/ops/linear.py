"""Linear maps and products of tensors."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from morphir.ir.graph import Argument
from morphir.ops.axes import Layout
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import Reader
from morphir.ops.broadcast import nothing_moves
from morphir.ops.declare import everywhere, samples
from morphir.ops.interval import Interval
from morphir.ops.multilinear import affine_rule, einsum_rule, labelled, matmul_rule

_T: Any = torch.Tensor


def _product_sign(first: str, second: str) -> Any:
    """Sums of products keep a common sign."""

    def rule(a: Mapping[str, Argument], of: Reader) -> Interval:
        return (of(a[first]) * of(a[second])).sign

    return rule


def _einsum(equation: str, operands: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return torch.einsum(equation, *operands)


def _bilinear(
    name: str, second: str, equation: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> Op:
    """A product of two tensors of fixed ranks."""
    return Op(
        name=name,
        parameters=f"input, {second}",
        run=lambda input, **other: getattr(torch, name)(input, *other.values()),
        spellings=everywhere(name),
        axes=labelled(equation),
        bounds=_product_sign("input", second),
        keeps_zero=True,
        samples=samples(lambda d: ({"input": d(*shapes[0]), second: d(*shapes[1])},)),
    )


def _affine(
    name: str,
    factors: tuple[str, str],
    shapes: tuple[tuple[int, ...], ...],
    biases: tuple[tuple[int, ...], ...],
) -> Op:
    """A product of two tensors added to a third."""
    names = ("input", *factors)
    return Op(
        name=name,
        parameters=f"{', '.join(names)}, beta=1, alpha=1",
        run=getattr(torch, name),
        spellings=everywhere(name, f"{', '.join(names)}, *, beta=1, alpha=1"),
        axes=affine_rule,
        samples=samples(
            lambda d: (
                {"input": d(*bias), factors[0]: d(*shapes[0]), factors[1]: d(*shapes[1]), **more}
                for bias in biases
                for more in ({}, {"beta": 0.5, "alpha": 2})
            )
        ),
    )


def _grouped_mm(
    input: torch.Tensor,
    mat2: torch.Tensor,
    offs: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Rows `offs[g - 1]` to `offs[g]` by matrix g, also in widths that torch's kernel refuses."""
    rows_in_bytes = (max(t.stride()[-2:]) * t.element_size() for t in (input, mat2))
    if (
        all(size % 16 == 0 for size in rows_in_bytes)
        or offs is None
        or bias is not None
        or input.dim() != 2
        or mat2.dim() != 3
    ):
        return torch._grouped_mm(input, mat2, offs, bias, out_dtype)
    rows = torch.tensor_split(input, offs.cpu()[:-1].long())
    found = [part @ matrix for part, matrix in zip(rows, mat2, strict=True)]
    return torch.cat(found).to(out_dtype or input.dtype)


def _grouped_rule(instance: Instance) -> Layout | str:
    if len(instance.shapes) != 3 or len(instance.shapes[0]) != 2 or instance["bias"] is not None:
        return nothing_moves(instance)
    return "S k, G k n, G -> S n | lin n"


OPS = (
    Op(
        name="linear",
        parameters="input, weight, bias=None",
        run=F.linear,
        spellings=(F.linear,),
        axes="... i, o i, o -> ... o | lin o",
        samples=samples(
            lambda d: (
                {"input": d(2, 3), "weight": d(4, 3), "bias": d(4)},
                {"input": d(2, 3), "weight": d(4, 3)},
                {"input": d(2, 2, 3), "weight": d(1, 3), "bias": d(1)},
                {"input": d(3), "weight": d(4, 3), "bias": d(4)},
                {"input": d(2, 1), "weight": d(4, 1)},
            )
        ),
    ),
    Op(
        name="bilinear",
        parameters="input1, input2, weight, bias=None",
        run=F.bilinear,
        spellings=(F.bilinear,),
        axes="... i, ... j, o i j, o -> ... o | lin o",
        samples=samples(
            lambda d: ({"input1": d(2, 3), "input2": d(2, 4), "weight": d(5, 3, 4), "bias": d(5)},)
        ),
    ),
    Op(
        name="matmul",
        parameters="input, other",
        run=torch.matmul,
        spellings=(
            *everywhere("matmul"),
            _T.__matmul__,
            Spelling(_T.__rmatmul__, "other, input"),
            operator.matmul,
        ),
        axes=matmul_rule,
        bounds=_product_sign("input", "other"),
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(2, 3), "other": d(3, 4)},
                {"input": d(2, 2, 3), "other": d(3, 4)},
                {"input": d(2, 1, 2, 3), "other": d(3, 3, 4)},
                {"input": d(3), "other": d(3, 4)},
                {"input": d(2, 2, 3), "other": d(3)},
                {"input": d(3), "other": d(3)},
            )
        ),
    ),
    _bilinear("mm", "mat2", "ik,kj->ij", ((2, 3), (3, 4))),
    _bilinear("bmm", "mat2", "bik,bkj->bij", ((2, 2, 3), (2, 3, 4))),
    _bilinear("mv", "vec", "ik,k->i", ((2, 3), (3,))),
    _bilinear("dot", "tensor", "k,k->", ((3,), (3,))),
    _bilinear("vdot", "other", "k,k->", ((3,), (3,))),
    _bilinear("outer", "vec2", "i,j->ij", ((2,), (3,))),
    _affine("addmm", ("mat1", "mat2"), ((2, 3), (3, 4)), ((4,), (2, 4), (2, 1), ())),
    _affine("addmv", ("mat", "vec"), ((2, 3), (3,)), ((2,), (1,))),
    _affine(
        "baddbmm", ("batch1", "batch2"), ((2, 2, 3), (2, 3, 4)), ((2, 2, 4), (2, 1, 4), (1, 1, 1))
    ),
    Op(
        name="grouped_mm",
        parameters="input, mat2, offs=None, bias=None, out_dtype=None",
        run=_grouped_mm,
        spellings=(
            Spelling(torch._grouped_mm, "input, mat2, offs=None, bias=None, out_dtype=None"),
            Spelling(
                F.grouped_mm, "mat_a:input, mat_b:mat2, *, offs=None, bias=None, out_dtype=None"
            ),
        ),
        axes=_grouped_rule,
        samples=samples(
            lambda d: (
                {
                    "input": d(6, 4).float(),
                    "mat2": d(3, 4, 8).float(),
                    "offs": torch.tensor([2, 3, 6], dtype=torch.int32),
                },
            )
        ),
    ),
    Op(
        name="einsum",
        parameters="equation, *operands",
        run=_einsum,
        spellings=(torch.einsum,),
        axes=einsum_rule,
        samples=samples(
            lambda d: (
                {"equation": "bhid,bhjd->bhij", "operands": (d(2, 2, 3, 4), d(2, 2, 5, 4))},
                {"equation": "...i,oi->...o", "operands": (d(2, 2, 3), d(4, 3))},
                {"equation": "ij,jk,kl->il", "operands": (d(2, 3), d(3, 4), d(4, 2))},
                {"equation": "ij,kj", "operands": (d(2, 3), d(4, 3))},
                {"equation": "ij->i", "operands": (d(2, 3),)},
                {"equation": "ii->i", "operands": (d(3, 3),)},
                {"equation": "bc,c->bc", "operands": (d(2, 3), d(3))},
            )
        ),
    ),
)
