"""Measures style transfer: python -m models.lab style_scores n=64

(a) Paired: emoji sets draw the same concept, so a drawing of unseen concepts, restyled after another drawing of a set, has a truth; also for
the set that was never a style in training. Against what is usual: histogram and Gram matching, and image-to-image with words, which knows
the concept's name and the set's phrase. Judged by frozen features that nothing here was trained against, and by pixels.
(b) Views: pans over scenes, whose overlap must come out alike. (c) How much structure stays.
"""
from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models import checkpoint
from models.devices import mixed_precision
from models.lab.adapter_scores import sheet_of, write_section
from models.lab.captions import article
from models.lab.diffusion import TABLE, denoise
from models.lab.evaluate import ASSETS, machine
from models.lab.items import Item
from models.lab.latents import TextTable
from models.lab.metrics.features import POOLED, FeatureNet, look
from models.lab.painter import Painter
from models.lab.pictures import SCENES, over, place, scene_background
from models.lab.style_pairs import HELD, Pairs
from models.lab.style_transfer import grey, ssim, to_lab
from models.nets.style import KIND, Restyle, attached, eye_view, restyled
from models.nets.style_judge import Judge, look_of
from models.sampling import noise, spaced_sigmas
from models.text import TextEncoder
from models.vector.strokes import in_colours_of

HEADING = "## Style of a picture"
STRENGTH = 0.5                                       # of image-to-image, the baseline
GRAM_STEPS, GRAM_LR = 24, 0.03
PAN_PX = (0, 7, 16, 27, 40, 53)                      # of the six views of a scene; most are no whole patches
SCENES_SHOWN, RESAMPLES = 8, 2000
WHITE = np.uint8([255, 255, 255])


@dataclass(frozen=True)
class Cases:
    """content, style, truth: uint8 [N, 256, 256, 3]; words: of the concept in the set's phrase."""
    content: np.ndarray
    style: np.ndarray
    truth: np.ndarray
    words: list[str]


def cases(pairs: Pairs, items: Sequence[Item], targets: Sequence[str], n: int, seed: int = 0) -> Cases:
    """Concepts once each, in turn through the target sets; the content is the drawing of another set that lies best over the truth."""
    rng, rows = np.random.default_rng(seed), []
    for number, label in enumerate(rng.permutation(pairs.labels)):
        target = targets[number % len(targets)]
        if target in pairs.of[label] and len(rows) < n:
            goal = pairs.of[label][target]
            content = max((row for source, row in pairs.of[label].items() if source != target), key=lambda row: pairs.overlap(row, goal))
            style = next(int(row) for row in rng.permutation(pairs.of_set[target]) if items[row].label != label)
            rows.append((content, style, goal))
    shown = lambda column: np.stack([over(np.asarray(pairs.rgba[row[column]]), WHITE) for row in rows])
    return Cases(shown(0), shown(1), shown(2), [f"{article(items[row[2]].label)}, {items[row[2]].style}" for row in rows])


