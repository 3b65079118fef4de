"""LoRA files for any resident base, random, in the two layouts people have."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.tiny_adapters import Case
from tests.tiny_sd import unet_name

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
CONVOLUTION = ("conv1", "proj_in", "time_emb_proj")
TEXT = ("q_proj", "mlp.fc1")


LAYOUTS = {
    f"{base}-{layout}{'-text' if text else ''}": (base, layout, text)
    for base, layout, text in (
        ("tiny-student", "peft", False),
        ("tiny-teacher", "kohya", False),
        ("tiny-sd1", "peft", True),
        ("tiny-sd1-file", "kohya", True),
        ("tiny-sd2", "peft", True),
        ("tiny-sd2-file", "kohya", False),
        ("tiny-sdxl", "peft", True),
        ("tiny-sdxl-file", "kohya", True),
    )
}


def targets(net: Any, endings: Iterable[str]) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in net.named_modules() if name.endswith(tuple(endings))]


def factors(module: nn.Module, rank: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random (down, up) of a layer, in the dimensions it computes in."""
    out, into, *kernel = module.weight.shape
    down = torch.randn(rank, into, *kernel, generator=generator) * 0.2
    up = torch.randn(out, rank, *[1] * len(kernel), generator=generator) * 0.2
    return down, up


def write(
    path: Path,
    base: Any,
    layout: str = "peft",
    seed: int = 0,
    rank: int = 4,
    alpha: float = 8.0,
    text: bool = False,
    endings: Iterable[str] = ATTENTION + CONVOLUTION,
) -> Path:
    """A LoRA that fits `base`; the header names its architecture because tiny bases have the width of no real one."""
    generator = torch.Generator().manual_seed(seed)
    nets = {"unet": targets(base.network, endings)}
    if text:
        nets |= {target: targets(getattr(base, target), TEXT) for target in ("text_encoder", "text_encoder_2") if hasattr(base, target)}
    place = _kohya_xl if hasattr(base, "text_encoder_2") else _kohya
    tensors: dict[str, Tensor] = {}
    for target, layers in nets.items():
        for name, module in layers:
            down, up = factors(module, rank, generator)
            tensors |= _peft(target, name, down, up) if layout == "peft" else _with_alpha(place(target, name), down, up, alpha)
    settings = {f"{target}.lora_alpha": alpha for target in nets}
    peft = {"lora_adapter_metadata": json.dumps(settings)} if layout == "peft" else {"ss_network_dim": str(rank)}
    save_file(tensors, path, {"onestroke.arch": json.dumps(asdict(base.spec.arch)), "modelspec.title": f"Random {seed}"} | peft)
    return path


def _peft(target: str, name: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    return {f"{target}.{name}.lora_A.weight": down, f"{target}.{name}.lora_B.weight": up}


def _with_alpha(place: str, down: Tensor, up: Tensor, alpha: float) -> dict[str, Tensor]:
    return {f"{place}.lora_down.weight": down, f"{place}.lora_up.weight": up, f"{place}.alpha": torch.tensor(alpha)}


def _kohya(target: str, name: str) -> str:
    return {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}[target] + name.replace(".", "_")


def _kohya_xl(target: str, name: str) -> str:
    """For SDXL the UNet's layers carry the names of single-file checkpoints."""
    if target == "unet":
        name = unet_name(f"{name}.weight", "sdxl").removesuffix(".weight")
    prefix = {"unet": "lora_unet_", "text_encoder": "lora_te1_text_model_", "text_encoder_2": "lora_te2_"}[target]
    return prefix + name.replace(".", "_")


def _case(name: str, seed: int) -> Case:
    base, layout, text = LAYOUTS[name]
    return Case(base, lambda folder, net: write(folder / f"{name}.safetensors", net, layout, seed, text=text))


CASES = {name: _case(name, seed) for seed, name in enumerate(LAYOUTS)}
