"""A prompt with several things as layers: each thing painted alone with alpha and put where the prompt or its kind says, over a place.

One network call cannot keep "a red car, a tall tree and a dog" apart; painted one by one nothing leaks from one into the other (Fontanella
et al. 2024, arXiv 2411.10913), and every layer can be painted again while the others are held: its picture depends on its own words and seed
only. What draws them together is models/flows/harmonise.py.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from models.flows import Render
from models.flows._canvas import Box, fitted
from models.flows._planner import Plan, Thing
from models.flows.asset import Wanted, asset, trimmed
from models.flows.behind import paint_place
from models.job import MAX_SEED, Extent, Job, Picture, Result, Timings

SEED_STEP = 101                                      # between the seeds of two things


@dataclass(frozen=True)
class LayeredScene:
    """`plan`: what is where. thing: how things are painted; its job's size is a thing's own canvas, its seed the scene's. place: the job
    of the background, of the canvas's size. empty: see models.flows.behind.Behind."""
    plan: Plan
    thing: Wanted
    place: Job
    empty: bool = True


@dataclass(frozen=True)
class Painted:
    """One layer: its picture (the place RGB, things RGBA, cut to what shows), the box it is drawn into on the canvas, and its result."""
    words: str
    seed: int
    picture: Picture
    box: Box
    result: Result
    thing: Thing | None = None


def layered_scene(render: Render, scene: LayeredScene) -> Iterator[Painted]:
    """Yields the place (white paper where the prompt names none), then the things from far to near."""
    seed = scene.thing.job.seeds[0]
    yield painted_place(render, scene)
    for number, thing in enumerate(scene.plan.things, 1):
        yield painted_thing(render, scene, thing, (seed + SEED_STEP * number) % MAX_SEED)


def painted_place(render: Render, scene: LayeredScene) -> Painted:
    extent = scene.place.extent
    job = scene.place.but(prompt=scene.plan.background, image=None, mask=None, strength=1.0)
    paper = np.full((extent.height, extent.width, 3), 255, np.uint8)
    rgb = paint_place(render, job, scene.empty) if scene.plan.background else paper
    box = (0, 0, extent.width, extent.height)
    return Painted(scene.plan.background, job.seeds[0], Picture.from_array(rgb), box, Result(rgb[None].copy(), job, Timings()))


def painted_thing(render: Render, scene: LayeredScene, thing: Thing, seed: int) -> Painted:
    """Depends on the thing's own words and seed, its place on its place only."""
    job = scene.thing.job.but(prompt=thing.words, seeds=(seed,))
    *_, made = asset(render, replace(scene.thing, job=job))
    cut, _ = trimmed(made.pixels[0])
    box = box_of_thing(thing, (cut.shape[1], cut.shape[0]), scene.place.extent)
    return Painted(thing.words, seed, Picture.from_array(cut), box, made, thing)


def box_of_thing(thing: Thing, size: tuple[int, int], extent: Extent) -> Box:
    """Where a thing of `size` is drawn on the canvas: in a square of its size that stands (or hangs) at its place, inside the canvas."""
    side = max(8, round(thing.size * min(extent.width, extent.height)))
    left = round(thing.x * extent.width - side / 2)
    bottom = round(thing.y * extent.height + (side / 2 if thing.floats else 0))
    x0, y0, x1, y1 = fitted(size, (left, bottom - side, left + side, bottom), not thing.floats)
    right, down = min(0, extent.width - x1) + max(0, -x0), min(0, extent.height - y1) + max(0, -y0)
    return x0 + right, y0 + down, x1 + right, y1 + down
