"""From lab state to the files in assets/: int8 UNets and the fp16 autoencoder, each with its story in the header."""
from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from models import checkpoint
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder
from models.nets.unet import CONFIG
from models.weights import ASSETS

EMBEDDED = ASSETS / "embedded"
AUTOENCODER = "decoder.safetensors"


def export_unet(name: str, tensors: dict[str, Tensor], recipe: dict[str, Any], folder: Path = EMBEDDED) -> Path:
    """`name` is teacher or student; recipe: data, updates, pictures_seen, seed, metrics."""
    path = folder / f"{name}.safetensors"
    checkpoint.save(path, "onestroke.unet", CONFIG, recipe, checkpoint.quantise(tensors), f"Onestroke embedded {name}")
    return path


def export_autoencoder(encoder: PatchEncoder, decoder: PatchDecoder, widths: tuple[int, ...], recipe: dict[str, Any],
                       folder: Path = EMBEDDED) -> Path:
    """Encoder fp32 (it is 100 kB and must stay orthogonal), decoder fp16."""
    tensors = {f"encoder.{k}": v.float() for k, v in encoder.state_dict().items()}
    tensors |= {f"decoder.{k}": v.half() for k, v in decoder.state_dict().items() if not k.startswith("projection.")}
    tensors |= {f"decoder.{k}": v.float() for k, v in decoder.state_dict().items() if k.startswith("projection.")}
    path = folder / AUTOENCODER
    config = {"channels": len(encoder.scale), "widths": list(widths)}
    checkpoint.save(path, "onestroke.patches", config, recipe, tensors, "Onestroke embedded autoencoder")
    return path
