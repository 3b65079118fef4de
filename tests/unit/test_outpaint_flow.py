"""Outpainting, holes, loops and tiles over a painter of one colour: what is known comes back exactly, sizes and refusals are right."""
from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from models.errors import BadInput, Cancelled
from models.flows import _unknown
from models.flows._unknown import Canvas, Hand, enlarged, filled, seen_extent, seen_small
from models.flows.outpaint import Margins, check, check_mask, inpaint, outpaint, windows_of
from models.flows.panorama import looped_extent, panorama, quietest_column, wrap_error
from models.flows.zoom import tile, zoom_out
from models.job import Extent, Job, Picture, Result, Timings

RNG = np.random.default_rng(0)
JOB = Job(prompt="", seeds=(1, 2), steps=4)
EXACT = Hand(feather_px=0)


class Painter:
    """Paints the free part of every job in one colour by its seed, and keeps the jobs."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> Result:
        self.jobs.append(job)
        assert (job.image.width, job.image.height) == (job.extent.width, job.extent.height)
        free = job.mask.array > 0
        out = np.where(free, np.uint8(40 + job.seeds[0]), job.image.array[..., :3])
        return Result(out[None], job, Timings())


@pytest.fixture(autouse=True)
def tones(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tones stay as they are painted, but where that is what is tested."""
    if "tone" not in request.node.name:
        monkeypatch.setattr(_unknown, "matched", lambda rgb, small: rgb)


def noise(width: int, height: int, channels: int = 3) -> Picture:
    return Picture.from_array(RNG.integers(0, 256, (height, width, channels), dtype=np.uint8))


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (300, 170), (8, 9), (700, 500)])
@pytest.mark.parametrize("margins", [Margins(10, 20, 30, 40), Margins(right=64), Margins(top=5)])
def test_the_known_part_comes_back_bit_for_bit(size: tuple[int, int], margins: Margins) -> None:
    picture = noise(*size)
    results = list(outpaint(Painter(), picture, margins, JOB, EXACT)) if margins.area(picture) <= 16 else []
    for result in results:
        assert result.pixels.shape == (1, size[1] + margins.top + margins.bottom, size[0] + margins.left + margins.right, 3)
        part = result.pixels[0, margins.top:margins.top + size[1], margins.left:margins.left + size[0]]
        assert (part == picture.array).all()
    assert len(results) in (0, 2) and (size[0] < 10 or results)


def test_a_feather_changes_only_what_lies_within_it() -> None:
    picture = noise(200, 200)
    result, _ = outpaint(Painter(), picture, Margins(right=100), JOB, Hand(feather_px=12))
    part = result.pixels[0, :, :200]
    assert (part[:, :188] == picture.array[:, :188]).all() and (part[:, 199] != picture.array[:, 199]).mean() > 0.5


def test_every_seed_is_an_alternative_and_the_same_one_the_same_picture() -> None:
    picture = noise(64, 64)
    first, second = outpaint(Painter(), picture, Margins(right=64), JOB, EXACT)
    again, _ = outpaint(Painter(), picture, Margins(right=64), JOB, EXACT)
    assert (first.pixels == again.pixels).all() and (first.pixels != second.pixels).any()
    assert first.job.seeds == (1,) and second.job.seeds == (2,)


def test_alpha_is_kept_and_what_is_new_is_opaque() -> None:
    picture = noise(64, 48, 4)
    result, _ = outpaint(Painter(), picture, Margins(left=32, bottom=16), JOB, EXACT)
    out = result.pixels[0]
    assert out.shape == (64, 96, 4) and (out[:48, 32:] == picture.array).all()
    assert (out[48:, :, 3] == 255).all() and (out[:, :32, 3] == 255).all() and "opaque" in result.notes[-1]


def test_the_adapter_is_shown_what_is_known_and_where_it_lies() -> None:
    painter = Painter()
    list(outpaint(painter, noise(512, 512), Margins(left=512), JOB, replace(EXACT, adapter="outpaint", change=1.0, detail=0)))
    use = painter.jobs[0].adapters[-1]
    assert use.id == "outpaint" and use.image.channels == 4 and (use.image.array[..., 3] == 255).all()
    assert [float(v) for v in use.words.split()] == pytest.approx([0.5, 0, 1, 1], abs=1e-4)


@pytest.mark.parametrize("width,height,margins,says", [
    (1, 1, Margins(right=4), "too little"), (20000, 3, Margins(top=4), "too little"), (64, 64, Margins(), "nothing to add"),
    (64, 64, Margins(200, 200, 200, 200), "times as large"), (400, 50, Margins(right=100), "too narrow"), (8000, 4000, Margins(right=500), "larger than")])
def test_what_cannot_be_extended_is_refused_with_a_cure(width: int, height: int, margins: Margins, says: str) -> None:
    with pytest.raises(BadInput, match=says) as refused:
        check(Picture(width, height, 3, bytes(3 * width * height)), margins)
    assert refused.value.cure


