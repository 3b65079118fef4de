"""The networks of rembg (github.com/danielgatis/rembg), U2-Net (Qin et al. 2020) and IS-Net (Qin et al. 2022), as onnx files.

rembg itself is not imported: its import compiles half a matting library, and all that is needed of it is which file wants its
pictures in which size and range. A file is found in `matting/` or `annotators/` of the user's models folder, or where rembg keeps its
own, and is downloaded only on demand: python3 launch.py models add rembg/NAME.onnx --download.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.devices import Device, threads
from models.errors import BadInput, MissingWeights
from models.releases import RELEASES, home
from models.spec import PerceptSpec, WeightFile, slug

MEAN = (0.485, 0.456, 0.406)
IMAGENET, WIDE = (0.229, 0.224, 0.225), (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Trained:
    """How a file wants its pictures: side_px a side, divided by `deviation`."""
    title: str
    side_px: int = 320
    deviation: tuple[float, float, float] = IMAGENET


TRAINED = {"isnet-general-use.onnx": Trained("IS-Net, anything (rembg)", 1024, WIDE), "u2net.onnx": Trained("U2-Net, anything (rembg)"),
           "silueta.onnx": Trained("Silueta, a smaller U2-Net (rembg)"), "u2netp.onnx": Trained("U2-Net, the small one (rembg)"),
           "u2net_human_seg.onnx": Trained("U2-Net, people (rembg)"), "isnet-anime.onnx": Trained("IS-Net, anime figures (rembg)", 1024, WIDE)}
SPECS = tuple(PerceptSpec(id=slug(Path(one.file).stem), title=TRAINED[one.file].title, files=(WeightFile(one.file, repo=one.source),),
                          bytes=one.bytes, licence="Apache-2.0", sees="alpha") for one in RELEASES.values())


def elsewhere(file: WeightFile) -> Path | None:
    """The file in rembg's own folder, when it is there."""
    path = home() / file.file
    return path if path.is_file() else None


class Session:
    """One onnx file at work. It answers once for the whole picture; hints are not its business."""

    def __init__(self, spec: PerceptSpec, session: Any, made_for: Trained, size_bytes: int) -> None:
        self.spec, self.session, self.made_for, self.size_bytes = spec, session, made_for, size_bytes
        self.input = session.get_inputs()[0]

    @torch.inference_mode()
    def look(self, rgb: Tensor, hints: Tensor | None = None) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> alpha [B, 1, H, W] in [0, 1], stretched so that each picture reaches both ends."""
        fixed = [side if isinstance(side, int) else self.made_for.side_px for side in self.input.shape[-2:]]
        small = F.interpolate(rgb.float().cpu(), fixed, mode="bilinear", antialias=True, align_corners=False)
        small = small / small.amax((1, 2, 3), keepdim=True).clamp_min(1e-6)
        as_trained = lambda values: torch.tensor(values)[:, None, None]
        small = (small - as_trained(MEAN)) / as_trained(self.made_for.deviation)
        seen = torch.from_numpy(np.concatenate([self.session.run(None, {self.input.name: one[None].numpy()})[0][:, :1] for one in small]))
        low, high = seen.amin((1, 2, 3), keepdim=True), seen.amax((1, 2, 3), keepdim=True)
        alpha = (seen - low) / (high - low).clamp_min(1e-6)
        return F.interpolate(alpha, rgb.shape[-2:], mode="bicubic", align_corners=False).clamp(0, 1).to(rgb.device)

    def networks(self) -> Sequence[torch.nn.Module]:
        return ()                                    # stays where onnxruntime put it

    def bytes_resident(self) -> int:
        return self.size_bytes


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> Session:
    """`spec.files` names a file that is there (Catalog.percept looks for it). Raises MissingWeights with the cure, or BadInput."""
    path, cure = Path(spec.files[0].file), RELEASES[f"rembg/{Path(spec.files[0].file).name}"].cure
    if not path.is_absolute() or not path.is_file():
        raise MissingWeights(f'"{spec.title}" has no weights here: {path.name} is not there.', cure)
    try:
        session = _opened(path, device)
    except Exception as error:                       # whatever the reader stumbles over is the file's fault
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInput(f"{path.name} cannot be read: {said[0][:120]}.", f"Delete it. {cure}") from None
    return Session(spec, session, TRAINED[path.name], path.stat().st_size)


def _opened(path: Path, device: Device) -> Any:
    """An onnxruntime session of one picture in. It takes no more threads than everything else here."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 3
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if device.name == "cuda" else ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(str(path), options, [p for p in wanted if p in onnxruntime.get_available_providers()])
    if len(session.get_inputs()) != 1 or len(session.get_inputs()[0].shape) != 4:
        raise ValueError("it takes something else than one picture")
    return session
