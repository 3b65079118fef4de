"""The training set on disk and in memory: latents, caption states, and batches drawn from them.

Files of a data folder, each below 60 MiB: `latents_NNN.safetensors` (fp16 [n, 256, C], rows of models.lab.rows),
`text_NNN.safetensors` (states of every distinct caption, padding-free), `rows.json` (captions, kind, key, split per row),
`patches.safetensors` (the encoder).
"""
from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.errors import MissingWeights
from models.files import write_atomic
from models.text import WIDTH, TextStates

SHARD_BYTES = 56 * 2 ** 20
GRID = 16


def save_shards(folder: Path, stem: str, tensors: dict[str, Tensor]) -> None:
    """Cut tensors of equal length along dim 0 into files below SHARD_BYTES."""
    length = len(next(iter(tensors.values())))
    row_bytes = max(1, sum(t[:1].numel() * t.element_size() for t in tensors.values()))
    step = max(1, SHARD_BYTES // row_bytes)
    for stale in folder.glob(f"{stem}_*.safetensors"):
        stale.unlink()
    for k, start in enumerate(range(0, length, step)):
        part = {name: t[start:start + step].contiguous() for name, t in tensors.items()}
        write_atomic(folder / f"{stem}_{k:03d}.safetensors", lambda path: save_file(part, path))


def load_shards(folder: Path, stem: str) -> dict[str, Tensor]:
    files = sorted(folder.glob(f"{stem}_*.safetensors"))
    if not files:
        raise MissingWeights(f"No {stem} shards in {folder}.", "Build them with: python -m models.lab data")
    parts = [load_file(f) for f in files]
    return {name: torch.cat([p[name] for p in parts]) for name in parts[0]}


@dataclass
class TextTable:
    """States of all captions end to end: caption i owns rows offsets[i]:offsets[i+1] of `states` [sum T, 384]."""
    states: Tensor
    offsets: Tensor
    pooled: Tensor

    @classmethod
    def of(cls, encoded: Sequence[TextStates]) -> TextTable:
        lengths = torch.tensor([0] + [len(e.states) for e in encoded])
        return cls(torch.cat([e.states for e in encoded]).half(), lengths.cumsum(0), torch.stack([e.pooled for e in encoded]).half())

    def save(self, folder: Path) -> None:
        save_shards(folder, "text", {"states": self.states})
        write_atomic(folder / "captions.safetensors", lambda p: save_file({"offsets": self.offsets, "pooled": self.pooled}, p))

    @classmethod
    def load(cls, folder: Path) -> TextTable:
        small = load_file(folder / "captions.safetensors")
        return cls(load_shards(folder, "text")["states"], small["offsets"], small["pooled"])

    def batch(self, ids: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """-> states [B, T, 384] zero-padded, mask bool [B, T], pooled [B, 384], all fp32."""
        spans = [(int(self.offsets[i]), int(self.offsets[i + 1])) for i in ids]
        longest = -(-max(b - a for a, b in spans) // 4) * 4
        states = torch.zeros(len(ids), longest, WIDTH)
        mask = torch.zeros(len(ids), longest, dtype=torch.bool)
        for k, (a, b) in enumerate(spans):
            states[k, :b - a] = self.states[a:b]
            mask[k, :b - a] = True
        return states, mask, self.pooled[ids].float()


@dataclass
class Batch:
    """latents [B, C, 16, 16]; states [B, T, 384], mask [B, T], pooled [B, 384]."""
    latents: Tensor
    states: Tensor
    mask: Tensor
    pooled: Tensor

    def to(self, device: str) -> Batch:
        return Batch(*(t.to(device, non_blocking=True) for t in (self.latents, self.states, self.mask, self.pooled)))

    @property
    def cond(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.states, self.mask, self.pooled


class LatentSet:
    """Rows of one split. Caption 0 of the text table is the empty prompt."""

    def __init__(self, folder: Path, split: str = "train", kinds: Sequence[str] = ()) -> None:
        meta = json.loads((folder / "rows.json").read_text())
        keep = [i for i, (s, k) in enumerate(zip(meta["splits"], meta["kinds"])) if s == split and (not kinds or k in kinds)]
        self.latents = load_shards(folder, "latents")["latents"][keep]
        self.captions = [meta["captions"][i] for i in keep]          # ids into the text table
        self.keys = [meta["keys"][i] for i in keep]
        self.kinds = [meta["kinds"][i] for i in keep]
        weights = np.array([meta["weights"][i] for i in keep], float)
        self.shares = weights / weights.sum()
        self.texts: list[str] = meta["texts"]
        self.table = TextTable.load(folder)

    def __len__(self) -> int:
        return len(self.latents)

    def draw(self, rng: np.random.Generator, size: int, text_dropout: float = 0.1) -> tuple[np.ndarray, Batch]:
        """`size` random rows and what they hold, each with one of its captions or, at `text_dropout`, none."""
        rows = rng.choice(len(self), size, p=self.shares)
        return rows, self.rows(rows, [0 if rng.random() < text_dropout else int(rng.choice(self.captions[i])) for i in rows])

    def batch(self, rng: np.random.Generator, size: int, text_dropout: float = 0.1) -> Batch:
        return self.draw(rng, size, text_dropout)[1]

    def rows(self, rows: Sequence[int], caption_ids: Sequence[int] | None = None) -> Batch:
        """These rows with these captions (their first one when not given)."""
        ids = np.asarray(caption_ids if caption_ids is not None else [self.captions[i][0] for i in rows])
        latents = self.latents[torch.as_tensor(np.asarray(rows))].float().transpose(1, 2)
        return Batch(latents.reshape(len(ids), -1, GRID, GRID), *self.table.batch(ids))
