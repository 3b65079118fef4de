"""Reading words in a picture, with whatever reader is installed, and comparing what was read with what was meant.

"rapidocr": the PP-OCRv4 networks (Du et al. 2020, arXiv 2009.09941: boxes by differentiable binarisation, letters by CTC) that lie in the
package rapidocr-onnxruntime, run here with onnxruntime and OpenCV alone, so that the package needs none of its own requirements.
"tesseract": the program of that name. They are independent: one may drive repairs and the other judge them.
"""
from __future__ import annotations

import csv
import io
import math
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from models.errors import MissingWeights

PACKAGE = "rapidocr-onnxruntime"
CURE = f"Install one: pip install --no-deps {PACKAGE}, or your system's tesseract-ocr."
DETECT_PX, MOST_PX = 736, 1920                       # the longer side at which boxes are looked for: as it is, between these
INK, BOX_SCORE, UNCLIP, LEAST_PX = 0.3, 0.5, 1.6, 3  # of PP-OCRv4's own settings
LINE_PX, LINE_LEAST_PX = 48, 320                     # a line is read at this height; narrower ones are filled up to this width
LEAST_COVERED = 0.3                                  # of a word's box by a line's, for the line to be read for it
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Line:
    """One line of words as it was read, its upright box in pixels, and how sure the reader is, 0..1."""
    words: str
    box: Box
    score: float


def readers() -> tuple[str, ...]:
    """The readers that are installed here."""
    return (("rapidocr",) if _folder() else ()) + (("tesseract",) if shutil.which("tesseract") else ())


def read(rgb: np.ndarray, reader: str = "") -> tuple[Line, ...]:
    """The lines in uint8 [H, W, 3], top to bottom. `reader`: "" = the first installed. Raises MissingWeights with the cure."""
    here = readers()
    if not here or reader and reader not in here:
        raise MissingWeights(f"{reader or 'No reader of words'} is {'not ' if reader else ''}installed.", CURE)
    found = {"rapidocr": _by_networks, "tesseract": _by_tesseract}[reader or here[0]](np.ascontiguousarray(rgb[..., :3]))
    return tuple(sorted(found, key=lambda line: (line.box[1], line.box[0])))


# --- comparing ----------------------------------------------------------------------------------------------------------

def plain(words: str) -> str:
    """Lower-case letters and digits only: case, spaces and marks are not what a reader is asked about."""
    return "".join(c for c in words.lower() if c.isalnum())


