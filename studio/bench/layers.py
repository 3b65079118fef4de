"""Layers: are assets whole and clean, do things grow in a background, do scenes hold together, and does moving one leave the others alone?

assets: WORDS times SEEDS, four ways. native: the model's own alpha inside a held frame; free: the same without the frame; maps: painted
opaque inside the frame and cut out along attention maps (Alfie); matte: painted on plain paper and cut out by its colour. touch: what can be
seen reaches the outer 2 px; cut: it ends in a straight edge where it was free to be painted;
island: a visible piece apart from the largest; empty: nothing was left after cutting out.
growth: the area that GrabCut gives a thing in the finished picture, seeded with the thing as sure and a ring around it as maybe, over its
true area, less 1. behind: held, from the place painted alone; inpaint: held, from noise with the thing's words, as inpainting does.
truth and back: errors of native and of matted alpha where truth is known, and how alpha comes back from three grounds (_alpha.py).
edge: the mean step of light over things' outlines, over that in the 8 px beside them; a pasted thing has more than one that belongs.
moved: after one thing was moved, what the others look like, in dB; once as layers, once harmonised anew.

Crops of composites with 1 to 5 things and pictures of the same words in one prompt are written for the independent judge, which is
in the lab: python -m models.lab crops data=FOLDER
"""
from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from models.catalog import Abilities
from models.errors import BadInput
from models.flows import Remembered, Render
from models.flows._canvas import grown, held, over, put, shown
from models.flows._cutout import SOLID, stray_islands, touches_frame
from models.flows._planner import plan
from models.flows.asset import Wanted, asset
from models.flows.asset import suited as suited_asset
from models.flows.behind import Behind, behind
from models.flows.behind import suited as suited_behind
from models.flows.cutout import Look
from models.flows.harmonise import Harmony, Layered, harmonise, recomposed
from models.flows.layered_scene import LayeredScene, Painted, layered_scene
from models.job import Job, Picture
from models.pixels import resize
from studio.bench._alpha import held_out
from studio.bench._alpha import painted as came_back
from studio.bench._score import interval, opened
from studio.bench.cutout import drawings
from studio.files import write_whole
from studio.settings import Settings

WORDS = ("an apple", "a red heart", "a house", "a car", "a tree", "a guitar", "a butterfly", "a clock", "a cat face", "a rocket", "a bus", "a mushroom")
SEEDS = 4
PLACES = ("on a beach", "in a desert", "in the snow", "on a blue background", "on a green background", "in a field")
NAMED = ("apple", "heart", "house", "car", "tree", "guitar", "butterfly", "clock", "rocket", "bus", "mushroom", "banana")
SCENES, MOST, TRUTHS = 8, 5, 32
QUICK = {"WORDS": WORDS[:2], "SEEDS": 1, "SCENES": 1, "MOST": 2, "TRUTHS": 4}
NEAR_AND_FURTHER, STRAIGHT = (0.02, 0.07), 0.8        # depths of two rows, of the side; what the outer one has of the inner one
CUT_SHARE, RING_PX, BESIDE_PX = 0.1, 24, 8
MOVED_PX, MOST_DB = 24, 60.0


def run(settings: Settings) -> Mapping[str, float]:
    """`--base` names the base (the embedded one by default). The crops go to layer-crops in the cache folder."""
    engine, job = opened(settings)
    try:
        able, render, start = engine.catalog.able(job.base), Remembered(engine.render, 256), time.perf_counter()
        job = job.but(style=able.spec.styles[0].id if able.spec.styles else "")
        folder = Path(settings.cache_dir).expanduser() / "layer-crops"
        out = (assets(render, job, able, WORDS, SEEDS) | alphas(render, engine.look, job, able) | growth(render, job, able, len(WORDS))
               | scenes(render, job, able, folder, SCENES, MOST))
        return out | {"bench_s": time.perf_counter() - start}
    finally:
        engine.close()


# --- assets -------------------------------------------------------------------------------------------------------------

def ways(able: Abilities) -> dict[str, dict]:
    """Settings of models.flows.asset.Wanted, by name."""
    best = suited_asset(able)
    out = {"native": best, "free": best | {"whole": False}, "maps": best | {"transparent": ""}, "matte": best | {"transparent": "", "maps": "", "whole": False}}
    return {name: way for name, way in out.items() if (name not in ("native", "free") or best["transparent"]) and (name != "maps" or best["maps"])}


