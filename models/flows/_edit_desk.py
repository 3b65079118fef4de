"""What every tool of an edit has at hand: the engine, one picture, who finds things in it, and how pixels go back without touching the rest."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from models import pixels
from models.contracts import Cancel, Progress
from models.errors import BadInput, Cancelled
from models.flows import Remembered
from models.flows._edit_masks import Found, NotThere, Searcher
from models.flows._edit_seeing import seer
from models.flows.plan_edit import Step
from models.job import Extent, Job, Picture, Result
from models.layers.edges import pad_rgb
from models.spec import EMBEDDED, BaseSpec
from models.words.instructions import BACKGROUND, EVERYTHING

LEAST_PX, MOST_RATIO = 16, 8.0
SEED_STEP = 7
_KNOWN: WeakKeyDictionary[Any, dict] = WeakKeyDictionary()                  # what crops look like, by engine


@dataclass(frozen=True)
class How:
    """job: base, style, steps, first seed and adapters of whatever is painted; its prompt, size, image and mask are not read. shows: what
    the picture is said to show. strict: outside the mask every bit stays. variants: how many alternatives a step that paints gives."""
    job: Job = Job()
    shows: str = ""
    strict: bool = True
    variants: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.variants <= 8:
            raise BadInput(f"{self.variants} variants are outside 1..8.")


@dataclass(frozen=True)
class Made:
    """What a tool answers. mask None: the whole picture; others: alternatives of `after`."""
    after: Picture
    found: Found | None = None
    notes: tuple[str, ...] = ()
    others: tuple[Picture, ...] = ()
    job: Job | None = None


@dataclass
class Desk:
    """One picture and one step."""
    engine: Any
    picture: Picture
    how: How
    step: Step
    progress: Progress
    cancel: Cancel
    jobs: list[Job] = field(default_factory=list)
    searcher: Searcher = field(init=False)

    def __post_init__(self) -> None:
        check_picture(self.picture)
        self.painter = Remembered(self._paint)
        side = self.spec.native_px[0]
        asks = seer(self.engine, self.painter, self.plain(""), side, self.cancel, _KNOWN.setdefault(self.engine, {}))
        self.searcher = Searcher(self.engine, self.rgb, self.plain("").but(style="", adapters=()), asks, self.given, self.cancel,
                                 self.spec.arch != EMBEDDED)

    @property
    def spec(self) -> BaseSpec:
        return self.engine.catalog.resolve_base(self.how.job.base)

    @property
    def given(self) -> np.ndarray | None:
        """The picture's own alpha, float32 [H, W], where it has one that says something."""
        own = self.picture.array[..., 3] if self.picture.channels == 4 else None
        return own.astype(np.float32) / 255 if own is not None and own.min() < 255 else None

    @property
    def rgb(self) -> np.ndarray:
        """uint8 [H, W, 3]; under invisible pixels the colours around them."""
        array = self.picture.array
        if self.picture.channels == 1:
            return np.repeat(array, 3, 2)
        if self.given is None or not (self.given > 0).any():
            return np.ascontiguousarray(array[..., :3])
        filled = (pad_rgb(array[..., :3].astype(np.float32) / 255, self.given) * 255).round().astype(np.uint8)
        return np.where(self.given[..., None] > 0, array[..., :3], filled)

    def _paint(self, job: Job) -> Result:
        if self.cancel():
            raise Cancelled()
        self.jobs.append(job)
        return self.engine.render(job, cancel=self.cancel)

    def render(self, job: Job) -> Result:
        return self.painter(job)

    def plain(self, words: str, seed: int | None = None) -> Job:
        """The job of the base with other words, at the size it works at for this picture."""
        seed = self.how.job.seeds[0] + self.step.seed if seed is None else seed
        return self.how.job.but(prompt=words, seeds=(seed,), extent=working(self.picture, self.spec), image=None, mask=None, strength=1.0, each=(), regions=())

    def small(self, array: np.ndarray) -> np.ndarray:
        """A picture's array at the working size."""
        return pixels.resize(Picture.from_array(array), self.plain("").extent).array

    def large(self, array: np.ndarray) -> np.ndarray:
        """float32 [h, w, C] of the working size at the picture's."""
        size = self.picture.width, self.picture.height
        if array.shape[1::-1] == size:
            return array
        return cv2.resize(array.astype(np.float32), size, interpolation=cv2.INTER_CUBIC).reshape(size[1], size[0], -1)

    def find(self, target: str | None = None, partly: bool = True) -> Found:
        """Where the step's target is: the user's mask if there is one. Raises NotThere; BadInput for a mask of nothing, and of everything
        where `partly` says that a tool needs a rest."""
        if self.step.mask is not None and target is None:
            return self._users(self.step.mask, partly)
        self.progress(0, 0, "looking")
        wanted = self.step.target if target is None else target
        found = self.searcher.find(wanted)
        if not found.there:
            raise NotThere(wanted, found.score, found.mask if found.mask.array.any() else None)
        if partly and wanted in ("", EVERYTHING, BACKGROUND) and not (found.mask.array < 255).any():
            raise BadInput("No single thing stands out from this picture.", "Name it, or mark it yourself.")
        return found

    def _users(self, mask: Picture, partly: bool) -> Found:
        check_mask(mask, self.picture)
        own = mask.array[..., 0]
        if partly and own.min() > 0:
            raise BadInput("The mask covers the whole picture.", "Leave something out of it.")
        alpha = own.astype(np.float32) / 255
        alpha = alpha if self.given is None else alpha * (self.given > 0)
        return Found(Picture.from_array(np.where(own > 0, np.uint8(255), np.uint8(0))), 1.0, "your mask", True, (), alpha)

    def finish(self, rgb: np.ndarray, alpha: np.ndarray | None = None, where: np.ndarray | None = None) -> Picture:
        """uint8 [H, W, 3] (and a new alpha uint8 [H, W]) in the form of the picture. where: bool [H, W], what may differ; elsewhere every
        bit of the picture comes back."""
        array = self.picture.array
        if self.picture.channels == 4:
            new = np.dstack([rgb, array[..., 3] if alpha is None else alpha])
        elif self.picture.channels == 1:
            new = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)[..., None]
        else:
            new = rgb
        return Picture.from_array(np.ascontiguousarray(new if where is None else np.where(where[..., None], new, array)))

    def seeds(self, count: int) -> tuple[int, ...]:
        first = self.how.job.seeds[0] + self.step.seed
        return tuple((first + SEED_STEP * k) % (2 ** 63) for k in range(count))


