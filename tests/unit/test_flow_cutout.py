"""The cut-out flow: with an oracle in place of the net its sums can be checked; with the net that ships it must find things."""
from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from models.engine import Engine, open_engine
from models.errors import BadInput, Cancelled
from models.flows import _closer
from models.flows.cutout import GRABCUT, NET, PAPER, Cut, Cutout, Stroke, cut_out, hinted, is_cut_out, methods
from models.job import Picture

pytestmark = pytest.mark.render


def disc(height: int, width: int, cx: float, cy: float, radius: float) -> np.ndarray:
    """Alpha float32 with a soft edge one pixel wide."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.clip(radius + 0.5 - np.hypot(x - cx, y - cy), 0, 1)


def scene(height: int, width: int, *discs: np.ndarray) -> np.ndarray:
    """Red discs on a grey ramp, uint8 [H, W, 3]."""
    rgb = np.repeat(np.linspace(150, 210, width, dtype=np.float32)[None, :, None].repeat(height, 0), 3, 2)
    for alpha in discs:
        rgb += alpha[..., None] * (np.float32([200, 40, 40]) - rgb)
    return rgb.round().astype(np.uint8)


def redness(id: str, rgb: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
    """An eye that is right: what is red is the thing."""
    return np.clip((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 160 * 255, 0, 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = open_engine(device="cpu")
    yield engine
    engine.close()


def test_a_large_picture_is_as_sharp_as_what_sees_it() -> None:
    """Coarse, closer, closer: at 1,500 px the edge lies where it lies to a fraction of a pixel, and hardly any piece away from it is shown."""
    alpha, shown = disc(1000, 1500, 700, 480, 300), []

    def look(id: str, rgb: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
        shown.append((rgb.shape[:2], hints))
        return redness(id, rgb)
    found = cut_out(look, Picture.from_array(scene(1000, 1500, alpha)), Cut(decontaminate=False)).rgba[..., 3] / 255
    assert np.abs(found - alpha).max() < 0.06
    assert max(shown[0][0]) == _closer.COARSE_PX and all(max(size) <= _closer.ONE_LOOK_PX for size, _ in shown)
    assert len(shown) < 30 and all(hints.any() for _, hints in shown[2:]), "everything but a band is given"


def test_pieces_cover_a_level_once() -> None:
    for size in ((700, 900), (513, 256), (2000, 600)):
        covered = np.zeros(size, int)
        for inner, outer in _closer.tiles(np.ones(size, bool)):
            covered[inner] += 1
            assert all(a.start >= b.start and a.stop <= b.stop and b.stop - b.start <= _closer.TILE_PX for a, b in zip(inner, outer))
        assert (covered == 1).all()
    assert [max(size) for size in _closer.levels((3000, 4000), (192, 256))] == [640, 1600, 4000]
    width, height = list(_closer.levels((8000, 8000), (256, 256)))[-1]
    assert width * height <= _closer.MOST_PX * 1.01


def test_glass_stays_glass() -> None:
    """A half-transparent pane is unsure all over; what a piece makes of it stays within what was seen before."""
    pane = np.full((512, 512), 128, np.uint8)

    def look(id: str, rgb: np.ndarray, hints: np.ndarray) -> np.ndarray:
        return np.full(rgb.shape[:2], 255, np.uint8)
    found = _closer.closer(look, np.zeros((512, 512, 3), np.uint8), cv2.resize(pane, (256, 256)), np.zeros((512, 512, 2), np.uint8), lambda *at: None,
                           lambda: False)
    assert abs(found.mean() - 0.5) < 0.06


def test_strokes_become_hints_and_the_later_one_wins() -> None:
    hints = hinted([Stroke(((10, 10), (90, 10)), True, 8), Stroke(((50, 10),), False)], (60, 100))
    assert hints[10, 20].tolist() == [255, 0] and hints[10, 50].tolist() == [0, 255] and not hints[40:].any()
    alpha = disc(200, 200, 60, 100, 30)
    cut = cut_out(redness, Picture.from_array(scene(200, 200, alpha)), Cut(strokes=(Stroke(((60, 100),), False), Stroke(((150, 40),), True)), islands=True))
    assert cut.rgba[100, 60, 3] == 0 and cut.rgba[40, 150, 3] == 255, "what was marked is obeyed whatever a net says"


def test_colours_come_out_without_the_ground() -> None:
    soft = cv2.GaussianBlur(disc(256, 256, 128, 128, 70), (0, 0), 5)
    picture = Picture.from_array(scene(256, 256, soft))
    edge = (soft > 0.2) & (soft < 0.8)
    off = lambda cut: np.abs(cut.rgba[edge][:, :3].astype(float) - (200, 40, 40)).mean()
    assert off(cut_out(redness, picture)) < 0.35 * off(cut_out(redness, picture, Cut(decontaminate=False)))


def test_alpha_that_is_there_is_respected() -> None:
    rgb, given = scene(200, 240, disc(200, 240, 80, 100, 50)), np.full((200, 240), 255, np.uint8)
    given[:, 80:] = 100
    cut = cut_out(redness, Picture.from_array(np.dstack([rgb, given])))
    assert cut.rgba[100, 50, 3] > 240 and abs(int(cut.rgba[100, 100, 3]) - 100) <= 2 and cut.rgba[10, 10, 3] == 0
    sticker = np.dstack([rgb, (disc(200, 240, 120, 100, 60) * 255).astype(np.uint8)])
    assert is_cut_out(sticker[..., 3] / np.float32(255))
    kept = cut_out(lambda *a, **k: pytest.fail("it is cut out already"), Picture.from_array(sticker))
    assert np.abs(kept.rgba[..., 3].astype(int) - sticker[..., 3]).max() <= 1


@pytest.mark.parametrize("array,why", [
    (np.zeros((40, 40, 4), np.uint8), "fully transparent"), (np.full((40, 40, 3), 90, np.uint8), "one plain colour"),
    (np.zeros((40, 40, 1), np.uint8), "one plain colour"), (np.zeros((40, 4, 3), np.uint8), "too small"), (scene(60, 60), "Nothing was found")])
def test_what_cannot_be_cut_is_said(array: np.ndarray, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        cut_out(redness, Picture.from_array(array))


@pytest.mark.parametrize("make", [lambda: Cut(feather_px=-1), lambda: Cut(shift_px=500), lambda: Cut(feather_side="up"), lambda: Stroke(()),
                                  lambda: Stroke(((float("nan"), 0),)), lambda: Cut(strokes=(Stroke(((1, 1),)),) * 201)])
def test_bad_wishes_are_refused(make) -> None:
    with pytest.raises(BadInput):
        make()


def test_everything_kept_is_said_and_cancelling_stops() -> None:
    picture = Picture.from_array(scene(600, 600, disc(600, 600, 300, 300, 200)))
    everything = cut_out(lambda id, rgb, hints=None: np.full(rgb.shape[:2], 255, np.uint8), picture)
    assert "Everything was kept" in everything.notes[0]
    with pytest.raises(Cancelled):
        cut_out(redness, picture, cancel=lambda: True)


@pytest.mark.parametrize("method", [NET, PAPER, GRABCUT])
def test_every_method_of_our_own_finds_a_plain_thing(engine: Engine, method: str) -> None:
    alpha = disc(300, 400, 210, 150, 90)
    rgb = np.where(alpha[..., None] > 0.5, np.uint8([210, 60, 40]), np.uint8([250, 250, 250]))
    rgb[150 - 20:150 + 20, 180:190] = (40, 20, 20)
    cut = cut_out(engine.look, Picture.from_array(rgb), Cut(method))
    assert isinstance(cut, Cutout) and cut.rgba.shape == (300, 400, 4)
    assert np.abs(cut.rgba[..., 3] / 255 - alpha).mean() < 0.02


def test_clicks_choose_between_two_things(engine: Engine) -> None:
    left, right = disc(256, 256, 70, 128, 45), disc(256, 256, 190, 128, 45)
    picture = Picture.from_array(scene(256, 256, left, right))
    strokes = (Stroke(((55, 110), (85, 145)), True, 12), Stroke(((175, 110), (205, 145)), False, 12))
    found = cut_out(engine.look, picture, Cut(strokes=strokes)).rgba[..., 3] / 255
    share = lambda where: found[where > 0.5].mean()
    assert share(left) > share(right) + 0.4


def test_strokes_correct_a_method_that_takes_no_hints() -> None:
    """A percept that misses one of two discs; GrabCut near the stroke brings it back and touches nothing else."""
    left, right = disc(240, 320, 90, 120, 50), disc(240, 320, 235, 120, 40)
    half = lambda id, rgb, hints=None: np.where(np.arange(rgb.shape[1]) < rgb.shape[1] // 2, redness(id, rgb), 0).astype(np.uint8)
    look = lambda id, rgb, hints=None: redness(id, rgb) if id == NET else half(id, rgb)
    picture = Picture.from_array(scene(240, 320, left, right))
    missing = cut_out(look, picture, Cut("u2net")).rgba[..., 3] / 255
    mended = cut_out(look, picture, Cut("u2net", (Stroke(((215, 120), (255, 120)), True, 10),))).rgba[..., 3] / 255
    assert missing[right > 0.5].mean() < 0.05 and mended[right > 0.5].mean() > 0.8 and np.abs(mended - left)[:, :140].mean() < 0.01


def test_methods_say_what_is_missing(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    known = {one["id"]: one for one in methods(engine.catalog)}
    assert list(known)[0] == NET and known[NET]["here"] and known[PAPER]["here"] and known[GRABCUT]["here"]
    assert not known["u2net"]["here"] and "176.0 MB" in known["u2net"]["cure"] and "models add" in known["u2net"]["cure"]
