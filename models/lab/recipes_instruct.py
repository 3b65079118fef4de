"""Recipes of the instruction adapter."""
from __future__ import annotations

from pathlib import Path

from models.lab.budget import Budget
from models.lab.recipes import Settings


def instruct(s: Settings) -> None:
    """Train the adapter that edits a picture as a sentence says, on layered scenes, and put it into assets/adapters (start=FILE goes on)."""
    from models.lab.drawings import read_drawings
    from models.lab.instruct import make_instruct
    from models.lab.instruct_pairs import rows_of
    from models.lab.painter import Painter
    from models.lab.parallel import join
    from models.weights import ASSETS
    join()
    painter, drawings, shipped = Painter(device=s.on), read_drawings(s.data), ASSETS / "adapters" / "instruct.safetensors"
    rows = {split: rows_of(drawings[0], split) for split in ("train", "held")}
    start = {"shipped": shipped, "scratch": None}.get(s.start, Path(s.start))
    make_instruct(painter.net(s.base), painter.encoder, painter.text, drawings, rows, Budget(s.minutes, s.updates or None),
                  Path(s.out) if s.out else shipped, s.command, s.on, start=start)


def instruct_scores(s: Settings) -> None:
    """Measure the instruction adapter (out=FILE, else the shipped one) and write its part of assets/SCORES.md and a sheet in the data folder."""
    from models.lab.drawings import read_drawings
    from models.lab.instruct_scores import run_instruct_scores
    from models.lab.painter import Painter
    from models.weights import ASSETS
    path = Path(s.out) if s.out else ASSETS / "adapters" / "instruct.safetensors"
    run_instruct_scores(Painter(device=s.on), read_drawings(s.data), path, f"`{s.command}`", s.data / "instruct.webp", min(s.n, 60))


RECIPES = (instruct, instruct_scores)
