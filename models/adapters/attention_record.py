"""Attention maps: which part of a picture each thing-word of the prompt speaks to, and which parts belong together.

It has no weights and changes nothing. It wraps whatever attention processor it finds, lets it answer, and beside it averages the softmax
maps of the finest levels over heads, layers and steps, for flows such as Alfie (Quattrini et al. 2024, arXiv 2408.14826). Only passes
with the prompt itself count, inside the window of its use. Bases with linear attention (SANA) have no such maps and are not fitted.

Result.seen holds, for every grid h x w, "cross HxW" float32 [B, nouns, h, w] (nouns as models.nouns.nouns_of lists them; the share of a
place's attention that goes to the tokens of the word) and "self HxW" float32 [B, h * w, h * w] (rows sum to 1). Strength 0 records nothing.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from models.adapters._fit import check_fits
from models.contracts import Base, Hooks, Step
from models.devices import Device
from models.errors import Incompatible
from models.job import Job
from models.nouns import nouns_of
from models.spec import EMBEDDED, SD1, SD2, SDXL, AdapterSpec

ORDER = 90                                           # outermost: it sees the queries that the network really asks
LEVELS = 2                                           # the finest grids that are kept
MOST_CELLS = 1024                                    # finer grids are passed over: their self maps would take gigabytes
FAMILIES = tuple(arch.family for arch in (EMBEDDED, SD1, SD2, SDXL))
SPECS = (AdapterSpec(id="attention-record", title="Attention maps", kind="record", arch=EMBEDDED, families=FAMILIES, files=(), bytes=0,
                     grants=("attention_maps",), order=ORDER, max_strength=1.0, licence="Apache-2.0",
                     knows="Notes which part of the picture each word speaks to; changes nothing."),)


def recognise(source: str) -> AdapterSpec | None:
    """It comes in no file."""
    return None


@dataclass
class Notes:
    """What the processors of one base share. `tokens`: the token numbers of every noun, a list for each picture of the batch; `sums`:
    {name: (sum, count)}; `armed` while a pass that counts runs; `ratio`: width over height of the picture."""
    tokens: list[list[list[int]]] = field(default_factory=list)
    sums: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    armed: bool = False
    ratio: float = 1.0

    def add(self, name: str, maps: Tensor) -> None:
        total, count = self.sums.get(name, (0, 0))
        self.sums[name] = total + maps, count + 1

    def grid(self, cells: int) -> tuple[int, int]:
        """(height, width) of a level with so many cells."""
        width = max(1, round((cells * self.ratio) ** 0.5))
        while cells % width:
            width -= 1
        return cells // width, width

    def means(self) -> dict[str, np.ndarray]:
        """The averages of the LEVELS finest grids."""
        cells = sorted({_cells(name) for name in self.sums}, reverse=True)[:LEVELS]
        return {name: (total / count).cpu().numpy() for name, (total, count) in self.sums.items() if _cells(name) in cells}


def _cells(name: str) -> int:
    height, width = name.split(" ")[1].split("x")
    return int(height) * int(width)


class Recorder:
    """An attention processor: the answer of the one it wraps, untouched."""

    def __init__(self, wrapped: Any, notes: Notes, cross: bool) -> None:
        self.wrapped, self.notes, self.cross = wrapped, notes, cross

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
                 attention_mask: Tensor | None = None, temb: Tensor | None = None, ip_adapter_masks: Any = None) -> Tensor:
        """hidden_states [B, L, C] -> [B, L, C]; the names are those diffusers passes to every processor."""
        extra = {} if ip_adapter_masks is None else {"ip_adapter_masks": ip_adapter_masks}
        out = self.wrapped(attn, hidden_states, encoder_hidden_states=encoder_hidden_states, attention_mask=attention_mask, temb=temb, **extra)
        if self.notes.armed and hidden_states.ndim == 3 and hidden_states.shape[1] <= MOST_CELLS:
            self._note(attn, hidden_states, encoder_hidden_states if self.cross else hidden_states, attention_mask)
        return out

    def _note(self, attn: Any, hidden: Tensor, context: Tensor | tuple[Tensor, Any], mask: Tensor | None) -> None:
        context = context[0] if isinstance(context, tuple) else context              # image prompts pass (words, pictures)
        heads = lambda t: t.unflatten(-1, (attn.heads, -1)).transpose(1, 2).float()
        logits = heads(attn.to_q(hidden)) @ heads(attn.to_k(context)).transpose(-1, -2) * attn.scale
        logits = logits if mask is None else logits + mask.float().view(len(hidden), -1, 1, mask.shape[-1])
        maps = logits.softmax(-1).mean(1)                                             # [B, L, T]
        grid = self.notes.grid(hidden.shape[1])
        name = f"{'cross' if self.cross else 'self'} {grid[0]}x{grid[1]}"
        self.notes.add(name, _by_noun(maps, self.notes.tokens, grid) if self.cross else maps)


def _by_noun(maps: Tensor, tokens: Sequence[Sequence[Sequence[int]]], grid: tuple[int, int]) -> Tensor:
    """[B, L, T] -> [B, nouns, h, w]: the mean over the tokens of each noun; 0 for nouns that were cut off."""
    out = maps.new_zeros(len(maps), max(map(len, tokens), default=0), maps.shape[1])
    for row, (own, nouns) in enumerate(zip(maps, tokens)):
        for number, places in enumerate(nouns):
            places = [place for place in places if place < maps.shape[2]]
            if places:
                out[row, number] = own[:, places].mean(1)
    return out.unflatten(2, grid)


def token_places(base: Base, prompt: str) -> list[list[int]]:
    """The token numbers of every noun. A prefix that ends where a word ends is cut into the same pieces as the whole, so counting the
    tokens of prefixes is enough and works for every tokenizer here."""
    count = lambda end: _count(base, prompt[:end])
    return [list(range(1 + count(noun.start), 1 + count(noun.end))) for noun in nouns_of(prompt)]


def _count(base: Base, text: str) -> int:
    """Tokens of a text without the marks of start and end."""
    tokenizer = getattr(base, "tokenizer", None)
    ids = tokenizer(text, verbose=False).input_ids if tokenizer else base.text.tokenizer.encode(text.strip().lower()).ids
    return len(ids) - 2


class AttentionRecord:
    """It may sit on several bases at a time."""

    def __init__(self, spec: AdapterSpec) -> None:
        self.spec, self.strength = spec, 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Wrap all attention layers. Raises Incompatible for another architecture."""
        check_fits(self.spec, base)
        layers = [(module, name.endswith("attn2")) for name, module in base.network.named_modules() if name.endswith(("attn1", "attn2"))]
        if not layers:
            raise Incompatible(f'"{base.spec.title}" has no attention maps.', "Choose another base.")
        notes = Notes()
        wraps = [(layer, layer.processor) for layer, _ in layers]
        for layer, cross in layers:
            layer.set_processor(Recorder(layer.processor, notes, cross))
        disarm = base.network.register_forward_hook(lambda *_: setattr(notes, "armed", False))
        try:
            yield Hooks(prepare=lambda job, use: self._begin(base, notes, job), before_denoise=lambda step: self._arm(notes, step), report=notes.means)
        finally:
            disarm.remove()
            for layer, found in wraps:
                layer.set_processor(found)

    def _begin(self, base: Base, notes: Notes, job: Job) -> None:
        notes.armed, notes.sums, notes.ratio = False, {}, job.extent.width / job.extent.height
        notes.tokens = [token_places(base, prompt) for prompt in job.prompts] if self.strength else []

    def _arm(self, notes: Notes, step: Step) -> dict[str, Any]:
        """Only the pass with the prompt counts; the network disarms itself, so steps outside the window are not noted."""
        notes.armed = self.strength > 0 and not step.negative and not step.region
        return {}

    def bytes_resident(self) -> int:
        return 0


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> AttentionRecord:
    """Nothing to read."""
    return AttentionRecord(spec)
