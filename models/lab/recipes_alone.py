"""Recipes of networks that stand beside the base, and of what ships with them."""
from __future__ import annotations

from pathlib import Path

from models.lab.budget import Budget
from models.lab.recipes import Settings


def crops(s: Settings) -> None:
    """Ask a small judge what crops show that `python3 launch.py bench layers` wrote: pack=FOLDER (layer-crops of the cache folder)."""
    from models.lab.crop_scores import run_crop_scores
    from models.lab.drawings import read_drawings
    print(run_crop_scores(Path(s.pack), *read_drawings(s.data), f"`{s.command}`", s.on))


def fonts(s: Settings) -> None:
    """Fetch the fonts that ship and put them into assets/fonts."""
    from models.lab.fonts import make_fonts
    print(f"{len(make_fonts(s.data / 'packages'))} fonts")


def icons(s: Settings) -> None:
    """Train the icon writer on path tokens, put it into assets/vectors and measure it (--minutes 0: only measure; judge=no: do not)."""
    from models.lab.icon_scores import run_icon_scores
    from models.lab.icons import make_icons
    if s.minutes > 0:
        make_icons(s.data, Budget(s.minutes), s.out, s.command, s.start == "shipped")
    if s.judge == "yes":
        print(run_icon_scores(s.data, f"`{s.command}`", min(s.n, 60)))


def matting(s: Settings) -> None:
    """Train the matting net (Cut out) and put it into assets/percepts."""
    from models.lab.drawings import read_drawings
    from models.lab.matting import make_matting
    from models.weights import ASSETS
    path = Path(s.out) if s.out else ASSETS / "percepts" / "matting.safetensors"
    make_matting(read_drawings(s.data), Budget(s.minutes), path, s.command)


def retrieval(s: Settings) -> None:
    """Train Find by sketch (--minutes for the tower), compare and score it, and build the index that ships."""
    from models.lab.drawings import read_drawings
    from models.lab.retrieval import run_retrieval
    print(run_retrieval(read_drawings(s.data), s.data, s.minutes, f"`{s.command}`"))
    bundle(s)


def bundle(s: Settings) -> None:
    """Paint and index the pictures that ship with Find by sketch: after every training of the student or of the retrieval tower."""
    from functools import partial

    from models.lab.bundle import recognisable, run_bundle
    from models.lab.drawings import read_drawings
    from models.lab.export import EMBEDDED
    from models.lab.painter import Painter
    drawings = read_drawings(s.data)
    count = run_bundle(drawings[0], Painter(device=s.on).paint, partial(recognisable, *drawings), EMBEDDED / "student.safetensors")
    print(f"{count} pictures in the index")


RECIPES = (crops, fonts, icons, matting, retrieval, bundle)