def assets(render: Render, job: Job, able: Abilities, words: Sequence[str] = WORDS, seeds: int = SEEDS) -> dict[str, float]:
    """Shares of assets that touch the frame, are cut flat or have islands, and milliseconds an asset."""
    out: dict[str, float] = {"assets": len(words) * seeds}
    for name, way in ways(able).items():
        start, found, empty = time.perf_counter(), [], 0
        for number, (word, seed) in enumerate((word, seed) for word in words for seed in range(seeds)):
            wanted = Wanted(job.but(prompt=word, seeds=(1000 + number,)), **way)
            try:
                *_, made = asset(render, wanted)
            except BadInput:                         # nothing could be told from its background
                empty += 1
                continue
            alpha = made.pixels[0][..., 3]
            found.append((touches_frame(alpha), cut_flat(alpha, wanted.border if made.job.mask or made.job.regions else 0.0), stray_islands(alpha) > 0))
        for label, values in zip(("touch", "cut", "island"), zip(*found)):
            out[f"{name}_{label}_share"] = float(np.mean(values))
        out[f"{name}_empty_share"] = empty / (len(words) * seeds)
        out[f"{name}_ms"] = (time.perf_counter() - start) * 1e3 / (len(words) * seeds)
    return out


def alphas(render: Render, look: Look, job: Job, able: Abilities) -> dict[str, float]:
    """What _alpha.py measures, where the base has alpha of its own."""
    if not (transparent := able.granted.get("rgba", "")):
        return {}
    some = {name: way for name, way in ways(able).items() if name in ("native", "matte")}
    return held_out(render, look, job, transparent, drawings()[:TRUTHS]) | came_back(render, look, job, some, WORDS, 2 if SEEDS > 1 else 1)


def cut_flat(alpha: np.ndarray, border: float) -> bool:
    """Whether a thing, uint8 alpha [H, W], seems cut off where its free part ends: near that border it has a straight edge of CUT_SHARE of a
    side or more, hardly shorter than what lies further in. Things with straight sides of their own are counted too."""
    height, width = alpha.shape
    down, across = round(border * height), round(border * width)
    inner = alpha[down:height - down or None, across:width - across or None] >= SOLID
    return any(_straight(side) for side in (inner, inner[::-1], inner.T, inner.T[::-1]))


def _straight(inner: np.ndarray) -> bool:
    """cut_flat of the upper edge of bool [H, W]."""
    near, further = (longest(inner[round(depth * len(inner))]) for depth in NEAR_AND_FURTHER)
    return near >= CUT_SHARE * inner.shape[1] and near >= STRAIGHT * further


