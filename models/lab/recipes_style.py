"""Recipes of style: the judges of pictures and words, reference-picture style transfer, and what both are worth."""
from __future__ import annotations

from pathlib import Path

from models.lab.recipes import Settings


def judge_towers(s: Settings) -> None:
    """Train the judges of pictures and words: A ships in assets/percepts, B stays in the lab and only measures."""
    from models.lab.drawings import read_drawings
    from models.lab.judges import SHIPPED, make_judges
    print(make_judges(s.data, *read_drawings(s.data), s.minutes, s.command, Path(s.out) if s.out else SHIPPED))


RECIPES = (judge_towers,)
