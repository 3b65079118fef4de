"""Alfie's parts against their formulas: the border, maps, what spreads along self-attention, GrabCut's seeds, the soft alpha."""
from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.flows.whole_object import alpha_of, frame, grabbed, noun_maps, normal, paper_around, rectangle, seeds, spread
from models.job import Extent

SIDE = Extent(64, 48)


def seen(cross: np.ndarray, flow: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Result.seen of one picture: cross [nouns, h, w], flow [h * w, h * w] (the identity by default)."""
    n, h, w = cross.shape
    return {f"cross {h}x{w}": cross[None].astype(np.float32), f"self {h}x{w}": (np.eye(h * w) if flow is None else flow)[None].astype(np.float32)}


def ring(height: int = 96, width: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """(a red ring on white, uint8 [H, W, 3]; where it is)."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot(y - height / 2, x - width / 2)
    inside = (away < 34) & (away > 14)
    return np.where(inside[..., None], (200, 30, 40), (250, 250, 250)).astype(np.uint8), inside


def test_the_border_is_its_share_of_each_side() -> None:
    out = frame(Extent(160, 80), 1 / 8)
    assert (out[10:70, 20:140] == 0).all() and out[:10].all() and out[:, :20].all() and out[70:].all() and out[:, 140:].all()
    region = paper_around(Extent(160, 80), 1 / 8)
    assert region.prompt == "a white background" and (region.mask.array[..., 0] == out).all()


def test_maps_are_brought_to_their_own_range() -> None:
    assert normal(np.float32([2, 4, 3])).tolist() == [0, 1, 0.5] and not normal(np.full(3, 7.0)).any()
    maps = noun_maps(seen(np.stack([np.eye(4), np.zeros((4, 4))])), Extent(32, 32))
    assert maps.shape == (2, 32, 32) and maps.min() == 0 and maps[0].max() == 1 and not maps[1].any()
    assert maps[0][4, 4] > 0.7 > 0.2 > maps[0][28, 4]
    assert noun_maps({}, SIDE).shape == (0, 48, 64)


def test_the_mean_map_travels_along_self_attention() -> None:
    """ff[q] = sum over p of A[p] S[p, q]: a map on cell 0 whose attention goes to cell 3 ends up on cell 3."""
    cross, flow = np.zeros((1, 2, 2)), np.full((4, 4), 0.05)
    cross[0, 0, 0], flow[0, 3] = 1.0, 0.85
    out = spread(seen(cross, flow), Extent(64, 64))
    assert np.unravel_index(out.argmax(), out.shape)[0] > 32 and out[56, 56] > 0.9 and out[8, 8] < 0.2


def test_seeds_follow_the_strongest_noun_and_the_border_is_background() -> None:
    maps = np.float32([[[0.05, 0.2, 0.5, 0.9]], [[0.0, 0.35, 0.1, 0.1]]])
    assert seeds(maps).tolist() == [[cv2.GC_BGD, cv2.GC_PR_FGD, cv2.GC_PR_FGD, cv2.GC_FGD]]
    assert seeds(maps, np.array([[False, False, False, True]]))[0, 3] == cv2.GC_BGD


def test_grabcut_finds_the_ring_and_leaves_its_hole() -> None:
    rgb, inside = ring()
    labels = np.where(cv2.blur(inside.astype(np.float32), (15, 15)) > 0.4, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[:4] = cv2.GC_BGD
    found = grabbed(rgb, labels)
    assert (found == inside).mean() > 0.98 and not found[48, 48]


@pytest.mark.parametrize("labels", [np.full((96, 96), cv2.GC_BGD, np.uint8), np.full((96, 96), cv2.GC_FGD, np.uint8)])
def test_without_one_of_the_classes_the_inner_rectangle_is_tried(labels: np.ndarray) -> None:
    rgb, inside = ring()
    assert (grabbed(rgb, labels) == inside).mean() > 0.95
    assert (rectangle((100, 50))[10:90, 5:45] == cv2.GC_PR_FGD).all() and (rectangle((100, 50)) == cv2.GC_PR_FGD).sum() == 80 * 40


def test_one_colour_all_over_is_no_error() -> None:
    assert grabbed(np.full((32, 32, 3), 7, np.uint8), rectangle((32, 32))).dtype == bool


def test_alpha_is_grabcut_times_the_soft_map() -> None:
    rgb, inside = ring()
    cells = cv2.resize(inside.astype(np.float32), (12, 12), interpolation=cv2.INTER_AREA)
    found = seen(cells[None])
    for softness in (0.5, 3.0):
        alpha = alpha_of(rgb, found, softness=softness)
        maps = noun_maps(found, Extent(96, 96))
        soft = ((1 + softness) * normal(spread(found, Extent(96, 96)) + maps.mean(0))).clip(0, 1)
        hard = grabbed(rgb, seeds(maps))
        assert np.allclose(alpha, hard * soft, atol=1e-6) and ((alpha > 0) <= hard).all()
    assert alpha_of(rgb, found, softness=3.0).sum() > alpha_of(rgb, found, softness=0.5).sum()


def test_without_nouns_the_edge_is_hard() -> None:
    rgb, inside = ring()
    alpha = alpha_of(rgb, {})
    assert set(np.unique(alpha)) == {0.0, 1.0} and ((alpha > 0) == inside).mean() > 0.95
