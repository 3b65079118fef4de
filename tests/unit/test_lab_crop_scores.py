"""The small judge of crops: it names what it was shown, knows emoji sets' names, and says when nothing was written."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.errors import BadInput
from models.lab.crop_scores import SmallJudge, half, label_of, run_crop_scores
from models.lab.items import Item
from models.lab.metrics.features import FeatureNet

COLOURS = {"red heart": (220, 30, 40), "house": (60, 90, 200), "pear": (120, 190, 40)}


def drawings() -> tuple[list[Item], np.ndarray]:
    """Shapes that any network tells apart: discs, boxes and rings, six of each."""
    items, out = [], []
    for number, (label, colour) in enumerate(COLOURS.items()):
        for size in range(6):
            canvas = np.zeros((256, 256, 4), np.uint8)
            canvas[..., :3] = colour
            alpha = np.zeros((256, 256), np.uint8)
            if number == 1:
                alpha[128 - 60 - size * 6:188, 60:200] = 255
            else:
                cv2.circle(alpha, (128, 128), 60 + 6 * size, 255, -1 if number == 0 else 24)
            canvas[..., 3] = alpha
            items.append(Item("set", f"{label}{size}", label, "flat", "train", "objects", "CC0"))
            out.append(canvas)
    return items, np.stack(out)


def test_crops_are_named_and_the_best_of_several_counts(tmp_path: Path) -> None:
    items, rgba = drawings()
    white = np.full((256, 256, 3), 255, np.uint8)
    flat = [np.where(one[..., 3:] > 0, one[..., :3], 255).astype(np.uint8) for one in rgba]
    rows = []
    for name, crops, way in (("heart", [flat[2]], "layers"), ("house", [white, flat[8]], "single"), ("house", [flat[2]], "layers")):
        file = f"{len(rows)}.png"
        cv2.imwrite(str(tmp_path / file), np.hstack(crops)[..., ::-1])
        rows.append({"file": file, "crops": len(crops), "name": name, "things": 1, "way": way})
    (tmp_path / "index.json").write_text(json.dumps(rows))
    text = run_crop_scores(tmp_path, items, rgba, "`here`")
    assert "Named first among 3 names" in text and "| 1 | 0.50 ± 0.69 | 1.00 ± 0.00 | 2 |" in text


def test_what_the_judge_cannot_know_is_said(tmp_path: Path) -> None:
    items, rgba = drawings()
    with pytest.raises(BadInput, match="No drawing shows zeppelin"):
        SmallJudge.trained(["zeppelin"], items, rgba, FeatureNet())
    with pytest.raises(BadInput, match="no crops"):
        run_crop_scores(tmp_path, items, rgba, "x")
    assert label_of("heart", {"red heart", "house"}) == ("red heart",) and label_of("house", {"house"}) == ("house",) and half([True, True]) == 0
