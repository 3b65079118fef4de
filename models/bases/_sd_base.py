"""What every base of the Stable Diffusion kind does alike; how it reads words is left to the bases themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from models.bases._sd_parts import Parts
from models.contracts import Plan, merge_extra
from models.devices import Device
from models.job import Job
from models.sampling import spaced_sigmas, time_of_sigma, vp_scales, x0_from_epsilon, x0_from_v
from models.spec import BaseSpec

GREY = 0.5  # of what a network for inpainting does not know
MAX_PROMPT_CHARS_READ = 4000  # far more than 77 tokens; spares the tokenizer a novel


class SdBase:
    """UNet, VAE and text encoders. See models.contracts.Base for the shapes."""

    latent_px = 8

    def __init__(self, spec: BaseSpec, device: Device, parts: Parts) -> None:
        self.spec, self.device, self.dtype = spec, device.name, device.dtype
        self.layout = torch.channels_last if device.channels_last else torch.contiguous_format
        self.network = parts.unet.to(device.name, memory_format=self.layout).eval().requires_grad_(False)
        self.vae = parts.vae.to(device.name, memory_format=self.layout).eval().requires_grad_(False)
        self.vae.enable_slicing()
        self.sigmas, self.prediction = parts.sigmas, parts.prediction
        self.latent_channels = spec.arch.latent_channels
        self.beside: Tensor | None = None
        self.encode_prompt = lru_cache(maxsize=128)(self._encode_prompt)

    def plan(self, job: Job) -> Plan:
        distilled = not self.spec.negative_prompt
        strength = job.strength if job.image is not None else 1.0
        guidance = job.guidance if job.guidance is not None else self.spec.default_guidance
        sigmas = spaced_sigmas(job.steps, self.sigmas, strength) if strength > 0 else ()
        return Plan(sigmas, stochastic=distilled, guidance=1.0 if distilled else guidance)

    def _encode_prompt(self, text: str) -> Any:
        raise NotImplementedError("A base says how it reads words.")

    def batch_cond(self, conds: Sequence[Any]) -> Any:
        raise NotImplementedError("A base says what its words become.")

    def forget_prompts(self) -> None:
        """Called by whatever changes a text encoder."""
        self.encode_prompt.cache_clear()

    def encode(self, rgb: Tensor) -> Tensor:
        seen = (rgb * 2 - 1).to(self.vae.dtype, memory_format=self.layout)
        return self.vae.encode(seen).latent_dist.mode().float() * self.vae.config.scaling_factor

    def inputs(self, x: Tensor, sigma: float, cond: Any) -> dict[str, Any]:
        alpha, _ = vp_scales(sigma)
        x_vp = (alpha * x).to(self.dtype, memory_format=self.layout)
        if self.for_holes:
            x_vp = torch.cat([x_vp, self._hole(x).to(x_vp)], 1)
        time = torch.tensor(time_of_sigma(sigma, self.sigmas), device=self.device)
        return dict(sample=x_vp, timestep=time, encoder_hidden_states=cond)

    def denoise(self, x: Tensor, sigma: float, cond: Any, extra: dict[str, Any]) -> Tensor:
        return self.x0_of(self.network(**merge_extra(self.inputs(x, sigma, cond), extra), return_dict=False)[0].float(), x, sigma)

    def x0_of(self, out: Tensor, x: Tensor, sigma: float) -> Tensor:
        """What the network's answer `out` at x says of x0."""
        alpha, _ = vp_scales(sigma)
        if self.prediction == "v_prediction":
            return x0_from_v(alpha * x, out, sigma)
        return out if self.prediction == "sample" else x0_from_epsilon(x, out, sigma)

    @property
    def for_holes(self) -> bool:
        """Whether the network is one for inpainting, which is also given the mask and the latents of what is known."""
        return self.network.config.in_channels == 2 * self.latent_channels + 1

    def show(self, rgb: Tensor | None, mask: Tensor | None) -> None:
        """Called by the engine before each walk: the given picture [1, 3, H, W] in [0, 1] and what of it may change [1, 1, H, W], 1 = yes;
        None = all of it. Only networks for inpainting look at it (Rombach et al. 2022, section 4.5)."""
        self.beside = None
        if self.for_holes and rgb is not None:
            known = self.encode(rgb * (1 - mask) + GREY * mask)
            self.beside = torch.cat([torch.nn.functional.interpolate(mask.float(), known.shape[-2:]), known], 1)

    def _hole(self, x: Tensor) -> Tensor:
        """[B, 1 + C, h, w]: the mask and the masked latents for a batch x [B, C, h, w]."""
        if self.beside is None or self.beside.shape[-2:] != x.shape[-2:]:
            height, width = (side * self.latent_px for side in x.shape[-2:])
            self.show(torch.full((1, 3, height, width), GREY, device=x.device), torch.ones(1, 1, height, width, device=x.device))
        return self.beside.expand(len(x), -1, -1, -1)

    def decode(self, latents: Tensor) -> Tensor:
        scaled = (latents / self.vae.config.scaling_factor).to(self.vae.dtype, memory_format=self.layout)
        return (self.vae.decode(scaled, return_dict=False)[0].float() / 2 + 0.5).clamp(0, 1)

    def networks(self) -> tuple[nn.Module, ...]:
        """All its modules: what is an attribute and a network."""
        return tuple(thing for thing in vars(self).values() if isinstance(thing, nn.Module))

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for net in self.networks() for t in (*net.parameters(), *net.buffers()))


def resting(encoder: nn.Module, device: str) -> nn.Module:
    """A text encoder where it works, for inference only."""
    return encoder.to(device).eval().requires_grad_(False)


def token_ids(text: str, tokenizer: Any, limit: int, device: str) -> tuple[Tensor, bool]:
    """(ids [1, limit], whether the end of `text` did not fit)."""
    ids = tokenizer(text[:MAX_PROMPT_CHARS_READ], verbose=False).input_ids
    truncated = len(ids) > limit or len(text) > MAX_PROMPT_CHARS_READ
    ids = [*ids[: limit - 1], tokenizer.eos_token_id] if len(ids) > limit else ids
    ids = ids + [tokenizer.pad_token_id] * (limit - len(ids))
    return torch.tensor([ids], device=device), truncated
