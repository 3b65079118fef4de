"""ControlNets for SANA, random, as diffusers saves them."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.tiny_adapters import Case

TAKEN = ("in_channels", "out_channels", "num_attention_heads", "attention_head_dim", "num_cross_attention_heads", "cross_attention_head_dim",
         "cross_attention_dim", "caption_channels", "mlp_ratio", "sample_size", "patch_size")
LOUD = 0.5                                           # its outer layers start at zero, which would show nothing


def random_control(base: Any, seed: int = 0, layers: int = 2) -> Any:
    from diffusers import SanaControlNetModel
    torch.manual_seed(seed)
    net = SanaControlNetModel(**{key: base.network.config[key] for key in TAKEN}, num_layers=layers)
    for layer in (net.input_block, *net.controlnet_blocks):
        torch.nn.init.normal_(layer.weight, std=LOUD / layer.weight.shape[1] ** 0.5)
    return net.float().eval()


def write_folder(folder: Path, base: Any, seed: int = 0, layers: int = 2) -> Path:
    random_control(base, seed, layers).save_pretrained(folder)
    return folder


CASES = {
    "tiny-sana-hed": Case("tiny-sana", lambda folder, base: write_folder(folder / "tiny-sana-hed", base),
                          dict(steps=2, guidance=3.0, seeds=(0, 1))),
}
