"""What the pair of a picture and its lines is worth, on held-out drawings through the student: python -m models.lab pair_scores

Every way of models.nets.pair beside what does the same without it: paint from lines (the scribble control, no control), read lines off a
picture (the lines percept is the truth, another picture's lines the floor), invent both (pairs shuffled), follow lines loosely (the
agreement must fall with the lines' noise). Edges agree within 4 px.
"""
from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoint
from models.devices import mixed_precision
from models.files import write_atomic
from models.lab.adapter_scores import ASSETS, write_section
from models.lab.diffusion import TABLE, estimate
from models.lab.evaluate import contact_sheet, machine
from models.lab.latents import LatentSet
from models.lab.painter import Painter
from models.lab.sketch_scores import load_control
from models.lab.unicon import Signals, UniconConfig, Words, both
from models.lines import agreement, edges, silhouette, thinned
from models.nets import control as control_net
from models.nets.pair import KIND, Pair, Pairing, attached, loosened
from models.nets.unet import inputs_of, predict
from models.sampling import TRAIN_STEPS, noise, spaced_sigmas, time_of_sigma, vp_scales

HEADING = "## Pairs (UniCon)"
LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
LEFT_OUT = ("shape 1", "loose 0", "loose 0.2", "loose 0.6")
INK = 140                                            # darker than this is a line of a drawing


@dataclass
class Pairs:
    """Held-out rows, their lines, and the student with and without the pair."""
    painter: Painter
    data: LatentSet
    rows: list[int]
    pair: Pair

    def __post_init__(self) -> None:
        self.net, self.signals = self.painter.net("student"), Signals(self.painter.encoder, UniconConfig())
        self.batch, rng = self.data.rows(self.rows), np.random.default_rng(0)
        self.truth = self.painter.show(self.batch.latents)
        self.given = {s: self.signals.pictures(s, self.rows, self.batch.latents, [1.0] * len(self.rows), rng) for s in ("lines", "shape")}
        self.drawn = [np.asarray(picture[0]) > 0.5 for picture in self.given["lines"]]
        words = Words(self.data, self.painter.text)
        self.conds = {s: both(self.batch.cond, words.cond(s, self.rows, rng, 0.0)) for s in self.given}

    def latents(self, signal: str) -> Tensor:
        return self.signals.latents(self.given[signal])

    def noise(self, k: int, stream: int) -> Tensor:
        """Of the pictures (k = 0) and of the signals (k = 1), as models.adapters.unicon draws it."""
        return noise([2 * (7 + row) + k for row in self.rows], self.batch.latents.shape[1:], stream)

    @torch.no_grad()
    def walk(self, signal: str, noises: tuple[float, float], steps: int, shuffled: bool = False) -> tuple[Tensor, Tensor]:
        """(latents of the pictures, of the signals) from the noise shares of both; 0 = stays as given, 1 = from pure noise. `shuffled`:
        each is given another's partner."""
        clean, count, shares = [self.batch.latents, self.latents(signal)], len(self.rows), noises
        if shuffled:
            clean = [part.roll(1, 0) if share == 0 else part for part, share in zip(clean, shares)]
        now = list(clean)
        with attached(self.net, self.pair, Pairing(count, (1.0,), tuple(clean[0].shape[-2:]))), mixed_precision("cpu"):
            for i, top in enumerate(spaced_sigmas(steps, TABLE)):
                sigmas = [_level(top, share) for share in shares]
                keep = [share < 1 or i > 0 for share in shares]
                now = [keep[k] * now[k] + sigmas[k] * self.noise(k, i) for k in (0, 1)]
                times = torch.cat([torch.full((count,), time_of_sigma(s, TABLE) if s else 0.0) for s in sigmas])
                scaled = torch.cat([vp_scales(s)[0] * x for s, x in zip(sigmas, now)])
                answer = predict(self.net, scaled, times, self.conds[signal]).float().split(count)
                now = [answer[k] if shares[k] else clean[k] for k in (0, 1)]
        return now[0], now[1]

    @torch.no_grad()
    def alone(self, steps: int, extra: Callable[[dict[str, Any]], dict[str, Any]] | None = None) -> np.ndarray:
        """The student without the pair, `extra` as a control adds it; uint8 [N, 256, 256, 3]."""
        x0 = torch.zeros_like(self.batch.latents)
        with mixed_precision("cpu"):
            for i, sigma in enumerate(spaced_sigmas(steps, TABLE)):
                x, times = x0 + sigma * self.noise(0, i), torch.full((len(self.rows),), time_of_sigma(sigma, TABLE))
                if extra is None:
                    x0 = estimate(self.net, x, times, self.batch.cond)
                    continue
                scaled = vp_scales(sigma)[0] * x
                x0 = predict(self.net, scaled, times, self.batch.cond, **extra(inputs_of(scaled, times, self.batch.cond))).float()
            return self.painter.show(x0)

    def show(self, latents: Tensor) -> np.ndarray:
        with torch.no_grad():
            return self.painter.show(latents)


