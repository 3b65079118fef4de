"""What tasks that paint have in common: the job of what was asked for, sizes, the stack as a painter sees it, and layers from pictures."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from models import pixels
from models.layers import compose
from models.catalog import Abilities
from models.flows._planner import flies
from models.job import Extent, Job, Picture, Result
from models.spec import BaseSpec
from models.layers.stack import Layer, Placement, Stack
from studio.layers.task import Call, Made

MOST_VARIANTS = 8
OF_CANVAS = 0.6                                      # a new thing's longer side, of the canvas's shorter one
COVERS = 0.95                                        # of the canvas: a layer that covers as much is the background
STEPS = 4                                            # of distilled bases; others take their own default


def able_of(call: Call) -> Abilities:
    return call.engine.catalog.able(call.base)


def job_of(call: Call, spec: BaseSpec, words: str, extent: Extent | None = None) -> Job:
    """What was asked for as a job, on a canvas of its own unless `extent` is given."""
    side = spec.native_px[0]
    style = call.choice("style", "", ("", *(style.id for style in spec.styles)))
    steps = call.whole("steps", steps_of(spec), spec.min_steps, spec.max_steps)
    return Job(base=spec.id, prompt=words, style=style, steps=steps, seeds=(call.whole("seed", 0),), extent=extent or Extent(side, side),
               negative=call.text("negative") if spec.negative_prompt else "")


def steps_of(spec: BaseSpec) -> int:
    return max(spec.default_steps, min(STEPS, spec.max_steps))


def working_extent(spec: BaseSpec, canvas: Extent) -> Extent:
    """The canvas as a base can paint it: its shape, the shorter side as the base is used to where the longer one allows it."""
    native, step = spec.native_px[0], spec.multiple_px
    short, long = sorted((canvas.width, canvas.height))
    scale = min(native / short, spec.max_px / long)
    fit = lambda side: min(spec.max_px // step * step, max(-(-spec.min_px // step) * step, round(side * scale / step) * step))
    return Extent(fit(canvas.width), fit(canvas.height))


def seen(call: Call, layers: Iterable[Layer], extent: Extent) -> list[np.ndarray]:
    """Each layer as it lies on the canvas, opacity included, straight uint8 RGBA [H, W, 4] at a painter's size."""
    scale = extent.height / call.stack.extent.height
    out = []
    for layer in layers:
        rgba = compose.placed(layer, call.pictures, call.stack.extent, scale)
        rgba = pixels.resize(Picture.from_array(rgba), extent).array.copy()
        rgba[..., 3] = (rgba[..., 3] * layer.opacity).round().astype(np.uint8)
        out.append(rgba)
    return out


def backdrop(call: Call, layers: Sequence[Layer], extent: Extent) -> Picture:
    """These layers flattened on white paper, RGB at a painter's size."""
    stack = Stack(call.stack.extent, tuple(layers))
    rgba = compose.flatten(stack, call.pictures, extent.height / call.stack.extent.height)
    return pixels.flatten(pixels.resize(Picture.from_array(rgba), extent))


def background_of(call: Call) -> Layer | None:
    """The lowest visible layer, if it covers the canvas."""
    visible = [layer for layer in call.stack.leaves() if layer.visible]
    if not visible:
        return None
    left, top, right, bottom = visible[0].place.bounds()
    canvas = call.stack.extent
    wide, high = min(right, canvas.width) - max(left, 0), min(bottom, canvas.height) - max(top, 0)
    solid = (call.picture(visible[0]).array[..., 3] > 250).mean()
    return visible[0] if wide * high * solid >= COVERS * canvas.width * canvas.height else None


def full(canvas: Extent) -> Placement:
    return Placement(canvas.width / 2, canvas.height / 2, canvas.width, canvas.height)


def placed_like(old: Placement | None, picture: Picture, canvas: Extent, ground: bool = True) -> Placement:
    """A new picture in an old one's place: its angle and flips, its box filled as far as the shape allows, on its ground. Without an old
    one in the middle of the canvas."""
    if old is None:
        side = OF_CANVAS * min(canvas.width, canvas.height)
        scale = side / max(picture.width, picture.height)
        return Placement(canvas.width / 2, canvas.height / 2, picture.width * scale, picture.height * scale)
    scale = min(old.width / picture.width, old.height / picture.height)
    width, height = picture.width * scale, picture.height * scale
    down = (old.height - height) / 2 if ground and old.angle_deg == 0 and not old.flip_y else 0.0
    return Placement(old.x, old.y + down, width, height, old.angle_deg, old.flip_x, old.flip_y)


def on_canvas(box: Sequence[int], working: Extent, canvas: Extent) -> Placement:
    """A box of the painter's canvas on the user's."""
    across, down = canvas.width / working.width, canvas.height / working.height
    return Placement.at(box[0] * across, box[1] * down, (box[2] - box[0]) * across, (box[3] - box[1]) * down)


def box_on(place: Placement, working: Extent, canvas: Extent) -> tuple[int, int, int, int]:
    """The box of a placement on the painter's canvas, cut to it, at least a few pixels large."""
    left, top, right, bottom = place.bounds()
    across, down = working.width / canvas.width, working.height / canvas.height
    x0, y0 = (int(np.clip(round(v), 0, side - 8)) for v, side in ((left * across, working.width), (top * down, working.height)))
    x1, y1 = (int(np.clip(round(v), low + 8, side)) for v, low, side in ((right * across, x0, working.width), (bottom * down, y0, working.height)))
    return x0, y0, x1, y1


def rgba(picture: np.ndarray) -> Picture:
    """Any painted picture as a layer's."""
    return pixels.with_alpha(Picture.from_array(np.ascontiguousarray(picture)))


def source(task: str, call: Call, **asked: Any) -> dict:
    """Enough to make the layer again: the task, and what is asked of it."""
    kept = {key: call.asked[key] for key in ("style", "steps", "negative", "whole") if key in call.asked}
    return {"task": task, "base": call.base, "asked": {**kept, **asked}}


def words_of(layer: Layer) -> str:
    """What a layer shows, in words: what it was made from, else its name."""
    asked = layer.source.get("asked", {})
    said = asked.get("words", "") if isinstance(asked, dict) else ""
    return said if isinstance(said, str) and said.strip() else layer.name


def stands(layer: Layer) -> bool:
    """Whether a layer's thing stands on the ground."""
    return not flies(words_of(layer))


def named(words: str) -> str:
    """A name for a layer from its words."""
    short = words.strip()[:60] or "Layer"
    return short[:1].upper() + short[1:]


def whole_picture(name: str, result: Result, canvas: Extent, source: dict) -> Made:
    """A picture of the whole canvas as a layer."""
    return Made(name, rgba(result.pixels[0]), full(canvas), source, job=result.job)


