"""One light pass over the composite that keeps every layer editable: light and colour go into each layer's own pixels, its alpha stays, and a
shadow of its own lies under it."""
from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from models.errors import BadInput
from models.flows._canvas import Box
from models.flows._cutout import box_of
from models.flows.harmonise import Harmonised, Harmony, Layered, harmonise, lit
from models.job import Extent, Picture
from models.layers.stack import Layer, Placement
from studio.layers.task import Call, Made, Outcome, Task
from studio.layers.tasks import _making as making

ID, SHADOW_OF, ORIGINAL = "harmonise", "shadow_of", "harmonised_from"
GRID = 128                                           # gains are slow: looked up on a grid of at most this many points a side, then enlarged


def run(call: Call) -> Outcome:
    """asked: words of the whole, seed, change, free, amount, shadow; layers: ids (else all that are visible). Done again, it starts from
    the layers as they were before, so amounts do not add up."""
    able, canvas = making.able_of(call), call.stack.extent
    working = making.working_extent(able.spec, canvas)
    background, things, shadows = parts(call)
    if not things:
        raise BadInput("There is nothing to harmonise.", "Put a thing on the canvas first.")
    before = [original(call, layer) for layer in things]
    backdrop = making.backdrop(call, (original(call, background),) if background else (), working)
    layers = tuple(Layered(rgba, making.words_of(layer), making.stands(layer)) for rgba, layer in zip(making.seen(call, before, working), things))
    job = making.job_of(call, able.spec, call.text("words") or (making.words_of(background) if background else ""), working)
    settings = {name: call.number(name, getattr(Harmony, name), 0, 1) for name in ("change", "free", "amount", "shadow")}
    call.progress(0, 2, "painting over it")
    *_, made = harmonise(call.render, Harmony(job, backdrop, layers, able.granted.get("held_layers", ""), **settings))
    call.progress(1, 2, "giving each layer its light")
    new = _layers(call, made, background, things, working)
    taken = {layer.id for layer in (*things, *shadows, *((background,) if background else ()))}
    replaced = tuple(layer.id for layer in call.stack.leaves() if layer.id in taken)     # in their order: as many new ones go one for one
    return Outcome(new, replaced, notes=_notes(able.granted, things))


def parts(call: Call) -> tuple[Layer | None, list[Layer], list[Layer]]:
    """(the background, the things, the shadows of an earlier pass) among what is asked for."""
    chosen = call.layers() or tuple(call.stack.leaves())
    background = making.background_of(call)
    visible = [layer for layer in chosen if layer.visible and not (background and layer.id == background.id)]
    ids = {layer.id for layer in visible}
    shadows = [layer for layer in call.stack.leaves() if layer.source.get("task") == ID and layer.source.get(SHADOW_OF)]
    things = [layer for layer in visible if layer not in shadows and layer.blend == "normal" and not layer.text and not layer.svg]
    kept = {layer.source.get(ORIGINAL, layer.picture) for layer in things if layer.id in ids}
    return background, things, [layer for layer in shadows if layer.source[SHADOW_OF] in kept]


def original(call: Call, layer: Layer) -> Layer:
    """The layer with the pixels it had before an earlier pass, where they are still known."""
    digest = layer.source.get(ORIGINAL, "")
    return replace(layer, picture=digest) if isinstance(digest, str) and digest and digest in call.pictures else layer


def _layers(call: Call, made: Harmonised, background: Layer | None, things: list[Layer], working: Extent) -> tuple[Made, ...]:
    out = [relit(call, background, made.gains[0], working)] if background else []
    for layer, gain, shadow in zip(things, made.gains[1:], made.shadows):
        if shadow[..., 3].any():
            out.append(_shadow(call, layer, shadow, working))
        out.append(relit(call, layer, gain, working))
    return tuple(out)


def relit(call: Call, layer: Layer, gain: np.ndarray, working: Extent) -> Made:
    """A layer's own pixels in the light that falls on it where it lies; alpha, place, opacity and name as they were."""
    first = original(call, layer)
    pixels = call.picture(first).array
    own = lit(pixels, on_layer(gain, layer.place, (pixels.shape[1], pixels.shape[0]), working, call.stack.extent))
    return Made(layer.name, Picture.from_array(own), layer.place, {**layer.source, ORIGINAL: first.picture}, layer.blend, layer.opacity)


def on_layer(gain: np.ndarray, place: Placement, size: tuple[int, int], working: Extent, canvas: Extent) -> np.ndarray:
    """A field over the canvas, [H, W, 3] at a painter's size, as a layer of (width, height) pixels sees it: [height, width, 3]."""
    points = min(GRID, size[0]), min(GRID, size[1])
    u, v = np.meshgrid(*((np.arange(n) + 0.5) / n - 0.5 for n in points))
    x = u * place.width * (-1 if place.flip_x else 1)
    y = v * place.height * (-1 if place.flip_y else 1)
    turn = np.deg2rad(place.angle_deg)
    across = (place.x + x * np.cos(turn) - y * np.sin(turn)) * working.width / canvas.width - 0.5
    down = (place.y + x * np.sin(turn) + y * np.cos(turn)) * working.height / canvas.height - 0.5
    found = cv2.remap(gain, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(found, size, interpolation=cv2.INTER_LINEAR).reshape(size[1], size[0], 3)


def _shadow(call: Call, layer: Layer, shadow: np.ndarray, working: Extent) -> Made:
    box: Box = box_of(shadow[..., 3] > 0)
    cut = Picture.from_array(np.ascontiguousarray(shadow[box[1]:box[3], box[0]:box[2]]))
    of = layer.source.get(ORIGINAL, layer.picture)
    return Made(f"Shadow of {layer.name}"[:200], cut, making.on_canvas(box, working, call.stack.extent), {"task": ID, SHADOW_OF: of}, "multiply")


def _notes(granted: dict[str, str], things: list[Layer]) -> tuple[str, ...]:
    return () if "held_layers" in granted else ("This model cannot paint over layers, so only shadows were made.",)


TASK = Task(ID, "Harmonise", run)
