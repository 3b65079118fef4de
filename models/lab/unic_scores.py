"""What the UNIC adapter is worth, on held-out drawings through the student: python -m models.lab unic_scores

Lines: do edges lie on them, beside the scribble control and no picture? Subject and look: is what is painted nearer to its picture than
words alone make it (features of an ImageNet network, centred)? And the sentence: the same lines under the sentence for a style must not be
followed as lines. Edges agree within 4 px.
"""
from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models import checkpoint
from models.devices import mixed_precision
from models.lab.adapter_scores import ASSETS, write_section
from models.lab.diffusion import TABLE, estimate
from models.lab.evaluate import machine
from models.lab.latents import LatentSet
from models.lab.metrics.features import POOLED, FeatureNet, look
from models.lab.pair_scores import f1s, ink_of, said
from models.lab.painter import Painter
from models.lab.unic import SENTENCES, Lesson, School, UnicConfig
from models.lines import edges
from models.nets.unet import predict
from models.nets.unic import KIND, Memory, Unic, attached
from models.sampling import noise, spaced_sigmas, time_of_sigma

HEADING = "## One picture, many tasks (UNIC)"


@dataclass
class Bench:
    """Held-out rows and the student with the adapter."""
    painter: Painter
    data: LatentSet
    rows: list[int]
    unic: Unic

    def __post_init__(self) -> None:
        self.net = self.painter.net("student")
        self.school = School(self.data, self.painter.encoder, self.painter.text, UnicConfig(whole=1.0))
        self.truth = self.painter.show(self.data.rows(self.rows).latents)

    def lesson(self, task: str) -> Lesson:
        return self.school.lesson([task] * len(self.rows), self.rows, np.random.default_rng(0))

    @torch.no_grad()
    def paint(self, lesson: Lesson, steps: int, shown: bool = True) -> np.ndarray:
        """uint8 [N, 256, 256, 3]; `shown` False: the words alone."""
        x0 = torch.zeros_like(lesson.target)
        with attached(self.net, self.unic, Memory()) as memory, mixed_precision("cpu"):
            with memory.records(tuple(x0.shape[-2:])):
                predict(self.net, lesson.seen, torch.zeros(len(x0)), lesson.sentence)
            memory.amount = float(shown)
            for i, sigma in enumerate(spaced_sigmas(steps, TABLE)):
                x = x0 + sigma * noise([7 + row for row in self.rows], x0.shape[1:], i)
                x0 = estimate(self.net, x, torch.full((len(x0),), time_of_sigma(sigma, TABLE)), lesson.words)
            return self.painter.show(x0)


def line_rows(bench: Bench, steps: int) -> list[str]:
    """Lines, with their own sentence, with the wrong one, without the picture; and read."""
    lesson, read = bench.lesson("edges"), bench.lesson("read")
    wrong = Lesson(lesson.target, lesson.seen, bench.lesson("style").sentence, lesson.words, lesson.weights)
    drawn = [ink_of(p) for p in bench.painter.show(lesson.seen)]
    f1 = [f1s(drawn, [edges(p) for p in bench.paint(*how)]) for how in ((lesson, steps), (wrong, steps), (lesson, steps, False))]
    percept, found = [edges(p) for p in bench.truth], [ink_of(p) for p in bench.paint(read, steps)]
    own, another = f1s(percept, found), f1s(percept[1:] + percept[:1], found)
    return [f"| {steps} | follow lines: edge F1 ↑ | {said(f1[0])} | {said(f1[2])} |",
            f"| {steps} | lines with the sentence for a style: edge F1 ↓ | {said(f1[1])} | {said(f1[2])} |",
            f"| {steps} | read lines: F1 with the lines percept ↑ | {said(own)} | {said(another)} (another's lines) |"]


def likeness_rows(bench: Bench, steps: int, eyes: FeatureNet) -> list[str]:
    """How alike what is painted and the picture that was shown are, with it and without."""
    rows = []
    for task in ("subject", "style"):
        lesson = bench.lesson(task)
        shown, *painted = (look(eyes, p)[:, :POOLED] for p in (bench.painter.show(lesson.seen), bench.paint(lesson, steps), bench.paint(lesson, steps, False)))
        unit = lambda f, centre=shown.mean(0): (f - centre) / np.linalg.norm(f - centre, axis=1, keepdims=True)
        with_it, without = ((unit(p) * unit(shown)).sum(1) for p in painted)
        rows.append(f"| {steps} | {task}: likeness to the picture ↑ | {said(with_it)} | {said(without)} |")
    return rows


def run_unic_scores(painter: Painter, data: LatentSet, command: str, n: int = 48, path: Path = ASSETS / "adapters" / "unic.safetensors",
                    out: Path = ASSETS / "SCORES.md") -> str:
    """Measure, write the section, return it."""
    saved = checkpoint.load(path, KIND)
    unic = Unic(saved.config["unic"]).eval()
    unic.load_state_dict(saved.tensors)
    bench, eyes = Bench(painter, data, list(range(0, len(data), max(1, len(data) // n)))[:n], unic), FeatureNet()
    rows = [row for steps in (1, 4) for row in (*line_rows(bench, steps), *likeness_rows(bench, steps, eyes))]
    ships = "" if path.parent == ASSETS / "adapters" else " These weights do not ship."
    text = "\n".join([f"On {len(bench.rows)} held-out drawings, the student, {datetime.date.today().isoformat()}, {machine()}, {command}. "
                      f"{saved.recipe.get('updates', 0):,} updates of {saved.recipe['config']['batch_size']}.{ships}",
                      f"Sentences: {'; '.join(SENTENCES.values())}. ± is half a 95 % interval.", "",
                      "| steps | | with the picture | without |", "|---|---|---|---|", *rows])
    write_section(out, HEADING, text)
    return text
