"""Stable Diffusion 1.x and 2.x, SD-Turbo among them: a diffusers folder, a single-file checkpoint or a hub id in the cache.

Nothing is downloaded by itself. The noise levels come from the checkpoint's own scheduler; whether its network predicts epsilon,
v or the sample stays in `denoise` (Rombach et al. 2022; Sauer et al. 2023 for the turbo kind).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.bases._sd_layout import CLIP, OPEN_CLIP, UNET, VAE, elements, layout_of, missing_parts, shapes_of
from models.bases._sd_parts import STEM, files_of, from_folder, from_single_file, weight_file
from models.contracts import Plan, merge_extra
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import Job
from models.sampling import spaced_sigmas, time_of_sigma, vp_scales, x0_from_epsilon, x0_from_v
from models.spec import SD1, SD2, Arch, BaseSpec, WeightFile
from models.weights import header

FP32_BYTES = 4
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
MAX_PROMPT_CHARS_READ = 4000  # far more than 77 tokens; spares the tokenizer a novel
DISTILLED_NAMES = ("turbo", "lightning", "hyper", "lcm")
NEEDED = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "tokenizer/tokenizer_config.json",
)
DOWNLOAD = 'hf download {} --include "*.json" "*.txt" "unet/*.fp16.*" "vae/*.fp16.*" "text_encoder/*.fp16.*"'
_COMMON: dict[str, Any] = dict(native_px=(512,), multiple_px=8, min_px=64, max_px=2048, inpainting=True)
_MANY_STEPS: dict[str, Any] = dict(max_steps=60, default_steps=20, default_guidance=7.5, negative_prompt=True)

SPECS = (
    BaseSpec(
        id="sd-turbo",
        title="SD-Turbo",
        arch=SD2,
        files=(WeightFile("model_index.json", repo="stabilityai/sd-turbo"),),
        bytes=5_160_000_000,
        licence="Stability AI Community",
        knows="Photographs and art in one step, 512 px.",
        **_COMMON,
    ),
    BaseSpec(
        id="sd15",
        title="Stable Diffusion 1.5",
        arch=SD1,
        bytes=4_270_000_000,
        licence="CreativeML Open RAIL-M",
        files=(WeightFile("model_index.json", repo="stable-diffusion-v1-5/stable-diffusion-v1-5"),),
        knows="Photographs and art, 512 px; the base most LoRAs are made for.",
        **_COMMON,
        **_MANY_STEPS,
    ),
)


def recognise(source: str) -> BaseSpec | None:
    """The spec of a folder, a single file or a hub id; None when it is another kind of model. Raises StudioError when broken."""
    path = Path(source).expanduser().absolute()
    if path.is_dir():
        return _folder_spec(path, path.name)
    if path.is_file():
        return _file_spec(path)
    if known := next((spec for spec in SPECS if spec.files[0].repo == source), None):
        return known
    if HUB_ID.fullmatch(source) and path.suffix not in (".safetensors", ".ckpt", ".pt"):
        return _hub_spec(source)
    if "/" in source or path.suffix == ".safetensors":
        raise BadInput(f"There is no file or folder {source}.", "Check the path.")
    return None


def _hub_spec(repo: str) -> BaseSpec | None:
    folder = _snapshot(repo, None)
    if folder is None:
        raise MissingWeights(
            f'"{repo}" is not on this machine (such models take 2 to 5 GB).', f"Download it with: hf download {repo}"
        )
    spec = _folder_spec(folder, repo.rpartition("/")[2])
    return spec and replace(spec, files=(WeightFile("model_index.json", repo=repo),))


def _snapshot(repo: str, cache_dir: Path | None) -> Path | None:
    """The folder of a repository in `cache_dir` or in the hub's own cache."""
    from huggingface_hub import try_to_load_from_cache

    for place in dict.fromkeys((cache_dir, None)):
        found = try_to_load_from_cache(repo, "model_index.json", cache_dir=place)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _folder_spec(folder: Path, name: str) -> BaseSpec | None:
    if not (folder / "model_index.json").exists():
        raise BadInput(
            f"{folder} is no diffusers folder: it has no model_index.json.",
            "Give the folder that holds model_index.json, unet/ and vae/.",
        )
    if not str(_json(folder / "model_index.json").get("_class_name", "")).startswith("StableDiffusionPipeline"):
        return None
    weights = _check_folder(folder)
    unet = _json(folder / "unet" / "config.json")
    arch = _arch("sd2" if unet.get("use_linear_projection") else "sd1", unet, name)
    files = tuple(WeightFile(str(p), p.stat().st_size) for p in weights)
    count = sum(elements(shapes_of(header(p))) for p in weights)
    return _spec(name, arch, (WeightFile(str(folder / "model_index.json")), *files), count, unet.get("sample_size") or 64)


