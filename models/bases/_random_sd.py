"""Checkpoints of the exact shape of SD 1.5 and SDXL without their knowledge: for benches, and for machines that may not download."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from models.bases._sd_parts import SCHEDULE, clip_tokenizer
from models.compat import mend_torchvision

UNET: dict[str, Any] = dict(
    sample_size=64, in_channels=4, out_channels=4, layers_per_block=2, block_out_channels=[320, 640, 1280, 1280],
    down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    attention_head_dim=8, cross_attention_dim=768)
VAE: dict[str, Any] = dict(
    block_out_channels=[128, 256, 512, 512], layers_per_block=2, latent_channels=4, sample_size=512, scaling_factor=0.18215,
    down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4)
TEXT: dict[str, Any] = dict(
    vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768,
    max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=49406, eos_token_id=49407, pad_token_id=1)

XL_UNET: dict[str, Any] = dict(
    sample_size=128, in_channels=4, out_channels=4, layers_per_block=2, block_out_channels=[320, 640, 1280],
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], transformer_layers_per_block=[1, 2, 10],
    attention_head_dim=[5, 10, 20], cross_attention_dim=2048, use_linear_projection=True, addition_embed_type="text_time",
    addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816)
XL_VAE: dict[str, Any] = VAE | dict(sample_size=1024, scaling_factor=0.13025, force_upcast=True)
XL_TEXT: dict[str, Any] = TEXT | dict(
    hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, projection_dim=1280, hidden_act="gelu")


def write(folder: Path) -> Path:
    """A diffusers folder with the real layout, names and widths of SD 1.5 (2 GB), its weights drawn at random."""
    mend_torchvision()
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with _drawn_in_half():
        pipeline = StableDiffusionPipeline(
            vae=AutoencoderKL(**VAE), text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)), tokenizer=clip_tokenizer("<|endoftext|>"),
            unet=UNet2DConditionModel(**UNET), scheduler=_scheduler(), safety_checker=None, feature_extractor=None,
            requires_safety_checker=False)
    pipeline.save_pretrained(folder)
    return folder


def write_xl(folder: Path) -> Path:
    """The same for SDXL (7 GB)."""
    mend_torchvision()
    from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with _drawn_in_half():
        pipeline = StableDiffusionXLPipeline(
            vae=AutoencoderKL(**XL_VAE), text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)),
            text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**XL_TEXT)), tokenizer=clip_tokenizer("<|endoftext|>"),
            tokenizer_2=clip_tokenizer("!"), unet=UNet2DConditionModel(**XL_UNET), scheduler=_scheduler(), add_watermarker=False)
    pipeline.save_pretrained(folder)
    return folder


def _scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(**SCHEDULE, steps_offset=1, clip_sample=False)


@contextmanager
def _drawn_in_half() -> Iterator[None]:
    """Networks built inside are fp16 from the start, which halves the memory that writing takes; always the same numbers."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float16)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
