"""Stable Diffusion XL, its turbo kind and fine-tunes: a diffusers folder, a single-file checkpoint or a hub id in the cache.

Two text encoders give the words: the states before the last layer of each side by side, and the projected last state of the
second as one vector; the network is also told the size that the picture was scaled from, where it was cut and how large it is
(Podell et al. 2023, section 2.2; Sauer et al. 2023 for the turbo kind). Lightning and Hyper come as LoRAs. Nothing is
downloaded by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.bases import _sd_source
from models.bases._sd_base import SdBase, resting, token_ids
from models.bases._sd_layout import CONDITIONER, UNET, XL_CLIP, XL_OPEN_CLIP, Layout, Shapes, missing_xl_parts, xl_layout_of
from models.bases._sd_parts import Parts
from models.bases._sd_source import Kind, check_whole, is_distilled
from models.devices import Device
from models.errors import Incompatible
from models.spec import SDXL, BaseSpec, WeightFile

TURBO_PX, FULL_PX = 512, 1024
EDM_MARKS = ("edm_mean", "edm_std", "edm_vpred.sigma_max")  # tensors by which single files say that they walk other noise levels
REFINER = f"{CONDITIONER}0.model."  # the refiner has the second text encoder only, in the first place
NO_REFINER = "Use the base model; image-to-image at low strength refines with it."
_COMMON: dict[str, Any] = dict(multiple_px=8, min_px=64, max_px=2048, inpainting=True)
_MANY_STEPS: dict[str, Any] = dict(max_steps=60, default_steps=25, default_guidance=5.0, negative_prompt=True)

SPECS = (
    BaseSpec(
        id="sdxl-turbo",
        title="SDXL-Turbo",
        arch=SDXL,
        files=(WeightFile("model_index.json", repo="stabilityai/sdxl-turbo"),),
        bytes=13_875_000_000,
        native_px=(TURBO_PX,),
        licence="Stability AI Non-Commercial Community (sai-nc-community); commercial use by stability.ai/license",
        knows="Photographs and art in one to four steps, 512 px.",
        **_COMMON,
    ),
    BaseSpec(
        id="sdxl",
        title="Stable Diffusion XL 1.0",
        arch=SDXL,
        files=(WeightFile("model_index.json", repo="stabilityai/stable-diffusion-xl-base-1.0"),),
        bytes=13_875_000_000,
        native_px=(FULL_PX,),
        licence="CreativeML Open RAIL++-M",
        knows="Photographs and art, 1024 px; slow on a CPU, quick with a Lightning or Hyper LoRA at 4 steps and guidance 1.",
        **_COMMON,
        **_MANY_STEPS,
    ),
)


def _layout(shapes: Shapes, name: str) -> Layout | None:
    if not any(key.startswith(UNET) for key in shapes):
        return None
    if any(key.startswith(REFINER) for key in shapes):
        raise Incompatible(f"{name} is an SDXL refiner, which only goes over the pictures of another model.", NO_REFINER)
    if not any(key.startswith((XL_CLIP, XL_OPEN_CLIP)) for key in shapes):
        return None
    if any(mark in shapes for mark in EDM_MARKS):
        raise Incompatible(f"{name} was trained on other noise levels than SDXL (EDM).", "Use a model that predicts epsilon or v.")
    check_whole(name, missing_xl_parts(shapes))
    return xl_layout_of(shapes)


def _abilities(slug: str, side_px: int | None) -> dict[str, Any]:
    """Distilled at 512 px is made for one step, distilled at 1024 px (Lightning and kin) for about four."""
    distilled = is_distilled(slug)
    side_px = side_px or (TURBO_PX if distilled and "turbo" in slug else FULL_PX)
    few = dict(max_steps=8, default_steps=1 if side_px == TURBO_PX else 4)
    return _COMMON | {"native_px": (side_px,)} | (few if distilled else _MANY_STEPS)


def _check_index(index: dict[str, Any], name: str) -> None:
    if not any(index.get("text_encoder") or ()):
        raise Incompatible(f"{name} has one text encoder only, as SDXL refiners do.", NO_REFINER)


KIND = Kind(
    specs=SPECS,
    pipeline="StableDiffusionXL",
    parts=("unet", "vae", "text_encoder", "text_encoder_2"),
    layout=_layout,
    family=lambda unet: SDXL.family,
    abilities=_abilities,
    check_index=_check_index,
)


@dataclass(frozen=True)
class Words:
    """`states` [77, both text widths] and `pooled` [projection width] of one prompt; `truncated` when its end did not fit."""

    states: Tensor
    pooled: Tensor
    truncated: bool


class XlCond(NamedTuple):
    """Words of a batch: `states` [B, 77, both text widths], `pooled` [B, projection width]."""

    states: Tensor
    pooled: Tensor


class SdxlUnetBase(SdBase):
    """UNet, VAE and two text encoders. See models.contracts.Base for the shapes."""

    def __init__(self, spec: BaseSpec, device: Device, parts: Parts) -> None:
        super().__init__(spec, device, parts)
        self.text_encoder, self.text_encoder_2 = (resting(net, device.name) for net in parts.texts)
        self.tokenizer, self.tokenizer_2 = parts.tokenizers
        zeros = parts.index.get("force_zeros_for_empty_prompt", True)
        self.blank_is_zero = bool(zeros) and spec.negative_prompt

    def _encode_prompt(self, text: str) -> Words:
        """No words at all are zeros where guidance is used: that is how the network learned to paint without any."""
        first, _, truncated = self._read(self.text_encoder, self.tokenizer, text)
        second, out, truncated_too = self._read(self.text_encoder_2, self.tokenizer_2, text)
        words = Words(torch.cat([first, second], -1)[0], out.text_embeds[0], truncated or truncated_too)
        if self.blank_is_zero and not text.strip():
            return Words(torch.zeros_like(words.states), torch.zeros_like(words.pooled), False)
        return words

    def _read(self, encoder: Any, tokenizer: Any, text: str) -> tuple[Tensor, Any, bool]:
        """(states before the last layer [1, 77, width], all that the encoder answers, whether the end did not fit)."""
        ids, truncated = token_ids(text, tokenizer, encoder.config.max_position_embeddings, self.device)
        out = encoder(input_ids=ids, output_hidden_states=True)
        return out.hidden_states[-2], out, truncated

    def batch_cond(self, conds: Sequence[Words]) -> XlCond:
        return XlCond(torch.stack([c.states for c in conds]), torch.stack([c.pooled for c in conds]))

    def inputs(self, x: Tensor, sigma: float, cond: XlCond) -> dict[str, Any]:
        """The picture is said to be uncut and of its own size."""
        height, width = (side * self.latent_px for side in x.shape[2:])
        sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float32, device=self.device)
        added = dict(text_embeds=cond.pooled, time_ids=sizes.expand(len(x), -1))
        return super().inputs(x, sigma, cond.states) | {"added_cond_kwargs": added}


def recognise(source: str) -> BaseSpec | None:
    """The spec of a folder, a single file or a hub id; None when it is another kind of model. Raises StudioError when broken."""
    return _sd_source.recognise(source, KIND)


def load(spec: BaseSpec, device: Device, cache_dir: Path | None = None) -> SdxlUnetBase:
    """Read the weights where they lie; a hub model only from the cache."""
    return SdxlUnetBase(spec, device, _sd_source.load_parts(spec, device, cache_dir, KIND))
