"""Words to keep out, for bases that paint in one step: NASA (Nguyen et al. 2024, "SNOOPI", arXiv 2412.02687, section 4.2).

Classifier-free guidance needs a second pass and saturates a one-step network. NASA subtracts inside cross-attention instead, before
the output projection: z = A(Q, K+, V+) - strength * alpha * A(Q, K-, V-), with the same queries. It has no weights. It wraps whatever
attention processor it finds, so it stands on top of image prompts and of other controls, and puts the very same object back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.adapters._fit import CONFIG, check_fits, own_header
from models.contracts import Base, Hooks, Step
from models.devices import Device
from models.errors import BadInput, Incompatible
from models.job import AdapterUse, Job
from models.spec import EMBEDDED, SD1, SD2, SDXL, AdapterSpec, Arch, WeightFile, slug

KIND = "onestroke.keep-out"  # a settings file for one more architecture: header only, config {"arch": {...}, "alpha": number}
ORDER = 70  # after adapters that replace processors
ALPHA = {EMBEDDED: 0.5, SD1: 0.1, SD2: 0.2, SDXL: 0.2}  # at strength 1; SD 1.x and 2.x as in the paper
_COMMON: dict[str, Any] = dict(kind="keep_out", bytes=0, grants=("negative_prompt",), order=ORDER, max_strength=3.0, licence="Apache-2.0")
_KNOWS = "Keeps out of the picture what the negative words name, without a second pass."
_IDS = {EMBEDDED: "keep-out", SD1: "keep-out-sd1", SD2: "keep-out-sd2", SDXL: "keep-out-sdxl"}
SPECS = tuple(
    AdapterSpec(id=id, title="Keep out" if arch == EMBEDDED else f"Keep out ({arch.family})", arch=arch, files=(), knows=_KNOWS, **_COMMON)
    for arch, id in _IDS.items()
)


def recognise(source: str) -> AdapterSpec | None:
    """The spec of a settings file; None for any other file."""
    path = Path(source).expanduser().absolute()
    meta = own_header(path, KIND) if path.suffix == ".safetensors" else None
    if meta is None:
        return None
    try:
        arch = Arch(**json.loads(meta[CONFIG])["arch"])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path.name} does not say for which architecture it is ({error}).", 'Its config needs "arch" and "alpha".') from None
    size = path.stat().st_size
    return AdapterSpec(
        id=slug(path.stem), title=path.stem, arch=arch, files=(WeightFile(str(path), size),), knows=_KNOWS, **_COMMON | {"bytes": size}
    )


@dataclass
class Negative:
    """What the processors of one base read. `tokens` [1, T, text width] of the negative prompt and their `bias` [1, 1, 1, T] (0 or
    minus infinity) or None; `armed` while a positive pass inside the adapter's window runs."""

    tokens: Tensor | None = None
    bias: Tensor | None = None
    armed: bool = False
    amount: float = field(default=0.0)  # strength * alpha

    @property
    def acts(self) -> bool:
        return self.armed and self.tokens is not None and self.amount != 0


class KeepOut:
    """An attention processor: the answer of the one it wraps, minus the projected answer of the negative words."""

    def __init__(self, wrapped: Any, negative: Negative) -> None:
        self.wrapped, self.negative = wrapped, negative

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
                 attention_mask: Tensor | None = None, temb: Tensor | None = None, ip_adapter_masks: Any = None) -> Tensor:  # fmt: skip
        """hidden_states [B, L, C] -> [B, L, C]; the names are those diffusers passes to every processor."""
        extra = {} if ip_adapter_masks is None else {"ip_adapter_masks": ip_adapter_masks}
        out = self.wrapped(
            attn, hidden_states, encoder_hidden_states=encoder_hidden_states, attention_mask=attention_mask, temb=temb, **extra
        )
        return out - self._share(attn, hidden_states) if self.negative.acts else out

    def _share(self, attn: Any, hidden: Tensor) -> Tensor:
        """amount * W_out A(Q, K-, V-). The bias of the projection stays in: it is there once, in the wrapped answer."""
        heads = lambda t: t.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        tokens = self.negative.tokens
        query, key, value = heads(attn.to_q(hidden)), heads(attn.to_k(tokens)), heads(attn.to_v(tokens))
        logits = query @ key.transpose(-1, -2) * attn.scale
        weights = (logits if self.negative.bias is None else logits + self.negative.bias).softmax(-1)
        seen = (weights @ value).transpose(1, 2).flatten(2) * self.negative.amount
        project = attn.to_out[0]
        return (project(seen) - project(seen.new_zeros(1, 1, seen.shape[-1]))) / attn.rescale_output_factor