def test_other_bad_input() -> None:
    with pytest.raises(BadInput, match="margin"):
        Margins(top=-1)
    with pytest.raises(BadInput, match="transparent"):
        check(Picture(16, 16, 4, bytes(1024)), Margins(top=4))
    with pytest.raises(BadInput, match="seam"):
        check(noise(16, 16), Margins(top=4), 9999)
    with pytest.raises(BadInput, match="seam"):
        Hand(feather_px=-1)


def test_margins_by_ratio_and_by_factor() -> None:
    picture = noise(100, 100)
    wide = Margins.centred(picture, 16, 9)
    assert wide.extent(picture) == Extent(178, 100) and wide.left == 39
    assert Margins.centred(noise(90, 160), 1, 1).size(noise(90, 160)) == (160, 160)
    assert Margins.around(picture, 1.5).area(picture) == pytest.approx(2.25)
    assert Margins(1).extended(left=7) == Margins(1, 0, 0, 7)


def test_a_large_canvas_is_bounded_in_memory() -> None:
    """4096x4096 px: 50 MB of uint8; everything at work stays a small multiple of that."""
    picture = noise(3000, 4096)
    tracemalloc.start()
    (result,) = outpaint(Painter(), picture, Margins(right=1096), JOB.but(seeds=(1,)), Hand(feather_px=8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (result.pixels[0, :, :2990] == picture.array[:, :2990]).all() and peak < 1.2e9


def test_large_canvases_are_sharpened_in_tiles_that_hold_something_new() -> None:
    painter = Painter()
    list(outpaint(painter, noise(512, 512), Margins(right=256), JOB.but(seeds=(1,)), EXACT))
    whole, *tiles = painter.jobs
    assert whole.strength == EXACT.change and tiles and all(job.strength == EXACT.detail for job in tiles)
    assert len(tiles) < 12 and all(max(job.extent.width, job.extent.height) <= 256 for job in tiles)


def test_it_can_be_cancelled() -> None:
    with pytest.raises(Cancelled):
        list(outpaint(Painter(), noise(64, 64), Margins(top=64), JOB, EXACT, cancel=lambda: True))


def test_whoever_enlarges_is_asked_for_the_least_factor_that_is_enough() -> None:
    asked = []

    def enlarge(picture: Picture, times: int) -> Picture:
        asked.append(times)
        return Picture.from_array(np.repeat(np.repeat(picture.array, times, 0), times, 1))
    rgb = noise(32, 32).array
    assert enlarged(rgb, (48, 48), enlarge).shape == (48, 48, 3) and enlarged(rgb, (100, 100), enlarge).shape == (100, 100, 3)
    assert asked == [2, 4] and (enlarged(rgb, (32, 32), enlarge) == rgb).all()


# --- the small view -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("width,height", [(256, 256), (4096, 4096), (100, 800), (8192, 1024), (9, 8)])
def test_a_canvas_is_seen_at_a_size_the_base_can_paint(width: int, height: int) -> None:
    seen = seen_extent(Hand(), width, height)
    assert all(64 <= side <= 512 and side % 16 == 0 for side in (seen.width, seen.height))
    assert seen.width * seen.height <= 1.2 * 256 ** 2


def test_a_pixel_with_any_unknown_part_is_unknown() -> None:
    known = np.zeros((100, 100), bool)
    known[:, :53] = True
    small = seen_small(Canvas(np.full((100, 100, 3), 200, np.uint8), known), Extent(16, 16))
    assert small.known[:, :8].all() and not small.known[:, 8:].any() and (small.rgb[:, :8] == 200).all()


def test_what_is_unknown_takes_the_colours_around() -> None:
    rgb, known = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), bool)
    rgb[:32], rgb[32:], known[:, :20] = (200, 0, 0), (0, 0, 200), True
    out = filled(rgb, known)
    assert (out[:, :20] == rgb[:, :20]).all() and (out[2, 21:30] == (200, 0, 0)).all() and (out[60, 21:30] == (0, 0, 200)).all()


def test_new_parts_take_the_tone_beside_them_but_keep_what_was_drawn() -> None:
    rgb, known = np.full((64, 64, 3), 120, np.uint8), np.zeros((64, 64), bool)
    known[:, :24] = True
    drifted = rgb.copy()
    drifted[:, 24:] = 140
    out = _unknown.matched(drifted, Canvas(rgb, known)).astype(int)
    assert (out[:, :24] == 120).all() and np.abs(out[32, 29] - 120).max() <= 2 and out[32, 63, 0] > 130, "ever less with the distance"
    drifted[:, 24:] = 220
    assert (_unknown.matched(drifted, Canvas(rgb, known)) == drifted).all(), "a large step is drawn"
    assert (_unknown.matched(drifted, Canvas(rgb, np.ones_like(known))) == drifted).all()


# --- holes --------------------------------------------------------------------------------------------------------------

def mask_at(picture: Picture, *boxes: tuple[int, int, int, int]) -> Picture:
    out = np.zeros((picture.height, picture.width), np.uint8)
    for x0, y0, x1, y1 in boxes:
        out[y0:y1, x0:x1] = 255
    return Picture.from_array(out)


