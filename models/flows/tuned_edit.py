"""Edits by a picture key: a few seconds of tuning make a base know one picture, then words change it and the rest stays.

FastEdit (Chen et al. 2024, arXiv 2408.03355): low-rank changes, few steps, noise levels chosen by how far the wanted words lie from the
picture's, and a row from the one to the other. UniTune (Valevski et al. 2023, arXiv 2210.09477): a rare word alone is learned, the edit starts
from the noised picture, and what hardly changed is put back. SINE (Zhang et al. 2023, arXiv 2212.04489): the tuned base's picture is mixed
into the plain base's first levels. ProSpect (Zhang et al. 2023, arXiv 2305.16225): which stages of the walk see the key decides whether
layout, content or material is taken from it.

The tuning itself is models.tuning; an edit is one job that any tab can replay, since a key is a LoRA file.
"""
from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from models.contracts import Cancel, Progress, ignore_progress, never_cancel
from models.errors import BadInput, UnknownId
from models.flows import Render
from models.job import AdapterUse, Extent, Job, Picture, Region, Result
from models.spec import BaseSpec
from models.tuning import keys as files
from models.tuning.keys import Key
from models.tuning.levels import ALL, WINDOWS, Window, discrepancy, likeness, window_of

if TYPE_CHECKING:
    from models.engine import Engine

WORD = "beikkpic"                                    # rare pieces that mean nothing to a text encoder
FEW, MANY = 4, 12                                    # steps of an edit: by a distilled base, by another
UNCHANGED, CHANGED = 6.0, 14.0                       # Lab distances between which the edit fades in
STAGES = {"layout": (0.0, 0.2), "content": (0.2, 1.0), "material": (0.5, 1.0)}
"""Shares of the walk that see the key: layout the noisiest fifth, content all but that, material the last half (section 3.4)."""
TAKES = {"": "The picture", "layout": "Its layout only", "content": "Its content only", "material": "Its material and style only"}


@dataclass(frozen=True)
class Method:
    """steps: (least, most, usual). enough: likeness at which tuning stops. alone: only a rare word is learned, whatever the picture shows."""
    id: str
    title: str
    about: str
    steps: tuple[int, int, int]
    lr: float
    draws: int
    enough: float
    alone: bool


METHODS = {m.id: m for m in (
    Method("fast", "Quick (FastEdit)", "Seconds: few steps, at the noise levels that the wanted change needs.", (10, 120, 50), 8e-3, 2, 0.80, False),
    Method("unitune", "Free (UniTune)", "Longer: a word of its own for this picture, all noise levels, freer edits.", (40, 240, 120), 4e-3, 2, 0.85, True))}


@dataclass(frozen=True)
class Tune:
    """What to learn. shows: the picture in words, target: the edit that is planned; both may be empty. steps 0 = the method's own number."""
    base: str = "embedded"
    method: str = "fast"
    name: str = ""
    shows: str = ""
    target: str = ""
    steps: int = 0
    every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise BadInput(f'"{self.method[:40]}" is no way to tune.', f"Known: {', '.join(METHODS)}.")
        low, high, _ = METHODS[self.method].steps
        if self.steps and not low <= self.steps <= high:
            raise BadInput(f"{METHODS[self.method].title} takes {low} to {high} steps, not {self.steps}.")
        if self.every < 1:
            raise BadInput("A preview every 0 steps cannot be made.", "Write 1 or more.")


@dataclass(frozen=True)
class Tuning:
    """How far it is: loss averaged over the last steps, likeness (SSIM) of the preview with the picture; the last one carries the key."""
    step: int
    steps: int
    loss: float
    likeness: float
    preview: Picture | None
    seconds: float
    key: Key | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edit:
    """What is wanted of a key; models.flows.tuned_edit says what each number does."""
    words: str
    key: Key
    picture: Picture
    base: str = ""
    steps: int = 0
    seed: int = 0
    freedom: float = 0.8
    keep: float = 0.0
    until: float = 0.5
    eta: float = 1.0
    fidelity: float = 1.0
    restore: bool = True
    style: str = ""
    take: str = ""

    def __post_init__(self) -> None:
        for name, value, most in (("Freedom", self.freedom, 1), ("Keep", self.keep, 1), ("Eta", self.eta, 1), ("Fidelity", self.fidelity, 1.5)):
            if not 0 <= value <= most:
                raise BadInput(f"{name} {value} is outside 0..{most}.")
        if not 0 < self.until <= 1:
            raise BadInput(f"The key cannot act until {self.until} of the walk.", "Write a share above 0, at most 1.")
        if self.take not in TAKES:
            raise BadInput(f'A key has no "{self.take[:40]}".', f"Known: {', '.join(filter(None, TAKES))}.")
        if not self.words.strip() and self.eta > 0:
            raise BadInput("The edit has no words.", "Say what it should become.")


