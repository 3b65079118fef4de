"""Advertisements: layouts that never overlap, type that is read, a product that stays as it is, and words that are refused by name."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.errors import BadInput
from models.flows._places import places, standing_out
from models.flows.advert import Brief, advert, drawn, plate
from models.job import Extent, Job, Picture, Result, Timings
from models.words.legible import ENOUGH, best_ink, contrast, edge_energy, worst_contrast
from models.words.layout import outside, shared_share
from models.words.posters import Poster, boxes_of, layouts, parts_of, settings, terms
from models.spec import EMBEDDED, BaseSpec

LINES = ("Fresh bread", "Baked before you wake up, every single morning", "Try it")
SQUARE, STORY, BANNER = Extent(540, 540), Extent(540, 960), Extent(600, 314)


def disc(colour: tuple[int, int, int] = (220, 40, 40), side: int = 120) -> Picture:
    y, x = np.mgrid[:side, :side] - side / 2
    inside = np.hypot(x, y) < side * 0.45
    return Picture.from_array(np.dstack([np.broadcast_to(np.uint8(colour), (side, side, 3)), inside.astype(np.uint8) * 255]))


def paint(job: Job) -> Result:
    """A painter of stripes: the seed says how restless they are, the words how bright."""
    h, w = job.extent.height, job.extent.width
    rng = np.random.default_rng(job.seeds[0])
    base = {"dark": 30, "middle": 118, "bright": 220}[job.prompt]
    noise = rng.normal(0, 3 + 9 * (job.seeds[0] % 4), (h // 8 + 1, w // 8 + 1)).repeat(8, 0).repeat(8, 1)[:h, :w]
    picture = (base + noise[..., None]).clip(0, 255).round().astype(np.uint8).repeat(3, 2)
    return Result(picture[None], job, Timings())


def brief(extent: Extent, *places_: str, **more: object) -> Brief:
    job = Job(extent=Extent(128, 128 * extent.height // extent.width // 8 * 8), seeds=(1,))
    return Brief(job, disc(), LINES, extent, places_ or ("bright",), empty=False, **more)


def test_contrast_and_edges_have_their_closed_forms() -> None:
    assert contrast(np.array([255, 255, 255]), np.array([0, 0, 0])) == pytest.approx(21)
    assert contrast(np.array([119, 119, 119]), np.array([255, 255, 255])) == pytest.approx(4.48, abs=0.01)
    under = np.full((4, 4, 3), 250, np.uint8)
    under[0, 0] = 60
    assert worst_contrast(np.array([255, 255, 255]), under) == pytest.approx(contrast(np.array([255] * 3), np.array([250] * 3)))
    assert best_ink(under[1:], ((255, 255, 255), (0, 0, 0)))[0] == (0, 0, 0)
    ramp = np.broadcast_to(np.arange(0, 100, 2, dtype=np.uint8)[None, :, None], (50, 50, 3))
    assert edge_energy(ramp, (5, 5, 45, 45)) == pytest.approx(2, rel=0.1) and edge_energy(under[1:], (0, 0, 4, 3)) == 0


def test_words_are_measured_in_every_number_of_lines() -> None:
    ways = settings(LINES[1], "inter-bold", 4)
    assert [way.lines for way in ways] == [1, 2, 3, 4]
    assert all(a.width > b.width and a.height < b.height for a, b in zip(ways, ways[1:]))
    assert [part.kind for part in parts_of((2, 3), LINES, ("anton", "inter"), (4, 1))] == ["product", "headline", "line", "call", "logo"]
    assert [part.kind for part in parts_of((2, 3), LINES[:2], ("anton", "inter"), None)] == ["product", "headline", "line"]


@pytest.mark.parametrize("extent", [SQUARE, STORY, BANNER], ids=str)
def test_layouts_are_clear_aligned_and_differ(extent: Extent) -> None:
    parts = parts_of((300, 400), LINES, ("anton", "inter-bold"), (200, 60))
    found = layouts(extent, parts, 3)
    assert len(found) == 3 and len({(p.side, p.align) for p in found}) == 3
    for poster in found:
        boxes = poster.boxes
        assert shared_share(boxes).max() == 0 and outside(boxes, extent) == 0
        assert terms(poster)["alignment"] < 1e-6 and terms(poster)["order"] == 0
        wide, high = boxes[0, 2:] - boxes[0, :2]
        assert wide / high == pytest.approx(0.75), "the product keeps its shape"
    again = layouts(extent, parts, 3)
    assert all(np.array_equal(a.spots, b.spots) for a, b in zip(found, again))


def test_each_fault_of_a_layout_counts() -> None:
    poster = layouts(SQUARE, parts_of((300, 400), LINES, ("anton", "inter-bold"), None), 1)[0]
    good = terms(poster)

    def changed(i: int, **by: float) -> dict[str, float]:
        spots = poster.spots.copy()
        spots[i] += [by.get("x", 0), by.get("y", 0), by.get("size", 0), 0]
        return terms(replace(poster, spots=spots))
    assert changed(1, x=-2000)["edge"] > good["edge"] + 5 and changed(2, x=9)["alignment"] > good["alignment"]
    assert changed(3, y=-2000)["order"] > good["order"] and changed(1, size=-0.7 * poster.spots[1, 2])["type"] > good["type"]
    on = poster.spots.copy()
    on[1, :2] = on[0, :2]
    assert terms(Poster(SQUARE, poster.parts, on, "left", "left"))["overlap"] >= 10
    assert boxes_of(poster.parts, poster.spots).shape == (4, 4)


@pytest.mark.parametrize("place", ["dark", "middle", "bright"])
def test_type_is_read_on_any_place_and_the_product_stays(place: str) -> None:
    made = brief(SQUARE, place, count=1)
    ad, = advert(paint, made)
    kinds = [layer.kind for layer in ad.layers]
    assert kinds[0] == "background" and kinds.count("text") == 3 and ad.contrast >= ENOUGH
    product = next(layer for layer in ad.layers if layer.kind == "product")
    visible = made.product.array[..., 3] > 0
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    assert np.array_equal(product.picture.array, made.product.array[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1])
    flat = drawn(SQUARE, [layer for layer in ad.layers if layer.kind != "text"])
    for layer in ad.layers:
        if layer.text:
            ink = np.array(list(bytes.fromhex(layer.text.colour[1:])))
            left, top = (round(v) for v in layer.place.corner)
            alpha = layer.picture.array[..., 3] > 128
            under = flat[top:top + alpha.shape[0], left:left + alpha.shape[1], :3][alpha]
            assert worst_contrast(ink, under) >= 4.3, "as it is drawn, rounding and all"


def test_the_calmest_of_four_seeds_is_taken() -> None:
    ad, = advert(paint, brief(SQUARE, "bright", count=1))
    assert ad.layers[0].job.seeds == (4,), "of 1 to 4, seed 4 has the faintest stripes"


def test_a_place_goes_with_the_product_and_stands_out_from_it() -> None:
    spec = BaseSpec("embedded", "x", EMBEDDED, (), 1)
    assert places("a bottle of sun lotion", disc().array, spec, 2)[0] == "on a beach"
    assert "orange" not in standing_out(disc((246, 150, 60)).array)[0] and standing_out(disc((240, 220, 90)).array)[-1] == "yellow"
    assert len(places("a thing", disc().array, spec, 5)) == 5


def test_a_plate_fills_its_box_and_has_round_corners() -> None:
    layer = plate(np.array([10.0, 20.0, 110.0, 60.0]), (1, 2, 3))
    rgba = layer.picture.array
    assert rgba.shape == (40, 100, 4) and rgba[20, 50, 3] == 255 and rgba[0, 0, 3] < 80 and (layer.place.x, layer.place.y) == (60, 40)


@pytest.mark.parametrize("change,part", [
    (dict(taglines=()), "1 to 4"), (dict(taglines=("a", " ")), "1 to 4"), (dict(taglines=("x" * 200,)), "200 characters"),
    (dict(product=Picture.from_array(np.full((9, 9, 4), 255, np.uint8))), "no outline"),
    (dict(product=Picture.from_array(np.zeros((9, 9, 4), np.uint8))), "no visible"), (dict(count=0), "proposals")])
def test_what_makes_no_advertisement_is_named(change: dict, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        replace(brief(SQUARE), **change)


def test_letters_that_no_font_has_are_named() -> None:
    with pytest.raises(BadInput, match="漢"):
        next(advert(paint, replace(brief(SQUARE), taglines=("漢字",))))
    assert next(advert(paint, replace(brief(SQUARE), taglines=("Свежий хлеб",)))).contrast >= ENOUGH
