"""The table of the scribble control: what a picture that follows its lines scores, beside one that does not."""
from __future__ import annotations

import cv2
import numpy as np

from models.lab.sketch_scores import HEAD, Scored, label_of, scored


def circle(x: int) -> tuple[np.ndarray, np.ndarray]:
    """(a picture with a disc, its rim as drawn lines)."""
    picture, line = np.full((256, 256, 3), 255, np.uint8), np.zeros((256, 256), np.uint8)
    cv2.circle(picture, (x, 128), 50, (200, 40, 40), -1)
    cv2.circle(line, (x, 128), 50, 255, 1)
    return picture, line > 0


def test_a_picture_on_its_lines_scores_near_one_and_one_beside_them_near_nothing() -> None:
    (here, line), (away, _) = circle(80), circle(190)
    good, bad = (scored(np.stack([picture]), [line], here[None]) for picture in (here, away))
    assert good.f1 > 0.95 and good.recall > 0.95 and good.chamfer_px < 2 and abs(good.detail - 1) < 1e-6
    assert bad.f1 < 0.1 and bad.chamfer_px > 20 and bad.blank == 0 and bad.named is None


def test_a_picture_without_an_edge_is_counted_apart_and_not_as_a_distance() -> None:
    here, line = circle(80)
    white = np.full_like(here, 255)
    mixed, none = scored(np.stack([here, white]), [line, line], np.stack([here, here])), scored(white[None], [line], here[None])
    assert mixed.blank == 0.5 and mixed.chamfer_px < 2 and mixed.f1 < 0.51
    assert none.blank == 1 and np.isnan(none.chamfer_px) and none.detail < 1e-6


def test_rows_fill_the_table_with_and_without_a_judge() -> None:
    for named in (None, (0.25, 0.5)):
        assert Scored(0.5, 0.6, 0.0, 3.25, 0.1, named).row(0.25, "none").count("|") == HEAD[0].count("|") == HEAD[1].count("|")
    assert Scored(0.5, 0.6, 0.125, 3.25, 0.1, (0.25, 0.5)).row(0.25, "none") == "| 25% | none | 0.50 | 0.60 | 0.12 | 3.2 | 0.10 | 0.25 | 0.50 |"


def test_a_control_is_called_by_what_its_header_says() -> None:
    assert label_of({"updates": 1200, "config": {"whole": 1.0}}) == "finished drawings only, 1,200 updates"
    assert label_of({"updates": 7, "config": {"whole": 0.25}}) == label_of({"updates": 7}) == "unfinished drawings, 7 updates"
