"""SANA and SANA-Sprint: a diffusers folder, or a hub id in the cache.

A linear-attention transformer over latents of 32x32 px cells (Xie et al. 2024); the states of a language model, Gemma 2, are its
words. SANA is a flow model that walks many steps with guidance; SANA-Sprint is the same network distilled to one to four steps in
TrigFlow, which takes the guidance as a number (Chen et al. 2025). Both answer the velocity noise - x0 at flow time t, so they share
all but their noise levels: see models.sampling. Nothing is downloaded by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.bases import _sana_source
from models.bases._sana_source import COMMON, FLOW, LATENT_PX, SPRINT, Parts
from models.bases._sd_base import MAX_PROMPT_CHARS_READ, resting
from models.contracts import Plan, merge_extra
from models.devices import Device
from models.job import Job
from models.sampling import TRAIN_STEPS, flow_time, sigma_of_angle, sigma_of_flow, x0_from_flow
from models.spec import SANA, BaseSpec, WeightFile

FIRST_TIME = 1 - 1 / TRAIN_STEPS  # the flow time a walk starts at before its shift; there is no finite sigma at 1
FIRST_ANGLE, SECOND_ANGLE = 1.5708, 1.3  # radians; a walk of two steps is better with a second one that is not half of the first
SPRINT_GUIDANCE = 4.5  # in the middle of the scales that SANA-Sprint was distilled with
MAX_TOKENS = 300  # of a prompt, its begin included
INSTRUCTION = "\n".join(
    [
        "Given a user prompt, generate an 'Enhanced prompt' that provides detailed visual descriptions suitable for image generation. "
        "Evaluate the level of detail in the user prompt:",
        "- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, and spatial relationships to create "
        "vivid and concrete scenes.",
        "- If the prompt is already detailed, refine and enhance the existing details slightly without overcomplicating.",
        "Here are examples of how to transform or refine prompts:",
        "- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round shape, sleeping peacefully on a warm "
        "sunny windowsill, surrounded by pots of blooming red flowers.",
        "- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, featuring glowing street lamps, a diverse "
        "crowd of people in colorful clothing, and a double-decker bus passing by towering glass skyscrapers.",
        "Please generate only the enhanced description for the prompt below and avoid including any additional commentary or evaluations:",
        "User Prompt: ",
    ]
)
"""What the checkpoints were trained to read before every prompt, word for word; its own states are left out (Xie et al. 2024, 2.3)."""
LICENCE = "NVIDIA License (NSCL v2-custom, non-commercial); its text encoder: Gemma Terms of Use"
SANA_PX = dict(native_px=(1024,))

SPECS = (
    BaseSpec(
        id="sana-sprint-0-6b",
        title="SANA-Sprint 0.6B",
        arch=SANA,
        files=(WeightFile("model_index.json", repo="Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers"),),
        bytes=14_080_000_000,
        licence=LICENCE,
        knows="Photographs and art in one to four steps, 1024 px; a language model reads the prompt.",
        **SANA_PX,
        **COMMON,
        **SPRINT,
    ),
    BaseSpec(
        id="sana-sprint-1-6b",
        title="SANA-Sprint 1.6B",
        arch=SANA,
        files=(WeightFile("model_index.json", repo="Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers"),),
        bytes=18_150_000_000,
        licence=LICENCE,
        knows="Photographs and art in one to four steps, 1024 px; larger than the 0.6B and closer to the words.",
        **SANA_PX,
        **COMMON,
        **SPRINT,
    ),
    BaseSpec(
        id="sana-600m",
        title="SANA 600M",
        arch=SANA,
        files=(WeightFile("model_index.json", repo="Efficient-Large-Model/Sana_600M_1024px_diffusers"),),
        bytes=14_070_000_000,
        licence=LICENCE,
        knows="Photographs and art, 1024 px, in about twenty steps; a language model reads the prompt.",
        **SANA_PX,
        **COMMON,
        **FLOW,
    ),
    BaseSpec(
        id="sana-1600m",
        title="SANA 1600M",
        arch=SANA,
        files=(WeightFile("model_index.json", repo="Efficient-Large-Model/Sana_1600M_1024px_diffusers"),),
        bytes=18_120_000_000,
        licence=LICENCE,
        knows="Photographs and art, 1024 px, in about twenty steps; larger than the 600M and closer to the words.",
        **SANA_PX,
        **COMMON,
        **FLOW,
    ),
)


def flow_sigmas(steps: int, shift: float, strength: float = 1.0) -> tuple[float, ...]:
    """`steps` noise levels evenly spaced in the flow time before its shift, from `strength` of the way up."""
    return tuple(sigma_of_flow(FIRST_TIME * strength * (1 - i / steps), shift) for i in range(steps))


def sprint_sigmas(steps: int, strength: float = 1.0) -> tuple[float, ...]:
    """`steps` noise levels evenly spaced in TrigFlow's angle, but (FIRST_ANGLE, SECOND_ANGLE) for two; angles are times `strength`."""
    angles = (FIRST_ANGLE, SECOND_ANGLE) if steps == 2 else tuple(FIRST_ANGLE * (1 - i / steps) for i in range(steps))
    return tuple(sigma_of_angle(strength * angle) for angle in angles)


@dataclass(frozen=True)
class Words:
    """`states` [tokens, text width] of one prompt, 1 to MAX_TOKENS of them; `truncated` when its end did not fit."""

    states: Tensor
    truncated: bool


