"""The edge of a cut-out: moved, softened, cleaned, and freed of the colour of what was behind it. numpy and OpenCV only.

Alpha is float32 [H, W] in 0..1 here, colours are straight. Large pictures are worked on in blocks, so that memory stays a small multiple
of the picture itself.
"""
from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

SEEN = 0.1                                           # alpha that counts as part of a piece
ISLAND_SHARE = 0.01                                  # pieces smaller than this share of the largest are dirt
SIDES = ("both", "inwards", "outwards")
EVEN, STEEP = 1e-5, 1.0                              # epsilon_r and omega of Germer et al.
SMALL_PX, SMALL_ROUNDS, BIG_ROUNDS = 32, 10, 2       # and how often each level is solved
COARSE_PX = 128                                      # larger pictures are solved level by level up to this size
BLOCK_PX = 128                                       # of larger levels only blocks with an edge in them are solved
SHRINK = 1.2                                         # of the pyramid that fills invisible pixels


def feathered(alpha: np.ndarray, px: float, side: str = "both") -> np.ndarray:
    """A soft edge of about 2 * `px`. "inwards" never makes a pixel more visible, "outwards" never less; "both" keeps the middle."""
    if px <= 0:
        return alpha
    soft = cv2.GaussianBlur(alpha, (0, 0), px / 2, borderType=cv2.BORDER_REPLICATE)
    if side == "inwards":
        return np.minimum(alpha, np.clip(2 * soft - 1, 0, 1))
    return np.maximum(alpha, np.clip(2 * soft, 0, 1)) if side == "outwards" else soft


def shifted(alpha: np.ndarray, px: float) -> np.ndarray:
    """The edge moved outwards by `px`, inwards where negative; between whole pixels in proportion. The rim of the picture is no edge."""
    whole, part = int(abs(px)), abs(px) - int(abs(px))
    near = _grown(alpha, whole, px > 0)
    return near if part < 1e-6 else near * np.float32(1 - part) + _grown(alpha, whole + 1, px > 0) * np.float32(part)


def _grown(alpha: np.ndarray, px: int, outwards: bool) -> np.ndarray:
    if px == 0:
        return alpha
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    return (cv2.dilate if outwards else cv2.erode)(alpha, disc)


def without_islands(alpha: np.ndarray, share: float = ISLAND_SHARE) -> np.ndarray:
    """Without the pieces that are smaller than `share` of the largest."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((alpha >= SEEN).astype(np.uint8), connectivity=8)
    if count < 3:
        return alpha
    areas = stats[1:, cv2.CC_STAT_AREA]
    dirt = np.isin(labels, 1 + np.flatnonzero(areas < share * areas.max()))
    return np.where(cv2.dilate(dirt.astype(np.uint8), np.ones((3, 3))) & ~_far(labels, dirt), np.float32(0), alpha)


def _far(labels: np.ndarray, dirt: np.ndarray) -> np.ndarray:
    """uint8: 1 on pieces that stay."""
    return ((labels > 0) & ~dirt).astype(np.uint8)


def holes_filled(alpha: np.ndarray) -> np.ndarray:
    """What is enclosed becomes opaque. Most holes are real: a handle, a ring."""
    free = np.pad(alpha < 0.5, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(free, connectivity=4)
    hole = ((labels != labels[0, 0]) & (free > 0))[1:-1, 1:-1].astype(np.uint8)
    return np.where(cv2.dilate(hole, np.ones((5, 5))) > 0, np.maximum(alpha, cv2.dilate(hole, np.ones((5, 5))).astype(np.float32)), alpha)


# --- colours without the ground ----------------------------------------------------------------------------------------

def foreground(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The colours of the thing alone, uint8 [H, W, 3] -> same, where rgb = alpha * F + (1 - alpha) * B mixes them with what was behind.

    Germer et al. 2020, "Fast Multi-Level Foreground Estimation", eq. 3 and algorithm 1: the cost
    (alpha F + (1 - alpha) B - I)^2 + sum_j (eps + omega |alpha_i - alpha_j|) ((F_i - F_j)^2 + (B_i - B_j)^2) is lowered level by level from
    one pixel upwards; above COARSE_PX only the picture itself is left as a level. Where alpha is 1 the colours are the picture's own.
    """
    height, width = alpha.shape
    coarse = _solved(rgb, alpha, min(1.0, COARSE_PX / max(height, width)))
    out = rgb.copy()
    for rows, columns in _blocks(height, width, 0):
        part = alpha[rows, columns]
        if (part < 1).any():
            thing = _block(rgb, alpha, coarse, rows, columns, BIG_ROUNDS if coarse.shape[:2] != alpha.shape else 0)[..., :3]
            out[rows, columns] = np.where(part[..., None] < 1, (thing * 255).round(), rgb[rows, columns])
    return out