def check_picture(picture: Picture) -> None:
    """Raises BadInput for pictures that no tool can work on."""
    width, height = picture.width, picture.height
    if min(width, height) < LEAST_PX:
        raise BadInput(f"This picture is {width}x{height} px, too small to edit.", f"Use one of at least {LEAST_PX} px a side.")
    if max(width, height) / min(width, height) > MOST_RATIO:
        raise BadInput(f"This picture is {width}x{height} px, too long and thin to edit.", "Crop it first.")
    if picture.channels == 4 and not picture.array[..., 3].any():
        raise BadInput("This picture is fully transparent; there is nothing to edit.", "Choose another picture.")


def check_mask(mask: Picture, picture: Picture) -> None:
    if (mask.width, mask.height) != (picture.width, picture.height):
        raise BadInput(f"The mask is {mask.width}x{mask.height} px, the picture {picture.width}x{picture.height}.", "Draw it on this picture.")
    if not mask.array[..., 0].any():
        raise BadInput("The mask is empty: nothing may change.", "Mark something, or let the words find it.")


def working(picture: Picture, spec: BaseSpec) -> Extent:
    """The size a base works at for a picture: its own longer side, the picture's shape, whole multiples."""
    scale, unit = spec.native_px[0] / max(picture.width, picture.height), spec.multiple_px
    side = lambda px: int(min(max(round(px * scale / unit) * unit, spec.min_px), spec.max_px))
    return Extent(side(picture.width), side(picture.height))


def box_here(mask: np.ndarray) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the True pixels."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


Tool = Callable[[Desk], Made]
