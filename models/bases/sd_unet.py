"""Stable Diffusion 1.x and 2.x, SD-Turbo among them: a diffusers folder, a single-file checkpoint or a hub id in the cache.

Nothing is downloaded by itself. The noise levels come from the checkpoint's own scheduler; whether its network predicts epsilon,
v or the sample stays in `denoise` (Rombach et al. 2022; Sauer et al. 2023 for the turbo kind).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.bases import _sd_source
from models.bases._sd_base import SdBase, resting, token_ids
from models.bases._sd_layout import CONDITIONER, UNET, Layout, Shapes, layout_of, missing_parts
from models.bases._sd_parts import Parts
from models.bases._sd_source import Kind, check_whole, is_distilled
from models.devices import Device
from models.spec import SD1, SD2, BaseSpec, WeightFile

_COMMON: dict[str, Any] = dict(native_px=(512,), multiple_px=8, min_px=64, max_px=2048, inpainting=True)
_MANY_STEPS: dict[str, Any] = dict(max_steps=60, default_steps=20, default_guidance=7.5, negative_prompt=True)

SPECS = (
    BaseSpec(
        id="sd-turbo",
        title="SD-Turbo",
        arch=SD2,
        files=(WeightFile("model_index.json", repo="stabilityai/sd-turbo"),),
        bytes=5_160_000_000,
        licence="Stability AI Community",
        knows="Photographs and art in one step, 512 px.",
        **_COMMON,
    ),
    BaseSpec(
        id="sd15",
        title="Stable Diffusion 1.5",
        arch=SD1,
        bytes=4_270_000_000,
        licence="CreativeML Open RAIL-M",
        files=(WeightFile("model_index.json", repo="stable-diffusion-v1-5/stable-diffusion-v1-5"),),
        knows="Photographs and art, 512 px; the base most LoRAs are made for.",
        **_COMMON,
        **_MANY_STEPS,
    ),
)


def _layout(shapes: Shapes, name: str) -> Layout | None:
    if not any(key.startswith(UNET) for key in shapes) or any(key.startswith(CONDITIONER) for key in shapes):
        return None
    check_whole(name, missing_parts(shapes))
    return layout_of(shapes)


def _abilities(slug: str, side_px: int | None) -> dict[str, Any]:
    return _COMMON | {"native_px": (side_px or 512,)} | ({} if is_distilled(slug) else _MANY_STEPS)


KIND = Kind(
    specs=SPECS,
    pipeline=("StableDiffusionPipeline", "StableDiffusionInpaintPipeline"),
    parts=("unet", "vae", "text_encoder"),
    layout=_layout,
    family=lambda unet: "sd2" if unet.get("use_linear_projection") else "sd1",
    abilities=_abilities,
)


@dataclass(frozen=True)
class Words:
    """`states` [77, text width] of one prompt; `truncated` when its end did not fit."""

    states: Tensor
    truncated: bool


class SdUnetBase(SdBase):
    """UNet, VAE and CLIP. See models.contracts.Base for the shapes."""

    def __init__(self, spec: BaseSpec, device: Device, parts: Parts) -> None:
        super().__init__(spec, device, parts)
        self.text_encoder, self.tokenizer = resting(parts.texts[0], device.name), parts.tokenizers[0]

    def _encode_prompt(self, text: str) -> Words:
        ids, truncated = token_ids(text, self.tokenizer, self.text_encoder.config.max_position_embeddings, self.device)
        return Words(self.text_encoder(input_ids=ids).last_hidden_state[0], truncated)

    def batch_cond(self, conds: Sequence[Words]) -> Tensor:
        return torch.stack([c.states for c in conds])


def recognise(source: str) -> BaseSpec | None:
    """The spec of a folder, a single file or a hub id; None when it is another kind of model. Raises StudioError when broken."""
    return _sd_source.recognise(source, KIND)


def load(spec: BaseSpec, device: Device, cache_dir: Path | None = None) -> SdUnetBase:
    """Read the weights where they lie; a hub model only from the cache."""
    return SdUnetBase(spec, device, _sd_source.load_parts(spec, device, cache_dir, KIND))
