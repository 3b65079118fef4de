"""The engine turns a Job into pixels. One verb, `render`; everything else is lifetime.

Path of a job: check -> lease the base with its adapters -> text -> picture to latents -> noise -> walk down -> decode -> uint8.
"""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import pixels
from models.catalog import Catalog, index_of
from models.contracts import Base, Cancel, Hooks, Plan, Progress, Step, ignore_progress, merge_extra, never_cancel
from models.devices import describe, is_out_of_memory, pick_device
from models.errors import BadInput, Cancelled, StudioError
from models.job import AdapterUse, Extent, Job, Picture, Region, Result, Timings
from models.memory import Resident
from models.registry import Registry
from models.sampling import noise, run
from models.spec import styled
from models.tags import resolved
from models.turns import Turns, Urgency

Painting = tuple[np.ndarray, tuple[str, ...], dict[str, np.ndarray]]            # pixels, notes, what adapters saw
FIRST_FRESH_STREAM = 1                               # noise stream 0 starts a picture, stream i refreshes it after step i


@dataclass(frozen=True)
class EngineStatus:
    """What a status line or `doctor` shows."""
    device: str
    dtype: str
    budget_bytes: int
    used_bytes: int
    resident: tuple[Resident, ...]


@dataclass
class Clock:
    """Milliseconds by stage, summed."""
    ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str):
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[stage] = self.ms.get(stage, 0.0) + (time.perf_counter() - start) * 1e3


@dataclass(frozen=True)
class Words:
    """What the network is told: `cond` batched over the seeds, `without` of the negative words or None; `regions`: (cond, mask
    [1, 1, h, w]) of parts, the masks being shares that with `own`, the share of `cond`, sum to 1."""
    cond: Any
    without: Any = None
    regions: tuple[tuple[Any, Tensor], ...] = ()
    own: Tensor | None = None


@dataclass
class Brush:
    """What one render needs at hand: the leased base, its hooks, and the caller's two callbacks."""
    base: Base
    hooks: list[tuple[AdapterUse, Hooks]]
    plan: Plan
    progress: Progress
    cancel: Cancel

    def before_step(self, i: int) -> None:
        if self.cancel():
            raise Cancelled()
        self.progress(i, len(self.plan.sigmas), "painting")

    def share(self, sigma: float) -> float:
        """How far along the walk a step is, 0 at its start."""
        return self.plan.sigmas.index(sigma) / len(self.plan.sigmas)

    def denoise(self, x: Tensor, sigma: float, cond: Any, negative: bool = False, region: bool = False) -> Tensor:
        """x0 of the base with what its adapters add at this step."""
        extra: dict[str, Any] = {}
        share = self.share(sigma)
        for use, hook in self.hooks:
            if hook.before_denoise and use.acts_at(share):
                step = Step(x, sigma, cond, self.base.inputs(x, sigma, cond), negative, region)
                extra = merge_extra(extra, hook.before_denoise(step))
        return self.base.denoise(x, sigma, cond, extra)

    def start(self, x: Tensor, cond: Any) -> Tensor:
        for _, hook in self.hooks:
            x = hook.start(x, cond) if hook.start else x
        return x

    def painted(self, x: Tensor, sigma: float, words: Words) -> Tensor:
        """x0 of all words: guided, regions mixed in, and what adapters make of it."""
        plain = None if words.without is None else self.denoise(x, sigma, words.without, negative=True)

        def guided(cond: Any, region: bool) -> Tensor:
            x0 = self.denoise(x, sigma, cond, region=region)
            return x0 if plain is None else plain + self.plan.guidance * (x0 - plain)

        x0 = guided(words.cond, False)
        if words.regions:
            x0 = x0 * words.own + sum(mask * guided(cond, True) for cond, mask in words.regions)
        for _, hook in self.hooks:
            x0 = hook.after_denoise(x0, self.share(sigma)) if hook.after_denoise else x0
        return x0

    def report(self) -> dict[str, np.ndarray]:
        """What adapters that look on saw."""
        return {name: array for _, hook in self.hooks if hook.report for name, array in hook.report().items()}

    def decode(self, latents: Tensor) -> Tensor:
        own = [h.decode for _, h in self.hooks if h.decode]
        return own[-1](latents) if own else self.base.decode(latents)


