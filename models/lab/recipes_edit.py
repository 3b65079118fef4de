"""Recipes of editing: the drawings that its bench is made of, and what edits are worth to judges that took no part in them."""
from __future__ import annotations

from pathlib import Path

from models.lab.recipes import Settings


def edit_things(s: Settings) -> None:
    """Write the held-out drawings of `bench edit` into assets/percepts."""
    from models.lab.drawings import read_drawings
    from models.lab.edit_things import write_things
    from models.weights import ASSETS
    print(write_things(*read_drawings(s.data), Path(s.out) if s.out else ASSETS / "percepts" / "edit_things.webp"), "drawings")


def edit_scores(s: Settings) -> None:
    """What the pictures of `bench edit` (pack=FOLDER) show, asked of judge B and of an ImageNet network, into assets/SCORES.md."""
    from models.lab.edit_scores import run_edit_scores
    print(run_edit_scores(Path(s.pack), s.data, f"`{s.command}`"))


RECIPES = (edit_things, edit_scores)
