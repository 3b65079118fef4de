"""UniCon (Li et al. 2024, arXiv 2410.11439): a picture x and its signals y (lines, a silhouette) are items of one batch in one UNet, each
with its own noise level, and read one another in every self-attention layer. Which of them is clean decides what is done: y clean paints
from a signal, x clean reads the signal off a picture, both from noise invent both.

Every layer: j_x = A(q of x, k and v of y), j_y = A(q of y, k and v of x), where A is the layer's own attention plus low-rank additions
of the side an item is on; [p_x, p_y] = W [j_x, j_y] with W = 0 at the start (over both together, or one for each side, which trains in
half the time), and o_x += w p_x, o_y += w p_y (section 3.2). Items of y also
have low-rank additions of their own in the rest of the UNet, which bring it to their kind of picture.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.nets.attention import Across, Grid, LowRank, attend, beside, grid_of, hooked, key_of, self_attention, split

KIND = "onestroke.pair"
PARTS = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}
ATTENTION = tuple(PARTS.values())
CONVOLUTIONS = ("conv1", "conv2", "conv_in", "conv_out")

LOOSE_FROM = 0.75                                    # share of time below which noisy lines are read as well as clean ones (measured)


def loosened(loose: float) -> float:
    """A person's 0..1, from exact lines to none, as the share of time at which a signal's noise begins. Lines are read through a lot of
    noise, so the scale begins where they start to get lost: up to LOOSE_FROM all of it would feel the same."""
    return LOOSE_FROM + (1 - LOOSE_FROM) * loose if loose > 0 else 0.0


@dataclass
class Pairing:
    """What the hooks of one UNet know of the next call: its batch is `count` items of x, then as many of each signal. `weights`: one a
    signal, () = no pairing. `latent`: rows and columns."""
    count: int = 0
    weights: tuple[float, ...] = ()
    latent: Grid = (0, 0)
    inside: bool = False                             # in the attention across, where y has no additions but its side's

    def rows(self) -> slice | None:
        """The items of y."""
        return slice(self.count, None) if self.weights and not self.inside else None


class Side(nn.Module):
    """Low-rank additions to the attention across, for the items of one side."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        for part in PARTS:
            setattr(self, part, LowRank(width, width, rank))


class PairLayer(nn.Module):
    """The attention across of one layer. `straight`: with positions (models.nets.attention.Across), which published weights lack.
    `fused`: one last layer over both answers, else one for each side."""

    def __init__(self, width: int, rank: int, straight: bool, fused: bool) -> None:
        super().__init__()
        self.x, self.y = Side(width, rank), Side(width, rank)
        self.across = Across(width) if straight else None
        self.last = nn.ModuleList(nn.Linear(2 * width if fused else width, 2 * width if fused else width, bias=False) for _ in "xy"[fused:])
        for layer in self.last:
            nn.init.zeros_(layer.weight)

    def forward(self, attn: Any, hidden: Tensor, pairing: Pairing) -> Tensor:
        """hidden [(1 + signals) * count, L, C] -> what is added to it."""
        count, signals = pairing.count, len(pairing.weights)
        grid = grid_of(hidden.shape[1], pairing.latent)
        q, k, v = (self._side(part, getattr(attn, PARTS[part])(hidden), hidden, count) for part in "qkv")
        q = self.across.queries(q, attn.heads, grid) if self.across else split(q, attn.heads)
        k = self.across.keys(k, attn.heads, grid) if self.across else split(k, attn.heads)
        v = split(v, attn.heads)
        q_x, k_x, v_x = (t[:count].repeat(signals, 1, 1, 1) for t in (q, k, v))
        read = torch.cat([attend(q_x, k[count:], v[count:]), attend(q[count:], k_x, v_x)])
        read = self._side("o", attn.to_out[0](read), read, count * signals)
        p_x, p_y = self._ended(*read.chunk(2))
        weights = hidden.new_tensor(pairing.weights).repeat_interleave(count)[:, None, None]
        return torch.cat([(weights * p_x).unflatten(0, (signals, count)).sum(0), weights * p_y])

    def _ended(self, j_x: Tensor, j_y: Tensor) -> Sequence[Tensor]:
        if len(self.last) == 1:
            return self.last[0](torch.cat([j_x, j_y], -1)).chunk(2, -1)
        return self.last[0](j_x), self.last[1](j_y)

    def _side(self, part: str, out: Tensor, seen: Tensor, count: int) -> Tensor:
        """`out` plus the additions of x to the first `count` items, of y to the rest."""
        x, y = getattr(self.x, part), getattr(self.y, part)
        return out + torch.cat([x(seen[:count]), y(seen[count:])]).to(out.dtype)


