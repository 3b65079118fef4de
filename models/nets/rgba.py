"""The embedded transparent decoder: latents -> straight RGBA, the trunk of the opaque decoder with a fourth channel.

A checkpoint is of kind KIND, config = the keywords of RgbaDecoder, tensors as `packed` names them: the decoder, and optionally a
LoRA of the UNet in PEFT names (unet.PATH.lora_A.weight [r, in], lora_B.weight [out, r], scale 1) that brings its latents to pictures
that are easy to cut out. Write it with checkpoint.save(path, KIND, config, recipe, packed(decoder, lora), title).
"""
from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.decoder import PatchDecoder

KIND = "onestroke.rgba"
DECODER = "decoder."


class RgbaDecoder(PatchDecoder):
    """latents [B, C, h, w] -> straight rgba [B, 4, 16h, 16w], around [0, 1], not clamped. Fresh, it is the linear decoder, opaque."""

    def __init__(self, channels: int = 32, widths: tuple[int, ...] = (192, 128, 64)) -> None:
        super().__init__(channels, widths)
        self.leave = nn.Conv2d(widths[-1], 4 * 16, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    @classmethod
    def from_opaque(cls, decoder: PatchDecoder) -> RgbaDecoder:
        """Starts with the colours of a trained opaque decoder of the same widths and alpha 1: only alpha is left to learn."""
        out = cls(decoder.enter.in_channels, tuple(first.first.in_channels for first, _, _ in decoder.stages))
        state = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
        for name in ("leave.weight", "leave.bias"):
            state[name] = torch.cat([state[name], torch.zeros_like(state[name][:16])])   # pixel_shuffle: 16 rows a channel
        out.load_state_dict(state)
        return out

    def forward(self, latents: Tensor) -> Tensor:
        x = self.enter(latents)
        for first, second, up in self.stages:
            x = up(second(first(x)))
            x = F.pixel_shuffle(x, 2) if isinstance(up, nn.Conv2d) else x
        change = F.pixel_shuffle(self.leave(F.silu(x)), 4)
        return torch.cat([self.projection.transpose(latents) + change[:, :3], 1 + change[:, 3:]], 1)


def packed(decoder: RgbaDecoder, lora: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The tensors of a checkpoint; `lora` in PEFT names."""
    return {DECODER + name: tensor for name, tensor in decoder.state_dict().items()} | dict(lora or {})


def pad_colours(rgba: Tensor) -> Tensor:
    """rgb [B, 3, H, W] of straight rgba [B, 4, H, W]: where it is transparent, the colours around flow in (push-pull, Gortler et al.
    1996, section 5), so that no invisible colour has a sharp edge."""
    colour, alpha = rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]
    if max(alpha.shape[2:]) == 1:
        return colour / alpha.clamp_min(1e-6)
    half = F.avg_pool2d(torch.cat([colour, alpha], 1), 2, ceil_mode=True, count_include_pad=False)
    seen = half[:, 3:].clamp(1e-6)
    gained = (half[:, 3:] * 4).clamp(max=1)                          # a coarser cell counts as full sooner
    below = pad_colours(torch.cat([half[:, :3] / seen, gained], 1))
    return colour + (1 - alpha) * F.interpolate(below, alpha.shape[2:], mode="bilinear", align_corners=False)
