"""Cut the thing out of any picture: straight RGBA at the picture's full size, corrected by the user's clicks and strokes.

A percept looks at the picture small (where it can see the whole), then closer and closer along the edge only: pieces of the larger picture
are shown to the matting net with everything given but a band, so that the edge of a 4,000 px picture is as sharp as the picture. The rest is
models/layers/edges.py. `look` is the engine's: (percept id, uint8 [H, W, 3], hints=uint8 [H, W, 2]) -> uint8 [H, W].
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from models.layers import edges
from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled
from models.flows._closer import COARSE_PX, closer
from models.flows._cutout import cut_out as by_paper
from models.flows.whole_object import grabbed, rectangle
from models.job import Picture

NET, PAPER, GRABCUT = "matting", "paper", "grabcut"
OWN_METHODS = {PAPER: "By the colour of the paper", GRABCUT: "By colours inside and outside (GrabCut)"}
"""What needs no percept; every percept that sees alpha is a method too, by its id."""
MAX_STROKES, MAX_POINTS = 200, 2000
GRAB_PX = 256                                        # the longer side at which GrabCut works
NEAR = 0.12                                          # of the longer side: so far around a stroke GrabCut corrects what was found
AROUND_PX = 12                                       # more than that is seen of what lies about
NOTHING, LEAST_PX = 0.02, 8
Look = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Stroke:
    """What the user says of a place: keep it or drop it. `points`: (x, y) in px of the picture; one point is a click."""
    points: tuple[tuple[float, float], ...]
    keep: bool = True
    width_px: float = 0.0                            # 0: a small dot, in proportion to the picture

    def __post_init__(self) -> None:
        if not 1 <= len(self.points) <= MAX_POINTS:
            raise BadInput(f"A stroke has 1 to {MAX_POINTS:,} points, not {len(self.points):,}.")
        if not all(np.isfinite(v) and abs(v) < 1e6 for point in self.points for v in point) or not 0 <= self.width_px < 1e5:
            raise BadInput("A stroke lies somewhere else than on the picture.")


@dataclass(frozen=True)
class Cut:
    """How to cut. Lengths are px of the picture. feather_side: one of edges.SIDES. decontaminate: take the colour of the ground out of the
    edge. islands: keep small pieces that lie apart. fill_holes: make enclosed holes opaque."""
    method: str = NET
    strokes: tuple[Stroke, ...] = ()
    feather_px: float = 0.0
    feather_side: str = "both"
    shift_px: float = 0.0
    decontaminate: bool = True
    islands: bool = False
    fill_holes: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.feather_px <= 200 and abs(self.shift_px) <= 100):
            raise BadInput("An edge is softened by 0 to 200 px and moved by 100 px at most.")
        if self.feather_side not in edges.SIDES:
            raise BadInput(f'"{self.feather_side}" is no side of an edge.', f"Known: {', '.join(edges.SIDES)}.")
        if len(self.strokes) > MAX_STROKES:
            raise BadInput(f"{len(self.strokes)} strokes are more than {MAX_STROKES}.", "Undo some, or begin anew.")


@dataclass(frozen=True, eq=False)
class Cutout:
    """`rgba`: straight uint8 [H, W, 4] of the picture's size; `notes`: sentences for the person."""
    rgba: np.ndarray
    notes: tuple[str, ...] = ()


def cut_out(look: Look, picture: Picture, cut: Cut = Cut(), progress: Progress = ignore_progress, cancel: Cancel = never_cancel) -> Cutout:
    """Raises BadInput for pictures in which there is nothing to find and when nothing was found; MissingWeights by the percept."""
    rgb, given = _shown(picture)
    alpha = _found(look, rgb, given, cut, progress, cancel)
    alpha = _tidied(alpha, cut)
    if given is not None:
        alpha = np.minimum(alpha, given)
    if alpha.max() < 0.5:
        raise BadInput("Nothing was found to keep.", "Click on what you want to keep, or choose another method.")
    progress(2, 3, "cleaning the edge")
    if cancel():
        raise Cancelled()
    colours = edges.foreground(rgb, alpha) if cut.decontaminate else rgb
    rgba = np.dstack([colours, (alpha * 255).round().astype(np.uint8)])
    everything = alpha.min() > 1 - NOTHING
    return Cutout(rgba, ("Everything was kept: nothing in it looks like a background. Click on what to drop.",) if everything else ())


