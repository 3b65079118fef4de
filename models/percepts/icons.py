"""Icons from words: the writer of path tokens beside the bases.

It neither paints nor looks, but lives as percepts do: a small network with weights of its own, loaded when it is asked for and dropped
when its room is needed. `Engine.borrow` lends it to models/flows/icon.py. Trained by `python -m models.lab icons`.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from models import checkpoint
from models.devices import Device
from models.errors import BadInput
from models.nets.icons import KIND, IconWriter, Shape
from models.vector.pathtokens import END
from models.spec import PerceptSpec, WeightFile
from models.text import WIDTH, TextEncoder
from models.weights import locate
from models.vector.writing import Bounds, Manner, Written, write

SPECS = (PerceptSpec(id="icons", title="Icons from words", files=(WeightFile("vectors/icons.safetensors"),), bytes=103_745_320,
                     licence="Apache-2.0", sees="icons"),)
MAX_PHRASES = 12


class Icons:
    """The writer and the sentence encoder it was taught with, in fp32 on the CPU whatever the device: sampling one token after another
    waits for the launch of kernels on a card. `manners`: sets whose way of drawing can be asked for; the first, "any", is none."""

    def __init__(self, spec: PerceptSpec, net: IconWriter, manners: Sequence[str]) -> None:
        self.spec, self.net, self.manners = spec, net.float().eval().requires_grad_(False), tuple(manners)
        self.encoder = TextEncoder()
        self._known: dict[str, Tensor] = {}

    def vector(self, words: str) -> Tensor:
        """[384] of unit variance for words; several phrases with commas between them count alike. Raises BadInput for none."""
        phrases = [phrase.strip().lower() for phrase in re.split(r"[,;\n]+", words) if phrase.strip()][:MAX_PHRASES]
        if not phrases:
            raise BadInput("There are no words yet.", "Say what the icon shows.")
        new = [phrase for phrase in phrases if phrase not in self._known]
        if len(self._known) > 1000:
            self._known.clear()
            new = phrases
        self._known |= {phrase: said.pooled for phrase, said in zip(new, self.encoder.encode(new) if new else (), strict=True)}
        return self.between(*(self._known[phrase] for phrase in phrases))

    @staticmethod
    def between(*vectors: Tensor, weights: Sequence[float] = ()) -> Tensor:
        """The direction between vectors, of unit variance."""
        shares = torch.tensor(list(weights) or [1.0] * len(vectors))[:, None]
        return torch.nn.functional.normalize((torch.stack(vectors) * shares).sum(0), dim=0) * WIDTH ** 0.5

    def manner(self, name: str) -> int:
        if name not in self.manners:
            raise BadInput(f'There is no manner "{name[:40]}".', f"Known: {', '.join(self.manners)}.")
        return self.manners.index(name)

    def write(self, text: Tensor, given: Sequence[int], seeds: Sequence[int], manner: Manner = Manner(), ends_with: int = END,
              cancelled: Callable[[], bool] = lambda: False, bounds: Bounds = Bounds()) -> list[Written]:
        """See models.vector.writing.write."""
        return write(self.net, text, given, seeds, manner, ends_with, cancelled, bounds)

    def networks(self) -> Sequence[torch.nn.Module]:
        return ()                                    # stays in main memory

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.net.parameters()) + self.encoder.bytes_resident()


def load(spec: PerceptSpec, device: Device, cache_dir: Path | None = None) -> Icons:
    saved = checkpoint.load(locate(spec.files[0], cache_dir), KIND)
    net = IconWriter(Shape(**{key: value for key, value in saved.config.items() if key != "names"}))
    net.load_state_dict(saved.tensors)
    return Icons(spec, net, saved.config["names"])