class Engine:
    """Thread-safe; one render at a time, in the order of models.turns. Loads nothing until the first render or warm().

    All computing happens in one thread of the engine's own. Each thread that computes brings its own OpenMP threads, and as soon as
    there are more of them than cores they sleep at every barrier: measured on two cores, 31 ms a picture instead of 18.
    """

    def __init__(self, catalog: Catalog, registry: Registry) -> None:
        self.catalog, self.registry = catalog, registry
        self.turns = Turns()
        self._hand = ThreadPoolExecutor(1, "paint")

    def render(self, job: Job, progress: Progress = ignore_progress, cancel: Cancel = never_cancel, session: str = "",
               urgency: Urgency = Urgency.PICTURE) -> Result:
        """Pixels uint8 [len(job.seeds), H, W, 3 or 4] of `job`. Raises StudioError; Cancelled within one step of cancel().

        `session` names who asks, so that turns are fair; see models.turns. When memory runs out everything idle is dropped and the
        job is tried once more, its pictures one by one; DoesNotFit when that is not enough either.
        """
        job = resolved(job, self.catalog.adapter_named)
        self.catalog.check(job)
        clock = Clock()
        with clock.time("total"), ExitStack() as turn:
            with clock.time("queue"):
                turn.enter_context(self.turns.take(session, urgency, cancel))
            if cancel():
                raise Cancelled()
            painted, notes, seen = self.by_hand(lambda: self._paint_or_retry(job, progress, cancel, clock))
        return Result(painted, job, Timings(**{f"{k}_ms": v for k, v in clock.ms.items()}), notes, seen)

    def _paint_or_retry(self, job: Job, progress: Progress, cancel: Cancel, clock: Clock) -> Painting:
        try:
            return self._paint(job, progress, cancel, clock)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        self.registry.drop_idle()                    # outside the except block: the traceback holds the tensors of the first try
        try:
            parts = [self._paint(job.but(seeds=(seed,), each=job.each[i:i + 1]), progress, cancel, clock) for i, seed in enumerate(job.seeds)]
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise self.registry.does_not_fit(f"{len(job.seeds)} x {job.extent} px of {job.base}") from None
            raise
        seen = {name: np.concatenate([part[2][name] for part in parts]) for name in parts[0][2]}
        return np.concatenate([part[0] for part in parts]), (*parts[0][1], "Memory ran short: the pictures were painted one by one."), seen

    def by_hand(self, work: Callable[[], Any]) -> Any:
        """Run `work` in the painting thread and wait for what it returns or raises. Never call it from that thread."""
        return self._hand.submit(work).result()

    def look(self, percept_id: str, rgb: np.ndarray, session: str = "", hints: np.ndarray | None = None) -> np.ndarray:
        """The lines or the alpha a percept sees in a picture, uint8 [H, W, 3] -> uint8 [H, W], in a turn of its own. `hints`, for those
        that see alpha: uint8 [H, W, 2], 255 where the user says keep, drop. Raises StudioError."""
        sees = self.catalog.percept(percept_id).spec.sees
        if sees not in ("lines", "alpha"):
            raise BadInput(f'"{percept_id}" finds no lines in a picture.', "Choose an annotator.")
        if hints is not None and sees != "alpha":
            raise BadInput(f'"{percept_id}" takes no hints.')

        def seen() -> np.ndarray:
            with self.registry.percept(percept_id) as percept, torch.inference_mode():
                tensor = lambda array: pixels.to_tensor(Picture.from_array(array), self.registry.device.name)
                told = () if hints is None else (torch.cat([tensor(hints[..., k]) for k in range(2)], 1),)
                return pixels.to_uint8(percept.look(tensor(rgb), *told))[0, ..., 0]
        with self.turns.take(session, Urgency.PICTURE):
            return self.by_hand(seen)

    def borrow(self, percept_id: str, work: Callable[[Any], Any], session: str = "") -> Any:
        """What `work(percept)` returns, in the painting thread and in a turn of its own: for percepts that do more than look."""
        def lent() -> Any:
            with self.registry.percept(percept_id) as percept, torch.inference_mode():
                return work(percept)
        with self.turns.take(session, Urgency.PICTURE):
            return self.by_hand(lent)

    def _paint(self, job: Job, progress: Progress, cancel: Cancel, clock: Clock) -> Painting:
        with ExitStack() as held:
            with clock.time("load"):
                progress(0, 0, "loading")
                base, hooks = held.enter_context(self.registry.lease(job.base, self.catalog.in_order(job)))
            return self._paint_with(Brush(base, hooks, base.plan(job), progress, cancel), job, clock)

    @staticmethod
    @torch.inference_mode()
    def _paint_with(brush: Brush, job: Job, clock: Clock) -> Painting:
        base = brush.base
        if job.image is not None and job.strength == 0:
            return np.repeat(_as_given(job)[None], len(job.seeds), 0), (), {}
        with clock.time("text"):
            words, notes = _condition(base, job, brush.plan)
            for use, hook in brush.hooks:
                if hook.prepare:
                    hook.prepare(job, use)
        with clock.time("encode"):
            given, mask = _given(base, job)
            _show(base, job)
        with clock.time("denoise"):
            latents = _walk(brush, job, words, given, mask)
        if brush.cancel():
            raise Cancelled()
        with clock.time("decode"):
            picture = _put_back(brush.decode(latents), job, len(brush.plan.sigmas))
            painted = pixels.to_uint8(picture)
        brush.progress(len(brush.plan.sigmas), len(brush.plan.sigmas), "done")
        return painted, notes, brush.report()

    def warm(self, base_id: str) -> None:
        """Load a base and paint one throwaway picture, so that the first real one is quick."""
        spec = self.catalog.base(base_id).spec
        side_px = spec.native_px[0]
        self.render(Job(base=base_id, prompt="warm", steps=spec.default_steps, extent=Extent(side_px, side_px)))

    def prefetch(self, kind: str, id: str) -> None:
        """Make something resident while nobody waits for a picture; what cannot be loaded is left for the render to report."""
        with self.turns.take("prefetch", Urgency.IDLE):
            try:
                self.by_hand(lambda: self.registry.warm(kind, id))
            except StudioError as error:
                logging.getLogger(__name__).info("Not prefetched: %s", error)

    def sweep(self, older_than_s: float) -> None:
        """Drop what nobody used for so long and nobody pinned, while nobody waits for a picture."""
        with self.turns.take("sweep", Urgency.IDLE):
            self.by_hand(lambda: self.registry.drop_idle(older_than_s))

    def status(self) -> EngineStatus:
        resident = self.registry.resident()
        device = self.registry.device
        return EngineStatus(describe(device), str(device.dtype).removeprefix("torch."), self.registry.budget_bytes,
                            sum(r.bytes for r in resident), resident)

    def close(self) -> None:
        """Wait for the running render, then drop everything."""
        with self.turns.take(urgency=Urgency.LIVE):
            self.registry.close()
            self._hand.shutdown()
            self._hand = ThreadPoolExecutor(1, "paint")              # its thread starts when it is needed again


