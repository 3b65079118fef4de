"""What exists, before anything is loaded: bases, adapters and percepts found by folder, and the check of a job against them.

A plug-in file offers `SPECS` (a tuple of specs) and `load(spec, device, cache_dir)`; it may offer `recognise(source)`, which
turns a user's path or hub id into a spec or returns None. Adding one is adding a file.
"""
from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from models import adapters, bases, percepts
from models.errors import BadInput, Conflict, Incompatible, MissingWeights, UnknownId
from models.job import Extent, Job
from models.shelf import Model, Shelf
from models.spec import AdapterSpec, BaseSpec, PerceptSpec, WeightFile
from models.stamps import FOLDERS
from models.tags import id_of_file
from models.weights import locate

PLACES = {"base": ("base",), "adapter": tuple(kind for kind in FOLDERS if kind not in ("base", "upscaler")), "percept": ("upscaler",)}
"""The user's folders that are searched for an unknown id of a kind."""
MATTING = "matting"
"""The user's folder of networks that cut out, beside "annotators"."""
Spec = TypeVar("Spec", BaseSpec, AdapterSpec, PerceptSpec)


@dataclass(frozen=True)
class Entry:
    """A spec and the way to load it."""
    spec: Any
    load: Callable[..., Any]
    elsewhere: Callable[[WeightFile], Path | None] | None = None     # where another program may keep its file