@dataclass(frozen=True, eq=False)
class EditedByKey:
    """picture: size and channels of the given one. mask: 255 where it changed. likeness: SSIM with the given one. job replays `raw`."""
    edit: Edit
    picture: Picture
    mask: Picture
    likeness: float
    job: Job
    raw: Result
    notes: tuple[str, ...] = ()


# --- learning --------------------------------------------------------------------------------------------------------

def tune(engine: Engine, picture: Picture, wanted: Tune, progress: Progress = ignore_progress, cancel: Cancel = never_cancel,
         session: str = "tuning") -> Iterator[Tuning]:
    """Learn `picture`; a Tuning every few steps, the last one with the key, which is then on disk. Cancelled leaves nothing behind."""
    from models.tuning.trainer import Recipe, Trainer
    folder, spec, method = _folder(engine), engine.catalog.base(wanted.base).spec, METHODS[wanted.method]
    steps, extent = wanted.steps or method.steps[2], extent_for(spec, picture)
    shows = wanted.shows.strip()
    word = WORD if method.alone or not shows else shows
    window = ALL if method.alone else _window(engine, wanted.base, shows, wanted.target.strip())
    recipe = Recipe(wanted.base, fitted(picture, extent), extent, word, window, steps, method.lr, draws=method.draws, seed=wanted.seed)
    trainer, start, truth = Trainer(engine, recipe, session, cancel), time.perf_counter(), fitted(picture, extent).array
    while trainer.done < steps:
        trainer.step()
        progress(trainer.done, steps, "learning the picture")
        if trainer.done % wanted.every == 0 or trainer.done == steps:
            seen = trainer.reconstruct(*_look(spec, window))
            now = Tuning(trainer.done, steps, trainer.loss, likeness(seen, truth), Picture.from_array(seen), time.perf_counter() - start)
            if now.likeness >= method.enough or trainer.done == steps:
                break
            yield now
    yield replace(now, key=_kept(engine, folder, picture, wanted, trainer, now, word))


def _kept(engine: Engine, folder: Path, picture: Picture, wanted: Tune, trainer: Any, last: Tuning, word: str) -> Key:
    """Write the key, make it known."""
    recipe, space = trainer.recipe, trainer.space
    spec = engine.catalog.base(wanted.base).spec
    title = wanted.name.strip() or " ".join(wanted.shows.split()[:6]) or "Picture key"
    path = files.file_for(folder, title, picture.digest)
    key = Key(path.stem, title, wanted.base, word, wanted.shows.strip(), wanted.method, last.step, round(last.seconds, 2), round(last.likeness, 3),
              space.count, round(space.share, 5), picture.digest, str(recipe.extent), (recipe.window.low, recipe.window.high), recipe.rank, walk=_walk(spec))
    files.write(path, key, spec.arch, space.tensors(), space.targets)
    return replace(files.read(path), id=engine.catalog.shelf.add(path, "lora").id)


def _walk(spec: BaseSpec) -> int:
    """Steps of an edit."""
    return spec.max_steps if spec.max_steps <= FEW else MANY