def _shown(picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """(uint8 [H, W, 3] without invisible colours, alpha that is there already or None). Raises BadInput where there is nothing to see."""
    array = picture.array
    if min(array.shape[:2]) < LEAST_PX:
        raise BadInput(f"This picture is {picture.width}x{picture.height} px, too small to cut something out of.", "Use a larger one.")
    rgb = np.repeat(array, 3, 2) if picture.channels == 1 else array[..., :3]
    given = None
    if picture.channels == 4 and array[..., 3].min() < 255:
        if array[..., 3].max() < 255 * NOTHING:
            raise BadInput("This picture is fully transparent; there is nothing to cut out.", "Choose another layer.")
        given = array[..., 3].astype(np.float32) / 255
        rgb = (edges.pad_rgb(rgb.astype(np.float32) / 255, given) * 255).round().astype(np.uint8)
    flat = rgb if given is None else rgb[given > NOTHING]
    if int(np.ptp(flat.reshape(-1, 3), axis=0).max()) <= 2:
        raise BadInput("This picture is one plain colour; there is nothing to tell apart.", "Choose another layer.")
    return np.ascontiguousarray(rgb), given


def _found(look: Look, rgb: np.ndarray, given: np.ndarray | None, cut: Cut, progress: Progress, cancel: Cancel) -> np.ndarray:
    """Alpha float32 [H, W] of the picture's size. A picture that is cut out already is that, until the user says otherwise."""
    if given is not None and not cut.strokes and is_cut_out(given):
        return given
    progress(0, 3, "looking")
    hints = hinted(cut.strokes, rgb.shape)
    small = fitted(rgb, COARSE_PX)
    told = _at_size(hints, small.shape)
    alpha = _coarse(look, cut.method, small, told)
    if told.any():
        alpha = corrected(small, alpha, told)
    return _obeyed(closer(look, rgb, alpha, hints, progress, cancel), hints)


def is_cut_out(alpha: np.ndarray) -> bool:
    """Whether most of the picture's rim is transparent and something inside is not."""
    rim = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    return bool((rim < NOTHING).mean() > 0.5 and alpha.max() > 0.5)


def _coarse(look: Look, method: str, small: np.ndarray, told: np.ndarray) -> np.ndarray:
    """uint8 alpha of a small picture by any method."""
    if method == PAPER:
        cut = by_paper(small)
        if cut is None:
            raise BadInput("The background of this picture is not one plain colour.", "Choose another method.")
        return cut[..., 3]
    if method == GRABCUT:
        return corrected(small, np.full(small.shape[:2], 255, np.uint8), told, everywhere=True)
    return look(method, small, hints=told)


def corrected(rgb: np.ndarray, alpha: np.ndarray, told: np.ndarray, everywhere: bool = False) -> np.ndarray:
    """uint8 alpha corrected by GrabCut (Rother et al. 2004) near each of the strokes `told` [H, W, 2], or everywhere from a centred
    rectangle."""
    small = fitted(rgb, GRAB_PX)
    seed, marks = _at_size(alpha, small.shape), _at_size(told, small.shape)
    if everywhere:
        labels = rectangle(small.shape)
        labels[marks[..., 1] > 0], labels[marks[..., 0] > 0] = cv2.GC_BGD, cv2.GC_FGD
        return cv2.resize(_soft(grabbed(small, labels)), alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    mended, near = seed.copy(), np.zeros(small.shape[:2], bool)
    reach = np.ones((2 * round(NEAR * max(small.shape[:2])) + 1,) * 2, np.uint8)
    count, pieces = cv2.connectedComponents(marks.max(2))
    for piece in range(1, count):
        here = cv2.dilate((pieces == piece).astype(np.uint8), reach) > 0
        _mend(small, mended, marks, here)
        near |= here
    found = cv2.resize(mended, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(_at_size(near.astype(np.uint8) * 255, alpha.shape) > 127, found, alpha)


def _mend(rgb: np.ndarray, alpha: np.ndarray, marks: np.ndarray, here: np.ndarray) -> None:
    """Correct uint8 alpha in place where `here` says, by what colours inside and outside look like thereabouts; where only one of the two
    is to be seen, nothing is known."""
    labels = np.where(here, np.where(alpha > 127, cv2.GC_PR_FGD, cv2.GC_PR_BGD), np.where(alpha > 127, cv2.GC_FGD, cv2.GC_BGD)).astype(np.uint8)
    labels[marks[..., 1] > 0], labels[marks[..., 0] > 0] = cv2.GC_BGD, cv2.GC_FGD
    window = _window(here)
    thing = np.isin(labels[window], (cv2.GC_FGD, cv2.GC_PR_FGD))
    if thing.any() and not thing.all():
        alpha[here] = _soft(grabbed(rgb[window], labels[window]))[here[window]]


def _soft(hard: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(hard.astype(np.uint8) * 255, (0, 0), 0.7)


def _window(near: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns around the True pixels, with as much again as GrabCut needs to know what lies about them."""
    spans = []
    for line in (near.any(1), near.any(0)):
        there = np.flatnonzero(line)
        spans.append(slice(max(0, int(there[0]) - AROUND_PX), int(there[-1]) + 1 + AROUND_PX))
    return tuple(spans)


def fitted(rgb: np.ndarray, side_px: int) -> np.ndarray:
    """Shrunk or enlarged so that the longer side is `side_px`; pictures between half of it and it stay as they are."""
    longer = max(rgb.shape[:2])
    if side_px / 2 <= longer <= side_px:
        return rgb
    size = tuple(max(1, round(side * side_px / longer)) for side in rgb.shape[1::-1])
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if longer > side_px else cv2.INTER_CUBIC)


def _at_size(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 at another size; of hints nothing vanishes when they shrink."""
    if array.shape[:2] == tuple(shape[:2]):
        return array
    if array.ndim == 3 and array.shape[0] > shape[0]:
        reach = max(1, int(np.ceil(array.shape[0] / shape[0])))
        array = cv2.dilate(array, np.ones((reach, reach), np.uint8))
        return cv2.resize(array, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(array, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR if array.ndim == 2 else cv2.INTER_NEAREST)


def hinted(strokes: Sequence[Stroke], shape: tuple[int, ...]) -> np.ndarray:
    """uint8 [H, W, 2]: 255 where strokes say keep, drop; a later stroke wins over an earlier one."""
    hints = np.zeros((*shape[:2], 2), np.uint8)
    dot = max(3.0, max(shape[:2]) / 40)
    for stroke in strokes:
        stamp = np.zeros(shape[:2], np.uint8)
        points = np.int32(np.round(np.clip(np.array(stroke.points), -1e4, 1e5)))
        width = max(1, round(stroke.width_px or dot))
        if len(points) == 1:
            cv2.circle(stamp, tuple(map(int, points[0])), max(1, width // 2), 255, -1)
        else:
            cv2.polylines(stamp, [points.reshape(-1, 1, 2)], False, 255, width)
        hints[stamp > 0] = (255, 0) if stroke.keep else (0, 255)
    return hints


def _obeyed(alpha: np.ndarray, hints: np.ndarray) -> np.ndarray:
    """What was marked is so at least there."""
    alpha[hints[..., 0] > 0], alpha[hints[..., 1] > 0] = 1, 0
    return alpha


def _tidied(alpha: np.ndarray, cut: Cut) -> np.ndarray:
    """The edge as the user wants it."""
    if not cut.islands:
        alpha = edges.without_islands(alpha)
    if cut.fill_holes:
        alpha = edges.holes_filled(alpha)
    return edges.feathered(edges.shifted(alpha, cut.shift_px), cut.feather_px, cut.feather_side)


def methods(catalog: Any) -> list[dict[str, Any]]:
    """What can cut, the best that is here first: {"id", "title", "here", "bytes", "cure"}; the cure says how to get what is not here."""
    from models.releases import RELEASES
    found = []
    for spec in catalog.percepts.values():
        if spec.sees == "alpha":
            release = RELEASES.get(spec.files[0].repo)
            found.append({"id": spec.id, "title": spec.title, "here": release is None, "bytes": spec.bytes, "cure": release.cure if release else ""})
    own = [{"id": id, "title": title, "here": True, "bytes": 0, "cure": ""} for id, title in OWN_METHODS.items()]
    return sorted(found, key=lambda one: (not one["here"], one["id"] != NET)) + own
