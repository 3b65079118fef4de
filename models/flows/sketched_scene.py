"""A scene from a sketch, one object at a time: each drawn object is painted alone with its own words, cut out, put where it was drawn,
and the collage is blended with its background in one pass.

After "Sketch-Guided Scene Image Generation" (2024, arXiv 2407.06469), which learns a token for each object so that the last pass keeps
it; here a soft mask keeps it instead (Differential Diffusion, Levin & Fried 2023): the inside of an object comes free late, its rim
early, so nothing has to be learned and the scene is there in as many renders as it has objects, and two more.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from models import pixels
from models.errors import BadInput
from models.flows import Render
from models.flows._cutout import SOLID, box_of, cut_out, emptied, enclosed, tidied
from models.job import AdapterUse, Extent, Job, Picture, Result, Timings
from models.lines import thinned
from models.spec import EMBEDDED, BaseSpec
from models.tags import tags_of

MOST_OBJECTS = 6
MARGIN = 0.12                                        # around an object's strokes on its own canvas, as a share of their longer side
LINE_PX = 3                                          # on a canvas of 256 px, as scribbles are trained
DRAWN = 64                                           # of 255: a pixel as light as this is a line
STRETCH = 1.3                                        # an object may become so much wider or taller to fill the box it was drawn in
INSIDE, RIM, FAR = 0.1, 1.0, 0.6                     # how free the last pass is: inside objects, at and around their rims, elsewhere
RIM_PX, AROUND_PX = 8, 16                            # on a picture of 256 px: how far that goes into objects and out of them
PAPER = 255
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class SceneObject:
    """`lines`: white on black over the whole canvas, one channel, in the picture's shape. Without `words` the lines alone decide."""
    lines: Picture
    words: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.lines.channels != 1:
            raise BadInput(f"An object's lines are one channel, white on black, not {self.lines.channels}.")


@dataclass(frozen=True)
class Scene:
    """`job`: the background's words and everything shared: base, style, steps, looks, negative words, size, and a seed.

    control: id of the adapter that obeys lines; obey: its strength. transparent: id of an adapter that paints alpha, "" = cut out of
    plain paper. blend 0..1: how much the last pass may change, 0 = the collage exactly. object_px: the side of an object's own canvas,
    which should be the base's native one; 0 = the picture's shorter side. empty: take what stands in the middle of the painted
    background out; for small bases, which paint a thing under any words.
    """
    job: Job
    objects: tuple[SceneObject, ...]
    control: str
    obey: float = 1.0
    transparent: str = ""
    blend: float = 0.3
    object_px: int = 0
    empty: bool = True

    def __post_init__(self) -> None:
        if len(self.objects) > MOST_OBJECTS:
            raise BadInput(f"{len(self.objects)} objects are too many for one scene: {MOST_OBJECTS} is the most.", "Draw two of them as one.")
        if not 0 <= self.blend <= 1:
            raise BadInput(f"Blend {self.blend} is outside 0..1.")
        want = self.job.extent.width / self.job.extent.height
        for o in self.objects:
            if abs(o.lines.width / o.lines.height - want) > 0.02 * want:
                raise BadInput(f"Lines of {o.lines.width}x{o.lines.height} px have another shape than the picture, {self.job.extent}.",
                               "Draw on a canvas of the picture's shape.")

    @property
    def shared(self) -> Job:
        """The job without what belongs to one picture: first seed, no picture to start from."""
        return self.job.but(seeds=self.job.seeds[:1], image=None, mask=None, strength=1.0)

    @property
    def canvas_px(self) -> int:
        return self.object_px or min(self.job.extent.width, self.job.extent.height)


def suited(spec: BaseSpec) -> dict[str, Any]:
    """The settings of a Scene that suit a base.

    The embedded base paints a thing into every background, and its latents of 16 px are too coarse to blend objects of 60 to 120 px:
    by eye the collage is the better picture, as the pass leaves pale spots around them; measured, 93 % of blended objects stay in their
    boxes and all of the collage's do (python3 launch.py bench scene).
    """
    small = spec.arch == EMBEDDED
    return {"object_px": spec.native_px[0], "empty": small, "blend": 0.0 if small else 0.4}


@dataclass(frozen=True)
class Placed:
    """One object in the scene: straight RGBA uint8 [H, W, 4] of the whole picture."""
    rgba: np.ndarray
    words: str

    @property
    def alpha(self) -> np.ndarray:
        """float32 [H, W] in 0..1."""
        return self.rgba[..., 3].astype(np.float32) / 255


