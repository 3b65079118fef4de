"""One picture and one sentence (PixWizard, Lin et al. 2024, arXiv 2409.15278, in small): a net beside the frozen UNet that does with a
picture what the sentence says.

As there: the picture's latents stand beside the noisy ones together with a channel that says whether there is one, the sentence comes
in by cross-attention whose gate starts near 0, and its pooled vector joins the time in modulating every block. Ours, because minutes are
few: the frozen UNet itself looks at the clean picture once with the sentence as its words, and what it sees there (`Taps`) tells where
the things are that the sentence names; the net steers the UNet by residuals that start at 0 (ControlNet, Zhang et al. 2023); and the
answer is x0 = picture + change + gate * (x0 of the steered UNet - picture), which starts as the picture itself: what nobody asks to
change need not be learned.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.unet import Cond

KIND = "onestroke.instruct"
LOOK_TIME = 300.0                                    # the training time at which the UNet looks at the clean picture
GROUPS, HEAD = 16, 32
ALPHA, PRESENT = 1, 1                                # channels beside the picture's latents: its alpha, and whether it is there
GATE = 0.1                                           # of attention at the start


@dataclass
class Source:
    """A picture as the net sees it: latents [B, C, h, w], alpha [B, 1, h, w] in 0..1, present [B] 0 or 1."""
    latents: Tensor
    alpha: Tensor
    present: Tensor

    def maps(self) -> Tensor:
        """[B, C + 2, h, w]; a hidden picture is all zeros."""
        there = self.present[:, None, None, None].to(self.latents)
        return torch.cat([self.latents * there, self.alpha * there, there.expand_as(self.alpha)], 1)

    def of(self, rows: int) -> Source:
        """The same one for a batch of `rows`."""
        return Source(*(t.expand(rows, *t.shape[1:]) for t in (self.latents, self.alpha, self.present)))


@dataclass
class Taps:
    """What the UNet's later blocks answered last, by name, while `open`."""
    seen: dict[str, Tensor] = field(default_factory=dict)
    open: bool = False


def tap_places(unet: Any) -> dict[str, tuple[int, int]]:
    """{block: (level, width)} of the blocks whose answers tell what the UNet sees: its middle, and its way up."""
    widths = list(unet.config.block_out_channels)
    last = len(widths) - 1
    return {"mid_block": (last, widths[-1])} | {f"up_blocks.{k}": (max(last - 1 - k, 0), widths[last - k]) for k in range(len(widths))}


@contextmanager
def tapped(unet: Any) -> Iterator[Taps]:
    """While inside, calls of the UNet with `taps.open` leave the answers of those blocks in `taps.seen`."""
    taps = Taps()
    keep = lambda name: lambda module, args, out: taps.seen.__setitem__(name, out) if taps.open else None
    handles = [unet.get_submodule(name).register_forward_hook(keep(name)) for name in tap_places(unet)]
    try:
        yield taps
    finally:
        for handle in handles:
            handle.remove()


