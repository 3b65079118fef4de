"""Recipes of outpainting."""
from __future__ import annotations

from pathlib import Path

from models.lab.budget import Budget
from models.lab.recipes import Settings


def outpaint(s: Settings) -> None:
    """Train what paints beyond a picture's edges and into its holes (PQDiff), and put it into assets/adapters."""
    from models.lab.drawings import read_drawings
    from models.lab.outpaint import make_outpaint
    from models.lab.outpaint_views import Views
    from models.lab.painter import Painter
    from models.lab.parallel import join
    from models.lab.unicon import Texts
    from models.weights import ASSETS
    join()
    painter, drawings = Painter(device=s.on), read_drawings(s.data)
    shipped = ASSETS / "adapters" / "outpaint.safetensors"
    make_outpaint([painter.net("student"), painter.net("teacher")], painter.encoder, Texts(painter.text), Views(*drawings),
                  Views(*drawings, splits=("test_pair", "test_concept")), Budget(s.minutes, s.updates or None), Path(s.out) if s.out else shipped,
                  s.command, s.on, start=shipped if s.start == "shipped" else None)


def outpaint_scores(s: Settings) -> None:
    """Compare canvases that `python3 launch.py bench outpaint` wrote with real ones: pack=FOLDER (outpaint-canvases of the cache folder)."""
    from models.lab.outpaint_scores import run_outpaint_scores
    print(run_outpaint_scores(Path(s.pack), f"`{s.command}`"))


RECIPES = (outpaint, outpaint_scores)