def sketched_scene(render: Render, scene: Scene) -> Iterator[Result]:
    """Yields each object cut out on its own canvas (RGBA), the collage, and unless scene.blend is 0 the blended picture.

    The last pass starts at the noise level of strength scene.blend and takes that share of the job's steps.

    Deterministic. Objects are stacked in their order, later ones in front. What an object looks like depends on its own lines, words
    and seed and on what all share, so with Remembered a change of one repaints that one and the blend only.
    """
    placed, notes = [], []
    for number, thing in enumerate(scene.objects, 1):
        if not (thing.lines.array >= DRAWN).any():
            notes.append(f"Object {number} has no strokes and was left out.")
            continue
        result, more = paint_object(render, scene, thing)
        notes += [f"Object {number}: {note}" for note in more]
        yield result
        placed.append(Placed(place(result.pixels[0], thing.lines.array[..., 0] >= DRAWN, scene.job.extent), thing.words.strip()))
    background = paint_background(render, scene)
    collage = Picture.from_array(stacked(background, placed))
    whole = scene.shared.but(image=collage, prompt=scene_words(placed, scene.job.prompt))
    yield Result(collage.array[None], whole.but(strength=0.0), Timings(), tuple(notes))
    if scene.blend > 0 and placed:
        mask = Picture.from_array(softness(placed, scene.job.extent))
        steps = max(1, round(scene.blend * whole.steps))
        blended = render(whole.but(strength=scene.blend, steps=steps, mask=mask))
        yield Result(blended.pixels, blended.job, blended.timings, (*notes, *blended.notes))


# --- one object ---------------------------------------------------------------------------------------------------------

def paint_object(render: Render, scene: Scene, thing: SceneObject) -> tuple[Result, tuple[str, ...]]:
    """(the object alone as RGBA [1, S, S, 4], notes). Its Result carries the job that painted it. A look that the words of the
    background name is the objects' look too."""
    lines = own_canvas(thing.lines.array[..., 0] >= DRAWN, scene.canvas_px)
    uses = [AdapterUse(scene.control, scene.obey, Picture.from_array(lines))]
    if scene.transparent:
        uses.append(AdapterUse(scene.transparent))
    extent = Extent(scene.canvas_px, scene.canvas_px)
    words = f"{thing.words} {tags_of(scene.job.prompt)}".strip()
    painted = render(scene.shared.but(prompt=words, seeds=(thing.seed,), extent=extent, adapters=(*scene.job.adapters, *uses)))
    rgba, notes = with_edge(painted.pixels[0], lines[..., 0] >= DRAWN)
    return Result(rgba[None], painted.job, painted.timings, painted.notes), (*painted.notes, *notes)


def own_canvas(lines: np.ndarray, side_px: int) -> np.ndarray:
    """Bool [H, W] -> the strokes alone, uint8 [side_px, side_px, 3] white on black: a square around them with a margin, scaled, their
    width what a control of lines was trained on."""
    x0, y0, x1, y1 = square_around(box_of(lines))
    pad = max(0, -x0, -y0, x1 - lines.shape[1], y1 - lines.shape[0])
    cut = np.pad(lines, pad)[y0 + pad:y1 + pad, x0 + pad:x1 + pad].astype(np.float32)
    shrinking = cut.shape[0] > side_px
    scaled = cv2.resize(cut, (side_px, side_px), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    bold = scaled >= (0.25 if shrinking else 0.5)
    thin = thinned(bold)
    thin = thin if thin.any() else bold              # a dot has no skeleton
    width = max(1, round(LINE_PX * side_px / 256))
    thick = cv2.dilate(thin.astype(np.uint8) * 255, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)))
    return np.repeat(cv2.GaussianBlur(thick, (0, 0), 0.5)[..., None], 3, 2)


def square_around(box: Box) -> Box:
    """A square with the same centre and a margin on every side."""
    x0, y0, x1, y1 = box
    side = max(8, round(max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN)))
    left, top = (x0 + x1 - side) // 2, (y0 + y1 - side) // 2
    return left, top, left + side, top + side


