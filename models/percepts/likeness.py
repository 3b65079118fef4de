"""What line drawings look like, as a direction: a doodle and the pictures it may mean lie near each other.

Trained by `python -m models.lab retrieval` (models.nets.doodle says after whom). Beside the weights in assets/percepts lies a small
index of pictures that the embedded base painted, so that a sketch finds something before a user has kept anything.
"""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file
from torch import Tensor

from models import checkpoint
from models.devices import Device
from models.errors import MissingWeights
from models.job import Job
from models.lines import edges
from models.nets.doodle import KIND, Tower, raster, stacked
from models.pixels import to_uint8
from models.spec import PerceptSpec, WeightFile
from models.weights import ASSETS, locate, sha256

SPECS = (PerceptSpec(id="likeness", title="Likeness of drawings", files=(WeightFile("percepts/likeness.safetensors"),), bytes=2_565_632,
                     licence="Apache-2.0", sees="likeness"),)
SEEN_PX = 256                                        # the longer side at which lines are looked for, as in training
REBUILD = "Build it again with: python -m models.lab bundle."


@dataclass(frozen=True, eq=False)
class Bundle:
    """Pictures that ship as jobs. vectors: float32 [N, D]; thumbs: uint8 [S, S, 3] each."""
    jobs: tuple[Job, ...]
    vectors: np.ndarray
    thumbs: tuple[np.ndarray, ...]


class Likeness:
    """The tower in fp32, on the CPU whatever the device: one look takes two milliseconds there."""

    def __init__(self, spec: PerceptSpec, tower: Tower) -> None:
        self.spec, self.tower = spec, tower.float().eval().requires_grad_(False)

    def look(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> unit vectors [B, 64], by the edges in it."""
        return torch.from_numpy(self.embed([lines_of_picture(picture) for picture in to_uint8(rgb)])).to(rgb.device)

    @torch.inference_mode()
    def embed(self, rasters: Sequence[np.ndarray]) -> np.ndarray:
        """Rasters of lines (models.nets.doodle.raster) -> unit vectors, float32 [N, 64]."""
        return self.tower(stacked(rasters)).numpy()

    def networks(self) -> Sequence[torch.nn.Module]:
        return ()                                    # stays in main memory

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.tower.parameters())


def lines_of_picture(rgb: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> the raster of its edges, float32 [64, 64]; all 0 where there are none."""
    scale = SEEN_PX / max(rgb.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in rgb.shape[1::-1])
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return raster(edges(small))


def read_bundle(folder: Path = ASSETS / "percepts") -> Bundle:
    """The index that ships. Raises MissingWeights when it is not whole, or was made by other weights than those beside it."""
    try:
        told = json.loads((folder / "bundled.json").read_text(encoding="utf-8"))
        vectors = load_file(folder / "bundled.safetensors")["vectors"].astype(np.float32)
        sheet = np.asarray(Image.open(folder / "bundled.webp").convert("RGB"))
        jobs = tuple(Job.from_dict(job) for job in told["jobs"])
        made_by, side, columns = told["likeness_sha256"], int(told["thumb_px"]), int(told["columns"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingWeights("The index of bundled pictures is not whole.", REBUILD) from error
    if made_by != sha256(folder / "likeness.safetensors") or len(vectors) != len(jobs):
        raise MissingWeights("The index of bundled pictures was made by other weights.", REBUILD)
    corner = lambda i: (i // columns * side, i % columns * side)
    return Bundle(jobs, vectors, tuple(sheet[y:y + side, x:x + side] for y, x in map(corner, range(len(jobs)))))


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> Likeness:
    saved = checkpoint.load(locate(spec.files[0], cache_dir), KIND)
    tower = Tower(**saved.config)
    tower.load_state_dict(saved.tensors)
    return Likeness(spec, tower)
