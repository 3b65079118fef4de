"""The live canvas behind the Layers tab: words become a picture with alpha while they are typed."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models.catalog import Abilities, Catalog
from models.errors import BadInput, Incompatible
from models.job import AdapterUse, Job, Picture
from models.spec import BaseSpec
from studio.live.controls import Controls, job_of_words
from studio.live.surface import Surface

NAME = "layers"


def live_job(controls: Controls, able: Abilities) -> Job:
    """A picture with alpha of the words, at the steps of a preview. Raises BadInput without words, Incompatible where the model and its
    adapters know no alpha."""
    if not controls.prompt.strip():
        raise BadInput("There are no words yet.", "Say what to make.")
    if not able.can("rgba"):
        raise Incompatible(able.why_not("rgba"), "Choose another model, or put a LayerDiffuse release for it into the models folder.")
    job = job_of_words(controls, able.spec, "" if able.spec.negative_prompt else able.granted.get("negative_prompt", ""))
    return job if able.spec.rgba else job.but(adapters=(AdapterUse(able.granted["rgba"]), *job.adapters))


def surface(catalog: Catalog, base: str, refined: Callable[[Job, BaseSpec], Job | None]) -> Surface:
    """`base`: id of the model until the page names another; `refined`: the job of a hand at rest."""
    def make_task(controls: Controls, canvas: np.ndarray, reference: Picture | None) -> Job:
        return live_job(controls, catalog.able(controls.base))
    return Surface(NAME, make_task, lambda job: refined(job, catalog.base(job.base).spec), mode=lambda job: "text", controls=Controls(base=base))


def offers(catalog: Catalog) -> list[dict[str, Any]]:
    """What the page needs to know of every model."""
    return [_offer(spec, catalog.able(spec.id)) for spec in catalog.bases.values()]


def _offer(spec: BaseSpec, able: Abilities) -> dict[str, Any]:
    return {"id": spec.id, "title": spec.title, "styles": [{"id": style.id, "title": style.title} for style in spec.styles],
            "min_steps": spec.min_steps, "max_steps": spec.max_steps, "default_steps": spec.default_steps,
            "native_px": spec.native_px[0], "rgba": able.can("rgba"), "why": able.why_not("rgba")}