class SanaCond(NamedTuple):
    """Words of a batch: `states` [B, most tokens, text width], `mask` [B, most tokens], 1 where there is a token; `guidance` [B], what
    the network is told of it, None where it takes none."""

    states: Tensor
    mask: Tensor
    guidance: Tensor | None


class SanaBase:
    """Transformer, autoencoder and Gemma 2. See models.contracts.Base for the shapes.

    What a job wants beside its words lies in its plan: which text is the negative one (it is read without the instruction), and, for
    SANA-Sprint, the guidance that the network is told. So the conditioning of a job is made after its plan, as the engine does.
    """

    latent_px = LATENT_PX

    def __init__(self, spec: BaseSpec, device: Device, parts: Parts) -> None:
        self.spec, self.device, self.dtype = spec, device.name, device.dtype
        self.network, self.vae, self.text_encoder = (
            resting(net, device.name) for net in (parts.transformer, parts.vae, parts.text_encoder)
        )
        self.vae.enable_slicing()
        self.tokenizer, self.sprint = parts.tokenizer, parts.sprint
        self.shift = parts.scheduler.get("flow_shift", parts.scheduler.get("shift", 1.0))
        self.latent_channels = spec.arch.latent_channels
        self.guidance, self.negative = SPRINT_GUIDANCE, ""
        self._read = lru_cache(maxsize=64)(self._read_anew)

    def plan(self, job: Job) -> Plan:
        strength = job.strength if job.image is not None else 1.0
        guidance = job.guidance if job.guidance is not None else SPRINT_GUIDANCE if self.sprint else self.spec.default_guidance
        self.guidance, self.negative = guidance, job.negative.strip()
        sigmas = sprint_sigmas(job.steps, strength) if self.sprint else flow_sigmas(job.steps, self.shift, strength)
        return Plan(sigmas if strength > 0 else (), stochastic=self.sprint, guidance=1.0 if self.sprint else guidance)

    def encode_prompt(self, text: str) -> Words:
        return self._read(text, self.sprint or text.strip() != self.negative)

    def _read_anew(self, text: str, instructed: bool) -> Words:
        """Padding is left out: it comes last and Gemma looks back only. Of an instruction the first state and the last are kept, as the
        checkpoints were trained."""
        said = text[:MAX_PROMPT_CHARS_READ].lower().strip()
        skipped = len(self._ids(INSTRUCTION)) - 2 if instructed else 0
        ids = self._ids(INSTRUCTION + said if instructed else said)
        most = skipped + MAX_TOKENS
        states = self.text_encoder(input_ids=torch.tensor([ids[:most]], device=self.device)).last_hidden_state[0]
        return Words(torch.cat([states[:1], states[1 + skipped:]]), len(ids) > most or len(text) > MAX_PROMPT_CHARS_READ)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, verbose=False).input_ids

    def forget_prompts(self) -> None:
        """Called by whatever changes the text encoder."""
        self._read.cache_clear()

    def batch_cond(self, conds: Sequence[Words]) -> SanaCond:
        states = pad_sequence([c.states for c in conds], batch_first=True)
        lengths = torch.tensor([len(c.states) for c in conds], device=self.device)
        mask = (torch.arange(states.shape[1], device=self.device) < lengths[:, None]).long()
        told = self.guidance * self.network.config.guidance_embeds_scale
        return SanaCond(states, mask, torch.full((len(conds),), told, device=self.device) if self.sprint else None)

    def encode(self, rgb: Tensor) -> Tensor:
        seen = (rgb * 2 - 1).to(self.vae.dtype)
        return self.vae.encode(seen, return_dict=False)[0].float() * self.vae.config.scaling_factor

    def inputs(self, x: Tensor, sigma: float, cond: SanaCond) -> dict[str, Any]:
        """SANA counts its time in thousandths unless its config scales it; SANA-Sprint is fed t as it is."""
        time = flow_time(sigma) * (1 if self.sprint else TRAIN_STEPS * self.network.config.timestep_scale)
        out = dict(
            hidden_states=(x / (1 + sigma)).to(self.dtype),
            timestep=torch.full((len(x),), time, device=self.device),
            encoder_hidden_states=cond.states.to(self.dtype),
            encoder_attention_mask=cond.mask,
        )
        return out | ({} if cond.guidance is None else {"guidance": cond.guidance})

    def denoise(self, x: Tensor, sigma: float, cond: SanaCond, extra: dict[str, Any]) -> Tensor:
        out = self.network(**merge_extra(self.inputs(x, sigma, cond), extra), return_dict=False)[0]
        return x0_from_flow(x, out[:, : self.latent_channels].float(), sigma)

    def decode(self, latents: Tensor) -> Tensor:
        scaled = (latents / self.vae.config.scaling_factor).to(self.vae.dtype)
        return (self.vae.decode(scaled, return_dict=False)[0].float() / 2 + 0.5).clamp(0, 1)

    def networks(self) -> tuple[nn.Module, ...]:
        return self.network, self.vae, self.text_encoder

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for net in self.networks() for t in (*net.parameters(), *net.buffers()))


def recognise(source: str) -> BaseSpec | None:
    """The spec of a folder or a hub id; None when it is another kind of model. Raises StudioError when broken."""
    return _sana_source.recognise(source, SPECS)


def load(spec: BaseSpec, device: Device, cache_dir: Path | None = None) -> SanaBase:
    """Read the weights where they lie; a hub model only from the cache."""
    return SanaBase(spec, device, _sana_source.load_parts(spec, device, cache_dir))
