"""A picture or a drawing as a layered code (after AniFaceDrawing, Huang et al. 2023, arXiv 2306.07476; StyleGAN's W+ there, here tokens
that cross-attention reads beside the words, with keys and values of their own as in models.nets.image_prompt).

Eight tokens in three groups: structure, which only the layers of the lowest resolution see; middle, for the layers above it; colour, for
those of them on the way out. Structure and middle are made from grey pictures, so all hue has to come through the colour tokens. Two
encoders write the same code: one looks at pictures, the other at drawings, finished or not.

Codes of pictures are standardised over the training set, so the mean code is zero. The code of a sparse drawing is drawn towards it
(truncation, psi): what is not drawn yet is what pictures have on average.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.nets.image_prompt import ImageEncoder, KeysValues, cross_attention

KIND = "onestroke.layered_codes"
GROUPS = (("structure", 3), ("middle", 3), ("colour", 2))
GREY = (0.299, 0.587, 0.114)                         # BT.601
LEAST_PSI = 0.5                                      # of the card: psi = .5 + .5 min(1, how much is drawn)


@dataclass(frozen=True)
class Span:
    """Tokens `first` .. `stop` - 1 of a code."""
    first: int
    stop: int


def spans() -> dict[str, Span]:
    """Where each group lies in a code."""
    out, first = {}, 0
    for name, count in GROUPS:
        out[name] = Span(first, first := first + count)
    return out


TOKENS = sum(count for _, count in GROUPS)
COLOURS = spans()["colour"]


def config_for(unet: Any, side_px: int = 96, widths: Sequence[int] = (32, 64, 128, 256), narrow: int = 64, context: int = 192,
               hue_px: int = 32, hue_widths: Sequence[int] = (32, 64, 128)) -> dict[str, Any]:
    """The config of layered codes for a UNet. narrow: channels that each position keeps on its way into the code. context: width of a
    token."""
    layers = {number: [attn.to_k.out_features, list(group)] for (number, attn), group in zip(cross_attention(unet).items(), _groups(unet))}
    encoder = {"side_px": side_px, "widths": list(widths), "narrow": narrow, "hue_px": hue_px, "hue_widths": list(hue_widths)}
    return {"context": context, "encoder": encoder, "layers": layers}


def _groups(unet: Any) -> list[tuple[str, ...]]:
    """What each cross-attention layer sees, in the order of `cross_attention`."""
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    levels = len(unet.config.block_out_channels)
    return [_seen(_level(name, levels), levels, name.startswith("up_blocks")) for name in names]


def _level(name: str, levels: int) -> int:
    """How often the side was halved before the layer called `name`."""
    where, number = name.split(".")[:2]
    return levels - 1 if where == "mid_block" else int(number) if where == "down_blocks" else levels - 1 - int(number)


def _seen(level: int, levels: int, outward: bool) -> tuple[str, ...]:
    if level == levels - 1:
        return ("structure",)
    return ("middle", "colour") if outward else ("middle",)


class Routed(nn.Linear):
    """A projection that sees some of the tokens only: [B, T, context] -> [B, len(seen), width]. Leaving tokens out is what an attention
    mask does to them, at less cost."""

    def __init__(self, context: int, width: int, seen: Sequence[int]) -> None:
        super().__init__(context, width, bias=False)
        self.seen = list(seen)

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens[:, self.seen])


class RoutedKeysValues(KeysValues):
    """Of one layer; values begin at zero, so that untrained codes change nothing."""

    def __init__(self, context: int, width: int, seen: Sequence[int]) -> None:
        super().__init__(context, width)
        self.to_k_ip, self.to_v_ip = Routed(context, width, seen), Routed(context, width, seen)
        nn.init.zeros_(self.to_v_ip.weight)


class Standard(nn.Module):
    """Codes [B, TOKENS, context] to zero mean and unit variance over the pictures: over the batch in training, later as it was there.
    Without it all pictures start with nearly one code, and the layers learn that code and no other."""

    def __init__(self, context: int, momentum: float = 0.05) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(TOKENS, context))
        self.register_buffer("std", torch.ones(TOKENS, context))

    def forward(self, code: Tensor) -> Tensor:
        code = code.float()
        if not self.training:
            return (code - self.mean) / self.std
        mean, std = code.mean(0), code.std(0) + 1e-3
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.std.lerp_(std, self.momentum)
        return (code - mean) / std


class CodeEncoder(nn.Module):
    """rgb [B, 3, H, W] in [0, 1] -> code [B, TOKENS, context]. Structure and middle see it in grey."""

    def __init__(self, context: int, side_px: int, widths: Sequence[int], narrow: int, hue_px: int, hue_widths: Sequence[int]) -> None:
        super().__init__()
        self.context = context
        self.form, self.hue = ImageEncoder(side_px, widths), ImageEncoder(hue_px, hue_widths)
        hues = COLOURS.stop - COLOURS.first
        self.form_out, self.hue_out = _tokens(self.form, narrow, (TOKENS - hues) * context), _tokens(self.hue, narrow, hues * context)

    def forward(self, rgb: Tensor) -> Tensor:
        grey = torch.einsum("bchw,c->bhw", rgb, rgb.new_tensor(GREY))[:, None].expand(-1, 3, -1, -1)
        flat = torch.cat([self.form_out(self.form(shrunk(grey, self.form.side_px))), self.hue_out(self.hue(shrunk(rgb, self.hue.side_px)))], 1)
        return flat.unflatten(1, (-1, self.context))


def _tokens(encoder: ImageEncoder, narrow: int, out: int) -> nn.Sequential:
    """Where something is matters here, so positions stay apart: [B, positions, width] -> [B, out]."""
    return nn.Sequential(nn.Linear(encoder.width, narrow), nn.SiLU(), nn.Flatten(), nn.Linear(encoder.positions * narrow, out))


def shrunk(rgb: Tensor, side_px: int) -> Tensor:
    """Area means on side_px x side_px."""
    return rgb if rgb.shape[-1] == side_px else F.interpolate(rgb, (side_px, side_px), mode="area")


class LayeredCodes(nn.Module):
    """`picture` and `sketch`, the two encoders; `standard`, the scale of codes; `ip_adapter`, the layers' keys and values, which
    models.nets.image_prompt.attached puts to work; `full`, how much ink a finished drawing has on average, as a share of the pixels."""

    def __init__(self, context: int, encoder: dict[str, Any], layers: dict[str, tuple[int, Sequence[str]]]) -> None:
        super().__init__()
        place = spans()
        seen = lambda groups: [i for name in groups for i in range(place[name].first, place[name].stop)]
        self.picture, self.sketch, self.standard = CodeEncoder(context, **encoder), CodeEncoder(context, **encoder), Standard(context)
        self.ip_adapter = nn.ModuleDict({number: RoutedKeysValues(context, width, seen(groups)) for number, (width, groups) in layers.items()})
        self.register_buffer("full", torch.ones(1))

    def of_picture(self, rgb: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> codes [B, TOKENS, context]."""
        return self.standard(self.picture(rgb))

    def of_sketch(self, lines: Tensor, locked: Tensor | None = None, truncate: bool = True) -> Tensor:
        """Control pictures [B, 3, H, W] in [0, 1], white on black -> codes [B, TOKENS, context], nearer to the mean the less is drawn.
        locked: rgb [B, 3, H, W] whose colours they take."""
        code = self.sketch(lines).float()
        code = self.psi(lines) * code if truncate else code
        if locked is None:
            return code
        return torch.cat([code[:, :COLOURS.first], self.of_picture(locked)[:, COLOURS.first:COLOURS.stop], code[:, COLOURS.stop:]], 1)

    def psi(self, lines: Tensor) -> Tensor:
        """[B, 1, 1]: LEAST_PSI without a stroke, 1 once half the ink of a finished drawing is there. The card counts strokes up to 8,
        which a picture of them cannot tell."""
        ink = lines.mean((1, 2, 3))
        return (LEAST_PSI + (1 - LEAST_PSI) * (2 * ink / self.full.clamp_min(1e-6)).clamp_max(1))[:, None, None]


def build(config: dict[str, Any]) -> LayeredCodes:
    """The network of a config."""
    return LayeredCodes(config["context"], config["encoder"], config["layers"])
