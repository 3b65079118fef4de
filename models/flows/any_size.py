"""Pictures of any size and shape (Zheng et al. 2024, "Any-Size-Diffusion"): sides of one area for a wanted shape, and enlarging by
painting: the enlarged picture is disturbed by noise that is laid over the whole canvas, and a base finds its way down in tiles.

A base that takes many steps (a teacher, or a real checkpoint) is what this is for; a base of one step is better enlarged by
models/flows/upscale.py. Tiles see only themselves, so the words should say what is everywhere (a look, a material), not name one thing.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from models import pixels
from models.contracts import Base, Cancel, Plan, Progress, ignore_progress, never_cancel
from models.errors import BadInput, Cancelled, Incompatible
from models.flows._fstd import MOVING, WAYS, Grid, fstd
from models.flows._tiles import Tiles, Window
from models.job import Extent, Job, Picture
from models.sampling import noise
from models.spec import BaseSpec, styled
from models.turns import Urgency

RATIOS = {"1:1": (1, 1), "4:3": (4, 3), "3:4": (3, 4), "3:2": (3, 2), "2:3": (2, 3), "16:9": (16, 9), "9:16": (9, 16)}
STRENGTH, STEPS = 0.3, 8
DECODE_CELLS, MARGIN_CELLS = 24, 9                   # of a tile that is encoded or decoded at once, and of their overlap


def extent_for(spec: BaseSpec, ratio: str | tuple[float, float]) -> Extent:
    """The sides of a shape that cover about the area the base was trained at. Raises BadInput for an unknown shape."""
    if isinstance(ratio, str) and ratio not in RATIOS:
        raise BadInput(f'"{ratio}" is no shape that is known.', f"Known: {', '.join(RATIOS)}.")
    wide, high = RATIOS[ratio] if isinstance(ratio, str) else ratio
    side, step = spec.native_px[0], spec.multiple_px
    near = lambda value: min(max(round(value / step) * step, spec.min_px), spec.max_px)
    width = near(side * math.sqrt(wide / high))
    return Extent(width, near(width * high / wide) if abs(wide / high - 1) < 1e-9 else near(side * side / width))


@dataclass(frozen=True)
class Enlarging:
    """strength: how far up the noise levels the walk begins (0.3: details; above 0.5 shapes change). way: one of WAYS."""
    strength: float = STRENGTH
    way: str = MOVING
    grid: Grid = Grid()

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1 or self.way not in WAYS:
            raise BadInput(f"Enlarging by {self.way} at strength {self.strength} is not known.", f"Known: {', '.join(WAYS)}; 0 to 1.")


def any_size(engine: Any, job: Job, picture: Picture, how: Enlarging = Enlarging(), progress: Progress = ignore_progress,
             cancel: Cancel = never_cancel, session: str = "") -> Picture:
    """`picture`, which was enlarged by other means to the size that is wanted, painted anew at that size by the job's base in the job's
    words, first seed, steps and guidance. Alpha is kept as it is, and tiles in which nothing is visible are not painted. Each step is one
    turn of the engine. Raises StudioError; Cancelled within a step."""
    _check(engine, job, picture)
    made = _Walk(engine, job, picture, how, progress, cancel, session).run()
    return Picture.from_array(np.dstack([made, picture.array[..., 3]]) if picture.channels == 4 else made)


def _check(engine: Any, job: Job, picture: Picture) -> None:
    spec = engine.catalog.base(job.base).spec
    engine.catalog.check(job.but(extent=extent_for(spec, "1:1"), image=None, mask=None))
    if spec.default_guidance == 1.0 and not spec.negative_prompt:
        raise Incompatible(f'"{spec.title}" paints in one step and cannot enlarge by painting.', "Choose a base that takes many steps.")
    if any(engine.catalog.adapter(use.id).spec.kind != "lora" for use in job.adapters) or job.regions or job.each:
        raise Incompatible("Enlarging by painting knows words and LoRAs only.", "Switch the other adapters off.")
    if min(picture.width, picture.height) < spec.native_px[0]:
        raise BadInput(f"{picture.width}x{picture.height} px is smaller than what the base paints at once.", "Enlarge it first.")


class _Walk:
    """One picture on its way; latents are float32 [1, C, H, W] on the base's device."""

    def __init__(self, engine: Any, job: Job, picture: Picture, how: Enlarging, progress: Progress, cancel: Cancel, session: str) -> None:
        self.engine, self.job, self.picture, self.how = engine, job, picture, how
        self.progress, self.cancel, self.session = progress, cancel, session
        self.uses = engine.catalog.in_order(job)
        self.rgb = pixels.flatten(picture).array

    def with_base(self, work: Callable[[Base], Any]) -> Any:
        """`work(base)` in the painting thread and a turn of its own."""
        if self.cancel():
            raise Cancelled()

        def leased() -> Any:
            with self.engine.registry.lease(self.job.base, self.uses) as (base, _), torch.inference_mode():
                return work(base)
        with self.engine.turns.take(self.session, Urgency.PICTURE, self.cancel):
            return self.engine.by_hand(leased)

    def run(self) -> np.ndarray:
        """uint8 [H, W, 3]."""
        plan, reference, x = self.with_base(self._begun)
        tile = self.how.grid.tile
        x0 = fstd(x, plan.sigmas, reference, self._denoise, self.how.way, self.how.grid, self.job.seeds[0],
                  lambda i, work: self._step(i, len(plan.sigmas), work), lambda y, left: self._invisible(y, left, tile))
        made = self.with_base(lambda base: self._decoded(base, x0))
        self.progress(len(plan.sigmas), len(plan.sigmas), "done")
        return made[:self.picture.height, :self.picture.width]

    def _step(self, i: int, count: int, work: Callable[[], Any]) -> Any:
        self.progress(i, count, "painting")
        return self.with_base(lambda base: self._now(base, work))

    def _now(self, base: Base, work: Callable[[], Any]) -> Any:
        self.base = base
        return work()

    def _begun(self, base: Base) -> tuple[Plan, Any, Any]:
        """The noise levels, the latents of the picture, and these with noise of the whole canvas on them."""
        self.cell = base.latent_px
        spec, job = base.spec, self.job
        read = lambda words: base.encode_prompt(words)
        plan = base.plan(job.but(image=Picture.from_array(self.rgb[:1, :1]), strength=self.how.strength, mask=None))
        self.words, self.plain, self.guidance = read(styled(spec, job.prompt, job.style)), read(job.negative), plan.guidance
        reference = self._encoded(base)
        return plan, reference, reference + plan.sigmas[0] * noise(job.seeds[:1], reference.shape[1:]).to(reference)

    def _denoise(self, tiles: Any, sigma: float, corners: list[tuple[int, int]]) -> Any:
        base, count = self.base, len(tiles)
        guided = base.denoise(tiles, sigma, base.batch_cond([self.words] * count), {})
        if self.guidance == 1:
            return guided
        plain = base.denoise(tiles, sigma, base.batch_cond([self.plain] * count), {})
        return plain + self.guidance * (guided - plain)

    def _invisible(self, top: int, left: int, tile: int) -> bool:
        if self.picture.channels != 4:
            return False
        y, x, side = top * self.cell, left * self.cell, tile * self.cell
        return not self.picture.array[y:y + side, x:x + side, 3].any()

    def _encoded(self, base: Base) -> Any:
        """Latents of the picture, its right and lower rims repeated to whole cells; tile by tile."""
        rgb = np.pad(self.rgb, ((0, -self.rgb.shape[0] % self.cell), (0, -self.rgb.shape[1] % self.cell), (0, 0)), mode="edge")

        def made(window: Window) -> np.ndarray:
            y, x, high, wide = (value * self.cell for value in window)
            piece = pixels.to_tensor(Picture.from_array(rgb[y:y + high, x:x + wide]), base.device, base.dtype)
            return base.encode(piece).float()[0].permute(1, 2, 0).cpu().numpy()
        tiles = Tiles(rgb.shape[0] // self.cell, rgb.shape[1] // self.cell, 1, DECODE_CELLS, MARGIN_CELLS)
        rows = np.concatenate([rows for _, rows in tiles.joined(made)])
        return torch.from_numpy(rows).permute(2, 0, 1)[None].to(base.device)

    def _decoded(self, base: Base, latents: Any) -> np.ndarray:
        """uint8 [H, W, 3], tile by tile."""
        def made(window: Window) -> np.ndarray:
            y, x, high, wide = window
            return base.decode(latents[..., y:y + high, x:x + wide]).float()[0, :3].permute(1, 2, 0).cpu().numpy()
        tiles = Tiles(*latents.shape[-2:], self.cell, DECODE_CELLS, MARGIN_CELLS)
        return np.concatenate([(rows.clip(0, 1) * 255).round().astype(np.uint8) for _, rows in tiles.joined(made)])