class NasaAdapter:
    """It may sit on several bases at a time; they share its strength."""

    def __init__(self, spec: AdapterSpec, alpha: float) -> None:
        self.spec, self.alpha, self.strength = spec, alpha, 1.0
        self._negatives: list[Negative] = []

    def set_strength(self, strength: float) -> None:
        self.strength = strength
        for negative in self._negatives:
            negative.amount = strength * self.alpha

    @contextmanager
    def attach(self, base: Base) -> Iterator[Hooks]:
        """Wrap the processors of all cross-attention layers. Raises Incompatible for another architecture."""
        check_fits(self.spec, base)
        layers = [module for name, module in base.network.named_modules() if name.endswith("attn2")]
        if not layers:
            raise Incompatible(f'"{base.spec.title}" has no cross-attention that "{self.spec.title}" could steer.', "Choose another base.")
        negative = Negative(amount=self.strength * self.alpha)
        wraps = [(layer, layer.processor) for layer in layers]
        for layer, found in wraps:
            layer.set_processor(KeepOut(found, negative))
        self._negatives.append(negative)
        disarm = base.network.register_forward_hook(lambda *_: setattr(negative, "armed", False))
        try:
            yield Hooks(prepare=lambda job, use: _read(base, negative, job, use), before_denoise=lambda step: _arm(negative, step))
        finally:
            disarm.remove()
            self._negatives = [other for other in self._negatives if other is not negative]
            for layer, found in wraps:
                layer.set_processor(found)

    def bytes_resident(self) -> int:
        return 0


def _read(base: Base, negative: Negative, job: Job, use: AdapterUse) -> None:
    """Encode the job's negative words; none, or strength 0, means that nothing is subtracted, not that "" is."""
    negative.armed, negative.tokens, negative.bias = False, None, None
    if not job.negative.strip() or use.strength == 0:
        return
    cond = base.batch_cond([base.encode_prompt(job.negative)])
    nothing = torch.zeros(1, base.latent_channels, 8, 8, device=base.device)
    inputs = base.inputs(nothing, 1.0, cond)
    mask = inputs.get("encoder_attention_mask")
    negative.tokens = inputs["encoder_hidden_states"]
    if mask is not None:
        negative.bias = torch.zeros(mask.shape, dtype=negative.tokens.dtype, device=base.device).masked_fill(~mask.bool(), -torch.inf)
        negative.bias = negative.bias[:, None, None]


def _arm(negative: Negative, step: Step) -> dict[str, Any]:
    """Only the pass with the prompt is steered; the network disarms itself, so steps outside the window stay as they are."""
    negative.armed = not step.negative
    return {}


def load(spec: AdapterSpec, device: Device, cache_dir: Path | None = None) -> NasaAdapter:
    """Nothing to read but, for a settings file, how much strength 1 subtracts."""
    if not spec.files:
        return NasaAdapter(spec, ALPHA[spec.arch])
    path = Path(spec.files[0].file)
    meta = own_header(path, KIND)
    if meta is None:
        raise BadInput(f"{path.name} is no settings file of Keep out any more.", "Put it back, or add it again.")
    return NasaAdapter(spec, float(json.loads(meta[CONFIG]).get("alpha", ALPHA[EMBEDDED])))
