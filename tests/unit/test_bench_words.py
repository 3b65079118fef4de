"""The bench of words: what it paints was never trained on, and its contrast is that of the picture."""
from __future__ import annotations

import numpy as np

from models.flows.advert import Ad, AdLayer, text_layer
from models.job import Extent, Picture
from models.lab.glyphs import vocabulary
from models.words.lettering import measure
from models.layers.stack import Placement, Text
from studio.bench.words import least_contrast, words_for_tests


def test_words_of_the_bench_were_never_trained_on() -> None:
    words = [word.lower() for word in words_for_tests(24)]
    assert len(set(words)) == 24 and set(words) <= set(vocabulary(True)) and not set(words) & set(vocabulary())


def test_contrast_is_measured_under_the_letters_only() -> None:
    ground = np.full((100, 200, 4), 255, np.uint8)
    ground[60:] = (0, 0, 0, 255)
    text = Text("HI", "inter-black", 30)
    x0, y0, x1, y1 = measure(text).ink
    place = Placement(100, 50, 200, 100)
    words = lambda y: text_layer(text, (20, y, 20 + x1 - x0, y + y1 - y0))
    ad = lambda y: Ad(Extent(200, 100), (AdLayer("background", "b", Picture.from_array(ground), place), words(y)), None, "", 0.0)
    assert least_contrast(ad(10)) > 20.9 and least_contrast(ad(50)) < 1.1
