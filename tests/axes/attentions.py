"""Attention in its spellings, and a small GPT as people write it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention over a residual stream; what differs is how q, k and v come about."""

    def __init__(self, width: int = 11, heads: int = 3, head: int = 5) -> None:
        super().__init__()
        self.heads, self.head = heads, head
        self.embed = nn.Linear(2, width)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * heads * head)
        self.mix = nn.Linear(heads * head, width)
        self.out = nn.Linear(width, 2)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = self.parts(self.norm(x))
        mixed = F.scaled_dot_product_attention(q, k, v, scale=0.5)
        return self.out(x + self.mix(mixed.transpose(1, 2).flatten(2)))


class BySplit(Attention):
    """`split` by a number that follows from attributes, then views."""

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, t, _ = x.shape
        q, k, v = self.qkv(x).split(self.heads * self.head, dim=2)
        return tuple(p.view(b, t, self.heads, self.head).transpose(1, 2) for p in (q, k, v))


class ByChunk(Attention):
    """`chunk`, then views with one size left open."""

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, t, _ = x.shape
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return tuple(p.reshape(b, t, self.heads, -1).transpose(1, 2) for p in (q, k, v))


class ByUnbind(Attention):
    """(3, heads, head), permuted and unbound."""

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, t, _ = x.shape
        qkv = self.qkv(x).reshape(b, t, 3, self.heads, self.head).permute(2, 0, 3, 1, 4)
        return qkv.unbind(0)


class ByIndex(Attention):
    """(3, heads, head), permuted and indexed."""

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, t, _ = x.shape
        qkv = self.qkv(x).reshape(b, t, 3, self.heads, self.head).permute(2, 0, 3, 1, 4)
        return qkv[0], qkv[1], qkv[2]


class Separate(nn.Module):
    """Separate projections, scores by einsum."""

    def __init__(self, width: int = 11, heads: int = 3, head: int = 5) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(width, heads * head) for _ in range(3))
        self.embed = nn.Linear(2, width)
        self.mix = nn.Linear(heads * head, 2)

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k).softmax(-1)
        return self.mix(torch.einsum("bhqk,bkhd->bqhd", scores, v).flatten(2))


class CausalSelfAttention(nn.Module):
    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.n_head, self.n_embd = n_head, n_embd

    def forward(self, x: Tensor) -> Tensor:
        B, T, C = x.size()  # noqa: N806 - as people write it
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class Block(nn.Module):
    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.attn = CausalSelfAttention(n_embd, n_head)
        self.mlp = nn.Sequential(
            nn.Linear(n_embd, 2 * n_embd), nn.GELU(), nn.Linear(2 * n_embd, n_embd)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt(nn.Module):
    """nanoGPT with an untied head."""

    def __init__(self, n_embd: int = 12, n_head: int = 3, layers: int = 2) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(17, n_embd), nn.Embedding(8, n_embd)
        self.h = nn.ModuleList(Block(n_embd, n_head) for _ in range(layers))
        self.ln_f = nn.LayerNorm(n_embd)
        self.lm_head = nn.Linear(n_embd, 17, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.wte(tokens) + self.wpe(positions)
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))
