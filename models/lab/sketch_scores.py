"""What the scribble control is worth at every moment of a drawing: python -m models.lab sketch_scores

Held-out drawings are drawn by a simulated hand up to a share of their strokes; the one-step student paints from their words and
those strokes. Three things are measured, beside the same student without a control and beside a control that was trained for as long
on finished drawings only: do edges lie on the strokes (F1 within 4 px, chamfer distance), and can the independent judge of
models.lab.metrics.concept still name what was asked for?
"""
from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models import checkpoint
from models.lab.adapter_scores import ASSETS, Bench, sheet_of, write_section
from models.lab.control import Lines
from models.lab.evaluate import machine
from models.lab.latents import LatentSet
from models.lab.metrics.concept import Judge, judges
from models.lab.metrics.features import POOLED, FeatureNet, look
from models.lab.metrics.real import Real, load_real
from models.lab.painter import Painter
from models.lines import agreement, chamfer, edges
from models.nets import control as control_net
from models.pixels import to_uint8

SHARES = (0.1, 0.25, 0.5, 1.0)
HEADING = "## Sketch"
HEAD = ("| strokes | control | strokes with an edge ↑ | edge F1 ↑ | chamfer, px ↓ | named first ↑ | named among five ↑ |", "|---|---|---|---|---|---|---|")


@dataclass(frozen=True)
class Scored:
    """Means over the drawings: recall, f1 and named (first, among five) are shares 0..1, chamfer_px counts on 256 px."""
    recall: float
    f1: float
    chamfer_px: float
    named: tuple[float, float] | None = None

    def row(self, share: float, who: str) -> str:
        named = "not asked | not asked" if self.named is None else f"{self.named[0]:.2f} | {self.named[1]:.2f}"
        return f"| {share:.0%} | {who} | {self.recall:.2f} | {self.f1:.2f} | {self.chamfer_px:.1f} | {named} |"


class Names:
    """Asks the judge about rows of a bench; only drawings of concepts that the judge knows count."""

    def __init__(self, real: Real, keys: Sequence[str], eyes: FeatureNet) -> None:
        self.judge: Judge = judges(real)[0]
        self.eyes = eyes
        index = {item.key: i for i, item in enumerate(real.items)}
        number = {name: i for i, name in enumerate(self.judge.names)}
        self.wanted = np.array([index[key] for key in keys])
        self.answers = np.array([number.get(real.items[i].label, -1) for i in self.wanted])

    def shares(self, pictures: np.ndarray) -> tuple[float, float]:
        """uint8 [N, 256, 256, 3] -> (named first, named among five)."""
        rows = self.answers >= 0
        rank = self.judge.ranks(look(self.eyes, pictures[rows])[:, :POOLED], self.wanted[rows], self.answers[rows])
        return float((rank < 1).mean()), float((rank < 5).mean())


def scored(pictures: np.ndarray, drawn: Sequence[np.ndarray], names: Names | None = None) -> Scored:
    """pictures uint8 [N, 256, 256, 3]; drawn: N bool line drawings. Without `names` the judge is not asked."""
    found = [edges(p) for p in pictures]
    agreed = np.mean([agreement(d, f) for d, f in zip(drawn, found)], 0)
    return Scored(float(agreed[0]), float(agreed[2]), float(np.mean([chamfer(d, f) for d, f in zip(drawn, found)])),
                  names and names.shares(pictures))


def load_control(path: Path) -> tuple[Any, dict[str, Any]]:
    """(the net, how it was made)."""
    saved = checkpoint.load(path, control_net.KIND)
    net = control_net.build(saved.config["network"]).eval()
    net.load_state_dict(saved.tensors)
    return net, saved.recipe


def run_sketch_scores(painter: Painter, data: LatentSet, drawings: tuple[Any, np.ndarray] | None, cache_dir: Path, command: str, control: Path,
                      other: Path | None = None, n: int = 96, out: Path = ASSETS / "SCORES.md") -> str:
    """Measure, write the section and a contact sheet, return the section. drawings: what the judge learns from, None = no judge (its
    features take an hour on a plain CPU, the first time). `other`: the control trained on finished drawings only."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    bench = Bench(painter, data, list(range(0, len(data), max(1, len(data) // n)))[:n])
    names = None
    if drawings is not None:
        eyes = FeatureNet()
        names = Names(load_real(*drawings, cache_dir, eyes), [data.keys[i] for i in bench.rows], eyes)
    nets = {"unfinished drawings": load_control(control)} | ({"finished drawings only": load_control(other)} if other else {})
    lines, plain, rows, shown = Lines(painter.encoder), bench.plain(), [], [bench.truth, bench.plain()]
    for share in SHARES:
        cond = lines.pictures(bench.rows, bench.batch.latents, [share] * len(bench.rows), np.random.default_rng(0))
        drawn = [np.asarray(c[0]) > 0.5 for c in cond]
        shown.append(to_uint8(1 - cond))
        for who, (net, _) in nets.items():
            painted = bench.paint(lambda inputs, net=net, cond=cond: control_net.residuals(net, inputs, control_net.hint(net, cond)))
            rows.append(scored(painted, drawn, names).row(share, who))
            shown.append(painted)
        rows.append(scored(plain, drawn, names).row(share, "none"))
    sheet_of(shown, bench.words, cache_dir / "sketch.webp")
    trained = "; ".join(f"{who}: {recipe.get('updates', 0):,} updates" for who, (_, recipe) in nets.items())
    text = "\n".join([f"On {len(bench.rows)} held-out drawings, one step, {datetime.date.today().isoformat()}, {machine()}, {command}.",
                      f"Controls were trained on {trained}.", "", *HEAD, *rows])
    write_section(out, HEADING, text)
    return text