def _condition(base: Base, job: Job, plan: Plan) -> tuple[Words, tuple[str, ...]]:
    """The words of a job, and notes about them."""
    count = len(job.seeds)
    read = lambda prompt: base.encode_prompt(styled(base.spec, prompt, job.style))
    each = [read(prompt) for prompt in job.prompts]
    without = base.batch_cond([base.encode_prompt(job.negative)] * count) if plan.guidance != 1 else None
    regions, own = _shares(base, job)
    parts = tuple((base.batch_cond([read(region.prompt)] * count), mask) for region, mask in regions)
    long = any(getattr(one, "truncated", False) for one in each)
    notes = ("The prompt is longer than this base can read; its end was left out.",) if long else ()
    return Words(base.batch_cond(each), without, parts, own), notes


def _shares(base: Base, job: Job) -> tuple[list[tuple[Region, Tensor]], Tensor | None]:
    """What part every region decides of each latent cell, [1, 1, h, w], and what is left to the job's own words. Regions without a
    pixel are left out. (Bar-Tal et al. 2023, "MultiDiffusion", eq. 5, on x0.)"""
    masks = [(region, torch.nn.functional.avg_pool2d(pixels.to_tensor(_fitted(region.mask, job), base.device), base.latent_px)) for region in job.regions]
    masks = [(region, mask) for region, mask in masks if mask.any()]
    if not masks:
        return [], None
    own = (1 - sum(mask for _, mask in masks)).clamp_min(0)
    total = own + sum(region.weight * mask for region, mask in masks)
    return [(region, region.weight * mask / total) for region, mask in masks], own / total


