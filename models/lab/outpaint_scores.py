"""How near extended pictures are to real ones: python -m models.lab outpaint_scores pack=FOLDER

FOLDER is outpaint-canvases of the cache folder, where `python3 launch.py bench outpaint` wrote the same scenes extended in several ways, and
the scenes themselves. Fréchet distance (models.lab.metrics.frechet) of whole canvases to the whole true ones, in the first DIMS principal
components of EfficientNet-Lite0 features of the true ones; all ways hold the same known pixels, so what differs is what was painted.
"""
from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from models.errors import BadInput
from models.lab.adapter_scores import write_section
from models.lab.evaluate import ASSETS, machine
from models.lab.metrics.features import POOLED, FeatureNet, look, pca
from models.lab.metrics.frechet import frechet_interval
from models.lab.metrics.metric import Score

HEADING = "## Outpainting"
TITLES = {"once": "at once, seeing what is known", "steps": "the same step by step", "held": "known cells held only", "mirror": "mirrored"}
DIMS = 32
SHEET = ASSETS / "sheets" / "outpaint.webp"
SHEET_ROWS, CELL_PX, GAP_PX, MOST_BYTES = 6, 148, 4, 120_000


def run_outpaint_scores(folder: Path, command: str, out: Path = ASSETS / "SCORES.md", sheet: Path = SHEET, eyes: Callable[[], FeatureNet] = FeatureNet) -> str:
    """Measure, write the section and the contact sheet, return the section. Raises BadInput without canvases."""
    if not (folder / "index.json").is_file():
        raise BadInput(f"There are no canvases in {folder}.", "Write them with: python3 launch.py bench outpaint")
    rows = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    net, found, real = eyes(), {}, {}
    for area in sorted({row["area"] for row in rows}):
        seen = {way: look(net, pictures(folder, rows, way, area))[:, :POOLED] for way in ("truth", *TITLES)}
        mean, basis = pca(seen["truth"], min(DIMS, len(seen["truth"]) - 1))
        project = lambda x, mean=mean, basis=basis: (x - mean) @ basis
        found[area] = {way: frechet_interval(project(seen[way]), project(seen["truth"])) for way in TITLES}
        real[area] = {way: paired_distance(project(seen[way]), project(seen["truth"])) for way in TITLES}
    text = table(found, real, len(pictures(folder, rows, "truth", min(found))), command)
    write_section(out, HEADING, text)
    write_sheet(folder, rows, sheet)
    return text


def pictures(folder: Path, rows: Sequence[Mapping], way: str, area: float) -> list[np.ndarray]:
    """uint8 [S, S, 3] each, in the order of their scenes."""
    return [cv2.imread(str(folder / row["file"]))[..., ::-1] for row in rows if row["way"] == way and row["area"] == area]


def paired_distance(x: np.ndarray, y: np.ndarray) -> Score:
    """The mean distance of each picture [N, D] to its own true one, with half a 95 % interval."""
    away = np.linalg.norm(x - y, axis=1)
    return Score(float(away.mean()), 1.96 * float(away.std(ddof=1) / len(away) ** 0.5))


def table(found: Mapping[float, Mapping[str, Score]], real: Mapping[float, Mapping[str, Score]], count: int, command: str) -> str:
    areas = sorted(found)
    head = f"{count} held-out scenes, one seed, no words, {datetime.date.today().isoformat()}, {machine()}, {command}. To the true canvases: Fréchet " \
           f"distance / distance of each picture to its own, both in features of an ImageNet network; lower is better."
    lines = [head, "", "| | " + " | ".join(f"{area:g} times the area" for area in areas) + " |", "|---" * (len(areas) + 1) + "|"]
    for way, title in TITLES.items():
        cells = (f"{found[area][way].value:.2f} ± {found[area][way].spread:.2f} / {real[area][way].value:.2f}" for area in areas)
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", f"![Scenes extended: the known part, at once, known cells held, mirrored, the truth](sheets/{SHEET.name})"])


def write_sheet(folder: Path, rows: Sequence[Mapping], path: Path, ways: Sequence[str] = ("once", "steps", "held", "truth")) -> None:
    """A row a scene: for two factors the known part on grey, then what each way makes of it; under MOST_BYTES."""
    from PIL import Image
    areas = sorted({row["area"] for row in rows})[:2]
    lines = []
    for number in range(SHEET_ROWS):
        cells = []
        for area in areas:
            made = {way: pictures(folder, rows, way, area) for way in ("truth", *ways)}
            boxes = [row["box"] for row in rows if row["way"] == "truth" and row["area"] == area]
            if number < len(boxes):
                cells += [known_on_grey(made["truth"][number], boxes[number]), *(made[way][number] for way in ways)]
        lines += [np.concatenate([framed(cell) for cell in cells], 1)] if cells else []
    picture = Image.fromarray(np.concatenate(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in (88, 80, 70, 55):
        picture.save(path, quality=quality, method=6)
        if path.stat().st_size <= MOST_BYTES:
            return


def known_on_grey(truth: np.ndarray, box: Sequence[int]) -> np.ndarray:
    x0, y0, x1, y1 = box
    out = np.full_like(truth, 208)
    out[y0:y1, x0:x1] = truth[y0:y1, x0:x1]
    return out


def framed(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(np.ascontiguousarray(picture), (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA)
    return np.pad(small, ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=255)
