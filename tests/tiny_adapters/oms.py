"""One More Step for tiny bases, random: the small regressor, and a UNet without time as a diffusers folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models import checkpoint
from models.adapters.oms import CLASS, timeless
from models.nets.oms import KIND, LatentMean
from tests.tiny_adapters import Case
from tests.tiny_sd import unet_config

HIDDEN, LOUD = 8, 20.0


def write_own(path: Path) -> Path:
    torch.manual_seed(0)
    net = LatentMean(hidden=HIDDEN)
    net.leave.weight.data.normal_(0, 0.5)
    checkpoint.save(path, KIND, {"hidden": HIDDEN}, {}, checkpoint.quantise(net.state_dict()), "Random light")
    return path


def write_folder(folder: Path, base: Any) -> Path:
    """As on the hub: the network in oms_module/; its config knows neither time nor class embeddings."""
    torch.manual_seed(0)
    config = unet_config("sd1") | {"cross_attention_dim": base.spec.arch.context_dim}
    net, inner = timeless(config), folder / "oms_module"
    net.conv_out.weight.data.mul_(LOUD)
    inner.mkdir(parents=True)
    (inner / "config.json").write_text(json.dumps(config | {"_class_name": CLASS, "_diffusers_version": "0.20"}), encoding="utf-8")
    state = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(state, inner / "diffusion_pytorch_model.safetensors", {"onestroke.arch": json.dumps(asdict(base.spec.arch))})
    return folder


CASES = {
    "light-own": Case("tiny-student", lambda folder, base: write_own(folder / "light-own.safetensors")),
    "light-unet": Case("tiny-sd1", lambda folder, base: write_folder(folder / "light-unet", base)),
}
