"""What exists, before anything is loaded: bases, adapters and percepts found by folder, and the check of a job against them.

A plug-in file offers `SPECS` (a tuple of specs) and `load(spec, device, cache_dir)`; it may offer `recognise(source)`, which
turns a user's path or hub id into a spec or returns None. Adding one is adding a file.
"""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

from models import adapters, bases, percepts
from models.errors import BadInput, Conflict, Incompatible, UnknownId
from models.job import Extent, Job
from models.spec import AdapterSpec, BaseSpec, PerceptSpec

Spec = TypeVar("Spec", BaseSpec, AdapterSpec, PerceptSpec)


@dataclass(frozen=True)
class Entry:
    """A spec and the way to load it."""
    spec: Any
    load: Callable[..., Any]


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_"):
            yield importlib.import_module(f"{package.__name__}.{info.name}")


def _entries(package: ModuleType) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for module in _modules(package):
        for spec in module.SPECS:
            if spec.id in found:
                raise Conflict(f'Two {package.__name__} carry the id "{spec.id}".', "Rename one.")
            found[spec.id] = Entry(spec, module.load)
    return found


class Catalog:
    """All specs by id. Reading it loads no weights and imports no model library."""

    def __init__(self) -> None:
        self._bases, self._adapters, self._percepts = _entries(bases), _entries(adapters), _entries(percepts)

    @property
    def bases(self) -> dict[str, BaseSpec]:
        return {k: e.spec for k, e in self._bases.items()}

    @property
    def adapters(self) -> dict[str, AdapterSpec]:
        return {k: e.spec for k, e in self._adapters.items()}

    @property
    def percepts(self) -> dict[str, PerceptSpec]:
        return {k: e.spec for k, e in self._percepts.items()}

    def base(self, id: str) -> Entry:
        return _find(self._bases, id, "base")

    def adapter(self, id: str) -> Entry:
        return _find(self._adapters, id, "adapter")

    def percept(self, id: str) -> Entry:
        return _find(self._percepts, id, "percept")

    def add(self, kind: str, source: str) -> Any:
        """Take in a user's checkpoint or adapter (a path or a hub id); returns its spec. `kind` is "base" or "adapter"."""
        package, table = {"base": (bases, self._bases), "adapter": (adapters, self._adapters)}[kind]
        if known := _listed(table, source):
            return known
        for module in _modules(package):
            recognise = getattr(module, "recognise", None)
            spec = recognise(source) if recognise else None
            if spec is not None:
                held = table.get(spec.id)
                if held and held.spec != spec:
                    raise Conflict(f'There is already a {kind} "{spec.id}" ({held.spec.title}).', f"Rename {source}.")
                table[spec.id] = Entry(spec, module.load)
                return spec
        raise UnknownId(f'"{source}" is no {kind} that is known here.', f"Known: {', '.join(table)}. Or give a .safetensors file or a diffusers folder.")

    def resolve_base(self, id_or_source: str) -> BaseSpec:
        """The spec of a known id, or of a path or hub id that is then added."""
        return self._bases[id_or_source].spec if id_or_source in self._bases else self.add("base", id_or_source)

    def check(self, job: Job) -> None:
        """Raise before a byte is loaded when `job` asks for what cannot be done."""
        spec = self.base(job.base).spec
        _check_extent(spec, job.extent)
        _check_abilities(spec, job, self.grants(job))
        self._check_adapters(spec, job)

    def _check_adapters(self, base: BaseSpec, job: Job) -> None:
        claimed: dict[str, str] = {}
        for use in job.adapters:
            spec = self.adapter(use.id).spec
            if sum(use.id == other.id for other in job.adapters) > 1:
                raise Conflict(f'"{spec.title}" is named twice.', "Name it once, with the strength you want.")
            if not spec.fits(base.arch):
                raise Incompatible(f'"{spec.title}" is made for {spec.arch}, "{base.title}" is {base.arch}.', "Choose one made for this base.")
            if not 0 <= use.strength <= spec.max_strength:
                raise BadInput(f'Strength {use.strength} of "{spec.title}" is outside 0..{spec.max_strength}.')
            if spec.needs_image and use.image is None:
                raise BadInput(f'"{spec.title}" needs a picture to look at.', "Give it one, or switch it off.")
            if len(use.images) > spec.max_images:
                raise BadInput(f'"{spec.title}" looks at {spec.max_images} pictures at most, not {len(use.images)}.', "Take some away.")
            for claim in spec.claims:
                if claim in claimed:
                    raise Conflict(f'"{spec.title}" and "{claimed[claim]}" both need {claim}.', "Switch one of them off.")
                claimed[claim] = spec.title

    def grants(self, job: Job) -> frozenset[str]:
        """Abilities that the job's adapters bring to its base."""
        return frozenset(ability for use in job.adapters for ability in self.adapter(use.id).spec.grants)

    def in_order(self, job: Job) -> tuple[Any, ...]:
        """The job's adapter uses in the order they attach."""
        return tuple(sorted(job.adapters, key=lambda use: (self.adapter(use.id).spec.order, use.id)))


def styled(spec: BaseSpec, prompt: str, style: str) -> str:
    """The prompt with the phrase of a style appended."""
    phrase = next((s.phrase for s in spec.styles if s.id == style), "")
    return ", ".join(part for part in (prompt.strip().rstrip(","), phrase) if part)


def _find(table: dict[str, Entry], id: str, kind: str) -> Entry:
    if id not in table:
        raise UnknownId(f'There is no {kind} "{id}".', f"Known: {', '.join(table) or 'none'}.")
    return table[id]


def _listed(table: dict[str, Entry], source: str) -> Any:
    """The spec that names the hub repository `source` as its own, before a plug-in of another kind calls it unknown; None when
    there is none, or several in one repository."""
    found = [e.spec for e in table.values() if source and [file.repo for file in e.spec.files[:1]] == [source]]
    return found[0] if len(found) == 1 else None


def _check_extent(spec: BaseSpec, extent: Extent) -> None:
    m = spec.multiple_px
    near = [min(max(round(side / m) * m, spec.min_px), spec.max_px) for side in (extent.width, extent.height)]
    if (extent.width, extent.height) != tuple(near):
        raise BadInput(f'"{spec.title}" paints sides from {spec.min_px} to {spec.max_px} px in steps of {m}, not {extent}.',
                       f"The nearest is {near[0]}x{near[1]}.")


def _check_abilities(spec: BaseSpec, job: Job, granted: frozenset[str]) -> None:
    if not spec.min_steps <= job.steps <= spec.max_steps:
        raise BadInput(f'"{spec.title}" takes {spec.min_steps} to {spec.max_steps} steps, not {job.steps}.')
    if job.style and job.style not in {s.id for s in spec.styles}:
        raise UnknownId(f'"{spec.title}" has no style "{job.style}".', f"Known: {', '.join(s.id for s in spec.styles) or 'none'}.")
    for asked, able, what in ((job.negative.strip(), spec.negative_prompt or "negative_prompt" in granted, "a negative prompt"),
                              (job.image, spec.image_to_image, "image-to-image"),
                              (job.mask, spec.inpainting or "inpainting" in granted, "a mask")):
        if asked and not able:
            raise Incompatible(f'"{spec.title}" cannot use {what}.', "Leave it out, or choose another base.")
