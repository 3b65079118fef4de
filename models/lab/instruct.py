"""Trains the instruction adapter of the embedded base (models.nets.instruct): python -m models.lab instruct --minutes 25

The base stays frozen. Triplets come from layered scenes with exact truth (models.lab.instruct_pairs). Each row is one task at one noise
level, half of them pure noise; places that the task changes count more, because most of a picture stays. To save time, only some of a
batch's rows go through the UNet itself; for the others its answer is taken to be the picture, so they train what needs no invention.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models import checkpoint
from models.devices import mixed_precision
from models.lab.beside import first, train_beside
from models.lab.budget import Budget
from models.lab.diffusion import TOP, random_times, sigmas_at, weights_of
from models.lab.instruct_pairs import Stage, Triplet, drawn_tasks, triplet
from models.lab.items import Item
from models.lab.parallel import rank
from models.lab.unicon import Texts
from models.nets.instruct import KIND, LOOK_TIME, Instruct, Source, Taps, config_for, tapped
from models.nets.instruct_tasks import TASKS
from models.nets.patches import PATCH_PX, PatchEncoder
from models.nets.unet import Cond, predict
from models.sampling import vp_scales
from models.text import TextEncoder


@dataclass(frozen=True)
class InstructConfig:
    """through: of a batch's rows that go through the UNet itself. again: rows taken from the last `remembered` triplets instead of made
    anew. said, shown: how often the UNet's own words are the sentence, and what the picture is to show; else none. hidden: rows whose picture
    is hidden. one_step: rows from pure noise. changed: extra weight of places that change."""
    batch_size: int = 16
    lr: float = 2.5e-3
    through: float = 0.5
    again: float = 0.6
    remembered: int = 1500
    said: float = 0.5
    shown: float = 0.3
    hidden: float = 0.04
    one_step: float = 0.6
    changed: float = 3.0
    time_mean: float = 1.0
    time_std: float = 1.3
    seed: int = 0


@dataclass
class Lesson:
    """One batch: latents of what is wanted and of what is shown, the sentence, the UNet's own words, weights of places [B, 1, h, w]."""
    target: Tensor
    source: Source
    sentence: Cond
    words: Cond
    cells: Tensor
    seen: dict[str, Tensor]

    def to(self, device: str) -> Lesson:
        move = lambda cond: tuple(t.to(device) for t in cond)
        source = Source(self.source.latents.to(device), self.source.alpha.to(device), self.source.present.to(device))
        return Lesson(self.target.to(device), source, move(self.sentence), move(self.words), self.cells.to(device),
                      {name: t.to(device).float() for name, t in self.seen.items()})


@dataclass
class Row:
    """A triplet as latents; `seen`: what the UNet sees in the clean picture under the sentence (bf16), once it has looked."""
    before: Tensor
    after: Tensor
    says: str
    shows: str
    changed: Tensor
    seen: dict[str, Tensor] | None = None


class School:
    """Makes lessons."""

    def __init__(self, stage: Stage, encoder: PatchEncoder, text: TextEncoder, config: InstructConfig) -> None:
        self.stage, self.encoder, self.config, self.texts = stage, encoder, config, Texts(text)
        self._known: deque[Row] = deque(maxlen=config.remembered)

    @torch.no_grad()
    def row(self, made: Triplet) -> Row:
        rgb = torch.from_numpy(np.stack([made.before, made.after])).permute(0, 3, 1, 2).float() / 255
        before, after = self.encoder(rgb)
        changed = F.avg_pool2d(torch.from_numpy(made.changed)[None, None].float(), PATCH_PX)[0]
        return Row(before, after, made.says, made.shows, (changed > 0.02).float())

    def rows(self, count: int, rng: np.random.Generator) -> list[Row]:
        """New ones, and some that were seen before."""
        again = int(self.config.again * count) if len(self._known) > 4 * count else 0
        new = [self.row(triplet(self.stage, task, rng)) for task in drawn_tasks(count - again, rng)]
        old = [self._known[int(i)] for i in rng.integers(len(self._known), size=again)]
        self._known.extend(new)
        rows = new + old
        return [rows[i] for i in rng.permutation(count)]

    def lesson(self, rows: Sequence[Row], rng: np.random.Generator | None) -> Lesson:
        """Of rows that were looked at. `rng` None: nothing is left out and the UNet's own words are the sentence."""
        config, words, present = self.config, [], []
        for row in rows:
            kind, there = (0.0, True) if rng is None else (rng.random(), rng.random() >= self.config.hidden)
            own = row.says if kind < config.said else row.shows if kind < config.said + config.shown else ""
            words.append(own if there else row.shows)
            present.append(float(there))
        before, after = (torch.stack([getattr(row, side) for row in rows]) for side in ("before", "after"))
        cells = 1 + config.changed * torch.stack([row.changed for row in rows])
        source = Source(before, torch.ones_like(cells), torch.tensor(present))
        seen = {name: torch.stack([row.seen[name] for row in rows]) for name in rows[0].seen}
        return Lesson(after, source, self.texts.cond([row.says for row in rows]), self.texts.cond(words),
                      cells / cells.mean((1, 2, 3), keepdim=True), seen)

    @torch.no_grad()
    def look(self, net: Any, taps: Taps, rows: Sequence[Row], device: str = "cpu") -> Sequence[Row]:
        """The UNet looks at those of `rows` that it has not seen; returns all."""
        if new := [row for row in rows if row.seen is None]:
            sentence = tuple(t.to(device) for t in self.texts.cond([row.says for row in new]))
            seen = looked(net, taps, torch.stack([row.before for row in new]).to(device), sentence)
            for i, row in enumerate(new):
                row.seen = {name: t[i].bfloat16().cpu() for name, t in seen.items()}
        return rows


