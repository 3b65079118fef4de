"""LayerDiffuse's files for layers that know of each other, for tiny bases: changes with a widened first convolution, and several frames."""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.adapters._layerdiffuse_parts import sd1_attention
from models.nets.transparent import TransparentDecoder
from tests.tiny_adapters import Case
from tests.tiny_adapters.layerdiffuse import WIDTHS
from tests.tiny_adapters.lora import factors, targets
from tests.tiny_sd import unet_name

RANK, EYES = 4, 8
STRIDES = ((3, EYES, EYES, EYES, EYES, EYES, EYES, EYES, EYES), (EYES,) * 3, (EYES,) * 3, (EYES,) * 3)


def widened(base: Any, pictures: int, generator: torch.Generator, forge: bool = False) -> dict[str, Tensor]:
    """Changes of some layers and of the first convolution, which takes `pictures` layers more."""
    draw = lambda *shape: 0.2 * torch.randn(shape, generator=generator)
    out = {f"{name}.weight": draw(*module.weight.shape) for name, module in targets(base.network, ("attn1.to_q", "conv1", "norm2"))}
    first = base.network.conv_in.weight
    out["conv_in.weight"] = draw(first.shape[0], first.shape[1] * (1 + pictures), *first.shape[2:])
    out["conv_in.bias"] = draw(first.shape[0])
    return {f"diffusion_model.{unet_name(name, 'sdxl')}::diff::0": tensor for name, tensor in out.items()} if forge else out


def framed(base: Any, frames: int, control: bool, generator: torch.Generator) -> dict[str, Tensor]:
    """The 32 units of an SD 1.5 release, and its eyes."""
    draw = lambda *shape: 0.2 * torch.randn(shape, generator=generator)
    layers, out = {name.replace(".", "_"): module for name, module in base.network.named_modules()}, {}
    for index in range(32):
        attention, unit = layers[sd1_attention(index)], f"hookers.layers.{index}"
        width = attention.to_k.out_features
        for frame in range(frames):
            for short, layer in (("q", attention.to_q), ("k", attention.to_k), ("v", attention.to_v), ("out", attention.to_out[0])):
                down, up = factors(layer, RANK, generator)
                out |= {f"{unit}.to_{short}_lora.{frame}.down.weight": down, f"{unit}.to_{short}_lora.{frame}.up.weight": up}
            if control:
                out |= {f"{unit}.control_convs.{frame}.0.weight": draw(EYES, EYES, 3, 3), f"{unit}.control_convs.{frame}.0.bias": draw(EYES),
                        f"{unit}.control_convs.{frame}.2.weight": draw(width, EYES, 1, 1), f"{unit}.control_convs.{frame}.2.bias": draw(width)}
        for short in "inqkvo":
            out |= {f"{unit}.temporal_{short}.weight": draw(width) if short == "n" else draw(width, width), f"{unit}.temporal_{short}.bias": draw(width)}
    for block, widths in enumerate(STRIDES if control else ()):
        for number, (into, leave) in enumerate(zip(widths, widths[1:])):
            name = f"kwargs_encoder.blocks_{block}.{2 * number}"
            out |= {f"{name}.weight": draw(leave, into, 3, 3), f"{name}.bias": draw(leave)}
    return out


def save(path: Path, tensors: dict[str, Tensor], base: Any, decoder: bool = False) -> Path:
    """A file as it would be downloaded, the transparent decoder beside it where it needs one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"onestroke.arch": json.dumps(asdict(base.spec.arch))})
    if decoder:
        torch.manual_seed(0)
        net = TransparentDecoder(WIDTHS)
        net.conv_out.weight.data.mul_(4)
        save_file(net.state_dict(), path.parent / "vae_transparent_decoder.safetensors")
    return path


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(4)


CASES = {
    "tiny-fg2ble": Case("tiny-sdxl", lambda folder, base: save(folder / "concat" / "tiny-fg2ble.safetensors", widened(base, 1, _seeded()), base)),
    "tiny-bg2fg": Case("tiny-sd1", lambda folder, base: save(folder / "frames" / "tiny-bg2fg.safetensors", framed(base, 2, True, _seeded()), base, True),
                       {"seeds": (0, 1)}),
}
