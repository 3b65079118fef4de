"""Words to pixels: what the fonts cover, how lines break, that a scale changes nothing, and what is refused."""
from __future__ import annotations

import numpy as np
import pytest

from models.errors import BadInput, UnknownId
from models.words.lettering import FOLDER, fitted, fonts, letter, measure, word_boxes
from models.layers.stack import Text

BOXED = Text("Fresh bread every single morning", "inter-bold", 24, "#10a0f0", "center", width_px=150)


def ink_box(rgba: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(rgba[..., 3] > 8)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def test_every_font_has_its_file_its_licence_and_the_letters_of_europe() -> None:
    assert len(fonts()) >= 8 and {"sans", "serif", "slab", "display", "rounded", "handwriting", "mono"} <= {f.kind for f in fonts().values()}
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) < 4 * 2 ** 20
    for font in fonts().values():
        assert not font.lacks("ABCxyz 0123456789 ÄÖÜäöüß éèñç $€£%&?!“”’–"), font.id
        assert any(font.id.startswith(path.stem) for path in (FOLDER / "licences").glob("*.txt")), font.id
        assert letter(Text("Ag", font.id, 20))[..., 3].max() == 255


def test_every_word_has_the_box_of_its_own_ink() -> None:
    text = Text("Two  words\nBelow", "anton", 40, align="center")
    ink, boxes = letter(text)[..., 3] > 8, dict(word_boxes(text))
    assert list(boxes) == ["Two", "words", "Below"]
    whole = measure(text).ink
    assert np.allclose((min(b[0] for b in boxes.values()), boxes["Two"][1], max(b[2] for b in boxes.values()), boxes["Below"][3]), whole, atol=4)
    for x0, y0, x1, y1 in boxes.values():
        own = ink[round(y0) - 1:round(y1) + 1, round(x0) - 1:round(x1) + 1]
        assert own.any(0)[:4].any() and own.any(0)[-4:].any() and own.any(1)[:4].any() and own.any(1)[-4:].any()
        ink[round(y0) - 2:round(y1) + 2, round(x0) - 2:round(x1) + 2] = False
    assert not ink.any(), "all ink is in some word's box"


def test_the_ink_lies_where_it_was_measured_to_lie() -> None:
    for text in (BOXED, Text("fjord\nfull of Joy", "pacifico", 60), Text("Åg", "bebas-neue", 40, line_height=0.6)):
        block, rgba = measure(text), letter(text)
        assert rgba.shape[:2] == (int(np.ceil(block.height)), int(np.ceil(block.width)))
        assert np.abs(np.subtract(ink_box(rgba), block.ink)).max() <= 2, text.font
        edge = np.concatenate([rgba[0], rgba[-1], rgba[:, 0], rgba[:, -1]])[:, 3]
        assert edge.max() < 128, "ink is cut off"


def test_a_scale_changes_the_size_and_not_the_setting() -> None:
    small, large = letter(BOXED), letter(BOXED, 3.0)
    assert abs(large.shape[1] - 3 * small.shape[1]) <= 3
    shrunk = large[:small.shape[0] * 3, :small.shape[1] * 3, 3].astype(float)
    shrunk = shrunk[:shrunk.shape[0] // 3 * 3, :shrunk.shape[1] // 3 * 3].reshape(shrunk.shape[0] // 3, 3, -1, 3).mean((1, 3))
    both = small[:shrunk.shape[0], :shrunk.shape[1], 3]
    assert np.abs(shrunk - both).mean() < 4


def test_lines_break_between_words_and_keep_their_side() -> None:
    assert [line.words for line in measure(BOXED).lines] == ["Fresh bread", "every single", "morning"]
    for align, sides in (("left", (0, None)), ("right", (None, 0)), ("center", None)):
        block = measure(Text(BOXED.words, BOXED.font, 24, align=align, width_px=150))
        left = [line.starts[0] - block.margin for line in block.lines]
        right = [150 - start - line.width for start, line in zip(left, block.lines)]
        flush = left if align == "left" else right if align == "right" else np.subtract(left, right)
        assert np.allclose(flush, 0, atol=1e-6), (align, sides)
    long = measure(Text("Donaudampfschifffahrt", "inter", 24, width_px=80))
    assert long.broken and len(long.lines) > 2 and all(line.width <= 80 for line in long.lines)
    assert len(measure(Text("one\ntwo", "inter", 20)).lines) == 2


def test_swashes_reach_out_of_the_lines_and_are_not_cut_off() -> None:
    block, rgba = measure(Text("lazy dog", "pacifico", 60, line_height=0.8)), letter(Text("lazy dog", "pacifico", 60, line_height=0.8))
    assert block.margin > 15 and rgba[-1, :, 3].max() < 200 and rgba[-6:, :, 3].max() == 255


def test_kerning_and_letter_spacing() -> None:
    loose = lambda words: sum(measure(Text(c, "inter-bold", 100)).lines[0].width for c in words)
    assert measure(Text("AVA", "inter-bold", 100)).lines[0].width < loose("AVA") - 5
    assert measure(Text("AVA", "inter-bold", 100, letter_spacing=7)).lines[0].width == pytest.approx(
        measure(Text("AVA", "inter-bold", 100)).lines[0].width + 14)


def test_a_fitted_text_fills_its_box_and_stays_in_it() -> None:
    found = fitted(Text("Fresh bread every morning", "anton", 10, align="center"), 300, 120)
    x0, y0, x1, y1 = measure(found).ink
    assert x1 - x0 <= 300 and y1 - y0 <= 120 and max((x1 - x0) / 300, (y1 - y0) / 120) > 0.85
    assert fitted(Text("Bread", "anton", 10), 300, 1000, most_lines=1).size_px > found.size_px
    assert fitted(Text("Incomprehensibilities", "anton", 10), 12, 100) is None


@pytest.mark.parametrize("words,font,part", [
    ("", "inter", "no words"), (" \n ", "inter", "no words"), ("שלום", "inter", "right to left"), ("hi 🦊", "inter", "Emoji"),
    ("漢字", "inter", "漢"), ("Привет", "anton", "Inter")])
def test_what_cannot_be_set_is_named(words: str, font: str, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        letter(Text(words, font, 20))


def test_unknown_fonts_and_monstrous_sizes_are_refused() -> None:
    with pytest.raises(UnknownId, match="inter"):
        letter(Text("hi", "comic-sans", 20))
    with pytest.raises(BadInput, match="megapixels"):
        letter(Text("hi", "inter", 8000), 8.0)
