"""What a sketch asks for, and how it is painted: one job, two passes, or a scene of objects."""
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.catalog import Abilities
from models.errors import BadInput
from models.flows import Remembered
from models.flows.block_and_detail import block_and_detail
from models.flows.sketched_scene import Scene, SceneObject, sketched_scene, suited
from models.flows.unicon import loosened
from models.job import AdapterUse, Job, Picture, Result
from studio.live.controls import job_of_words
from studio.live.surface import Render
from studio.sketch.controls import SketchControls
from studio.sketch.inks import BLOCK, Drawn, lines_of, separate

CONTROLS = ("scribble", "sketch", "softedge", "lineart", "canny", "lines")     # what can obey lines, the best first
EDGES = ("edges",)                                   # what follows lines too, but only when it is asked for
LAYERED = "layered"                                  # guesses from few strokes; only when it is asked for by name


@dataclass(frozen=True)
class SketchTask:
    """`job`: the first pass, or a scene's background. block, detail: masks of the second pass, None when there is none. `final`: the
    hand rests, so the second pass is painted too."""
    job: Job
    control: str = ""
    block: Picture | None = None
    detail: Picture | None = None
    reach_px: int = 0
    scene: Scene | None = None
    final: bool = False
    mode: str = "text"

    def better(self, steps: int) -> SketchTask | None:
        """The task of a hand at rest; None when this one is it already."""
        more = max(steps, self.job.steps)
        if self.final or (more == self.job.steps and self.block is None):
            return None
        job = self.job.but(steps=more)
        return replace(self, job=job, scene=self.scene and replace(self.scene, job=job), final=True)


def task_from(controls: SketchControls, canvas: np.ndarray, reference: Picture | None, able: Abilities) -> SketchTask:
    """What the controls and the drawing ask for. canvas: uint8 [512, 512, 3]."""
    job = job_of_words(controls, able.spec, "" if able.spec.negative_prompt else able.granted.get("negative_prompt", ""))
    drawn = separate(canvas)
    control = control_for(controls.control, able)
    looks = reference is not None and controls.mode != "scene" and controls.reference_strength > 0
    locked = reference if looks and drawn.masks and control in able.controls.get(LAYERED, ()) else None
    if looks and locked is None:
        job = _with(job, _looking_at(reference, controls.reference_strength, able))
    if not drawn.masks:
        return SketchTask(job, mode="colour" if reference is not None and controls.mode == "colour" else "text")
    if not control:
        raise BadInput(f"{able.spec.title} has no adapter that follows lines.",
                       "Put a scribble ControlNet or T2I-Adapter for it into the models folder, or choose another model.")
    if controls.mode == "scene" and drawn.objects:
        return _scene(controls, job, drawn, control, able)
    return _sketch(controls, job, drawn, control, locked)


def control_for(wanted: str, able: Abilities) -> str:
    """The id of the control adapter to use; "" when there is none. Raises BadInput for one that does not fit."""
    known = {id for ids in able.controls.values() for id in ids}
    if wanted:
        if wanted not in known:
            raise BadInput(f"{wanted[:40]} does not follow lines on {able.spec.title}.", f"Choose one of: {', '.join(sorted(known)) or 'none is here'}.")
        return wanted
    return next((able.controls[kind][0] for kind in CONTROLS if able.controls.get(kind)), "")


def _with(job: Job, use: AdapterUse) -> Job:
    return job.but(adapters=(*job.adapters, use))


def _looking_at(reference: Picture, strength: float, able: Abilities) -> AdapterUse:
    if not able.references:
        raise BadInput(f"{able.spec.title} cannot look at a reference picture.",
                       "Take the reference away, or put an IP-Adapter for this model into the models folder.")
    return AdapterUse(able.references[0], float(strength), reference)


def _sketch(controls: SketchControls, job: Job, drawn: Drawn, control: str, locked: Picture | None = None) -> SketchTask:
    """`locked`: the picture whose colours a control keeps that takes a second picture for that."""
    lines = Picture.from_array(np.repeat(lines_of([*drawn.masks.values()], job.extent.width), 3, 2))
    if controls.obey > 0:
        job = _with(job, AdapterUse(control, float(controls.obey), lines, () if locked is None else (locked,), noise=loosened(controls.loose)))
    block = drawn.of(BLOCK)
    mode = "colour" if controls.mode == "colour" else "sketch"
    if block is None or not controls.second_pass:
        return SketchTask(job, control, mode=mode)
    others = [mask for ink, mask in drawn.masks.items() if ink != BLOCK]
    detail = np.logical_or.reduce(others) if others else np.zeros_like(block)
    return SketchTask(job, control, _mask(block), _mask(detail), controls.reach, mode=mode)


def _mask(mask: np.ndarray) -> Picture:
    return Picture.from_array(mask.astype(np.uint8)[..., None] * 255)


def _scene(controls: SketchControls, job: Job, drawn: Drawn, control: str, able: Abilities) -> SketchTask:
    words = {o.ink: o for o in controls.objects}
    order = [o.ink for o in controls.objects if o.ink in drawn.masks]
    order += [ink for ink in drawn.objects if ink not in order]
    objects = tuple(SceneObject(_lines(drawn, ink), words[ink].words if ink in words else "", words[ink].seed if ink in words else job.seeds[0])
                    for ink in order)
    scene = Scene(job, objects, control, float(controls.obey), able.granted.get("rgba", ""), **suited(able.spec))
    return SketchTask(job, control, scene=scene, mode="scene")


def _lines(drawn: Drawn, ink: str) -> Picture:
    return Picture.from_array(lines_of([drawn.masks[ink]], 512))


class Painter:
    """Paints tasks; remembers the parts of scenes, so that one changed object is one render. For one thread."""

    def __init__(self) -> None:
        self._parts: Remembered | None = None

    def paint(self, render: Render, task: SketchTask) -> Result:
        """The last picture of the task's flow."""
        if task.scene is not None:
            return [*sketched_scene(self._remembering(render), task.scene)][-1]
        if task.final and task.block is not None:
            masks = (p.array[..., 0] > 0 for p in (task.block, task.detail))
            return [*block_and_detail(render, task.job, *masks, task.reach_px, (task.control,))][-1]
        return render(task.job)

    def _remembering(self, render: Render) -> Remembered:
        self._parts = self._parts or Remembered(render)
        self._parts.render = render                  # the same engine, with this frame's way to cancel
        return self._parts
