"""Pairs for any resident base, random: the embedded base's own file and the published folder for SD 1.5."""
from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models import checkpoint
from models.nets.pair import ATTENTION, KIND, PARTS, Pair, config_for
from tests.tiny_adapters import Case

TRIGGERS = {"lines": "a line drawing of ", "shape": "a silhouette of "}


def random_pair(base: Any, seed: int = 0, loud: float = 0.3, **config: Any) -> tuple[Pair, dict[str, Any]]:
    """(network, its config); random matrices in place of the zeros that training starts from."""
    torch.manual_seed(seed)
    shape = config_for(base.network, 4, 4, **config)
    pair = Pair(shape)
    for name, p in pair.named_parameters():
        if name.endswith("up.weight") or ".last." in name:
            p.data.normal_(std=loud)
    return pair.eval(), shape


def write_own(path: Path, base: Any, seed: int = 0, loud: float = 0.3) -> Path:
    pair, shape = random_pair(base, seed, loud)
    checkpoint.save(path, KIND, {"pair": shape, "triggers": TRIGGERS}, {"updates": 0}, checkpoint.quantise(pair.state_dict()), "Random pair")
    return path


def published_parts(base: Any, pair: Pair) -> dict[str, dict[str, Tensor]]:
    """{"xy_lora", "yx_lora", "y_lora", "model": tensors} under their published names."""
    paths = {name.replace(".", "-"): name for name, _ in base.network.named_modules()}
    parts: dict[str, dict[str, Tensor]] = {"xy_lora": {}, "yx_lora": {}, "y_lora": {}, "model": {}}
    for key, layer in pair.layers.items():
        block = paths[key].removesuffix(".attn1")
        parts["model"][f"{block}.conv1n.weight"] = layer.last[0].weight
        for side, part in (("x", "xy_lora"), ("y", "yx_lora")):
            for short, matrix in PARTS.items():
                low = getattr(getattr(layer, side), short)
                parts[part] |= {f"unet.{block}.attn1n.{matrix}.lora.{role}.weight": getattr(low, role).weight for role in ("down", "up")}
    for key, low in pair.own.items():
        parts["y_lora"] |= {f"unet.{paths[key]}.lora.{role}.weight": getattr(low, role).weight for role in ("down", "up")}
    return {part: {name: t.detach().contiguous().clone() for name, t in tensors.items()} for part, tensors in parts.items()}


def write_published(folder: Path, base: Any, seed: int = 0, pickled: bool = False) -> Path:
    """The folder of one signal; `pickled`: with model.pth as it is downloaded. The header names the architecture because tiny bases have
    the text width of no real one."""
    pair, _ = random_pair(base, seed, y_targets=ATTENTION, straight=False, fused=True)
    parts = published_parts(base, pair)
    for part in ("xy_lora", "yx_lora", "y_lora"):
        (folder / part).mkdir(parents=True)
        save_file(parts[part], folder / part / "pytorch_lora_weights.safetensors")
    if pickled:
        torch.save(parts["model"], folder / "model.pth")
    else:
        save_file(parts["model"], folder / "model.safetensors", {"onestroke.arch": json.dumps(asdict(base.spec.arch))})
    return folder


CASES = {
    "tiny-student-pair": Case("tiny-student", lambda folder, base: write_own(folder / "tiny-student-pair.safetensors", base)),
    "tiny-teacher-pair": Case("tiny-teacher", lambda folder, base: write_own(folder / "tiny-teacher-pair.safetensors", base, 1),
                              dict(steps=2, guidance=3.0, seeds=(0, 1))),
    "tiny-sd1-edge": Case("tiny-sd1", lambda folder, base: write_published(folder / "tiny-sd1-edge", base), dict(steps=2, guidance=3.0, seeds=(0, 1))),
}
