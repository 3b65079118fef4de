"""Cutting a painted thing out of its plain paper, and what a line drawing encloses. numpy and OpenCV only.

Colours are compared in CIE L*a*b*, where a distance of about 2 is just seen (CIE 1976).
"""
from __future__ import annotations

import cv2
import numpy as np

PAPER_DISTANCE = 12.0                                # in L*a*b*: nearer to the paper's colour is paper
PLAIN_SHARE = 0.6                                    # of the picture's rim must be paper, else there is no plain paper
RIM_PX = 4                                           # over so far inside, colours are taken from further in, without paper mixed in
SPECK_SHARE = 0.01                                   # pieces smaller than this share of the largest are dirt
SOLID = 128
VISIBLE = 26                                         # a tenth of 255
SMEAR_DISTANCE, MOST_PAPER = 14.0, 0.4
CRUMB_SHARE, PALE_DISTANCE = 0.04, 35.0


def lab(rgb: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> float32 L* 0..100, a*, b* about -128..127."""
    return cv2.cvtColor(np.ascontiguousarray(rgb).astype(np.float32) / 255, cv2.COLOR_RGB2Lab)


def on_rim(mask: np.ndarray, px: int = 1) -> np.ndarray:
    """Bool [H, W]: the outermost `px` pixels of `mask`'s frame."""
    rim = np.ones(mask.shape[:2], bool)
    rim[px:-px, px:-px] = False
    return rim


def reached_from_rim(free: np.ndarray) -> np.ndarray:
    """Bool [H, W] -> the pixels of `free` that are connected with the frame through `free` pixels, in four directions."""
    _, labels = cv2.connectedComponents(free.astype(np.uint8), connectivity=4)
    touched = np.unique(labels[on_rim(free) & free])
    return free & np.isin(labels, touched)


def cut_out(rgb: np.ndarray) -> np.ndarray | None:
    """uint8 [H, W, 3] of a thing on plain paper -> straight RGBA of it; None when the paper is not plain.

    Paper is what is reached from the rim over pixels near the rim's middle colour, so white inside the thing stays.
    """
    colours = lab(rgb)
    rim = on_rim(rgb, 2)
    near = np.linalg.norm(colours - np.median(colours[rim], 0), axis=2) < PAPER_DISTANCE
    if near[rim].mean() < PLAIN_SHARE:
        return None
    thing = without_specks(~reached_from_rim(near))
    alpha = cv2.GaussianBlur(cv2.erode(thing.astype(np.float32), np.ones((3, 3))), (0, 0), 0.8)
    return np.dstack([inner_colours(rgb, thing), (alpha * 255).round().astype(np.uint8)])


def without_specks(thing: np.ndarray) -> np.ndarray:
    """Bool [H, W] without the pieces that are smaller than SPECK_SHARE of the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(thing.astype(np.uint8), connectivity=8)
    if count < 2:
        return thing
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.isin(labels, 1 + np.flatnonzero(areas >= SPECK_SHARE * areas.max()))


def inner_colours(rgb: np.ndarray, thing: np.ndarray, px: int = RIM_PX) -> np.ndarray:
    """The colours of `thing`, each pixel of its rim and outside it taking the colour of the nearest pixel `px` inside, so that no paper
    shines through a soft edge. Thin parts, which have no such inside, keep their own."""
    core = cv2.erode(thing.astype(np.uint8), np.ones((px + 1, px + 1), np.uint8)) > 0
    core |= thing & ~(cv2.dilate(core.astype(np.uint8), np.ones((2 * px + 3,) * 2, np.uint8)) > 0)
    if not core.any():
        return rgb
    _, nearest = cv2.distanceTransformWithLabels((~core).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colour_of = np.zeros((nearest.max() + 1, 3), np.uint8)
    colour_of[nearest[core]] = rgb[core]
    return np.where(core[..., None], rgb, colour_of[nearest])


def tidied(rgba: np.ndarray) -> np.ndarray:
    """A painted RGBA without specks around the thing and without the paper's colour in its rim."""
    keep = without_specks(rgba[..., 3] >= SOLID)
    soft = cv2.dilate(keep.astype(np.uint8), np.ones((7, 7), np.uint8))
    return np.dstack([inner_colours(rgba[..., :3], keep), rgba[..., 3] * soft])


def unpapered(rgba: np.ndarray, paper: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """A painted RGBA without what is left of its paper: uint8 [H, W, 4] -> same.

    Smears are opaque, nearly the colour of the paper, and hang together with the outside; crumbs are small pale pieces apart from the
    thing. A thing that is itself of the paper's colour would lose more than MOST_PAPER of its area and is left alone.
    """
    solid = rgba[..., 3] >= SOLID
    away = np.linalg.norm(lab(rgba[..., :3]) - lab(np.uint8([[paper]])), axis=2)
    near = away < SMEAR_DISTANCE
    smear = reached_from_rim(near | ~solid) & solid
    smear = cv2.morphologyEx(smear.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    smear = smear if smear.sum() <= MOST_PAPER * solid.sum() else np.zeros_like(smear)
    gone = smear | _crumbs(solid & ~smear, away)
    if not gone.any():
        return rgba
    gone |= (cv2.dilate(gone.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0) & (near | ~solid)       # their soft rims too
    kept = 1 - cv2.GaussianBlur(gone.astype(np.float32), (0, 0), 0.8)
    return np.dstack([rgba[..., :3], np.where(gone, 0, rgba[..., 3] * kept).round().astype(np.uint8)])


def _crumbs(thing: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Bool [H, W]: pieces of `thing` smaller than CRUMB_SHARE of its largest that are pale, `away` being the distance from the paper."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(thing.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    small = [i for i in range(1, count) if areas[i - 1] < CRUMB_SHARE * areas.max() and away[labels == i].mean() < PALE_DISTANCE]
    return np.isin(labels, small)


def stray_islands(alpha: np.ndarray) -> int:
    """How many pieces of uint8 alpha [H, W] lie apart from the largest and can be seen (VISIBLE and at least 4 pixels)."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((alpha >= VISIBLE).astype(np.uint8), connectivity=8)
    return max(0, int((stats[1:, cv2.CC_STAT_AREA] >= 4).sum()) - 1) if count > 1 else 0


def touches_frame(alpha: np.ndarray, px: int = 2) -> bool:
    """Whether something that can be seen lies in the outermost `px` pixels of uint8 alpha [H, W]."""
    return bool((alpha[on_rim(alpha, px)] >= VISIBLE).any())


def enclosed(lines: np.ndarray) -> np.ndarray:
    """Bool [H, W] of drawn lines -> what they enclose, lines included. Gaps up to a tenth of the drawing are closed; where the lines
    still enclose nothing to speak of, their convex hull."""
    if not lines.any():
        return lines.copy()
    x0, y0, x1, y1 = box_of(lines)
    side = max(x1 - x0, y1 - y0)
    for gap in (3, side // 20, side // 10):
        pad = gap + 2
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap | 1, gap | 1))
        closed = cv2.morphologyEx(np.pad(lines, pad).astype(np.uint8), cv2.MORPH_CLOSE, kernel) > 0
        filled = (~reached_from_rim(~closed))[pad:-pad, pad:-pad]
        if filled.sum() > max(0.25 * (x1 - x0) * (y1 - y0), 2 * lines.sum()):
            return filled
    hull = cv2.convexHull(np.argwhere(lines)[:, ::-1].astype(np.int32))
    return cv2.fillConvexPoly(np.zeros(lines.shape, np.uint8), hull, 1) > 0


def box_of(mask: np.ndarray) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) around the True pixels of a mask that has some; x1 and y1 lie just outside."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def emptied(rgb: np.ndarray, margin_share: float = 0.05) -> np.ndarray:
    """A background without the thing in its middle: uint8 [H, W, 3] -> same.

    Row by row, what is unlike the mixture of the row's two ends belongs to a thing and is replaced by that mixture: skies, ground and
    horizon stay. Small things, as stars are, stay too.
    """
    height, width = rgb.shape[:2]
    margin = max(2, round(margin_share * width))
    ends = [np.median(part, axis=1) for part in (rgb[:, :margin].astype(np.float32), rgb[:, -margin:].astype(np.float32))]
    right = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    plain = ends[0][:, None] * (1 - right) + ends[1][:, None] * right
    plain = cv2.GaussianBlur(plain, (0, 0), width / 200)
    unlike = np.linalg.norm(lab(rgb) - lab(plain.round().astype(np.uint8)), axis=2) > PAPER_DISTANCE
    small = max(3, width // 32) | 1
    thing = cv2.morphologyEx(unlike.astype(np.uint8), cv2.MORPH_OPEN, np.ones((small, small), np.uint8))
    thing = cv2.dilate(thing, np.ones((3 * small, 3 * small), np.uint8)).astype(np.float32)
    soft = cv2.GaussianBlur(thing, (0, 0), small / 2)[..., None]
    return (rgb * (1 - soft) + plain * soft).round().astype(np.uint8)