class Pair(nn.Module):
    """All that UniCon adds to a UNet. `config` as `config_for` returns it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        kind = config["rank"], config["straight"], config["fused"]
        self.layers = nn.ModuleDict({key: PairLayer(width, *kind) for key, width in config["layers"].items()})
        self.own = nn.ModuleDict({key: LowRank(*shape[:2], config["y_rank"], *shape[2:]) for key, shape in config["y_layers"].items()})


def config_for(unet: Any, rank: int = 16, y_rank: int = 16, y_targets: tuple[str, ...] = ATTENTION + CONVOLUTIONS,
               straight: bool = True, fused: bool = False) -> dict[str, Any]:
    """The config of a pair for a UNet; y_targets: endings of the layers with additions of y's own."""
    own = {key_of(name): LowRank.shape_for(module) for name, module in unet.named_modules()
           if name.endswith(y_targets) and isinstance(module, nn.Linear | nn.Conv2d)}
    return {"rank": rank, "y_rank": y_rank, "straight": straight, "fused": fused, "y_layers": own,
            "layers": {key: attn.to_q.in_features for key, attn in self_attention(unet).items()}}


def stacked(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """The keyword inputs of one call of a UNet for the items of both, in diffusers' names. Only what both have and what holds items is
    joined: what others add for one side only (the residuals of a control net) is nothing for the other."""
    counts = len(first["sample"]), len(second["sample"])
    out = {key: _joined(first.get(key), second.get(key), counts) for key in {**first, **second}}
    states, mask = "encoder_hidden_states", "encoder_attention_mask"
    longest = max(first[states].shape[1], second[states].shape[1])
    if min(first[states].shape[1], second[states].shape[1]) < longest:
        seen = [side.get(mask) for side in (first, second)]
        seen = [torch.ones_like(side[states][..., 0], dtype=torch.bool) if m is None else m for m, side in zip(seen, (first, second))]
        out[states] = torch.cat([padded(side[states], longest) for side in (first, second)])
        out[mask] = torch.cat([padded(m, longest) for m in seen])
    return out


def padded(t: Tensor, length: int) -> Tensor:
    """[B, T, ...] -> [B, length, ...] with zeros at the end."""
    return torch.cat([t, t.new_zeros(len(t), length - t.shape[1], *t.shape[2:])], 1)


def _joined(a: Any, b: Any, counts: tuple[int, int]) -> Any:
    """One input of both sides: None or absent on one side is zeros of the other's kind; what is no tensor of items stays."""
    some = b if a is None else a
    if isinstance(some, dict):
        return {key: _joined((a or {}).get(key), (b or {}).get(key), counts) for key in some}
    if isinstance(some, list | tuple):
        return type(some)(_joined(x, y, counts) for x, y in zip(a or [None] * len(some), b or [None] * len(some)))
    if not isinstance(some, Tensor):
        return some
    if a is not None and b is not None and a.ndim > 1 and a.shape[1] != b.shape[1]:
        return None                                  # words of different lengths: padded by the caller
    one, other = (some.new_zeros(n, *some.shape[1:]) if t is None and some.ndim else t for t, n in zip((a, b), counts))
    one, other = (t if t.ndim and len(t) == n else t.reshape(1).expand(n) for t, n in zip((one, other), counts))
    return torch.cat([one, other])


@contextmanager
def attached(unet: Any, pair: Pair, pairing: Pairing) -> Iterator[Pairing]:
    """Calls of the UNet follow `pairing`; leaving restores it exactly."""
    def hook_of(layer: PairLayer) -> Any:
        def hook(attn: Any, hidden: Tensor) -> Tensor | None:
            if not pairing.weights:
                return None
            pairing.inside = True
            try:
                return layer(attn, hidden, pairing)
            finally:
                pairing.inside = False
        return hook
    modules = {key_of(name): module for name, module in unet.named_modules()}
    with (beside({key: (modules[key], low) for key, low in pair.own.items()}, pairing.rows),
          hooked({key: hook_of(layer) for key, layer in pair.layers.items()}, self_attention(unet))):
        yield pairing
