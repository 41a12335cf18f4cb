"""WIDER-5: which axes are attention heads, and what changes their number."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import Grade, RefusalError, WiderPass
from morphir.axes import AxisGroups
from morphir.passes.heads import heads_of, is_of_heads
from tests.axes.nets import NETS
from tests.passes.widenings import Encoder, assert_same, wide

SEQUENCE = torch.randn(2, 4, 2)


class Grouped(nn.Module):
    """Four query heads that share two heads of keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(2, 4 * 3), nn.Linear(2, 2 * 3), nn.Linear(2, 2 * 3)
        self.out = nn.Linear(12, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (p(x).unflatten(-1, (-1, 3)).transpose(1, 2) for p in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Numbered(Grouped):
    """The same by attributes, and with keys and values repeated for each query."""

    def __init__(self, *, by_view: bool = False) -> None:
        super().__init__()
        self.heads, self.kv, self.by_view = 4, 2, by_view

    def repeated(self, x: torch.Tensor) -> torch.Tensor:
        times = self.heads // self.kv
        if not self.by_view:
            return x.repeat_interleave(times, 1)
        b, kv, t, d = x.shape
        return x[:, :, None].expand(b, kv, times, t, d).reshape(b, self.heads, t, d)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q = self.q(x).view(b, t, self.heads, 3).transpose(1, 2)
        k, v = (p(x).view(b, t, self.kv, 3).transpose(1, 2) for p in (self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, self.repeated(k), self.repeated(v))
        return self.out(mixed.transpose(1, 2).reshape(b, t, -1))


class ByEinsum(Grouped):
    """The same as a product over (group, query), of which the groups alone are kept apart."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.kv = 4, 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q = self.q(x).view(b, t, self.kv, self.heads // self.kv, 3)
        k, v = (p(x).view(b, t, self.kv, 3) for p in (self.k, self.v))
        scores = torch.einsum("btgrd,bsgd->bgrts", q, k).softmax(-1)
        mixed = torch.einsum("bgrts,bsgd->btgrd", scores, v)
        return self.out(mixed.reshape(b, t, -1))


def groups_of(model: nn.Module, *inputs: torch.Tensor) -> AxisGroups:
    return AxisGroups(morphir.trace(model, example_inputs=inputs))


@pytest.mark.parametrize("net", ["by_split", "by_chunk", "by_unbind", "by_index"])
@pytest.mark.parametrize("init", ["copy", "fresh"])
def test_wider_5_of_a_fused_projection(net: str, init: Any):
    """WIDER-5: the width of a head stays"""
    make, x, _ = NETS[net]
    result = wide(make(), "qkv", x, heads=5, init=init)
    assert (result.module.heads, result.module.head) == (5, 5)
    assert result.module.qkv.out_features == 3 * 5 * 5
    assert result.module.mix.in_features == 5 * 5


@pytest.mark.parametrize("at", ["q", "k", "v"])
def test_wider_5_of_separate_projections(at: str):
    """WIDER-5: all three change, whichever is named"""
    make, x, _ = NETS["separate"]
    result = wide(make(), at, x, heads=4)
    assert {getattr(result.module, each).out_features for each in "qkv"} == {20}


def test_wider_5_of_grouped_queries():
    """WIDER-5: more queries for each head of keys, or more of both"""
    queries = wide(Grouped(), "q", SEQUENCE, heads=6).module
    assert (queries.q.out_features, queries.k.out_features) == (18, 6)
    assert heads_of(groups_of(Grouped(), SEQUENCE), "q").size == 4
    both = wide(Grouped(), "k", SEQUENCE, heads=3).module
    assert (both.q.out_features, both.k.out_features) == (18, 9)
    with pytest.raises(RefusalError, match="4 heads in blocks, which can't become 5") as caught:
        wide(Grouped(), "q", SEQUENCE, heads=5)
    assert caught.value.suggestions == ("heads=6", "heads=8")


@pytest.mark.parametrize("by_view", [False, True])
@pytest.mark.parametrize("init", ["copy", "fresh"])
def test_wider_5_of_queries_for_which_keys_are_repeated(init: Any, by_view: bool):
    """WIDER-5: the keys stay, and are repeated more often"""
    for heads in (6, 8):
        model = wide(Numbered(by_view=by_view), "q", SEQUENCE, heads=heads, init=init).module
        assert (model.heads, model.kv) == (heads, 2)
        assert (model.q.out_features, model.k.out_features) == (3 * heads, 6)
    both = wide(Numbered(by_view=by_view), "k", SEQUENCE, heads=4, init=init).module
    assert (both.heads, both.kv) == (8, 4)


@pytest.mark.parametrize(
    ("net", "at", "heads", "told"),
    [
        (Grouped, "q", 8, "q: 4 -> 8 heads, 12 -> 24 features"),
        (Grouped, "k", 4, "k: 2 -> 4 heads, 6 -> 12 features"),
        (ByEinsum, "q", 8, "q: 2 -> 8 heads, 12 -> 48 features"),
        (ByEinsum, "q", 4, "q: 2 -> 4 heads, 12 -> 24 features"),
    ],
)
def test_wider_5_the_plan_and_the_report_say_what_was_counted(net: Any, at: str, heads: int, told):
    """WIDER-5: where an einsum runs over (group, query), `heads=` counts the groups"""
    model = net()
    planned = morphir.plan(model, WiderPass(at, heads=heads), example_inputs=(SEQUENCE,))
    assert f"{told} (WIDER-1)" in str(planned)
    result = wide(model, at, SEQUENCE, heads=heads)
    assert f"{told} (WIDER-1)" in str(result.report)
    size = told.split()[-2]
    assert str(result.module.get_submodule(at).out_features) == size


def test_wider_5_of_attention_as_a_whole_with_the_width_that_torch_ties_to_it():
    """WIDER-5"""
    x = torch.randn(2, 5, 4)
    with pytest.raises(RefusalError, match="parts of equal size") as caught:
        wide(Encoder(), "layer.self_attn", x, heads=4)
    assert caught.value.suggestions[-1] == "joint=True"
    module = wide(Encoder(), "layer.self_attn", x, heads=4, joint=True).module
    assert module.layer.self_attn.num_heads == 4
    assert module.stem.out_features == module.layer.self_attn.embed_dim == 16


def test_wider_5_of_a_gpt():
    """WIDER-5: the residual stream and the heads of all blocks"""
    make, x, _ = NETS["gpt"]
    model = make()
    result = wide(model, "h.0.attn", x, heads=6, joint=True)
    assert [block.attn.n_head for block in result.module.h] == [6, 6]
    with pytest.raises(RefusalError, match="'h' holds several attentions, with 3, 3 heads"):
        wide(model, "h", x, heads=6)
    assert wide(model, "h.0.mlp.0", x, width=40).module.h[0].mlp[0].out_features == 40


def test_wider_5_a_width_does_not_change_heads():
    """WIDER-5: it makes heads wider, and where these are fixed it says so"""
    make, x, _ = NETS["separate"]
    module = wide(make(), "q", x, width=30).module
    assert (module.heads, module.q.out_features) == (3, 30)
    with pytest.raises(RefusalError, match="copied and split at once") as caught:
        wide(NETS["by_index"][0](), "qkv", NETS["by_index"][1], width=90)
    assert "heads=6 in place of width=" in caught.value.suggestions
    with pytest.raises(RefusalError, match="45 output features in blocks") as caught:
        wide(NETS["by_index"][0](), "qkv", NETS["by_index"][1], width=60)
    assert caught.value.suggestions == ("heads=4 in place of width=",)
    assert wide(NETS["by_index"][0](), "qkv", NETS["by_index"][1], heads=4).module.heads == 4


def test_wider_5_parts_of_a_projection_grow_jointly_to_the_width_that_was_asked_for():
    """WIDER-5: by `chunk` the widths of queries, keys and values are axes of their own"""
    make, x, _ = NETS["by_chunk"]
    with pytest.raises(RefusalError) as caught:
        wide(make(), "qkv", x, width=90)
    assert "joint=True" in caught.value.suggestions
    assert wide(make(), "qkv", x, width=90, joint=True).module.qkv.out_features == 90


@pytest.mark.parametrize(
    ("at", "match"),
    [
        ("embed", "heads= changes attention heads, and 'embed' has none: its output features"),
        ("mix", "'mix' has none"),
        ("norm", "'norm' has none"),
        ("norm", "a single head can't be told from none"),
    ],
)
def test_what_has_no_heads_is_refused(at: str, match: str):
    make, x, _ = NETS["by_chunk"]
    with pytest.raises(RefusalError, match=match) as caught:
        wide(make(), at, x, heads=4)
    assert "width= in place of heads=" in caught.value.suggestions


def test_fewer_heads_are_refused_and_as_many_are_nothing_to_do():
    make, x, _ = NETS["by_chunk"]
    with pytest.raises(RefusalError, match="'qkv' has 3 heads, more than heads=2"):
        wide(make(), "qkv", x, heads=2)
    assert "already has 3 heads" in str(wide(make(), "qkv", x, heads=3).report)


def test_what_is_kept_apart_by_a_matrix_product_without_attention_is_no_projection_of_heads():
    groups = groups_of(NETS["mixer"][0](), NETS["mixer"][1])
    leaves = [leaf for leaf, group in groups.groups.items() if group.reason is None]
    assert len(leaves) > 2
    assert not any(is_of_heads(groups, leaf) for leaf in leaves)


def test_transformers_of_hugging_face():
    """WIDER-5: projections that are views, heads that their configuration counts"""
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    sizes = {"hidden_size": 12, "intermediate_size": 20, "num_attention_heads": 3}
    config = transformers.BertConfig(
        **sizes, num_hidden_layers=1, vocab_size=17, max_position_embeddings=8
    )
    model = transformers.BertModel(config)
    tokens = torch.arange(8).reshape(2, 4)
    for options in ({"heads": 4}, {"heads": 5, "init": "fresh"}):
        wider = WiderPass(at="encoder.layer.0.attention", **options)
        result = morphir.transform(model, wider, example_inputs=(tokens,))
        assert result.report.grade is Grade.PROVED
        assert_same(model, result.module, tokens)
