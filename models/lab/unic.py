"""Trains the UNIC adapter of the embedded base (models.nets.unic): python -m models.lab unic --minutes 14

The base stays frozen and is its own branch. Four tasks share one adapter and are told apart by their sentence alone (section 3.2 of the
paper): follow lines, paint the same thing again, take over the look of another picture, and read the lines off a picture.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoint
from models.devices import mixed_precision
from models.lab.beside import first, train_beside
from models.lab.budget import Budget
from models.lab.diffusion import TOP, random_times, sigmas_at, weights_of
from models.lab.image_prompt import ImagePromptConfig, views
from models.lab.latents import LatentSet
from models.lab.parallel import rank
from models.lab.unicon import Signals, Texts, UniconConfig
from models.nets.patches import PatchEncoder
from models.nets.unet import Cond, predict
from models.nets.unic import KIND, Memory, Unic, attached, config_for, start_from
from models.sampling import vp_scales
from models.spec import EMBEDDED_STYLES
from models.text import TextEncoder

SENTENCES = {"edges": "Generate image from edges", "subject": "Generate image from {} image", "style": "Generate image from style image",
             "read": "Read the edges of this image"}
ANY = "subject"                                      # what "{}" says where nothing is known
READ_WEIGHT = 0.25                                   # thin black lines have four times the variance of pictures
LOOKS = tuple(phrase for style in EMBEDDED_STYLES for phrase in (style.phrase, style.phrase.removesuffix(" style")))


@dataclass(frozen=True)
class UnicConfig:
    """tasks: how often each is drawn. text_dropout: of rows without words. blank: without picture and sentence. one_step: of rows that
    start from pure noise. whole: of lines that are all drawn, the others a share from `shares`."""
    batch_size: int = 8
    lr: float = 2.5e-3
    rank: int = 16
    tasks: tuple[tuple[str, float], ...] = (("edges", 0.4), ("subject", 0.25), ("style", 0.15), ("read", 0.2))
    text_dropout: float = 0.33
    blank: float = 0.05
    one_step: float = 0.5
    whole: float = 0.6
    shares: tuple[float, float] = (0.1, 1.0)
    time_mean: float = 1.2
    time_std: float = 1.3
    seed: int = 0


@dataclass
class Lesson:
    """One batch: what is to be painted, from which picture, by which sentence, with which words; `weights` of the rows' errors."""
    target: Tensor
    seen: Tensor
    sentence: Cond
    words: Cond
    weights: Tensor

    def to(self, device: str) -> Lesson:
        move = lambda cond: tuple(t.to(device) for t in cond)
        return Lesson(self.target.to(device), self.seen.to(device), move(self.sentence), move(self.words), self.weights.to(device))


