"""A checkpoint of Stable Diffusion 1.5's exact shape without its knowledge: for benches, and for machines that may not download."""
from __future__ import annotations

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


def write(folder: Path) -> Path:
    """A diffusers folder with the real layout, names and widths of SD 1.5, its weights drawn at random."""
    mend_torchvision()
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(**VAE).half(), text_encoder=CLIPTextModel(CLIPTextConfig(**TEXT)).half(),
        tokenizer=clip_tokenizer("<|endoftext|>"), unet=UNet2DConditionModel(**UNET).half(),
        scheduler=DDIMScheduler(**SCHEDULE, steps_offset=1, clip_sample=False), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False)
    pipeline.save_pretrained(folder)
    return folder
