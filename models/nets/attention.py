"""Hooks on the self-attention of a UNet: one picture of a batch reads another (`pair`), or what was kept of an earlier one (`kv_inject`).

A hook is given a layer and its normalised input [B, L, C] and says what is added to the layer's answer, None = nothing; the processor
that was found there goes on as it is, whichever it is, and the very same object is put back. Zero layers at the end of every hook make a
fresh one the identity, bit for bit.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Hook = Callable[[Any, Tensor], Tensor | None]
Grid = tuple[int, int]                               # rows and columns of positions
HIGHEST, OCTAVES = 1.57, 10.0                        # radians a position of the quickest rotary pair; how much slower the slowest turns
ACROSS = 1.5                                         # constant that makes fresh layers look straight across: a neighbour counts a tenth


class Added:
    """An attention processor: the answer of the one it wraps plus what a hook says."""

    def __init__(self, wrapped: Any, hook: Hook) -> None:
        self.wrapped, self.hook = wrapped, hook

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
                 attention_mask: Tensor | None = None, temb: Tensor | None = None, ip_adapter_masks: Any = None) -> Tensor:
        """hidden_states [B, L, C] -> [B, L, C]; the names are those diffusers passes to every processor."""
        extra = {} if ip_adapter_masks is None else {"ip_adapter_masks": ip_adapter_masks}
        out = self.wrapped(attn, hidden_states, encoder_hidden_states=encoder_hidden_states, attention_mask=attention_mask, temb=temb, **extra)
        more = self.hook(attn, hidden_states)
        return out if more is None else out + more.to(out.dtype)


@contextmanager
def hooked(hooks: Mapping[str, Hook], layers: Mapping[str, Any]) -> Iterator[None]:
    """Each layer of the same name gets its hook; leaving puts the very same processors back."""
    found = {name: layers[name].processor for name in hooks}
    try:
        for name, hook in hooks.items():
            layers[name].set_processor(Added(found[name], hook))
        yield
    finally:
        for name, processor in found.items():
            layers[name].set_processor(processor)


def self_attention(unet: Any) -> dict[str, Any]:
    """{key: layer} of the layers where a picture reads itself; a key is the layer's path with hyphens for dots, as modules may be called."""
    return {key_of(name): module for name, module in unet.named_modules() if name.endswith("attn1")}


def key_of(path: str) -> str:
    return path.replace(".", "-")


class LowRank(nn.Module):
    """What is added to a linear layer or a convolution: up(down(x)), zero at the start (Hu et al. 2021)."""

    def __init__(self, into: int, out: int, rank: int, kernel: int = 0, stride: int = 1) -> None:
        """kernel 0: of a linear layer."""
        super().__init__()
        self.down = nn.Conv2d(into, rank, kernel, stride, kernel // 2, bias=False) if kernel else nn.Linear(into, rank, bias=False)
        self.up = nn.Conv2d(rank, out, 1, bias=False) if kernel else nn.Linear(rank, out, bias=False)
        nn.init.normal_(self.down.weight, std=self.down.weight[0].numel() ** -0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.down(x))

    @staticmethod
    def shape_for(layer: nn.Module) -> list[int]:
        """The arguments but the rank: [into, out, kernel, stride]."""
        if isinstance(layer, nn.Conv2d):
            return [layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]]
        return [layer.in_features, layer.out_features, 0, 1]


@contextmanager
def beside(layers: Mapping[str, tuple[nn.Module, LowRank]], rows: Callable[[], slice | None]) -> Iterator[None]:
    """Low-rank additions to layers for some items of each batch: `rows()` says which, None = none. Leaving takes them off."""
    def hook_of(low: LowRank) -> Callable[..., Tensor | None]:
        def add(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
            part = rows()
            return None if part is None else torch.cat([out[:part.start], out[part] + low(args[0][part]).to(out.dtype)])
        return add
    with ExitStack() as hooks:
        for layer, low in layers.values():
            hooks.callback(layer.register_forward_hook(hook_of(low)).remove)
        yield


def grid_of(length: int, latent: Grid) -> Grid:
    """Rows and columns of a layer with `length` positions in a UNet whose picture has `latent`; every level halves, rounding up."""
    rows, columns = latent
    while rows * columns > length:
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    return rows, columns


@lru_cache(maxsize=32)
def _turns(grid: Grid, pairs: int) -> tuple[Tensor, Tensor]:
    """cos and sin [L, pairs]: half of the pairs turn with the row, half with the column (Su et al. 2021, "RoFormer", in 2-D)."""
    with torch.inference_mode(False):
        speeds = HIGHEST * OCTAVES ** (-torch.arange(pairs // 2) / (pairs // 2))
        row, column = (torch.arange(side, dtype=torch.float32) for side in grid)
        angles = torch.cat([(row[:, None, None] * speeds).expand(-1, grid[1], -1), (column[None, :, None] * speeds).expand(grid[0], -1, -1)], -1)
        return angles.flatten(0, 1).cos(), angles.flatten(0, 1).sin()


def rotated(t: Tensor, grid: Grid) -> Tensor:
    """t [B, heads, L, d] turned by the position of each; d is a multiple of 4."""
    cos, sin = (turn.to(t) for turn in _turns(grid, t.shape[-1] // 2))
    a, b = t.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Across(nn.Module):
    """Attention between two pictures on one grid, positions told by rotation. The same constant is added to queries and keys, so that a
    fresh layer reads what lies at its own place; what it reads elsewhere it learns. (Ours: 64 positions and minutes of training.)"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key = nn.Parameter(torch.full((width,), ACROSS)), nn.Parameter(torch.full((width,), ACROSS))

    def queries(self, q: Tensor, heads: int, grid: Grid) -> Tensor:
        """[B, L, C] -> [B, heads, L, C / heads]."""
        return rotated(split(q + self.query, heads), grid)

    def keys(self, k: Tensor, heads: int, grid: Grid) -> Tensor:
        return rotated(split(k + self.key, heads), grid)


def split(t: Tensor, heads: int) -> Tensor:
    """[B, L, C] -> [B, heads, L, C / heads]."""
    return t.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of split queries, keys and values, joined: [B, L, C]; one set of keys and values may serve the whole batch."""
    k, v = (t.expand(len(q), -1, -1, -1) for t in (k, v))
    return F.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype)).transpose(1, 2).flatten(2)
