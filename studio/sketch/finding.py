"""Find by sketch: what is on the canvas finds the pictures it looks like, in the user's library and among those that ship.

Pictures of the library are looked at once, a few at a time and only while nobody paints; what is new since the last question is looked
at before the answer for at most PATIENCE_S, and the rest behind it.
"""
from __future__ import annotations

import base64
import io
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image

from models.errors import BadInput, StudioError
from models.lines import thinned
from models.turns import Urgency
from studio.library.store import Item, Library
from studio.sketch.importing import CANVAS_PX, bytes_of, fitted, opened
from studio.sketch.index import LikenessIndex, Seen
from studio.sketch.inks import BLOCK, separate

PERCEPT, SESSION = "likeness", "find"
SHOWN = 12
BATCH = 8                                            # pictures a turn: 20 ms, so that a live frame hardly waits
PATIENCE_S = 1.5
THUMB_PX, WHOLE_PX = 96, 1024
AREA_PX = 19                                         # what is broader than any pen is an area, and its outline is the line
MIRRORED = 0.04                                      # what a picture that looks the other way loses
BUNDLED = "bundled-"
EMPTY = "Draw something first."


def make_find(engine: Any, library: Library) -> Callable[[Any], dict[str, Any]]:
    """The page's server function `find`: {"picture": data URL of the canvas} -> {"hits": [...], "note"} or {"error": sentence}."""
    return Finder(engine, library).find


def make_found(engine: Any, library: Library) -> Callable[[Any], dict[str, Any]]:
    """The page's server function `found`: {"id": of a hit} -> {"picture": data URL of the whole picture} or {"error": sentence}."""
    def found(asked: Any) -> dict[str, Any]:
        try:
            id = str(asked.get("id") or "") if isinstance(asked, dict) else ""
            picture = _repainted(engine, id) if id.startswith(BUNDLED) else _opened(library.item(id))
            return {"picture": _url(picture, "PNG")}
        except StudioError as error:
            return {"error": str(error)}
    return found


