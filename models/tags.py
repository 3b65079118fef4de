"""`<lora:name:0.8>` in a prompt: the way people are used to naming adapters. Read once, before a job is checked."""
from __future__ import annotations

import re
from collections.abc import Callable

from models.errors import BadInput
from models.job import AdapterUse, Job
from models.spec import slug

_TAG = re.compile(r"<(?:lora|lyco|adapter):([^:<>]+)(?::([^:<>]*))?(?::[^<>]*)?>")   # a second number, for the text encoder, is not used
MAX_TAGS = 16


def resolved(job: Job, id_of: Callable[[str], str]) -> Job:
    """The job with the tags of its prompt turned into adapters; the same job when it has none. `id_of` gives the id of an adapter by
    the name people write, and raises UnknownId. Raises BadInput for too many, or a weight that is no number."""
    found = _TAG.findall(job.prompt)
    if not found:
        return job
    if len(found) > MAX_TAGS:
        raise BadInput(f"{len(found)} adapters in one prompt are more than {MAX_TAGS}.", "Take some away.")
    uses = tuple(AdapterUse(id_of(name.strip()), _strength(name, weight)) for name, weight in found)
    words = ", ".join(part for part in (re.sub(r"\s+", " ", part).strip() for part in _TAG.sub("", job.prompt).split(",")) if part)
    return job.but(prompt=words, adapters=job.adapters + uses)


def tags_of(prompt: str) -> str:
    """The tags alone, "" when there are none: for a job whose words are others but whose look is to be the same."""
    return "".join(found[0] for found in _TAG.finditer(prompt))


def _strength(name: str, weight: str) -> float:
    try:
        return float(weight) if weight.strip() else 1.0
    except ValueError:
        raise BadInput(f'"{weight}" in <lora:{name}:{weight}> is no number.', f"Write for example <lora:{name}:0.8>.") from None


def id_of_file(name: str) -> str:
    """A name as people write it in a tag, maybe a file's: "Pixel Art XL.safetensors" -> "pixel-art-xl"."""
    return slug(name.lower().removesuffix(".safetensors"))