def _check_folder(folder: Path) -> list[Path]:
    """The weight files of a complete folder."""
    found = {part: weight_file(folder, part)[0] for part in STEM}
    lost = [name for name in NEEDED if not (folder / name).exists()]
    lost += [f"{part}/{STEM[part]}.safetensors" for part, path in found.items() if path is None]
    pickles = [p for part in STEM for p in folder.glob(f"{part}/*.bin")]
    if pickles and None in found.values():
        raise BadInput(
            f"{folder.name} holds pickles ({pickles[0].name}), which can run code when opened.",
            "Get the model in safetensors form.",
        )
    if lost:
        raise MissingWeights(
            f"The diffusers folder {folder.name} is incomplete: {', '.join(lost)} is missing.", "Download or copy it again."
        )
    files = [file for path in found.values() if path for file in files_of(path)]
    if gone := [file.name for file in files if not file.exists()]:
        raise MissingWeights(f"The diffusers folder {folder.name} lacks {', '.join(gone)}.", "Download or copy it again.")
    return files


def _file_spec(path: Path) -> BaseSpec | None:
    head = header(path)
    shapes = shapes_of(head)
    if not any(name.startswith(UNET) for name in shapes) or any(name.startswith("conditioner.") for name in shapes):
        return None
    if lost := missing_parts(shapes):
        raise MissingWeights(
            f"{path.name} lacks its {' and its '.join(lost)}.", "Get the full checkpoint, which holds all three networks."
        )
    layout = layout_of(shapes)
    arch = _arch(layout.family, layout.unet, path.name)
    size = WeightFile(str(path), path.stat().st_size)
    return _spec(path.stem, arch, (size,), elements(shapes, (UNET, VAE, CLIP, OPEN_CLIP)), layout.unet["sample_size"])


def _arch(family: str, unet: dict[str, Any], name: str) -> Arch:
    if unet.get("in_channels") != unet.get("out_channels"):
        raise Incompatible(
            f"{name} takes {unet['in_channels']} channels: it is an inpainting or editing model.",
            "Use the plain model; masks work with it.",
        )
    if unet.get("time_cond_proj_dim"):
        raise Incompatible(f"{name} takes guidance as an input, as latent consistency models do.", "Use the plain model.")
    return Arch(family, unet["cross_attention_dim"], unet["in_channels"])