def lines_on(canvas: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] of strokes on white -> bool [H, W], thin: pen strokes by their middle, block strokes and areas by their outline."""
    x, y, width, height = cv2.boundingRect(255 - cv2.inRange(canvas, (250,) * 3, (255,) * 3))
    lines = np.zeros(canvas.shape[:2], bool)
    if width:
        lines[y:y + height, x:x + width] = _lines_in(np.ascontiguousarray(canvas[y:y + height, x:x + width]))
    return lines


def _lines_in(canvas: np.ndarray) -> np.ndarray:
    masks = separate(canvas).masks
    block = masks.pop(BLOCK, np.zeros(canvas.shape[:2], bool))
    pens = np.logical_or.reduce([*masks.values(), np.zeros_like(block)])
    areas = cv2.morphologyEx(pens.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (AREA_PX, AREA_PX))) > 0
    return thinned(pens & ~areas) | _outline(areas) | _outline(block)


def _outline(mask: np.ndarray) -> np.ndarray:
    shape = mask.astype(np.uint8)
    return (shape - cv2.erode(shape, np.ones((3, 3), np.uint8), borderValue=0)) > 0


@dataclass(frozen=True)
class Hit:
    """A picture that was found. `score`: 0..1."""
    id: str
    title: str
    score: float
    source: str
    thumb: bytes                                     # WebP

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "title": self.title, "thumb": _data_url(self.thumb, "webp"), "score": round(self.score, 4), "from": self.source}


class Finder:
    """Answers `find` for one library. The index is opened at the first question."""

    def __init__(self, engine: Any, library: Library) -> None:
        self.engine, self.library = engine, library
        self._index: LikenessIndex | None = None
        self._bundle: Any = None
        self._thumbs: dict[int, bytes] = {}
        self._lock = threading.Lock()                # one thread looks at new pictures
        self._behind: threading.Thread | None = None

    def find(self, asked: Any) -> dict[str, Any]:
        try:
            canvas = fitted(opened(bytes_of(asked.get("picture") if isinstance(asked, dict) else None)), CANVAS_PX)
            hits, note = self.search(canvas)
        except StudioError as error:
            return {"error": str(error)}
        return {"hits": [hit.to_dict() for hit in hits], "note": note}

    def search(self, canvas: np.ndarray, count: int = SHOWN) -> tuple[list[Hit], str]:
        """(the `count` pictures that a canvas, uint8 [H, W, 3] on white, looks most like; what to know of them)."""
        lines = lines_on(canvas)
        if not lines.any():
            raise BadInput(EMPTY)
        ids = self.library.ids()
        unread = self._catch_up(ids)
        query = self._query(lines)
        bundled, note = self._bundled(query, count)
        found = [*self._own(query, ids, count), *bundled]
        return sorted(found, key=lambda hit: -hit.score)[:count], _note(unread, len(ids)) or note

    def like(self, id: str, count: int = SHOWN) -> list[tuple[str, float]]:
        """(id, score) of the pictures of the library that look most like picture `id` of it, itself left out."""
        ids = self.library.ids()
        self._catch_up(ids)
        known, vectors = self.index.matrix(ids)
        if id not in known:
            raise BadInput("That picture was not looked at yet.", "Try again in a moment.")
        scores = vectors @ vectors[known.index(id)]
        return [(known[i], float(scores[i])) for i in np.argsort(-scores) if known[i] != id and scores[i] > 0][:count]

    @property
    def index(self) -> LikenessIndex:
        with self._lock:
            if self._index is None:
                self._index = LikenessIndex(self.library.folder / "likeness.sqlite", _digest(self.engine))
            return self._index

    def wait(self) -> None:
        """Until nothing is being looked at any more."""
        if self._behind is not None:
            self._behind.join()

    # --- looking ---

    def _query(self, lines: np.ndarray) -> np.ndarray:
        """Unit vectors [2, D] of the sketch and of its mirror image."""
        from models.nets.doodle import raster
        one = raster(lines)
        return _embedded(self.engine, [one, one[:, ::-1]], Urgency.PICTURE)

    def _catch_up(self, ids: Sequence[str]) -> int:
        """Look at what is new for at most PATIENCE_S, leave the rest to a thread, and return how many are left."""
        self.index.keep_only(ids)
        new = [id for id in ids if id not in self.index]
        if new and not (self._behind and self._behind.is_alive()):
            until = time.monotonic() + PATIENCE_S
            for done in self._look_at(new):
                if time.monotonic() > until and done < len(new):
                    self._behind = threading.Thread(target=self._look_behind, args=(new[done:],), name="likeness", daemon=True)
                    self._behind.start()
                    break
        return sum(id not in self.index for id in new)

    def _look_behind(self, ids: Sequence[str]) -> None:
        try:
            for _ in self._look_at(ids):
                pass
        except (StudioError, sqlite3.Error, OSError, RuntimeError) as error:   # the studio is closing, or the disk is full
            logging.getLogger(__name__).info("Looking at the library stopped: %s", error)

    def _look_at(self, ids: Sequence[str]) -> Iterator[int]:
        """Put pictures into the index, BATCH in a turn; yields how many are done."""
        for start in range(0, len(ids), BATCH):
            part = ids[start:start + BATCH]
            looks = [self._look(id) for id in part]
            vectors = _embedded(self.engine, [raster for raster, _ in looks], Urgency.IDLE)
            self.index.add(Seen(id, vector * bool(raster.any()), thumb) for id, vector, (raster, thumb) in zip(part, vectors, looks))
            yield start + len(part)

    def _look(self, id: str) -> tuple[np.ndarray, bytes]:
        """(raster of its lines, thumb as WebP); nothing of both when the file cannot be read."""
        from models.nets.doodle import SIDE_PX
        from models.percepts.likeness import lines_of_picture
        try:
            picture = fitted(opened(self.library.item(id).path.read_bytes()), 256)
        except (OSError, StudioError):
            return np.zeros((SIDE_PX, SIDE_PX), np.float32), b""
        scale = THUMB_PX / max(picture.shape[:2])
        size = tuple(max(1, round(side * scale)) for side in picture.shape[1::-1])
        return lines_of_picture(picture), _encoded(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), "WEBP")

    # --- answering ---

    def _own(self, query: np.ndarray, ids: Sequence[str], count: int) -> list[Hit]:
        """The best of the library whose files are still there."""
        known, vectors = self.index.matrix(ids)
        if not known:
            return []
        scores, out = _scores(query, vectors), []
        for i in np.argsort(-scores):
            if len(out) == count or scores[i] <= 0:
                break
            thumb, item = self.index.thumb(known[i]), self._item(known[i])
            if thumb and item:
                out.append(Hit(item.id, item.prompt or "Without words", float(scores[i]), "library", thumb))
        return out

    def _item(self, id: str) -> Item | None:
        """A picture of the library, unless it went meanwhile or its file did."""
        try:
            item = self.library.item(id)
        except BadInput:
            return None
        return item if item.path.exists() else None

    def _bundled(self, query: np.ndarray, count: int) -> tuple[list[Hit], str]:
        """The best of the pictures that ship, and why there are none."""
        from models.percepts.likeness import read_bundle
        try:
            self._bundle = self._bundle or read_bundle()
        except StudioError as error:
            return [], str(error)
        scores = _scores(query, self._bundle.vectors)
        return [Hit(f"{BUNDLED}{i}", self._bundle.jobs[i].prompt, float(scores[i]), "bundled", self._thumb(int(i)))
                for i in np.argsort(-scores)[:count] if scores[i] > 0], ""

    def _thumb(self, i: int) -> bytes:
        """Of a picture that ships, encoded once."""
        if i not in self._thumbs:
            self._thumbs[i] = _encoded(self._bundle.thumbs[i], "WEBP")
        return self._thumbs[i]


def _scores(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Cosine with the sketch, or a little less with its mirror image, cut to 0..1; [N]."""
    plain, mirrored = query @ vectors.T
    return np.clip(np.maximum(plain, mirrored - MIRRORED), 0, 1)


