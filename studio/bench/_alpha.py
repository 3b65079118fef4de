"""Alpha of assets, native and matted, against truth that is known and against itself.

Held out: drawings that neither the transparent decoder nor the matting net was trained on (assets/percepts/cutouts.webp), whose alpha is
known. Each goes through the base on white paper, HARDLY noised, once for both ways: native, by the model's own transparent decoder; matte, the
same job painted opaque and cut out by the matting net; key, by the paper's colour. What comes back is not quite the drawing, so the errors
hold the painter's own as well, the same for all ways.

Painted: nobody knows the alpha of a thing that the base invented. So each asset, however its alpha was made, is laid over three grounds
and cut out again by the matting net: true alpha would come back from all of them. unlike: mean difference from the asset's own alpha over the
thing's area (per cent); apart: mean difference between the three. That judges how clean an edge is, not whether it is where it should be.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from models.errors import BadInput
from models.flows import Render
from models.flows._canvas import over
from models.flows._cutout import SOLID, cut_out
from models.flows.asset import Wanted, asset
from models.flows.cutout import Cut, Look
from models.flows.cutout import cut_out as matted
from models.job import AdapterUse, Job, Picture
from studio.bench._score import interval
from studio.bench.cutout import errors

HARDLY = 0.05                                        # strength of the pass: the least noise that still goes through the whole base
MEASURES = ("sad", "mse", "gradient")


def held_out(render: Render, look: Look, job: Job, transparent: str, drawings: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean errors of alpha (studio.bench.cutout.errors) by way, and the 95 % interval of SAD that native saves over matte."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for number, drawing in enumerate(drawings):
        truth = drawing[..., 3].astype(np.float32) / 255
        seen = Picture.from_array(over(np.full((*truth.shape, 3), 255, np.uint8), [drawing]))
        own = job.but(prompt="", seeds=(number,), image=seen, strength=HARDLY, steps=1)
        opaque = render(own).pixels[0][..., :3]
        alphas = {"native": render(own.but(adapters=(AdapterUse(transparent),))).pixels[0][..., 3] / 255, **by_matting(look, opaque)}
        for way, alpha in alphas.items():
            found.setdefault(way, []).append(errors(alpha.astype(np.float32), truth))
    out = {f"truth_{way}_{name}": float(np.mean([row[i] for row in rows])) for way, rows in found.items() for i, name in enumerate(MEASURES)}
    low, high = interval([matte[0] - native[0] for native, matte in zip(found["native"], found["matte"])])
    return {"truths": len(drawings)} | out | {"truth_native_saved_sad_low": low, "truth_native_saved_sad_high": high}


def by_matting(look: Look, rgb: np.ndarray) -> dict[str, np.ndarray]:
    """Alpha in 0..1 of an opaque picture by the net and by its paper's colour; where nothing is found, all of it is kept."""
    key = cut_out(rgb)
    return {"matte": alpha_by_net(look, rgb), "key": np.ones(rgb.shape[:2]) if key is None else key[..., 3] / 255}


def alpha_by_net(look: Look, rgb: np.ndarray) -> np.ndarray:
    try:
        return matted(look, Picture.from_array(np.ascontiguousarray(rgb)), Cut(decontaminate=False)).rgba[..., 3] / 255
    except BadInput:
        return np.ones(rgb.shape[:2])


def painted(render: Render, look: Look, job: Job, ways: dict[str, dict], words: Sequence[str], seeds: int) -> dict[str, float]:
    """How assets made each way come back from three grounds, in per cent of the thing's area."""
    out: dict[str, float] = {}
    for name, way in ways.items():
        rows = []
        for number, word in enumerate(word for word in words for _ in range(seeds)):
            try:
                *_, made = asset(render, Wanted(job.but(prompt=word, seeds=(1000 + number,)), **way))
            except BadInput:
                continue
            rows.append(came_back(look, made.pixels[0], number))
        out |= {f"back_{name}_{what}_pct": float(np.mean([row[i] for row in rows])) for i, what in enumerate(("unlike", "apart"))} if rows else {}
    return out


def came_back(look: Look, rgba: np.ndarray, seed: int) -> tuple[float, float]:
    """(unlike, apart) of one asset, straight uint8 [H, W, 4]."""
    own, area = rgba[..., 3] / 255, max(1.0, float((rgba[..., 3] >= SOLID).sum()))
    found = [alpha_by_net(look, over(ground, [rgba])) for ground in grounds(rgba.shape[:2], seed)]
    unlike = np.mean([np.abs(alpha - own).sum() for alpha in found])
    apart = np.mean([np.abs(found[i] - found[k]).sum() for i, k in ((0, 1), (0, 2), (1, 2))])
    return 100 * float(unlike) / area, 100 * float(apart) / area


def grounds(shape: tuple[int, int], seed: int) -> list[np.ndarray]:
    """White, a strong plain colour, and a soft uneven one, uint8 [H, W, 3]."""
    rng = np.random.default_rng(seed)
    flat: Callable[[Sequence[int]], np.ndarray] = lambda rgb: np.broadcast_to(np.uint8(rgb), (*shape, 3)).copy()
    cells = rng.integers(60, 230, (4, 4, 3), dtype=np.uint8)
    return [flat((255, 255, 255)), flat(rng.permutation([30, 120, 220])), cv2.resize(cells, shape[::-1], interpolation=cv2.INTER_CUBIC)]
