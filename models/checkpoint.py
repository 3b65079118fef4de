"""Our own networks on disk: safetensors with the hyperparameters and the story of the weights in the header.

The lab writes, a base or adapter reads. Header keys (all strings, JSON where structured): `onestroke.kind`, `onestroke.config`,
`onestroke.recipe` (data, steps, seed, metrics), `modelspec.title`, `modelspec.license`. Matrices may be stored as int8 with one
fp16 scale per output row (`NAME` int8 and `NAME.scale`): four times smaller than fp32, relative error about 0.4 % a weight.
"""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.errors import MissingWeights
from models.files import write_atomic
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder
from models.nets.unet import build_unet

SCALE = ".scale"


@dataclass(frozen=True)
class Checkpoint:
    """`kind` names the network, `config` rebuilds it, `recipe` tells how it was made."""
    kind: str
    config: dict[str, Any]
    recipe: dict[str, Any]
    tensors: dict[str, Tensor]


def save(path: Path, kind: str, config: dict[str, Any], recipe: dict[str, Any], tensors: dict[str, Tensor],
         title: str, licence: str = "Apache-2.0", says: str = "") -> None:
    """Write `tensors` with their story, whole or not at all. `says`: one sentence for people."""
    header = {"onestroke.kind": kind, "onestroke.config": json.dumps(config), "onestroke.recipe": json.dumps(recipe),
              "modelspec.sai_model_spec": "1.0.1", "modelspec.title": title, "modelspec.license": licence}
    header |= {"modelspec.description": says} if says else {}
    write(path, tensors, header)


def write(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """A safetensors file that everyone on the machine may read (the library alone makes it private), whole or not at all."""
    def save_readable(temporary: Path) -> None:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, header)
        temporary.chmod(0o644)
    write_atomic(path, save_readable)


def load(path: Path, kind: str) -> Checkpoint:
    """Read and check; tensors come back dequantised (fp32 where they were int8)."""
    try:
        with safe_open(path, "pt") as f:
            meta = f.metadata() or {}
            tensors = {k: f.get_tensor(k) for k in f.keys()}
    except FileNotFoundError:
        raise MissingWeights(f"{path.name} is missing.", "Restore it with git, or rebuild it: python -m models.lab embedded") from None
    except (SafetensorError, OSError) as error:
        raise MissingWeights(f"{path.name} is damaged ({error}).", "Restore it with git, or rebuild it: python -m models.lab embedded") from error
    if meta.get("onestroke.kind") != kind:
        raise MissingWeights(f"{path.name} holds {meta.get('onestroke.kind', 'something else')}, not {kind}.", "Restore it with git.")
    return Checkpoint(kind, json.loads(meta["onestroke.config"]), json.loads(meta["onestroke.recipe"]), dequantise(tensors))


def load_unet(path: Path) -> tuple[Any, Checkpoint]:
    """A UNet file of the lab -> the network in fp32, and what its header says."""
    saved = load(path, "onestroke.unet")
    net = build_unet(saved.config)
    net.load_state_dict(saved.tensors)
    return net, saved


def load_autoencoder(path: Path) -> tuple[PatchEncoder, PatchDecoder]:
    """The autoencoder file -> encoder and decoder."""
    saved = load(path, "onestroke.patches")
    nets = PatchEncoder(saved.config["channels"]), PatchDecoder(**saved.config)
    for part, net in zip(("encoder.", "decoder."), nets):
        net.load_state_dict({k.removeprefix(part): v for k, v in saved.tensors.items() if k.startswith(part)})
    return nets


def quantise(tensors: dict[str, Tensor], min_elements: int = 4096) -> dict[str, Tensor]:
    """Matrices and convolutions as int8 rows, the rest as fp16."""
    out: dict[str, Tensor] = {}
    for name, t in tensors.items():
        if t.ndim < 2 or t.numel() < min_elements:
            out[name] = t.half()
            continue
        rows = t.float().flatten(1)
        scale = _half_up(rows.abs().amax(1, keepdim=True) / 127)
        out[name] = (rows / scale.float()).round().to(torch.int8).reshape(t.shape)
        out[name + SCALE] = scale[:, 0]
    return out


def _half_up(scale: Tensor) -> Tensor:
    """`scale` as fp16, never smaller than it was, so that no weight is cut and each is off by half a level at most."""
    return (scale * (1 + 2.0 ** -11) + 2.0 ** -25).half().clamp_min(2.0 ** -24)


def dequantise(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of quantise; fp16 and fp32 tensors pass unchanged."""
    out: dict[str, Tensor] = {}
    for name, t in tensors.items():
        if name.endswith(SCALE) and tensors.get(name.removesuffix(SCALE), t).dtype == torch.int8:
            continue
        if t.dtype == torch.int8:
            t = t.float() * tensors[name + SCALE].float().reshape(-1, *[1] * (t.ndim - 1))
        out[name] = t
    return out
