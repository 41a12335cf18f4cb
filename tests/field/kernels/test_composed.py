"""Norms, softmax and attention are what their formulas say, written out here by other means."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from morphir.field.kernels import composed
from morphir.field.modular import Unsupported
from tests.field.lifted import FIELD, call, cases, new_run

aten = torch.ops.aten
X, IMAGE = torch.randn(6, 4), torch.randn(4, 6, 3, 2)
SCALE, SHIFT = torch.randn(6), torch.randn(6)
Q, K, V = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 4)
MASK = torch.rand(5, 7) > 0.3
CAUSAL = torch.ones(5, 7).tril() > 0
EPS = 0.1
ROOT = math.sqrt(0.5)  # where no fast kernel fits, torch scales both sides by the root of 1/2

Rule = tuple[str, Callable[..., tuple[Any, Any]], tuple[Any, ...]]


def normal(rows: torch.Tensor) -> torch.Tensor:
    """Rows minus their mean, over the root of their mean square: with loops, not with axes."""
    done = []
    for row in rows:
        centred = row - sum(row.unbind()) / len(row)
        square = sum((centred * centred).unbind()) / len(row)
        done.append(centred / (square + EPS).sqrt())
    return torch.stack(done)


def layer_norm(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return normal(x.reshape(4, -1)).reshape(x.shape) * w + b


def group_norm(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, groups: int) -> torch.Tensor:
    found = normal(x.reshape(4 * groups, -1)).reshape(x.shape)
    return found * w[:, None, None] + b[:, None, None]


def by_channels(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Any:
    channels = x.transpose(0, 1)
    return function(channels.reshape(6, -1)).reshape(channels.shape).transpose(0, 1)


def batch_norm(x: torch.Tensor, mean: torch.Tensor, var: torch.Tensor) -> torch.Tensor:
    return torch.stack([(x[:, c] - mean[c]) / (var[c] + EPS).sqrt() for c in range(6)], 1)


def softmax(row: list[torch.Tensor]) -> list[torch.Tensor]:
    powers = [each.exp() for each in row]
    return [power / sum(powers) for power in powers]


def soft(x: torch.Tensor) -> torch.Tensor:
    return torch.stack(softmax([*x.unbind(1)]), 1)


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float,
    changed: Callable[[torch.Tensor, int, int], torch.Tensor] = lambda score, i, j: score,
) -> torch.Tensor:  # fmt: skip
    """Query by query and key by key."""
    rows = []
    for i in range(q.shape[2]):
        keys = range(k.shape[2])
        scores = [changed((q[:, :, i] * k[:, :, j]).sum(-1) * scale, i, j) for j in keys]
        shares = softmax(scores)
        rows.append(sum(share[..., None] * v[:, :, j] for j, share in enumerate(shares)))
    return torch.stack(rows, 2)


def masked(mask: torch.Tensor) -> Callable[[torch.Tensor, int, int], torch.Tensor]:
    return lambda score, i, j: score if mask[i, j] else torch.full_like(score, -math.inf)


SDPA = F.scaled_dot_product_attention
FLASH = "_scaled_dot_product_flash_attention_for_cpu"
STATISTICS = torch.randn(6), torch.rand(6)
RULES: list[Rule] = [
    (
        "native_layer_norm",
        lambda x, w, b: (F.layer_norm(x, (6, 3, 2), w, b, EPS), layer_norm(x, w, b)),
        (IMAGE, torch.randn(6, 3, 2), torch.randn(6, 3, 2)),
    ),
    ("native_layer_norm", lambda x: (F.layer_norm(x, (4,), eps=EPS), normal(x)), (X,)),
    (
        "native_group_norm",
        lambda x, w, b: (F.group_norm(x, 3, w, b, EPS), group_norm(x, w, b, 3)),
        (IMAGE, SCALE, SHIFT),
    ),
    (
        "native_batch_norm",
        lambda x, m, v: (F.batch_norm(x, m, v, eps=EPS), batch_norm(x, m, v)),
        (IMAGE, *STATISTICS),
    ),
    (
        "native_batch_norm",
        lambda x, w: (
            F.batch_norm(x, None, None, w, training=True, eps=EPS),
            by_channels(normal, x) * w[:, None, None],
        ),
        (IMAGE, SCALE),
    ),
    (
        "native_batch_norm",
        lambda x: (F.instance_norm(x, eps=EPS), normal(x.reshape(24, -1)).reshape(x.shape)),
        (IMAGE,),
    ),
    (
        "_native_batch_norm_legit",
        lambda x, m, v: (
            aten._native_batch_norm_legit(x, None, None, m, v, False, 0.1, EPS)[0],
            batch_norm(x, m, v),
        ),
        (IMAGE, *STATISTICS),
    ),
    (
        "_native_batch_norm_legit_no_training",
        lambda x, m, v: (
            aten._native_batch_norm_legit_no_training(x, None, None, m, v, 0.1, EPS)[0],
            batch_norm(x, m, v),
        ),
        (IMAGE, *STATISTICS),
    ),
    ("_softmax", lambda x: (x.softmax(1), soft(x)), (X,)),
    ("_softmax", lambda x: (F.softmin(x, 0), soft(-x.t()).t()), (X,)),
    ("_softmax", lambda x: (x.softmax(-1).sum(-1), torch.ones(6)), (X,)),
    ("_safe_softmax", lambda x: (aten._safe_softmax(x, 1), soft(x)), (X,)),
    ("_log_softmax", lambda x: (x.log_softmax(1), x - total(x).log()[:, None]), (X,)),
    ("logsumexp", lambda x: (x.logsumexp(1), total(x).log()), (X,)),
    ("logsumexp", lambda x: (x.logsumexp((0, 1), keepdim=True), all_total(x)), (X,)),
    ("logcumsumexp", lambda x: (x.logcumsumexp(1)[:, 1], total(x[:, :2]).log()), (X,)),
    (FLASH, lambda q, k, v: (SDPA(q, k, v), attention(q, k, v, 0.5)), (Q, K, V)),
    (FLASH, lambda q, k, v: (SDPA(q, k, v, scale=2.0), attention(q, k, v, 2.0)), (Q, K, V)),
    (
        FLASH,
        lambda q, k, v: (SDPA(q, k, v, attn_mask=MASK), attention(q, k, v, 0.5, masked(MASK))),
        (Q, K, V),
    ),
    (
        FLASH,
        lambda q, k, v, mask: (
            SDPA(q, k, v, attn_mask=mask),
            attention(q, k, v, 0.5, lambda score, i, j: score + mask[i, j]),
        ),
        (Q, K, V, torch.randn(5, 7)),
    ),
    (
        FLASH,
        lambda q, k, v: (
            SDPA(q, k, v, is_causal=True),
            attention(q, k, v, 0.5, masked(CAUSAL)),
        ),
        (Q, K, V),
    ),
    (
        FLASH,
        lambda q, k, v: (
            SDPA(q, k[:, :1], v[:, :1], enable_gqa=True),
            attention(q, k[:, [0, 0, 0]], v[:, [0, 0, 0]], 0.5),
        ),
        (Q, K, V),
    ),
    (
        "bmm",
        lambda q, k, v: (SDPA(q, k, v[..., :2]), attention(q * ROOT, k * ROOT, v[..., :2], 1)),
        (Q, K, V),
    ),
    ("linalg_vector_norm", lambda x: (x.norm(dim=1), squares(x).sqrt()), (X,)),
    ("linalg_vector_norm", lambda x: (x.norm(), squares(x).sum().sqrt()), (X,)),
    ("linalg_vector_norm", lambda x: (x.norm(1, -1, True), x.abs().sum(1, True)), (X,)),
    ("linalg_vector_norm", lambda x: (x.norm(math.inf, 0), x.abs().amax(0)), (X,)),
    ("linalg_vector_norm", lambda x: (x.norm(3, 1), (x.abs() ** 3).sum(1) ** (1 / 3)), (X,)),
    (
        "linalg_vector_norm",
        lambda x: (F.normalize(x) * x.norm(dim=1)[:, None].clamp_min(1e-12), x),
        (X,),
    ),
    ("_cdist_forward", lambda x: (torch.cdist(x, x[:2]), between(x, x[:2])), (X,)),
    ("_euclidean_dist", lambda x: (aten._euclidean_dist(x, x[:2]), between(x, x[:2])), (X,)),
    ("_cdist_forward", lambda x: (torch.cdist(x, x, 1)[1, 2], (x[1] - x[2]).abs().sum()), (X,)),
]  # fmt: skip


def total(x: torch.Tensor) -> torch.Tensor:
    return sum(column.exp() for column in x.unbind(1))


def all_total(x: torch.Tensor) -> torch.Tensor:
    return total(x).sum().log().reshape(1, 1)


def squares(x: torch.Tensor) -> torch.Tensor:
    return sum(column * column for column in x.unbind(1))


def between(these: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    rows = [torch.stack([squares((a - b)[None])[0].sqrt() for b in others]) for a in these]
    return torch.stack(rows)


@cases(*RULES)
def test_field_1_and_2_formulas(case: Rule):
    name, rule, args = case
    used: set[str] = set()
    for inference in (False, True):
        found, expected = call(rule, *args, run=new_run(used=used), inference=inference)
        expected = FIELD.lift(expected) if expected.is_floating_point() else expected
        assert torch.equal(found, expected)
        assert (found != 0).any()
    assert name in used


def test_batch_normalisation_in_training_updates_its_running_statistics():
    def trained(x: torch.Tensor, mean: torch.Tensor, var: torch.Tensor) -> list[torch.Tensor]:
        aim = (x.mean((0, 2, 3)) - mean) / 4 + mean, (x.var((0, 2, 3)) - var) / 4 + var
        F.batch_norm(x, mean, var, training=True, momentum=0.25)
        return [*aim, mean, var]

    aim_mean, aim_var, mean, var = call(trained, IMAGE, *STATISTICS)
    assert torch.equal(mean, aim_mean)
    assert torch.equal(var, aim_var)


def test_field_2_what_a_mask_hides_is_not_seen():
    hidden = torch.full((5, 7), -math.inf).triu(1)

    def attended(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> list[torch.Tensor]:
        scores = (q @ k.transpose(-2, -1) * 0.5).masked_fill(hidden < 0, -math.inf)
        masks = SDPA(q, k, v, attn_mask=hidden), SDPA(q, k, v, attn_mask=hidden == 0)
        return [SDPA(q, k, v, is_causal=True), *masks, scores.softmax(-1) @ v]

    one, *others = call(attended, Q, K, V)
    assert all(torch.equal(one, other) for other in others)
    beyond = torch.randn(2, 3, 7, 4)
    beyond[:, :, :3] = 0
    changed = call(attended, Q, K + beyond, V + beyond)[0]
    same = (changed == one).all(3).all(1).all(0)
    assert same.tolist() == [True, True, True, False, False]


def test_other_settings_are_seen():
    def outputs(x: torch.Tensor) -> list[torch.Tensor]:
        norms = [F.layer_norm(x, (4,), eps=eps) for eps in (1e-5, 1e-6)]
        return [*norms, F.rms_norm(x, (4,)), x.softmax(1), x.softmax(0), (x + 1).softmax(1)]

    found = call(outputs, X)
    for index, one in enumerate(found):
        assert all((one != other).any() for other in found[index + 1 :])


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: getattr(aten, FLASH)(*[x[None, None]] * 3, 0.5), "dropout"),
        (lambda x: x.norm(0), "a norm of order 0"),
        (lambda x: torch.linalg.vector_norm(x, -1), "a norm of order -1"),
    ],
)
def test_what_is_not_spelled_out_is_refused(function: Callable[..., Any], why: str):
    with pytest.raises(Unsupported, match=why):
        call(function, X)


def test_the_rules_cover_the_table():
    assert {name for name, *_ in RULES} - {"bmm"} == composed.COMPUTED.keys()
