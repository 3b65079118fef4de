"""Pictures and a stack that tests of exports and imports share: soft alpha, hidden colours, groups, words, a drawing."""
from __future__ import annotations

import numpy as np

from models.job import Extent, Picture
from models.words.lettering import letter
from models.layers.stack import Group, Layer, Placement, Stack, Text
from models.vector.vectors import rasterise

WORDS = Text("Fresh\nFox", "anton", 30, "#d03010", "center")
RING = ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><defs><linearGradient id="g"><stop offset="0" stop-color="#00f"/>'
        '<stop offset="1" stop-color="#0f0"/></linearGradient></defs><circle cx="5" cy="5" r="4" fill="url(#g)"/></svg>')


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Every value of colour and alpha, also colours that cannot be seen."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[:height // 4, :, 3] = 0
    pixels[-(height // 4):, :, 3] = 255
    return pixels


def blob(width: int, height: int, *rgb: int) -> np.ndarray:
    """A soft disc of one colour."""
    y, x = np.mgrid[:height, :width]
    far = np.hypot((x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5) * 2
    return np.dstack([np.broadcast_to(np.uint8(rgb), (height, width, 3)), ((1.1 - far).clip(0, 1) * 255).astype(np.uint8)])


def seen(pixels: np.ndarray) -> np.ndarray:
    """No colour where alpha is 0."""
    return np.where(pixels[..., 3:] > 0, pixels, 0)


class Shelf(dict):
    """Pictures by digest, and layers made from arrays."""

    def layer(self, id: str, pixels: np.ndarray, place: Placement, **more: object) -> Layer:
        picture = Picture.from_array(pixels)
        self[picture.digest] = picture
        return Layer(id, more.pop("name", f"Füchs 狐 {id}"), picture.digest, place, **more)


def plain_stack() -> tuple[Stack, Shelf]:
    """Upright layers on whole pixels only, so that every file can hold them exactly; one hangs over the edge, one is hidden."""
    shelf = Shelf()
    inner = shelf.layer("b", noise(50, 40, 1), Placement.at(60, 40, 50, 40), blend="multiply")
    return Stack(Extent(100, 80), (
        shelf.layer("a", noise(50, 40), Placement.at(-5, 3, 50, 40), source={"seed": 7, "words": "a fox"}),
        Group("g", "Pair", (inner, Group("h", "Inner", (shelf.layer("c", noise(9, 7, 2), Placement.at(1, 2, 9, 7)),))), 0.6, "screen"),
        shelf.layer("d", noise(30, 20, 3), Placement.at(45, 30, 30, 20), visible=False, locked=True, blend="plus-lighter"))), shelf


def rich_stack() -> tuple[Stack, Shelf]:
    """Turned, flipped and scaled layers, words and a drawing."""
    shelf = Shelf()
    words = letter(WORDS)
    return Stack(Extent(120, 100), (
        shelf.layer("a", blob(60, 60, 255, 180, 0), Placement(60, 50, 90, 70, 25)),
        shelf.layer("v", rasterise(RING, 30, 30), Placement(30, 30, 40, 40), svg=RING),
        shelf.layer("t", words, Placement.at(20, 10, words.shape[1], words.shape[0]), text=WORDS),
        shelf.layer("m", blob(40, 20, 0, 120, 255), Placement(80, 60, 40, 30, 0, True), blend="multiply", opacity=0.5))), shelf
