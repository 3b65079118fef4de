"""What the scribble control is worth at every moment of a drawing: python -m models.lab sketch_scores

Held-out drawings are drawn by a simulated hand up to a share of their strokes; the one-step student paints from their words and
those strokes. Three things are measured, beside the same student without a control and beside other controls, such as two that were
trained for as long on unfinished and on finished drawings: do edges lie on the strokes (F1 within 4 px, chamfer distance), are pictures
as crisp as drawings (models.lab.metrics.light), and can the independent judge of models.lab.metrics.concept still name what was asked for?
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
from models.lab.metrics.light import fine_energy, luma
from models.lab.metrics.real import Real, load_real
from models.lab.painter import Painter
from models.lines import agreement, chamfer, edges
from models.nets import control as control_net
from models.pixels import to_uint8

SHARES = (0.1, 0.25, 0.5, 1.0)
HEADING = "## Sketch"
HEAD = ("| strokes | control | strokes with an edge ↑ | edge F1 ↑ | pictures without an edge ↓ | chamfer of the others, px ↓ | fine detail (1 is best) "
        "| named first ↑ | named among five ↑ |", "|---|---|---|---|---|---|---|---|---|")


@dataclass(frozen=True)
class Scored:
    """Means over the drawings: recall, f1, blank (pictures without any edge) and named (first, among five) are shares 0..1. chamfer_px
    counts on 256 px, over the pictures that have an edge; nan when none has. detail: fine energy, painted over real."""
    recall: float
    f1: float
    blank: float
    chamfer_px: float
    detail: float
    named: tuple[float, float] | None = None

    def row(self, share: float, who: str) -> str:
        named = "not asked | not asked" if self.named is None else f"{self.named[0]:.2f} | {self.named[1]:.2f}"
        return (f"| {share:.0%} | {who} | {self.recall:.2f} | {self.f1:.2f} | {self.blank:.2f} | {self.chamfer_px:.1f} | {self.detail:.2f} "
                f"| {named} |")


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


def scored(pictures: np.ndarray, drawn: Sequence[np.ndarray], truth: np.ndarray, names: Names | None = None) -> Scored:
    """pictures, truth uint8 [N, 256, 256, 3]; drawn: N bool line drawings. Without `names` the judge is not asked."""
    found = [edges(p) for p in pictures]
    agreed = np.mean([agreement(d, f) for d, f in zip(drawn, found)], 0)
    far = [chamfer(d, f) for d, f in zip(drawn, found) if f.any()]
    detail = fine_energy(luma(pictures)) / max(fine_energy(luma(truth)), 1e-12)
    return Scored(float(agreed[0]), float(agreed[2]), 1 - len(far) / len(found), float(np.mean(far)) if far else float("nan"), detail,
                  names and names.shares(pictures))


def load_control(path: Path) -> tuple[Any, dict[str, Any]]:
    """(the net, how it was made)."""
    saved = checkpoint.load(path, control_net.KIND)
    net = control_net.build(saved.config["network"]).eval()
    net.load_state_dict(saved.tensors)
    return net, saved.recipe


def label_of(recipe: dict[str, Any]) -> str:
    """What a control was trained on and for how long, as its header says."""
    what = "finished drawings only" if recipe.get("config", {}).get("whole") == 1 else "unfinished drawings"
    return f"{what}, {recipe.get('updates', 0):,} updates"


def run_sketch_scores(painter: Painter, data: LatentSet, drawings: tuple[Any, np.ndarray] | None, cache_dir: Path, command: str, control: Path,
                      others: Sequence[Path] = (), n: int = 96, out: Path = ASSETS / "SCORES.md") -> str:
    """Measure, write the section and a contact sheet, return the section. drawings: what the judge learns from, None = no judge (its
    features take an hour on a plain CPU, the first time). `others`: further controls to measure beside the shipped one."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    bench = Bench(painter, data, list(range(0, len(data), max(1, len(data) // n)))[:n])
    nets = {}
    for path, title in ((control, "shipped: "), *((other, "") for other in others)):
        net, recipe = load_control(path)
        nets[title + label_of(recipe)] = net
    lines, plain, rows, shown = Lines(painter.encoder), bench.plain(), [], [bench.truth, bench.plain()]
    names = names_for(drawings, [data.keys[i] for i in bench.rows], cache_dir)
    for share in SHARES:
        cond = lines.pictures(bench.rows, bench.batch.latents, [share] * len(bench.rows), np.random.default_rng(0))
        drawn = [np.asarray(c[0]) > 0.5 for c in cond]
        shown.append(to_uint8(1 - cond))
        for who, net in nets.items():
            painted = bench.paint(lambda inputs, net=net, cond=cond: control_net.residuals(net, inputs, control_net.hint(net, cond)))
            rows.append(scored(painted, drawn, bench.truth, names).row(share, who))
            shown.append(painted)
        rows.append(scored(plain, drawn, bench.truth, names).row(share, "none"))
    rows.append(scored(bench.truth, drawn, bench.truth, names).row(1.0, "the drawings themselves"))
    sheet_of(shown, bench.words, cache_dir / "sketch.webp")
    text = "\n".join([f"On {len(bench.rows)} held-out drawings, one step, {datetime.date.today().isoformat()}, {machine()}, {command}.", "", *HEAD, *rows])
    write_section(out, HEADING, text)
    return text


def names_for(drawings: tuple[Any, np.ndarray] | None, keys: Sequence[str], cache_dir: Path) -> Names | None:
    """The judge over rows of these keys, None without drawings to learn from."""
    if drawings is None:
        return None
    eyes = FeatureNet()
    return Names(load_real(*drawings, cache_dir, eyes), keys, eyes)