def _level(top: float, share: float) -> float:
    return spaced_sigmas(1, TABLE, share * time_of_sigma(top, TABLE) / (TRAIN_STEPS - 1))[0] if share else 0.0


def ink_of(drawing: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3], black on white -> bool [H, W], thin lines."""
    return thinned(drawing.mean(-1) < INK)


def f1s(wanted: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([agreement(a, b)[2] for a, b in zip(wanted, found)])


def said(values: np.ndarray) -> str:
    """Mean and half a 95 % interval."""
    return f"{values.mean():.2f} ± {1.96 * values.std(ddof=1) / len(values) ** 0.5:.2f}"


def overlap(wanted: np.ndarray, found: np.ndarray) -> float:
    return float((wanted & found).sum() / max((wanted | found).sum(), 1))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho."""
    from scipy.stats import spearmanr
    return float(spearmanr(a, b).statistic)


def control_rows(pairs: Pairs, scribble: Any, steps: int, shown: dict[str, np.ndarray]) -> list[str]:
    """Paint from lines, and from a silhouette."""
    painted = pairs.show(pairs.walk("lines", (1.0, 0.0), steps)[0])
    hints = control_net.hint(scribble, pairs.given["lines"])
    others = {"scribble": pairs.alone(steps, lambda inputs: control_net.residuals(scribble, inputs, hints)), "none": pairs.alone(steps)}
    f1 = {who: f1s(pairs.drawn, [edges(p) for p in pictures]) for who, pictures in {"pair": painted, **others}.items()}
    shape = pairs.show(pairs.walk("shape", (1.0, 0.0), steps)[0])
    wanted = [np.asarray(p[0]) > 0.5 for p in pairs.given["shape"]]
    same = {who: np.array([overlap(w, silhouette(p) > 0) for w, p in zip(wanted, pictures)]) for who, pictures in (("pair", shape), ("none", others["none"]))}
    shown |= {f"control {steps}": painted, f"scribble {steps}": others["scribble"], f"shape {steps}": shape}
    return [f"| {steps} | paint from lines: edge F1 ↑ | {said(f1['pair'])} | {said(f1['scribble'])} (scribble control), {said(f1['none'])} (no control) |",
            f"| {steps} | paint from a silhouette: overlap with it ↑ | {said(same['pair'])} | {said(same['none'])} (no control) |"]


def read_rows(pairs: Pairs, steps: int, shown: dict[str, np.ndarray]) -> list[str]:
    """Read lines off a picture."""
    read, another = (pairs.show(pairs.walk("lines", (0.0, 1.0), steps, shuffled)[1]) for shuffled in (False, True))
    percept = [edges(p) for p in pairs.truth]
    shown[f"read {steps}"] = read
    own, floor = (f1s(percept, [ink_of(p) for p in pictures]) for pictures in (read, another))
    return [f"| {steps} | read lines: F1 with the lines percept ↑ | {said(own)} | {said(floor)} (another picture was shown) |"]


