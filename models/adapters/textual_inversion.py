"""Learned words: textual inversion (Gal et al. 2022, arXiv 2208.01618) for CLIP bases, concept tokens for the embedded base.

A file carries a few vectors; where its word stands in the prompt they take its place, and without it nothing changes. Nothing is added
to the tokenizer or to the embedding table: a reader stands before the tokenizer while words are attached, gives the vectors ids below 0
and a hook puts them in. Layouts: `emb_params` (A1111), one tensor named after its word (diffusers), `clip_l` and `clip_g` (SDXL).

Our own kind onestroke.concept has config {"word": "<c1>", "class_word": "fox"} and tensors `tokens` [n, 384] in the scale of
TextStates.states, and optionally `pooled` [384], added to the sentence embedding: the text is read with the class word in the place of
the word, then the states of the class word are replaced by the tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from models import checkpoint
from models.adapters._fit import CONFIG, check_fits, own_header, peek, said_arch
from models.adapters._words import ConceptReader, Vectors, WordReader
from models.contracts import Base, Hooks
from models.devices import Device
from models.errors import BadInput, Incompatible
from models.spec import EMBEDDED, SD1, SD2, SDXL, AdapterSpec, Arch, WeightFile, slug
from models.weights import locate

SPECS: tuple[AdapterSpec, ...] = ()
KIND = "onestroke.concept"
MAX_BYTES = 20_000_000  # a hundred vectors of the widest encoder are half a megabyte
BY_WIDTH = {768: SD1, 1024: SD2}
PAIR = frozenset({"clip_l", "clip_g"})
PLACES = {"clip_l": ("tokenizer", "text_encoder"), "clip_g": ("tokenizer_2", "text_encoder_2")}


@dataclass(frozen=True)
class Layout:
    """What the header of a file says: its word, and {part: tensor name} with parts clip_l and clip_g."""

    word: str
    tensors: dict[str, str]
    arch: Arch | None


def recognise(source: str) -> AdapterSpec | None:
    """The spec of an embedding file; None for any other file."""
    path = Path(source).expanduser().absolute()
    if path.suffix != ".safetensors" or not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    if (meta := own_header(path, KIND)) is not None:
        config = json.loads(meta[CONFIG])
        return _spec(path, config["word"], said_arch(meta) or EMBEDDED, meta)
    head = peek(path) or {}
    layout = _layout(head, path.stem)
    if layout is None:
        return None
    if layout.arch is None:
        raise BadInput(f"{path.name} holds vectors of a width that no base here reads.", "Get the embedding for SD 1.x, SD 2.x or SDXL.")
    return _spec(path, layout.word, layout.arch, head.get("__metadata__", {}))


def _layout(head: Mapping[str, Any], stem: str) -> Layout | None:
    """None when the file is no embedding. One tensor under any other name is one only if it looks like vectors."""
    meta, tensors = head.get("__metadata__", {}), {name: entry["shape"] for name, entry in head.items() if name != "__metadata__"}
    said = said_arch(meta)
    if tensors.keys() == PAIR:
        return Layout(stem, {name: name for name in sorted(PAIR)}, said or SDXL)
    if len(tensors) != 1:
        return None
    (name, shape), *_ = tensors.items()
    width = shape[-1] if len(shape) in (1, 2) else 0
    named = name == "emb_params"
    if not named and (not width or "." in name or (said is None and width not in BY_WIDTH)):
        return None
    return Layout(stem if named else name, {"clip_l": name}, said or BY_WIDTH.get(width))


def _spec(path: Path, word: str, arch: Arch, meta: Mapping[str, str]) -> AdapterSpec:
    size = path.stat().st_size
    return AdapterSpec(
        id=slug(path.stem), title=meta.get("modelspec.title", path.stem), kind="concept", arch=arch, files=(WeightFile(str(path), size),),
        bytes=size, order=40, knows=f'Write "{word}" in the prompt.', licence=meta.get("modelspec.license", ""))  # fmt: skip


class ConceptAdapter:
    """One learned word. It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, word: str) -> None:
        self.spec, self.word, self.strength = spec, word, 1.0
        self._bases: list[Base] = []

    def set_strength(self, strength: float) -> None:
        changed, self.strength = strength != self.strength, strength
        for base in self._bases if changed else ():
            base.forget_prompts()

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Put the readers in place; leaving puts back what was there. Raises Incompatible before anything is changed."""
        check_fits(self.spec, base)
        with ExitStack() as held:
            self._enter(base, held)
            self._bases.append(base)
            base.forget_prompts()
            try:
                yield Hooks()
            finally:
                self._bases.remove(base)
                held.close()
                base.forget_prompts()

    def _enter(self, base: Base, held: ExitStack) -> None:
        raise NotImplementedError


class ClipConcept(ConceptAdapter):
    """`vectors`: {clip_l or clip_g: [n, text width]}."""

    def __init__(self, spec: AdapterSpec, word: str, vectors: Mapping[str, Tensor]) -> None:
        super().__init__(spec, word)
        self.vectors = dict(vectors)

    def _enter(self, base: Base, held: ExitStack) -> None:
        for part, rows in self.vectors.items():
            encoder = getattr(base, PLACES[part][1], None)
            table = encoder.get_input_embeddings().weight if encoder is not None else None
            if table is None or table.shape[1] != rows.shape[1]:
                raise Incompatible(
                    f'"{self.spec.title}" has vectors {rows.shape[1]} wide for {PLACES[part][1]}, '
                    f'"{base.spec.title}" reads {"none there" if table is None else table.shape[1]}.',
                    "Choose one made for this base.",
                )
        for part, rows in self.vectors.items():
            held.enter_context(WordReader.of(base, *PLACES[part]).knowing(Vectors(self.word, rows, lambda: self.strength)))

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in self.vectors.values())


class EmbeddedConcept(ConceptAdapter):
    """`tokens` [n, 384]; `pooled` [384] or None."""

    def __init__(self, spec: AdapterSpec, word: str, class_word: str, tokens: Tensor, pooled: Tensor | None) -> None:
        super().__init__(spec, word)
        self.class_word, self.tokens, self.pooled = class_word, tokens, pooled

    def _enter(self, base: Base, held: ExitStack) -> None:
        held.enter_context(ConceptReader.of(base).knowing(self))

    def bytes_resident(self) -> int:
        return sum(t.numel() * t.element_size() for t in (self.tokens, self.pooled) if t is not None)


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> ConceptAdapter:
    """Read the vectors to `device`."""
    path = locate(spec.files[0], cache_dir)
    if own_header(path, KIND) is not None:
        saved = checkpoint.load(path, KIND)
        tokens, pooled = (t if t is None else t.float().to(device.name) for t in (saved.tensors["tokens"], saved.tensors.get("pooled")))
        return EmbeddedConcept(spec, saved.config["word"], saved.config.get("class_word") or "object", tokens, pooled)
    layout = _layout(peek(path) or {}, path.stem)
    if layout is None:
        raise BadInput(f"{path.name} is no embedding any more.", "Put it back, or add it again.")
    found = load_file(path)
    return ClipConcept(spec, layout.word, {part: found[name].float().reshape(-1, found[name].shape[-1]).to(device.name)
                                           for part, name in layout.tensors.items()})  # fmt: skip
