"""The embedded base inside an ordinary diffusers StableDiffusionPipeline: what our engine is measured against.

Nothing is tuned: the prompt is encoded at every call, the scheduler is diffusers' DDIM, the pipeline runs in the given dtype.
The two wrappers only translate names, so that the pipeline sees the UNet and the autoencoder it expects.
"""
from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from models.bases.embedded import EmbeddedBase, load
from models.contracts import Base
from models.devices import Device
from models.engine import Engine
from models.job import Job
from models.spec import AdapterSpec, styled
from models.weights import locate


class _Unet(nn.Module):
    """Adds the sentence embedding that StableDiffusionPipeline has no argument for."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet, self.pooled = unet, None
        self.config, self.dtype, self.device = unet.config, unet.dtype, unet.device

    def forward(self, sample: Tensor, timestep: Any, **kwargs: Any) -> Any:
        wanted = ("encoder_hidden_states", "cross_attention_kwargs", "return_dict")
        return self.unet(sample, timestep, class_labels=self.pooled, **{k: kwargs[k] for k in wanted if k in kwargs})


class _Autoencoder(nn.Module):
    """Our decoder behind AutoencoderKL's two used names; pictures are -1..1 there and 0..1 here."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.config = SimpleNamespace(scaling_factor=1.0, block_out_channels=(1,) * 5, latent_channels=32, force_upcast=False)
        first = next(decoder.parameters())
        self.dtype, self.device = first.dtype, first.device

    def decode(self, latents: Tensor, return_dict: bool = True, generator: Any = None) -> tuple[Tensor]:
        return (self.decoder(latents) * 2 - 1,)


def plain_pipeline(base: Base, dtype: torch.dtype) -> Callable[[Job], Any]:
    """-> f(job) = a list of PIL pictures, one step DDIM through StableDiffusionPipeline with copies of the base's networks."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    if not isinstance(base, EmbeddedBase):
        raise TypeError("The plain pipeline is written for the embedded base.")
    fresh = load(base.spec, Device(base.device, dtype))
    unet, vae = _Unet(fresh.network), _Autoencoder(fresh.decoder)
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="sample",
                              timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True, steps_offset=1)
    pipe = StableDiffusionPipeline(vae, None, None, unet, scheduler, None, None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)

    def paint(job: Job) -> Any:
        text = base.text.encode([styled(base.spec, job.prompt, job.style)])[0]
        unet.pooled = text.pooled[None].to(dtype)
        generator = torch.Generator().manual_seed(job.seeds[0])
        return pipe(prompt_embeds=text.states[None].to(dtype), guidance_scale=1.0, num_inference_steps=job.steps, width=job.extent.width,
                    height=job.extent.height, generator=generator).images
    return paint


def bare_networks(base: Base, job: Job) -> Callable[[], Tensor]:
    """-> f() = the same arithmetic with nothing round it: one denoise, one decode on ready tensors."""
    cond = base.batch_cond([base.encode_prompt(styled(base.spec, job.prompt, job.style))])
    sigma = base.plan(job).sigmas[0]
    x = torch.randn(1, base.latent_channels, job.extent.height // base.latent_px, job.extent.width // base.latent_px) * sigma

    def run() -> Tensor:
        with torch.inference_mode():
            return base.decode(base.denoise(x, sigma, cond, {}))
    return run


def compare(engine: Engine, job: Job, repeats: int = 30) -> dict[str, float]:
    """Median milliseconds of `job` (text to picture, one seed) through the bare networks, the engine and the plain pipeline in fp32
    (diffusers' default) and in the engine's own format, taken in turns so that a busy moment hits all alike; and the ratios."""
    with engine.registry.lease(job.base) as (base, _):
        if not isinstance(base, EmbeddedBase):
            return {}
        bare, fp32, same = engine.by_hand(
            lambda: (bare_networks(base, job), plain_pipeline(base, torch.float32), plain_pipeline(base, base.dtype)))
        calls = {"bare_ms": lambda: engine.by_hand(bare), "engine_ms": lambda: engine.render(job),
                 "plain_fp32_ms": lambda: engine.by_hand(lambda: fp32(job)), "plain_same_dtype_ms": lambda: engine.by_hand(lambda: same(job))}
        times = in_turns(calls, repeats)
    out = {name: statistics.median(values) for name, values in times.items()}
    return out | {"engine_overhead": out["engine_ms"] / out["bare_ms"] - 1, "faster_than_plain_fp32": out["plain_fp32_ms"] / out["engine_ms"],
                  "faster_than_plain_same_dtype": out["plain_same_dtype_ms"] / out["engine_ms"]}


def in_turns(calls: Mapping[str, Callable[[], Any]], repeats: int, row: int = 5) -> dict[str, list[float]]:
    """Wall milliseconds of every call, `repeats` times in rows of `row`. The calls before a row fill the caches, as in steady use."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(-(-repeats // row)):
        for name, call in calls.items():
            for number in range(2 + row):
                start = time.perf_counter()
                call()
                if number >= 2:
                    times[name].append((time.perf_counter() - start) * 1e3)
    return times


def plain_loras(base: Base, lora: AdapterSpec) -> dict[str, Callable[[], None]]:
    """{"plain_load_ms": reading the UNet anew, "plain_lora_on_ms" and "plain_lora_off_ms": diffusers and peft with the same LoRA}, the
    calls an application makes when it has no registry. Off follows on: each call of one puts back what the other needs."""
    if not isinstance(base, EmbeddedBase):
        return {}
    unet, path = load(base.spec, Device(base.device, base.dtype)).network, locate(lora.files[0])

    def on() -> None:
        off()
        unet.load_lora_adapter(str(path.parent), weight_name=path.name, prefix="unet", adapter_name="lora")

    def off() -> None:
        if getattr(unet, "peft_config", None):
            unet.delete_adapters("lora")

    def on_and_off() -> None:
        on()
        off()
    return {"plain_load_ms": lambda: load(base.spec, Device(base.device, base.dtype)), "plain_lora_on_ms": on, "plain_lora_on_and_off_ms": on_and_off}
