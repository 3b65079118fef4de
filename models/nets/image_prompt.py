"""A picture as a prompt (IP-Adapter, Ye et al. 2023): image tokens that cross-attention reads beside the words, with keys and values
of their own: out = W_out A(q, W_k c, W_v c) + b + strength * W_out A(q, W_k' i, W_v' i), equation 5.

Tensor names are those of the published files: `image_proj.*`, `ip_adapter.N.to_k_ip.weight` and `.to_v_ip.weight`, where N counts
1, 3, 5, ... over the cross-attention layers in the order of `unet.attn_processors`. Our own files (models.checkpoint, kind
"onestroke.image_prompt") also carry the network that looks at the picture, as `image_encoder.*`; their config is what `config_for`
returns and `build` takes.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KIND = "onestroke.image_prompt"
HEAD_WIDTH = 64                                      # of the resampler
RGB, FOLD, GROUPS = 3, 4, 8
MIDDLE = 0.5                                         # pictures in [0, 1] are centred before the first convolution


class ImageEncoder(nn.Module):
    """rgb [B, 3, side_px, side_px] in [0, 1] -> features [B, positions, widths[-1]], row by row.

    Pixels are folded 4x4 into channels, then each width after the first halves the side: 96 px -> 3x3 positions with four widths.
    """

    def __init__(self, side_px: int = 96, widths: Sequence[int] = (32, 64, 128, 256)) -> None:
        super().__init__()
        self.side_px, self.width = side_px, widths[-1]
        self.first = nn.Conv2d(RGB * FOLD ** 2, widths[0], 3, padding=1)
        self.steps = nn.ModuleList(_step(a, b) for a, b in zip(widths, widths[1:]))
        self.positions = (side_px // FOLD // 2 ** (len(widths) - 1)) ** 2

    def forward(self, rgb: Tensor) -> Tensor:
        x = self.first(F.pixel_unshuffle(rgb - MIDDLE, FOLD))
        for step in self.steps:
            x = step["down"](x)
            x = x + step["same"](x)
        return x.flatten(2).transpose(1, 2)


def _step(into: int, out: int) -> nn.ModuleDict:
    down = nn.Sequential(nn.GroupNorm(GROUPS, into), nn.SiLU(), nn.Conv2d(into, out, 3, stride=2, padding=1))
    same = nn.Sequential(nn.GroupNorm(GROUPS, out), nn.SiLU(), nn.Conv2d(out, out, 3, padding=1))
    return nn.ModuleDict({"down": down, "same": same})


ENCODERS: dict[str, type[nn.Module]] = {"convolutions": ImageEncoder}
"""The slot: another encoder is a class with side_px, width, positions and the same forward, under its own name."""


class Pooled(nn.Module):
    """One vector [B, width] -> tokens [B, tokens, context]: the basic form."""

    def __init__(self, width: int, context: int, tokens: int = 4) -> None:
        super().__init__()
        self.tokens = tokens
        self.proj, self.norm = nn.Linear(width, tokens * context), nn.LayerNorm(context)

    def forward(self, vector: Tensor) -> Tensor:
        return self.norm(self.proj(vector).unflatten(-1, (self.tokens, -1)))


class Resampler(nn.Module):
    """Features [B, positions, width] -> tokens [B, queries, context]: learned queries read them in `depth` layers (the plus form)."""

    def __init__(self, width: int, context: int, inner: int, queries: int = 16, depth: int = 4, heads: int = 0, grow: int = 4) -> None:
        super().__init__()
        heads = heads or inner // HEAD_WIDTH
        self.latents = nn.Parameter(torch.randn(1, queries, inner) / inner ** 0.5)
        self.proj_in, self.proj_out, self.norm_out = nn.Linear(width, inner), nn.Linear(inner, context), nn.LayerNorm(context)
        self.layers = nn.ModuleList(nn.ModuleList([Reader(inner, heads), _feed_forward(inner, grow)]) for _ in range(depth))

    def forward(self, features: Tensor) -> Tensor:
        seen, tokens = self.proj_in(features), self.latents.expand(len(features), -1, -1)
        for read, think in self.layers:
            tokens = tokens + read(seen, tokens)
            tokens = tokens + think(tokens)
        return self.norm_out(self.proj_out(tokens))


class Reader(nn.Module):
    """Queries attend to the features and to one another."""

    def __init__(self, inner: int, heads: int) -> None:
        super().__init__()
        self.heads, width = heads, heads * HEAD_WIDTH
        self.norm1, self.norm2 = nn.LayerNorm(inner), nn.LayerNorm(inner)
        self.to_q, self.to_kv = nn.Linear(inner, width, bias=False), nn.Linear(inner, 2 * width, bias=False)
        self.to_out = nn.Linear(width, inner, bias=False)

    def forward(self, seen: Tensor, tokens: Tensor) -> Tensor:
        seen, tokens = self.norm1(seen), self.norm2(tokens)
        key, value = self.to_kv(torch.cat([seen, tokens], 1)).chunk(2, -1)
        return self.to_out(attend(self.to_q(tokens), key, value, self.heads))


def _feed_forward(inner: int, grow: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(inner), nn.Linear(inner, grow * inner, bias=False), nn.GELU(), nn.Linear(grow * inner, inner, bias=False))


PROJECTIONS: dict[str, type[nn.Module]] = {"pooled": Pooled, "resampler": Resampler}


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attention of [B, L, C] over [B or 1, T, C], heads split and joined."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    k, v = (t.expand(len(q), -1, -1, -1) for t in (k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class KeysValues(nn.Module):
    """What one cross-attention layer makes of the image tokens."""

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.to_k_ip, self.to_v_ip = nn.Linear(context, width, bias=False), nn.Linear(context, width, bias=False)


class ImagePrompt(nn.Module):
    """`image_encoder` (None where a foreign one looks), `image_proj` and the layers' keys and values, by their published numbers."""

    def __init__(self, encoder: nn.Module | None, projection: nn.Module, layers: dict[str, tuple[int, int]]) -> None:
        super().__init__()
        self.image_encoder, self.image_proj = encoder, projection
        self.ip_adapter = nn.ModuleDict({number: KeysValues(context, width) for number, (context, width) in layers.items()})

    @property
    def pooled(self) -> bool:
        return isinstance(self.image_proj, Pooled)

    def features(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, side_px, side_px] in [0, 1] -> what `image_proj` takes, from the own encoder."""
        seen = self.image_encoder(rgb)
        return seen.mean(1) if self.pooled else seen

    def blank(self, features: Tensor) -> Tensor:
        """The features of no picture at all, which training shows in place of some pictures."""
        return torch.zeros_like(features)

    def tokens(self, features: Tensor) -> Tensor:
        """Features of n pictures, seen together -> [1, n * tokens, context]."""
        return self.image_proj(features).flatten(0, 1)[None]


def config_for(unet: Any, side_px: int = 96, widths: Sequence[int] = (32, 64, 128, 256), tokens: int = 4, resampler: int = 0,
               depth: int = 2, encoder: str = "convolutions") -> dict[str, Any]:
    """The config of an image prompt for a UNet. resampler: inner width (a multiple of 64) of the plus form, 0 = the basic form."""
    layers = {number: [attn.to_k.in_features, attn.to_k.out_features] for number, attn in cross_attention(unet).items()}
    context = next(iter(layers.values()))[0]
    basic = {"form": "pooled", "width": widths[-1], "context": context, "tokens": tokens}
    plus = {"form": "resampler", "width": widths[-1], "context": context, "inner": resampler, "queries": tokens, "depth": depth}
    return {"encoder": {"form": encoder, "side_px": side_px, "widths": list(widths)}, "projection": plus if resampler else basic, "layers": layers}


def build(config: dict[str, Any]) -> ImagePrompt:
    """The network of a config; "encoder" may be None."""
    encoder = _one_of(ENCODERS, config["encoder"]) if config["encoder"] else None
    return ImagePrompt(encoder, _one_of(PROJECTIONS, config["projection"]), {n: tuple(size) for n, size in config["layers"].items()})


def _one_of(forms: dict[str, type[nn.Module]], config: dict[str, Any]) -> nn.Module:
    return forms[config["form"]](**{key: value for key, value in config.items() if key != "form"})


def start_from(prompt: ImagePrompt, unet: Any) -> ImagePrompt:
    """Keys and values begin as those of the words, the start that the paper trains from; returns `prompt`."""
    for number, attn in cross_attention(unet).items():
        prompt.ip_adapter[number].to_k_ip.load_state_dict({"weight": attn.to_k.weight})
        prompt.ip_adapter[number].to_v_ip.load_state_dict({"weight": attn.to_v.weight})
    return prompt


def cross_attention(unet: Any) -> dict[str, Any]:
    """{published number: layer} of the layers that read words."""
    names = [name.removesuffix(".processor") for name in unet.attn_processors]
    layers = [unet.get_submodule(name) for name in names if name.endswith("attn2")]
    return {str(2 * i + 1): layer for i, layer in enumerate(layers)}


class Look:
    """What the layers of one UNet look at: `tokens` [1 or B, T, context] for the next call only, at strength `amount`."""

    def __init__(self, amount: float = 1.0) -> None:
        self.amount, self.tokens = amount, None

    def show(self, tokens: Tensor | None) -> None:
        self.tokens = tokens

    @property
    def acts(self) -> bool:
        return self.tokens is not None and self.amount != 0


class ImageAttention:
    """An attention processor: the answer of the one it wraps, whichever that is, plus strength times that of the image tokens."""

    def __init__(self, wrapped: Any, layer: KeysValues, look: Look) -> None:
        self.wrapped, self.layer, self.look = wrapped, layer, look
        self.kept: list[tuple[Tensor, Tensor, Tensor]] = []

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
                 attention_mask: Tensor | None = None, temb: Tensor | None = None, ip_adapter_masks: Any = None) -> Tensor:
        """hidden_states [B, L, C] -> [B, L, C]; the names are those diffusers passes to every processor."""
        extra = {} if ip_adapter_masks is None else {"ip_adapter_masks": ip_adapter_masks}
        out = self.wrapped(attn, hidden_states, encoder_hidden_states=encoder_hidden_states, attention_mask=attention_mask, temb=temb, **extra)
        return out + self._share(attn, hidden_states) if self.look.acts else out

    def _share(self, attn: Any, hidden: Tensor) -> Tensor:
        """amount * W_out A(q, k', v'). The bias of the projection is in the wrapped answer and stays out here."""
        seen = attend(attn.to_q(hidden), *self._keys_values(self.look.tokens), attn.heads) * self.look.amount
        project = attn.to_out[0]
        return (project(seen) - project(seen.new_zeros(1, 1, seen.shape[-1]))) / attn.rescale_output_factor

    def _keys_values(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Kept for the two token sets of a render (with and without the picture), unless gradients are wanted."""
        for of, key, value in self.kept:
            if of is tokens:
                return key, value
        key, value = self.layer.to_k_ip(tokens), self.layer.to_v_ip(tokens)
        if not torch.is_grad_enabled():
            self.kept = [*self.kept[-1:], (tokens, key, value)]
        return key, value


@contextmanager
def attached(unet: Any, prompt: ImagePrompt, look: Look) -> Iterator[Look]:
    """Every cross-attention layer sees what `look.show` shows, for one call of the UNet; leaving puts the very same processors back."""
    layers = cross_attention(unet)
    found = {number: layer.processor for number, layer in layers.items()}
    for number, layer in layers.items():
        layer.set_processor(ImageAttention(found[number], prompt.ip_adapter[number], look))
    forget = unet.register_forward_hook(lambda *_: look.show(None))
    try:
        yield look
    finally:
        forget.remove()
        for number, layer in layers.items():
            layer.set_processor(found[number])