def looked(net: Any, taps: Taps, latents: Tensor, sentence: Cond) -> dict[str, Tensor]:
    """What the UNet sees in the clean picture under the sentence."""
    time = torch.full((len(latents),), LOOK_TIME, device=latents.device)
    alpha, _ = vp_scales(sigmas_at(time[:1]))
    taps.open, taps.seen = True, {}
    try:
        predict(net, alpha * latents, time, sentence)
    finally:
        taps.open = False
    return taps.seen


def answered(net: Any, instruct: Instruct, lesson: Lesson, x_vp: Tensor, times: Tensor, through: int) -> Tensor:
    """x0 of all rows; the first `through` of them go through the UNet."""
    features = instruct.features(lesson.source, x_vp, times, lesson.sentence, lesson.seen)
    x0 = lesson.source.latents
    if through:
        part = slice(0, through)
        steered = instruct.residuals([f[part] for f in features])
        x0 = torch.cat([predict(net, x_vp[part], times[part], tuple(t[part] for t in lesson.words), **steered).float(), x0[through:]])
    return instruct.answer(features, lesson.source, x0)


def instruct_errors(net: Any, instruct: Instruct, lesson: Lesson, times: Tensor, eps: Tensor, through: int) -> Tensor:
    """Weighted squared error of x0, a row [B]; times at the top start from pure noise."""
    sigma = sigmas_at(times)[:, None, None, None]
    alpha, _ = vp_scales(sigma)
    x_vp = alpha * ((times < TOP).float()[:, None, None, None] * lesson.target + sigma * eps)
    answer = answered(net, instruct, lesson, x_vp, times, through)
    return weights_of(sigma[:, 0, 0, 0]).clamp_max(2) * (lesson.cells * (answer - lesson.target).square()).mean((1, 2, 3))


def train_instruct(net: Any, instruct: Instruct, school: School, budget: Budget, config: InstructConfig, device: str = "cpu",
                   say: Callable[[str], None] = print) -> None:
    """Train `instruct` until the budget is spent."""
    with tapped(net) as taps:
        def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
            lesson = school.lesson(school.look(net, taps, school.rows(config.batch_size, rng), device), rng).to(device)
            times = random_times(config.batch_size, generator, config.time_mean, config.time_std)
            times[torch.rand(config.batch_size, generator=generator) < config.one_step] = TOP
            eps = torch.randn(lesson.target.shape, generator=generator).to(device)
            return instruct_errors(net, instruct, lesson, times.to(device), eps, round(config.through * config.batch_size)).mean()
        train_beside(net, instruct, loss_of, budget, config.lr, config.seed, device, say)


@torch.no_grad()
def errors(net: Any, instruct: Instruct, school: School, device: str = "cpu", count: int = 12) -> dict[str, list[float]]:
    """{task: x0 error from pure noise on held-out things with the trained wording, with a paraphrase, of the picture itself}."""
    out = {}
    with tapped(net) as taps, mixed_precision(device):
        for task in TASKS:
            told = []
            for held in (False, True):
                rng = np.random.default_rng(0)
                rows = [school.row(triplet(school.stage, task, rng, held)) for _ in range(count)]
                lesson = school.lesson(school.look(net, taps, rows, device), None).to(device)
                times = torch.full((count,), float(TOP), device=device)
                eps = torch.randn(lesson.target.shape, generator=torch.Generator().manual_seed(0)).to(device)
                told.append(instruct_errors(net, instruct, lesson, times, eps, count).mean())
            told.append((lesson.cells * (lesson.source.latents - lesson.target).square()).mean())
            out[task] = [round(float(t), 4) for t in told]
    return out


def make_instruct(net: Any, encoder: PatchEncoder, text: TextEncoder, drawings: tuple[Sequence[Item], np.ndarray], rows: dict[str, Sequence[int]],
                  budget: Budget, path: Path, command: str, device: str = "cpu", config: InstructConfig = InstructConfig(),
                  start: Path | None = None) -> None:
    """Build (or go on from the file at `start`, where there is one), train, measure, export. `rows`: of drawings, "train" and "held"."""
    torch.manual_seed(config.seed)

    def fresh() -> tuple[Instruct, dict[str, Any]]:
        shape = config_for(net)
        return Instruct(shape), shape
    instruct, shape, before = first(start, KIND, "instruct", Instruct, fresh)
    instruct.to(device)
    school = School(Stage(*drawings, rows["train"]), encoder.cpu(), text, replace(config, seed=config.seed + before))
    train_instruct(net, instruct, school, budget, school.config, device, lambda told: print(told, flush=True))
    if rank():
        return
    told = errors(net, instruct, School(Stage(*drawings, rows["held"]), encoder, text, config), device)
    recipe = {"command": command, "config": asdict(config), "updates": before + budget.updates, "x0_error_said_paraphrased_identity": told}
    checkpoint.save(path, KIND, {"instruct": shape}, recipe, checkpoint.quantise(instruct.state_dict()), "Instructions",
                    says="Does with a picture what one sentence says.")
    print(f"{budget.updates} updates, x0 error on held-out things (as trained, paraphrased, the picture itself): {told}, {path.name}", flush=True)
