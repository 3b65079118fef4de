"""The table of layered codes: ways of painting whose score is known."""
from __future__ import annotations

import cv2
import numpy as np
import torch

from models.lab.layered_scores import HEAD, SHARES, Drawings, _moved, label_of, scored


def drawings(count: int = 12) -> Drawings:
    """Squares at different places, four strokes each."""
    out = []
    for i in range(count):
        x, y = 30 + 12 * i % 90, 40 + 17 * i % 80
        corners = [(x, y), (x + 80, y), (x + 80, y + 80), (x, y + 80), (x, y)]
        out.append([np.array([a, b]) for a, b in zip(corners, corners[1:])])
    return Drawings(tuple(out))


def finished(some: Drawings) -> np.ndarray:
    pictures = np.full((len(some.strokes), 256, 256, 3), 255, np.uint8)
    for picture, strokes in zip(pictures, some.strokes):
        cv2.rectangle(picture, tuple(map(int, strokes[0][0])), tuple(map(int, strokes[1][1])), (40, 60, 200), -1)
    return pictures


def eyes(pictures: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(p, (6, 6), interpolation=cv2.INTER_AREA).ravel() / 255.0 for p in pictures])


def test_drawings_grow_by_whole_strokes() -> None:
    some = drawings(3)
    ink = [some.at(share).mean() for share in (0.05, 0.5, 0.75, 1.0)]
    assert ink == sorted(ink) and ink[0] > 0 and torch.equal(some.at(0.25, 1), some.at(0.5)) and torch.equal(some.at(1.0, 5), some.at(1.0))


def test_who_guesses_the_whole_at_once_wins_and_does_not_move() -> None:
    some = drawings()
    whole, noise = finished(some), np.random.default_rng(0).integers(0, 256, (12, 256, 256, 3), dtype=np.uint8)
    good, bad = (scored(lambda drawn, p=p: p, some, eyes(whole), eyes) for p in (whole, noise))
    assert good.frechet[0] < 1e-6 < bad.frechet[0] and good.likeness > 0.99 > bad.likeness and good.moved < 1e-9
    assert min(good.recall) > 0.95 and len(good.recall) == len(SHARES)

    def traced(drawn: torch.Tensor) -> np.ndarray:
        """What is drawn and nothing else: true to strokes, and it moves with each of them."""
        return ((1 - drawn.permute(0, 2, 3, 1).numpy()) * 255).astype(np.uint8)
    literal = scored(traced, some, eyes(whole), eyes)
    assert literal.moved > 10 * good.moved + 1e-4 and literal.frechet[0] > good.frechet[0]
    assert literal.row("x").count("|") == HEAD[0].count("|") == HEAD[1].count("|")


def test_movement_is_the_turn_of_features_about_the_centre() -> None:
    a, b = np.array([[1.0, 0], [0, 1]]), np.array([[0, 1.0], [0, 1]])
    assert _moved([a, b], np.zeros(2)) == 0.5 and _moved([a, a], np.zeros(2)) == 0


def test_codes_are_called_by_what_their_header_says() -> None:
    assert label_of({"config": {"whole": True}, "picture_updates": 5, "sketch_updates": 1000}) == "codes, finished drawings only, 5 + 1,000 updates"
    assert "every moment" in label_of({})
