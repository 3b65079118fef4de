"""The embedded denoiser: a small UNet2DConditionModel, so that every diffusers and peft adapter format fits it.

Width is spent where pixels are few: 96 channels at 16x16, 192 at 8x8, 384 at 4x4, cross-attention on the lower two levels.
The sentence embedding enters through the time embedding, the token states through cross-attention.
"""
from __future__ import annotations

from typing import Any

from torch import Tensor

from models.compat import mend_torchvision

CONFIG: dict[str, Any] = dict(
    sample_size=16, in_channels=32, out_channels=32, block_out_channels=[96, 192, 384], layers_per_block=1,
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    cross_attention_dim=384, attention_head_dim=[2, 3, 6],           # diffusers reads this as the NUMBER of heads
    class_embed_type="projection", projection_class_embeddings_input_dim=384, norm_num_groups=32)

Cond = tuple[Tensor, Tensor | None, Tensor]          # token states [B, T, 384], mask bool [B, T] or None, pooled [B, 384]


def build_unet(config: dict[str, Any] = CONFIG) -> Any:
    """A UNet2DConditionModel with plain matmul attention, which on CPUs is faster than the fused kernel at these sizes."""
    mend_torchvision()
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor
    net = UNet2DConditionModel(**config)
    net.set_attn_processor(AttnProcessor())
    return net


def predict(net: Any, x: Tensor, time: Tensor | float, cond: Cond, **extra: Any) -> Tensor:
    """One forward: x [B, C, h, w] in VP units -> x0, same shape."""
    return net(**inputs_of(x, time, cond), return_dict=False, **extra)[0]


def inputs_of(x: Tensor, time: Tensor | float, cond: Cond) -> dict[str, Any]:
    """The keyword inputs of one forward, in diffusers' names."""
    states, mask, pooled = cond
    return dict(sample=x, timestep=time, encoder_hidden_states=states, class_labels=pooled, encoder_attention_mask=mask)
