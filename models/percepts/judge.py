"""How near a picture is to words: judge A (models.nets.style_judge), trained by `python -m models.lab judge_towers`.

It looks at pictures and reads words, and draws: stroke drawings (models/flows/stroke_drawing.py) are pulled towards its opinion, so its
opinion of them is no score. `Engine.borrow` lends it.
"""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models import checkpoint
from models.devices import Device
from models.nets.style import eye_view
from models.nets.style_judge import KIND, SIDE_PX, Judge
from models.spec import PerceptSpec, WeightFile
from models.text import TextEncoder
from models.vector.strokes import Strokes
from models.vector.strokes_raster import Draft, Pull, style_samples
from models.weights import ASSETS, locate

FILE = WeightFile("percepts/judge.safetensors")
BYTES = 96_320_640
STYLE_VIEWS = (1.0, 0.8, 0.6)                        # sides of the middle of a style picture that are looked at


class PictureJudge:
    """The towers and the sentence encoder in fp32 on the CPU whatever the device: a look takes milliseconds there."""

    def __init__(self, spec: PerceptSpec, judge: Judge) -> None:
        self.spec, self.judge = spec, judge.float().eval().requires_grad_(False)
        self.encoder = TextEncoder()
        self._known: dict[str, Tensor] = {}

    def look(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1] -> unit vectors [B, 128]."""
        return torch.cat([self.judge.vector(eye_view(one[None].cpu(), SIDE_PX)) for one in rgb]).to(rgb.device)

    def read(self, texts: Sequence[str]) -> Tensor:
        """Words -> unit vectors [N, 128] on the same sphere."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known = {} if len(self._known) > 1000 else self._known
        self._known |= {text: said.pooled for text, said in zip(new, self.encoder.encode(new) if new else ())}
        return self.judge.text(torch.stack([self._known[text] for text in texts]))

    def begin(self, strokes: Strokes, words: str, avoid: Sequence[str], style: np.ndarray | None, style_weight: float, order: str,
              iterations: int, side_px: int, seed: int, held: np.ndarray | None = None) -> Draft:
        """A drawing that may be pulled towards words and the look of uint8 [H, W, 3]; `Draft.advance` pulls. held: the picture, uint8, that the
        strokes were laid over."""
        with torch.inference_mode(False), torch.no_grad():       # what gradients pass must not be made in inference mode
            towards = self.read([words])[0].clone() if words else None
            away = self.read(list(avoid)).clone() if avoid else None
            wanted = None if style is None else style_samples(self.judge, style_views(style), seed)
            picture = None if held is None else torch.from_numpy(np.ascontiguousarray(held)).permute(2, 0, 1).float() / 255
            return Draft(strokes, self.judge, Pull(towards, away, wanted, style_weight, order, picture), iterations, side_px, seed)

    def networks(self) -> Sequence[torch.nn.Module]:
        return ()                                    # stays in main memory

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.judge.parameters()) + self.encoder.bytes_resident()


def style_views(rgb: np.ndarray) -> list[Tensor]:
    """The middle of uint8 [H, W, 3] at several sizes, [3, 96, 96] each in [0, 1]."""
    whole = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255
    side, out = min(rgb.shape[:2]), []
    for share in STYLE_VIEWS:
        cut = max(1, round(side * share))
        top, left = (rgb.shape[0] - cut) // 2, (rgb.shape[1] - cut) // 2
        out.append(eye_view(whole[..., top:top + cut, left:left + cut], SIDE_PX)[0])
    return out


SPECS = (PerceptSpec(id="judge", title="Pictures and words", files=(FILE,), bytes=BYTES, licence="Apache-2.0", sees="words"),
         ) if (ASSETS / FILE.file).is_file() else ()


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> PictureJudge:
    saved = checkpoint.load(locate(spec.files[0], cache_dir), KIND)
    judge = Judge(**saved.config)
    judge.load_state_dict(saved.tensors)
    return PictureJudge(spec, judge)
