"""The edge of a cut-out against what is known exactly: areas of discs, mixtures whose two colours were chosen."""
from __future__ import annotations

import numpy as np
import pytest

from models.layers import edges

SIDE = 96
Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float32)


def disc(radius: float, cx: float = 48, cy: float = 48) -> np.ndarray:
    """Alpha with an exact soft edge one pixel wide."""
    return np.clip(radius + 0.5 - np.hypot(X - cx, Y - cy), 0, 1)


def radius_of(alpha: np.ndarray) -> float:
    return float(np.sqrt(alpha.sum() / np.pi))


@pytest.mark.parametrize("px", [-5, -2.5, -1, 0, 1, 2.5, 6])
def test_an_edge_moves_by_what_was_asked(px: float) -> None:
    assert radius_of(edges.shifted(disc(25), px)) == pytest.approx(25 + px, abs=0.45)


@pytest.mark.parametrize("px", [1, 4, 9])
def test_feathering_softens_on_the_side_that_was_asked(px: float) -> None:
    alpha = disc(28)
    inwards, both, outwards = (edges.feathered(alpha, px, side) for side in ("inwards", "both", "outwards"))
    assert (inwards <= alpha).all() and (outwards >= alpha).all()
    assert radius_of(inwards) < radius_of(both) < radius_of(outwards) and abs(radius_of(both) - 28) < 0.6
    width = lambda a: ((a > 0.1) & (a < 0.9)).sum()
    assert min(width(inwards), width(both), width(outwards)) > width(alpha)
    assert edges.feathered(alpha, 0) is alpha


def test_islands_go_and_holes_stay_unless_asked() -> None:
    ring = disc(30) * (1 - disc(12))
    dirty = np.maximum(ring, disc(1.5, 6, 6))
    clean = edges.without_islands(dirty)
    assert clean[:12, :12].max() == 0 and np.array_equal(clean[14:], dirty[14:])
    assert np.array_equal(edges.without_islands(ring), ring), "one piece stays as it is"
    two = np.maximum(disc(14, 25, 48), disc(14, 70, 48))
    assert np.array_equal(edges.without_islands(two), two), "pieces of a size are not dirt"
    filled = edges.holes_filled(ring)
    assert filled[48, 48] == 1 and abs(radius_of(filled) - 30) < 0.2 and np.array_equal(filled[:10], ring[:10])


@pytest.mark.parametrize("scale", [1, 4])
def test_the_ground_leaves_the_colours_of_the_edge(scale: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An orange disc with a wide soft edge over green: what is found is orange, in blocks as well as whole."""
    monkeypatch.setattr(edges, "COARSE_PX", 48 if scale > 1 else 256)
    alpha = np.clip((34 - np.hypot(X - 48, Y - 48)) / 12, 0, 1)
    alpha = np.kron(alpha, np.ones((scale, scale), np.float32))
    orange, green = np.float32([0.9, 0.5, 0.1]), np.float32([0.1, 0.7, 0.2])
    rgb = ((alpha[..., None] * orange + (1 - alpha[..., None]) * green) * 255).round().astype(np.uint8)
    found = edges.foreground(rgb, alpha).astype(np.float32) / 255
    soft = (alpha > 0.1) & (alpha < 0.95)
    assert np.abs(found - orange)[soft].mean() < 0.02 < 0.15 < np.abs(rgb / 255 - orange)[soft].mean()
    assert np.array_equal((found * 255).round()[alpha >= 1], rgb[alpha >= 1]), "opaque pixels keep their colours exactly"


def test_blocks_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rgb, alpha = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), edges.feathered(disc(30), 6)
    whole = edges.foreground(rgb, alpha)
    monkeypatch.setattr(edges, "BLOCK_PX", 32)
    assert np.abs(edges.foreground(rgb, alpha).astype(int) - whole)[alpha > 0].max() <= 1


def test_invisible_colours_flow_on_from_visible_ones() -> None:
    alpha = disc(20)
    rgb = np.where(alpha[..., None] > 0, np.float32([0.8, 0.2, 0.1]), np.float32([0, 1, 1]))
    padded = edges.pad_rgb(rgb, alpha)
    assert np.abs(padded - np.float32([0.8, 0.2, 0.1])).max() < 0.02, "nothing of the hidden cyan is left"
    assert np.array_equal(edges.pad_rgb(rgb, np.ones_like(alpha)), rgb)
    assert np.isfinite(edges.pad_rgb(rgb, np.zeros_like(alpha))).all()
