"""Recipes of style: the judges of pictures and words, reference-picture style transfer, and what both are worth."""
from __future__ import annotations

from pathlib import Path

from models.lab.recipes import Settings


def judge_towers(s: Settings) -> None:
    """Train the judges of pictures and words: A ships in assets/percepts, B stays in the lab and only measures."""
    from models.lab.drawings import read_drawings
    from models.lab.judges import SHIPPED, make_judges
    print(make_judges(s.data, *read_drawings(s.data), s.minutes, s.command, Path(s.out) if s.out else SHIPPED))


def style_transfer(s: Settings) -> None:
    """Train reference-picture style transfer beside the student and put it into assets/adapters."""
    from models.lab.budget import Budget
    from models.lab.drawings import read_drawings
    from models.lab.judges import SHIPPED, read_judge
    from models.lab.painter import Painter
    from models.lab.parallel import join
    from models.lab.style_pairs import HELD, Pairs, silhouettes
    from models.lab.style_transfer import Teachers, make_style
    from models.weights import ASSETS
    join()
    painter, (items, rgba), judge = Painter(device=s.on), read_drawings(s.data), read_judge(SHIPPED).to(s.on)
    small, unseen = silhouettes(rgba, s.data / "silhouettes.npy"), ("test_concept", "test_pair")
    pairs = Pairs(items, rgba, small), Pairs(items, rgba, small, unseen), Pairs(items, rgba, small, unseen, (HELD,))
    shipped = ASSETS / "adapters" / "style-transfer.safetensors"
    painter.decoder.requires_grad_(False)
    make_style(painter.net(s.base), pairs, Teachers(painter.encoder, painter.decoder, judge), Budget(s.minutes, s.updates or None),
               Path(s.out) if s.out else shipped, s.command, s.on, start=shipped if s.start == "shipped" else None)


def style_scores(s: Settings) -> None:
    """Measure style transfer on sets that draw the same things, on views of scenes, and write its part of assets/SCORES.md."""
    from models.lab.drawings import read_drawings
    from models.lab.judges import SHIPPED, read_judge
    from models.lab.painter import Painter
    from models.lab.style_pairs import HELD, Pairs, silhouettes
    from models.lab.style_scores import run_style_scores
    from models.weights import ASSETS
    items, rgba = read_drawings(s.data)
    small, unseen = silhouettes(rgba, s.data / "silhouettes.npy"), ("test_concept", "test_pair")
    pairs = Pairs(items, rgba, small, unseen), Pairs(items, rgba, small, unseen, (HELD,))
    path = Path(s.out) if s.out else ASSETS / "adapters" / "style-transfer.safetensors"
    print(run_style_scores(Painter(device=s.on), read_judge(SHIPPED), pairs, f"`{s.command}`", min(s.n, 100), path, s.data / "style-scores.webp"))


def stroke_scores(s: Settings) -> None:
    """Measure stroke drawings, words and style at once against one after the other, and write their part of assets/SCORES.md."""
    from models.lab.drawings import read_drawings
    from models.lab.judges import SHIPPED, read_judge
    from models.lab.painter import Painter
    from models.lab.stroke_scores import run_stroke_scores
    print(run_stroke_scores(Painter(device=s.on), read_judge(SHIPPED), read_judge(s.data / "judge-b.safetensors"), *read_drawings(s.data),
                            f"`{s.command}`", min(s.n, 20), s.data / "strokes.webp"))


RECIPES = (judge_towers, style_transfer, style_scores, stroke_scores)
