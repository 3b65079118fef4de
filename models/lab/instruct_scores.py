"""What the instruction adapter is worth, task by task, on things and cells that no training saw: python -m models.lab instruct_scores

Both pictures of a triplet are known exactly, so the measure is the error where the task changes something (mean absolute difference, grey values)
beside the identity's, with the sentences of training and with paraphrases that no training saw; and the error elsewhere, which ought to stay small.
Edges are also compared as lines (F1 within 4 px), cut-outs as shapes (intersection over union).
"""
from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models import checkpoint
from models.devices import mixed_precision
from models.lab.adapter_scores import ASSETS, write_section
from models.lab.diffusion import TABLE, sigmas_at
from models.lab.evaluate import contact_sheet, machine
from models.lab.instruct import InstructConfig, School, answered
from models.lab.instruct_pairs import Stage, Triplet, rows_of, triplet
from models.lab.items import Item
from models.lab.painter import Painter
from models.lines import agreement
from models.nets.instruct import KIND, Instruct, tapped
from models.nets.instruct_tasks import TASKS
from models.sampling import noise, spaced_sigmas, time_of_sigma, vp_scales

HEADING = "## Instructions"
DRAWS = 2000                                         # of the bootstrap


class Bench:
    """The student with the adapter, and triplets of held-out things."""

    def __init__(self, painter: Painter, drawings: tuple[Sequence[Item], np.ndarray], instruct: Instruct) -> None:
        self.painter, self.instruct, self.net = painter, instruct, painter.net("student")
        self.school = School(Stage(*drawings, rows_of(drawings[0], "held")), painter.encoder, painter.text, InstructConfig())

    def triplets(self, task: str, count: int, held: bool) -> list[Triplet]:
        """The same pictures for both wordings."""
        rng = lambda i: np.random.default_rng((list(TASKS).index(task), i))
        return [triplet(self.school.stage, task, rng(i), held) for i in range(count)]

    @torch.no_grad()
    def paint(self, triplets: Sequence[Triplet], steps: int) -> np.ndarray:
        """uint8 [N, 256, 256, 3]: what the sentences make of the pictures."""
        with tapped(self.net) as taps, mixed_precision("cpu"):
            lesson = self.school.lesson(self.school.look(self.net, taps, [self.school.row(t) for t in triplets]), None)
            x0 = torch.zeros_like(lesson.target)
            for i, sigma in enumerate(spaced_sigmas(steps, TABLE)):
                times = torch.full((len(x0),), time_of_sigma(sigma, TABLE))
                alpha, _ = vp_scales(sigmas_at(times)[:, None, None, None])
                x = x0 + sigma * noise(range(len(x0)), x0.shape[1:], i)
                x0 = answered(self.net, self.instruct, lesson, alpha * x, times, len(x0))
        return self.painter.show(x0)


def errors(pictures: np.ndarray, triplets: Sequence[Triplet], inside: bool) -> np.ndarray:
    """Mean absolute difference to the truth in grey values where the task changes something, or elsewhere; nan where there is no such place."""
    out = []
    for picture, one in zip(pictures, triplets):
        where = one.changed if inside else ~one.changed
        out.append(float(np.abs(picture.astype(np.int16) - one.after)[where].mean()) if where.any() else np.nan)
    return np.array(out)


def interval(differences: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % of the mean of paired differences, by bootstrap."""
    known = differences[~np.isnan(differences)]
    picks = np.random.default_rng(seed).integers(len(known), size=(DRAWS, len(known)))
    return tuple(np.percentile(known[picks].mean(1), (2.5, 97.5)))


def own_measure(task: str, pictures: np.ndarray, triplets: Sequence[Triplet]) -> str:
    """What only that task asks for."""
    dark = [picture.mean(2) < 128 for picture in pictures]
    if task == "cutout":
        truth = [one.after.mean(2) < 128 for one in triplets]
        return f"IoU {np.mean([(a & b).sum() / max((a | b).sum(), 1) for a, b in zip(dark, truth)]):.2f}"
    if task == "edges":
        return f"F1 {np.mean([agreement(one.after.mean(2) < 128, found)[2] for one, found in zip(triplets, dark)]):.2f}"
    return ""


def row(bench: Bench, task: str, count: int, steps: int) -> tuple[str, list[np.ndarray], list[str]]:
    """A line of the table, and pictures for the sheet."""
    said, other = bench.triplets(task, count, False), bench.triplets(task, count, True)
    painted, worded = bench.paint(said, steps), bench.paint(other, steps)
    before = np.stack([one.before for one in said])
    told, again, none, kept = errors(painted, said, True), errors(worded, other, True), errors(before, said, True), errors(painted, said, False)
    low, high = interval(told - none)
    better = "better" if high < 0 else "worse" if low > 0 else "not told apart"
    line = (f"| {TASKS[task].title} | {np.nanmean(none):.1f} | {np.nanmean(told):.1f} | {np.nanmean(again):.1f} | {low:+.1f} to {high:+.1f} ({better}) "
            f"| {'' if np.isnan(kept).all() else f'{np.nanmean(kept):.1f}'} | {own_measure(task, painted, said)} |")
    shown, words = [], []
    for one, picture in list(zip(said, painted))[:3]:
        shown += [one.before, picture, one.after]
        words += [one.says, "painted", "truth"]
    return line, shown, words


def run_instruct_scores(painter: Painter, drawings: tuple[Sequence[Item], np.ndarray], path: Path, command: str, sheet: Path, count: int = 30,
                        steps: int = 1, out: Path = ASSETS / "SCORES.md") -> str:
    """Measure, write the section and the sheet, return the section."""
    saved = checkpoint.load(path, KIND)
    instruct = Instruct(saved.config["instruct"]).eval()
    instruct.load_state_dict(saved.tensors)
    bench, lines, shown, words = Bench(painter, drawings, instruct), [], [], []
    for task in TASKS:
        line, pictures, captions = row(bench, task, count, steps)
        lines.append(line)
        shown += pictures
        words += captions
        print(line, flush=True)
    contact_sheet(shown, words, columns=9).save(sheet, quality=80)
    ships = "" if path.parent == ASSETS / "adapters" else (" These weights do not ship: the errors fall because answers are mixtures of what might "
                                                           "be meant, pale and soft to the eye.")
    text = "\n".join([f"{count} held-out pictures a task, the student, {steps} step, {datetime.date.today().isoformat()}, {machine()}, {command}. "
                      f"{saved.recipe.get('updates', 0):,} updates of {saved.recipe['config']['batch_size']}.{ships}",
                      "Error where the task changes something, in grey values; the interval is that of the paired difference to the picture itself.", "",
                      "| task | the picture itself | told ↓ | paraphrased ↓ | 95 % of told less itself | elsewhere ↓ | |", "|---|---|---|---|---|---|---|",
                      *lines])
    write_section(out, HEADING, text)
    return text