class Block(nn.Module):
    """A residual block modulated by a vector (scale and shift), then attention over the positions and over the words, gated."""

    def __init__(self, into: int, out: int, vector: int, words: int, own: bool) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(GROUPS, into), nn.Conv2d(into, out, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(GROUPS, out), nn.Conv2d(out, out, 3, padding=1)
        self.modulate, self.skip = nn.Linear(vector, 2 * out), nn.Conv2d(into, out, 1) if into != out else nn.Identity()
        self.own = Attention(out, out) if own else None
        self.words = Attention(out, words)

    def forward(self, x: Tensor, vector: Tensor, states: Tensor, mask: Tensor | None) -> Tensor:
        scale, shift = self.modulate(vector)[:, :, None, None].chunk(2, 1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        x = self.skip(x) + h
        flat = x.flatten(2).transpose(1, 2)
        if self.own is not None:
            flat = flat + self.own(flat)
        flat = flat + self.words(flat, states, mask)
        return flat.transpose(1, 2).unflatten(2, x.shape[2:])


class Attention(nn.Module):
    """tanh(gate) * attention of [B, L, width] over [B, T, context], or over itself."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        self.norm, self.to_out, self.gate = nn.LayerNorm(width), nn.Linear(width, width), nn.Parameter(torch.full((1,), GATE))
        self.to_q, self.to_k, self.to_v = (nn.Linear(into, width, bias=False) for into in (width, context, context))

    def forward(self, x: Tensor, read: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        read = x if read is None else read
        q, k, v = (layer(t).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer, t in ((self.to_q, x), (self.to_k, read), (self.to_v, read)))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask[:, None, None, :])
        return torch.tanh(self.gate) * self.to_out(out.transpose(1, 2).flatten(2))


class Instruct(nn.Module):
    """`config` as `config_for` returns it: as many levels as the UNet has."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        c, w, words, self.vector = config["channels"], config["widths"], config["words"], config["vector"]
        block = lambda into, out, level: Block(into, out, self.vector, words, own=level > 0)
        last = len(w) - 1
        self.tap_levels, self.steer_levels = {name: level for name, (level, _) in config["taps"].items()}, [level for level, _ in config["residuals"]]
        self.time = nn.Sequential(nn.Linear(self.vector, self.vector), nn.SiLU(), nn.Linear(self.vector, self.vector))
        self.pooled = nn.Linear(words, self.vector)
        self.stem = nn.Conv2d(2 * c + ALPHA + PRESENT, w[0], 3, padding=1)
        self.taps = nn.ModuleDict({name.replace(".", "-"): nn.Conv2d(width, w[level], 1) for name, (level, width) in config["taps"].items()})
        self.down = nn.ModuleList(block(width, width, level) for level, width in enumerate(w))
        self.shrink = nn.ModuleList(nn.Conv2d(w[level], w[level + 1], 3, 2, 1) for level in range(last))
        self.grow = nn.ModuleList(nn.Conv2d(w[level + 1], w[level], 1) for level in range(last))
        self.up = nn.ModuleList(block(2 * w[level], w[level], level) for level in range(last))
        self.steer = nn.ModuleList(_zero(nn.Conv2d(w[level], width, 1)) for level, width in config["residuals"])
        self.head = nn.Sequential(nn.Conv2d(w[0] + 2 * c, w[0], 3, padding=1), nn.SiLU(), _zero(nn.Conv2d(w[0], 2 * c, 3, padding=1)))

    def features(self, source: Source, x_vp: Tensor, time: Tensor, sentence: Cond, seen: dict[str, Tensor]) -> list[Tensor]:
        """One [B, width, h, w] a level, the finest first. x_vp [B, C, h, w] in variance-preserving units, time [B], sentence: states, mask
        and pooled vector of the instruction, seen: see Taps."""
        states, mask, pooled = sentence
        vector = self.time(_waves(time, self.vector).to(pooled.dtype)) + self.pooled(pooled)
        h, levels = self.stem(torch.cat([x_vp, source.maps().to(x_vp.dtype)], 1)), []
        for level, block in enumerate(self.down):
            h = self.shrink[level - 1](h) if level else h
            h = block(h + self._told(level, h, source, seen), vector, states, mask)
            levels.append(h)
        for level in reversed(range(len(self.up))):
            h = torch.cat([_sized(self.grow[level](levels[level + 1]), levels[level]), levels[level]], 1)
            levels[level] = self.up[level](h, vector, states, mask)
        return levels

    def _told(self, level: int, like: Tensor, source: Source, seen: dict[str, Tensor]) -> Tensor:
        """What the UNet sees of the picture at this level."""
        own = [self.taps[name.replace(".", "-")](seen[name].to(like.dtype)) for name, at in self.tap_levels.items() if at == level]
        return source.present[:, None, None, None].to(like.dtype) * sum(_sized(t, like) for t in own)

    def residuals(self, features: list[Tensor], amount: float = 1.0) -> dict[str, Any]:
        """What the UNet takes beside its inputs: the last of the steering layers is for its middle."""
        out = [amount * layer(features[level]) for layer, level in zip(self.steer, self.steer_levels, strict=True)]
        return {"down_block_additional_residuals": tuple(out[:-1]), "mid_block_additional_residual": out[-1]}

    def answer(self, features: list[Tensor], source: Source, x0: Tensor) -> Tensor:
        """x0 [B, C, h, w] of the instructed picture from that of the steered UNet."""
        picture = source.latents * source.present[:, None, None, None].to(source.latents)
        change, gate = self.head(torch.cat([features[0], picture.to(features[0].dtype), x0.to(features[0].dtype)], 1)).float().chunk(2, 1)
        return picture + change + gate * (x0 - picture)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
    return layer


def _sized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="nearest")


def _waves(time: Tensor, width: int) -> Tensor:
    """[B] -> sines and cosines [B, width]."""
    speeds = torch.exp(-9.2 * torch.arange(width // 2, device=time.device) / (width // 2))
    angles = time[:, None].float() * speeds
    return torch.cat([angles.sin(), angles.cos()], 1)


def config_for(unet: Any, widths: tuple[int, ...] = (96, 160, 224), vector: int = 192) -> dict[str, Any]:
    """The config for a UNet with one layer a level; `widths`: one a level."""
    own = list(unet.config.block_out_channels)
    sides = [(0, own[0])]                            # of its first convolution, then of every level: its layer, and what halves the side
    for level, width in enumerate(own):
        sides += [(level, width)] + ([(level + 1, width)] if level + 1 < len(own) else [])
    return {"channels": unet.config.in_channels, "widths": list(widths), "vector": vector, "words": unet.config.cross_attention_dim,
            "taps": tap_places(unet), "residuals": [*sides, (len(own) - 1, own[-1])]}
