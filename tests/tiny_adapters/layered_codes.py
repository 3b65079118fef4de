"""Random layered codes for the tiny embedded base, as their own file."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models import checkpoint
from models.nets import layered_codes
from tests.tiny_adapters import Case

LOUD = 1.0                                           # values begin at zero; random ones show in pixels


def random_codes(network: Any, seed: int = 0) -> tuple[layered_codes.LayeredCodes, dict[str, Any]]:
    """(network, its config)."""
    torch.manual_seed(seed)
    config = layered_codes.config_for(network, side_px=32, widths=(8, 16, 32), narrow=8, context=16, hue_px=16, hue_widths=(8, 16))
    net = layered_codes.build(config)
    for keys in net.ip_adapter.values():
        torch.nn.init.normal_(keys.to_v_ip.weight, std=LOUD)
    net.full.fill_(0.05)
    return net.eval(), config


def write_own(path: Path, base: Any, seed: int = 0) -> Path:
    net, config = random_codes(base.network, seed)
    checkpoint.save(path, layered_codes.KIND, config, {}, checkpoint.quantise(net.state_dict()), "Random codes", says="Guesses.")
    return path


CASES = {"tiny-student-codes": Case("tiny-student", lambda folder, base: write_own(folder / "tiny-student-codes.safetensors", base))}