class Ways:
    """What restyles pictures, each uint8 [N, 256, 256, 3] -> the same."""

    def __init__(self, painter: Painter, restyle: Restyle, judge: Judge) -> None:
        self.painter, self.restyle, self.judge, self.net = painter, restyle, judge, painter.net("student")

    @torch.inference_mode()
    def ours(self, content: np.ndarray, style: np.ndarray, strength: float = 1.0) -> np.ndarray:
        out = []
        with attached(self.net, self.restyle) as now, mixed_precision("cpu"):
            for i in range(0, len(content), 16):
                told = self.restyle.mixed(self.restyle.style(eye_view(unit(style[i:i + 16]), self.restyle.eye.side_px)), strength)
                out.append(self.painter.show(restyled(self.net, now, self.painter.encoder(unit(content[i:i + 16])), told)))
        return np.concatenate(out)

    @torch.inference_mode()
    def words(self, content: np.ndarray, words: Sequence[str], seeds: Sequence[int], strength: float = STRENGTH) -> np.ndarray:
        """Image-to-image in one step with words for concept and style."""
        out, sigma = [], spaced_sigmas(1, TABLE, strength)[0]
        for i in range(0, len(content), 16):
            part = slice(i, i + 16)
            table = TextTable.of(self.painter.text.encode(list(words[part])))
            cond = table.batch(np.arange(len(words[part])))
            x = self.painter.encoder(unit(content[part])) + sigma * noise(list(seeds[part]), (32, 16, 16))
            with mixed_precision("cpu"):
                out.append(self.painter.show(denoise(self.net, x, sigma, cond)))
        return np.concatenate(out)

    def gram(self, content: np.ndarray, style: np.ndarray) -> np.ndarray:
        """Colours matched by their histograms, then statistics of maps by descent (Gatys et al. 2016; the moments of Huang & Belongie 2017)."""
        out = []
        for one, other in zip(content, style):
            x = F.interpolate(unit(in_colours_of(one, other)[None]), size=128, mode="area").requires_grad_()
            start, wanted = x.detach().clone(), look_of(self.judge.maps(F.interpolate(unit(other[None]), size=128, mode="area")))
            kept, optimizer = self.judge.maps(start)[-1], torch.optim.Adam([x], GRAM_LR)
            for _ in range(GRAM_STEPS):
                maps = self.judge.maps(x)
                loss = (look_of(maps) - wanted).abs().mean() + 0.3 * (maps[-1] - kept).square().mean() + (x - start).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            change = F.interpolate((x - start).detach(), size=256, mode="bilinear", align_corners=False)
            out.append(to_bytes(unit(in_colours_of(one, other)[None]) + change)[0])
        return np.stack(out)


