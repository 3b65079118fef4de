"""The table of the scribble control: what a picture that follows its lines scores, beside one that does not."""
from __future__ import annotations

import cv2
import numpy as np

from models.lab.sketch_scores import HEAD, Scored, scored


def circle(x: int) -> tuple[np.ndarray, np.ndarray]:
    """(a picture with a disc, its rim as drawn lines)."""
    picture, line = np.full((256, 256, 3), 255, np.uint8), np.zeros((256, 256), np.uint8)
    cv2.circle(picture, (x, 128), 50, (200, 40, 40), -1)
    cv2.circle(line, (x, 128), 50, 255, 1)
    return picture, line > 0


def test_a_picture_on_its_lines_scores_near_one_and_one_beside_them_near_nothing() -> None:
    (here, line), (away, _) = circle(80), circle(190)
    good, bad = (scored(np.stack([picture]), [line]) for picture in (here, away))
    assert good.f1 > 0.95 and good.recall > 0.95 and good.chamfer_px < 2
    assert bad.f1 < 0.1 and bad.chamfer_px > 20 and good.named is None


def test_rows_fill_the_table_with_and_without_a_judge() -> None:
    for named in (None, (0.25, 0.5)):
        assert Scored(0.5, 0.6, 3.25, named).row(0.25, "none").count("|") == HEAD[0].count("|")
    assert Scored(0.5, 0.6, 3.25, (0.25, 0.5)).row(0.25, "none") == "| 25% | none | 0.50 | 0.60 | 3.2 | 0.25 | 0.50 |"
