"""ControlNets for any resident base, random, in every layout people have."""
from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models import checkpoint
from models.nets.control import KIND, build_control, start_from
from tests.tiny_adapters import Case
from tests.tiny_embedded import TINY
from tests.tiny_sd import unet_name

LOUD = 0.3                                           # their last layers start at zero, which would show nothing
HINTS = (16, 16, 32, 32)


def random_control(base: Any, seed: int = 0) -> Any:
    """A ControlNetModel for a Stable Diffusion base."""
    from diffusers import ControlNetModel
    torch.manual_seed(seed)
    return loud(ControlNetModel.from_unet(base.network, conditioning_embedding_out_channels=HINTS))


def loud(net: Any) -> Any:
    for module in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out):
        torch.nn.init.normal_(module.weight, std=LOUD / module.weight.shape[1] ** 0.5)
    return net.float().eval()


def write_folder(folder: Path, base: Any, seed: int = 0, variant: str | None = None) -> Path:
    random_control(base, seed).save_pretrained(folder, variant=variant)
    return folder


def write_file(path: Path, base: Any, seed: int = 0, original: bool = False) -> Path:
    state = random_control(base, seed).state_dict()
    save_file({original_name(k) if original else k: v.contiguous().clone() for k, v in state.items()}, path)
    return path


def write_own(path: Path, base: Any, seed: int = 0) -> Path:
    """The small net of the embedded base as the lab exports it."""
    torch.manual_seed(seed)
    net = loud(start_from(build_control(TINY, (8, 16, 32)), base.network))
    config = {"control": "scribble", "network": own_config()}
    checkpoint.save(path, KIND, config, {"updates": 0}, checkpoint.quantise(net.state_dict()), "Random control")
    return path


def own_config() -> dict[str, Any]:
    from models.nets.control import control_config
    return control_config(TINY, (8, 16, 32))


def original_name(name: str) -> str:
    """diffusers' name -> the one in the layout of the first ControlNet files."""
    if m := re.match(r"controlnet_down_blocks\.(\d+)\.(\w+)", name):
        short = f"zero_convs.{m[1]}.0.{m[2]}"
    elif name.startswith("controlnet_mid_block."):
        short = name.replace("controlnet_mid_block", "middle_block_out.0")
    elif m := re.match(r"controlnet_cond_embedding\.(conv_in|conv_out|blocks\.(\d+))\.(\w+)", name):
        place = {"conv_in": 0, "conv_out": 4 * len(HINTS) - 2}.get(m[1]) if m[2] is None else 2 * (int(m[2]) + 1)
        short = f"input_hint_block.{place}.{m[3]}"
    else:
        short = unet_name(name, "sd1")
    return f"control_model.{short}"


CASES = {
    "tiny-student-scribble": Case("tiny-student", lambda folder, base: write_own(folder / "tiny-student-scribble.safetensors", base)),
    "tiny-teacher-control": Case("tiny-teacher", lambda folder, base: write_own(folder / "tiny-teacher-control.safetensors", base, 1),
                                 dict(steps=2, seeds=(0, 1))),
    "tiny-sd1-canny": Case("tiny-sd1", lambda folder, base: write_folder(folder / "tiny-sd1-canny", base),
                           dict(steps=2, guidance=3.0, seeds=(0, 1))),
    "tiny-sd1-original": Case("tiny-sd1", lambda folder, base: write_file(folder / "tiny-sd1-original.safetensors", base, 1, original=True)),
    "tiny-sd2-depth": Case("tiny-sd2", lambda folder, base: write_file(folder / "tiny-sd2-depth.safetensors", base, 2)),
}
