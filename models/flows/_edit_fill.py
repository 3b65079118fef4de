"""A hole filled with what is around it, without a network: patches of the picture continue its lines and areas into the hole.

Exemplar filling (Criminisi et al. 2004, "Region Filling and Object Removal by Exemplar-Based Image Inpainting", section III) at a few hundred
pixels: the border patch that is best known and on the strongest line is filled first, from the patch that fits its known part best. Smooth
grounds are solved instead (the membrane of Perez et al. 2003, eq. 2 with v = 0), and both are brought to the size of the picture by their
colours only. Drawn places are plain enough for it; whoever wants more lets a base paint (models/flows/outpaint.py).
"""
from __future__ import annotations

import cv2
import numpy as np

from models.contracts import Cancel, never_cancel
from models.errors import Cancelled
from models.flows._canvas import grown

WORK_PX, PATCH_PX = 160, 9
RING_PX = 6                                          # around the hole, at the working size: what the ground looks like there
SLIGHT = 6.0                                         # of 255: larger differences between a picture and its small self are edges
SMOOTH = 3.0                                         # mean error in L*a*b* of a plane through the ring below which the ground is smooth


def filled(rgb: np.ndarray, hole: np.ndarray, avoid: np.ndarray | None = None, cancel: Cancel = never_cancel) -> np.ndarray:
    """uint8 [H, W, 3] with bool `hole` [H, W] filled; elsewhere the very same bits. avoid: bool [H, W], other things, whose pixels are not
    to be continued into the hole."""
    if not hole.any() or hole.all():
        return rgb
    scale = min(1.0, WORK_PX / max(rgb.shape[:2]))
    size = max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale))
    small_hole = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    small = _shrunk(rgb, hole, size)
    if small_hole.all():
        return np.where(hole[..., None], membrane(rgb, hole), rgb)
    others = np.zeros_like(small_hole) if avoid is None else cv2.resize(avoid.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    others &= ~small_hole
    ring = grown(small_hole, RING_PX) & ~small_hole & ~others
    both = small_hole | others
    inside = membrane(small, both) if is_smooth(small, ring) else by_patches(small, small_hole, others, cancel)
    inside = np.where(small_hole[..., None], inside, small)
    if scale == 1:
        return np.where(hole[..., None], inside, rgb)
    return np.where(hole[..., None], _enlarged(rgb, hole, inside), rgb)


def _shrunk(rgb: np.ndarray, hole: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """At another size, what lies in the hole not mixed in."""
    known = (~hole).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)[..., None]
    colour = cv2.resize(rgb.astype(np.float32) * known[..., None], size, interpolation=cv2.INTER_AREA)
    return (colour / np.maximum(weight, 1e-6)).clip(0, 255).round().astype(np.uint8)


def _enlarged(rgb: np.ndarray, hole: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The small filling at the size of the picture; what the picture has at its border more than the small one is carried in."""
    large = cv2.resize(inside.astype(np.float32), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    rest = np.where(hole[..., None], 0, rgb.astype(np.float32) - large)
    near = grown(hole, 1 + round(rgb.shape[1] / inside.shape[1]))
    flat = cv2.medianBlur(rest.clip(-SLIGHT, SLIGHT).astype(np.float32), 3)                  # what is carried in are colours, not edges
    return (large + np.where(near[..., None], _spread(np.where(hole[..., None], 0, flat), hole), 0)).clip(0, 255).round().astype(np.uint8)


def membrane(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Every pixel of the hole the mean of its neighbours."""
    return _spread(rgb.astype(np.float32), hole).clip(0, 255).round().astype(np.uint8)


def _spread(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """float32 [H, W, C] -> same, the hole solved from its border: coarse to fine, a few sweeps a level."""
    if min(values.shape[:2]) <= 4 or not hole.any():
        known = ~hole
        mean = values[known].mean(0) if known.any() else np.zeros(values.shape[2], np.float32)
        return np.where(hole[..., None], mean, values).astype(np.float32)
    size = (values.shape[1] + 1) // 2, (values.shape[0] + 1) // 2
    known = (~hole).astype(np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)[..., None]
    coarse = cv2.resize(values * known[..., None], size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], -1) / np.maximum(weight, 1e-6)
    low = _spread(coarse.astype(np.float32), weight[..., 0] < 1e-6)
    out = np.where(hole[..., None], cv2.resize(low, values.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(values.shape), values).astype(np.float32)
    for _ in range(12):
        mean = cv2.blur(out, (3, 3), borderType=cv2.BORDER_REPLICATE).reshape(values.shape)
        out = np.where(hole[..., None], mean, values)
    return out.astype(np.float32)


def is_smooth(rgb: np.ndarray, ring: np.ndarray) -> bool:
    """Whether the pixels of the ring lie on one plane of colour."""
    if ring.sum() < 8:
        return True
    y, x = np.nonzero(ring)
    plane = np.stack([x, y, np.ones_like(x)], 1).astype(np.float64)
    colours = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[ring].astype(np.float64)
    solved = np.linalg.lstsq(plane, colours, rcond=None)[0]
    return float(np.linalg.norm(colours - plane @ solved, axis=1).mean()) < SMOOTH


def by_patches(rgb: np.ndarray, hole: np.ndarray, others: np.ndarray, cancel: Cancel = never_cancel) -> np.ndarray:
    """uint8 [h, w, 3] of a small picture with its hole filled patch by patch, nothing being taken from `others`."""
    r = PATCH_PX // 2
    out = cv2.copyMakeBorder(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), r, r, r, r, cv2.BORDER_REPLICATE)
    known = cv2.copyMakeBorder((~hole).astype(np.float32), r, r, r, r, cv2.BORDER_CONSTANT, value=1)
    colour = cv2.copyMakeBorder(rgb.astype(np.float32), r, r, r, r, cv2.BORDER_REPLICATE)
    free = known * cv2.copyMakeBorder((~others).astype(np.float32), r, r, r, r, cv2.BORDER_CONSTANT, value=1)
    sources = cv2.erode(free, np.ones((PATCH_PX, PATCH_PX)))[r:-r, r:-r] > 0
    if not sources.any():
        return membrane(rgb, hole | others)
    sure, start = known.copy(), out.copy()
    while (known == 0).any():
        if cancel():
            raise Cancelled()
        y, x = _next(out, known, sure, r)
        here = (slice(y - r, y + r + 1), slice(x - r, x + r + 1))
        seen = free[here] if free[here].any() else known[here]
        mask = np.repeat(seen[..., None], 3, 2)
        errors = cv2.matchTemplate(start, out[here], cv2.TM_SQDIFF, mask=mask)
        errors = np.where(sources & np.isfinite(errors), errors, np.inf)
        v, u = np.unravel_index(errors.argmin(), errors.shape)
        new, there = known[here] == 0, (slice(v, v + PATCH_PX), slice(u, u + PATCH_PX))
        out[here][new], colour[here][new] = start[there][new], colour[there][new]
        sure[here][new] = sure[y, x] if sure[y, x] else sure[here][known[here] > 0].mean() * 0.95
        known[here][new], free[here][new] = 1, 1
    return colour[r:-r, r:-r].clip(0, 255).round().astype(np.uint8)


def _next(out: np.ndarray, known: np.ndarray, sure: np.ndarray, r: int) -> tuple[int, int]:
    """The border pixel with the highest confidence times line strength (eqs. 1 and 2)."""
    border = (known == 0) & (cv2.dilate(known, np.ones((3, 3))) > 0)
    border[:r], border[-r:], border[:, :r], border[:, -r:] = False, False, False, False
    confidence = cv2.blur(sure * known, (PATCH_PX, PATCH_PX))
    light = np.where(known > 0, out[..., 0], np.nan)
    gx = np.nan_to_num(light[1:-1, 2:] - light[1:-1, :-2])
    gy = np.nan_to_num(light[2:, 1:-1] - light[:-2, 1:-1])
    strength = cv2.dilate(np.pad(np.hypot(gx, gy), 1).astype(np.float32), np.ones((PATCH_PX - 2, PATCH_PX - 2)))
    priority = np.where(border, confidence * (strength + 0.5), -1)
    y, x = np.unravel_index(priority.argmax(), priority.shape)
    return int(y), int(x)