def longest(line: np.ndarray) -> int:
    """The longest run of True in bool [n]."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
    return int((ends[1::2] - ends[::2]).max()) if len(ends) else 0


# --- backgrounds --------------------------------------------------------------------------------------------------------

def growth(render: Render, job: Job, able: Abilities, cases: int = len(WORDS)) -> dict[str, float]:
    """Area growth of things in a background made for them, the held way and by inpainting, with the interval of the difference."""
    side = min(job.extent.width, job.extent.height)
    box = (side // 4, side // 3, 3 * side // 4, side - side // 8)
    found: dict[str, list[float]] = {"behind": [], "inpaint": []}
    kept = []
    for number in range(cases):
        word, place = WORDS[number % len(WORDS)], PLACES[number % len(PLACES)]
        *_, made = asset(render, Wanted(job.but(prompt=word, seeds=(2000 + number,)), **suited_asset(able)))
        thing = put(made.pixels[0], box, job.extent)
        scene = job.but(prompt=place, seeds=(number,))
        first, _ = behind(render, Behind(scene, Picture.from_array(thing), word, **suited_behind(able)))
        core = held(thing)
        noise = scene.but(prompt=f"{word} {place}", image=Picture.from_array(over(np.full((side, side, 3), 255, np.uint8), [thing])),
                          mask=Picture.from_array((~core).astype(np.uint8) * 255))
        found["behind"].append(grows(first.pixels[0], thing))
        found["inpaint"].append(grows(render(noise).pixels[0][..., :3], thing))
        core &= thing[..., 3] == 255                 # elsewhere the place shines through
        kept.append(bool((first.pixels[0][core] == thing[core][:, :3]).all()))
    low, high = interval(np.subtract(found["inpaint"], found["behind"]))
    shares = {f"{way}_growth_share": float(np.mean(values)) for way, values in found.items()}
    return shares | {"growth_saved_low": low, "growth_saved_high": high, "thing_kept_bit_for_bit_share": float(np.mean(kept))}


def grows(picture: np.ndarray, thing: np.ndarray) -> float:
    """By what share of its area the thing, RGBA [H, W, 4], is larger in uint8 [H, W, 3]."""
    solid = thing[..., 3] >= SOLID
    labels = np.full(solid.shape, cv2.GC_BGD, np.uint8)
    labels[grown(solid, RING_PX)] = cv2.GC_PR_BGD
    labels[grown(solid, RING_PX // 3)] = cv2.GC_PR_FGD
    labels[solid] = cv2.GC_FGD
    cv2.setRNGSeed(0)
    cv2.grabCut(np.ascontiguousarray(picture[..., ::-1]), labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    return float(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).sum() / max(1, solid.sum()) - 1)


# --- scenes -------------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Made:
    """A scene: its sentence, names of its things, layers on the canvas, place, and boxes."""
    words: str
    names: tuple[str, ...]
    place: Picture
    layers: tuple[Layered, ...]
    boxes: tuple[tuple[int, int, int, int], ...]


def sentences(count: int, number: int) -> tuple[str, tuple[str, ...]]:
    """(a prompt with so many things, their names)."""
    rng = np.random.default_rng(100 * count + number)
    names = tuple(str(name) for name in rng.choice(NAMED, count, replace=False))
    said = [f"{'an' if name[0] in 'aeiou' else 'a'} {name}" for name in names]
    return f"{', '.join(said[:-1])}{' and ' if count > 1 else ''}{said[-1]} {PLACES[number % len(PLACES)]}", names


def made_scene(render: Render, job: Job, able: Abilities, words: str, names: tuple[str, ...]) -> Made:
    wanted = Wanted(job.but(prompt=words), **suited_asset(able))
    place, *parts = layered_scene(render, LayeredScene(plan(words), wanted, job, suited_behind(able)["empty"]))
    order = tuple(next(name for name in names if name in part.words) for part in parts)
    layers = tuple(Layered(on_canvas(part, job), part.words, not part.thing.floats) for part in parts)
    return Made(words, order, place.picture, layers, tuple(part.box for part in parts))


def on_canvas(part: Painted, job: Job) -> np.ndarray:
    x0, y0, x1, y1 = part.box
    out = np.zeros((job.extent.height, job.extent.width, 4), np.uint8)
    out[y0:y1, x0:x1] = resize(part.picture, replace(job.extent, width=x1 - x0, height=y1 - y0)).array
    return out


def scenes(render: Render, job: Job, able: Abilities, folder: Path, each: int = SCENES, most: int = MOST) -> dict[str, float]:
    """Edges, moves and times of scenes; their crops and single-prompt pictures as PNG files with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    edges: dict[str, list[float]] = {"pasted": [], "harmonised": []}
    moved: dict[str, list[float]] = {"layers": [], "anew": []}
    for count in range(1, most + 1):
        for number in range(each):
            one = made_scene(render, job.but(seeds=(3000 + 100 * count + number,)), able, *sentences(count, number))
            wanted = harmony(one, job, able)
            *_, light = harmonise(render, wanted)
            pictures = {"pasted": over(one.place.array, [layer.rgba for layer in one.layers]), "harmonised": recomposed(wanted, light)}
            for way, picture in pictures.items():
                edges[way] += [edge_ratio(picture, seen) for seen in shown([layer.rgba for layer in one.layers])]
            if count == 3:
                for way, value in others_db(render, wanted, light).items():
                    moved[way].append(value)
            single = render(job.but(prompt=one.words, seeds=(number,))).pixels[0][..., :3]
            rows += list(written(folder, f"{count}-{number}", one, pictures["harmonised"], single))
    write_whole(folder / "index.json", json.dumps(rows).encode())
    low, high = interval(np.subtract(edges["pasted"], edges["harmonised"]))
    means = {f"{way}_edge_ratio": float(np.nanmean(values)) for way, values in edges.items()}
    return means | {"edge_gain_low": low, "edge_gain_high": high, "moved_layers_psnr_db": float(np.mean(moved["layers"] or [MOST_DB])),
                    "moved_anew_psnr_db": float(np.mean(moved["anew"] or [MOST_DB])), "judged_crops": len(rows)}


