"""Training of the matting net at tiny size: samples whose truth holds, hints where the net is wrong, a file that the percept reads."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models import checkpoint
from models.devices import Device
from models.lab import cuttings, matting
from models.lab.budget import Budget
from models.lab.items import Item
from models.nets.matting import KIND, STAGES, Matting, trunk_from
from models.percepts import matting as percept
from models.spec import WeightFile


@pytest.fixture(scope="module")
def drawings() -> tuple[list[Item], np.ndarray]:
    """Coloured discs, two of an unseen concept, two of the unseen set."""
    rng, y, x = np.random.default_rng(0), *np.mgrid[:256, :256]
    pictures = np.zeros((8, 256, 256, 4), np.uint8)
    for picture in pictures:
        inside = np.hypot(x - rng.uniform(90, 160), y - rng.uniform(90, 160)) < rng.uniform(50, 80)
        picture[inside] = (*rng.integers(0, 255, 3), 255)
    split = ["train"] * 4 + ["test_concept"] * 2 + ["train"] * 2
    items = [Item("twemoji" if i < 6 else cuttings.HELD_OUT_SET, str(i), "disc", "flat emoji style", split[i], "objects", "CC-BY-4.0") for i in range(8)]
    return items, pictures


def test_rows_are_held_out_by_concept_and_by_set(drawings: tuple[list[Item], np.ndarray]) -> None:
    assert cuttings.split_rows(drawings[0]) == {"train": [0, 1, 2, 3], "concept": [4, 5], "set": [6, 7]}


@pytest.mark.parametrize("selective", [False, True])
def test_a_sample_shows_its_thing_where_alpha_says(drawings: tuple[list[Item], np.ndarray], selective: bool) -> None:
    source = cuttings.Cuttings(drawings[1], [0, 1, 2, 3], [np.full((90, 120, 3), 77, np.uint8)])
    kept, dropped = 0.0, 0.0
    for seed in range(24):
        one = source.draw(64, np.random.default_rng(seed), selective)
        assert one.rgb.shape == (64, 64, 3) and one.rgb.dtype == np.float32 and 0 <= one.rgb.min() and one.rgb.max() <= 1
        assert one.alpha.shape == one.other.shape == (64, 64) and (one.alpha + one.other).max() < 1.01
        kept, dropped = kept + one.alpha.mean(), dropped + one.other.mean()
    assert kept > 0.5 and bool(dropped > 0.5) is selective


@pytest.mark.parametrize("kind", range(8))
def test_every_ground_is_a_picture(drawings: tuple[list[Item], np.ndarray], kind: int) -> None:
    grounds = cuttings.Grounds(drawings[1], [0, 1], [np.full((90, 120, 3), 77, np.uint8)])
    made = grounds.kinds[kind][1](48, np.random.default_rng(kind))
    assert made.shape == (48, 48, 3) and np.isfinite(made).all() and -0.3 < made.min() and made.max() < 1.3


def test_a_composite_is_alpha_correct(drawings: tuple[list[Item], np.ndarray]) -> None:
    """Red over blue without any change: rgb is alpha * red + (1 - alpha) * blue to the bit."""
    f = cuttings.moved(np.where(drawings[1][0][..., 3:] > 0, np.uint8([255, 0, 0, 255]), np.uint8(0)), 64, 0.8, (0.5, 0.5), 20, False)
    rgb = f[..., :3] + np.float32([0, 0, 1]) * (1 - f[..., 3:])
    assert np.allclose(rgb[..., 0], f[..., 3], atol=1e-6) and np.allclose(rgb[..., 2], 1 - f[..., 3], atol=1e-6)


def test_hints_lie_where_the_net_is_wrong() -> None:
    alpha = np.zeros((64, 64), np.float32)
    alpha[20:44, 20:44] = 1
    missing, extra = alpha.copy(), alpha.copy()
    missing[20:44, 32:44] = 0
    extra[50:62, 4:24] = 1
    for seed in range(8):
        rng = np.random.default_rng(seed)
        keep = matting.corrective(alpha, missing, 1, rng)
        assert keep[..., 0].any() and not keep[..., 1].any() and keep[..., 0][20:44, 32:44].sum() > 0.5 * keep[..., 0].sum()
        drop = matting.corrective(alpha, extra, 1, rng)
        assert drop[..., 1].any() and not drop[..., 0].any() and drop[..., 1][48:, :26].sum() > 0.5 * drop[..., 1].sum()
        assert matting.corrective(alpha, alpha, 3, rng).any(), "where nothing is wrong something sure is said"
    given = matting.everything_but_the_edge(alpha, np.random.default_rng(0))
    assert (alpha[given[..., 0] > 0] == 1).all() and (alpha[given[..., 1] > 0] == 0).all() and (given.max(2) == 0).any()


def test_the_trunk_is_the_published_network_with_normalisation_folded_in() -> None:
    """One inverted residual by hand, at random weights and statistics."""
    torch.manual_seed(0)
    state = published_state()
    trunk, x = trunk_from(state).eval(), torch.rand(1, 3, 32, 32)
    norm = lambda x, name: F.batch_norm(x, *(state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")), eps=1e-3)
    half = norm(F.conv2d(F.pad((x - 127 / 255) * 255 / 128, (0, 1, 0, 1)), state["_conv_stem.weight"], stride=2), "_bn0").clamp(0, 6)
    depth = norm(F.conv2d(F.pad(half, (1, 1, 1, 1)), state["_blocks.0._depthwise_conv.weight"], groups=32), "_blocks.0._bn1").clamp(0, 6)
    expected = norm(F.conv2d(depth, state["_blocks.0._project_conv.weight"]), "_blocks.0._bn2")
    assert torch.allclose(trunk.early(x)[0], expected, atol=1e-4)


def published_state() -> dict[str, torch.Tensor]:
    """Random weights in the names of efficientnet-lite-pytorch."""
    state, before, k = {"_conv_stem.weight": torch.randn(32, 3, 3, 3) * 0.3} | statistics("_bn0", 32), 32, 0
    for count, size, _, expansion, channels in STAGES:
        for _ in range(count):
            inner = before * expansion
            if expansion > 1:
                state |= {f"_blocks.{k}._expand_conv.weight": torch.randn(inner, before, 1, 1) * 0.1} | statistics(f"_blocks.{k}._bn0", inner)
            state |= {f"_blocks.{k}._depthwise_conv.weight": torch.randn(inner, 1, size, size) * 0.1} | statistics(f"_blocks.{k}._bn1", inner)
            state |= {f"_blocks.{k}._project_conv.weight": torch.randn(channels, inner, 1, 1) * 0.1} | statistics(f"_blocks.{k}._bn2", channels)
            before, k = channels, k + 1
    return state


def statistics(name: str, count: int) -> dict[str, torch.Tensor]:
    values = {"weight": torch.rand(count) + 0.5, "bias": torch.randn(count), "running_mean": torch.randn(count), "running_var": torch.rand(count) + 0.5}
    return {f"{name}.{key}": value for key, value in values.items()}


def test_it_learns_and_its_file_is_the_percepts(drawings: tuple[list[Item], np.ndarray], tmp_path: Path) -> None:
    torch.manual_seed(0)
    config, path = matting.MattingConfig(batch_size=6, sides_px=(64,), lr=0.01, warmup=1), tmp_path / "matting.safetensors"
    net = Matting(width=32, blocks=1, up=(16, 16, 8))
    source = cuttings.Cuttings(drawings[1], [0, 1, 2, 3])
    rgb, hints, alpha = matting.batch(net, source, 64, config, np.random.default_rng(3))
    before = float(matting.matting_loss(net(rgb, hints), alpha).detach())
    trained = matting.train_matting(net, source, Budget(5, 12), config, lambda text: None)
    assert float(matting.matting_loss(trained(rgb, hints), alpha).detach()) < 0.9 * before
    assert matting.mean_errors(trained.eval(), source, [0, 1], (0, 1), 64).keys() == {"0 clicks", "1 clicks"}
    checkpoint.save(path, KIND, {"width": 32, "blocks": 1, "up": [16, 16, 8]}, {}, {k: v.half() for k, v in trained.state_dict().items()}, "Cut out")
    spec = percept.SPECS[0].__class__(**{**vars(percept.SPECS[0]), "files": (WeightFile(str(path)),)})
    cutter = percept.load(spec, Device("cpu", torch.float32))
    seen = cutter.look(rgb, hints)
    assert seen.shape == alpha.shape and (seen - trained(rgb, hints).sigmoid()).abs().max() < 0.06


def test_making_writes_weights_with_their_errors(drawings: tuple[list[Item], np.ndarray], tmp_path: Path) -> None:
    path, config = tmp_path / "matting.safetensors", matting.MattingConfig(batch_size=6, sides_px=(64,))
    errors = matting.make_matting(drawings, Budget(5, 1), path, "python -m models.lab matting", config, count=1, net=Matting())
    saved = checkpoint.load(path, KIND)
    assert saved.recipe["mean_alpha_error_per_mille_at_256_px"] == errors and saved.recipe["pictures_seen"] == 6
    assert set(errors) == {"concept", "set"} and path.stat().st_size < 3 * 2 ** 20 and cv2.getNumThreads() == 1
