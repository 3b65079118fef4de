"""What a pair (UniCon) does for the sketch tab besides following lines: it reads lines off a picture, and invents a picture with its lines."""
from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image

from models.errors import BadInput, StudioError
from models.flows.unicon import unicon
from models.job import Extent, Job, Picture
from models.spec import AdapterSpec, BaseSpec
from studio.live.controls import Controls, job_of_words

READ = "pair:"                                       # an annotator's id that begins so is a pair that reads
STEPS = 4


def pair_of(engine: Any, base: str) -> AdapterSpec | None:
    """The pair that fits a base."""
    arch = engine.catalog.base(base).spec.arch
    return next((spec for spec in engine.catalog.adapters.values() if spec.kind == "pair" and spec.fits(arch)), None)


def readers(engine: Any) -> list[tuple[str, str]]:
    """(id, title) of the pairs that can read lines, as annotators."""
    bases = [base.arch for base in engine.catalog.bases.values()]
    fit = [spec for spec in engine.catalog.adapters.values() if spec.kind == "pair" and any(spec.fits(arch) for arch in bases)]
    return [(READ + spec.id, f"{spec.title}, read by the painter itself") for spec in fit]


def read(engine: Any, how: str, rgb: np.ndarray, wished: str = "") -> np.ndarray:
    """uint8 [H, W, 3] -> lines, white on black, soft, uint8 [H, W], by the base `wished` if the pair fits it, else by another. Raises
    StudioError for a pair that is not known."""
    spec = engine.catalog.adapter(how.removeprefix(READ)).spec
    fit = {id: base for id, base in engine.catalog.bases.items() if spec.fits(base.arch)}
    base = fit.get(wished) or next(iter(fit.values()), None)
    if base is None:
        raise BadInput(f"{spec.title} fits none of the models that are here.", "Choose another way to find lines.")
    height, width = rgb.shape[:2]
    paper = np.full((max(height, width),) * 2 + (3,), 255, np.uint8)
    top, left = (len(paper) - height) // 2, (len(paper) - width) // 2
    paper[top:top + height, left:left + width] = rgb
    last, = unicon(engine.render, job_for(base), spec.id, "read", Picture.from_array(paper))
    ink = 255 - last.pixels[0][..., :3].min(-1)
    return cv2.resize(ink, (len(paper),) * 2, interpolation=cv2.INTER_CUBIC)[top:top + height, left:left + width]


def job_for(base: BaseSpec, controls: Controls | None = None) -> Job:
    """A square job of a base's own size, with as many steps as make a pair crisp."""
    side = base.native_px[0]
    job = job_of_words(controls, base) if controls else Job(base=base.id)
    return job.but(extent=Extent(side, side), steps=max(job.steps, min(STEPS, base.max_steps)))


def make_invent(engine: Any, lines_of: Callable[[Image.Image], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """The page's server function `invent`: its settings -> {"picture": data URL, "strokes", "note"}, or {"error": sentence}. lines_of: a
    picture of lines -> {"strokes", "note"}."""
    def invent(asked: Any) -> dict[str, Any]:
        try:
            controls = Controls().updated({k: v for k, v in asked.items() if k in ("prompt", "style", "seed", "steps", "base")})
            base = engine.catalog.base(controls.base).spec
            if (spec := pair_of(engine, base.id)) is None:
                raise BadInput(f"{base.title} has no pair that invents lines and picture together.", "Choose the embedded base.")
            picture, lines = unicon(engine.render, job_for(base, controls), spec.id, "both")
            return {"picture": url_of(picture.pixels[0][..., :3]), **lines_of(Image.fromarray(np.ascontiguousarray(lines.pixels[0][..., :3])))}
        except StudioError as error:
            return {"error": str(error)}
        except (AttributeError, TypeError):
            return {"error": "Nothing was asked for that can be invented."}
    return invent


def url_of(rgb: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(out, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
