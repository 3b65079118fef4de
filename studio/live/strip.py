"""The recent frames of one canvas, each with the exact Job that made it."""
from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace

import numpy as np

from models.errors import BadInput
from models.job import Job, Result
from studio.live.controls import Controls

CAPACITY = 64
FRESH = 16


@dataclass(frozen=True, eq=False)
class Frame:
    """`result`: of one sample; `canvas`: the packed drawing behind it; `picture`: (media type, bytes) as the page got it."""
    id: int
    result: Result
    controls: Controls
    canvas: bytes = field(repr=False)
    picture: tuple[str, bytes] = field(repr=False)
    kind: str = "preview"
    settled: bool = False

    @property
    def job(self) -> Job:
        return self.result.job

    @property
    def pixels(self) -> np.ndarray:
        """uint8 [H, W, 3 or 4]."""
        return self.result.pixels[0]


def pack_canvas(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, 3] -> bytes; flat drawings shrink a hundredfold."""
    return zlib.compress(pixels.tobytes(), 1)


def unpack_canvas(data: bytes, side_px: int) -> np.ndarray:
    return np.frombuffer(zlib.decompress(data), np.uint8).reshape(side_px, side_px, 3)


class Strip:
    """A bounded list of frames. When full, the oldest frame from the middle of a movement goes first: those where the hand
    rested, and the newest few, stay longest."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.frames: list[Frame] = []
        self._next = 1

    def next_id(self) -> int:
        self._next += 1
        return self._next - 1

    def add(self, frame: Frame) -> tuple[int, ...]:
        """Append; returns the ids of the frames that had to go."""
        self.frames.append(frame)
        gone = []
        while len(self.frames) > self.capacity:
            gone.append(self.frames.pop(self._least_wanted()).id)
        return tuple(gone)

    def settle(self, frame_id: int) -> Frame:
        """Mark a frame as one where the hand rested."""
        at = self._index(frame_id)
        self.frames[at] = replace(self.frames[at], settled=True)
        return self.frames[at]

    def get(self, frame_id: int) -> Frame:
        return self.frames[self._index(frame_id)]

    def _least_wanted(self) -> int:
        old = self.frames[:-FRESH]
        return next((i for i, frame in enumerate(old) if not frame.settled), 0)

    def _index(self, frame_id: int) -> int:
        for i, frame in enumerate(self.frames):
            if frame.id == frame_id:
                return i
        raise BadInput("That frame is no longer in the strip.", "Choose one that is still shown.")
