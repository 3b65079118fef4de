"""Edits on scenes with exact truth: is what words name found, does only that change, and what does a search for the depth bring?

Scenes (studio/bench/_edit_scenes.py) are made of held-out drawings; odd ones of the sheet are asked about here, the even ones set the
threshold. find: recall and precision of "there" over present and absent names, share of present ones whose own piece is marked, overlap with
the true mask. recolour, remove, move: success against the truth (the colour's share of the true mask; PSNR in the hole; PSNR of the whole)
and the largest change outside the marked place. plain: the same wish by image-to-image over the whole picture with the words of the result
at each of five strengths, its best one shown. oir: two replacements, the searched depth beside every fixed one. fix: prompts of two things,
facts that hold before and after, beside the best of as many seeds as took the same time. Figures of the judge here are those of the judge
that was searched with; before, after and truth go to edit-pictures in the cache folder, where `python -m models.lab edit_scores pack=FOLDER`
asks judges that took no part.
"""
from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from models.engine import Engine
from models.errors import StudioError
from models.flows._edit_words import colour_share
from models.flows.check_fix import check, check_fix
from models.flows.edit import How, find, run_step
from models.flows.oir import Candidates, Oir, Pair, oir
from models.flows.plan_edit import Step
from models.job import Extent, Job, Picture
from studio.bench._edit_scenes import Scene, scene, things
from studio.bench._score import interval
from studio.settings import Settings

SCENES, PAIRS, PROMPTS = 36, 20, 40                  # how many; PAIRS of the scenes have both things replaced
QUICK = {"SCENES": 3, "PAIRS": 1, "PROMPTS": 2}
ABSENT, STRENGTHS = 2, (0.3, 0.45, 0.6, 0.75, 0.9)
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
TARGETS = ("an apple", "a heart", "a house", "a car", "a star", "a tree", "a balloon", "a clock")
SIMPLE = ("apple", "heart", "house", "car", "star", "tree", "balloon", "clock", "mushroom", "butterfly", "flower", "guitar")
FOLDER = "edit-pictures"


@dataclass
class Log:
    """Pictures for the judges of the lab: rows of index.json."""
    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def keep(self, kind: str, words: str, **pictures: np.ndarray) -> None:
        """One line: kind, the words to be judged, and uint8 [H, W, 3] or [H, W] by name, as PNG files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        row: dict[str, Any] = {"kind": kind, "words": words}
        for name, picture in pictures.items():
            row[name] = f"{len(self.rows):04d}-{name}.png"
            cv2.imwrite(str(self.folder / row[name]), picture[..., ::-1] if picture.ndim == 3 else picture)
        self.rows.append(row)

    def write(self) -> None:
        (self.folder / "index.json").write_text(json.dumps(self.rows), encoding="utf-8")


def run(settings: Settings) -> Mapping[str, float]:
    """`--base` names the base; the pictures go to edit-pictures in the cache folder."""
    from models.engine import open_engine
    engine, begin = open_engine(settings.budget_bytes, settings.cache_dir, models_dir=settings.models_dir), time.perf_counter()
    try:
        spec = engine.catalog.resolve_base(settings.base)
        how = How(Job(base=spec.id, extent=Extent(spec.native_px[0], spec.native_px[0])))
        log = Log(Path(settings.cache_dir).expanduser() / FOLDER)
        asked = [scene(1000 + n, things()[1::2], 2 + (n % 4 == 0)) for n in range(SCENES)]
        engine.render(how.job.but(prompt="warm"))
        out = found(engine, how, asked) | exact(engine, how, asked, log) | depths(engine, how, asked[:PAIRS], log)
        out |= fixes(engine, how, prompts(PROMPTS), log)
        log.write()
        return out | {"bench_s": time.perf_counter() - begin}
    finally:
        engine.close()


# --- finding -------------------------------------------------------------------------------------------------------------

def found(engine: Engine, how: How, scenes: list[Scene]) -> dict[str, float]:
    """Present and absent names of every scene."""
    hits, overlaps, alarms, took = [], [], [], []
    names = [thing.name for thing in things()[1::2]]
    for number, one in enumerate(scenes):
        picture, rng = Picture.from_array(one.rgb), np.random.default_rng(number)
        for name in one.names:
            start = time.perf_counter()
            answer = find(engine, picture, name, how)
            took.append(time.perf_counter() - start)
            hits.append(answer.there)
            overlaps.append(overlap(answer.alpha, one.alpha(name)) if answer.there else 0.0)
        absent = rng.choice([name for name in names if name not in one.names], ABSENT, replace=False)
        alarms += [find(engine, picture, str(name), how).there for name in absent]
    right = [hit and o > 0.5 for hit, o in zip(hits, overlaps)]
    precision = sum(right) / max(1, sum(hits) + sum(alarms))
    return {"find_names": len(hits), "find_recall": float(np.mean(hits)), "find_right_piece": float(np.mean(right)), "find_precision": precision,
            "find_false_alarms": float(np.mean(alarms)), "find_overlap": float(np.mean([o for o in overlaps if o > 0] or [0])),
            "find_p50_s": float(np.median(took))}


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two alphas [H, W]."""
    return float(np.minimum(one, other).sum() / max(float(np.maximum(one, other).sum()), 1e-6))


