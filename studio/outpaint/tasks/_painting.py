"""What the tasks that paint beside a picture have in common: how, how often, and what becomes of the results."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from models.flows._unknown import MOST_FEATHER_PX
from models.flows.outpaint import Hand, suited
from models.flows.upscale import NET, upscale, upscalers
from models.job import MAX_SEED, Job, Picture, Result
from studio.workbench.task import Call

MAX_VARIANTS = 8
MAX_REGIONS = 12
LEAST_REGION = 16                                    # px; a smaller one goes with its neighbour


def hand_of(call: Call) -> Hand:
    """How the chosen model paints; asked: feather (px)."""
    able = call.engine.catalog.able(call.base)
    crisp = any(one["id"] == NET and one["here"] for one in upscalers(call.engine.catalog))
    enlarge = (lambda picture, times: upscale(call.engine, picture, times, cancel=call.cancelled, session=call.session)) if crisp else None
    return suited(able, call.whole("feather", 8, 0, MOST_FEATHER_PX), enlarge)


def job_of(call: Call) -> Job:
    """asked: words, negative, style, seed, steps, variants (1)."""
    seed, count = call.whole("seed", 7), call.whole("variants", 1, 1, MAX_VARIANTS)
    return call.job(seeds=tuple((seed + n) % (MAX_SEED + 1) for n in range(count)))


def painted(call: Call, results: Iterable[Result], count: int) -> tuple[list[dict[str, Any]], list[str]]:
    """(the kept pictures, each told to the page as soon as it is there; the notes)."""
    pictures, notes = [], []
    for number, result in enumerate(results):
        kept = call.keep(Picture.from_array(np.ascontiguousarray(result.pixels[0]))) | {"asked": {"seed": result.job.seeds[0], "variants": 1}}
        pictures.append(kept)
        notes += [note for note in result.notes if note not in notes]
        call.part({"picture": kept, "number": number, "of": count})
        call.check()
    return pictures, notes


def regions(unknown: np.ndarray) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Places apart in a mask, bool [H, W]: (labels uint8 [H, W], 0 = none; [{"box": [x0, y0, x1, y1]}] in their order)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(unknown.astype(np.uint8), connectivity=8)
    order = [n for n in range(1, count) if min(stats[n, cv2.CC_STAT_WIDTH], stats[n, cv2.CC_STAT_HEIGHT]) >= LEAST_REGION][:MAX_REGIONS]
    of = np.zeros(count, np.uint8)
    for number, n in enumerate(order, 1):
        of[n] = number
    boxes = [{"box": [int(stats[n, 0]), int(stats[n, 1]), int(stats[n, 0] + stats[n, 2]), int(stats[n, 1] + stats[n, 3])]} for n in order]
    return of[labels], boxes


def parted(call: Call, unknown: np.ndarray, count: int) -> dict[str, Any]:
    """What the page needs to choose another picture for every place by itself; nothing where there is but one place or one picture."""
    if count < 2:
        return {}
    labels, boxes = regions(unknown)
    if len(boxes) < 2:
        return {}
    return {"regions": boxes, "labels": call.keep_mask(Picture.from_array(labels))}
