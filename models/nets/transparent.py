"""The networks of LayerDiffuse (Zhang & Agrawala 2024, arXiv 2402.17113) under the tensor names of its released files.

Decoder: a seven-level UNet over the decoded pixels, into which the latents enter at an eighth of the resolution; it answers alpha and
colour. Encoder: strided convolutions that answer by how much a latent must move to remember its alpha.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.compat import mend_torchvision

WIDTHS = (32, 32, 64, 128, 256, 512, 512)            # of the released decoders
LATENT_LEVEL = 3                                     # the level, counted from full resolution, that the latents enter
ATTENTION_LEVELS = 3                                 # the smallest ones
LATENT_PX = 8
OFFSET_WIDTHS = (32, 32, 64, 64, 128, 128, 256, 256)
OFFSET_GAIN = 300.0                                  # the released encoders answer this much too small


class TransparentDecoder(nn.Module):
    """(rgb [B, 3, H, W] in [0, 1], latents [B, 4, H/8, W/8] as the autoencoder has them) -> [B, 4, H, W]: alpha, then straight rgb,
    around [0, 1], not clamped. H and W are multiples of 64."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS, latent_channels: int = 4) -> None:
        super().__init__()
        mend_torchvision()
        from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.latent_conv_in = nn.Conv2d(latent_channels, widths[LATENT_LEVEL - 1], 1)
        self.down_blocks = nn.ModuleList(_down(widths, level) for level in range(len(widths)))
        self.mid_block = UNetMidBlock2D(in_channels=widths[-1], temb_channels=None, resnet_eps=1e-5, resnet_act_fn="silu",
                                        attention_head_dim=8, resnet_groups=4, attn_groups=None)
        self.up_blocks = nn.ModuleList(_up(widths[::-1], level) for level in range(len(widths)))
        self.conv_norm_out = nn.GroupNorm(4, widths[0], 1e-5)
        self.conv_out = nn.Conv2d(widths[0], 4, 3, padding=1)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> TransparentDecoder:
        """The decoder these tensors belong to, not yet filled."""
        count = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("down_blocks."))
        widths = tuple(tensors[f"down_blocks.{level}.resnets.0.conv1.weight"].shape[0] for level in range(count))
        return cls(widths, tensors["latent_conv_in.weight"].shape[1])

    def forward(self, rgb: Tensor, latents: Tensor) -> Tensor:
        x = self.conv_in(rgb)
        kept: tuple[Tensor, ...] = (x,)
        for level, block in enumerate(self.down_blocks):
            x = x + self.latent_conv_in(latents) if level == LATENT_LEVEL else x
            x, out = block(hidden_states=x, temb=None)
            kept += out
        x = self.mid_block(x, None)
        for block in self.up_blocks:
            count = len(block.resnets)
            x, kept = block(x, kept[-count:], None), kept[:-count]
        return self.conv_out(F.silu(self.conv_norm_out(x)))


def _down(widths: tuple[int, ...], level: int) -> nn.Module:
    from diffusers.models.unets.unet_2d_blocks import get_down_block
    attends = level >= len(widths) - ATTENTION_LEVELS
    return get_down_block("AttnDownBlock2D" if attends else "DownBlock2D", num_layers=2, in_channels=widths[max(level - 1, 0)],
                          out_channels=widths[level], add_downsample=level < len(widths) - 1, downsample_padding=1, **_shared())


def _up(widths: tuple[int, ...], level: int) -> nn.Module:
    """`widths` from the smallest resolution to the largest."""
    from diffusers.models.unets.unet_2d_blocks import get_up_block
    last = len(widths) - 1
    return get_up_block("AttnUpBlock2D" if level < ATTENTION_LEVELS else "UpBlock2D", num_layers=3, in_channels=widths[min(level + 1, last)],
                        out_channels=widths[level], prev_output_channel=widths[max(level - 1, 0)], add_upsample=level < last, **_shared())


def _shared() -> dict[str, Any]:
    return dict(temb_channels=None, resnet_eps=1e-5, resnet_act_fn="silu", resnet_groups=4, attention_head_dim=8)


class OffsetEncoder(nn.Module):
    """[B, 4, H, W] (alpha, then padded rgb, in [0, 1]) -> the move of the latents in standard deviations, [B, 4, H/8, W/8]."""

    def __init__(self, widths: tuple[int, ...] = OFFSET_WIDTHS, latent_channels: int = 4) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (into, out) in enumerate(zip((4, *widths), widths)):
            layers += [nn.Conv2d(into, out, 3, stride=2 if i in (2, 4, 6) else 1, padding=1), nn.SiLU()]
        self.blocks = nn.Sequential(*layers, nn.Conv2d(widths[-1], latent_channels, 3, padding=1))
        nn.init.zeros_(self.blocks[-1].weight)
        nn.init.zeros_(self.blocks[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x) * OFFSET_GAIN


def decode_views(decoder: Callable[[Tensor, Tensor], Tensor], rgb: Tensor, latents: Tensor, views: int = 1) -> Tensor:
    """Straight rgba [B, 4, H, W] in [0, 1]: the median over `views` (1 to 8) turned and mirrored readings; shapes as TransparentDecoder,
    but any multiple of 8: the edge is continued to the next multiple of 64."""
    height, width = rgb.shape[2:]
    missing = [-side % 64 for side in (width, height)]
    rgb = F.pad(rgb, (0, missing[0], 0, missing[1]), mode="replicate")
    latents = F.pad(latents, (0, missing[0] // LATENT_PX, 0, missing[1] // LATENT_PX), mode="replicate")
    seen = []
    for flip, turns in list(product((False, True), range(4)))[:views]:
        turned = [torch.rot90(t.flip(3) if flip else t, turns, (2, 3)) for t in (rgb, latents)]
        back = torch.rot90(decoder(*turned).clamp(0, 1), -turns, (2, 3))
        seen.append(back.flip(3) if flip else back)
    out = torch.stack(seen).median(0).values if views > 1 else seen[0]
    return torch.cat([out[:, 1:], out[:, :1]], 1)[..., :height, :width]