def distance(one: str, other: str) -> int:
    """Edits (insert, delete, replace) between two texts (Levenshtein 1966)."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row, before = [i], row
        for j, b in enumerate(other, 1):
            row.append(min(row[-1] + 1, before[j] + 1, before[j - 1] + (a != b)))
    return row[-1]


def recalled(wanted: str, lines: Sequence[Line]) -> list[bool]:
    """For each word of `wanted` whether it stands in one of the lines. Readers drop spaces, so a line is searched without them; what
    was found is taken out, so that two equal words need two."""
    left, out = [plain(line.words) for line in lines], []
    words = [w for w in map(plain, wanted.split()) if w]
    order = sorted(range(len(words)), key=lambda i: -len(words[i]))
    for i in order:
        at = next((k for k, text in enumerate(left) if words[i] in text), None)
        if at is not None:
            left[at] = left[at].replace(words[i], "|", 1)
        out.append((i, at is not None))
    return [found for _, found in sorted(out)]


def paired(wanted: Sequence[tuple[str, Box]], lines: Sequence[Line]) -> list[Line | None]:
    """The line that each wanted (word, box) was read as, one to one, least edits and most overlap together (Kuhn 1955); None: missing."""
    from scipy.optimize import linear_sum_assignment
    if not wanted or not lines:
        return [None] * len(wanted)
    far = [[distance(plain(w), plain(line.words)) / max(1, len(plain(w))) + 1 - overlap(box, line.box) for line in lines] for w, box in wanted]
    cost = np.concatenate([np.array(far), np.full((len(wanted), len(wanted)), 1.9)], 1)     # unlike and elsewhere = missing
    return [lines[j] if j < len(lines) else None for j in linear_sum_assignment(cost)[1]]


def misread(wanted: Sequence[tuple[str, Box]], lines: Sequence[Line]) -> list[tuple[int, str]]:
    """(which, what was read there, "" = nothing) for each wanted (word, box) that does not stand in a line over its box. Readers join
    words, so a line is searched for each; what was found is taken out, so that two equal words need two."""
    left, out = [plain(line.words) for line in lines], []
    for i in sorted(range(len(wanted)), key=lambda i: -len(plain(wanted[i][0]))):
        word, box = plain(wanted[i][0]), wanted[i][1]
        over = [k for k, line in enumerate(lines) if _covered(box, line.box) > LEAST_COVERED]
        at = next((k for k in over if word in left[k]), None)
        if at is not None:
            left[at] = left[at].replace(word, "|", 1)
        elif word:
            said = min((_nearest(word, left[k]) for k in over), key=lambda part: distance(word, part), default="")
            out.append((i, said))
    return sorted(out)


def _nearest(word: str, line: str) -> str:
    """The part of a line that is most like the word."""
    parts = [line[i:i + n] for n in {len(word) - 1, len(word), len(word) + 1} for i in range(max(1, len(line) - n + 1)) if n > 0]
    return min(parts, key=lambda part: (distance(word, part), abs(len(part) - len(word)), part), default="").strip("|")


def _covered(a: Box, b: Box) -> float:
    """The share of box a that lies in b."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high) / max(1e-9, (a[2] - a[0]) * (a[3] - a[1]))


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, wide) * max(0.0, high)
    return shared / max(1e-9, (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


# --- the networks -------------------------------------------------------------------------------------------------------

def _folder() -> Path | None:
    spec = find_spec(PACKAGE.replace("-", "_"))
    folder = Path(spec.origin).parent / "models" if spec and spec.origin else None
    return folder if folder and (folder / "ch_PP-OCRv4_rec_infer.onnx").exists() else None


@cache
def _network(name: str) -> Any:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(_folder() / f"ch_PP-OCRv4_{name}_infer.onnx"), options, providers=["CPUExecutionProvider"])


@cache
def _letters() -> list[str]:
    """What each output of the reading network stands for; the first is CTC's blank."""
    known = _network("rec").get_modelmeta().custom_metadata_map["character"].splitlines()
    return ["", *known, " "]


def _ask(name: str, bgr: np.ndarray) -> np.ndarray:
    """A network's first output for uint8 [H, W, 3], brought to -1..1."""
    net = _network(name)
    batch = (bgr.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
    return net.run(None, {net.get_inputs()[0].name: batch})[0]


def _by_networks(rgb: np.ndarray) -> list[Line]:
    out = []
    for corners in _boxes(rgb):
        words, score = _read_line(_cut(rgb, corners))
        if words.strip() and score >= BOX_SCORE:
            out.append(Line(words.strip(), (*corners.min(0).tolist(), *corners.max(0).tolist()), score))
    return out


def _boxes(rgb: np.ndarray) -> list[np.ndarray]:
    """Corners [4, 2] of turned rectangles around lines, from the upper left one clockwise."""
    side = max(rgb.shape[:2])
    scale = np.clip(side, DETECT_PX, MOST_PX) / side
    size = [max(32, round(v * scale / 32) * 32) for v in (rgb.shape[1], rgb.shape[0])]
    inked = _ask("det", cv2.resize(rgb, size, interpolation=cv2.INTER_LINEAR)[..., ::-1])[0, 0]
    mask = cv2.dilate((inked > INK).astype(np.uint8), np.ones((2, 2), np.uint8))
    back = np.float32([rgb.shape[1] / size[0], rgb.shape[0] / size[1]])
    found = (_box(inked, contour) for contour in cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0])
    return [corners * back for corners in found if corners is not None]


def _box(inked: np.ndarray, contour: np.ndarray) -> np.ndarray | None:
    """The rectangle around one blob, grown by what binarisation shrank it; None for dirt."""
    (cx, cy), (w, h), angle = cv2.minAreaRect(contour)
    if min(w, h) < LEAST_PX:
        return None
    inside = np.zeros(inked.shape, np.uint8)
    cv2.fillPoly(inside, [np.int32(cv2.boxPoints(((cx, cy), (w, h), angle)))], 1)
    if cv2.mean(inked, inside)[0] < BOX_SCORE:
        return None
    grow = w * h * UNCLIP / (w + h)                  # both sides of: area * ratio / perimeter
    corners = cv2.boxPoints(((cx, cy), (w + grow, h + grow), angle))
    by_x = corners[np.argsort(corners[:, 0])]
    (a, b), (c, d) = (pair[np.argsort(pair[:, 1])] for pair in (by_x[:2], by_x[2:]))
    return np.float32([a, c, d, b])


def _cut(rgb: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """A line upright, LINE_PX high, uint8."""
    wide = (np.linalg.norm(corners[0] - corners[1]) + np.linalg.norm(corners[3] - corners[2])) / 2
    high = (np.linalg.norm(corners[0] - corners[3]) + np.linalg.norm(corners[1] - corners[2])) / 2
    width = max(8, math.ceil(LINE_PX * wide / max(high, 1e-6)))
    target = np.float32([(0, 0), (width, 0), (width, LINE_PX), (0, LINE_PX)])
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    return cv2.warpPerspective(rgb, matrix, (width, LINE_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _read_line(line: np.ndarray) -> tuple[str, float]:
    """(what stands in a line of LINE_PX height, mean score of its letters)."""
    filled = np.full((LINE_PX, max(LINE_LEAST_PX, line.shape[1]), 3), 127, np.uint8)
    filled[:, :line.shape[1]] = line[..., ::-1]
    likely = _ask("rec", filled)[0]
    best, sure = likely.argmax(1), likely.max(1)
    kept = [i for i in range(len(best)) if best[i] and (i == 0 or best[i] != best[i - 1])]      # CTC: repeats and blanks fall away
    return "".join(_letters()[best[i]] for i in kept), float(np.mean(sure[kept])) if kept else 0.0


def _by_tesseract(rgb: np.ndarray) -> list[Line]:
    """Its words joined to lines; sparse text, in any order."""
    scale = max(1, round(DETECT_PX / max(rgb.shape[:2])))
    buffer = io.BytesIO()
    Image.fromarray(rgb).resize((rgb.shape[1] * scale, rgb.shape[0] * scale), Image.Resampling.BICUBIC).save(buffer, "PNG")
    done = subprocess.run(["tesseract", "-", "-", "--psm", "11", "--dpi", "150", "tsv"], input=buffer.getvalue(), capture_output=True, check=False)
    lines: dict[tuple, list[dict]] = {}
    for row in csv.DictReader(io.StringIO(done.stdout.decode("utf-8", "replace")), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row.get("text") and row["text"].strip():
            lines.setdefault((row["block_num"], row["par_num"], row["line_num"]), []).append(row)
    return [_joined(rows, scale) for rows in lines.values()]


def _joined(rows: list[dict], scale: int) -> Line:
    x, y = (np.array([float(r[k]) for r in rows]) for k in ("left", "top"))
    right, bottom = (np.array([float(r[a]) + float(r[b]) for r in rows]) for a, b in (("left", "width"), ("top", "height")))
    box = tuple(float(v) / scale for v in (x.min(), y.min(), right.max(), bottom.max()))
    return Line(" ".join(r["text"] for r in rows), box, float(np.mean([float(r["conf"]) for r in rows])) / 100)
