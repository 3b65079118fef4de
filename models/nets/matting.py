"""A small net that says how much of every pixel belongs to the thing: rgb and the user's hints -> alpha.

The trunk is the first eleven blocks of EfficientNet-Lite0 (Tan & Le 2019, Lite variant), whose ImageNet weights know more things than any
training here could show; normalisation is folded into its convolutions. At a sixteenth of the picture every place looks at every other
one (Vaswani et al. 2017), so that a click tells what the whole thing is. The way up keeps edges: the last step works on two by two
pixels of the picture itself.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KIND = "onestroke.matting"
MULTIPLE_PX = 16
MEAN, DEVIATION = 127 / 255, 128 / 255               # of the Lite family
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112))
"""Blocks, kernel, stride, expansion, channels; the stem before them halves a picture and gives 32 channels."""
STEM = 32
FROZEN = 2                                           # stages that see only colours and corners and need no training


def same(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Padded as TensorFlow's "same" does for even sides: with stride 2 one more behind than before."""
    size, stride = conv.kernel_size[0], conv.stride[0]
    before = (size - stride) // 2
    return conv(F.pad(x, (before, size - stride - before) * 2) if size > 1 else x)


class Inverted(nn.Module):
    """Inverted residual (Sandler et al. 2018) without squeeze, [B, a, H, W] -> [B, b, H / stride, W / stride]."""

    def __init__(self, a: int, b: int, size: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = a * expansion
        self.expand = nn.Conv2d(a, inner, 1) if expansion > 1 else None
        self.depth = nn.Conv2d(inner, inner, size, stride, groups=inner)
        self.project = nn.Conv2d(inner, b, 1)
        self.shortcut = stride == 1 and a == b

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x)) if self.expand else x
        y = self.project(F.relu6(same(y, self.depth)))
        return x + y if self.shortcut else y


class Trunk(nn.Module):
    """rgb [B, 3, H, W] in [0, 1] -> maps at a half, a quarter, an eighth and a sixteenth: 16, 24, 40 and 112 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 3, 2)
        self.stages, before = nn.ModuleList(), STEM
        for count, size, stride, expansion, channels in STAGES:
            self.stages.append(nn.Sequential(*(Inverted(before if k == 0 else channels, channels, size, stride if k == 0 else 1, expansion)
                                               for k in range(count))))
            before = channels

    def early(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of the stages that are never trained."""
        half = self.stages[0](F.relu6(same((rgb - MEAN) / DEVIATION, self.stem)))
        return half, self.stages[1](half)


class Attend(nn.Module):
    """Every place looks at every other; a depthwise convolution before tells it where it is (Chu et al. 2021). [B, C, h, w] -> same."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.where = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.wide, self.narrow = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        t = (x + self.where(x)).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norms[0](t)).reshape(b, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        t = t + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c))
        t = t + self.narrow(F.gelu(self.wide(self.norms[1](t))))
        return t.transpose(1, 2).reshape(b, c, h, w)


class Up(nn.Module):
    """A coarse map and a map of twice its sides, joined: [B, a, h, w], [B, skip, 2h, 2w] -> [B, b, 2h, 2w]."""

    def __init__(self, a: int, skip: int, b: int) -> None:
        super().__init__()
        self.down, self.side = nn.Conv2d(a, b, 1), nn.Conv2d(skip, b, 1)
        self.mix = nn.Conv2d(b, b, 3, padding=1)
        with torch.no_grad():
            self.side.weight.mul_(0.1)               # the trunk's maps reach 60

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        y = F.interpolate(self.down(x), scale_factor=2, mode="bilinear", align_corners=False) + self.side(skip)
        return F.silu(y + self.mix(F.silu(y)))


class Matting(nn.Module):
    """rgb [B, 3, H, W] in [0, 1] and hints [B, 2, H, W] in [0, 1] (1 where the user says keep, drop) -> logits of alpha [B, 1, H, W].

    H and W are multiples of 16. Hints may be a few dots, strokes, or nearly everything but the edge (then only the edge is looked at).
    """

    def __init__(self, width: int = 128, blocks: int = 3, up: Sequence[int] = (72, 40, 24)) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.hint8, self.hint16 = nn.Conv2d(2 * 64, 24, 1), nn.Conv2d(24, width, 1)
        self.enter = nn.Conv2d(STAGES[4][4], width, 1)
        self.blocks = nn.ModuleList(Attend(width) for _ in range(blocks))
        self.ups = nn.ModuleList((Up(width, STAGES[2][4] + 24, up[0]), Up(up[0], STAGES[1][4], up[1]), Up(up[1], STAGES[0][4] + 20, up[2])))
        self.leave = nn.Conv2d(up[2], 4, 3, padding=1)

    def forward(self, rgb: Tensor, hints: Tensor) -> Tensor:
        with torch.no_grad():
            half, quarter = self.trunk.early(rgb)
        eighth = self.trunk.stages[2](quarter)
        deep = self.trunk.stages[4](self.trunk.stages[3](eighth))
        told = F.silu(self.hint8(F.pixel_unshuffle(hints, 8)))
        x = self.enter(deep) + self.hint16(F.max_pool2d(told, 2))
        for block in self.blocks:
            x = block(x)
        x = self.ups[0](x, torch.cat([eighth, told], 1))
        x = self.ups[1](x, quarter)
        fine = F.pixel_unshuffle(torch.cat([rgb - 0.5, hints], 1), 2)
        return F.pixel_shuffle(self.leave(self.ups[2](x, torch.cat([half, fine], 1))), 2)


def trunk_from(state: Mapping[str, Tensor], eps: float = 1e-3) -> Trunk:
    """The trunk with the weights of an EfficientNet-Lite0 in the names of `efficientnet-lite-pytorch`, normalisation folded in."""
    trunk = Trunk()
    _fold(trunk.stem, state, "_conv_stem", "_bn0", eps)
    blocks = [block for stage in trunk.stages for block in stage]
    for k, block in enumerate(blocks):
        parts = [("_expand_conv", "_bn0", block.expand), ("_depthwise_conv", "_bn1", block.depth), ("_project_conv", "_bn2", block.project)]
        for conv, norm, into in parts:
            if into is not None:
                _fold(into, state, f"_blocks.{k}.{conv}", f"_blocks.{k}.{norm}", eps)
    return trunk


@torch.no_grad()
def _fold(into: nn.Conv2d, state: Mapping[str, Tensor], conv: str, norm: str, eps: float) -> None:
    """A convolution without bias and the batch normalisation after it, as one convolution."""
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + eps).sqrt()
    into.weight.copy_(state[f"{conv}.weight"] * scale[:, None, None, None])
    into.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)