def psnr(one: np.ndarray, other: np.ndarray, where: np.ndarray | None = None) -> float:
    """dB over uint8 [H, W, 3], inside bool `where`; 60 at most."""
    off = (one.astype(np.float32) - other) ** 2
    return float(min(60.0, 10 * np.log10(255 ** 2 / max(float(off.mean() if where is None else off[where].mean()), 1e-6))))


# --- edits with a truth --------------------------------------------------------------------------------------------------

def exact(engine: Engine, how: How, scenes: list[Scene], log: Log) -> dict[str, float]:
    """Recolour, remove and move the first thing of every scene, beside image-to-image at its best strength."""
    figures: dict[str, list[float]] = {}
    note = lambda **values: [figures.setdefault(name, []).append(float(value)) for name, value in values.items()]
    for number, one in enumerate(scenes):
        name, colour = one.names[0], COLOURS[number % len(COLOURS)]
        for tool, words in (("recolour", colour), ("remove", ""), ("move", "")):
            try:
                done = run_step(engine, Picture.from_array(one.rgb), Step(tool, name, words, place="up", amount=0.12), how)
            except StudioError:                      # not found: counted by `found`, and as no success here
                note(**{f"{tool}_success": 0})
                continue
            after, same = done.after.array, done.mask.array[..., 0] == 0
            note(**{f"{tool}_s": done.seconds, f"{tool}_outside_most": np.abs(after.astype(int) - one.rgb)[same].max()})
            note(**{f"{tool}_success": _succeeded(tool, one, name, after, colour), f"{tool}_outside_psnr": psnr(after, one.rgb, _far(one, name, tool))})
            truth = one.without(name) if tool == "remove" else one.rgb
            plain, alpha = _plain(engine, how, one, name, tool, colour, note), (one.alpha(name) * 255).round().astype(np.uint8)
            log.keep(tool, name, before=one.rgb, after=after, truth=truth, mask=alpha, plain=plain)
    return {name: float(np.median(values)) if name.endswith("_s") else float(np.max(values)) if name.endswith("_most") else float(np.mean(values))
            for name, values in figures.items()} | {"exact_scenes": len(scenes)}


def _far(one: Scene, name: str, tool: str) -> np.ndarray:
    """Bool [H, W]: what an edit of a thing has no business with."""
    near = cv2.dilate((one.alpha(name) > 0.02).astype(np.uint8), np.ones((9, 9))) > 0
    return ~(near | np.roll(near, -31, 0)) if tool == "move" else ~near


def _succeeded(tool: str, one: Scene, name: str, after: np.ndarray, colour: str) -> bool:
    """recolour: half of what has the thing's hue is of the colour; remove: the hole is like the truth; move: the thing stands higher."""
    alpha = one.alpha(name)
    if tool == "recolour":
        return colour_share(after, alpha, colour) > max(0.35, colour_share(one.rgb, alpha, colour) * 0.99)
    if tool == "remove":
        return psnr(after, one.without(name), alpha > 0.5) > 22
    moved = Scene(one.ground, tuple((other, np.roll(layer, -31, 0) if other == name else layer) for other, layer in one.layers))
    return psnr(after, moved.rgb) > 25


