"""Cut-outs, outlines and emptied backgrounds, against shapes whose true mask is known."""
from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.flows._cutout import SOLID, box_of, cut_out, emptied, enclosed, inner_colours, tidied, without_specks

PAPERS = [(255, 255, 255), (250, 240, 225), (30, 30, 60)]


def disc(radius: int = 60, side: int = 256) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return (x - side // 2) ** 2 + (y - side // 2) ** 2 <= radius ** 2


def on_paper(thing: np.ndarray, paper: tuple[int, ...], colour: tuple[int, ...] = (200, 60, 40), noise: float = 2.0) -> np.ndarray:
    """A soft-edged thing on slightly uneven paper."""
    alpha = cv2.GaussianBlur(thing.astype(np.float32), (0, 0), 1.0)[..., None]
    rgb = np.float32(colour) * alpha + np.float32(paper) * (1 - alpha)
    return (rgb + np.random.default_rng(0).normal(0, noise, rgb.shape)).clip(0, 255).round().astype(np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("paper", PAPERS)
def test_a_thing_on_plain_paper_is_cut_out_whole_and_without_the_papers_colour(paper: tuple[int, ...]) -> None:
    rgba = cut_out(on_paper(disc(), paper))
    assert iou(rgba[..., 3] >= SOLID, disc()) > 0.96
    seen = rgba[rgba[..., 3] > 20][:, :3].astype(int)
    assert np.abs(seen - (200, 60, 40)).max() < 25
    assert set(np.unique(rgba[..., 3])) - {0, 255}, "its edge is soft"


def test_paper_coloured_parts_inside_a_thing_stay() -> None:
    ring = disc(80)
    ring[disc(30)] = False
    assert iou(cut_out(on_paper(ring, PAPERS[0]))[..., 3] >= SOLID, disc(80)) > 0.95


def test_a_picture_without_plain_paper_is_not_cut() -> None:
    assert cut_out(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)) is None


def test_specks_go_and_parts_stay() -> None:
    thing = disc(40)
    thing[5:8, 5:8] = thing[200:230, 20:40] = True
    kept = without_specks(thing)
    assert not kept[:10, :10].any() and kept[200:230, 20:40].all() and kept[disc(40)].all()
    rgba = np.dstack([np.full((256, 256, 3), 90, np.uint8), thing.astype(np.uint8) * 255])
    assert not tidied(rgba)[:10, :10, 3].any() and (tidied(rgba)[disc(30)] == rgba[disc(30)]).all()
    empty = np.zeros((8, 8), bool)
    assert not without_specks(empty).any()


def test_thin_parts_keep_their_own_colour() -> None:
    thing = disc(50)
    thing[100:103, 10:70] = True
    rgb = np.full((256, 256, 3), 200, np.uint8)
    rgb[100:103, 10:60] = 20
    assert (inner_colours(rgb, thing)[101, 15:55] == 20).all()


@pytest.mark.parametrize("gap", [0.0, 0.1])
def test_an_outline_encloses_its_inside_even_with_a_gap(gap: float) -> None:
    t = np.linspace(0, 2 * np.pi - gap, 90)
    ring = np.zeros((256, 256), np.uint8)
    cv2.polylines(ring, [np.int32(np.round(np.stack([128 + 60 * np.cos(t), 128 + 60 * np.sin(t)], 1))).reshape(-1, 1, 2)], gap == 0, 255, 3)
    assert iou(enclosed(ring > 0), disc(61)) > 0.95


def test_open_strokes_enclose_their_hull_and_no_strokes_nothing() -> None:
    corner = np.zeros((256, 256), np.uint8)
    cv2.polylines(corner, [np.int32([(20, 20), (20, 220), (220, 220)]).reshape(-1, 1, 2)], False, 255, 3)
    triangle = np.tri(256, dtype=bool)
    triangle[:20] = triangle[220:] = triangle[:, :20] = False
    assert iou(enclosed(corner > 0), triangle) > 0.93
    assert not enclosed(np.zeros((32, 32), bool)).any()


def test_a_box_ends_just_outside() -> None:
    mask = np.zeros((20, 30), bool)
    mask[3:7, 11:25] = True
    assert box_of(mask) == (11, 3, 25, 7)


def test_an_emptied_background_keeps_sky_and_ground_and_small_things() -> None:
    scene = np.zeros((256, 256, 3), np.uint8)
    scene[:150], scene[150:] = (120, 180, 240), (90, 180, 80)
    scene[20:24, 40:44] = 255
    full = scene.copy()
    full[disc(50)] = (200, 40, 40)
    out = emptied(full)
    away = ~disc(60)
    away[140:160] = False
    assert np.abs(out.astype(int) - scene)[away].max() <= 2, "what is not the thing stays"
    assert np.abs(out.astype(int) - scene).mean() < 2 and (out[20:24, 40:44] == 255).all()
    assert (emptied(scene) == scene).mean() > 0.98
