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


RECIPES = (upscale,)
