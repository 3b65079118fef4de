"""Painting inside the lab, from checkpoint files alone: for scores and contact sheets."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoint
from models.devices import mixed_precision, training_dtype
from models.lab.diffusion import TABLE, denoise, sample
from models.lab.export import AUTOENCODER, EMBEDDED
from models.lab.items import PHRASES
from models.lab.latents import TextTable
from models.nets.unet import Cond
from models.pixels import to_uint8
from models.sampling import noise, run, spaced_sigmas
from models.text import TextEncoder

TEACHER_GUIDANCE = 2.5


class Painter:
    """Teacher and student of a folder of checkpoints; `paint` has the signature that models.lab.evaluate asks for."""

    def __init__(self, folder: Path = EMBEDDED, device: str = "cpu") -> None:
        self.folder, self.device = folder, device
        self.encoder, self.decoder = (net.to(device, memory_format=torch.channels_last).eval()
                                      for net in checkpoint.load_autoencoder(folder / AUTOENCODER))
        self.text = TextEncoder(device, training_dtype(device))
        self._nets: dict[str, Any] = {}

    def net(self, who: str) -> Any:
        """The UNet of "teacher" or "student"."""
        if who not in self._nets:
            net, _ = checkpoint.load_unet(self.folder / f"{who}.safetensors")
            self._nets[who] = net.to(self.device, memory_format=torch.channels_last).eval()
        return self._nets[who]

    @torch.inference_mode()
    def paint(self, prompts: Sequence[str], styles: Sequence[str], seeds: Sequence[int], steps: int, who: str) -> np.ndarray:
        """uint8 [N, 256, 256, 3]; an empty style id adds no words."""
        texts = [f"{p}, {PHRASES[s]}" if s else p for p, s in zip(prompts, styles)]
        latents = self.latents(self.net(who), texts, seeds, steps, distilled=who == "student")
        return self.show(latents)

    def latents(self, net: Any, texts: Sequence[str], seeds: Sequence[int], steps: int, distilled: bool) -> Tensor:
        """[N, C, 16, 16]: the stochastic walk of a distilled student, or guided DDIM of a teacher."""
        table = TextTable.of(self.text.encode([*texts, ""]))
        states, mask, pooled = (t.to(self.device) for t in table.batch(np.arange(len(texts) + 1)))
        cond, empty = (states[:-1], mask[:-1], pooled[:-1]), (states[-1:], mask[-1:], pooled[-1:])
        if distilled:
            return self._walk(net, cond, seeds, steps)
        return sample(net, cond, empty, seeds, steps, TEACHER_GUIDANCE if steps > 1 else 1.0)

    def _walk(self, net: Any, cond: Cond, seeds: Sequence[int], steps: int) -> Tensor:
        shape = (net.config.in_channels, 16, 16)
        sigmas = spaced_sigmas(steps, TABLE)
        fresh = lambda i: noise(seeds, shape, stream=1 + i).to(self.device)
        with mixed_precision(self.device):
            return run(lambda x, sigma: denoise(net, x, sigma, cond), sigmas[0] * noise(seeds, shape).to(self.device), sigmas, fresh)

    def show(self, latents: Tensor) -> np.ndarray:
        """Latents -> uint8 [N, 256, 256, 3]."""
        with mixed_precision(self.device):
            return to_uint8(self.decoder(latents).float())

    @torch.inference_mode()
    def rebuild(self, pictures: np.ndarray) -> np.ndarray:
        """The autoencoder there and back, uint8 [N, 256, 256, 3]."""
        rgb = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().to(self.device) / 255
        return np.concatenate([self.show(self.encoder(part)) for part in rgb.split(32)])
