"""Enlarge a picture 2, 4 or 8 times, its alpha too: by Lanczos, by the one-step net that ships, or by a user's own network.

A network sees overlapping tiles (models.flows._tiles), one turn of the engine each, so that painting goes on beside it; what it is told
of the picture's blur and noise (Zhang et al. 2024, "S3Diff", section 3.2) was estimated from the whole of it. Colours are filled in
under what is transparent before a network sees them, so nothing invisible bleeds into an edge, and alpha is enlarged by the same network.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled, MissingWeights, UnknownId
from models.flows._tiles import Tiles, Window
from models.job import MAX_SIDE_PX, Extent, Picture
from models.layers.edges import pad_rgb
from models.spec import PerceptSpec
from models.weights import locate

LANCZOS, NET = "lanczos", "upscale"
TIMES = (2, 4, 8)
TILE_PX, OVERLAP_PX = 256, 56                        # of the small picture; an overlap is two thirds blind, so the net that ships sees alike


@dataclass(frozen=True)
class Wish:
    """What to do with every tile. scores: (blur, noise), None = not told."""
    upscaler: str
    scores: tuple[float, float] | None
    fidelity: float
    session: str


def upscale(engine: Any, picture: Picture, times: int = 4, upscaler: str = NET, blur: float | None = None, noise: float | None = None,
            fidelity: float = 0.5, progress: Progress = ignore_progress, cancel: Cancel = never_cancel, session: str = "",
            tile_px: int = TILE_PX) -> Picture:
    """The picture at `times` its sides, with as many channels. Raises StudioError; Cancelled within one tile of cancel().

    upscaler: an id of `upscalers(engine.catalog)`. blur, noise in [0, 1]: how bad the picture is, None = estimated. fidelity: 1 keeps to
    what is there, 0 adds most detail. The last three matter to upscalers that take scores only.
    """
    check(picture, times, blur, noise, fidelity)
    if upscaler == LANCZOS:
        progress(0, 1, "enlarging")
        return lanczos(picture, times)
    scale, takes_scores = borrowed(engine, upscaler, lambda percept: (percept.scale, percept.takes_scores), session)
    rgb, alpha = _parts(picture)
    steps, size, done = [], rgb.shape[:2], 0
    for factor in passes(times, scale):
        steps.append((factor, Tiles(*size, factor, tile_px, min(OVERLAP_PX, tile_px // 4))))
        size = tuple(side * factor for side in size)
    total = sum(len(tiles) for _, tiles in steps)

    def tick(i: int) -> None:
        if cancel():
            raise Cancelled()
        progress(i, total, "enlarging")
    for number, (_, tiles) in enumerate(steps):
        told = (blur, noise) if number == 0 else (None, None)
        scores = _scores(engine, upscaler, rgb, told, session) if takes_scores else None
        rgb, alpha = _larger(engine, rgb, alpha, tiles, Wish(upscaler, scores, fidelity, session), lambda i, done=done: tick(done + i))
        done += len(tiles)
    progress(total, total, "done")
    return _whole(rgb, alpha, picture, times)


def estimate(engine: Any, picture: Picture, session: str = "") -> tuple[float, float]:
    """(blur, noise) of a picture as the net that ships sees them, each in [0, 1]."""
    return _scores(engine, NET, _parts(picture)[0], (None, None), session)


def upscalers(catalog: Any) -> list[dict[str, Any]]:
    """What can enlarge, the best first: {"id", "title", "here", "scale", "scores": whether blur, noise and fidelity matter, "cure"}."""
    shipped = [{"id": spec.id, "title": spec.title, "here": True, "scale": 4, "scores": True, "cure": ""}
               for spec in catalog.percepts.values() if spec.sees == "larger" and _is_here(spec)]
    own = catalog.shelf.models(kind="upscaler") if catalog.shelf else ()
    theirs = [{"id": model.id, "title": model.title, "here": not model.error, "scale": 0, "scores": False, "cure": model.error} for model in own]
    return [*shipped, *theirs, {"id": LANCZOS, "title": "Lanczos (plain enlarging)", "here": True, "scale": 0, "scores": False, "cure": ""}]


def _is_here(spec: PerceptSpec) -> bool:
    """Whether its weights are on this machine."""
    try:
        return all(locate(file) for file in spec.files)
    except MissingWeights:
        return False


def check(picture: Picture, times: int, blur: float | None = None, noise: float | None = None, fidelity: float = 0.5) -> None:
    """Raises BadInput with the cure for what no upscaler takes."""
    if times not in TIMES:
        raise BadInput(f"A picture cannot be enlarged {times} times.", f"Choose {', '.join(map(str, TIMES))}.")
    if max(picture.width, picture.height) * times > MAX_SIDE_PX:
        raise BadInput(f"{picture.width}x{picture.height} px {times} times is more than {MAX_SIDE_PX} px a side.", "Choose a smaller factor.")
    for name, value in (("Blur", blur), ("Noise", noise), ("Fidelity", fidelity)):
        if value is not None and not 0 <= value <= 1:
            raise BadInput(f"{name} {value} is outside 0..1.")


def passes(times: int, scale: int) -> list[int]:
    """Factors that a network of `scale` is used for in turn, as far as it brings a picture towards `times`; a network that does not
    enlarge is used once, and the rest is Lanczos."""
    if scale < 2:
        return [1]
    out, left = [], times
    while left > 1:
        out.append(max(factor for factor in (8, 4, 2) if factor <= max(2, scale) and factor <= left))
        left //= out[-1]
    return out


def borrowed(engine: Any, upscaler: str, work: Callable[[Any], Any], session: str = "") -> Any:
    """`work(percept)` in a turn of its own. Raises UnknownId for what does not enlarge."""
    if engine.catalog.percept(upscaler).spec.sees != "larger":
        raise UnknownId(f'"{upscaler}" enlarges nothing.', f"Known: {', '.join(one['id'] for one in upscalers(engine.catalog))}.")
    return engine.borrow(upscaler, work, session)


# --- parts of a picture ------------------------------------------------------------------------------------------------

def _parts(picture: Picture) -> tuple[np.ndarray, np.ndarray | None]:
    """uint8 colours [H, W, 3] and alpha [H, W]; None where everything is opaque."""
    array = picture.array
    rgb = np.repeat(array, 3, 2) if picture.channels == 1 else array[..., :3]
    if picture.channels < 4 or array[..., 3].min() == 255:
        return rgb, None
    alpha = array[..., 3]
    padded = pad_rgb(rgb.astype(np.float32) / 255, alpha.astype(np.float32) / 255)
    return (padded * 255).round().astype(np.uint8), alpha


def _whole(rgb: np.ndarray, alpha: np.ndarray | None, asked: Picture, times: int) -> Picture:
    """The finished picture, with the channels and exactly `times` the sides of the one that was given; invisible colours are black."""
    if asked.channels == 1:
        rgb = rgb.mean(2, keepdims=True).round().astype(np.uint8)
    elif asked.channels == 4:
        alpha = np.full(rgb.shape[:2], 255, np.uint8) if alpha is None else alpha
        rgb = np.dstack([rgb * (alpha > 0)[..., None], alpha])
    done = Picture.from_array(rgb)
    extent = Extent(asked.width * times, asked.height * times)
    return done if (done.width, done.height) == (extent.width, extent.height) else lanczos(done, extent.width // done.width)


# --- tiles -------------------------------------------------------------------------------------------------------------

def _scores(engine: Any, upscaler: str, rgb: np.ndarray, told: tuple[float | None, float | None], session: str) -> tuple[float, float]:
    """What was told, and what is seen where nothing was."""
    if None in told:
        seen = borrowed(engine, upscaler, lambda percept: percept.scores(rgb), session)
        told = tuple(own if value is None else value for value, own in zip(told, seen, strict=True))
    return told


def _larger(engine: Any, rgb: np.ndarray, alpha: np.ndarray | None, tiles: Tiles, wish: Wish,
            tick: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray | None]:
    """Colours and alpha one pass larger. Tiles in which nothing is visible, and alpha that is the same all over a tile, need no network."""
    out = np.empty((tiles.height * tiles.scale, tiles.width * tiles.scale, 3 if alpha is None else 4), np.uint8)
    count = iter(range(len(tiles)))

    def made(window: Window) -> np.ndarray:
        tick(next(count))
        top, left, high, wide = window
        here = (slice(top, top + high), slice(left, left + wide))
        if alpha is None:
            return _tile(engine, rgb[here], tiles.scale, wish)
        veil = alpha[here]
        if veil.min() == veil.max():
            grown = np.full((high * tiles.scale, wide * tiles.scale, 1), veil[0, 0] / 255, np.float32)
        else:
            grown = _tile(engine, np.repeat(veil[..., None], 3, 2), tiles.scale, wish).mean(2, keepdims=True)
        colours = _tile(engine, rgb[here], tiles.scale, wish) if veil.max() else np.zeros((*grown.shape[:2], 3), np.float32)
        return np.concatenate([colours, grown], 2)
    for top, rows in tiles.joined(made):
        out[top:top + len(rows)] = (rows.clip(0, 1) * 255).round()
    return (out, None) if alpha is None else (out[..., :3], out[..., 3])


def _tile(engine: Any, rgb: np.ndarray, factor: int, wish: Wish) -> np.ndarray:
    """uint8 [h, w, 3] -> float32 [h * factor, w * factor, 3] in [0, 1], by a network of any scale."""
    return borrowed(engine, wish.upscaler, lambda percept: percept.tile(rgb, factor, wish.scores, wish.fidelity), wish.session)


# --- Lanczos -----------------------------------------------------------------------------------------------------------

def lanczos(picture: Picture, times: int) -> Picture:
    """Enlarged by Lanczos with alpha premultiplied."""
    array = picture.array.astype(np.float32)
    if picture.channels == 4:
        array[..., :3] *= array[..., 3:] / 255
    size = (picture.width * times, picture.height * times)
    f = cv2.resize(array, size, interpolation=cv2.INTER_LANCZOS4).reshape(size[1], size[0], -1)
    if picture.channels == 4:
        alpha = f[..., 3:]                           # not cut yet: it swings as far past an edge as the colours times it do
        f = np.dstack([np.where(alpha > 0.5, f[..., :3] * 255 / np.maximum(alpha, 0.5), 0), alpha])
    return Picture.from_array(f.clip(0, 255).round().astype(np.uint8))