def _look(spec: BaseSpec, window: Window) -> tuple[int, float]:
    """Steps and strength of a preview."""
    return max(1, _walk(spec) // 2), window.high


def _window(engine: Engine, base: str, shows: str, target: str) -> Window:
    """Where to train for the change from `shows` to `target`; the middle where one of them is not told."""
    if not shows or not target:
        return WINDOWS[1]

    def read() -> tuple[np.ndarray, np.ndarray]:
        with engine.registry.lease(base) as (resident, _):
            return _pooled(resident.encode_prompt(shows)), _pooled(resident.encode_prompt(target))
    with engine.turns.take("tuning"):
        return window_of(discrepancy(*engine.by_hand(read)))


def _pooled(read: Any) -> np.ndarray:
    """One vector of what a base's text encoder answered: its sentence vector, else the mean of its states."""
    states = getattr(read, "pooled", None)
    states = read.states.float().mean(0) if states is None else states.float()
    return states.flatten().cpu().numpy()


def extent_for(spec: BaseSpec, picture: Picture) -> Extent:
    """The size at which a base paints this picture: its own area in the picture's shape, in its own steps."""
    scale = spec.native_px[0] / (picture.width * picture.height) ** 0.5
    most = max(spec.min_px, min(spec.max_px, 2 * spec.native_px[0]))
    side = lambda px: min(max(round(px * scale / spec.multiple_px) * spec.multiple_px, spec.min_px), most)
    return Extent(side(picture.width), side(picture.height))


def fitted(picture: Picture, extent: Extent) -> Picture:
    """On white, stretched to `extent`: their shapes differ by less than one of the base's steps."""
    from models import pixels
    return pixels.resize(pixels.flatten(picture), extent)


def _folder(engine: Engine) -> Path:
    if engine.catalog.shelf is None:
        raise BadInput("There is no folder of models to keep a picture key in.", "Name one with --models-dir.")
    return engine.catalog.shelf.folder


# --- keys ------------------------------------------------------------------------------------------------------------

def keys(engine: Engine) -> tuple[Key, ...]:
    """All picture keys of the user, newest first, under the ids that the catalog knows them by."""
    shelf = engine.catalog.shelf
    if shelf is None:
        return ()
    found = []
    for key in files.listed(shelf.folder):
        model = shelf.find(key.id)
        if model is None or model.path != key.path:
            model = next((m for m in shelf.models(Path(key.path).name, "lora") if m.path == key.path), None)
        found += [replace(key, id=model.id)] if model else []
    return tuple(found)


def key_of(engine: Engine, id: str) -> Key:
    """Raises UnknownId with those that are there."""
    own = {key.id: key for key in keys(engine)}
    if id not in own:
        raise UnknownId(f'There is no picture key "{id[:60]}".', f"Known: {', '.join(list(own)[:8]) or 'none yet'}.")
    return own[id]


def forget(engine: Engine, id: str) -> None:
    """Delete a key; what was painted with it stays."""
    key = key_of(engine, id)
    engine.registry.evict("adapter", key.id)
    engine.catalog.shelf.forget(key.id, delete=True)
    engine.catalog.forget(key.id)


# --- editing ---------------------------------------------------------------------------------------------------------

def tuned_edit(render: Render, edit: Edit) -> Iterator[EditedByKey]:
    """One edit."""
    job = job_of(edit)
    raw = render(job)
    yield _finished(edit, job, raw)


def etas(render: Render, edit: Edit, values: Sequence[float] = (0.0, 0.3, 0.5, 0.7, 0.9)) -> Iterator[EditedByKey]:
    """The row from the picture's words to the edit's (FastEdit, section 3.3)."""
    for eta in values:
        yield from tuned_edit(render, replace(edit, eta=eta))


def grid(render: Render, edit: Edit, freedoms: Sequence[float] = (0.6, 0.8, 0.95), keeps: Sequence[float] = (0.0, 0.3, 0.6)) -> Iterator[EditedByKey]:
    """Every freedom with every keep, row by row: the two trade off, and eyes choose quicker than numbers."""
    for freedom in freedoms:
        for keep in keeps:
            yield from tuned_edit(render, replace(edit, freedom=freedom, keep=keep))


def job_of(edit: Edit) -> Job:
    """The job that paints it. Its words are put together here, so that a replay needs no more than the job."""
    key, extent, words = edit.key, Extent.parse(edit.key.extent), edit.words.strip()
    base = edit.base or key.base
    steps = edit.steps or (key.walk if base == key.base else FEW)
    plain = Job(prompt=words, base=base, style=edit.style, seeds=(edit.seed,), extent=extent, steps=steps)
    if edit.take:
        start, stop = STAGES[edit.take]
        return plain.but(adapters=(AdapterUse(key.id, 1.0, words=key.word, start=start, stop=stop),))
    plain = plain.but(image=fitted(edit.picture, extent), strength=edit.freedom)
    if edit.keep:
        return plain.but(adapters=(AdapterUse(key.id, edit.keep, words=key.word, stop=edit.until),))
    told = f"{key.word}, {words}" if key.word == WORD else words
    own = Picture.from_array(np.full((extent.height, extent.width), round(255 * (1 - edit.eta)), np.uint8))
    regions = (Region(key.word, own),) if 0 < edit.eta < 1 else ()
    return plain.but(prompt=told if edit.eta else key.word, adapters=(AdapterUse(key.id, edit.fidelity),), regions=regions)


def _finished(edit: Edit, job: Job, raw: Result) -> EditedByKey:
    """The picture in the given one's size, with its alpha, and its own pixels where hardly anything changed."""
    from models import pixels
    given, size = pixels.flatten(edit.picture).array, Extent(edit.picture.width, edit.picture.height)
    if job.image is not None and job.strength == 0:
        return EditedByKey(edit, edit.picture, Picture.from_array(np.zeros(given.shape[:2], np.uint8)), 1.0, job, raw)
    new = pixels.resize(Picture.from_array(raw.pixels[0][..., :3]), size).array
    share = changed(given, new)
    painted = new if not edit.restore or edit.take else (given + share[..., None] * (new.astype(np.float32) - given)).round().clip(0, 255).astype(np.uint8)
    alike = likeness(painted, given)
    notes = raw.notes
    if edit.picture.channels == 4:
        painted = np.dstack([painted, edit.picture.array[..., 3]])
        notes += ("The outline (alpha) of the picture was kept.",)
    return EditedByKey(edit, Picture.from_array(painted), Picture.from_array((share * 255).round().astype(np.uint8)), alike, job, raw, notes)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] each -> float32 [H, W], 0 where they look alike, 1 where they differ: the Lab distance, softened, between two
    thresholds. (UniTune keeps details so; fixed thresholds, where a share of the picture would also undo changes of the whole.)"""
    lab = [cv2.cvtColor(np.ascontiguousarray(p).astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for p in (before, after)]
    far = cv2.GaussianBlur(np.linalg.norm(lab[0] - lab[1], axis=2), (0, 0), 3)
    t = np.clip((far - UNCHANGED) / (CHANGED - UNCHANGED), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)
