"""diffusers' own pipelines made to walk the noise levels of a base, so that their pictures can be compared with the engine's."""
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from models.job import Job
from models.sampling import noise, vp_scales
from tests.tiny_sd import SCHEDULER


class Stepped(NamedTuple):
    """What a scheduler's step returns, for pipelines that take the first of a tuple and for those that ask by name."""
    prev_sample: torch.Tensor


def scheduler_of(times: list[int]) -> Any:
    """A DDIMScheduler that visits exactly `times` and ends at no noise; its step is Song et al. 2021, equation 12 with sigma 0."""
    from diffusers import DDIMScheduler
    scheduler = DDIMScheduler.from_config({**SCHEDULER, "clip_sample": False, "set_alpha_to_one": True})
    set_timesteps = scheduler.set_timesteps

    def as_told(count: int, device: Any = None) -> None:
        set_timesteps(count, device=device)
        scheduler.timesteps = torch.tensor(times)

    def step(out: torch.Tensor, t: torch.Tensor, x: torch.Tensor, **options: Any) -> Stepped:
        later = [time for time in times if time < int(t)]
        a, b = scheduler.alphas_cumprod[int(t)], scheduler.alphas_cumprod[later[0]] if later else torch.tensor(1.0)
        x0 = (x - (1 - a).sqrt() * out) / a.sqrt()
        return Stepped(b.sqrt() * x0 + (1 - b).sqrt() * out)
    scheduler.set_timesteps, scheduler.step = as_told, step
    return scheduler


def picture(base: Any, job: Job, make: Any, **inputs: Any) -> np.ndarray:
    """int [H, W, 3] of a one-seed job by the pipeline that make(scheduler) builds; `inputs` go to its call."""
    sigmas = base.plan(job).sigmas
    size = job.extent.height // 8, job.extent.width // 8
    times = [round(float(base.inputs(torch.zeros(1, 4, *size), sigma, None)["timestep"])) for sigma in sigmas]
    words, negative = (base.encode_prompt(text).states[None] for text in (job.prompt, job.negative))
    alpha, _ = vp_scales(sigmas[0])
    pipe = make(scheduler_of(times))
    pipe.set_progress_bar_config(disable=True)
    out = pipe(prompt_embeds=words, negative_prompt_embeds=negative, num_inference_steps=len(times), guidance_scale=job.guidance,
               latents=alpha * sigmas[0] * noise(job.seeds, (4, *size)), height=job.extent.height, width=job.extent.width, output_type="np", **inputs)
    return (out.images[0] * 255).round().astype(int)
