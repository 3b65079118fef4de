"""Comparing what was read with what was meant, and reading with whatever is installed."""
from __future__ import annotations

import numpy as np
import pytest

from models.errors import MissingWeights
from models.words.lettering import letter
from models.words.reading import Line, distance, misread, overlap, paired, plain, read, readers, recalled
from models.layers.stack import Text

LINES = (Line("FRESH BREAD", (10, 10, 110, 30), 0.9), Line("every-day", (10, 50, 110, 70), 0.8))


def test_edits_are_counted() -> None:
    assert [distance(a, b) for a, b in (("kitten", "sitting"), ("", "abc"), ("same", "same"), ("ab", "ba"))] == [3, 3, 0, 2]
    assert plain(" Fresh-Bread 24! ") == "freshbread24"


def test_words_are_found_without_spaces_and_each_once() -> None:
    assert recalled("fresh bread every day", LINES) == [True] * 4
    assert recalled("bread bread milk", LINES) == [True, False, False]
    assert recalled("a cat", (Line("cat", (0, 0, 1, 1), 1.0),)) == [False, True], "the a of cat is taken"


def test_equal_words_are_told_apart_by_their_place() -> None:
    upper, lower = Line("new", (0, 0, 50, 20), 1.0), Line("now", (0, 80, 50, 100), 1.0)
    assert paired([("new", (0, 80, 50, 100)), ("new", (0, 0, 50, 20))], [upper, lower]) == [lower, upper]
    assert paired([("new", (0, 0, 50, 20)), ("zebra", (200, 0, 250, 20))], [upper]) == [upper, None]
    assert paired([("new", (0, 0, 5, 5))], []) == [None] and overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)


def test_misread_words_are_found_in_the_line_over_them_with_what_was_read() -> None:
    lines = (Line("FRESHBREAD", (10, 10, 110, 30), 0.9), Line("every cay", (10, 50, 110, 70), 0.8))
    at = {"fresh": (10, 10, 60, 30), "bread": (62, 10, 110, 30), "every": (10, 50, 60, 70), "day": (64, 50, 110, 70),
          "milk": (10, 200, 60, 220), "!": (0, 0, 5, 5)}
    assert misread(list(at.items()), lines) == [(3, "cay"), (4, "")]
    twice = [("bread", (62, 10, 110, 30)), ("bread", (60, 12, 108, 28))]
    assert [i for i, _ in misread(twice, lines)] == [1], "one bread was read, not two"
    assert misread([("fresh", (10, 50, 60, 70))], lines)[0][0] == 0, "it stands elsewhere"


def test_every_installed_reader_reads_and_a_missing_one_is_named() -> None:
    alpha = letter(Text("Morning 42", "inter-bold", 40))[..., 3:].astype(float) / 255
    page = np.full((120, 320, 3), 250.0)
    page[30:30 + alpha.shape[0], 20:20 + alpha.shape[1]] *= 1 - alpha
    for reader in readers():
        found = read(page.astype(np.uint8), reader)
        assert all(recalled("morning 42", found)), reader
        x0, y0, x1, y1 = found[0].box
        assert 15 < x0 < 60 and 20 < y0 < 60 and x1 > 120 and y1 - y0 < 60
    with pytest.raises(MissingWeights, match="pip install"):
        read(page.astype(np.uint8), "glasses")
