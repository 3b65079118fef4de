"""Attention sharing over several frames: how the SD 1.5 files of LayerDiffuse paint thing, place and scene together.

Each frame has a LoRA of its own on q, k, v and out; then every place attends over the frames. With a given layer, maps of that picture are
added to what goes in (Zhang & Agrawala 2024, arXiv 2402.17113, section 3.2). Frames lie next to each other in the batch.
"""
from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.adapters._layerdiffuse_parts import NORM_EPS, SHARING, sd1_attention

EYES = "kwargs_encoder."
_UNIT = re.compile(r"hookers\.layers\.(\d+)\.(?:to_(q|k|v|out)_lora\.(\d+)\.(down|up)|temporal_([inqkvo])|control_convs\.(\d+)\.(0|2))(?:\.(weight|bias))$")
_HALVES = {0: (4, 8, 12), 1: (0,), 2: (0,), 3: (0,)}   # layers of the blocks of the eyes that halve the picture


@dataclass
class Unit:
    """One attention layer: lora[frame][q|k|v|out] = (down, up); over: the layers over frames; control[frame] = two convolutions."""
    lora: dict[int, dict[str, dict[str, Tensor]]] = field(default_factory=dict)
    over: dict[str, Tensor] = field(default_factory=dict)
    control: dict[int, dict[str, Tensor]] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        return len(self.lora)


def units_of(tensors: Mapping[str, Tensor]) -> dict[str, Unit]:
    """{flat diffusers path of an attention layer: its unit}."""
    out: dict[str, Unit] = {}
    for name, tensor in tensors.items():
        m = _UNIT.match(name)
        if not m:
            continue
        unit = out.setdefault(sd1_attention(int(m[1])), Unit())
        if m[2]:
            unit.lora.setdefault(int(m[3]), {}).setdefault(m[2], {})[m[4]] = tensor
        elif m[5]:
            unit.over[f"{m[5]}.{m[8]}"] = tensor
        else:
            unit.control.setdefault(int(m[6]), {})[f"{m[7]}.{m[8]}"] = tensor
    return out


def strange(names: Sequence[str]) -> list[str]:
    """Names that are neither of a unit nor of the eyes."""
    return [name for name in names if not _UNIT.match(name) and not name.startswith(EYES)]


def eyes_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(EYES): tensor for name, tensor in tensors.items() if name.startswith(EYES)}


def looked(eyes: Mapping[str, Tensor], picture: Tensor) -> dict[int, Tensor]:
    """A picture [1, 3, H, W] in [-1, 1] -> {cells: map [1, C, h, w]} of four levels, from an eighth of the picture on."""
    out, x = {}, picture
    for block, halves in _HALVES.items():
        layers = sorted(int(name.split(".")[1]) for name in eyes if name.startswith(f"blocks_{block}.") and name.endswith("weight"))
        for layer in layers:
            weight, bias = (eyes[f"blocks_{block}.{layer}.{part}"] for part in ("weight", "bias"))
            x = F.silu(F.conv2d(x.to(weight), weight, bias, 2 if layer in halves else 1, 1))
        out[x.shape[2] * x.shape[3]] = x
    return out


@dataclass
class Shared:
    """What the processors of one base read: the maps of the given layer, and how strong the whole acts."""
    strength: Callable[[], float]
    maps: dict[int, Tensor] = field(default_factory=dict)
    active: bool = False


class FramesTogether:
    """An attention processor: at strength 0 that of the one it wraps, at 1 that of the frames together, between them a mixture."""

    def __init__(self, wrapped: Any, unit: Unit, shared: Shared) -> None:
        self.wrapped, self.unit, self.shared = wrapped, unit, shared

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
                 attention_mask: Tensor | None = None, temb: Tensor | None = None, ip_adapter_masks: Any = None) -> Tensor:
        """hidden_states [B * frames, L, C] -> the same; the names are those diffusers passes to every processor."""
        strength = self.shared.strength() if self.shared.active else 0.0
        together = self._together(attn, hidden_states, encoder_hidden_states) if strength else None
        if strength == 1:
            return together
        extra = {} if ip_adapter_masks is None else {"ip_adapter_masks": ip_adapter_masks}
        alone = self.wrapped(attn, hidden_states, encoder_hidden_states=encoder_hidden_states, attention_mask=attention_mask, temb=temb, **extra)
        return alone if together is None else torch.lerp(alone, together, strength)

    def _together(self, attn: Any, hidden: Tensor, words: Tensor | None) -> Tensor:
        frames = self.unit.frames
        h = hidden.unflatten(0, (-1, frames)).transpose(0, 1)                         # [frames, B, L, C]
        x = torch.stack([h[f] + self._control(f, h) for f in range(frames)]) if self.unit.control else h
        context = x if words is None else words.unflatten(0, (-1, frames)).transpose(0, 1)
        x = x + torch.stack([self._attended(attn, f, x[f], context[f]) for f in range(frames)])
        x = x + self._over_frames(attn, x)
        return (x - h).transpose(0, 1).flatten(0, 1)

    def _control(self, frame: int, h: Tensor) -> Tensor:
        """What the given layer adds, [1, L, C]; nothing at sizes its maps do not have."""
        seen = self.shared.maps.get(h.shape[2])
        if seen is None:
            return h.new_zeros(1)
        w = self.unit.control[frame]
        seen = F.silu(F.conv2d(seen.to(w["0.weight"]), w["0.weight"], w["0.bias"], padding=1))
        return F.conv2d(seen, w["2.weight"], w["2.bias"]).flatten(2).transpose(1, 2).to(h)

    def _attended(self, attn: Any, frame: int, x: Tensor, context: Tensor) -> Tensor:
        def turned(layer: Any, role: str, value: Tensor) -> Tensor:
            pair = self.unit.lora[frame][role]
            return layer(value) + F.linear(F.linear(value, pair["down"]), pair["up"])
        query, key, value = (turned(layer, role, source) for layer, role, source in ((attn.to_q, "q", x), (attn.to_k, "k", context), (attn.to_v, "v", context)))
        return turned(attn.to_out[0], "out", heads_attend(query, key, value, attn.heads))

    def _over_frames(self, attn: Any, x: Tensor) -> Tensor:
        """[frames, B, L, C] -> the same: at every place the frames look at each other."""
        w = self.unit.over
        layer = lambda name, value: F.linear(value, w[f"{name}.weight"], w[f"{name}.bias"])
        n = layer("i", F.layer_norm(x, x.shape[-1:], w["n.weight"], w["n.bias"], NORM_EPS)).permute(1, 2, 0, 3).flatten(0, 1)     # [B * L, frames, C]
        out = layer("o", heads_attend(layer("q", n), layer("k", n), layer("v", n), attn.heads))
        return out.unflatten(0, (x.shape[1], x.shape[2])).permute(2, 0, 1, 3)


def heads_attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention of [B, L, C] on [B, T, C]."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def is_frames(names: Sequence[str]) -> bool:
    """Whether tensor names are those of a file for several frames."""
    return any(name.startswith(f"{SHARING}0.to_q_lora.1.") for name in names)
