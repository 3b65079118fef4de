"""Drawing a stack: pixels that need no resampling stay exact, the rest keeps its areas and sharp edges, groups are isolated, strips are bounded."""
from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from models.layers.blending import laid, premultiplied, to_uint8
from models.layers.compose import NO_RENDERERS, Renderers, bounds, flatten, out_size, placed, strips
from models.errors import BadInput
from models.job import Extent, Picture
from models.layers.placing import Box, drawn
from models.layers.stack import BLENDS, Group, Layer, Node, Placement, Stack, Text

RNG = np.random.default_rng(7)
EXTENT = Extent(64, 48)


def seen(pixels: np.ndarray) -> np.ndarray:
    """The same picture with no colour where alpha is 0."""
    return np.where(pixels[..., 3:] > 0, pixels, 0)


def noise(width: int, height: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 4), dtype=np.uint8)


def plain(width: int, height: int, *rgba: int) -> np.ndarray:
    return np.full((height, width, 4), rgba, np.uint8)


class Shelf(dict):
    """Pictures by digest, and layers made from arrays."""

    def layer(self, pixels: np.ndarray, place: Placement, id: str = "", **more: object) -> Layer:
        picture = Picture.from_array(pixels)
        self[picture.digest] = picture
        return Layer(id or f"l{len(self)}", "some", picture.digest, place, **more)


def flat(*nodes: Node, pictures: Shelf, scale: float = 1.0, renderers: Renderers = NO_RENDERERS, extent: Extent = EXTENT) -> np.ndarray:
    return flatten(Stack(extent, nodes), pictures, scale, renderers)