@pytest.mark.parametrize("change", [None, 0.5, 1.0])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_outside_the_mask_every_bit_stays(change: float | None, channels: int) -> None:
    picture = Picture.from_array(noise(300, 200, max(3, channels)).array[..., :channels] if channels > 1 else noise(300, 200).array[..., 0])
    mask = mask_at(picture, (20, 30, 90, 80))
    for result in inpaint(Painter(), picture, mask, JOB, Hand(), change=change):
        out, outside = result.pixels[0], mask.array[..., 0] == 0
        given = np.repeat(picture.array, 3, 2) if channels == 1 else picture.array
        assert (out[outside] == given[outside]).all() and (out[50, 50, :3] == 40 + result.job.seeds[0]).all()


def test_places_far_apart_are_painted_one_by_one() -> None:
    picture, painter = noise(1200, 400), Painter()
    list(inpaint(painter, picture, mask_at(picture, (20, 20, 60, 60), (1100, 300, 1150, 350)), JOB.but(seeds=(1,)), Hand()))
    assert len(painter.jobs) == 2
    assert len(windows_of(mask_at(picture, (20, 20, 60, 60), (80, 20, 120, 60)).array[..., 0] > 0, Hand())) == 1


def test_masks_that_cannot_be_painted_are_refused() -> None:
    picture = noise(64, 64)
    for mask, says in ((mask_at(picture), "Nothing"), (mask_at(picture, (0, 0, 64, 64)), "Everything"), (noise(32, 64, 3), "mask has")):
        with pytest.raises(BadInput, match=says):
            check_mask(picture, mask)
    with pytest.raises(BadInput, match="Change"):
        list(inpaint(Painter(), picture, mask_at(picture, (0, 0, 9, 9)), JOB, change=2.0))


# --- loops, zoom, tiles -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_loop_holds_the_picture_in_its_middle_and_closes(axis: str) -> None:
    picture = noise(96, 96)
    for result in panorama(Painter(), picture, JOB, EXACT, 0.5, axis=axis):
        out = result.pixels[0] if axis == "x" else result.pixels[0].swapaxes(0, 1)
        given = picture.array if axis == "x" else picture.array.swapaxes(0, 1)
        assert out.shape == (96, 144, 3) and (out[:, 24:120] == given).all()
        assert (out[:, :24] == 40 + result.job.seeds[0]).all() and (out[:, 120:] == 40 + result.job.seeds[0]).all()


def test_the_gap_lies_between_the_two_ends_of_the_picture() -> None:
    painter, picture = Painter(), Picture.from_array(np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 4, 64, 0).repeat(3, 2))
    list(panorama(painter, picture, JOB.but(seeds=(1,)), replace(EXACT, native_px=128), 1.0))
    shown, free = painter.jobs[0].image.array, painter.jobs[0].mask.array[..., 0] > 0
    assert free[:, free.shape[1] // 2].all() and not free[:, 0].any() and not free[:, -1].any()
    assert abs(int(shown[5, 0, 0]) - int(shown[5, -1, 0])) <= 8, "the cut: what was one column is now both ends"


def test_a_cut_goes_where_nothing_is() -> None:
    rgb = noise(100, 40).array.copy()
    rgb[:, 40:52] = 128
    assert 42 <= quietest_column(rgb) <= 50
    assert looped_extent(noise(64, 64), 1.0) == Extent(128, 64)
    with pytest.raises(BadInput):
        looped_extent(noise(64, 64), 9.0)


def test_wrap_error_is_one_without_a_seam() -> None:
    x = np.arange(64) / 64 * 2 * np.pi
    ring = np.repeat((127 + 100 * np.sin(x)).astype(np.uint8)[None, :, None], 32, 0).repeat(3, 2)
    assert wrap_error(ring) < 2 and wrap_error(ring[:, :32]) > 0
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 3, 32, 0).repeat(3, 2)
    assert wrap_error(ramp) == pytest.approx(63)


def test_zooming_out() -> None:
    picture = noise(64, 64)
    far, _ = zoom_out(Painter(), picture, JOB, EXACT, 2.0)
    assert far.pixels.shape == (1, 128, 128, 3) and (far.pixels[0, 32:96, 32:96] == picture.array).all()
    same, _ = zoom_out(Painter(), picture, JOB, EXACT, 2.0, same_size=True)
    assert same.pixels.shape == (1, 64, 64, 3)
    with pytest.raises(BadInput):
        next(zoom_out(Painter(), picture, JOB, EXACT, 9.0))


@pytest.mark.parametrize("side,shape", [("left", (1, 100, 50, 3)), ("right", (1, 100, 50, 3)), ("top", (1, 100, 200, 3)), ("bottom", (1, 100, 200, 3))])
def test_a_tile_is_only_what_is_new(side: str, shape: tuple[int, ...]) -> None:
    picture, painter = noise(200, 100), Painter()
    one, _ = tile(painter, picture, side, JOB, Hand())
    assert one.pixels.shape == shape and (one.pixels == 41).all()
    again, _ = tile(Painter(), Picture.from_array(picture.array[:, -120:].copy() if side == "right" else picture.array), side, JOB, Hand())
    assert (again.pixels == one.pixels).all()
    with pytest.raises(BadInput):
        next(tile(painter, picture, "inside", JOB, Hand()))
