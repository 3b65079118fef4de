"""What layered codes (AniFaceDrawing) are worth while a drawing comes about: python -m models.lab layered_scores out=CODES other=CODES,CODES

Held-out drawings through the one-step student, whole strokes in the order in which outlines come first:
at FEW of their strokes, are pictures like drawings at all (Fréchet and kernel distance to the finished ones, and likeness of each to its
own), and at every stroke, do edges lie on them? Steadiness: how far a picture moves when one stroke is added, LATER strokes in a row from a
fifth of the drawing on. Beside: other codes (such as ones trained on finished drawings only, partial=no), the scribble control, and words alone.
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

from models.devices import mixed_precision
from models.lab.adapter_scores import ASSETS, Bench, sheet_of, write_section
from models.lab.control import Lines
from models.lab.evaluate import machine
from models.lab.latents import LatentSet
from models.lab.layered_codes import CodesConfig, canvas, in_order, load_codes
from models.lab.metrics.features import POOLED, FeatureNet, look, pca
from models.lab.metrics.frechet import DIMS, frechet_interval, kernel_distance
from models.lab.painter import Painter
from models.lab.sketch_scores import load_control
from models.lines import agreement, edges
from models.nets import control as control_net
from models.nets.image_prompt import Look, attached
from models.nets.layered_codes import LayeredCodes
from models.nets.unet import predict
from models.pixels import to_uint8

SHARES = (0.05, 0.2, 0.5, 1.0)
FEW, LATER = 0.2, 4
PEN_PX = 3.0
HEADING = "## Layered codes (AniFaceDrawing)"
HEAD = ("| | Fréchet distance at 20 % of the strokes ↓ | kernel distance x 1000 ↓ | likeness to its drawing at 20 % ↑ | moved by one more stroke ↓ "
        "| strokes with an edge at 5 / 20 / 50 / 100 % ↑ |", "|---|---|---|---|---|---|")
Way = Callable[[Tensor], np.ndarray]                 # drawings [N, 3, 256, 256] in {0, 1} -> uint8 [N, 256, 256, 3]


@dataclass(frozen=True)
class Drawings:
    """Strokes of every row in the order in which they are drawn, int [n, 2] each."""
    strokes: tuple[list[np.ndarray], ...]

    def at(self, share: float, more: int = 0) -> Tensor:
        """[N, 3, 256, 256]: the first `share` of each drawing's strokes, and `more`."""
        return torch.stack([canvas(s[:max(1, round(share * len(s))) + more], PEN_PX) for s in self.strokes])


def drawings_of(bench: Bench) -> Drawings:
    lines, rng, config = Lines(bench.painter.encoder), np.random.default_rng(0), CodesConfig(random_order=0.0, dropped=0.0)
    return Drawings(tuple(in_order(lines.strokes(row, z), rng, config) for row, z in zip(bench.rows, bench.batch.latents)))


def by_codes(bench: Bench, codes: LayeredCodes) -> Way:
    @torch.no_grad()
    def paint(drawn: Tensor) -> np.ndarray:
        net = bench.painter.net("student")
        with attached(net, codes, Look()) as eye, mixed_precision("cpu"):
            eye.show(codes.of_sketch(drawn))
            return bench.painter.show(predict(net, bench.scaled, bench.times, bench.batch.cond).float())
    return paint


def by_control(bench: Bench, net: Any) -> Way:
    return lambda drawn: bench.paint(lambda inputs: control_net.residuals(net, inputs, control_net.hint(net, drawn)))


@dataclass(frozen=True)
class Scored:
    """frechet: (distance, half its 95 % interval). likeness: cosine of centred features. moved: 1 - cosine between pictures one stroke
    apart. recall: strokes with an edge by SHARES."""
    frechet: tuple[float, float]
    kernel: float
    likeness: float
    moved: float
    recall: tuple[float, ...]

    def row(self, who: str) -> str:
        recall = " / ".join(f"{r:.2f}" for r in self.recall)
        return f"| {who} | {self.frechet[0]:.1f} ± {self.frechet[1]:.1f} | {self.kernel:.1f} | {self.likeness:.2f} | {self.moved:.3f} | {recall} |"


