"""Memorised or painted? How near is the nearest training drawing?

Two distances to the nearest drawing of the train split: cosine distance of centred features, and RMS of 16x16 thumbnails on
white (also against the mirror image). The yardstick are real held-out drawings (val and test_pair), which nobody can have
memorised: "nearer" counts painted pictures that lie nearer to a training drawing than 95 % of the held-out ones do.

Read it with care: each style and concept is drawn exactly once, so a prompt names one training picture, and a perfect painter
of known concepts lands near it. Memorising shows where *every* picture is a copy down to the pixel, and in a small distance
between seeds; the sheet of nearest pairs is for the eye.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.lab.metrics.metric import KNOWN, Metric, Painted, Score, share
from models.lab.metrics.real import HELD_OUT, THUMB_PX, Real, thumbnails

NEAR_QUANTILE = 0.05


@dataclass(frozen=True)
class Nearest:
    """For each picture: its distance to the nearest training drawing and that drawing's index."""
    distance: np.ndarray
    index: np.ndarray


def nearest(square_distances: np.ndarray, candidates: np.ndarray, not_this: np.ndarray | None = None) -> Nearest:
    """[N, M] squared distances to the drawings `candidates` [M]; a picture never meets the drawing `not_this` [N]."""
    if not_this is not None:
        square_distances = np.where(candidates[None] == not_this[:, None], np.inf, square_distances)
    best = square_distances.argmin(1)
    return Nearest(np.sqrt(square_distances[np.arange(len(best)), best].clip(0)), candidates[best])


def square_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[N, D], [M, D] -> ||a_i - b_j||^2."""
    return ((a ** 2).sum(1)[:, None] + (b ** 2).sum(1)[None] - 2 * a @ b.T).clip(0)


def _unit(features: np.ndarray, mean: np.ndarray) -> np.ndarray:
    x = features - mean
    return x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-8)


def nearest_features(features: np.ndarray, real: Real, not_this: np.ndarray | None = None) -> Nearest:
    """Cosine distance 1 - cos, which is half the squared distance of unit vectors."""
    train = real.where("train")
    mean = real.plain[train].mean(0)
    square = square_distances(_unit(features, mean), _unit(real.plain[train], mean))
    found = nearest(square, train, not_this)
    return Nearest(found.distance ** 2 / 2, found.index)


def nearest_pixels(thumbs: np.ndarray, real: Real, not_this: np.ndarray | None = None) -> Nearest:
    """RMS of thumbnails [N, 768], the mirror image included."""
    train = real.where("train")
    mirrored = thumbs.reshape(-1, THUMB_PX, THUMB_PX, 3)[:, :, ::-1].reshape(len(thumbs), -1)
    square = np.minimum(square_distances(thumbs, real.thumbs[train]), square_distances(mirrored, real.thumbs[train]))
    found = nearest(square / thumbs.shape[1], train, not_this)
    return found


def measure(painted: Painted, real: Real) -> dict[str, Score]:
    painted, held = painted.of(KNOWN), real.where(*HELD_OUT)
    if not len(painted) or not len(held):
        return {}
    own = painted.wanted if painted.real else None
    feature = nearest_features(painted.features, real, own).distance
    pixel = nearest_pixels(thumbnails(painted.pictures), real, own).distance
    near_feature = np.quantile(nearest_features(real.plain[held], real).distance, NEAR_QUANTILE)
    near_pixel = np.quantile(nearest_pixels(real.thumbs[held], real).distance, NEAR_QUANTILE)
    return {"nearest training drawing, features": Score(float(np.median(feature))),
            "nearest training drawing, 16x16 RMS": Score(float(np.median(pixel))),
            "nearer than held-out drawings, features ↓": share(feature < near_feature),
            "nearer than held-out drawings, pixels ↓": share(pixel < near_pixel)}


METRIC = Metric("memorised", measure)