def _blocks(height: int, width: int, level_px: int) -> Iterator[tuple[slice, slice]]:
    """(rows, columns) of the blocks of a picture, or the whole of one that is not above `level_px`."""
    side = max(height, width) if max(height, width) <= level_px else BLOCK_PX
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield slice(top, min(height, top + side)), slice(left, min(width, left + side))


def _block(rgb: np.ndarray, alpha: np.ndarray, pairs: np.ndarray, rows: slice, columns: slice, rounds: int) -> np.ndarray:
    """(F, B) [h, w, 6] of one block after `rounds`, from `pairs` of this or a coarser level, as if the whole level were solved."""
    height, width = alpha.shape
    if not (rounds and _mixed(alpha[rows, columns])):
        return _part(pairs, rows, columns, height, width)
    top, left = max(0, rows.start - rounds), max(0, columns.start - rounds)
    more = slice(top, min(height, rows.stop + rounds)), slice(left, min(width, columns.stop + rounds))
    own = rgb[more].astype(np.float32) / 255 if rgb.dtype == np.uint8 else rgb[more]
    solved = _rounds(own, alpha[more], _part(pairs, *more, height, width), rounds)
    return solved[rows.start - top:rows.stop - top, columns.start - left:columns.stop - left]


def _mixed(alpha: np.ndarray) -> bool:
    return bool(((alpha > 0) & (alpha < 1)).any())


def _part(pairs: np.ndarray, rows: slice, columns: slice, height: int, width: int) -> np.ndarray:
    """A block of `pairs` [h, w, 6], enlarged to [height, width] when it is coarser."""
    if pairs.shape[:2] == (height, width):
        return pairs[rows, columns]
    (y, top, bottom), (x, left, right) = (_at(span, n, m) for span, n, m in ((rows, height, pairs.shape[0]), (columns, width, pairs.shape[1])))
    x, y = np.meshgrid(x, y)
    halves = [np.ascontiguousarray(pairs[top:bottom, left:right, k:k + 3]) for k in (0, 3)]
    return np.concatenate([cv2.remap(half, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for half in halves], 2)


def _at(span: slice, fine: int, coarse: int) -> tuple[np.ndarray, int, int]:
    """Where the pixels of `span` lie on a coarser axis, counted from `start`, and (start, stop) of what is needed of that axis."""
    places = ((np.arange(span.start, span.stop, dtype=np.float32) + 0.5) * (coarse / fine) - 0.5).astype(np.float32)
    start, stop = max(0, int(places[0])), min(coarse, int(places[-1]) + 2)
    return places - np.float32(start), start, stop


def _solved(rgb: np.ndarray, alpha: np.ndarray, scale: float) -> np.ndarray:
    """(F, B) [h, w, 6] of the picture at `scale`, level by level, each about twice the one before."""
    width, height = (max(1, round(side * scale)) for side in alpha.shape[::-1])
    levels = max(1, int(np.ceil(np.log2(max(width, height)))))
    pairs = None
    for level in range(levels + 1):
        size = tuple(max(1, round(side ** (level / levels))) for side in (width, height))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 3).astype(np.float32) / 255
        small_alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0])
        pairs = _means(small, small_alpha) if pairs is None else pairs
        rounds, (h, w) = SMALL_ROUNDS if max(size) <= SMALL_PX else BIG_ROUNDS, small_alpha.shape
        pairs = _nearest(pairs, w, h)
        solved = np.empty_like(pairs)
        for rows, columns in _blocks(h, w, BLOCK_PX):
            solved[rows, columns] = _block(small, small_alpha, pairs, rows, columns, rounds)
        pairs = solved
    return pairs