def with_edge(painted: np.ndarray, lines: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """(straight RGBA [S, S, 4] of a painted object, notes): the alpha it came with, else cut out of plain paper, else along the lines."""
    own = tidied(painted) if painted.shape[2] == 4 else cut_out(painted)
    if own is not None and (own[..., 3] >= SOLID).any():
        return own, ()
    inside = cv2.dilate(enclosed(lines).astype(np.uint8), np.ones((5, 5), np.uint8)) * 255
    rgba = np.dstack([painted[..., :3], cv2.GaussianBlur(inside, (0, 0), 2)])
    return rgba, ("it could not be told from its background and was cut out along the drawn lines.",)


def place(rgba: np.ndarray, lines: np.ndarray, extent: Extent) -> np.ndarray:
    """The object, uint8 [S, S, 4], into the box of its strokes, bool [h, w], on a clear picture [H, W, 4] of `extent`."""
    scale = extent.width / lines.shape[1], extent.height / lines.shape[0]
    drawn = box_of(lines)
    source = box_of(rgba[..., 3] >= SOLID)
    target = filling(source, tuple(v * scale[i % 2] for i, v in enumerate(drawn)))
    x0, y0, x1, y1 = target
    cut = Picture.from_array(np.ascontiguousarray(rgba[source[1]:source[3], source[0]:source[2]]))
    small = pixels.resize(cut, Extent(x1 - x0, y1 - y0)).array
    out = np.zeros((extent.height, extent.width, 4), np.uint8)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, extent.width), min(y1, extent.height)
    out[top:bottom, left:right] = small[top - y0:bottom - y0, left - x0:right - x0]
    return out


def filling(source: Box, drawn: tuple[float, ...]) -> Box:
    """Where a thing of box `source` goes to fill the box `drawn` without being stretched by more than STRETCH: whole pixels, in the
    middle of the drawn box across and on its ground."""
    wide, high = drawn[2] - drawn[0], drawn[3] - drawn[1]
    ratio = (wide / (source[2] - source[0])) / (high / (source[3] - source[1]))
    wide, high = wide * min(1, STRETCH / ratio), high * min(1, STRETCH * ratio)
    width, height = max(1, round(wide)), max(1, round(high))
    x0, y1 = round((drawn[0] + drawn[2] - wide) / 2), round(drawn[3])
    return x0, y1 - height, x0 + width, y1


# --- the whole ----------------------------------------------------------------------------------------------------------

def paint_background(render: Render, scene: Scene) -> np.ndarray:
    """uint8 [H, W, 3]; white paper where there are no words for it."""
    extent = scene.job.extent
    if not scene.job.prompt.strip():
        return np.full((extent.height, extent.width, 3), PAPER, np.uint8)
    painted = pixels.flatten(Picture.from_array(render(scene.shared).pixels[0])).array
    return emptied(painted) if scene.empty else painted


def stacked(background: np.ndarray, placed: list[Placed]) -> np.ndarray:
    """The objects over the background, uint8 [H, W, 3]."""
    out = background.astype(np.float32)
    for thing in placed:
        alpha = thing.alpha[..., None]
        out = thing.rgba[..., :3] * alpha + out * (1 - alpha)
    return out.round().astype(np.uint8)


def softness(placed: list[Placed], extent: Extent) -> np.ndarray:
    """uint8 [H, W]: 255 minus the share of the walk, of 255, after which each pixel comes free: first the rims of objects and what is
    around them, then the rest of the background, and the inside of objects all but never."""
    scale = min(extent.width, extent.height) / 256
    covered = [thing.alpha >= 0.5 for thing in placed]
    away = cv2.distanceTransform((~np.logical_or.reduce(covered)).astype(np.uint8), cv2.DIST_L2, 5)
    free = np.interp(away, [AROUND_PX * scale, 2 * AROUND_PX * scale], [RIM, FAR])
    for thing in covered:
        inward = cv2.distanceTransform(np.pad(thing, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
        core = max(1.0, min(RIM_PX * scale, inward.max() / 2))
        free = np.where(thing, np.interp(inward, [0, core], [RIM, INSIDE]), free)
    return (free * 255).round().astype(np.uint8)


def scene_words(placed: list[Placed], background: str) -> str:
    """"a house on the left and a tree on the right, on a green field": what is where, then the background's words."""
    said = [f"{thing.words} {where(thing.alpha)}".strip() for thing in placed if thing.words]
    together = " and ".join([part for part in (", ".join(said[:-1]), said[-1]) if part]) if said else ""
    return ", ".join(part for part in (together, background.strip()) if part)


def where(alpha: np.ndarray) -> str:
    """The place of a thing in the picture; "" for the middle."""
    if not (alpha >= 0.5).any():
        return ""
    x0, y0, x1, y1 = box_of(alpha >= 0.5)
    across, down = (x0 + x1) / 2 / alpha.shape[1], (y0 + y1) / 2 / alpha.shape[0]
    side = "on the left" if across < 0.4 else "on the right" if across > 0.6 else ""
    return side or ("at the top" if down < 0.4 else "at the bottom" if down > 0.6 else "")