def harmony(one: Made, job: Job, able: Abilities) -> Harmony:
    return Harmony(job.but(prompt=plan(one.words).background, seeds=(1,)), one.place, one.layers, able.granted.get("held_layers", ""))


def edge_ratio(picture: np.ndarray, seen: np.ndarray) -> float:
    """The mean step of light on the outline of `seen` [H, W] over the mean of what lies BESIDE_PX in- and outside."""
    light = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.7)
    step = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1))
    solid = seen >= 0.5
    outline = grown(solid, 2) & ~grown(solid, -2)
    beside = grown(solid, BESIDE_PX) & ~grown(solid, -BESIDE_PX) & ~outline
    return float(step[outline].mean() / max(step[beside].mean(), 1e-3)) if outline.any() and beside.any() else float("nan")


def others_db(render: Render, wanted: Harmony, before: object) -> dict[str, float]:
    """How much the others of three things change, in dB, when the nearest one moves aside: as layers, and harmonised anew."""
    first = recomposed(wanted, before)
    shift = lambda picture: np.roll(picture, MOVED_PX, 1)
    things = (*wanted.layers[:-1], replace(wanted.layers[-1], rgba=shift(wanted.layers[-1].rgba)))
    after = replace(wanted, layers=things)
    same = replace(before, gains=(*before.gains[:-1], shift(before.gains[-1])), shadows=(*before.shadows[:-1], shift(before.shadows[-1])))
    *_, anew = harmonise(render, after)
    hidden = grown((wanted.layers[-1].rgba[..., 3] > 0) | (things[-1].rgba[..., 3] > 0), 12)
    core = np.logical_or.reduce([held(layer.rgba, 3) for layer in wanted.layers[:-1]]) & ~hidden
    if not core.any():
        return {}
    return {way: psnr(first[core], recomposed(after, made)[core]) for way, made in (("layers", same), ("anew", anew))}


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """In dB, MOST_DB for the same."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return MOST_DB if error == 0 else min(MOST_DB, 10 * np.log10(255 ** 2 / error))


def written(folder: Path, stem: str, one: Made, picture: np.ndarray, single: np.ndarray) -> Iterator[dict]:
    """Writes the crop of every thing, and of the single-prompt picture the whole and its parts, of which the best counts."""
    for number, (name, (x0, y0, x1, y1)) in enumerate(zip(one.names, one.boxes)):
        yield _row(folder, f"{stem}-{number}-layers", [square(picture, (x0, y0, x1, y1))], name, len(one.names), "layers")
        side = single.shape[0]
        half = side // 2
        parts = [(0, 0, side, side)] + [(x, y, x + half, y + half) for y in (0, half // 2, half) for x in (0, half // 2, half)]
        yield _row(folder, f"{stem}-{number}-single", [square(single, part) for part in parts], name, len(one.names), "single")


def _row(folder: Path, stem: str, crops: list[np.ndarray], name: str, count: int, way: str) -> dict:
    ok, data = cv2.imencode(".png", np.hstack(crops)[..., ::-1])
    write_whole(folder / f"{stem}.png", data.tobytes())
    return {"file": f"{stem}.png", "crops": len(crops), "name": name, "things": count, "way": way}


def square(picture: np.ndarray, box: tuple[int, int, int, int], px: int = 256) -> np.ndarray:
    """The square around a box with a margin of an eighth, cut out and enlarged, the picture's edge continued."""
    x0, y0, x1, y1 = box
    side = round(max(x1 - x0, y1 - y0) * (1.25 if (x1 - x0) < picture.shape[1] else 1))
    left, top = (x0 + x1 - side) // 2, (y0 + y1 - side) // 2
    wide = cv2.copyMakeBorder(picture, side, side, side, side, cv2.BORDER_REPLICATE)
    return cv2.resize(wide[top + side:top + 2 * side, left + side:left + 2 * side], (px, px), interpolation=cv2.INTER_AREA if side > px else cv2.INTER_CUBIC)