def _means(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The first level: mean colours of the thing and of what is behind, [1, 1, 6]."""
    weights = (alpha[..., None], 1 - alpha[..., None])
    return np.concatenate([(w * rgb).mean((0, 1)) / max(float(w.mean()), 1e-6) for w in weights])[None, None].astype(np.float32)


def _nearest(pairs: np.ndarray, width: int, height: int) -> np.ndarray:
    rows, columns = ((np.arange(n) * m) // n for n, m in zip((height, width), pairs.shape))
    return pairs[rows][:, columns]


def _rounds(rgb: np.ndarray, alpha: np.ndarray, pairs: np.ndarray, count: int) -> np.ndarray:
    """`count` rounds of Jacobi: each pixel's 2 x 2 system (eq. 6) is solved with its neighbours as they were. pairs: (F, B) [h, w, 6]."""
    weights = [EVEN + STEEP * np.abs(alpha - other) for other in _neighbours(alpha)]
    total, back = sum(weights), 1 - alpha
    a00, a01, a11 = (v[..., None] for v in (alpha * alpha + total, alpha * back, back * back + total))
    scale = 1 / (a00 * a11 - a01 * a01)
    seen = np.concatenate([alpha[..., None] * rgb, back[..., None] * rgb], 2)
    for _ in range(count):
        r = seen + sum(w[..., None] * v for w, v in zip(weights, _neighbours(pairs)))
        rf, rb = r[..., :3], r[..., 3:]
        pairs = np.clip(scale * np.concatenate([a11 * rf - a01 * rb, a00 * rb - a01 * rf], 2), 0, 1)
    return pairs


def _neighbours(v: np.ndarray) -> Iterator[np.ndarray]:
    """Left, right, upper and lower neighbour of every pixel; at the rim the pixel itself."""
    yield np.concatenate([v[:, :1], v[:, :-1]], 1)
    yield np.concatenate([v[:, 1:], v[:, -1:]], 1)
    yield np.concatenate([v[:1], v[:-1]], 0)
    yield np.concatenate([v[1:], v[-1:]], 0)


def pad_rgb(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """float32 [H, W, 3] in 0..1 -> the same colours where alpha is 1; where it is less the colours around flow in, so that nothing invisible has a sharp edge.

    A pyramid of (colour * alpha, alpha) down to one pixel, then back up: fg = premultiplied + enlarged(fg) * (1 - alpha) (LayerDiffuse's
    padding of transparent pictures).
    """
    levels, pair = [], np.dstack([rgb * alpha[..., None], alpha])
    while True:
        levels.append(pair)
        if max(pair.shape[:2]) == 1:
            break
        size = tuple(max(1, int(side / SHRINK)) for side in pair.shape[1::-1])
        pair = cv2.resize(pair, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], 4)
    top = levels[0].reshape(-1, 4).mean(0)
    colour = (top[:3] / max(float(top[3]), 1e-6))[None, None].astype(np.float32)
    for pair in reversed(levels):
        size = pair.shape[1::-1]
        larger = cv2.resize(colour, size, interpolation=cv2.INTER_LINEAR).reshape(size[1], size[0], 3)
        colour = pair[..., :3] + larger * (1 - pair[..., 3:])
    return np.clip(colour, 0, 1, out=colour)
