"""T2I-Adapters for the tiny Stable Diffusion bases, random, as a folder and as a single file."""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.tiny_adapters import Case

LOUD = 4.0
CONFIGS = {
    "full_adapter": dict(in_channels=3, channels=[32, 64, 64, 64], num_res_blocks=2, downscale_factor=8, adapter_type="full_adapter"),
    "light_adapter": dict(in_channels=1, channels=[32, 64, 64], num_res_blocks=3, downscale_factor=8, adapter_type="light_adapter"),
    "full_adapter_xl": dict(in_channels=3, channels=[32, 64, 64, 64], num_res_blocks=2, downscale_factor=16, adapter_type="full_adapter_xl")}


def random_adapter(kind: str, seed: int = 0) -> Any:
    from diffusers import T2IAdapter
    torch.manual_seed(seed)
    net = T2IAdapter(**CONFIGS[kind]).eval()
    for name, weight in net.named_parameters():
        if name.endswith(("block2.bias", "out_conv.bias", "conv_in.bias")):
            torch.nn.init.normal_(weight, std=LOUD / 10)
    return net


def write(path: Path, base: Any, kind: str, seed: int = 0, prefix: str = "adapter.") -> Path:
    """A folder, or a single file where the name says so; tiny widths belong to no real base, so the header names it."""
    net = random_adapter(kind, seed)
    meta = {"onestroke.arch": json.dumps(asdict(base.spec.arch))}
    state = {prefix + k.removeprefix("adapter."): v.contiguous().clone() for k, v in net.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path, meta)
        return path
    net.save_config(path)
    save_file(state, path / "diffusion_pytorch_model.safetensors", meta)
    return path


CASES = {
    "tiny-sd1-t2i-sketch": Case("tiny-sd1", lambda folder, base: write(folder / "tiny-sd1-t2i-sketch", base, "light_adapter"),
                                dict(steps=2, guidance=3.0, seeds=(0, 1))),
    "tiny-sd1-t2i-depth": Case("tiny-sd1", lambda folder, base: write(folder / "tiny-sd1-t2i-depth.safetensors", base, "full_adapter", 1)),
}
