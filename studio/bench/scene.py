"""Sketched scenes: do objects keep the outline they were drawn with, and stay where they were drawn? Beside one control for the whole.

A sketch is two or three drawings, each traced from a picture that the base painted alone (with another seed) and repeated by an
unsteady hand, on white paper. Both ways get the same lines, words, steps and seeds. What was painted is found in the finished picture
by cutting it out of its paper, for both alike:

outline IoU: of what an object's drawn outline encloses, and what was painted in the object's box (grown by a tenth).
inside: the share of objects whose painted pieces lie in that box by four fifths or more and cover half of the outline or more.
The first scenes go to bench-sheets/scene.webp of the cache folder.
"""
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from models.flows import Remembered, Render
from models.flows._cutout import SOLID, box_of, cut_out, enclosed
from models.flows.sketched_scene import Scene, SceneObject, sketched_scene
from models.job import AdapterUse, Job, Picture
from models.lines import drawn
from studio.bench._sheet import black_on_white, write_sheet
from studio.bench._score import KNOWN, control_of_lines, drawing, interval, opened, white_on_black
from studio.settings import Settings

QUICK = {"SCENES": 2}
SCENES, CANVAS_PX, PEN_PX = 24, 512, 3
GROW, LIES_IN, COVERS = 0.1, 0.8, 0.5
PLACES = {2: ((0.28, 0.5), (0.72, 0.5)), 3: ((0.26, 0.3), (0.74, 0.3), (0.5, 0.74))}
OF_TRACED, OF_SCENE = 1000, 0                        # seeds: no object is painted with the seed its drawing was traced from


def run(settings: Settings) -> Mapping[str, float]:
    """`--base` names the base (the embedded one by default)."""
    engine, job = opened(settings)
    try:
        control, transparent = control_of_lines(engine, job.base), engine.catalog.able(job.base).granted.get("rgba", "")
        render = Remembered(engine.render)
        scenes = [sketch(render, job, number, control, transparent) for number in range(SCENES)]
        shown: list[list[np.ndarray]] = []
        figures = compared(render, scenes, shown)
        write_sheet(settings, "scene", ("what is drawn", "one control for all", "cut out and placed", "blended"), shown)
        return figures
    finally:
        engine.close()


def compared(render: Render, scenes: Sequence[Scene], shown: list[list[np.ndarray]]) -> dict[str, float]:
    """Figures of every way, and by how much the flow's outlines are better, with the 95 % interval over objects. The pictures are added to
    `shown`."""
    start = time.perf_counter()
    parts = [[r.pixels[0] for r in sketched_scene(render, scene)] for scene in scenes]
    took_ms = (time.perf_counter() - start) * 1e3 / len(scenes)
    ways = {"blended": [p[-1] for p in parts], "collage": [p[-2] for p in parts], "whole_sketch": [at_once(render, scene) for scene in scenes]}
    drawn_lines = [np.maximum.reduce([o.lines.array[..., 0] for o in scene.objects]) >= SOLID for scene in scenes]
    shown += [[black_on_white(lines), *row] for lines, *row in zip(drawn_lines, ways["whole_sketch"], ways["collage"], ways["blended"])]
    found = {way: [object for scene, picture in zip(scenes, pictures) for object in judged(scene, picture)] for way, pictures in ways.items()}
    out: dict[str, float] = {"scenes": len(scenes), "objects": len(found["blended"]), "scene_ms": took_ms}
    for way, objects in found.items():
        out |= {f"{way}_outline_iou": float(np.mean([o.iou for o in objects])), f"{way}_inside_share": float(np.mean([o.inside for o in objects]))}
    low, high = interval([a.iou - b.iou for a, b in zip(found["blended"], found["whole_sketch"])])
    return out | {"gain_low_iou": low, "gain_high_iou": high}


@dataclass(frozen=True)
class Judged:
    """How one object came out."""
    iou: float
    inside: bool


def sketch(render: Render, job: Job, number: int, control: str, transparent: str) -> Scene:
    """Scene `number`: two or three things on white paper, each in a place of its own."""
    rng = np.random.default_rng(number)
    count = 2 + number % 2
    objects = []
    for i, (words, place) in enumerate(zip(rng.choice(KNOWN, count, replace=False), PLACES[count])):
        strokes = drawing(render, job.but(prompt=str(words), seeds=(OF_TRACED + 10 * number + i,)), rng)
        centre = CANVAS_PX * (np.array(place) + rng.uniform(-0.03, 0.03, 2))
        objects.append(SceneObject(put(strokes, centre, rng.uniform(0.28, 0.4) * CANVAS_PX), str(words), OF_SCENE + 10 * number + i))
    return Scene(job.but(seeds=(number,)), tuple(objects), control, transparent=transparent)


def put(strokes: Sequence[np.ndarray], centre: np.ndarray, size_px: float) -> Picture:
    """The strokes, their longer side `size_px`, drawn around `centre`."""
    points = np.concatenate(strokes)
    low, high = points.min(0), points.max(0)
    scale = size_px / max((high - low).max(), 1)
    moved = [np.round((s - (low + high) / 2) * scale + centre).astype(np.int32) for s in strokes]
    return Picture.from_array(drawn(moved, (CANVAS_PX, CANVAS_PX), PEN_PX)[..., None])


def at_once(render: Render, scene: Scene) -> np.ndarray:
    """The baseline, uint8 [H, W, 3]: one job with all lines as its control and all words as its prompt."""
    *_, last = sketched_scene(render, replace(scene, blend=0.0))
    lines = np.maximum.reduce([o.lines.array[..., 0] for o in scene.objects])
    job = scene.shared.but(prompt=last.job.prompt, adapters=(AdapterUse(scene.control, scene.obey, white_on_black(lines)),))
    return render(job).pixels[0][..., :3]


def judged(scene: Scene, picture: np.ndarray) -> list[Judged]:
    """Every object of the finished picture, uint8 [H, W, 3]."""
    cut = cut_out(picture)
    painted = np.ones(picture.shape[:2], bool) if cut is None else cut[..., 3] >= SOLID
    count, pieces = cv2.connectedComponents(painted.astype(np.uint8))
    return [_judged(outline(thing, picture.shape[:2]), painted, pieces) for thing in scene.objects]


def outline(thing: SceneObject, shape: tuple[int, ...]) -> np.ndarray:
    """Bool [H, W]: what the object's lines enclose, in the picture's size."""
    inside = enclosed(thing.lines.array[..., 0] >= SOLID).astype(np.uint8) * 255
    return cv2.resize(inside, (shape[1], shape[0]), interpolation=cv2.INTER_AREA) >= SOLID


def _judged(wanted: np.ndarray, painted: np.ndarray, pieces: np.ndarray) -> Judged:
    box = grown(box_of(wanted), wanted.shape)
    here = painted & box
    touched = np.isin(pieces, np.unique(pieces[wanted & painted])) & painted
    inside = touched.any() and (touched & box).sum() >= LIES_IN * touched.sum() and (wanted & painted).sum() >= COVERS * wanted.sum()
    return Judged(float((wanted & here).sum() / max((wanted | here).sum(), 1)), bool(inside))


def grown(box: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Bool [H, W] of a box that is larger by GROW of its longer side on every side."""
    x0, y0, x1, y1 = box
    more = round(GROW * max(x1 - x0, y1 - y0))
    out = np.zeros(shape, bool)
    out[max(0, y0 - more):y1 + more, max(0, x0 - more):x1 + more] = True
    return out