@cache
def _modules(package: ModuleType) -> tuple[ModuleType, ...]:
    names = [info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")]
    return tuple(importlib.import_module(f"{package.__name__}.{name}") for name in names)


def _entries(package: ModuleType) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for module in _modules(package):
        for spec in module.SPECS:
            if spec.id in found:
                raise Conflict(f'Two {package.__name__} carry the id "{spec.id}".', "Rename one.")
            found[spec.id] = Entry(spec, module.load, getattr(module, "elsewhere", None))
    return found


@dataclass(frozen=True)
class Abilities:
    """granted: {ability the base lacks: id of the adapter that brings it}; controls: {"scribble": adapter ids, ...}; looks: LoRA ids;
    references: ids of adapters that look at pictures."""
    spec: BaseSpec
    granted: dict[str, str]
    controls: dict[str, tuple[str, ...]]
    looks: tuple[str, ...]
    references: tuple[str, ...]

    def can(self, ability: str) -> bool:
        """"negative_prompt", "image_to_image", "inpainting", "rgba", "reference_images"."""
        own = bool(getattr(self.spec, ability)) or ability in self.granted
        return own or (ability == "reference_images" and bool(self.references))

    def why_not(self, ability: str) -> str:
        """A sentence for the place where a control is switched off; "" when it can."""
        if self.can(ability):
            return ""
        return f"Off: {self.spec.title} has no {ability.replace('_', ' ')}, and no adapter for it is here."


class Catalog:
    """All specs by id. Reading it loads no weights and imports no model library.

    models_dir: the user's own files, known through `shelf` and taken in when their id is asked for; index: where what their headers
    say is kept. Without models_dir there are none.
    """

    def __init__(self, models_dir: Path | None = None, index: Path | None = None) -> None:
        self._bases, self._adapters, self._percepts = _entries(bases), _entries(adapters), _entries(percepts)
        self._own: set[str] = set()                  # ids that came from the shelf
        self.annotators_dir = models_dir and Path(models_dir).expanduser().absolute() / "annotators"      # own copies of percepts' weights
        self.shelf = models_dir and Shelf(models_dir, index or Path(models_dir) / "index.sqlite", found_by,
                                          {*self._bases, *self._adapters, *self._percepts})

    @property
    def bases(self) -> dict[str, BaseSpec]:
        """What ships, what was taken in, and the user's own that the index holds."""
        own = self.shelf.models(plugin="base") if self.shelf else ()
        return {k: e.spec for k, e in self._bases.items()} | {m.id: m.spec for m in own if not m.error}

    @property
    def adapters(self) -> dict[str, AdapterSpec]:
        """What ships and what was taken in; the user's own may be thousands and are searched in `shelf`."""
        return {k: e.spec for k, e in self._adapters.items()}

    @property
    def percepts(self) -> dict[str, PerceptSpec]:
        return {k: self.percept(k).spec for k in self._percepts if k not in self._own}

    def base(self, id: str) -> Entry:
        return self._find(self._bases, id, "base")

    def adapter(self, id: str) -> Entry:
        return self._find(self._adapters, id, "adapter")

    def adapter_named(self, name: str) -> str:
        """The id of the adapter that people call `name`: its id, its title, or its file's name. Raises UnknownId."""
        wanted = id_of_file(name)
        for spec in self.adapters.values():
            if wanted in (spec.id, id_of_file(spec.title)):
                return spec.id
        return self.adapter(wanted).spec.id

    def percept(self, id: str) -> Entry:
        """Its weights are taken from the user's folders when they are there, else from where another program keeps them."""
        found = self._find(self._percepts, id, "percept")
        return replace(found, spec=replace(found.spec, files=tuple(self._own_copy(file, found.elsewhere) for file in found.spec.files)))

    def _own_copy(self, file: WeightFile, elsewhere: Callable[[WeightFile], Path | None] | None) -> WeightFile:
        folders = (self.annotators_dir, self.annotators_dir.with_name(MATTING)) if self.annotators_dir else ()
        own = next((folder / file.file for folder in folders if (folder / file.file).is_file()), None) or (elsewhere and elsewhere(file))
        return WeightFile(str(own)) if own else file

    def _find(self, table: dict[str, Entry], id: str, kind: str) -> Entry:
        """The entry of an id; one from the user's files is looked up in their index and checked against its file."""
        if id in table:
            return table[id]
        model = self.shelf.find(id, PLACES[kind]) if self.shelf else None
        if model is None or model.plugin not in (kind, ""):
            more = f" and {self.shelf.count(plugin=kind):,} of your own: models list" if self.shelf and kind != "percept" else ""
            raise UnknownId(f'There is no {kind} "{id}".', f"Known: {', '.join(table) or 'none'}{more}.")
        table[id] = _own_entry(model)
        self._own.add(id)
        return table[id]

    def known(self, kind: str) -> dict[str, Any]:
        """The specs of one kind of plug-in that are not from the shelf: what ships, and what was given by path or hub id."""
        if kind == "percept":
            return self.percepts
        table = {"base": self._bases, "adapter": self._adapters}[kind]
        return {id: entry.spec for id, entry in table.items() if id not in self._own}

    def forget(self, id: str) -> None:
        """The id means nothing any more, until it is found again."""
        for table in (self._bases, self._adapters, self._percepts):
            table.pop(id, None)
        self._own.discard(id)

    def add(self, kind: str, source: str) -> Any:
        """Take in a user's checkpoint or adapter (a path or a hub id); returns its spec. `kind` is "base" or "adapter"."""
        table = {"base": self._bases, "adapter": self._adapters}[kind]
        if known := _listed(table, source):
            return known
        if found := found_by(kind, source):
            name, spec = found
            held = table.get(spec.id)
            if held and held.spec != spec:
                raise Conflict(f'There is already a {kind} "{spec.id}" ({held.spec.title}).', f"Rename {source}.")
            table[spec.id] = Entry(spec, importlib.import_module(name).load)
            return spec
        raise UnknownId(f'"{source}" is no {kind} that is known here.', f"Known: {', '.join(table)}. Or give a .safetensors file or a diffusers folder.")

    def resolve_base(self, id_or_source: str) -> BaseSpec:
        """The spec of a known id, or of a path or hub id that is then added."""
        known = id_or_source in self._bases or (self.shelf and self.shelf.find(id_or_source, PLACES["base"]))
        return self.base(id_or_source).spec if known else self.add("base", id_or_source)

    def check(self, job: Job) -> None:
        """Raise before a byte is loaded when `job` asks for what cannot be done."""
        spec = self.base(job.base).spec
        if job.image is None or job.strength > 0:    # else it is the picture as it was given, of any size
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

    def able(self, base_id: str) -> Abilities:
        """What a base can do by itself and with the adapters that are there for it."""
        spec = self.base(base_id).spec
        fitting = [a for a in self.adapters.values() if a.fits(spec.arch) and _is_here(a)]
        of_kind = lambda kind: tuple(a.id for a in fitting if a.kind == kind)
        granted = {ability: a.id for a in reversed(fitting) for ability in a.grants if not getattr(spec, ability, False)}
        controls: dict[str, tuple[str, ...]] = {}
        for a in fitting:
            if a.control:
                controls[a.control] = (*controls.get(a.control, ()), a.id)
        return Abilities(spec, granted, controls, of_kind("lora"), of_kind("image_prompt"))

    def grants(self, job: Job) -> frozenset[str]:
        """Abilities that the job's adapters bring to its base."""
        return frozenset(ability for use in job.adapters for ability in self.adapter(use.id).spec.grants)

    def in_order(self, job: Job) -> tuple[Any, ...]:
        """The job's adapter uses in the order they attach."""
        return tuple(sorted(job.adapters, key=lambda use: (self.adapter(use.id).spec.order, use.id)))


def found_by(kind: str, source: str) -> tuple[str, Any] | None:
    """(module that loads it, spec) of a path or hub id, asked of every plug-in of a kind; None when none knows it."""
    for module in _modules({"base": bases, "adapter": adapters, "percept": percepts}[kind]):
        recognise = getattr(module, "recognise", None)
        if recognise and (spec := recognise(source)) is not None:
            return module.__name__, spec
    return None


def index_of(models_dir: Path | None, cache_dir: Path) -> Path:
    """Where the index over a folder of models is kept: not inside it, because it may be read-only or belong to another studio."""
    name = hashlib.sha256(str(Path(models_dir or "").expanduser().absolute()).encode()).hexdigest()[:12]
    return Path(cache_dir).expanduser() / f"models-{name}.sqlite"


def _own_entry(model: Model) -> Entry:
    """The entry of one of the user's files. Raises BadInput when it cannot be used."""
    if model.error or not model.module:
        raise BadInput(model.error or f'"{model.title}" ({model.kind or "unknown kind"}) is listed, but nothing here can paint with it.')
    return Entry(model.spec, importlib.import_module(model.module).load)


def _listed(table: dict[str, Entry], source: str) -> Any:
    """The spec that names the hub repository `source` as its own, before a plug-in of another kind calls it unknown; None when
    there is none, or several in one repository."""
    found = [e.spec for e in table.values() if source and [file.repo for file in e.spec.files[:1]] == [source]]
    return found[0] if len(found) == 1 else None


def _is_here(spec: AdapterSpec) -> bool:
    """Whether its files are on this machine."""
    try:
        return all(locate(file) for file in spec.files)
    except MissingWeights:
        return False


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
