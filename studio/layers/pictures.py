"""The pictures of layers: PNG files named by what they show, so that equal pictures are one file and nothing ever changes.

A file may carry the Job that made it (studio/export/png.py). Safe to call from any thread.
"""
from __future__ import annotations

import io
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from PIL import Image

from models.errors import BadInput, UnknownId
from models.job import Job, Picture
from models.pixels import with_alpha
from models.layers.stack import Stack
from studio.export import png
from studio.files import write_whole

SIDES_PX = (64, 128, 256, 512, 1024, 2048, 4096)     # of previews
KEPT_BYTES = 256 * 2 ** 20                           # decoded pictures in memory
UNUSED_S = 14 * 86400.0                              # a picture that no document names stays so long: an open page may undo to it
PICTURE_ID = re.compile(r"[0-9a-f]{64}")


class Pictures(Mapping[str, Picture]):
    """RGBA pictures by `Picture.digest`. `folder` is made when it is not there: AB/ID.png and AB/ID-SIDE.webp."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Picture] = OrderedDict()

    def put(self, picture: Picture, job: Job | None = None) -> str:
        """Keep a picture (opaque where it has no alpha) and return its id. `job`: the one that makes this very picture."""
        picture = with_alpha(picture)
        path = self._path(picture.digest)
        if path.exists():
            os.utime(path)                           # it is used again, so it is young again
        else:
            path.parent.mkdir(exist_ok=True)
            write_whole(path, png.encode(picture.array, job) if job else _plain(picture))
        self._keep(picture)
        return picture.digest

    def path(self, id: str) -> Path:
        """Raises UnknownId."""
        path = self._path(id) if PICTURE_ID.fullmatch(id) else None
        if path is None or not path.exists():
            raise UnknownId(f'There is no picture "{id[:16]}" here.')
        return path

    def job(self, id: str) -> Job | None:
        """The Job that the picture's file carries."""
        try:
            return png.job_in(self.path(id).read_bytes())
        except BadInput:
            return None

    def preview(self, id: str, side_px: int) -> Path:
        """A WebP file of the picture with no side longer than the smallest of SIDES_PX that is at least `side_px`; the picture itself
        when it is no larger."""
        path, side = self.path(id), next((side for side in SIDES_PX if side >= side_px), SIDES_PX[-1])
        small = path.with_name(f"{id}-{side}.webp")
        if small.exists():
            return small
        with Image.open(path) as image:
            if max(image.size) <= side:
                return path
            image.thumbnail((side, side), Image.Resampling.BOX, reducing_gap=None)
            out = io.BytesIO()
            image.save(out, "WEBP", quality=90, method=2, alpha_quality=100)
        write_whole(small, out.getvalue())
        return small

    def check(self, stack: Stack) -> None:
        """Raises BadInput when a picture of the stack is not here."""
        for layer in stack.leaves():
            if layer.picture not in self:
                raise BadInput(f'The picture of layer "{layer.name}" is not in the library any more.', "Delete the layer, or undo to one that is.")

    def sweep(self, used: Collection[str], now_s: float | None = None) -> int:
        """Delete the files of pictures that nobody used for UNUSED_S and that are not among `used`; how many pictures went."""
        old_s, gone = (time.time() if now_s is None else now_s) - UNUSED_S, 0
        for path in self.folder.glob("??/*.png"):
            if path.stem not in used and path.stat().st_mtime < old_s:
                gone += 1
                for file in path.parent.glob(f"{path.stem}*"):
                    file.unlink(missing_ok=True)
        return gone

    def __getitem__(self, id: str) -> Picture:
        with self._lock:
            if id in self._kept:
                self._kept.move_to_end(id)
                return self._kept[id]
        try:
            pixels, _ = png.decode(self.path(id).read_bytes())
        except UnknownId as error:
            raise KeyError(str(error)) from None
        picture = Picture.from_array(pixels)
        self._keep(picture)
        return picture

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and bool(PICTURE_ID.fullmatch(id)) and self._path(id).exists()

    def __iter__(self) -> Iterator[str]:
        return (path.stem for path in self.folder.glob("??/*.png"))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _path(self, id: str) -> Path:
        return self.folder / id[:2] / f"{id}.png"

    def _keep(self, picture: Picture) -> None:
        with self._lock:
            self._kept[picture.digest] = picture
            self._kept.move_to_end(picture.digest)
            while len(self._kept) > 1 and sum(len(kept.data) for kept in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)


def _plain(picture: Picture) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture.array).save(out, "PNG", compress_level=1)
    return out.getvalue()
