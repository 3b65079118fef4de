"""Image prompts for any resident base, random, in the published layout (basic and plus) and as the embedded base's own file."""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from models import checkpoint
from models.nets import image_prompt
from tests.tiny_adapters import Case

CLIP = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=14, projection_dim=24)
INNER, QUERIES, DEPTH = 64, 5, 4                   # diffusers reads four layers of a resampler only
LOUD = 3.0                                           # random values say little; louder, they show in pixels


def random_prompt(base: Any, plus: bool = False, own: bool = False, seed: int = 0) -> tuple[image_prompt.ImagePrompt, dict[str, Any]]:
    """(network, its config)."""
    torch.manual_seed(seed)
    config = image_prompt.config_for(base.network, 32, (8, 16, 32), QUERIES if plus else 4, INNER if plus else 0, DEPTH)
    if not own:
        config["encoder"], config["projection"]["width"] = None, CLIP["hidden_size" if plus else "projection_dim"]
    net = image_prompt.build(config)
    for keys in net.ip_adapter.values():
        keys.to_v_ip.weight.data.mul_(LOUD)
    return net.eval(), config


def write_published(path: Path, base: Any, plus: bool = False, seed: int = 0, encoder: bool = True) -> Path:
    """A file as published, its CLIP folder beside it; the header names the architecture because tiny bases have the width of no real one."""
    net, _ = random_prompt(base, plus, seed=seed)
    save_file({k: v.contiguous().clone() for k, v in net.state_dict().items()}, path, {"onestroke.arch": json.dumps(asdict(base.spec.arch))})
    if encoder:
        write_clip(path.parent / "image_encoder")
    return path


def write_clip(folder: Path) -> Path:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    torch.manual_seed(0)
    CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP)).save_pretrained(folder)
    return folder


def write_own(path: Path, base: Any, plus: bool = False, seed: int = 0) -> Path:
    net, config = random_prompt(base, plus, own=True, seed=seed)
    checkpoint.save(path, image_prompt.KIND, config, {"updates": 0}, checkpoint.quantise(net.state_dict()), "Random image prompt")
    return path


GUIDED = dict(steps=2, guidance=3.0, seeds=(0, 1))
CASES = {
    "tiny-student-look": Case("tiny-student", lambda folder, base: write_own(folder / "tiny-student-look.safetensors", base)),
    "tiny-teacher-look-plus": Case("tiny-teacher", lambda folder, base: write_own(folder / "tiny-teacher-look-plus.safetensors", base, True, 1), GUIDED),
    "tiny-sd1-ip": Case("tiny-sd1", lambda folder, base: write_published(folder / "tiny-sd1-ip.safetensors", base), GUIDED),
    "tiny-sd1-ip-plus": Case("tiny-sd1", lambda folder, base: write_published(folder / "tiny-sd1-ip-plus.safetensors", base, True)),
}