def _plain(engine: Engine, how: How, one: Scene, name: str, tool: str, colour: str, note: Any) -> np.ndarray:
    """Image-to-image over the whole picture with words of the result; the strength that succeeds and changes least, else changes least."""
    words = {"recolour": f"a {colour} {name} and {one.names[1]}", "remove": f"a {one.names[1]}", "move": f"a {name} above a {one.names[1]}"}[tool]
    tried = []
    for strength in STRENGTHS:
        job = how.job.but(prompt=words, image=Picture.from_array(one.rgb), strength=strength, steps=2)
        after = engine.render(job).pixels[0][..., :3]
        tried.append((_succeeded(tool, one, name, after, colour), psnr(after, one.rgb, _far(one, name, tool)), after))
    ok, kept, after = max(tried, key=lambda row: row[:2])
    note(**{f"plain_{tool}_success": ok, f"plain_{tool}_outside_psnr": kept})
    return after


# --- searched depth ------------------------------------------------------------------------------------------------------

def depths(engine: Engine, how: How, scenes: list[Scene], log: Log) -> dict[str, float]:
    """Both things of a scene become others; the searched depth beside the best single fixed one, by edit and keep brought to 0..1."""
    searched, fixed, took = [], [], []
    for number, one in enumerate(scenes):
        mask = lambda name, one=one: Picture.from_array((one.alpha(name) * 255).round().astype(np.uint8))
        pairs = tuple(Pair(name, TARGETS[(number + 3 * k) % len(TARGETS)], mask(name)) for k, name in enumerate(one.names[:2]))
        start = time.perf_counter()
        *strips, done = oir(engine, Picture.from_array(one.rgb), Oir(pairs, how, floor=0.0))
        took.append((time.perf_counter() - start) / len(pairs))
        for strip in (strip for strip in strips if isinstance(strip, Candidates)):
            searched.append(strip.score[strip.chosen])
            fixed.append(strip.score)
            log.keep("oir", strip.pair.target, before=one.rgb, mask=strip.mask.array[..., 0], searched=strip.pictures[strip.chosen].array,
                     **{f"depth{k}": picture.array for k, picture in enumerate(strip.pictures)})
    best = np.mean(fixed, 0).argmax()
    low, high = interval([a - b[best] for a, b in zip(searched, fixed)])
    return {"oir_pairs": len(searched), "oir_searched": float(np.mean(searched)), "oir_best_fixed": float(np.mean(fixed, 0)[best]),
            "oir_gain_low": low, "oir_gain_high": high, "oir_pair_p50_s": float(np.median(took))}


# --- check and fix -------------------------------------------------------------------------------------------------------

def prompts(count: int) -> list[str]:
    """Two things each, with two colours, half of them with a relation."""
    rng, out = np.random.default_rng(7), []
    for number in range(count):
        a, b = rng.choice(SIMPLE, 2, replace=False)
        c, d = rng.choice(COLOURS, 2, replace=False)
        article = lambda word: "an" if word[0] in "aeiou" else "a"
        out.append(f"{article(c)} {c} {a} {'left of' if number % 2 else 'and'} {article(d)} {d} {b}")
    return out


def fixes(engine: Engine, how: How, asked: list[str], log: Log) -> dict[str, float]:
    """Facts that hold in the first picture, after fixing, and in the best of as many seeds as the fixing took time for."""
    rows = []
    for number, prompt in enumerate(asked):
        own = How(how.job.but(seeds=(100 * number,), steps=4))
        start = time.perf_counter()
        stages = list(check_fix(engine, None, prompt, own))
        took, done, seeds = time.perf_counter() - start, stages[-1], 0
        best, start = stages[0], time.perf_counter()
        best = (best.checked.share, best.picture)
        while time.perf_counter() - start < took:
            seeds += 1
            picture = Picture.from_array(engine.render(own.job.but(prompt=prompt, seeds=(100 * number + 10 + seeds,))).pixels[0][..., :3].copy())
            best = max(best, (check(engine, picture, prompt, own).share, picture), key=lambda one: one[0])
        rows.append((stages[0].checked.share, done.checked.share, best[0], took, seeds))
        log.keep("fix", prompt, first=stages[0].picture.array[..., :3], fixed=done.picture.array[..., :3], reseeded=best[1].array[..., :3])
    first, after, again, took, seeds = np.array(rows).T
    low, high = interval(after - again)
    return {"fix_prompts": len(rows), "fix_facts_before": float(first.mean()), "fix_facts_after": float(after.mean()),
            "fix_facts_best_of_n": float(again.mean()),
            "fix_gain_over_best_of_n_low": low, "fix_gain_over_best_of_n_high": high, "fix_p50_s": float(np.median(took)), "fix_n_seeds": float(seeds.mean())}
