"""The transparent decoder's training at tiny size: it learns alpha, and its file is the adapter's."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models import checkpoint
from models.lab import rgba
from models.lab.budget import Budget
from models.lab.items import Item
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder, fit_patches
from models.nets.rgba import KIND, RgbaDecoder


@pytest.fixture(scope="module")
def drawings() -> tuple[list[Item], np.ndarray]:
    """Coloured discs that are opaque inside and clear outside, two of them held out."""
    rng, y, x = np.random.default_rng(0), *np.mgrid[:256, :256]
    pictures = np.zeros((8, 256, 256, 4), np.uint8)
    for picture in pictures:
        cx, cy, radius = rng.uniform(90, 160), rng.uniform(90, 160), rng.uniform(50, 80)
        inside = np.hypot(x - cx, y - cy) < radius
        picture[inside] = (*rng.integers(0, 160, 3), 255)
    items = [Item("twemoji", str(i), "disc", "flat emoji style", "train" if i < 6 else "test_pair", "objects", "CC-BY-4.0") for i in range(8)]
    return items, pictures


def test_over_is_alpha_correct() -> None:
    half = torch.tensor([1.0, 0.0, 0.0, 0.5]).reshape(1, 4, 1, 1)
    assert torch.allclose(rgba.over(half, torch.tensor([[0.0, 0.0, 1.0]])).flatten(), torch.tensor([0.5, 0.0, 0.5]))


def test_it_learns_alpha_and_exports_it(drawings: tuple[list[Item], np.ndarray], tmp_path: Path) -> None:
    torch.manual_seed(0)
    items, pictures = drawings
    seen = rgba.over(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255, torch.ones(8, 3)) * 2 - 1
    patches = seen.unfold(2, 16, 16).unfold(3, 16, 16).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, 16, 16)
    encoder = PatchEncoder()
    for buffer, value in zip((encoder.basis, encoder.mean, encoder.scale), fit_patches(patches, 32)):
        buffer.copy_(value)
    encoder.scale.clamp_(1e-2)
    opaque = PatchDecoder(32, (16, 16, 16))
    opaque.projection.load_state_dict(encoder.state_dict())
    before = rgba.alpha_errors(RgbaDecoder.from_opaque(opaque), encoder, items, pictures)
    assert before["decoder"] == before["opaque"] > 0.5
    config = rgba.RgbaConfig(batch_size=6, crop_cells=16, lr=4e-3, on_white=1.0)
    path = tmp_path / "transparent.safetensors"
    after = rgba.make_rgba(encoder, opaque, drawings, Budget(10.0, max_updates=60), path, "test", config=config)
    assert after["decoder"] < 0.5 * before["decoder"]
    saved = checkpoint.load(path, KIND)
    again = RgbaDecoder(**saved.config)
    again.load_state_dict({k.removeprefix("decoder."): v.float() for k, v in saved.tensors.items()})
    assert rgba.alpha_errors(again, encoder, items, pictures)["decoder"] == pytest.approx(after["decoder"], abs=0.01)
