"""The embedded base: this project's own small text-to-image model for illustrations, shipped in assets/.

Two entries share the code: the one-step student that the studio opens with, and its many-step teacher, which is slower and
takes a negative prompt through classifier-free guidance.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import checkpoint
from models.contracts import Plan, merge_extra
from models.devices import Device
from models.job import Job
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder
from models.nets.prepack import packed_bytes, prepack
from models.nets.unet import Cond, inputs_of
from models.sampling import spaced_sigmas, time_of_sigma, vp_scales, vp_sigmas
from models.spec import EMBEDDED, EMBEDDED_STYLES, BaseSpec, WeightFile
from models.text import TextEncoder, TextStates
from models.weights import header, locate

DECODER = WeightFile("embedded/decoder.safetensors")
_COMMON: dict[str, Any] = dict(arch=EMBEDDED, bytes=253_000_000, native_px=(256,), multiple_px=16, min_px=64, max_px=512, inpainting=True,
                               styles=EMBEDDED_STYLES, licence="Apache-2.0",
                               knows="Emoji-like illustrations of animals, food, things, vehicles, faces and simple scenes.")
SPECS = (
    BaseSpec(id="embedded", title="Onestroke embedded (one step)", files=(WeightFile("embedded/student.safetensors"), DECODER), **_COMMON),
    BaseSpec(id="embedded-teacher", title="Onestroke embedded (teacher, slower)", files=(WeightFile("embedded/teacher.safetensors"), DECODER),
             min_steps=1, max_steps=60, default_steps=20, default_guidance=2.5, negative_prompt=True, **_COMMON))
TABLE = vp_sigmas()


class EmbeddedBase:
    """UNet, patch autoencoder and text encoder. See models.contracts.Base for the shapes."""
    latent_channels, latent_px = 32, 16

    def __init__(self, spec: BaseSpec, device: Device, network: Any, encoder: PatchEncoder, decoder: PatchDecoder, text: TextEncoder) -> None:
        self.spec, self.device, self.dtype = spec, device.name, device.dtype
        layout = torch.channels_last if device.channels_last else torch.contiguous_format
        self.network = network.to(device.name, device.dtype, memory_format=layout).eval().requires_grad_(False)
        self.encoder = encoder.to(device.name).eval()
        self.decoder = decoder.to(device.name, device.dtype, memory_format=layout).eval().requires_grad_(False)
        if device.packs_weights:
            prepack(self.network), prepack(self.decoder)
        self.text = text
        self.encode_prompt = lru_cache(maxsize=512)(self._encode_prompt)

    @property
    def distilled(self) -> bool:
        return not self.spec.negative_prompt

    def plan(self, job: Job) -> Plan:
        strength = job.strength if job.image is not None else 1.0
        guidance = job.guidance if job.guidance is not None else self.spec.default_guidance
        sigmas = spaced_sigmas(job.steps, TABLE, strength) if strength > 0 else ()
        return Plan(sigmas, stochastic=self.distilled, guidance=1.0 if self.distilled else guidance)

    def _encode_prompt(self, text: str) -> TextStates:
        return self.text.encode([text])[0]

    def forget_prompts(self) -> None:
        """Called by whatever changes how text is read."""
        self.encode_prompt.cache_clear()

    def batch_cond(self, conds: Sequence[TextStates]) -> Cond:
        longest = max(len(c.states) for c in conds)
        states = torch.stack([torch.nn.functional.pad(c.states, (0, 0, 0, longest - len(c.states))) for c in conds]).to(self.dtype)
        pooled = torch.stack([c.pooled for c in conds]).to(self.dtype)
        same = all(len(c.states) == longest for c in conds)
        mask = None if same else torch.stack([torch.arange(longest, device=self.device) < len(c.states) for c in conds])
        return states, mask, pooled

    def encode(self, rgb: Tensor) -> Tensor:
        return self.encoder(rgb.float())

    def inputs(self, x: Tensor, sigma: float, cond: Cond) -> dict[str, Any]:
        alpha, _ = vp_scales(sigma)
        x_vp = (alpha * x).to(self.dtype, memory_format=torch.channels_last)
        return inputs_of(x_vp, torch.tensor([time_of_sigma(sigma, TABLE)], device=self.device), cond)

    def denoise(self, x: Tensor, sigma: float, cond: Cond, extra: dict[str, Any]) -> Tensor:
        return self.network(**merge_extra(self.inputs(x, sigma, cond), extra), return_dict=False)[0].float()

    def x0_of(self, out: Tensor, x: Tensor, sigma: float) -> Tensor:
        """What the network's answer `out` at x says of x0: it is x0."""
        return out

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(latents.to(self.dtype)).float().clamp(0, 1)

    def networks(self) -> tuple[Any, ...]:
        return self.network, self.encoder, self.decoder, self.text.net

    def bytes_resident(self) -> int:
        weights = sum(t.numel() * t.element_size() for m in self.networks() for t in (*m.parameters(), *m.buffers()))
        return weights + packed_bytes(self.network) + packed_bytes(self.decoder)


def recognise(source: str) -> BaseSpec | None:
    """A network that the lab exported elsewhere, with its decoder.safetensors beside it; None for any other file."""
    path = Path(source).expanduser().absolute()
    meta = header(path).get("__metadata__", {}) if path.is_file() else {}
    if meta.get("onestroke.kind") != "onestroke.unet":
        return None
    shipped = SPECS[0] if "student" in meta.get("modelspec.title", "") else SPECS[1]
    files = tuple(WeightFile(str(file)) for file in (path, path.with_name("decoder.safetensors")))
    return replace(shipped, id=path.stem.lower(), title=f"{meta['modelspec.title']} ({path.name})", files=files)


def load(spec: BaseSpec, device: Device, cache_dir: Path | None = None) -> EmbeddedBase:
    """Read the weights from assets/ and build the base."""
    paths = [locate(file, cache_dir) for file in spec.files]
    network, _ = checkpoint.load_unet(paths[0])
    return EmbeddedBase(spec, device, network, *checkpoint.load_autoencoder(paths[1]), TextEncoder(device.name, device.dtype))