def joint_rows(pairs: Pairs, steps: int, shown: dict[str, np.ndarray]) -> list[str]:
    """Invent both."""
    x, y = (pairs.show(latents) for latents in pairs.walk("lines", (1.0, 1.0), steps))
    ink, seen = [ink_of(p) for p in y], [edges(p) for p in x]
    shown |= {f"both {steps}, picture": x, f"both {steps}, lines": y}
    return [f"| {steps} | invent both: F1 of the picture's edges with its lines ↑ | {said(f1s(ink, seen))} | "
            f"{said(f1s(ink[1:] + ink[:1], seen))} (pairs shuffled) |"]


def loose_rows(pairs: Pairs, steps: int, shown: dict[str, np.ndarray]) -> list[str]:
    """Follow lines that are noisy at first, as noisy as the tab's slider makes them."""
    f1 = []
    for level in LEVELS:
        painted = pairs.show(pairs.walk("lines", (1.0, loosened(level)), steps)[0])
        f1.append(f1s(pairs.drawn, [edges(p) for p in painted]))
        shown[f"loose {level:g}"] = painted
    means = ", ".join(f"{level:g}: {values.mean():.2f}" for level, values in zip(LEVELS, f1))
    each = np.mean([rank_correlation(np.array(LEVELS), one) for one in np.stack(f1, 1) if one.std() > 0])
    return [f"| {steps} | loose lines: edge F1 by the slider | {means} | rank correlation with it: of means "
            f"{rank_correlation(np.array(LEVELS), np.array([v.mean() for v in f1])):.2f}, of single drawings {each:.2f} |"]


def sheet(pairs: Pairs, shown: dict[str, np.ndarray], path: Path, columns: int = 8) -> None:
    """Given lines, then every way but some that look like their neighbours, a line each."""
    lines = {"given lines": np.uint8(255 - 255 * pairs.given["lines"].permute(0, 2, 3, 1).numpy()), "real": pairs.truth} | {
        name: pictures for name, pictures in shown.items() if name not in LEFT_OUT}
    pictures = [picture for line in lines.values() for picture in line[:columns]]
    captions = [name for name in lines for _ in range(columns)]
    write_atomic(path, lambda part: contact_sheet(pictures, captions, columns).save(part, "WEBP", quality=50, method=6))


def run_pair_scores(painter: Painter, data: LatentSet, command: str, n: int = 64, adapters: Path = ASSETS / "adapters",
                    out: Path = ASSETS / "SCORES.md", sheets: Path = ASSETS / "sheets") -> str:
    """Measure, write the section and the contact sheet, return the section."""
    saved = checkpoint.load(adapters / "unicon.safetensors", KIND)
    pair = Pair(saved.config["pair"]).eval()
    pair.load_state_dict(saved.tensors)
    pairs = Pairs(painter, data, list(range(0, len(data), max(1, len(data) // n)))[:n], pair)
    scribble, told = load_control(adapters / "scribble.safetensors")
    shown: dict[str, np.ndarray] = {}
    rows = [row for steps in (1, 4) for row in (*control_rows(pairs, scribble, steps, shown), *read_rows(pairs, steps, shown))]
    rows += [*joint_rows(pairs, 4, shown), *loose_rows(pairs, 4, shown)]
    sheets.mkdir(parents=True, exist_ok=True)
    sheet(pairs, shown, sheets / "unicon.webp")
    text = "\n".join([f"On {len(pairs.rows)} held-out drawings, the student, {datetime.date.today().isoformat()}, {machine()}, {command}. ± is half a",
                      f"95 % interval. The pair had {saved.recipe.get('updates', 0):,} updates of {saved.recipe['config']['batch_size']} pairs, "
                      f"the scribble control {told.get('updates', 0):,} updates of {told['config']['batch_size']}.", "",
                      "| steps | | UniCon | without |", "|---|---|---|---|", *rows])
    write_section(out, HEADING, text)
    return text
