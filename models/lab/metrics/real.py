"""The real drawings as the metrics see them: views of each, their features, small thumbnails; computed once, kept on disk."""
from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from models.files import write_atomic
from models.lab.items import STICKER_SOURCES, Item, stable_hash
from models.lab.metrics.features import POOLED, FeatureNet, look
from models.lab.pictures import BACKGROUNDS, may_flip, over, place, rng_for, sticker

WHITE = np.uint8([255, 255, 255])
COLORS = [np.float32(c) for c in BACKGROUNDS.values()]
VIEWS = ("plain", "moved", "color")                  # plain is the drawing as it is, on white
THUMB_PX = 16
HELD_OUT = ("val", "test_pair")
CATEGORIES = ("animals & nature", "food & drink", "objects", "travel & places", "activities", "smileys")   # what scores ask for


def view(item: Item, rgba: np.ndarray, kind: str) -> np.ndarray:
    """uint8 [256, 256, 3]: the drawing plain, moved (scaled, shifted, turned, mirrored where that is harmless), on a colour, or
    as a sticker. The same drawing and kind always give the same picture."""
    rng = rng_for("judge", kind, item.key)
    if kind == "plain":
        return over(rgba, WHITE)
    color = (COLORS[rng.integers(len(COLORS))] + rng.integers(-12, 13, 3)).clip(0, 255)
    if kind == "sticker":
        return over(sticker(rgba), color)
    flip = may_flip(item) and rng.random() < 0.5
    moved = place(rgba, rng.uniform(0.6, 1.0), *rng.uniform(0.44, 0.56, 2), rng.uniform(-10, 10), flip)
    return over(moved, WHITE if kind == "moved" else color)


def thumbnails(pictures: np.ndarray) -> np.ndarray:
    """uint8 [N, 256, 256, 3] -> float32 [N, 16 * 16 * 3] in [0, 1], area means."""
    n, side, _, channels = pictures.shape
    k = side // THUMB_PX
    small = pictures.reshape(n, THUMB_PX, k, THUMB_PX, k, channels).mean((2, 4), dtype=np.float32) / 255
    return small.reshape(n, -1).astype(np.float32)


@dataclass(frozen=True)
class Real:
    """All drawings. `views` float32 [N, 3, 1280] and `textures` float32 [N, 3, 384] in the order of VIEWS; `thumbs` float32
    [N, 768] of the plain view; `stickers` float32 [S, 384], textures of a third of the drawings that may become one."""
    items: Sequence[Item]
    rgba: np.ndarray
    views: np.ndarray
    textures: np.ndarray
    thumbs: np.ndarray
    stickers: np.ndarray

    @property
    def plain(self) -> np.ndarray:
        """Features of the plain view, [N, 1280]."""
        return self.views[:, 0]

    def where(self, *splits: str) -> np.ndarray:
        """Indices of the drawings of these splits."""
        return np.array([i for i, item in enumerate(self.items) if item.split in splits], int)

    def pictures(self, indices: Sequence[int]) -> np.ndarray:
        """uint8 [n, 256, 256, 3], plain."""
        return np.stack([view(self.items[i], self.rgba[i], "plain") for i in indices])


def _in_chunks(n: int, size: int = 128) -> list[range]:
    return [range(i, min(i + size, n)) for i in range(0, n, size)]


def _cached(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    if path.exists():
        return np.load(path)
    array = make()

    def write(temporary: Path) -> None:
        with temporary.open("wb") as f:
            np.save(f, array)
    write_atomic(path, write)
    return array


def _view_features(net: FeatureNet, items: Sequence[Item], rgba: np.ndarray, kind: str, say: Callable[[str], None]) -> np.ndarray:
    out = []
    for chunk in _in_chunks(len(items)):
        out.append(look(net, [view(items[i], rgba[i], kind) for i in chunk]).astype(np.float16))
        if chunk.start % 1024 == 0:
            say(f"features of real pictures, {kind}: {chunk.start} of {len(items)}")
    return np.concatenate(out)


def _thumbs(items: Sequence[Item], rgba: np.ndarray) -> np.ndarray:
    return np.concatenate([thumbnails(np.stack([over(rgba[i], WHITE) for i in chunk])) for chunk in _in_chunks(len(items))])


def load_real(items: Sequence[Item], rgba: np.ndarray, cache: Path, net: FeatureNet, say: Callable[[str], None] = print) -> Real:
    """`rgba` uint8 [N, 256, 256, 4] row for row with `items`. The names in the cache carry a digest of keys and format."""
    digest = hashlib.sha256("\n".join([str(net.dtype), *(i.key for i in items)]).encode()).hexdigest()[:10]

    def kept(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        return _cached(cache / f"{digest}-{name}.npy", make)
    views = [kept(kind, partial(_view_features, net, items, rgba, kind, say)) for kind in VIEWS]
    chosen = [i for i, item in enumerate(items) if item.source in STICKER_SOURCES and stable_hash(item.key, 3) == 0]
    stickers = kept("sticker", lambda: _view_features(net, [items[i] for i in chosen], rgba[chosen], "sticker", say))
    thumbs = kept("thumbs", lambda: _thumbs(items, rgba))
    seen = np.stack(views, 1).astype(np.float32)
    return Real(items, rgba, seen[..., :POOLED], seen[..., POOLED:], thumbs, stickers[:, POOLED:].astype(np.float32))
