"""Transparent generation for tiny bases: our own file, and releases whose change of the network is added, a LoRA, or shared attention."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models import checkpoint
from models.adapters._layerdiffuse_parts import sd1_attention
from models.nets.rgba import KIND, RgbaDecoder, packed
from models.nets.transparent import OffsetEncoder, TransparentDecoder
from tests.tiny_adapters import Case
from tests.tiny_adapters.lora import factors, targets

WIDTHS, OWN_WIDTHS, RANK = (8,) * 7, (16, 16, 16), 4


def _peft(base: Any, generator: torch.Generator) -> dict[str, Tensor]:
    out = {}
    for name, module in targets(base.network, ("attn1.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0")):
        down, up = factors(module, RANK, generator)
        out |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    return out


def _added(base: Any, generator: torch.Generator) -> dict[str, Tensor]:
    layers = targets(base.network, ("attn1.to_q", "attn2.to_v", "attn2.to_out.0"))
    return {f"{name}.weight": 0.2 * torch.randn(module.weight.shape, generator=generator) for name, module in layers}


def shared(base: Any, generator: torch.Generator) -> dict[str, Tensor]:
    """The 32 units of the SD 1.5 release; the layers over frames are square in the width of the attention's answer."""
    layers, out = {name.replace(".", "_"): module for name, module in base.network.named_modules()}, {}
    for index in range(32):
        attention = layers[sd1_attention(index)]
        unit, width = f"hookers.layers.{index}", attention.to_k.out_features
        for short, layer in (("q", attention.to_q), ("k", attention.to_k), ("v", attention.to_v), ("out", attention.to_out[0])):
            down, up = factors(layer, RANK, generator)
            out |= {f"{unit}.to_{short}_lora.0.down.weight": down, f"{unit}.to_{short}_lora.0.up.weight": up}
        for short in "inqkvo":
            shape = (width,) if short == "n" else (width, width)
            out |= {f"{unit}.temporal_{short}.weight": 0.2 * torch.randn(shape, generator=generator), f"{unit}.temporal_{short}.bias": torch.zeros(width)}
    return out


def write_own(path: Path, base: Any, lora: bool = True) -> Path:
    torch.manual_seed(0)
    decoder = RgbaDecoder(32, OWN_WIDTHS)
    decoder.projection.load_state_dict(base.decoder.projection.state_dict())
    decoder.leave.weight.data.normal_(0, 0.1)
    tensors = packed(decoder, _peft(base, torch.Generator().manual_seed(1)) if lora else None)
    checkpoint.save(path, KIND, {"channels": 32, "widths": OWN_WIDTHS}, {}, checkpoint.quantise(tensors), "Random stickers")
    return path


def write_release(folder: Path, base: Any, change: Callable[[Any, torch.Generator], dict[str, Tensor]]) -> Path:
    folder.mkdir()
    torch.manual_seed(0)
    said = {"onestroke.arch": json.dumps(asdict(base.spec.arch))}
    decoder = TransparentDecoder(WIDTHS)
    decoder.conv_out.weight.data.mul_(4)
    save_file(change(base, torch.Generator().manual_seed(1)), folder / "any_attn.safetensors", said)
    save_file(decoder.state_dict(), folder / "any_transparent_decoder.safetensors")
    save_file(OffsetEncoder((4,) * 8).state_dict(), folder / "any_transparent_encoder.safetensors")
    return folder


CASES = {"rgba-own": Case("tiny-student", lambda folder, base: write_own(folder / "rgba-own.safetensors", base))} | {
    f"rgba-{name}": Case(on, lambda folder, base, name=name, change=change: write_release(folder / f"rgba-{name}", base, change))
    for name, on, change in (("added", "tiny-sd1", _added), ("lora", "tiny-sd2", _peft), ("shared", "tiny-sd1", shared))
}
