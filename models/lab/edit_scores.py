"""What the pictures of `bench edit` show, to judges that took no part in making them: python -m models.lab edit_scores pack=FOLDER

Outside the mask: the distance of an ImageNet network's maps (unit length a channel vector, mean squared difference over the places outside,
as in Zhang et al. 2018, LPIPS, without its learned weights), of edits and of plain image-to-image. Depths: the chance that judge B gives the
target words on the masked crop. Fixing: the chance of each thing of the prompt in the best of ten windows of the picture.
"""
from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from models.errors import BadInput
from models.lab.adapter_scores import write_section
from models.lab.evaluate import ASSETS, machine
from models.lab.judges import read_judge
from models.lab.metrics.features import FeatureNet, to_unit
from models.nets.style_judge import SIDE_PX
from models.text import TextEncoder

HEADING = "## Edits"
SHARPNESS, RESAMPLES = 12.0, 2000
OTHERS = ("a dog", "a bird", "a fish", "a flower", "a pizza", "a boat", "a hammer", "a smiling face", "a shirt", "a cup", "a book", "a guitar")
WINDOWS = ((0, 0, 1, 1), *((x, y, x + 0.5, y + 0.5) for y in (0, 0.25, 0.5) for x in (0, 0.25, 0.5)))


class Eye:
    """Judge B with its words."""

    def __init__(self, path: Path) -> None:
        self.judge, self.encoder = read_judge(path), TextEncoder()

    @torch.inference_mode()
    def chance(self, pictures: Sequence[np.ndarray], words: str) -> np.ndarray:
        """[N]: how likely uint8 pictures [s, s, 3] show `words` and none of OTHERS."""
        names = [words, *(other for other in OTHERS if not set(other.split()[1:]) & set(words.split()))]
        said = self.judge.text(torch.stack([one.pooled for one in self.encoder.encode(names)]))
        seen = torch.cat([self.judge.vector(to_unit(cv2.resize(one, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)[None])) for one in pictures])
        return (SHARPNESS * seen @ said.T).softmax(1)[:, 0].numpy()


def run_edit_scores(folder: Path, data: Path, command: str, out: Path = ASSETS / "SCORES.md") -> str:
    """Measure, write the section, return it. Raises BadInput without pictures."""
    if not (folder / "index.json").is_file():
        raise BadInput(f"There are no edits in {folder}.", "Make them with: python3 launch.py bench edit")
    rows = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_kind[row["kind"]].append(row)
    eye, net = Eye(data / "judge-b.safetensors"), FeatureNet()
    lines = [line for kind in ("recolour", "remove", "move") if by_kind[kind] for line in _outside(folder, by_kind[kind], kind, net)]
    lines += _depths(folder, by_kind["oir"], eye) if by_kind["oir"] else []
    lines += _fixing(folder, by_kind["fix"], eye) if by_kind["fix"] else []
    text = "\n".join([f"{len(rows)} edits of held-out drawings, {datetime.date.today().isoformat()}, {machine()}, {command}.", "", "| | edit | beside it |",
                      "|---|---|---|", *lines])
    write_section(out, HEADING, text)
    return text


def _read(folder: Path, name: str) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(folder / name))[..., ::-1])


@torch.inference_mode()
def outside(net: FeatureNet, one: np.ndarray, other: np.ndarray, free: np.ndarray) -> float:
    """Distance of the maps of two uint8 pictures [H, W, 3] where bool `free` [H, W] is False, the mean over the levels."""
    maps = [net.maps(to_unit(picture[None], net.device)) for picture in (one, other)]
    total = []
    for a, b in zip(*maps):
        off = ((F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)) ** 2).sum(1)[0].cpu().numpy()
        kept = cv2.resize((~free).astype(np.float32), off.shape[::-1], interpolation=cv2.INTER_AREA) > 0.99
        total.append(float(off[kept].mean()) if kept.any() else 0.0)
    return float(np.mean(total))


def _outside(folder: Path, rows: Sequence[dict[str, Any]], kind: str, net: FeatureNet) -> list[str]:
    figures = []
    for row in rows:
        near = cv2.dilate((_read(folder, row["mask"])[..., 0] > 5).astype(np.uint8), np.ones((25, 25))) > 0
        near |= np.roll(near, -31, 0) if kind == "move" else False
        before = _read(folder, row["before"])
        figures.append([outside(net, before, _read(folder, row[name]), near) for name in ("after", "plain")])
    edit, plain = np.mean(figures, 0)
    low, high = _interval(np.diff(figures, axis=1)[:, 0])
    return [f"| {kind}: change outside, features ↓ (beside: image-to-image at its best strength; difference {low:.4f} to {high:.4f}) "
            f"| {edit:.4f} | {plain:.4f} |"]


def _depths(folder: Path, rows: Sequence[dict[str, Any]], eye: Eye) -> list[str]:
    searched, fixed = [], []
    for row in rows:
        mask = _read(folder, row["mask"])[..., :1] > 127
        names = [row["searched"], *(row[f"depth{k}"] for k in range(sum(name.startswith("depth") for name in row)))]
        chances = eye.chance([_crop(_read(folder, name), mask) for name in names], row["words"])
        searched.append(chances[0])
        fixed.append(chances[1:])
    best = int(np.mean(fixed, 0).argmax())
    low, high = _interval(np.array(searched) - np.array(fixed)[:, best])
    return [f"| several objects: chance of the target words, judge B ↑ (beside: the best fixed depth; difference {low:+.3f} to {high:+.3f}) "
            f"| {np.mean(searched):.3f} | {np.mean(fixed, 0)[best]:.3f} |"]


def _crop(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A square around a mask, white outside it."""
    ys, xs = np.nonzero(mask[..., 0])
    side = int(max(np.ptp(ys), np.ptp(xs)) * 1.2) + 8
    top, left = (ys.min() + ys.max() - side) // 2, (xs.min() + xs.max() - side) // 2
    shown = np.pad(np.where(mask, rgb, 255).astype(np.uint8), ((side, side), (side, side), (0, 0)), constant_values=255)
    return np.ascontiguousarray(shown[top + side:top + 2 * side, left + side:left + 2 * side])


def _fixing(folder: Path, rows: Sequence[dict[str, Any]], eye: Eye) -> list[str]:
    shares = {name: [] for name in ("first", "fixed", "reseeded")}
    for row in rows:
        things = [part.split()[-1] for part in row["words"].replace(" left of ", " and ").split(" and ")]
        for name, values in shares.items():
            crops = [_window(_read(folder, row[name]), window) for window in WINDOWS]
            values.append(np.mean([eye.chance(crops, f"a {thing}").max() for thing in things]))
    low, high = _interval(np.array(shares["fixed"]) - shares["reseeded"])
    return [f"| check and fix: chance of the prompt's things, judge B ↑ (beside: best of n seeds in the same time; difference {low:+.3f} to {high:+.3f}; "
            f"first picture {np.mean(shares['first']):.3f}) | {np.mean(shares['fixed']):.3f} | {np.mean(shares['reseeded']):.3f} |"]


def _window(rgb: np.ndarray, window: tuple[float, float, float, float]) -> np.ndarray:
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = window
    return np.ascontiguousarray(rgb[int(y0 * height):int(y1 * height), int(x0 * width):int(x1 * width)])


def _interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % of the mean by bootstrap (Efron 1979)."""
    d = np.asarray(differences, float)
    low, high = np.quantile(d[np.random.default_rng(seed).integers(0, len(d), (RESAMPLES, len(d)))].mean(1), [0.025, 0.975])
    return float(low), float(high)
