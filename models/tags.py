"""`<lora:name:0.8>` in a prompt: the way people are used to naming adapters. Read once, before a job is checked."""
from __future__ import annotations

import re
from collections.abc import Iterable

from models.errors import BadInput, UnknownId
from models.job import AdapterUse, Job
from models.spec import AdapterSpec

_TAG = re.compile(r"<(?:lora|lyco|adapter):([^:<>]+)(?::([^:<>]*))?(?::[^<>]*)?>")   # a second number, for the text encoder, is not used
MAX_TAGS = 16


def resolved(job: Job, specs: Iterable[AdapterSpec]) -> Job:
    """The job with the tags of its prompt turned into adapters; the same job when it has none. Raises UnknownId, BadInput."""
    found = _TAG.findall(job.prompt)
    if not found:
        return job
    if len(found) > MAX_TAGS:
        raise BadInput(f"{len(found)} adapters in one prompt are more than {MAX_TAGS}.", "Take some away.")
    known = list(specs)
    uses = tuple(AdapterUse(_find(name.strip(), known), _strength(name, weight)) for name, weight in found)
    words = ", ".join(part for part in (re.sub(r"\s+", " ", part).strip() for part in _TAG.sub("", job.prompt).split(",")) if part)
    return job.but(prompt=words, adapters=job.adapters + uses)


def _strength(name: str, weight: str) -> float:
    try:
        return float(weight) if weight.strip() else 1.0
    except ValueError:
        raise BadInput(f'"{weight}" in <lora:{name}:{weight}> is no number.', f"Write for example <lora:{name}:0.8>.") from None


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _find(name: str, specs: list[AdapterSpec]) -> str:
    """The id of the adapter called `name`, by id or title, as people write it."""
    wanted = _slug(name.removesuffix(".safetensors"))
    hit = next((spec.id for spec in specs if wanted in (spec.id, _slug(spec.title))), None)
    if hit is None:
        near = [spec.id for spec in specs if wanted[:4] and spec.id.startswith(wanted[:4])] or [spec.id for spec in specs]
        raise UnknownId(f'The prompt names an adapter "{name}" that is not known.', f"Known: {', '.join(near[:8]) or 'none'}.")
    return hit
