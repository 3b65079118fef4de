"""Recipes of enlarging: the net that ships, and what it is worth."""
from __future__ import annotations

from pathlib import Path

from models.lab.recipes import Settings
from models.weights import ASSETS

SHIPPED = ASSETS / "percepts" / "upscale.safetensors"


def upscale(s: Settings) -> None:
    """Train the net that enlarges four times and put it into assets/percepts (start=FILE goes on from other weights)."""
    from models.lab.upscale import make_upscaler
    start = {"shipped": SHIPPED, "scratch": None}.get(s.start, Path(s.start))
    make_upscaler(s.data, s.minutes, Path(s.out) if s.out else SHIPPED, s.command, start)


def upscale_scores(s: Settings) -> None:
    """Measure the net that enlarges (start=FILE: other weights) and write its part of assets/SCORES.md (out=FILE: elsewhere)."""
    from models.lab.upscale_scores import run_upscale_scores
    path = SHIPPED if s.start == "shipped" else Path(s.start)
    print(run_upscale_scores(s.data, path, f"`{s.command}`", min(s.n, 300), Path(s.out) if s.out else ASSETS / "SCORES.md", s.data / "upscale.webp"))


RECIPES = (upscale, upscale_scores)