def _given(base: Base, job: Job) -> tuple[Tensor | None, Tensor | None]:
    """Latents [1, C, h, w] of the job's image and its mask [1, 1, h, w] on the latent grid, where there are any."""
    if job.image is None:
        return None, None
    rgb = pixels.to_tensor(Picture.from_array(_as_given(job)), base.device, base.dtype)
    latents = base.encode(rgb).float()
    if job.mask is None:
        return latents, None
    mask = pixels.to_tensor(_fitted(job.mask, job), base.device)
    return latents, torch.nn.functional.max_pool2d(mask, base.latent_px)


def _show(base: Base, job: Job) -> None:
    """Bases that look at the given picture themselves get it, and what of it may change."""
    if hasattr(base, "show"):
        if job.image is None or job.mask is None:
            base.show(None, None)
            return
        rgb = pixels.to_tensor(Picture.from_array(_as_given(job)), base.device, base.dtype)
        base.show(rgb, (pixels.to_tensor(_fitted(job.mask, job), base.device) > 0).to(base.dtype))


def _as_given(job: Job) -> np.ndarray:
    """The job's picture on white, uint8 [H, W, 3] of the job's size."""
    return pixels.cover(pixels.flatten(job.image), job.extent).array


def _fitted(mask: Picture, job: Job) -> Picture:
    """A mask as one channel of the job's size; of colours the first channel counts."""
    return pixels.cover(Picture.from_array(mask.array[..., :1]), job.extent)


def _start(base: Base, job: Job, sigma: float, given: Tensor | None, mask: Tensor | None) -> Tensor:
    """The first noise [B, C, h, w], over the given latents where there are some. At strength 1 nothing of them lies under what is free
    from the first step on: a trace of white paper would make a one-step student paint pale."""
    shape = (base.latent_channels, job.extent.height // base.latent_px, job.extent.width // base.latent_px)
    eps = sigma * noise(job.seeds, shape).to(base.device)
    if given is None or (mask is None and job.strength == 1):
        return eps
    return given + eps if mask is None or job.strength < 1 else torch.where(mask > _frees_above(0, job.steps), eps, given + eps)


def _walk(brush: Brush, job: Job, words: Words, given: Tensor | None, mask: Tensor | None) -> Tensor:
    """From noise (and the given latents) down the plan's sigmas to x0 [B, C, h, w]."""
    base, plan = brush.base, brush.plan

    def denoise(x: Tensor, sigma: float) -> Tensor:
        x0 = brush.painted(x, sigma, words)
        return x0 if mask is None else torch.where(mask > _frees_above(plan.sigmas.index(sigma), len(plan.sigmas)), x0, given)

    x = brush.start(_start(base, job, plan.sigmas[0], given, mask), words.cond)
    fresh = (lambda i: noise(job.seeds, x.shape[1:], stream=FIRST_FRESH_STREAM + i).to(x.device)) if plan.stochastic else None
    return run(denoise, x, plan.sigmas, fresh, brush.before_step)


def _frees_above(step: int, steps: int) -> float:
    """Mask values above this may change at `step` of `steps`: white ones always, grey ones late in the walk and so only a little, black
    ones never (Levin & Fried 2023, "Differential Diffusion", section 4; the threshold lies in the middle of the step)."""
    return 1 - (step + 0.5) / steps


def _put_back(picture: Tensor, job: Job, steps: int) -> Tensor:
    """Where the mask never let go the given picture stays exactly, its alpha too when `picture` [B, 3 or 4, H, W] has one; the seam is
    feathered over a few pixels inside the rest."""
    if job.mask is None:
        return picture
    shown = _as_given(job) if picture.shape[1] == 3 else pixels.cover(pixels.with_alpha(job.image), job.extent).array
    given = pixels.to_tensor(Picture.from_array(shown), str(picture.device), picture.dtype)
    mask = (pixels.to_tensor(_fitted(job.mask, job), str(picture.device)) > _frees_above(steps - 1, steps)).to(picture.dtype)
    soft = torch.nn.functional.avg_pool2d(mask, 9, 1, 4, count_include_pad=False) * mask
    return pixels.blend(given, picture, soft)


def open_engine(budget_bytes: int | None = None, cache_dir: Path | None = None, device: str | None = None,
                bases: Sequence[str] = (), models_dir: Path | None = None) -> Engine:
    """An engine over everything the catalog finds; `bases` adds a user's own checkpoints (paths or hub ids), `models_dir` holds more."""
    catalog = Catalog(models_dir, cache_dir and index_of(models_dir, cache_dir))
    for source in bases:
        catalog.resolve_base(source)
    return Engine(catalog, Registry(catalog, pick_device(device), budget_bytes, cache_dir))