def _note(unread: int, count: int) -> str:
    return f"{unread:,} of your {count:,} pictures are still being looked at. Search again in a moment." if unread else ""


def _embedded(engine: Any, rasters: Sequence[np.ndarray], urgency: Urgency) -> np.ndarray:
    """Unit vectors [N, D], computed in a turn of their own."""
    def work() -> np.ndarray:
        with engine.registry.percept(PERCEPT) as likeness:
            return likeness.embed(rasters)
    with engine.turns.take(SESSION, urgency):
        return engine.by_hand(work)


def _digest(engine: Any) -> str:
    """Of the weights, so that other weights look again."""
    from models.weights import locate, sha256
    return sha256(locate(engine.catalog.percept(PERCEPT).spec.files[0], engine.registry.cache_dir))


def _repainted(engine: Any, id: str) -> np.ndarray:
    """A picture that ships, painted by its job."""
    from models.percepts.likeness import read_bundle
    jobs, number = read_bundle().jobs, id.removeprefix(BUNDLED)
    if not number.isascii() or not number.isdigit() or len(number) > 6 or int(number) >= len(jobs):
        raise BadInput(f"There is no picture {id[:40]!r}.", "Search again.")
    return engine.render(jobs[int(number)], session=SESSION).pixels[0]


def _opened(item: Item) -> Image.Image:
    """A picture of the library, its longer side WHOLE_PX at most."""
    try:
        image = opened(item.path.read_bytes())
        image.thumbnail((WHOLE_PX, WHOLE_PX))
        return image
    except OSError:
        raise BadInput("That picture's file is gone or damaged.", "Search again.") from None


def _url(picture: np.ndarray | Image.Image, kind: str) -> str:
    return _data_url(_encoded(picture, kind), kind.lower())


def _encoded(picture: np.ndarray | Image.Image, kind: str) -> bytes:
    image, out = picture if isinstance(picture, Image.Image) else Image.fromarray(picture), io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def _data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
