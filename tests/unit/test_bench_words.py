"""The bench of words: what it paints was never trained on, and its contrast is that of the picture."""
from __future__ import annotations

import numpy as np

from models.flows.advert import Ad, AdLayer, text_layer
from models.job import Extent, Picture
from models.lab.glyphs import vocabulary
from models.words.lettering import measure
from models.layers.stack import Placement, Text
from studio.bench import quick, words
from studio.bench.words import grows, least_contrast, words_for_tests


def test_words_of_the_bench_were_never_trained_on() -> None:
    words = [word.lower() for word in words_for_tests(24)]
    assert len(set(words)) == 24 and set(words) <= set(vocabulary(True)) and not set(words) & set(vocabulary())


def test_growth_is_what_is_found_near_the_product_beyond_its_area() -> None:
    thing = np.zeros((128, 128, 4), np.uint8)
    thing[40:80, 40:80] = 255
    told = []

    def look(percept: str, rgb: np.ndarray, hints: np.ndarray) -> np.ndarray:
        told.append(hints)
        return rgb[..., 0]
    seen = np.zeros((128, 128, 3), np.uint8)
    seen[40:80, 40:90], seen[:8, :8] = 255, 255                                # ten columns wider, and something far away
    assert grows(look, seen, thing) == 0.25 and grows(look, thing[..., :3], thing) == 0
    keep, drop = told[0][..., 0] > 0, told[0][..., 1] > 0
    assert keep[60, 60] and not keep[40, 40] and drop[0, 0] and not drop[85, 60]


def test_no_two_briefs_are_alike_and_the_quick_variant_is_small(monkeypatch) -> None:
    pairs = {(number % len(words.PRODUCTS), (number + number // len(words.PRODUCTS)) % len(words.LINES)) for number in range(50)}
    assert words.BRIEFS >= 50 and len(pairs) == 50
    for name in words.QUICK:
        monkeypatch.setattr(words, name, getattr(words, name))
    assert quick("words") is words.run and words.BRIEFS <= 3


def test_contrast_is_measured_under_the_letters_only() -> None:
    ground = np.full((100, 200, 4), 255, np.uint8)
    ground[60:] = (0, 0, 0, 255)
    text = Text("HI", "inter-black", 30)
    x0, y0, x1, y1 = measure(text).ink
    place = Placement(100, 50, 200, 100)
    words = lambda y: text_layer(text, (20, y, 20 + x1 - x0, y + y1 - y0))
    ad = lambda y: Ad(Extent(200, 100), (AdLayer("background", "b", Picture.from_array(ground), place), words(y)), None, "", 0.0)
    assert least_contrast(ad(10)) > 20.9 and least_contrast(ad(50)) < 1.1