def scored(way: Way, drawings: Drawings, truth: np.ndarray, eyes: Callable[[np.ndarray], np.ndarray]) -> Scored:
    """truth: features [N, D] of the finished drawings; eyes: of pictures."""
    recall = []
    for share in SHARES:
        drawn = drawings.at(share)
        recall.append(float(np.mean([agreement(np.asarray(d[0]) > 0.5, edges(p))[0] for d, p in zip(drawn, way(drawn))])))
    frames = [eyes(way(drawings.at(FEW, more))) for more in range(LATER)]
    return Scored(*_apart(frames[0], truth), _alike(frames[0], truth), _moved(frames, truth.mean(0)), tuple(recall))


def _apart(seen: np.ndarray, truth: np.ndarray) -> tuple[tuple[float, float], float]:
    mean, basis = pca(truth, min(DIMS, len(truth) // 2, truth.shape[1]))
    distance = frechet_interval((seen - mean) @ basis, (truth - mean) @ basis)
    return (distance.value, distance.spread), 1000 * kernel_distance(seen, truth)


def _unit(features: np.ndarray, centre: np.ndarray) -> np.ndarray:
    away = features - centre
    return away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)


def _alike(seen: np.ndarray, truth: np.ndarray) -> float:
    return float((_unit(seen, truth.mean(0)) * _unit(truth, truth.mean(0))).sum(1).mean())


def _moved(frames: Sequence[np.ndarray], centre: np.ndarray) -> float:
    steps = [1 - (_unit(a, centre) * _unit(b, centre)).sum(1) for a, b in zip(frames, frames[1:])]
    return float(np.mean(steps))


def run_layered_scores(painter: Painter, data: LatentSet, cache_dir: Path, command: str, codes: Path, others: Sequence[Path] = (), n: int = 96,
                       out: Path = ASSETS / "SCORES.md", control: Path = ASSETS / "adapters" / "scribble.safetensors") -> str:
    """Measure, write the section and a contact sheet into `cache_dir`, return the section."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    bench = Bench(painter, data, list(range(0, len(data), max(1, len(data) // n)))[:n])
    net, drawings = FeatureNet(), drawings_of(bench)
    eyes = lambda pictures: look(net, pictures)[:, :POOLED]
    truth, plain = eyes(bench.truth), bench.plain()
    ways: dict[str, Way] = {}
    for path in (codes, *others):
        made, recipe = load_codes(path)
        ways[label_of(recipe)] = by_codes(bench, made)
    if control.exists():
        ways["scribble control"] = by_control(bench, load_control(control)[0])
    ways["words alone"] = lambda drawn: plain
    rows = [scored(way, drawings, truth, eyes).row(who) for who, way in ways.items()]
    moments = [drawings.at(share) for share in (0.05, FEW, 1.0)]
    shown = [part for drawn in moments for part in (to_uint8(1 - drawn), *(way(drawn) for way in ways.values()))]
    sheet_of([bench.truth, *shown], bench.words, cache_dir / "layered.webp")
    ships = "" if codes.parent == ASSETS / "adapters" else " These codes do not ship."
    says = f"On {len(bench.rows)} held-out drawings, one step, {datetime.date.today().isoformat()}, {machine()}, {command}.{ships}"
    text = "\n".join([says, "", *HEAD, *rows])
    write_section(out, HEADING, text)
    return text


def label_of(recipe: dict[str, Any]) -> str:
    what = "finished drawings only" if recipe.get("config", {}).get("whole") else "drawings at every moment"
    return f"codes, {what}, {recipe.get('picture_updates', 0):,} + {recipe.get('sketch_updates', 0):,} updates"
