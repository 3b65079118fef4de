"""Style: how long a restyled picture takes, do views of one place come out alike, does structure stay, and what do stroke drawings cost?

views: PANS over scenes that the base painted; the mean difference, in levels, where a view and the first show the same place. ours: restyled
after a picture; again: image-to-image with words for the style, a seed a frame; coded: only through the autoencoder, which is the floor.
ssim: of a restyled picture with what was given (Wang et al. 2004, 7 px windows). strokes: seconds and what judge A says before and after;
it is the judge that pulls, so that is no score: `python -m models.lab stroke_scores` asks another.

Pictures are taken for the eye too: assets/sheets/style.webp (`python3 launch.py bench style` writes style.webp into the cache folder).
"""
from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from models.errors import BadInput
from models.flows import Remembered, Render
from models.flows.stroke_drawing import Wish, draw
from models.flows.stylise import Manner, available, stylise
from models.job import AdapterUse, Job, Picture
from studio.bench._score import interval, opened
from studio.settings import Settings

THINGS = ("a red heart", "a house", "a cat face", "an apple", "a car", "a mushroom")
LOOKS = (("a castle", "", "ink"), ("a bus", "", "two-inks"), ("a tree", "", "dusk"), ("a rocket", "3d", ""), ("a butterfly", "flat", ""))
PLACES = ("a house on a beach", "a tree in a field", "a car in the snow", "a castle at sunset")
PANS = (0, 7, 16, 27, 40, 53)
STRENGTH = 0.5
DRAWN, CELL_PX = ("a red fox", "a sailboat", "a house"), 92
QUICK = {"THINGS": THINGS[:1], "LOOKS": LOOKS[:1], "PLACES": PLACES[:1], "PANS": PANS[:2], "DRAWN": DRAWN[:1]}
ITERATIONS = 100


def run(settings: Settings) -> Mapping[str, float]:
    """`--base` names the base (the embedded one by default). The sheet goes to style.webp in the cache folder."""
    engine, job = opened(settings)
    try:
        if why := available(engine, job.base):
            raise BadInput(why)
        render = Remembered(engine.render)
        styles = [painted(render, job.but(prompt=words, style=style, adapters=looks(engine, look), seeds=(40 + i,)))
                  for i, (words, style, look) in enumerate(LOOKS)]
        things = [painted(render, job.but(prompt=words, style=job.style or "modern", seeds=(i,))) for i, words in enumerate(THINGS)]
        figures, rows = restyling(engine, things, styles, job.base)
        strokes, drawn = stroking(engine, styles[:3], job.base)
        sheet([[None, *styles], *rows, *drawn], Path(settings.cache_dir).expanduser() / "style.webp")
        return figures | views(engine, render, job, styles) | strokes
    finally:
        engine.close()


def looks(engine: object, name: str) -> tuple[AdapterUse, ...]:
    return (AdapterUse(name, 1.0),) if name in engine.catalog.adapters else ()


def painted(render: Render, job: Job) -> Picture:
    return Picture.from_array(np.ascontiguousarray(render(job).pixels[0][..., :3]))


def restyling(engine: object, things: Sequence[Picture], styles: Sequence[Picture], base: str) -> tuple[dict[str, float], list[list[Picture]]]:
    """Every thing in every style: milliseconds a picture once it is warm, SSIM, whether it is the same alone; and a row of pictures a thing."""
    rows, times, kept, alone = [[thing] for thing in things], [], [], []
    for style in styles:
        list(stylise(engine, things[:1], style, Manner(base=base)))
        start = time.perf_counter()
        done = list(stylise(engine, things, style, Manner(base=base)))
        times.append((time.perf_counter() - start) * 1e3 / len(things))
        (one,) = stylise(engine, things[-1:], style, Manner(base=base))
        alone.append(one.after == done[-1].after)
        kept += [ssim(thing.array, after.after.array) for thing, after in zip(things, done)]
        for row, after in zip(rows, done):
            row.append(after.after)
    return {"restyle_p50_ms": float(np.median(times)), "ssim_with_content": float(np.mean(kept)), "alike_alone_share": float(np.mean(alone))}, rows


