"""Outpainting: held-out scenes extended 2.25, 5 and 11.7 times in area, beside mirroring, held cells and going step by step.

A scene is a drawing that no network here learned to cut or to extend, standing before a sky and a ground of its own; a box of it is known.
seam: the step of colour across the border of the box over the steps right beside it, 1 = not to be seen. step by step: the same base grows
the picture by a quarter of its sides at a time, as is done without positions. Pictures are written to outpaint-canvases of the cache folder;
`python -m models.lab outpaint_scores` says how near to real ones they are (Fréchet distance). Also: what PQDiff's card asks for, loops
with and without moving the gap to the middle, and how much things grow in imagined places.
"""
from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from models import pixels
from models.engine import Engine
from models.errors import BadInput
from models.flows import Render
from models.flows._canvas import put
from models.flows._unknown import Canvas, filled, paint_unknown
from models.flows.foreground import Foreground, foreground, growth
from models.flows.outpaint import Hand, Margins, outpaint, suited
from models.flows.panorama import panorama, wrap_error
from models.job import AdapterUse, Extent, Job, Picture
from studio.bench._score import interval, opened
from studio.bench.cutout import drawings
from studio.bench.layers import psnr
from studio.files import write_whole
from studio.settings import Settings

SIDE_PX, AREAS = 384, (2.25, 5.0, 11.7)
PICTURES, LOOPS, THINGS = 48, 12, 12
STEP = 1.25                                          # a side, of going step by step
BESIDE_PX = 8
PLACES = ("on a beach", "on a green field", "at sunset", "in the snow")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """truth uint8 [S, S, 3]; box (x0, y0, x1, y1) of what is known of it."""
    truth: np.ndarray
    box: tuple[int, int, int, int]

    @property
    def known(self) -> Picture:
        x0, y0, x1, y1 = self.box
        return Picture.from_array(np.ascontiguousarray(self.truth[y0:y1, x0:x1]))

    @property
    def margins(self) -> Margins:
        x0, y0, x1, y1 = self.box
        return Margins(y0, self.truth.shape[1] - x1, self.truth.shape[0] - y1, x0)


def run(settings: Settings) -> Mapping[str, float]:
    """All of it, one seed each."""
    engine, job = opened(settings)
    try:
        hand = suited(engine.catalog.able(job.base))
        if not hand.adapter:
            raise BadInput(f"Nothing that extends pictures is here for {job.base}.", "Train it with: python -m models.lab outpaint")
        folder = Path(settings.cache_dir).expanduser() / "outpaint-canvases"
        figures = compared(engine.render, job, hand, folder, PICTURES)
        figures |= by_position(engine, job, hand, PICTURES)
        figures |= looped(engine.render, job, hand, LOOPS)
        return figures | placed(engine, job, hand, THINGS)
    finally:
        engine.close()


def scene(number: int, thing: np.ndarray, side: int = SIDE_PX) -> np.ndarray:
    """uint8 [S, S, 3]: a drawing before a sky and a ground."""
    rng = np.random.default_rng(number)
    sky, far, ground = (rng.uniform(low, high, 3) for low, high in ((120, 230), (170, 250), (60, 210)))
    t = np.linspace(0, 1, side, dtype=np.float32)[:, None, None]
    out = (sky * (1 - t) + far * t) * np.ones((1, side, 1), np.float32)
    level = int(rng.uniform(0.6, 0.75) * side)
    x = np.arange(side)
    line = level + side / 60 * np.sin(x / side * 2 * np.pi * rng.uniform(0.5, 2) + rng.uniform(0, 6))
    out[np.arange(side)[:, None] >= line[None]] = ground
    size, middle = rng.uniform(0.35, 0.6) * side, rng.uniform(0.3, 0.7) * side
    foot = level + 0.12 * side
    layer = put(thing, tuple(round(v) for v in (middle - size / 2, foot - size, middle + size / 2, foot)), Extent(side, side)).astype(np.float32)
    alpha = layer[..., 3:] / 255
    return (layer[..., :3] * alpha + out * (1 - alpha)).clip(0, 255).round().astype(np.uint8)


def cases(count: int, area: float) -> list[Case]:
    """The same scenes for every factor, the box about their middle."""
    things, out = drawings(), []
    for number in range(count):
        truth, rng = scene(number, things[number % len(things)]), np.random.default_rng(number)
        side = round(SIDE_PX / area ** 0.5)
        x, y = (int(np.clip(rng.normal(0.5, 0.15), 0.05, 0.95) * (SIDE_PX - side)) for _ in "xy")
        out.append(Case(truth, (x, y, x + side, y + side)))
    return out


# --- ways to extend -----------------------------------------------------------------------------------------------------

def mirrored(case: Case) -> np.ndarray:
    m = case.margins
    return np.pad(case.known.array, ((m.top, m.bottom), (m.left, m.right), (0, 0)), mode="symmetric")


