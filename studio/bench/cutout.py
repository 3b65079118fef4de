"""Cutting out: errors of alpha on held-out drawings over drawn grounds, with 0, 1 and 3 clicks, beside a colour key and GrabCut.

The things are drawings that the net never saw (assets/percepts/cutouts.webp: half of unseen concepts, half of an unseen set), laid over a
plain colour, over a soft uneven ground and over a busy one, so that alpha is known exactly. SAD (thousands of px), MSE (thousandths) and
gradient error (thousands) are those of Rhemann et al. 2009 (alphamatting.com) over the whole picture, because no method is given a trimap.
A click lies in the middle of the largest wrong piece. Where a method gives up, everything counts as kept.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from models.errors import BadInput
from models.flows.cutout import GRABCUT, NET, PAPER, Cut, Look, Stroke, cut_out
from models.job import Picture
from models.weights import ASSETS
from studio.bench._score import interval
from studio.settings import Settings

DRAWINGS, CELL_PX, SIDE_PX, QUICK_PX = ASSETS / "percepts" / "cutouts.webp", 256, 256, 512
WAYS = ((NET, (0, 1, 3)), (PAPER, (0,)), (GRABCUT, (0, 1, 3)))
GROUNDS = ("plain", "uneven", "busy")
WRONG, SIGMA = 0.3, 1.4                              # alpha off by this is worth a click; of the derivative in the gradient error


@dataclass(frozen=True)
class Case:
    """rgb uint8 [S, S, 3] and its true alpha float32 [S, S]; ground: one of GROUNDS."""
    rgb: np.ndarray
    alpha: np.ndarray
    ground: str


def run(settings: Settings) -> Mapping[str, float]:
    """Every drawing once over each ground."""
    from models.engine import open_engine
    engine = open_engine(settings.budget_bytes, settings.cache_dir, models_dir=settings.models_dir)
    try:
        return measured(engine.look, cases(drawings())) | {f"click_{QUICK_PX}px_ms": click_ms(engine.look)}
    finally:
        engine.close()


def drawings() -> list[np.ndarray]:
    """Straight uint8 [256, 256, 4] each."""
    sheet = np.asarray(Image.open(DRAWINGS).convert("RGBA"))
    return [sheet[y:y + CELL_PX, x:x + CELL_PX] for y in range(0, sheet.shape[0], CELL_PX) for x in range(0, sheet.shape[1], CELL_PX)]


def cases(things: list[np.ndarray]) -> list[Case]:
    return [composed(thing, things[(k + 7) % len(things)], ground, np.random.default_rng(k)) for ground in GROUNDS for k, thing in enumerate(things)]


def composed(thing: np.ndarray, other: np.ndarray, ground: str, rng: np.random.Generator) -> Case:
    """A drawing a little turned and smaller over a ground; `other` is blown up behind it where the ground is busy."""
    f = thing.astype(np.float32) / 255
    f[..., :3] *= f[..., 3:]
    m = cv2.getRotationMatrix2D((CELL_PX / 2, CELL_PX / 2), float(rng.uniform(-15, 15)), float(rng.uniform(0.65, 0.95)))
    f = cv2.warpAffine(cv2.GaussianBlur(f, (0, 0), 0.5), m, (SIDE_PX, SIDE_PX)).clip(0, 1)
    rgb = f[..., :3] + _ground(other, ground, rng) * (1 - f[..., 3:])
    rgb += rng.standard_normal(rgb.shape).astype(np.float32) * 0.012
    return Case((rgb.clip(0, 1) * 255).round().astype(np.uint8), f[..., 3], ground)


def _ground(other: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """float32 [S, S, 3]."""
    one, two = rng.uniform(0.1, 1, (2, 3)).astype(np.float32)
    if kind == "plain":
        return np.broadcast_to(np.float32([1, 1, 1]) if rng.random() < 0.5 else one, (SIDE_PX, SIDE_PX, 3))
    cells = rng.random((5, 5)).astype(np.float32)
    mixed = cv2.resize(cells, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC).clip(0, 1)[..., None]
    soft = one * mixed + two * (1 - mixed)
    if kind == "uneven":
        return soft
    near = cv2.resize(other[64:192, 64:192].astype(np.float32) / 255, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR)
    near = cv2.GaussianBlur(near, (0, 0), 2)
    stripes = 0.5 + 0.5 * np.sin(np.arange(SIDE_PX, dtype=np.float32) * rng.uniform(0.1, 0.5))[None, :, None]
    return near[..., :3] * near[..., 3:] + (soft * 0.7 + 0.3 * stripes) * (1 - near[..., 3:])


# --- measuring ---------------------------------------------------------------------------------------------------------

def errors(found: np.ndarray, alpha: np.ndarray) -> tuple[float, float, float]:
    """(SAD / 1000, MSE * 1000, gradient error / 1000) of alpha [S, S] in 0..1 (Rhemann et al. 2009, section 3)."""
    off = np.abs(found - alpha)
    steep = (steepness(found) - steepness(alpha)) ** 2
    return float(off.sum() / 1e3), float((off ** 2).mean() * 1e3), float(steep.sum() / 1e3)


def steepness(alpha: np.ndarray) -> np.ndarray:
    """The length of the gradient by derivatives of a Gaussian."""
    reach = np.arange(-int(4 * SIGMA), int(4 * SIGMA) + 1)
    bell = np.exp(-reach ** 2 / (2 * SIGMA ** 2))
    bell, slope = (bell / bell.sum()).astype(np.float32), (-reach * bell / (SIGMA ** 2 * bell.sum())).astype(np.float32)
    along = lambda x, y: cv2.sepFilter2D(alpha.astype(np.float32), cv2.CV_32F, x, y, borderType=cv2.BORDER_REPLICATE)
    return np.hypot(along(slope, bell), along(bell, slope))


def next_click(found: np.ndarray, alpha: np.ndarray) -> Stroke | None:
    """In the middle of the largest piece that is wrong."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((np.abs(found - alpha) > WRONG).astype(np.uint8))
    if count < 2:
        return None
    piece = labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    deep = cv2.distanceTransform(np.pad(piece, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(deep.argmax(), deep.shape)
    return Stroke(((float(x), float(y)),), bool(alpha[y, x] > 0.5))


def alpha_by(look: Look, case: Case, method: str, strokes: tuple[Stroke, ...]) -> np.ndarray:
    try:
        return cut_out(look, Picture.from_array(case.rgb), Cut(method, strokes, decontaminate=False)).rgba[..., 3].astype(np.float32) / 255
    except BadInput:
        return np.ones_like(case.alpha)


def clicked(look: Look, case: Case, method: str, counts: tuple[int, ...]) -> dict[int, np.ndarray]:
    """{clicks: alpha}."""
    strokes: tuple[Stroke, ...] = ()
    out = {}
    for n in range(max(counts) + 1):
        found = alpha_by(look, case, method, strokes)
        out[n] = found
        click = next_click(found, case.alpha)
        strokes = (*strokes, click) if click else strokes
    return {n: out[n] for n in counts}


def measured(look: Look, all_cases: list[Case], say: Callable[[str], None] = lambda text: print(text, flush=True)) -> dict[str, float]:
    """Mean errors by method and clicks, by ground, and the 95 % intervals of what the net gains in SAD."""
    table: dict[tuple[str, int], np.ndarray] = {}
    for method, counts in WAYS:
        start = time.perf_counter()
        found = [clicked(look, case, method, counts) for case in all_cases]
        say(f"{method}: {(time.perf_counter() - start) / len(all_cases) / (max(counts) + 1) * 1e3:.0f} ms a picture")
        for n in counts:
            table[method, n] = np.array([errors(one[n], case.alpha) for one, case in zip(found, all_cases)])
    out: dict[str, float] = {"pictures": len(all_cases)}
    for (method, n), figures in table.items():
        out |= {f"{method}_{n}_clicks_{name}": float(value) for name, value in zip(("sad", "mse", "gradient"), figures.mean(0))}
        here = lambda ground, figures=figures: float(np.mean([row[0] for row, case in zip(figures, all_cases) if case.ground == ground]))
        out |= {f"{method}_{n}_clicks_{ground}_sad": here(ground) for ground in GROUNDS} if n == 0 else {}
    for other in (PAPER, GRABCUT):
        low, high = interval(table[other, 0][:, 0] - table[NET, 0][:, 0])
        out |= {f"gain_over_{other}_low_sad": low, f"gain_over_{other}_high_sad": high}
    return out


def click_ms(look: Look, rounds: int = 5) -> float:
    """From a click to RGBA with clean colours, at the size of the tab's preview; the median."""
    case = composed(drawings()[0], drawings()[1], "uneven", np.random.default_rng(0))
    picture = Picture.from_array(cv2.resize(case.rgb, (QUICK_PX, QUICK_PX), interpolation=cv2.INTER_CUBIC))
    took = []
    for n in range(rounds + 1):
        start = time.perf_counter()
        cut_out(look, picture, Cut(strokes=(Stroke(((QUICK_PX / 2 + n, QUICK_PX / 2),)),)))
        took.append((time.perf_counter() - start) * 1e3)
    return float(np.median(took[1:]))