def unit(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


def to_bytes(rgb: Tensor) -> np.ndarray:
    return (rgb.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


@torch.inference_mode()
def distances(eyes: FeatureNet, painted: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """How far each is from its truth: look (texture statistics, each in units of its deviation over the truths), what (cosine of pooled
    features), colour (mean distance in L*a*b*)."""
    a, b = look(eyes, painted), look(eyes, truth)
    scale = b[:, POOLED:].std(0) + 1e-6
    manner = np.abs(a[:, POOLED:] - b[:, POOLED:]) / scale
    cosine = (a[:, :POOLED] * b[:, :POOLED]).sum(1) / np.linalg.norm(a[:, :POOLED], axis=1) / np.linalg.norm(b[:, :POOLED], axis=1)
    lab = (to_lab(unit(painted)) - to_lab(unit(truth))).square().sum(1).sqrt().mean((1, 2)).numpy() * 100
    return {"look": manner.mean(1), "what": 1 - cosine, "colour": lab}


def paired_rows(ways: Ways, eyes: FeatureNet, told: Cases, title: str) -> tuple[list[str], list[np.ndarray]]:
    """Rows of the table, and the pictures: content, style, ours, words, histogram and Gram, truth."""
    seeds = list(range(len(told.words)))
    made = {"ours": ways.ours(told.content, told.style), "words": ways.words(told.content, told.words, seeds),
            "gram": ways.gram(told.content, told.style), "content": told.content}
    far = {name: distances(eyes, pictures, told.truth) for name, pictures in made.items()}
    kept = {name: ssim(grey(unit(pictures)), grey(unit(told.content))).numpy() for name, pictures in made.items()}
    rows = []
    for what, says in (("look", "how it is drawn"), ("what", "what is seen"), ("colour", "colour, L*a*b*")):
        cells = " | ".join(f"{far[name][what].mean():.3g}" for name in ("ours", "words", "gram", "content"))
        gains = "; ".join(f"{name} {gain(far[name][what], far['ours'][what])}" for name in ("words", "gram"))
        rows.append(f"| {title}: {says} ↓ | {cells} | {gains} |")
    rows.append(f"| {title}: SSIM with the content ↑ | " + " | ".join(f"{kept[name].mean():.2f}" for name in ("ours", "words", "gram", "content")) + " | |")
    return rows, [told.content, told.style, made["ours"], made["words"], made["gram"], told.truth]


def gain(other: np.ndarray, ours: np.ndarray) -> str:
    """Mean of other - ours with the 95 % interval of a paired bootstrap."""
    d = other - ours
    means = d[np.random.default_rng(0).integers(0, len(d), (RESAMPLES, len(d)))].mean(1)
    return f"{d.mean():+.3g} ({np.quantile(means, .025):+.3g} to {np.quantile(means, .975):+.3g})"


def pans(pairs: Pairs, number: int) -> tuple[np.ndarray, str]:
    """Six views uint8 [6, 256, 256, 3] of scene `number`, each PAN_PX further to the right, and its place in words."""
    rng = np.random.default_rng(100 + number)
    where = str(SCENES[number % len(SCENES)])
    wide = np.concatenate([scene_background(where, np.random.default_rng(number))] * 2, 1)[:, :256 + max(PAN_PX)]
    row = int(rng.choice(pairs.of_set[pairs.targets[number % len(pairs.targets)]]))
    thing, at = place(np.asarray(pairs.rgba[row]), 0.62, 0.5, 0.55), max(PAN_PX) // 2
    wide[:, at:at + 256] = over(thing, wide[:, at:at + 256])
    return np.stack([wide[:, x:x + 256] for x in PAN_PX]), where


def overlap_error(views: np.ndarray) -> float:
    """Mean difference, in levels, of every later view and the first where both show the same place."""
    return float(np.mean([np.abs(views[k][:, :256 - x].astype(int) - views[0][:, x:]).mean() for k, x in enumerate(PAN_PX) if x]))


def view_rows(ways: Ways, pairs: Pairs, styles: np.ndarray, phrases: Sequence[str]) -> list[str]:
    shown = [pans(pairs, number) for number in range(SCENES_SHOWN)]
    ours, again, coded = [], [], []
    for number, (views, where) in enumerate(shown):
        style = np.repeat(styles[number % len(styles)][None], len(views), 0)
        ours.append(overlap_error(ways.ours(views, style)))
        said = [f"{where}, {phrases[number % len(phrases)]}"] * len(views)
        again.append(overlap_error(ways.words(views, said, range(number * 10, number * 10 + len(views)))))
        coded.append(overlap_error(ways.painter.rebuild(views)))
    return [f"| {len(shown)} scenes x {len(PAN_PX)} pans: difference where views overlap, levels ↓ | {np.mean(ours):.2f} | {np.mean(again):.2f} | | "
            f"{np.mean(coded):.2f} (coded only) | words {gain(np.array(again), np.array(ours))} |"]


def read_style(path: Path) -> tuple[Restyle, checkpoint.Checkpoint]:
    saved = checkpoint.load(path, KIND)
    restyle = Restyle(saved.config["style"])
    restyle.load_state_dict(saved.tensors)
    return restyle.eval().requires_grad_(False), saved


def run_style_scores(painter: Painter, judge: Judge, pairs: tuple[Pairs, Pairs], command: str, n: int, path: Path, sheet: Path,
                     out: Path = ASSETS / "SCORES.md") -> str:
    """Measure, write the section and a sheet, return it. `pairs`: of unseen concepts, with all sets but HELD and with HELD as targets."""
    restyle, saved = read_style(path)
    ways, eyes, rows, lines = Ways(painter, restyle, judge), FeatureNet(), [], []
    for own, title in ((pairs[0], "sets it learned"), (pairs[1], f"held-out set ({HELD})")):
        told = cases(own, own.items, own.targets, n)
        more, pictures = paired_rows(ways, eyes, told, f"{title}, {len(told.words)}")
        rows += more
        lines += [picture[:8] for picture in pictures]
    sets = cases(pairs[0], pairs[0].items, pairs[0].targets, 5)
    rows += view_rows(ways, pairs[0], sets.style, [words.partition(", ")[2] for words in sets.words])
    sheet_of(lines, [""] * 8, sheet)
    text = "\n".join([f"Unseen concepts, one step of the student, {datetime.date.today().isoformat()}, {machine()}, {command}. "
                      f"{saved.recipe.get('updates', 0):,} updates of {saved.recipe['config']['batch_size']}.",
                      f"words: image-to-image at {STRENGTH} with the concept's name and the set's phrase; gram: histogram and Gram matching; the last column "
                      "is what others are worse by, with a 95 % interval.", "",
                      "| | ours | words | gram | unchanged | others minus ours |", "|---|---|---|---|---|---|", *rows])
    write_section(out, HEADING, text)
    return text


def word_vectors(judge: Judge, texts: Sequence[str], encoder: TextEncoder) -> Tensor:
    return judge.text(torch.stack([said.pooled for said in encoder.encode(list(texts))]))
