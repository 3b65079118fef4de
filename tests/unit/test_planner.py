"""Sentences taken apart: things, places, sizes, sides and relations; and the canvas they are put on."""
from __future__ import annotations

import numpy as np
import pytest

from models.errors import BadInput
from models.flows._canvas import fitted, held, over, put, shown, together
from models.flows._planner import MOST_THINGS, plan, reads_as, size_of
from models.flows.layered_scene import box_of_thing
from models.job import Extent


def things(prompt: str) -> list[str]:
    return [thing.words for thing in plan(prompt).things]


@pytest.mark.parametrize("prompt, found, background", [
    ("a red car, a tall tree and a dog on a beach", {"a red car", "a tall tree", "a dog"}, "on a beach"),
    ("an apple", {"an apple"}, ""),
    ("apple and house", {"an apple", "a house"}, ""),
    ("two birds and a house in the snow", {"a bird", "a house"}, "in the snow"),
    ("a boy with a balloon on a beach", {"a boy", "a balloon"}, "on a beach"),
    ("a cat in a hat and a dog in space", {"a cat in a hat", "a dog"}, "in space"),
    ("a house on the left and a tree on the right", {"a house", "a tree"}, ""),
    ("a cat left of a dog", {"a cat", "a dog"}, ""),
    ("a car under the tree and a tree", {"a car", "a tree"}, ""),
    ("a fish.", {"a fish"}, ""),
])
def test_what_is_there_and_where(prompt: str, found: set[str], background: str) -> None:
    assert set(things(prompt)) == found and plan(prompt).background == background


def test_numbers_are_things_of_their_own() -> None:
    assert things("three small butterflies on a beach") == ["a small butterfly"] * 3
    assert len({thing.x for thing in plan("three apples").things}) == 3
    assert sorted(things("two foxes and 2 leaves")) == ["a fox", "a fox", "a leaf", "a leaf"]


@pytest.mark.parametrize("prompt", ["", "  ,  ", "and"])
def test_nothing_is_refused(prompt: str) -> None:
    with pytest.raises(BadInput, match="no words"):
        plan(prompt)


def test_too_much_is_refused() -> None:
    with pytest.raises(BadInput, match="too many for one scene"):
        plan(", ".join(f"a cat number {i}" for i in range(MOST_THINGS + 1)))
    assert len(plan("five cats and three dogs").things) == MOST_THINGS


def test_places_follow_the_words() -> None:
    by = {thing.words: thing for thing in plan("a sun, a house on the left and a car right of the house in a field").things}
    assert by["a sun"].y < 0.4 and by["a house"].x < 0.3 < by["a car"].x and by["a car"].y == by["a house"].y
    above = {thing.words: thing for thing in plan("a star above a house").things}
    assert above["a star"].y < above["a house"].y - above["a house"].size + 0.01
    assert size_of("a tiny house") < size_of("a house") < size_of("a huge house") <= 0.8
    assert reads_as(plan("a red car").things[0]) == "Red car"


@pytest.mark.parametrize("prompt", ["a house, a tree, a car, a cat and a butterfly in the snow", "a giant castle on the left",
                                    "a bus on the right, a sun at the top"])
@pytest.mark.parametrize("size", [(100, 40), (40, 100), (7, 9)])
def test_boxes_lie_on_the_canvas_and_keep_their_shape(prompt: str, size: tuple[int, int]) -> None:
    for thing in plan(prompt).things:
        x0, y0, x1, y1 = box_of_thing(thing, size, Extent(320, 240))
        assert 0 <= x0 < x1 <= 320 and 0 <= y0 < y1 <= 240
        assert abs((x1 - x0) * size[1] - (y1 - y0) * size[0]) <= max(size)


def test_a_thing_stands_on_the_ground_of_its_box_or_hangs_in_its_middle() -> None:
    assert fitted((10, 5), (0, 0, 40, 40)) == (0, 20, 40, 40) and fitted((10, 5), (0, 0, 40, 40), ground=False) == (0, 10, 40, 30)
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[5:10, 2:12] = (9, 8, 7, 255)
    placed = put(rgba, (10, 0, 30, 30), Extent(40, 30))
    assert (placed[20:30, 10:30] == (9, 8, 7, 255)).all() and not placed[:20].any()
    cut = put(rgba, (30, 0, 50, 30), Extent(40, 30))
    assert cut[20:, 30:].any() and cut.shape == (30, 40, 4)


def test_layers_over_each_other_are_porter_and_duff() -> None:
    rng = np.random.default_rng(0)
    layers = [rng.integers(0, 256, (6, 7, 4), dtype=np.uint8) for _ in range(3)]
    place = rng.integers(0, 256, (6, 7, 3), dtype=np.uint8)
    assert np.abs(over(place, layers).astype(int) - over(place, [together(layers)])).max() <= 2
    visible = shown(layers)
    empty = np.prod([1 - layer[..., 3] / 255 for layer in layers], 0)
    assert np.allclose(sum(visible) + empty, 1, atol=1e-5) and np.allclose(visible[-1], layers[-1][..., 3] / 255)


def test_what_is_held_leaves_its_rim_free_but_not_at_the_edge_of_the_picture() -> None:
    rgba = np.zeros((12, 12, 4), np.uint8)
    rgba[4:, 3:9, 3] = 255
    core = held(rgba)
    assert core[5:, 4:8].all() and not core[4].any() and core.sum() == 7 * 4
    rgba[..., 3] = 0
    rgba[3, 3, 3] = 255
    assert held(rgba).sum() == 1, "a thing too thin for a core is held whole"