@pytest.mark.parametrize("angle, flip_x, flip_y", [(a, x, y) for a in (0, 90, 180, -90, 450) for x in (False, True) for y in (False, True)])
def test_whole_pixels_stay_exact(angle: float, flip_x: bool, flip_y: bool) -> None:
    pixels, shelf = noise(20, 12), Shelf()
    want = seen(np.rot90(pixels[::-1 if flip_y else 1, ::-1 if flip_x else 1], -(angle // 90) % 4))
    h, w = want.shape[:2]
    got = flat(shelf.layer(pixels, Placement(30, 20, 20, 12, angle, flip_x, flip_y)), pictures=shelf)
    top, left = 20 - h // 2, 30 - w // 2
    assert (got[top:top + h, left:left + w] == want).all()
    got[top:top + h, left:left + w] = 0
    assert not got.any()


def test_what_hangs_over_the_edge_is_cut() -> None:
    pixels, shelf = noise(40, 40), Shelf()
    got = flat(shelf.layer(pixels, Placement.at(-7, -11, 40, 40)), pictures=shelf)
    assert (got[:29, :33] == seen(pixels)[11:, 7:]).all() and not got[29:].any() and not got[:, 33:].any()
    assert not flat(shelf.layer(pixels, Placement.at(900, 0, 40, 40)), pictures=shelf).any()


def area_reference(pixels: np.ndarray, place: Placement) -> np.ndarray:
    """Every canvas pixel as the mean over what it covers, cell by cell in double precision."""
    out, source = np.zeros((EXTENT.height, EXTENT.width, 4)), pixels.astype(float) / 255
    source[..., :3] *= source[..., 3:]
    weights = []
    axes = ((place.corner[0], place.width, pixels.shape[1], EXTENT.width), (place.corner[1], place.height, pixels.shape[0], EXTENT.height))
    for start, side, count, most in axes:
        edge = start + np.arange(count + 1) * side / count
        weights.append(np.array([[max(0, min(edge[i + 1], p + 1) - max(edge[i], p)) for i in range(count)] for p in range(most)]))
    out = np.einsum("xi,yj,jic->yxc", *weights, source)
    return out


@pytest.mark.parametrize("place", [Placement.at(5.3, 7.8, 21.7, 13.1), Placement.at(2, 3, 10, 6), Placement.at(3.4, 5.6, 0.4, 0.3),
                                   Placement.at(-4.5, 2.5, 37, 29)])
def test_shrinking_takes_true_areas(place: Placement) -> None:
    pixels, shelf = noise(37, 29), Shelf()
    got = drawn(pixels, place, Box(0, 0, EXTENT.width, EXTENT.height))
    assert np.abs(got - area_reference(pixels, place)).max() < 1e-5
    assert (flat(shelf.layer(pixels, place), pictures=shelf) == to_uint8(got)).all()


@pytest.mark.parametrize("angle", [0, 17, 45, 90, 121, 300])
@pytest.mark.parametrize("size", [(8, 5), (20, 12), (31, 30)])
def test_a_plain_picture_keeps_its_area_and_its_colour(angle: float, size: tuple[int, int]) -> None:
    """Opaque orange, drawn smaller, larger and turned: no other colour anywhere, no soft border wider than a pixel, and the area is the box's."""
    shelf = Shelf()
    got = flat(shelf.layer(plain(16, 10, 255, 128, 0, 255), Placement(32.3, 24.6, *size, angle)), pictures=shelf)
    there = got[got[..., 3] > 8]
    assert np.abs(there.astype(int)[:, :3] - (255, 128, 0)).max() <= 8 and got[..., 3].max() == 255
    assert got[..., 3].sum() / 255 == pytest.approx(size[0] * size[1], rel=0.02)
    soft = ((got[..., 3] > 0) & (got[..., 3] < 255)).sum()
    assert soft <= 2 * 2 * sum(size)


def test_a_turned_picture_lies_where_it_should() -> None:
    """A gradient turned by 30 degrees clockwise: the drawn value is the value at the point turned back."""
    x, y = np.meshgrid(np.arange(40), np.arange(40))
    pixels = np.stack([x * 6, y * 6, x * 0, x * 0 + 255], -1).astype(np.uint8)
    got = drawn(pixels, Placement(32, 24, 40, 40, 30), Box(0, 0, 64, 48))
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    for px, py in ((32, 24), (40, 20), (28, 33), (37, 31)):
        dx, dy = px + 0.5 - 32, py + 0.5 - 24
        at = (c * dx + s * dy + 20 - 0.5, -s * dx + c * dy + 20 - 0.5)
        assert got[py, px, :2] * 255 == pytest.approx(np.array(at) * 6, abs=0.5)


def test_transparent_borders_bleed_no_colour() -> None:
    pixels = plain(30, 30, 0, 255, 0, 0)
    pixels[8:22, 8:22] = (255, 0, 0, 255)
    for place in (Placement(30, 20, 13, 17), Placement(30, 20, 44, 41, 33), Placement(30, 20, 11, 40, 10)):
        shelf = Shelf()
        got = flat(shelf.layer(pixels, place), pictures=shelf)
        there = got[got[..., 3] > 8]
        assert len(there) and there[:, 0].min() >= 250 and there[:, 1].max() <= 5


@pytest.mark.parametrize("mode", BLENDS)
def test_layers_and_opacity_are_blended_by_the_formula(mode: str) -> None:
    under, over, shelf = noise(64, 48), noise(20, 12), Shelf()
    got = flat(shelf.layer(under, Placement.at(0, 0, 64, 48)), shelf.layer(over, Placement.at(9, 5, 20, 12), opacity=0.4, blend=mode), pictures=shelf)
    want = premultiplied(under)
    want[5:17, 9:29] = laid(want[5:17, 9:29], premultiplied(over) * np.float32(0.4), mode)
    assert (got == to_uint8(want)).all()


def test_groups_are_isolated() -> None:
    """Multiply inside a group meets nothing below the group; the group's own opacity and mode act on it as a whole."""
    shelf = Shelf()
    grey, half = shelf.layer(plain(64, 48, 100, 100, 100, 255), Placement.at(0, 0, 64, 48)), plain(64, 48, 200, 60, 20, 255)
    inside = shelf.layer(half, Placement.at(0, 0, 64, 48), blend="multiply")
    assert (flat(grey, Group("g", "", (inside,)), pictures=shelf)[0, 0] == (200, 60, 20, 255)).all()
    twice = Group("g", "", (inside, replace(inside, id="again", blend="normal")), opacity=0.5)
    assert (flat(grey, twice, pictures=shelf)[0, 0] == (150, 80, 60, 255)).all()
    assert (flat(grey, Group("g", "", (inside,), blend="multiply"), pictures=shelf)[0, 0] == (78, 24, 8, 255)).all()
    hidden = (replace(twice, visible=False), Group("e", ""), replace(inside, id="x", visible=False))
    assert (flat(grey, *hidden, pictures=shelf)[0, 0] == (100, 100, 100, 255)).all()


@pytest.mark.parametrize("scale", [0.25, 1.0, 2.5])
def test_strips_of_any_height_are_one_picture(scale: float) -> None:
    shelf = Shelf()
    stack = Stack(EXTENT, (shelf.layer(noise(50, 40), Placement(30, 20, 77, 31, 24), blend="hue"),
                           Group("g", "", (shelf.layer(noise(30, 20), Placement(40, 30, 12, 9)), shelf.layer(noise(9, 9), Placement(12, 9, 30, 30, 3))), 0.6)))
    whole = flatten(stack, shelf, scale)
    parts = list(strips(stack, shelf, scale, strip_px=7 * whole.shape[1]))
    assert len(parts) == -(-len(whole) // 7) and [top for top, _ in parts] == list(range(0, len(whole), 7))
    assert np.abs(whole.astype(int) - np.concatenate([rows for _, rows in parts])).max() <= 1


def test_a_tall_export_needs_little_more_than_a_strip() -> None:
    """12,000 px wide: strips of 48 rows stay below 60 MB, a tenth of the whole picture, and lower strips need less again."""
    shelf = Shelf()
    turned = shelf.layer(noise(700, 700), Placement(500, 500, 1000, 1000, 20))
    stack, peaks = Stack(Extent(1000, 1000), (turned, shelf.layer(noise(900, 900), Placement.at(0, 0, 900, 900)))), []
    for rows in (48, 16):
        tracemalloc.start()
        for _, _part in zip(range(3), strips(stack, shelf, 12.0, strip_px=rows * 12_000)):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 60e6 and peaks[1] < peaks[0] / 2


def test_two_hundred_layers() -> None:
    shelf = Shelf()
    layers = tuple(shelf.layer(plain(9, 9, i, 255 - i, 7, 255), Placement.at(i % 50, i // 5, 9, 9), id=f"l{i}") for i in range(200))
    got = flat(*layers, pictures=shelf)
    assert (got[39 + 8, 49 + 8] == (199, 56, 7, 255)).all() and (got[0, 0] == (0, 255, 7, 255)).all()


def test_fully_transparent_and_fully_opaque() -> None:
    shelf = Shelf()
    assert not flat(shelf.layer(plain(64, 48, 255, 255, 255, 0), Placement(32, 24, 64, 48, 12)), pictures=shelf).any()
    assert not flat(pictures=shelf).any()
    assert (flat(shelf.layer(plain(4, 4, 1, 2, 3, 255), Placement(32, 24, 90, 90)), pictures=shelf) == (1, 2, 3, 255)).all()


def test_placed_gives_one_layer_or_a_box_of_it() -> None:
    pixels, shelf = noise(20, 12), Shelf()
    layer = shelf.layer(pixels, Placement.at(9, 5, 20, 12), opacity=0.2, blend="hue", visible=False)
    whole = placed(layer, shelf, EXTENT)
    assert whole.shape == (48, 64, 4) and (whole[5:17, 9:29] == seen(pixels)).all()
    assert (placed(layer, shelf, EXTENT, box=Box(10, 6, 40, 40)) == whole[6:40, 10:40]).all()
    assert bounds(layer, 2) == (18, 10, 58, 34) and placed(layer, shelf, EXTENT, 2).shape == (96, 128, 4)


def test_words_and_drawings_are_drawn_anew_where_their_size_changes() -> None:
    """The renderers are asked only then, get the scale and the size that is shown, and what they draw stays crisp on whole pixels."""
    shelf, asked = Shelf(), []

    def letter(text: Text, scale: float) -> np.ndarray:
        asked.append((text.words, round(scale, 3)))
        return plain(round(20 * scale) + 1, round(10 * scale), 9, 8, 7, 255)

    def rasterise(svg: str, width: int, height: int) -> np.ndarray:
        asked.append((svg, width, height))
        return plain(width, height, 1, 2, 3, 255)

    text = shelf.layer(plain(20, 10, 0, 0, 0, 255), Placement.at(3, 4, 20, 10), id="t", text=Text("Hi", "Sans", 12))
    drawing = shelf.layer(plain(8, 8, 0, 0, 0, 255), Placement.at(40, 20, 8, 8), id="v", svg="<svg/>")
    draw = Renderers(letter, rasterise)
    assert (flat(text, drawing, pictures=shelf, renderers=draw) == flat(text, drawing, pictures=shelf)).all() and not asked
    got = flat(text, drawing, pictures=shelf, scale=3, renderers=draw)
    assert asked == [("Hi", 3.0), ("<svg/>", 24, 24)]
    assert set(np.unique(got[..., 3])) == {0, 255} and (got[..., 3] > 0).sum() == 61 * 30 + 24 * 24
    assert (got[70, 130] == (1, 2, 3, 255)).all() and (got[20, 20] == (9, 8, 7, 255)).all()


def test_what_cannot_be_drawn_is_said() -> None:
    shelf = Shelf()
    layer = shelf.layer(noise(4, 4), Placement(9, 9, 4, 4))
    with pytest.raises(BadInput, match='picture of layer "some" is missing'):
        flat(layer, pictures=Shelf())
    assert out_size(Extent(8000, 8000), 1.5) == (12_000, 12_000)
    for scale, says in ((2.0, "megapixels"), (0, "not a scale"), (float("nan"), "not a scale"), (300, "more than can be written")):
        with pytest.raises(BadInput, match=says):
            out_size(Extent(8000, 7000), scale)


def test_pictures_without_alpha_are_opaque() -> None:
    picture = Picture.from_array(noise(64, 48)[..., :3])
    layer = Layer("a", "a", picture.digest, Placement.at(0, 0, 64, 48))
    got = flat(layer, pictures=Shelf({picture.digest: picture}))
    assert (got[..., :3] == picture.array).all() and (got[..., 3] == 255).all()
