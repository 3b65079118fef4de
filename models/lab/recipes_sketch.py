"""Recipes that measure what reads drawings."""
from __future__ import annotations

from pathlib import Path

from models.lab.recipes import Settings


def layered_scores(s: Settings) -> None:
    """Measure layered codes (out=FILE, other=FILE,FILE beside them) while drawings come about and write their part of assets/SCORES.md."""
    from models.lab.latents import LatentSet
    from models.lab.layered_scores import run_layered_scores
    from models.lab.painter import Painter
    from models.weights import ASSETS
    codes = Path(s.out) if s.out else ASSETS / "adapters" / "layered-codes.safetensors"
    print(run_layered_scores(Painter(device=s.on), LatentSet(s.data, "test_pair", ("plain",)), s.data / "scores", f"`{s.command}`", codes,
                             [Path(p) for p in s.other.split(",") if p], min(s.n, 120)))


RECIPES = (layered_scores,)