def views(engine: object, render: Render, job: Job, styles: Sequence[Picture]) -> dict[str, float]:
    ours, again, coded = [], [], []
    for number, words in enumerate(PLACES):
        wide = painted(render, job.but(prompt=words, seeds=(number,))).array
        wide = cv2.resize(wide, None, fx=1 + max(PANS) / wide.shape[1], fy=1 + max(PANS) / wide.shape[0], interpolation=cv2.INTER_CUBIC)
        side = job.extent.width
        seen = [Picture.from_array(np.ascontiguousarray(wide[:side, x:x + side])) for x in PANS]
        manner = Manner(base=job.base)
        ours.append(apart([one.after.array for one in stylise(engine, seen, styles[number % len(styles)], manner)]))
        styled = lambda i, strength: job.but(prompt=words, style=job.style or "flat", image=seen[i], strength=strength, seeds=(100 * number + i,), steps=1)
        again.append(apart([painted(render, styled(i, STRENGTH)).array for i in range(len(seen))]))
        coded.append(apart([painted(render, styled(i, 0.02)).array for i in range(len(seen))]))
    low, high = interval(np.subtract(again, ours))
    return {"views_ours_levels": float(np.mean(ours)), "views_again_levels": float(np.mean(again)), "views_hardly_touched_levels": float(np.mean(coded)),
            "views_gain_low_levels": low, "views_gain_high_levels": high}


def apart(pictures: Sequence[np.ndarray]) -> float:
    side = pictures[0].shape[1]
    return float(np.mean([np.abs(pictures[k][:, :side - x].astype(int) - pictures[0][:, x:]).mean() for k, x in enumerate(PANS) if x]))


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    a, b = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255 for rgb in (one, other))
    pool = lambda x: cv2.blur(x, (7, 7))
    ma, mb = pool(a), pool(b)
    va, vb, both = pool(a * a) - ma * ma, pool(b * b) - mb * mb, pool(a * b) - ma * mb
    return float((((2 * ma * mb + 1e-4) * (2 * both + 9e-4)) / ((ma * ma + mb * mb + 1e-4) * (va + vb + 9e-4))).mean())


def stroking(engine: object, styles: Sequence[Picture], base: str) -> tuple[dict[str, float], list[list[Picture]]]:
    """Words with no style and in each; a row of pictures for each."""
    rows, times, words, manner = [], [], [], []
    for number, text in enumerate(DRAWN):
        row: list[Picture] = []
        for style in (None, *styles):
            start = time.perf_counter()
            first, *_, last = draw(engine, Wish(text, style, iterations=ITERATIONS, seed=number, base=base), every=ITERATIONS // 2)
            times.append(time.perf_counter() - start)
            words.append(last.told["words"])
            manner += [last.told["style"]] if style else []
            row += [first.preview, last.preview] if style is None else [last.preview]
        rows.append(row)
    return {"strokes_s": float(np.mean(times)), "strokes_iterations": float(ITERATIONS), "strokes_words_cosine": float(np.mean(words)),
            "strokes_style_distance": float(np.mean(manner))}, rows


def sheet(rows: Sequence[Sequence[Picture | None]], path: Path) -> None:
    """WebP of all rows, side by side; the first row shows the styles."""
    wide = max(map(len, rows))
    out = Image.new("RGB", (wide * (CELL_PX + 4) + 4, len(rows) * (CELL_PX + 4) + 4), (244, 242, 238))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            if picture is not None:
                small = Image.fromarray(picture.array[..., :3]).resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
                out.paste(small, (4 + x * (CELL_PX + 4), 4 + y * (CELL_PX + 4)))
    path.parent.mkdir(parents=True, exist_ok=True)
    out.save(path, "WEBP", quality=82, method=6)
