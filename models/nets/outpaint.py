"""Beyond the edges of a picture and into its holes: what a frozen UNet is given to see of the known part, and where that lies.

After PQDiff (Zhang et al. 2024, arXiv 2401.15652): the known part is seen twice. As the anchor, in a grid of its own however small it is on
the canvas: every cell of the canvas asks it by position, in units of the anchor's cells (section 3.2), so any box and any factor is one
question and one run. And on the canvas itself, as clean cells with the share of each that is known, which also says what a hole is. Both
are added behind the UNet's first convolution; low-rank additions to its layers (Hu et al. 2021) bring it to go on from them.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.attention import LowRank, attend, key_of, split

KIND = "onestroke.outpaint"
TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "ff.net.2", "conv_out")
WIDTH, HEADS, ANCHOR = 128, 4, 16                    # of the question by position; cells of an anchor's side
QUICKEST, SLOWER = 2.0, 32.0                         # radians a cell of the quickest sine; how much slower the slowest turns
SHARP = 2.66                                         # with this a fresh question reads what lies at its own place: a neighbour counts 3 %
GREY = 0.5                                           # of pixels that are unknown


@dataclass
class Sight:
    """What the hooks of one UNet hold: `seen` [1 or B, C, h, w] behind its first convolution, and how much of everything is added;
    None or 0 = the UNet as it is."""
    seen: Tensor | None = None
    amount: float = 0.0

    @property
    def on(self) -> bool:
        return self.seen is not None and self.amount != 0


def places(y: Tensor, x: Tensor) -> Tensor:
    """Sines and cosines of places, y [B, h] and x [B, w] in cells -> [B, h * w, WIDTH]. Every head gets all speeds, of rows and of columns."""
    count = WIDTH // 4
    speeds = QUICKEST * SLOWER ** (-torch.arange(count, dtype=torch.float32, device=y.device) / count)
    rows, columns = (torch.stack([(v[..., None] * speeds).sin(), (v[..., None] * speeds).cos()], -1) for v in (y.float(), x.float()))
    wide = [-1, y.shape[1], x.shape[1], -1, -1]
    both = torch.cat([rows[:, :, None].expand(wide), columns[:, None].expand(wide)], -1)           # [B, h, w, speeds, 4]
    return both.unflatten(3, (-1, HEADS)).transpose(3, 4).flatten(3).flatten(1, 2)


def relative_grid(box: Tensor, rows: int, columns: int, cells: int = ANCHOR) -> tuple[Tensor, Tensor]:
    """Where the middle of each cell of a canvas lies, counted in cells of the anchor whose `box` [B, 4] (x0, y0, x1, y1) is given in shares
    of the canvas: (y [B, rows], x [B, columns]) (PQDiff, equations 4 and 5)."""
    x0, y0, x1, y1 = box.float().unbind(1)
    middle = lambda count: (torch.arange(count, device=box.device) + 0.5) / count
    along = lambda count, low, high: (middle(count)[None] - low[:, None]) / (high - low)[:, None] * cells - 0.5
    return along(rows, y0, y1), along(columns, x0, x1)


class Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class PosQuery(nn.Module):
    """Cross-attention whose questions are places only."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.enter, self.blocks = nn.Conv2d(channels + 1, WIDTH, 3, padding=1), nn.ModuleList(Block(WIDTH) for _ in range(2))
        self.query, self.place, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.first, self.last = nn.Linear(2 * WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, out)
        for layer in (self.query, self.place):
            layer.weight.data.copy_(torch.eye(WIDTH) * SHARP)
        nn.init.zeros_(self.key.weight)
        nn.init.zeros_(self.last.weight), nn.init.zeros_(self.last.bias)

    def forward(self, anchor: Tensor, box: Tensor, rows: int, columns: int) -> Tensor:
        """anchor [B, C + 1, a, a], its last channel the share that is known; box [B, 4] -> [B, out, rows, columns]."""
        x = self.enter(anchor)
        for block in self.blocks:
            x = block(x)
        tokens, side = x.flatten(2).transpose(1, 2), torch.arange(anchor.shape[-1], device=anchor.device)[None]
        asked = places(*relative_grid(box, rows, columns, anchor.shape[-1])).to(x.dtype)
        q = split(self.query(asked), HEADS)
        k = split(self.place(places(side, side).to(x.dtype)) + self.key(tokens), HEADS)
        read = attend(q, k, split(self.value(tokens), HEADS))
        out = self.last(F.silu(self.first(torch.cat([read, asked.expand(len(read), -1, -1)], -1))))
        return out.transpose(1, 2).unflatten(2, (rows, columns))


