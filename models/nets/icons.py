"""The icon writer: a decoder-only transformer over path tokens, told the words by a few vectors in front.

After Wu et al. 2023 ("IconShop"): one token a point, embedded as what it is plus its x plus its y. Four things are ours: the words
come as a sentence embedding, so that words never trained on mean something; each token also tells the state of the grammar and how
far the pen moved; a point is guessed as x, then y given x, which a few million tokens can teach where one choice among 9,216 cannot
be; positions are rotary (Su et al. 2021), so that the end of a sequence is not another place when a gap is filled there.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KIND = "onestroke.icons"
TEXT_WIDTH = 384


@dataclass(frozen=True)
class Shape:
    """symbols: tokens that are no points; grid: cells a side; states: of the grammar; sources: manners of drawing, 0 = any."""
    symbols: int
    grid: int
    states: int
    sources: int
    width: int = 256
    depth: int = 6
    heads: int = 4
    words: int = 3                                   # vectors in front that tell the words


Cache = list[tuple[Tensor, Tensor]]                  # of each layer: keys and values [B, heads, T, width / heads]


class IconWriter(nn.Module):
    """tokens: int64 [B, T]; told: int64 [B, T, 7] of models.vector.pathtokens.told; text: [B, 384], 0 = no words; source: int64 [B]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        s = self.shape = shape
        steps, cells = 2 * s.grid, s.grid + 1        # `grid` itself is "nowhere"
        self.embed_symbol = nn.Embedding(s.symbols + 1, s.width)
        self.embed_told = nn.ModuleList(nn.Embedding(n, s.width) for n in (s.states, cells, cells, steps, steps, steps, steps))
        self.embed_source = nn.Embedding(s.sources, s.width)
        self.embed_text = nn.Linear(TEXT_WIDTH, s.words * s.width)
        self.blocks = nn.ModuleList(Block(s.width, s.heads) for _ in range(s.depth))
        self.norm = nn.RMSNorm(s.width)
        self.head_first = nn.Linear(s.width, s.symbols + s.grid)
        self.head_x = nn.Embedding(s.grid, s.width)
        self.head_y = nn.Sequential(nn.Linear(s.width, 2 * s.width), nn.GELU(), nn.Linear(2 * s.width, s.grid))
        for embedding in (m for m in self.modules() if isinstance(m, nn.Embedding)):
            nn.init.normal_(embedding.weight, std=0.3)
        for block in self.blocks:                    # begins as the identity
            nn.init.zeros_(block.out.weight)
            nn.init.zeros_(block.down.weight)

    @property
    def in_front(self) -> int:
        """Vectors before the first token."""
        return self.shape.words + 1

    def front(self, text: Tensor, source: Tensor) -> Tensor:
        """[B, in_front, width]: the manner of drawing, then the words."""
        words = self.embed_text(text).unflatten(1, (self.shape.words, self.shape.width))
        return torch.cat([self.embed_source(source)[:, None], words], 1)

    def embedded(self, tokens: Tensor, told: Tensor) -> Tensor:
        x = self.embed_symbol(tokens.clamp(max=self.shape.symbols))
        for table, what in zip(self.embed_told, told.unbind(-1)):
            x = x + table(what)
        return x

    def run(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Embedded [B, T, width] -> hidden [B, T, width]; `cache` holds the past and is extended in place."""
        past = cache[0][0].shape[2] if cache else 0
        turns = rotations(past, x.shape[1], self.shape.width // self.shape.heads, x.device)
        for i, block in enumerate(self.blocks):
            x = block(x, turns, cache, i)
        return self.norm(x)

    def losses(self, tokens: Tensor, told: Tensor, text: Tensor, source: Tensor) -> Tensor:
        """Nats of each token [B, T] given those before it; 0 where the token is 0 (padding)."""
        x = torch.cat([self.front(text, source), self.embedded(tokens, told)[:, :-1]], 1)
        hidden = self.run(x)[:, self.shape.words:]   # the one before each token
        symbols, seen = self.shape.symbols, tokens > 0
        point = (tokens - symbols).clamp(min=0)
        column, row, is_point = point % self.shape.grid, point // self.shape.grid, tokens >= symbols
        h = hidden[seen]
        first = F.cross_entropy(self.head_first(h).float(), torch.where(is_point, symbols + column, tokens)[seen], reduction="none")
        second = F.cross_entropy(self.rows(hidden[is_point], column[is_point]).float(), row[is_point], reduction="none")
        out = torch.zeros(tokens.shape, device=tokens.device)
        out[seen] = first
        out[is_point] += second
        return out

    def rows(self, hidden: Tensor, column: Tensor) -> Tensor:
        """Logits of y [N, grid], given the x that was chosen; hidden [N, width], column int64 [N]."""
        return self.head_y(hidden + self.head_x(column))

    def config(self) -> dict:
        return asdict(self.shape)


class Block(nn.Module):
    """Attention to what came before, then a gated layer; both on normalised input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 6 * width, bias=False)
        self.down = nn.Linear(3 * width, width, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], cache: Cache | None, layer: int) -> Tensor:
        q, k, v = self.qkv(self.before(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = turned(q, turns), turned(k, turns)
        fresh = cache is None or len(cache) <= layer
        if not fresh:
            k, v = torch.cat([cache[layer][0], k], 2), torch.cat([cache[layer][1], v], 2)
            cache[layer] = (k, v)
        elif cache is not None:
            cache.append((k, v))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=fresh)      # one new token sees everything
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        gate, value = self.up(self.between(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * value)


def rotations(start: int, count: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [count, width / 2] of positions start, start + 1, ..."""
    speed = 10000.0 ** (-torch.arange(width // 2, device=device) / (width // 2))
    angle = torch.arange(start, start + count, device=device)[:, None] * speed
    return angle.cos(), angle.sin()


def turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = (t.to(x.dtype) for t in turns)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)