def at_once(render: Render, job: Job, hand: Hand, case: Case) -> np.ndarray:
    (result,) = outpaint(render, case.known, case.margins, job, hand)
    return result.pixels[0]


def step_by_step(render: Render, job: Job, hand: Hand, case: Case) -> np.ndarray:
    """Ever larger canvases about the known box, each a STEP wider and higher than the last."""
    picture, at, goal = case.known, list(case.box), (0, 0, case.truth.shape[1], case.truth.shape[0])
    while tuple(at) != goal:
        grow = [round((STEP - 1) * side) for side in (picture.width, picture.height)]
        left, right = parts(at[0], goal[2] - at[2], grow[0])
        top, bottom = parts(at[1], goal[3] - at[3], grow[1])
        (result,) = outpaint(render, picture, Margins(top, right, bottom, left), job, hand)
        picture, at = Picture.from_array(result.pixels[0]), [at[0] - left, at[1] - top, at[2] + right, at[3] + bottom]
    return picture.array


def parts(low: int, high: int, more: int) -> tuple[int, int]:
    """How much of `more` px is added on either side of which `low` and `high` px are wanted, in proportion, never too much."""
    of = lambda wanted: min(wanted, max(1, more * wanted // max(1, low + high)))
    return of(low), of(high)


def ways(render: Render, job: Job, hand: Hand) -> dict[str, Callable[[Case], np.ndarray]]:
    alone = replace(hand, adapter="", change=0.75)
    return {"once": lambda case: at_once(render, job, hand, case), "held": lambda case: at_once(render, job, alone, case),
            "steps": lambda case: step_by_step(render, job, hand, case), "mirror": mirrored}


def compared(render: Render, job: Job, hand: Hand, folder: Path, count: int, say: Say = lambda text: print(text, flush=True)) -> dict[str, float]:
    """Seams, nearness to the truth, times; canvases as PNG files with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    out: dict[str, float] = {"scenes": count}
    rows: list[dict] = []
    for area in AREAS:
        some, seconds, seams = cases(count, area), {}, {}
        for way, make in ways(render, job, hand).items():
            make(some[0])                            # loads what is needed
            start = time.perf_counter()
            made = [make(case) for case in some]
            seconds[way] = (time.perf_counter() - start) / count
            seams[way] = [seam(picture, case.box) for picture, case in zip(made, some)]
            name = f"{way}_{area:g}x"
            out |= {f"{name}_seam_ratio": float(np.median(seams[way])), f"{name}_ring_psnr_db": float(np.mean([ring_db(p, c) for p, c in zip(made, some)]))}
            rows += [written(folder, f"{name}-{i}", picture, way, area, case.box) for i, (picture, case) in enumerate(zip(made, some))]
        rows += [written(folder, f"truth_{area:g}x-{i}", case.truth, "truth", area, case.box) for i, case in enumerate(some)]
        low, high = interval(np.subtract(seams["held"], seams["once"]))
        out |= {f"once_{area:g}x_s": seconds["once"], f"once_{area:g}x_share_of_steps": seconds["once"] / seconds["steps"],
                f"seam_gain_over_held_{area:g}x_low": low, f"seam_gain_over_held_{area:g}x_high": high,
                f"truth_{area:g}x_seam_ratio": float(np.median([seam(case.truth, case.box) for case in some]))}
        say(f"{area:g}x: {seconds['once'] * 1e3:.0f} ms at once, {seconds['steps'] * 1e3:.0f} ms step by step")
    write_whole(folder / "index.json", json.dumps(rows).encode())
    return out


def written(folder: Path, stem: str, picture: np.ndarray, way: str, area: float, box: tuple[int, int, int, int]) -> dict:
    cv2.imwrite(str(folder / f"{stem}.png"), np.ascontiguousarray(picture[..., ::-1]))
    return {"file": f"{stem}.png", "way": way, "area": area, "box": box}


def seam(picture: np.ndarray, box: tuple[int, int, int, int]) -> float:
    """The mean step of colour across the box's border, over that of the lines BESIDE_PX inside and outside it."""
    f = cv2.GaussianBlur(picture, (0, 0), 0.7).astype(np.float32)
    at, beside = [], []
    for axis, (low, high) in ((1, (box[0], box[2])), (0, (box[1], box[3]))):
        lines = np.moveaxis(f, axis, 0)
        span = slice(box[1], box[3]) if axis else slice(box[0], box[2])
        for edge in (low, high):
            step = lambda i, lines=lines, span=span: float(np.abs(lines[i, span] - lines[i - 1, span]).mean())
            if BESIDE_PX < edge < len(lines) - BESIDE_PX:
                at.append(step(edge))
                beside += [step(edge - BESIDE_PX), step(edge + BESIDE_PX)]
    return float(np.mean(at) / max(float(np.mean(beside)), 0.25)) if at else 1.0


def ring_db(picture: np.ndarray, case: Case) -> float:
    new = np.ones(picture.shape[:2], bool)
    new[case.box[1]:case.box[3], case.box[0]:case.box[2]] = False
    return psnr(case.truth[new], picture[new])


# --- what PQDiff's card asks for ----------------------------------------------------------------------------------------

def by_position(engine: Engine, job: Job, hand: Hand, count: int) -> dict[str, float]:
    """(a) The anchor asked for at its own place, in dB to itself, and what the autoencoder reaches; (b) half a side aside, the part that both
    share, and the same job without the adapter."""
    size = hand.native_px
    found: dict[str, list[float]] = {"same_place": [], "autoencoder": [], "aside": [], "aside_blind": []}
    for number, case in enumerate(cases(count, AREAS[0])):
        anchor = pixels.resize(case.known, Extent(size, size))
        use = AdapterUse(hand.adapter, 1.0, anchor, words="0 0 1 1")
        plain = job.but(extent=Extent(size, size), seeds=(number,))
        paint = lambda *uses, plain=plain: engine.render(plain.but(adapters=uses)).pixels[0][..., :3]
        found["same_place"].append(psnr(paint(use), anchor.array))
        found["autoencoder"].append(psnr(rebuilt(engine, job.base, anchor), anchor.array))
        half = size // 2
        right = anchor.array[:, half:]
        found["aside"].append(psnr(paint(replace(use, words="-0.5 0 0.5 1"))[:, :half], right))
        found["aside_blind"].append(psnr(paint()[:, :half], right))
    low, high = interval(np.subtract(found["aside"], found["aside_blind"]))
    return {f"{name}_psnr_db": float(np.mean(values)) for name, values in found.items()} | {"aside_gain_low_db": low, "aside_gain_high_db": high}


def rebuilt(engine: Engine, base_id: str, picture: Picture) -> np.ndarray:
    """There and back through the base's autoencoder, uint8 [H, W, 3]."""
    def work() -> np.ndarray:
        with engine.registry.lease(base_id) as (base, _):
            return pixels.to_uint8(base.decode(base.encode(pixels.to_tensor(picture, str(base.device), base.dtype))))[0, ..., :3]
    return engine.by_hand(work)


# --- loops and places ---------------------------------------------------------------------------------------------------

def looped(render: Render, job: Job, hand: Hand, count: int) -> dict[str, float]:
    """The seam where a loop closes: with the gap between the two ends (as it is done), and extended to both sides in place."""
    found: dict[str, list[float]] = {"moved": [], "in_place": []}
    for number, case in enumerate(cases(count, AREAS[0])):
        own = job.but(seeds=(number,))
        (loop,) = panorama(render, case.known, own, hand, 0.75)
        found["moved"].append(wrap_error(loop.pixels[0]))
        gap = loop.pixels.shape[2] - case.known.width
        (flat,) = outpaint(render, case.known, Margins(right=gap - gap // 2, left=gap // 2), own, hand)
        found["in_place"].append(wrap_error(flat.pixels[0]))
    low, high = interval(np.subtract(found["in_place"], found["moved"]))
    return {f"loop_{name}_wrap_ratio": float(np.median(v)) for name, v in found.items()} | {"loop_gain_low": low, "loop_gain_high": high}


def placed(engine: Engine, job: Job, hand: Hand, count: int) -> dict[str, float]:
    """U of things in imagined places: painted around them, repaired, and by plain inpainting of all but the thing."""
    from models.flows.behind import suited as place_settings
    found: dict[str, list[float]] = {"before": [], "repaired": [], "inpainted": []}
    settings, extent = place_settings(engine.catalog.able(job.base)), Extent(hand.native_px, hand.native_px)
    for number, thing in enumerate(drawings()[:count]):
        box = tuple(round(v * hand.native_px) for v in (0.28, 0.4, 0.72, 0.88))
        things, place = put(thing, box, extent), PLACES[number % len(PLACES)]
        own = job.but(extent=extent, seeds=(number,))
        wanted = Foreground(own, Picture.from_array(things), (place,), settings=settings)
        (result,) = foreground(engine.render, engine.look, wanted, hand)
        before, after = result.seen["growth"]
        found["before"].append(float(before))
        found["repaired"].append(float(after))
        known = things[..., 3] == 255
        rgb = filled(things[..., :3], known)
        ((plain, _),) = paint_unknown(engine.render, own.but(prompt=place), Canvas(rgb, known), hand, lambda *told: None, lambda: False)
        found["inpainted"].append(growth(engine.look, plain, things))
    low, high = interval(np.subtract(found["inpainted"], found["repaired"]))
    return {f"place_{name}_growth_share": float(np.mean(v)) for name, v in found.items()} | {"place_gain_low": low, "place_gain_high": high}
