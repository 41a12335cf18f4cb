"""FIELD-1: what only moves numbers moves residues, and writing into a view is seen in the whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from morphir.field.kernels import KERNELS, moving
from morphir.field.modular import Unsupported
from tests.field.lifted import FIELD, Case, assert_lifts, call, cases, whole

aten = torch.ops.aten
X, Y, BOX = whole(3, 4), whole(3, 4), whole(2, 3, 4)
LINE, IMAGE, CUBE = whole(2, 4, 5), whole(2, 4, 6, 4), whole(1, 2, 4, 3, 4)
AT = torch.tensor([2, 0, 2])
PLACES = torch.tensor([[0, 3, 3, 1], [1, 1, 0, 2], [3, 0, 0, 0]])
MASK = torch.tensor([[True, False, True, True], [False] * 4, [True] * 4])
TABLE, TOKENS = whole(7, 3), torch.tensor([[1, 2, 0, 2], [6, 6, 6, 1]])


def scattered(reduce: str, include_self: bool = True) -> Case:
    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.scatter_reduce(1, PLACES, y, reduce, include_self=include_self)

    return "scatter_reduce", function, (whole(3, 4, times=60), whole(3, 4, times=60))


def bags(mode: str, *args: Any, **options: Any) -> Case:
    def function(table: torch.Tensor, *rest: Any) -> torch.Tensor:
        return F.embedding_bag(TOKENS, table, *rest, mode=mode, **options)

    return "_embedding_bag_forward_only", function, (TABLE * 60, *args)


def padded(x: torch.Tensor) -> Any:
    packed = pack_padded_sequence(x, torch.tensor([3, 2]), batch_first=True)
    return packed.data, packed.batch_sizes, pad_packed_sequence(packed, batch_first=True)


def written(x: torch.Tensor) -> torch.Tensor:
    whole = torch.zeros(3, 4)
    whole[1] = x[0]
    whole[:, 2] = 5.0
    whole[2, :2] += x[1, :2]
    whole.t()[0].mul_(3).add_(x[:, 0])
    whole.view(-1)[5:7].copy_(x[0, :2])
    whole[0].fill_(-2)
    return whole


def written_through_views(x: torch.Tensor) -> torch.Tensor:
    copy = x.clone()
    for view in (copy[0], copy.t()[1], copy.view(2, 6)[1, 1:3], copy.unsqueeze(0)[0, 1]):
        view.mul_(-2)
    copy.diagonal().zero_()
    copy.chunk(2, 1)[1][0] = 7.0
    copy.as_strided((2,), (5,)).add_(100)
    copy.unbind()[1].sub_(1)
    copy.split([1, 2])[1].neg_()
    return copy


def setitems(x: torch.Tensor) -> torch.Tensor:
    x[MASK] = -3.0
    x[AT, 1] = 4
    x[:, 3] = torch.tensor(-2)
    x[1] = x[0]
    return x


def turned(x: torch.Tensor) -> list[torch.Tensor]:
    copy = x.clone()
    row = copy[0]
    copy.transpose_(0, 1).unsqueeze_(0)
    copy[0, 1] = 50.0
    other = x[:, :3].clone().t_()
    return [copy, row, x[:1].clone().squeeze_(0), other, x.clone().as_strided_((2, 2), (1, 4))]


MOVED: list[Case] = [
    ("_reshape_alias", lambda x: aten._reshape_alias(x, [4, 3], [3, 1]), (X,)),
    ("_unsafe_view", lambda x: aten._unsafe_view(x, [2, 6]), (X,)),
    ("alias", aten.alias, (X,)),
    ("as_strided", lambda x: x.as_strided((2, 3), (1, 4), 1), (X,)),
    ("cat", lambda x, y: torch.cat([x, y, x[:, :1]], 1), (X, Y)),
    ("cat", lambda x: torch.cat([x, torch.tensor([[-1, 2, 3, 4]])]), (X,)),
    ("cat", lambda x: torch.cat([torch.ones(1, 4), x]), (X,)),
    ("chunk", lambda x: x.chunk(3, 1), (X,)),
    ("clone", lambda x: x.clone(), (X,)),
    ("contiguous", lambda x: x.t().contiguous(), (X,)),
    ("clone", lambda x: x.contiguous(memory_format=torch.channels_last), (IMAGE,)),
    ("copy", aten.copy, (X, Y)),
    ("copy_", lambda x, y: x.clone().copy_(y[0]), (X, Y)),
    ("copy_", lambda x: x.clone().copy_(torch.tensor([-3, 2, 1, 0])), (X,)),
    ("detach", lambda x: x.detach().data, (X,)),
    ("diag_embed", torch.diag_embed, (X,)),
    ("diagonal", torch.diagonal, (X,)),
    ("embedding", lambda table: F.embedding(TOKENS, table), (TABLE,)),
    ("expand", lambda x: x[:, :1].expand(-1, 5), (X,)),
    ("flip", lambda x: x.flip(0, 1), (X,)),
    ("gather", lambda x: x.gather(1, PLACES), (X,)),
    ("index", lambda x: x[AT, 1:], (X,)),
    ("index", lambda x: x[MASK], (X,)),
    ("index", lambda x: x[:, None, AT], (X,)),
    ("index_copy", lambda x, y: x.index_copy(0, AT[:2], y[:2]), (X, Y)),
    ("index_copy_", lambda x, y: x.clone().index_copy_(0, AT[:2], y[:2]), (X, Y)),
    ("index_select", lambda x: x.index_select(1, AT), (X,)),
    ("lift_fresh", aten.lift_fresh, (X,)),
    ("masked_scatter", lambda x, y: x.masked_scatter(MASK, y), (X, Y)),
    ("masked_select", lambda x: x.masked_select(MASK), (X,)),
    ("movedim", lambda x: x.movedim(0, 2), (BOX,)),
    ("narrow", lambda x: x.narrow(1, 1, 2), (X,)),
    ("native_channel_shuffle", lambda x: aten.native_channel_shuffle(x, 2), (IMAGE,)),
    ("transpose", lambda x: F.channel_shuffle(x, 2), (IMAGE,)),
    ("permute", lambda x: x.permute(2, 0, 1), (BOX,)),
    ("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), (IMAGE,)),
    ("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), (IMAGE,)),
    ("repeat", lambda x: x.repeat(2, 1, 3), (X,)),
    ("repeat_interleave", lambda x: x.repeat_interleave(2, 1), (X,)),
    ("repeat_interleave", lambda x: x.repeat_interleave(AT, 0), (X,)),
    ("reshape", lambda x: x.t().reshape(2, 6), (X,)),
    ("roll", lambda x: x.roll((1, -2), (0, 1)), (X,)),
    ("select", lambda x: x[1], (X,)),
    ("select_scatter", lambda x, y: x.select_scatter(y[0], 0, 2), (X, Y)),
    ("slice", lambda x: x[:, 1::2], (X,)),
    ("slice_scatter", lambda x, y: x.slice_scatter(y[:, :2], 1, 1, 3), (X, Y)),
    ("split", lambda x: x.split(3, 1), (X,)),
    ("split_with_sizes", lambda x: x.split([1, 3], 1), (X,)),
    ("squeeze", lambda x: x[:, :1].squeeze(1), (X,)),
    ("stack", lambda x, y: torch.stack([x, y], -1), (X, Y)),
    ("t", lambda x: x.t(), (X,)),
    ("transpose", lambda x: x.transpose(0, 2), (BOX,)),
    ("tril", lambda x: x.tril(-1), (X,)),
    ("triu", lambda x: x.triu(1), (X,)),
    ("unbind", lambda x: x.unbind(1), (X,)),
    ("unfold", lambda x: x.unfold(1, 2, 1), (X,)),
    ("unsafe_split", lambda x: torch.unsafe_split(x, 2), (X,)),
    ("unsafe_split_with_sizes", lambda x: torch.unsafe_split_with_sizes(x, [1, 2]), (X,)),
    ("unsqueeze", lambda x: x[None, :, None], (X,)),
    ("view", lambda x: x.view(-1, 2), (X,)),
    ("zero_", lambda x: x.clone().zero_(), (X,)),
]

CASES: list[Case] = [
    ("_to_copy", lambda x: x.to(torch.float64), (X,)),
    ("_to_copy", lambda x: x.bool(), (X,)),
    ("where", lambda x, y: torch.where(MASK, x, y), (X, Y)),
    ("where", lambda x: torch.where(MASK, x, -2.5), (X,)),
    ("where", lambda x: torch.where(MASK, torch.tensor(-4), x), (X,)),
    ("masked_fill", lambda x: x.masked_fill(MASK, -1.5), (X,)),
    ("masked_fill", lambda x, y: x.clone().masked_fill_(MASK, y[0, 0]), (X, Y)),
    ("fill", lambda x: x.clone().fill_(-3), (X,)),
    ("fill", lambda x, y: x.clone().fill_(y[0, 0]), (X, Y)),
    ("constant_pad_nd", lambda x: F.pad(x, (1, 2, 0, 1), value=-2.5), (X,)),
    ("constant_pad_nd", lambda x: F.pad(x, (-1, 1)), (X,)),
    ("scatter", lambda x, y: x.scatter(1, PLACES[:, :1], y), (X, Y)),
    ("scatter", lambda x: x.scatter(1, PLACES, -7.0), (X,)),
    ("scatter", lambda x, y: x.clone().scatter_(1, PLACES[:, :1], y), (X, Y)),
    ("scatter_add", lambda x, y: x.scatter_add(1, PLACES, y), (X, Y)),
    scattered("sum"),
    scattered("mean"),
    scattered("sum", include_self=False),
    scattered("mean", include_self=False),
    ("index_add", lambda x, y: x.index_add(0, AT, y, alpha=-2), (X, Y)),
    ("index_put", lambda x: x.index_put((AT,), x[0, 0]), (X,)),
    ("index_put", lambda x, y: x.index_put((AT,), y, accumulate=True), (X, Y)),
    ("index_put", setitems, (X,)),
    ("_unsafe_index_put", lambda x, y: aten._unsafe_index_put(x, [AT[:2]], y[:2]), (X, Y)),
    ("col2im", lambda x: F.fold(x, (5, 4), 3, padding=1), (whole(2, 18, 20),)),
    ("im2col", lambda x: F.unfold(x, 3, padding=1, stride=2), (IMAGE,)),
    ("reflection_pad1d", lambda x: F.pad(x, (1, 2), "reflect"), (LINE,)),
    ("reflection_pad2d", lambda x: F.pad(x, (1, 2, 3, 0), "reflect"), (IMAGE,)),
    ("reflection_pad3d", lambda x: F.pad(x, (1, 2, 0, 1, 1, 1), "reflect"), (CUBE,)),
    ("replication_pad1d", lambda x: F.pad(x, (1, 2), "replicate"), (LINE,)),
    ("replication_pad2d", lambda x: F.pad(x, (1, 2, 3, 0), "replicate"), (IMAGE,)),
    ("replication_pad3d", lambda x: F.pad(x, (1, 2, 0, 1, 1, 1), "replicate"), (CUBE,)),
    ("copy_", lambda x: F.pad(x, (1, 2), "circular"), (LINE,)),
    ("upsample_nearest1d", lambda x: F.interpolate(x, 7), (LINE,)),
    ("upsample_nearest2d", lambda x: F.interpolate(x, scale_factor=2.0), (IMAGE,)),
    ("upsample_nearest3d", lambda x: F.interpolate(x, (6, 5, 4)), (CUBE,)),
    (
        "_upsample_nearest_exact1d",
        lambda x: F.interpolate(x, 7, mode="nearest-exact"),
        (LINE,),
    ),
    (
        "_upsample_nearest_exact2d",
        lambda x: F.interpolate(x, (9, 5), mode="nearest-exact"),
        (IMAGE,),
    ),
    bags("sum"),
    bags("mean"),
    bags("mean", padding_idx=2),
    ("_pack_padded_sequence", padded, (BOX,)),
    ("copy_", written, (X,)),
    ("zero_", written_through_views, (X,)),
    ("clone", turned, (X,)),
]


@cases(*MOVED, *CASES)
def test_field_1_moved_numbers_are_the_same_residues(case: Case):
    assert_lifts(case)


def test_field_1_bags_with_factors_and_ends_are_sums_of_embeddings():
    tokens, ends = torch.tensor([1, 2, 0, 2, 6]), torch.tensor([0, 3, 3, 5])
    factors = whole(5)

    def bags(table: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
        return F.embedding_bag(
            tokens, table, ends, mode="sum", per_sample_weights=factors, include_last_offset=True
        )

    assert torch.equal(call(bags, TABLE, factors), FIELD.lift(bags(TABLE, factors)))


def test_field_1_a_mean_of_sums_of_bags_that_are_empty_is_0():
    empty = torch.tensor([0, 0, 2])
    for mode in ("sum", "mean", "max"):
        found = call(lambda x, how=mode: F.embedding_bag(AT, x, empty, mode=how), TABLE)
        assert (found[0] == 0).all()
        assert torch.equal(found[2], FIELD.lift(TABLE[2]))


def test_field_5_the_largest_of_a_bag_is_the_largest_of_its_embeddings():
    one, other = call(lambda x: (F.embedding_bag(TOKENS, x, mode="max"), x[TOKENS].amax(1)), TABLE)
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x.long(), "a cast to torch.int64"),
        (lambda x: x[0, 0].item(), "Python reads a number"),
        (lambda x: float(x.sum()), "Python reads a number"),
        (lambda x: x[int(x[0, 0])], "Python reads a number"),
        (lambda x: torch.equal(x, x), "Python reads a number"),
        (lambda x: x.view(torch.int32), "reads the bits of a number"),
        (lambda x: x.clone().resize_(2), "resize_"),
        (lambda x: torch.tensor([1.0, 2.0, 3.0, 4.0]).copy_(x[0]), "the model made itself"),
        (lambda x: torch.tensor([1.0, 2.0, 3.0, 4.0]).add_(x[0]), "the model made itself"),
        (lambda x: torch.add(x, x, out=torch.tensor(1.0)), "add with out="),
        (lambda x: x.scatter_reduce(1, PLACES, x, "amax"), "scatter_reduce by amax"),
        (torch.linalg.det, "aten._linalg_det.default"),
        (lambda x: torch.fft.fft(x), "aten._fft_r2c"),
        (lambda x: x.to(torch.complex64), "a cast to torch.complex64"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(function: Any, why: str):
    with pytest.raises(Unsupported) as raised:
        call(function, whole(4, 4))
    assert why in str(raised.value)


def test_integers_stay_as_they_are():
    found = call(lambda x: (torch.arange(3) * 2 + len(x), TOKENS + 1, TOKENS > 1), X)
    assert [each.tolist() for each in found] == [
        [3, 5, 7],
        (TOKENS + 1).tolist(),
        (TOKENS > 1).tolist(),
    ]


def test_the_cases_cover_the_tables():
    assert {name for name, *_ in MOVED} == KERNELS.moving
    special = {"_local_scalar_dense", "equal", "_embedding_bag"}
    assert {name for name, *_ in CASES} - KERNELS.moving | special == moving.COMPUTED.keys()