class Outpaint(nn.Module):
    """All that is added to a UNet. `config` as `config_for` returns it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        channels, width = config["channels"], config["width"]
        self.eyes = nn.Conv2d(channels + 1, width, 3, padding=1)
        self.enter, self.leave = nn.Conv2d(channels + 1, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, width, 3, padding=1)
        self.anchor = PosQuery(channels, width)
        self.layers = nn.ModuleDict({key: LowRank(*shape[:2], config["rank"], *shape[2:]) for key, shape in config["layers"].items()})
        nn.init.zeros_(self.leave.weight), nn.init.zeros_(self.leave.bias)

    def seen(self, known: Tensor, anchor: Tensor, box: Tensor) -> Tensor:
        """known [B, C + 1, h, w] and anchor [B, C + 1, a, a]: latents (0 where nothing is known) and the known share of each cell; box [B, 4]
        of the anchor in shares of the canvas -> what is added behind the first convolution, [B, width, h, w]."""
        return self.eyes(known) + self.leave(F.silu(self.enter(known))) + self.anchor(anchor, box, *known.shape[-2:])


def config_for(unet: Any, rank: int = 32) -> dict[str, Any]:
    """The config for a UNet; `rank` of the additions to its layers."""
    layers = {key_of(name): LowRank.shape_for(module) for name, module in unet.named_modules()
              if name.endswith(TARGETS) and isinstance(module, nn.Linear | nn.Conv2d)}
    return {"channels": unet.config.in_channels, "width": unet.conv_in.out_channels, "rank": rank, "layers": layers}


def start_from(outpaint: Outpaint, unet: Any) -> Outpaint:
    """Its eyes begin as the UNet's own first convolution, so it sees known cells as the UNet sees clean ones; returns `outpaint`."""
    with torch.no_grad():
        outpaint.eyes.weight.zero_(), outpaint.eyes.bias.zero_()
        outpaint.eyes.weight[:, :-1] = unet.conv_in.weight
    return outpaint


def cells_of(encode: Any, rgb: Tensor, known: Tensor) -> Tensor:
    """rgb [B, 3, H, W] in [0, 1] and known [B, 1, H, W] of 0 and 1 -> [B, C + 1, h, w] as `seen` takes it; what is unknown is grey to
    `encode` and cells without a known pixel are 0."""
    latents = encode(rgb * known + GREY * (1 - known))
    share = F.avg_pool2d(known.float(), known.shape[-1] // latents.shape[-1])
    return torch.cat([latents * (share > 0), share.to(latents.dtype)], 1)


@contextmanager
def attached(unet: Any, outpaint: Outpaint, sight: Sight) -> Iterator[Sight]:
    """Calls of the UNet follow `sight`; leaving restores it exactly."""
    def low(layer: LowRank) -> Any:
        return lambda module, args, out: out + sight.amount * layer(args[0]).to(out.dtype) if sight.on else None
    modules = {key_of(name): module for name, module in unet.named_modules()}
    with ExitStack() as hooks:
        for key, layer in outpaint.layers.items():
            hooks.callback(modules[key].register_forward_hook(low(layer)).remove)
        look = lambda module, args, out: out + sight.amount * sight.seen.to(out.dtype) if sight.on else None
        hooks.callback(unet.conv_in.register_forward_hook(look).remove)
        yield sight