class School:
    """Makes lessons from a set of rows. A row's source set is its look, the rest of its key what it shows."""

    def __init__(self, data: LatentSet, encoder: PatchEncoder, text: TextEncoder, config: UnicConfig) -> None:
        self.data, self.encoder, self.config = data, encoder, config
        self.texts, self.signals = Texts(text), Signals(encoder, UniconConfig())
        sources = np.array([key.partition("/")[0] for key in data.keys])
        self.of_source = {source: np.flatnonzero(sources == source) for source in np.unique(sources)}

    def lesson(self, tasks: Sequence[str], rows: Sequence[int], rng: np.random.Generator, text_dropout: float = 0.0) -> Lesson:
        latents = self.data.rows(list(rows)).latents
        shares = np.where(rng.random(len(rows)) < self.config.whole, 1.0, rng.uniform(*self.config.shares, len(rows)))
        shares[[task == "read" for task in tasks]] = 1.0
        lines = self.signals.latents(self.signals.pictures("lines", rows, latents, shares, rng))
        seen = {"edges": lines, "read": latents, "subject": self._again(latents, rng), "style": self._alike(rows, rng)}
        pick = lambda of: torch.stack([of(task)[i] for i, task in enumerate(tasks)])
        words = ["" if task == "read" or rng.random() < text_dropout else self._caption(int(row), task, rng) for row, task in zip(rows, tasks)]
        sentences = [SENTENCES[task].format(self._label(int(row))) for row, task in zip(rows, tasks)]
        weights = torch.tensor([READ_WEIGHT if task == "read" else 1.0 for task in tasks])
        return Lesson(pick(lambda task: lines if task == "read" else latents), pick(seen.__getitem__), self.texts.cond(sentences),
                      self.texts.cond(words), weights)

    @torch.no_grad()
    def _again(self, latents: Tensor, rng: np.random.Generator) -> Tensor:
        """The same things, moved, turned and mirrored, so that copying does not help."""
        rgb = self.encoder.transpose(latents).clamp(0, 1)
        half = views(rgb, rgb.shape[-1] // 2, ImagePromptConfig(), rng)
        return self.encoder(torch.nn.functional.interpolate(half, scale_factor=2.0, mode="bilinear").clamp(0, 1))

    def _alike(self, rows: Sequence[int], rng: np.random.Generator) -> Tensor:
        """Other pictures of the same source."""
        others = [int(rng.choice(self.of_source[self.data.keys[int(row)].partition("/")[0]])) for row in rows]
        return self.data.rows(others).latents

    def _label(self, row: int) -> str:
        name = self.data.keys[row].partition("/")[2].replace("-", " ").strip()
        return name if name and not name.isdigit() else ANY

    def _caption(self, row: int, task: str, rng: np.random.Generator) -> str:
        """One of the row's captions; where the look is to come from a picture, without the words for it."""
        text = self.data.texts[int(rng.choice(self.data.captions[row]))]
        for look in LOOKS if task == "style" else ():
            text = text.replace(f", {look}", "").replace(f"{look} of ", "")
        return text


def unic_errors(net: Any, memory: Memory, lesson: Lesson, times: Tensor, eps: Tensor, shown: bool = True) -> Tensor:
    """Weighted squared error of x0, a row [B]; `shown` False hides the picture. Times at the top start from pure noise."""
    memory.amount, memory.kept = float(shown), {}
    if shown:
        with memory.records(tuple(lesson.seen.shape[-2:])):
            predict(net, lesson.seen, torch.zeros(len(times), device=times.device), lesson.sentence)
    sigma = sigmas_at(times)[:, None, None, None]
    alpha, _ = vp_scales(sigma)
    x = (times < TOP).float()[:, None, None, None] * lesson.target + sigma * eps
    answer = predict(net, alpha * x, times, lesson.words).float()
    return lesson.weights * weights_of(sigma[:, 0, 0, 0]) * (answer - lesson.target).square().mean((1, 2, 3))


def train_unic(net: Any, unic: Unic, school: School, budget: Budget, config: UnicConfig, device: str = "cpu",
               say: Callable[[str], None] = print) -> None:
    """Train `unic` until the budget is spent."""
    names, odds = zip(*config.tasks)
    with attached(net, unic, Memory()) as memory:
        def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
            rows = rng.choice(len(school.data), config.batch_size, p=school.data.shares)
            lesson = school.lesson(rng.choice(names, len(rows), p=odds), rows, rng, config.text_dropout).to(device)
            times = random_times(len(rows), generator, config.time_mean, config.time_std)
            times[: round(config.one_step * len(rows))] = TOP
            eps = torch.randn(lesson.target.shape, generator=generator).to(device)
            return unic_errors(net, memory, lesson, times.to(device), eps).mean()
        train_beside(net, unic, loss_of, budget, config.lr, config.seed, device, say)


@torch.no_grad()
def errors(net: Any, unic: Unic, school: School, device: str = "cpu", count: int = 32) -> dict[str, list[float]]:
    """{task: x0 error from pure noise on unseen rows with its picture, with another's, without}."""
    rows, out = list(range(0, len(school.data), max(1, len(school.data) // count)))[:count], {}
    times = torch.full((len(rows),), float(TOP), device=device)
    with attached(net, unic, Memory()) as memory, mixed_precision(device):
        for task in SENTENCES:
            lesson = school.lesson([task] * len(rows), rows, np.random.default_rng(0)).to(device)
            eps = torch.randn(lesson.target.shape, generator=torch.Generator().manual_seed(0)).to(device)
            told = [unic_errors(net, memory, lesson, times, eps)]
            lesson.seen = lesson.seen.roll(1, 0)
            told += [unic_errors(net, memory, lesson, times, eps, shown) for shown in (True, False)]
            out[task] = [round(float(t.mean()), 4) for t in told]
    return out


def _fresh(net: Any, config: UnicConfig) -> tuple[Unic, dict[str, Any]]:
    shape = config_for(net, config.rank)
    return start_from(Unic(shape), net), shape


def make_unic(net: Any, encoder: PatchEncoder, text: TextEncoder, data: LatentSet, unseen: LatentSet, budget: Budget, path: Path,
              command: str, device: str = "cpu", config: UnicConfig = UnicConfig(), start: Path | None = None) -> None:
    """Build (or go on from the file at `start`, where there is one), train, measure, export."""
    torch.manual_seed(config.seed)
    unic, shape, before = first(start, KIND, "unic", Unic, lambda: _fresh(net, config))
    unic.to(device)
    train_unic(net, unic, School(data, encoder.cpu(), text, config), budget, config, device, lambda told: print(told, flush=True))
    if rank():
        return
    told = errors(net, unic, School(unseen, encoder, text, config), device)
    recipe = {"command": command, "config": asdict(config), "updates": before + budget.updates, "x0_error_with_picture_with_another_without": told}
    checkpoint.save(path, KIND, {"unic": shape, "sentences": SENTENCES}, recipe, checkpoint.quantise(unic.state_dict()), "UNIC",
                    says="Looks at one picture and does with it what a sentence says.")
    print(f"{budget.updates} updates, x0 error on unseen drawings (its picture, another's, none): {told}, {path.name}", flush=True)
