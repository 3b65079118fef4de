"""The network that looks at a picture for an IP-Adapter: CLIP's vision tower from a folder, or the one in our own file."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import pixels
from models.compat import mend_torchvision
from models.devices import Device
from models.errors import BadInput, MissingWeights
from models.job import Extent, Picture
from models.nets.image_prompt import ImagePrompt
from models.weights import header

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)      # of CLIP's training pictures
REPO, CLIP_FILES = "h94/IP-Adapter", ("model.safetensors", "model.fp16.safetensors")
PLACES = {1024: "models/image_encoder", 1280: "sdxl_models/image_encoder"}                  # by width of the pooled vector
NAMES = {1024: "CLIP ViT-H/14", 1280: "CLIP ViT-bigG/14"}
BESIDE = ("image_encoder", "../image_encoder", "../models/image_encoder", "../sdxl_models/image_encoder")


def square(pictures: tuple[Picture, ...], side_px: int, device: Device) -> Tensor:
    """[n, 3, side, side] in [0, 1]: each picture on white, its centre square."""
    fitted = [pixels.cover(pixels.flatten(picture), Extent(side_px, side_px)) for picture in pictures]
    return torch.cat([pixels.to_tensor(picture, device.name) for picture in fitted])


@dataclass
class OwnEye:
    """The encoder that the file itself carries."""
    prompt: ImagePrompt
    device: Device

    def look(self, pictures: tuple[Picture, ...]) -> tuple[Tensor, Tensor]:
        """(features of the pictures, features of none), as many of both."""
        rgb = square(pictures, self.prompt.image_encoder.side_px, self.device)
        features = self.prompt.features(rgb.to(self.device.dtype))
        return features, self.prompt.blank(features)

    def bytes_resident(self) -> int:
        return 0                                     # counted with the file


@dataclass
class ClipEye:
    """CLIP: the pooled vector, or the states before the last layer. Without a picture: a zero vector, or the states of a black one
    after normalisation, as in training."""
    net: Any
    pooled: bool
    device: Device

    def look(self, pictures: tuple[Picture, ...]) -> tuple[Tensor, Tensor]:
        """(features of the pictures, features of none), as many of both."""
        rgb = square(pictures, self.net.config.image_size, self.device)
        mean, std = (torch.tensor(v, device=self.device.name)[:, None, None] for v in (MEAN, STD))
        seen = ((rgb - mean) / std).to(self.device.dtype)
        if self.pooled:
            vector = self.net(seen).image_embeds
            return vector, torch.zeros_like(vector)
        states = self.net(torch.cat([seen, torch.zeros_like(seen[:1])]), output_hidden_states=True).hidden_states[-2]
        return states[:-1], states[-1:].expand(len(seen), -1, -1)

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.net.parameters(), *self.net.buffers()))


def clip_eye(file: Path, width: int, pooled: bool, device: Device, cache_dir: Path | None) -> ClipEye:
    """CLIP from a folder beside `file` or from the hub's cache; `width`: of its pooled vector or of its states."""
    key = "projection_dim" if pooled else "hidden_size"
    seen = [folder for folder in _folders(file, cache_dir) if (folder / "config.json").is_file()]
    for folder in seen:
        if _config(folder).get(key) == width:
            return ClipEye(_load(folder, device), pooled, device)
    needed = NAMES.get(width, "CLIP image encoder") if pooled else NAMES[1024] if width == 1280 else "CLIP image encoder"
    place = PLACES.get(width, PLACES[1024]) if pooled else PLACES[1024]
    wrong = f' The one in {seen[0].parent.name}/{seen[0].name} is another.' if seen else ""
    raise MissingWeights(f"{file.name} looks through a {needed} ({key} {width}), which is not on this machine.{wrong}",
                         f'Download it (2.5 GB or more) with: hf download {REPO} --include "{place}/*.json" "{place}/*.safetensors". '
                         "Or put its folder, named image_encoder, beside the file.")


def _folders(file: Path, cache_dir: Path | None) -> list[Path]:
    from huggingface_hub import try_to_load_from_cache
    cached = [try_to_load_from_cache(REPO, f"{place}/config.json", cache_dir=root) for root in dict.fromkeys((cache_dir, None)) for place in PLACES.values()]
    return [*((file.parent / name).resolve() for name in BESIDE), *(Path(found).parent for found in cached if isinstance(found, str))]


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(f"{folder.name}/config.json is not readable JSON.", "Download or copy the folder again.") from None
    return config.get("vision_config", config) | {k: config[k] for k in ("projection_dim",) if k in config}


def _load(folder: Path, device: Device) -> Any:
    weights = next((folder / name for name in CLIP_FILES if (folder / name).exists()), None)
    if weights is None:
        raise MissingWeights(f"The folder {folder.name} has no {CLIP_FILES[0]}.", f"Get it in safetensors form: hf download {REPO}")
    header(weights)
    mend_torchvision()
    from transformers import CLIPVisionModelWithProjection
    variant = "fp16" if "fp16" in weights.name else None
    net, told = CLIPVisionModelWithProjection.from_pretrained(folder, variant=variant, use_safetensors=True, local_files_only=True, dtype=device.dtype,
                                                              output_loading_info=True)
    if lost := sorted(told["missing_keys"]):
        raise MissingWeights(f"{folder.name} lacks {len(lost)} tensors, the first is {lost[0]}.", "Download or copy it again.")
    return net.to(device.name).eval().requires_grad_(False)