def _spec(name: str, arch: Arch, files: tuple[WeightFile, ...], count: int, sample_size: int) -> BaseSpec:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    steps = {} if any(word in slug for word in DISTILLED_NAMES) else _MANY_STEPS
    return BaseSpec(
        id=slug,
        title=name,
        arch=arch,
        files=files,
        bytes=count * FP32_BYTES,
        **_COMMON | {"native_px": (sample_size * 8,)},
        **steps,
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(f"{path.parent.name}/{path.name} is not readable JSON.", "Download or copy the folder again.") from None


@dataclass(frozen=True)
class Words:
    """`states` [77, text width] of one prompt; `truncated` when its end did not fit."""

    states: Tensor
    truncated: bool


class SdUnetBase:
    """UNet, VAE and CLIP. See models.contracts.Base for the shapes."""

    latent_px = 8

    def __init__(self, spec: BaseSpec, device: Device, parts: Any) -> None:
        self.spec, self.device, self.dtype = spec, device.name, device.dtype
        self.layout = torch.channels_last if device.channels_last else torch.contiguous_format
        self.network = parts.unet.to(device.name, memory_format=self.layout).eval().requires_grad_(False)
        self.vae = parts.vae.to(device.name, memory_format=self.layout).eval().requires_grad_(False)
        self.vae.enable_slicing()
        self.text_encoder = parts.text_encoder.to(device.name).eval().requires_grad_(False)
        self.tokenizer, self.sigmas, self.prediction = parts.tokenizer, parts.sigmas, parts.prediction
        self.latent_channels = spec.arch.latent_channels
        self.encode_prompt = lru_cache(maxsize=128)(self._encode_prompt)

    def plan(self, job: Job) -> Plan:
        distilled = not self.spec.negative_prompt
        strength = job.strength if job.image is not None else 1.0
        guidance = job.guidance if job.guidance is not None else self.spec.default_guidance
        sigmas = spaced_sigmas(job.steps, self.sigmas, strength) if strength > 0 else ()
        return Plan(sigmas, stochastic=distilled, guidance=1.0 if distilled else guidance)

    def _encode_prompt(self, text: str) -> Words:
        limit = self.text_encoder.config.max_position_embeddings
        ids = self.tokenizer(text[:MAX_PROMPT_CHARS_READ], verbose=False).input_ids
        truncated = len(ids) > limit or len(text) > MAX_PROMPT_CHARS_READ
        ids = [*ids[: limit - 1], self.tokenizer.eos_token_id] if len(ids) > limit else ids
        ids = ids + [self.tokenizer.pad_token_id] * (limit - len(ids))
        states = self.text_encoder(input_ids=torch.tensor([ids], device=self.device)).last_hidden_state[0]
        return Words(states, truncated)

    def forget_prompts(self) -> None:
        """Called by whatever changes the text encoder."""
        self.encode_prompt.cache_clear()

    def batch_cond(self, conds: Sequence[Words]) -> Tensor:
        return torch.stack([c.states for c in conds])

    def encode(self, rgb: Tensor) -> Tensor:
        seen = (rgb * 2 - 1).to(self.dtype, memory_format=self.layout)
        return self.vae.encode(seen).latent_dist.mode().float() * self.vae.config.scaling_factor

    def inputs(self, x: Tensor, sigma: float, cond: Tensor) -> dict[str, Any]:
        alpha, _ = vp_scales(sigma)
        x_vp = (alpha * x).to(self.dtype, memory_format=self.layout)
        time = torch.tensor(time_of_sigma(sigma, self.sigmas), device=self.device)
        return dict(sample=x_vp, timestep=time, encoder_hidden_states=cond)

    def denoise(self, x: Tensor, sigma: float, cond: Tensor, extra: dict[str, Any]) -> Tensor:
        alpha, _ = vp_scales(sigma)
        out = self.network(**merge_extra(self.inputs(x, sigma, cond), extra), return_dict=False)[0].float()
        if self.prediction == "v_prediction":
            return x0_from_v(alpha * x, out, sigma)
        return out if self.prediction == "sample" else x0_from_epsilon(x, out, sigma)

    def decode(self, latents: Tensor) -> Tensor:
        scaled = (latents / self.vae.config.scaling_factor).to(self.dtype, memory_format=self.layout)
        return (self.vae.decode(scaled, return_dict=False)[0].float() / 2 + 0.5).clamp(0, 1)

    def networks(self) -> tuple[Any, ...]:
        return self.network, self.vae, self.text_encoder

    def bytes_resident(self) -> int:
        own = self.networks()
        return sum(t.numel() * t.element_size() for net in own for t in (*net.parameters(), *net.buffers()))


def load(spec: BaseSpec, device: Device, cache_dir: Path | None = None) -> SdUnetBase:
    """Read the weights where they lie; a hub model only from the cache."""
    first = spec.files[0]
    path = Path(first.file)
    if first.repo:
        folder = _snapshot(first.repo, cache_dir)
        if folder is None:
            raise MissingWeights(
                f'"{first.repo}" is not on this machine (about {spec.bytes / 2e9:.1f} GB to download).',
                f"Get it with: {DOWNLOAD.format(first.repo)}",
            )
        path = folder / first.file
    if not path.exists():
        raise MissingWeights(f"{path} is not there any more.", "Put it back, or choose another base.")
    if path.name != "model_index.json":
        return SdUnetBase(spec, device, from_single_file(path, device))
    _check_folder(path.parent)
    return SdUnetBase(spec, device, from_folder(path.parent, device))
