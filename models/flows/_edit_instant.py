"""Image-to-image with words for what is there and words for what is wanted, that gives the picture back exactly where the two agree.

Noise is put on the picture once, and the base says what lies under it for the source words and for the target words, with the same noise.
The picture follows the target; what the source's answer missed of the picture (detail, the decoder's error) is added back where both
answers agree. So strength 0, or equal words, are the picture bit for bit, with nothing to invert step by step. This is virtual inversion
(Xu et al. 2024, "Inversion-Free Image Editing with Natural Language", eq. 11) with its correction faded out where the words really change
something: at one noise level for one-step bases, at several, falling ones, for more steps.
"""
from __future__ import annotations

import cv2
import numpy as np

from models import pixels
from models.errors import BadInput
from models.flows._edit_desk import Desk, box_here, working
from models.job import Extent, Picture

AGREE, SOFT_SHARE = 10.0, 1 / 32                     # of 255: answers so near agree; blur of that map, of the shorter side
EXACT = 1.0                                          # below this mean difference nothing was changed at all
MARGIN, FAR = 0.15, 0.75                             # around a mask, of its side; a square so large, of the picture's side, is the picture
FALL = 0.65                                          # each further level's strength, of the one before


def instant(desk: Desk, source: str, target: str, strength: float, where: np.ndarray | None = None, seed: int | None = None) -> np.ndarray:
    """uint8 [H, W, 3] of the desk's picture; `where` float32 [H, W]: how much may change. A thing is looked at closely, in a square around it."""
    if not 0 <= strength <= 1:
        raise BadInput(f"Strength {strength} is outside 0..1.")
    rgb = desk.rgb
    if strength == 0 or source.strip() == target.strip() or (where is not None and not where.any()):
        return rgb
    out, (rows, columns) = rgb.copy(), close_up(where, rgb.shape)
    part = None if where is None else where[rows, columns]
    out[rows, columns] = _changed(desk, source, target, strength, np.ascontiguousarray(rgb[rows, columns]), part, seed)
    return out


def close_up(where: np.ndarray | None, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a square around the mask, moved inside the picture; of the whole picture where that is not much larger."""
    if where is None:
        return slice(0, shape[0]), slice(0, shape[1])
    x0, y0, x1, y1 = box_here(where > 0)
    side = round(max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN))
    if side >= FAR * max(shape[:2]) or side > min(shape[:2]):
        return slice(0, shape[0]), slice(0, shape[1])
    top, left = (min(max((a + b - side) // 2, 0), limit - side) for a, b, limit in ((y0, y1, shape[0]), (x0, x1, shape[1])))
    return slice(top, top + side), slice(left, left + side)


def _changed(desk: Desk, source: str, target: str, strength: float, rgb: np.ndarray, where: np.ndarray | None, seed: int | None) -> np.ndarray:
    """uint8 [h, w, 3] of one window."""
    extent = working(Picture.from_array(rgb), desk.spec)
    given = pixels.resize(Picture.from_array(rgb), extent).array
    now = given.astype(np.float32)
    for level in levels(strength, desk.how.job.steps):
        was = said(desk, source, given, level, seed)
        new = said(desk, target, now.clip(0, 255).round().astype(np.uint8), level, seed)
        kept = agreement(new - was)
        now = new + kept[..., None] * (given - was)
    change = (now - given).clip(-255, 255)
    if where is not None:
        change = change * cv2.resize(where, change.shape[1::-1], interpolation=cv2.INTER_AREA)[..., None]
    large = cv2.resize(change, rgb.shape[1::-1], interpolation=cv2.INTER_CUBIC) if change.shape != rgb.shape else change
    out = rgb.astype(np.float32) + large * (1 if where is None else (where > 0)[..., None])
    return out.clip(0, 255).round().astype(np.uint8)


def levels(strength: float, steps: int) -> tuple[float, ...]:
    return tuple(strength * FALL ** k for k in range(max(1, min(steps, 4))))


def said(desk: Desk, words: str, rgb: np.ndarray, level: float, seed: int | None = None) -> np.ndarray:
    """What the base finds under noise of `level` on uint8 [h, w, 3], float32 in 0..255."""
    job = desk.plain(words, seed).but(image=Picture.from_array(rgb), extent=Extent(rgb.shape[1], rgb.shape[0]), strength=level, steps=1)
    return desk.render(job).pixels[0][..., :3].astype(np.float32)


def agreement(difference: np.ndarray) -> np.ndarray:
    """float32 [h, w] in 0..1: 1 where two answers are the same, falling as they part; soft, so that no edge shows."""
    off = np.abs(difference).mean(-1)
    if float(off.max()) < EXACT:
        return np.ones_like(off)
    reach = max(1.0, SOFT_SHARE * min(off.shape))
    return np.exp(-((cv2.GaussianBlur(off, (0, 0), reach) / AGREE) ** 2)).astype(np.float32)
