"""Tiny autoencoders, random and narrower still, in the three layouts people have."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models.compat import mend_torchvision
from tests.tiny_adapters import Case

WIDTH, BLOCKS = 8, (1, 2, 1, 1)


def autoencoder(seed: int = 0, latent_channels: int = 4) -> Any:
    mend_torchvision()
    from diffusers import AutoencoderTiny

    torch.manual_seed(seed)
    return AutoencoderTiny(
        latent_channels=latent_channels, encoder_block_out_channels=(WIDTH,) * 4, decoder_block_out_channels=(WIDTH,) * 4,
        num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=BLOCKS)  # fmt: skip


def write(path: Path, base: Any, layout: str, seed: int = 0) -> Path:
    """`path` is a folder for the layout "folder", else a file; the header names the architecture of the tiny base."""
    net = autoencoder(seed)
    said = {"onestroke.arch": json.dumps(asdict(base.spec.arch))} if base is not None else None
    state = {k: v.contiguous() for k, v in net.state_dict().items()}
    if layout == "folder":
        net.save_config(path)
        save_file(state, path / "diffusion_pytorch_model.safetensors", said)
    elif layout == "file":
        save_file(state, path, said)
    else:
        own = {k.removeprefix("decoder.layers."): v for k, v in state.items() if k.startswith("decoder.")}
        save_file({f"{int(k.split('.')[0]) + 1}.{k.partition('.')[2]}": v for k, v in own.items()}, path, said)
    return path


def _case(name: str, base: str, layout: str) -> Case:
    return Case(base, lambda folder, net: write(folder / (name if layout == "folder" else f"{name}.safetensors"), net, layout))


CASES = {
    f"taesd-{layout}": _case(f"taesd-{layout}", base, layout)
    for base, layout in (("tiny-sd1", "folder"), ("tiny-sd2", "file"), ("tiny-sd1-file", "original"))
}
