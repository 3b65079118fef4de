"""SDXL checkpoints with the real layout, key names and configs, a few numbers wide and randomly initialised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests import tiny_sd

TEXT_WIDTHS, POOLED, TIME_WIDTH = (32, 64), 48, 256


def unet_config() -> dict[str, Any]:
    return dict(
        sample_size=128,
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        block_out_channels=[32, 64, 64],
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        transformer_layers_per_block=[1, 1, 2],
        attention_head_dim=[1, 1, 1],
        cross_attention_dim=sum(TEXT_WIDTHS),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_WIDTH,
        projection_class_embeddings_input_dim=POOLED + 6 * TIME_WIDTH,
    )


def vae_config() -> dict[str, Any]:
    return tiny_sd.vae_config() | dict(sample_size=1024, scaling_factor=0.13025, force_upcast=True)


def text_config(which: int) -> dict[str, Any]:
    """`which`: 0 or 1. The token ids are those of the published configs, which know neither begin nor end."""
    ids = dict(bos_token_id=0, eos_token_id=2, pad_token_id=1)
    size = dict(hidden_size=TEXT_WIDTHS[which], projection_dim=(TEXT_WIDTHS[0], POOLED)[which])
    return tiny_sd.text_config("sd2" if which else "sd1") | ids | size


def networks(seed: int = 0) -> dict[str, Any]:
    """{"unet", "vae", "text_encoder", "text_encoder_2"} with random weights."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    return {
        "unet": UNet2DConditionModel(**unet_config()),
        "vae": AutoencoderKL(**vae_config()),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**text_config(0))),
        "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**text_config(1))),
    }


def write_folder(folder: Path, nets: dict[str, Any], variant: str | None = None, **scheduler: Any) -> Path:
    """A diffusers folder as the hub has it."""
    return tiny_sd.write_folder(folder, nets, "sdxl", variant, **scheduler)


def single_file(nets: dict[str, Any]) -> dict[str, Tensor]:
    """The networks under the names of the original single-file layout."""
    tensors = tiny_sd.painters(nets, "sdxl")
    tensors |= tiny_sd.clip(nets["text_encoder"].state_dict(), "conditioner.embedders.0.transformer.")
    tensors |= tiny_sd.open_clip(nets["text_encoder_2"].state_dict(), "conditioner.embedders.1.model.")
    return tensors | {"denoiser.sigmas": torch.linspace(0.03, 14.6, 1000)}


def write_all(folder: Path) -> Path:
    """tiny-sdxl as a folder and as tiny-sdxl-file.safetensors with the same weights."""
    nets = networks()
    write_folder(folder / "tiny-sdxl", nets)
    tiny_sd.save(single_file(nets), folder / "tiny-sdxl-file.safetensors")
    return folder
