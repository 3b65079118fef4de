"""What crops of composites show, asked of a small judge: python -m models.lab crops pack=FOLDER

The judge is the linear discriminant of models.lab.metrics.concept on frozen EfficientNet-Lite0 features, but it answers among the few names
that the bench asks for and as many that look like them or stand beside them, and sees every drawing of them plain and on a colour. That takes
minutes where the large judge's features take an hour; its shares are higher than the large one's and compare only with each other. No
drawing of those names was painted from here, so there is nothing to hold out but, for the ceiling, a fifth of the drawings.
"""
from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from models.errors import BadInput
from models.lab.items import Item, stable_hash
from models.lab.metrics.concept import fit_discriminant
from models.lab.metrics.features import POOLED, FeatureNet, look, pca
from models.lab.metrics.real import CATEGORIES, view

OTHERS = ("pear", "orange", "castle", "truck", "palm tree", "violin", "bee", "watch", "airplane", "tractor", "strawberry", "pizza", "star", "sun",
          "fish", "cat", "dog", "ball", "flower", "cup", "key", "boat")
HEARTS = tuple(f"{colour} heart" for colour in ("red", "blue", "green", "yellow", "orange", "purple"))
NAMES_OF = {"heart": HEARTS, "tree": ("deciduous tree", "evergreen tree"), "car": ("automobile",), "apple": ("red apple", "green apple"),
            "clock": ("alarm clock", "mantelpiece clock"), "truck": ("delivery truck", "pickup truck"), "boat": ("sailboat",),
            "flower": ("tulip", "hibiscus", "sunflower"), "orange": ("tangerine",)}
VIEWS, CEILING_FOLD, FOLDS, DIMS = ("plain", "color"), 0, 5, 192
SHRINK = 0.1


def run_crop_scores(folder: Path, items: Sequence[Item], rgba: np.ndarray, command: str, device: str = "cpu") -> str:
    """A markdown table. `rgba`: uint8 [N, 256, 256, 4] row for row with `items`. Raises BadInput without crops."""
    if not (folder / "index.json").is_file():
        raise BadInput(f"There are no crops in {folder}.", "Write them with: python3 launch.py bench layers")
    rows = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    net = FeatureNet(device)
    judge = SmallJudge.trained(sorted({row["name"] for row in rows}), items, rgba, net)
    right: dict[tuple[int, str], list[bool]] = defaultdict(list)
    for row in rows:
        crops = np.split(cv2.imread(str(folder / row["file"]))[..., ::-1], row["crops"], axis=1)
        right[row["things"], row["way"]].append(row["name"] in judge.names_first(look(net, crops)[:, :POOLED]))
    return table(right, judge, command)


def table(right: dict[tuple[int, str], list[bool]], judge: SmallJudge, command: str) -> str:
    counts = sorted({count for count, _ in right})
    lines = ["| things | layers, harmonised | one prompt (best of ten crops) | asked |", "|---|---|---|---|"]
    for count in (*counts, 0):
        cells = {way: [ok for (things, kind), oks in right.items() if kind == way and count in (0, things) for ok in oks] for way in ("layers", "single")}
        shares = " | ".join(f"{np.mean(cells[way]):.2f} ± {half(cells[way]):.2f}" for way in ("layers", "single"))
        lines.append(f"| {count or 'all'} | {shares} | {len(cells['layers'])} |")
    names = len(judge.names)
    head = f"Named first among {names} names, {command}; real drawings {judge.ceiling:.2f}, chance {1 / names:.2f} (of the best of ten crops more)."
    return "\n".join([head, "", *lines])


def half(values: Sequence[bool]) -> float:
    """Half a 95 % interval of a share (Wald)."""
    share = float(np.mean(values))
    return 1.96 * (share * (1 - share) / max(1, len(values))) ** 0.5


def label_of(name: str, labels: set[str]) -> tuple[str, ...]:
    """The labels of drawings that show `name`: that very word, or how emoji sets call it."""
    return tuple(label for label in (name, *NAMES_OF.get(name, ())) if label in labels)


class SmallJudge:
    """`names`: its answers. ceiling: the share of real drawings it never saw that it names first."""

    def __init__(self, names: Sequence[str], x: np.ndarray, y: np.ndarray) -> None:
        self.names = tuple(names)
        self.mean, self.basis = pca(x, min(DIMS, x.shape[1], len(x)))
        self.head = fit_discriminant((x - self.mean) @ self.basis, y, len(names), SHRINK)
        self.ceiling = float("nan")

    @classmethod
    def trained(cls, wanted: Sequence[str], items: Sequence[Item], rgba: np.ndarray, net: FeatureNet) -> SmallJudge:
        """Raises BadInput when a wanted name has no drawing."""
        labels = {item.label for item in items if item.category in CATEGORIES}
        shown = {name: label_of(name, labels) for name in (*wanted, *(other for other in OTHERS if other not in wanted))}
        if lost := [name for name in wanted if not shown[name]]:
            raise BadInput(f"No drawing shows {', '.join(lost)}.", "Build the data again, or ask for other things.")
        names = [name for name, own in shown.items() if own]
        number = {label: i for i, name in enumerate(names) for label in shown[name]}
        chosen = [i for i, item in enumerate(items) if item.label in number and item.category in CATEGORIES]
        x = np.concatenate([look(net, np.stack([view(items[i], rgba[i], kind) for i in chosen]))[:, :POOLED] for kind in VIEWS])
        y = np.tile([number[items[i].label] for i in chosen], len(VIEWS))
        held = np.tile([stable_hash(f"crops/{items[i].key}", FOLDS) == CEILING_FOLD for i in chosen], len(VIEWS))
        probe, judge = cls(names, x[~held], y[~held]), cls(names, x, y)
        asked = held & np.isin(y, [names.index(name) for name in wanted])
        judge.ceiling = float(np.mean(probe.answers(x[asked]) == y[asked])) if asked.any() else float("nan")
        return judge

    def answers(self, features: np.ndarray) -> np.ndarray:
        """[N, 1280] -> [N] numbers of names."""
        return self.head.scores((features - self.mean) @ self.basis).argmax(1)

    def names_first(self, features: np.ndarray) -> set[str]:
        return {self.names[i] for i in self.answers(features)}
