"""The change of the UNet that a LayerDiffuse release brings, in its three forms: added weights, a LoRA, or attention sharing (SD 1.5).

Each is attached with a context manager and leaves the base as it was; `strength` is read at every call or set by `set_strength`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adapters._lora_keys import UNET, Place
from models.adapters.lora import Factors, LoraAdapter
from models.contracts import Base
from models.errors import Incompatible
from models.spec import AdapterSpec

SHARING = "hookers.layers."
_UNIT = re.compile(r"hookers\.layers\.(\d+)\.(?:to_(q|k|v|out)_lora\.0\.(down|up)\.weight|temporal_([inqkvo])\.(weight|bias))$")
_SD1_LEVELS = ("down_blocks_0", "down_blocks_1", "down_blocks_2"), ("up_blocks_1", "up_blocks_2", "up_blocks_3")
NORM_EPS = 1e-6


def sd1_attention(index: int) -> str:
    """The flat diffusers path of the index-th attention of SD 1.x in the order of the released files: down, up, middle; of each
    transformer first attn1, then attn2."""
    down = [f"{level}_attentions_{i}" for level in _SD1_LEVELS[0] for i in range(2)]
    up = [f"{level}_attentions_{i}" for level in _SD1_LEVELS[1] for i in range(3)]
    return f"{[*down, *up, 'mid_block_attentions_0'][index // 2]}_transformer_blocks_0_attn{index % 2 + 1}"


class AddedWeights:
    """W + strength * delta under the same name; leaving puts the very same tensors back."""

    def __init__(self, spec: AdapterSpec, deltas: Mapping[str, Tensor]) -> None:
        self.spec, self.deltas, self.strength = spec, dict(deltas), 1.0
        self._places: list[tuple[nn.Module, str, nn.Parameter, Tensor]] = []

    def set_strength(self, strength: float) -> None:
        if strength != self.strength:
            self.strength = strength
            for place in self._places:
                self._write(*place)

    def _write(self, module: nn.Module, name: str, own: nn.Parameter, delta: Tensor) -> None:
        summed = own if self.strength == 0 else nn.Parameter(own + self.strength * delta.to(own), requires_grad=False)
        module._parameters[name] = summed
        if hasattr(module, "packed"):
            object.__setattr__(module, "packed", None)  # a copy laid out for the CPU is stale now

    @contextmanager
    def attach(self, base: Base) -> Iterator[None]:
        """Raises Incompatible before anything is changed."""
        places = [_place(base, self.spec, name, delta) for name, delta in self.deltas.items()]
        self._places += places
        try:
            for place in places:
                self._write(*place)
            yield
        finally:
            taken = {id(place) for place in places}
            self._places = [place for place in self._places if id(place) not in taken]
            for module, name, own, _ in places:
                module._parameters[name] = own
                if hasattr(module, "packed"):
                    object.__setattr__(module, "packed", None)

    def bytes_resident(self) -> int:
        """The deltas, and the sums while attached."""
        held = sum(t.numel() * t.element_size() for t in self.deltas.values())
        return held + sum(own.numel() * own.element_size() for _, _, own, _ in self._places)


def _place(base: Base, spec: AdapterSpec, name: str, delta: Tensor) -> tuple[nn.Module, str, nn.Parameter, Tensor]:
    path, _, last = name.rpartition(".")
    try:
        module = base.network.get_submodule(path)
        own = module._parameters[last]
    except (AttributeError, KeyError):
        raise Incompatible(f'"{spec.title}" changes {name}, which "{base.spec.title}" does not have.', "Choose one made for this base.") from None
    if own.shape != delta.shape:
        raise Incompatible(
            f'"{spec.title}" brings {tuple(delta.shape)} for {name}, which is {tuple(own.shape)} in "{base.spec.title}".',
            "Files for pictures under or over another layer widen the network and cannot be used; get the transparent one.",
        )
    return module, last, own, delta


class SharedAttention:
    """Attention sharing with a single frame: q, k, v and out carry a LoRA, and what attends over the frames, here one, becomes a chain of
    linear layers on hidden + answer."""

    def __init__(self, spec: AdapterSpec, tensors: Mapping[str, Tensor]) -> None:
        self.factors, self.chains = _units(tensors)
        self.lora, self.strength = LoraAdapter(spec, self.factors), 1.0

    def set_strength(self, strength: float) -> None:
        self.strength = strength
        self.lora.set_strength(strength)

    @contextmanager
    def attach(self, base: Base) -> Iterator[None]:
        """Raises Incompatible before anything is changed."""
        layers = {name.replace(".", "_"): module for name, module in base.network.named_modules()}
        if lost := [flat for flat in self.chains if flat not in layers]:
            raise Incompatible(f'"{self.lora.spec.title}" changes {lost[0]}, which "{base.spec.title}" does not have.', "Choose one for SD 1.5.")
        with self.lora.attach(base):
            wraps = [(layers[flat], layers[flat].processor, chain) for flat, chain in self.chains.items()]
            for layer, found, chain in wraps:
                layer.set_processor(AlsoThrough(found, chain, lambda: self.strength))
            try:
                yield
            finally:
                for layer, found, _ in wraps:
                    layer.set_processor(found)

    def bytes_resident(self) -> int:
        return self.lora.bytes_resident() + sum(t.numel() * t.element_size() for c in self.chains.values() for t in c.values())


def _units(tensors: Mapping[str, Tensor]) -> tuple[dict[Place, Factors], dict[str, dict[str, Tensor]]]:
    """The LoRA factors, and {flat path: {"n.weight": ...}} of the layers over frames."""
    pairs: dict[Place, dict[str, Tensor]] = {}
    chains: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if m := _UNIT.match(name):
            flat = sd1_attention(int(m[1]))
            if m[2]:
                pairs.setdefault(Place(UNET, f"{flat}_to_{m[2]}" + ("_0" if m[2] == "out" else "")), {})[m[3]] = tensor
            else:
                chains.setdefault(flat, {})[f"{m[4]}.{m[5]}"] = tensor
    return {place: Factors(pair["down"], pair["up"], 1.0) for place, pair in pairs.items()}, chains


class AlsoThrough:
    """An attention processor: the answer of the one it wraps, plus what the chain makes of input + answer."""

    def __init__(self, wrapped: Any, chain: Mapping[str, Tensor], strength: Callable[[], float]) -> None:
        self.wrapped, self.chain, self.strength = wrapped, chain, strength

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
                 attention_mask: Tensor | None = None, temb: Tensor | None = None, ip_adapter_masks: Any = None) -> Tensor:  # fmt: skip
        extra = {} if ip_adapter_masks is None else {"ip_adapter_masks": ip_adapter_masks}
        out = self.wrapped(
            attn, hidden_states, encoder_hidden_states=encoder_hidden_states, attention_mask=attention_mask, temb=temb, **extra
        )
        strength, c = self.strength(), self.chain
        if strength == 0:
            return out
        x = F.layer_norm(hidden_states + out, hidden_states.shape[-1:], c["n.weight"], c["n.bias"], NORM_EPS)
        for layer in "ivo":  # attention over one frame gives that frame's value whatever q and k say
            x = F.linear(x, c[f"{layer}.weight"], c[f"{layer}.bias"])
        return torch.add(out, x, alpha=strength)
