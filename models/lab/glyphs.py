"""Trains the glyph control of the embedded base on made-up signs: python -m models.lab glyphs --minutes 18

After GlyphDraw (Ma et al. 2023, arXiv 2303.17870): the frozen base is taught to paint rendered words into a box; the loss counts 1.6
times inside it. A sign is drawn over a training picture, which is then encoded anew: the encoder is an orthogonal projection, so every
cell that the sign does not touch keeps its latent exactly. The words of the tests are never trained on.

What is ours: the control's first layer begins as the base's own patch projection (both signs, so that SiLU loses nothing), and what
follows as the base's own first convolution, so the net starts out seeing the words as the base would see them in a picture.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from models.devices import mixed_precision
from models.job import Extent
from models.lab.beside import first, train_beside
from models.lab.budget import Budget
from models.lab.control import control_loss, export_control
from models.lab.diffusion import TOP, random_times
from models.lab.items import stable_hash
from models.lab.latents import Batch, LatentSet
from models.lab.parallel import rank
from models.words.lettering import fitted, fonts, rgb_of
from models.nets.control import KIND, build, control_config, start_from
from models.nets.patches import PATCH_PX, PatchEncoder
from models.pixels import to_uint8
from models.words.signs import SHAPES, Sign, asked, board_of, ink_of, lifted, room
from models.layers.stack import Text

EXTENT = Extent(256, 256)
INSIDE = 1.6                                         # weight of the loss where a sign is (GlyphDraw, equation 5: 1 + 0.6)
HINT_WIDTH = 96                                      # 32 components, twice for both signs, and as many free ones
TEST_SHARE = 8                                       # one word of so many is for tests
SHORT = ("sale", "open", "cafe", "new", "hot", "go", "fresh", "yes", "stop", "love", "pizza", "bread", "music", "hello", "happy", "best")


@dataclass(frozen=True)
class GlyphConfig:
    """boards: share of signs with a board; tilt_deg: largest turn; wide: ink widths in px; two: share of pictures with two signs."""
    batch_size: int = 12
    lr: float = 4e-4
    text_dropout: float = 0.2
    boards: float = 0.65
    tilt_deg: float = 15.0
    wide: tuple[float, float] = (80.0, 225.0)
    tall: float = 100.0
    two: float = 0.35
    one_step: float = 0.3
    time_mean: float = 1.6
    time_std: float = 1.3
    seed: int = 0


@cache
def vocabulary(test: bool = False) -> tuple[str, ...]:
    """English words of 2 to 8 letters, from the text encoder's own list; those of the tests are other ones than those of training."""
    from tokenizers import Tokenizer

    from models.text import weights_folder
    known = Tokenizer.from_file(str(weights_folder() / "tokenizer.json")).get_vocab()
    words = sorted({w for w in known if w.isascii() and w.isalpha() and 2 <= len(w) <= 8} | set(SHORT))
    return tuple(w for w in words if (stable_hash(w, TEST_SHARE) == 0) is test)


def random_words(rng: np.random.Generator, test: bool = False) -> str:
    """One word, rarely two in two lines, a number, or a nonsense of letters, in one of three cases."""
    known, kind = vocabulary(test), rng.random()
    drawn = lambda: known[rng.integers(len(known))]
    if kind < 0.1:
        return str(rng.integers(1, 1000)) + rng.choice(["", "%", "!"])
    word = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 7))) if kind < 0.25 else drawn()
    word += f"\n{drawn()}" if kind > 0.9 else ""
    return [word.upper(), word.title(), word][rng.choice(3, p=[0.5, 0.3, 0.2])]


def random_sign(rng: np.random.Generator, config: GlyphConfig, words: str = "") -> Sign:
    """A sign that lies in the picture; bright letters on dark, or dark ones on bright."""
    words = words or random_words(rng)
    font = str(rng.choice([f.id for f in fonts().values() if not f.lacks(words)]))
    light, dark = _colour(rng, 0.75, 1.0), _colour(rng, 0.0, 0.45)
    ink, board = (dark, light) if rng.random() < 0.55 else (light, dark)
    text = fitted(Text(words, font, 20, ink, "center"), rng.uniform(*config.wide), rng.uniform(28, config.tall) * (1 + 0.8 * ("\n" in words)), 130)
    text = replace(text or Text(words[:4], "inter-bold", 40, ink, "center"), width_px=0.0)
    sign = Sign(text, 0, 0, float(rng.uniform(-1, 1) ** 3 * config.tilt_deg), board if rng.random() < config.boards else "", str(rng.choice(SHAPES)))
    x0, y0, x1, y1 = sign.box
    if (shrink := min(1.0, 250 / (x1 - x0), 250 / (y1 - y0))) < 1:
        sign = replace(sign, text=replace(text, size_px=text.size_px * shrink))
        x0, y0, x1, y1 = sign.box
    spare = np.maximum(0, [EXTENT.width - (x1 - x0), EXTENT.height - (y1 - y0)])
    x, y = rng.random(2) * spare + np.subtract([EXTENT.width, EXTENT.height], spare) / 2
    return replace(sign, x=float(x), y=float(y))


def _colour(rng: np.random.Generator, low: float, high: float) -> str:
    """A random colour with a value (HSV) in low..high; dull ones and strong ones."""
    hue, saturation, value = rng.uniform(0, 180), rng.uniform(0, 0.9) ** 1.3 * 255, rng.uniform(low, high) * 255
    saturation = saturation if low < 0.5 else saturation * 0.6
    r, g, b = cv2.cvtColor(np.uint8([[[hue, saturation, value]]]), cv2.COLOR_HSV2RGB)[0, 0]
    return f"#{r:02x}{g:02x}{b:02x}"


def painted(picture: np.ndarray, sign: Sign, rng: np.random.Generator) -> np.ndarray:
    """float32 [H, W, 3] in 0..255 with the sign drawn on it as an illustrator would: shadow, shading and an inner line are the painter's."""
    board, ink = board_of(sign, EXTENT), ink_of(sign, EXTENT)
    if board is not None:
        shade = np.roll(cv2.GaussianBlur(board, (0, 0), 3), 4, 0)[..., None] * rng.uniform(0, 0.35)
        slope = 1 + rng.uniform(-0.12, 0.12) * np.linspace(-1, 1, EXTENT.height, dtype=np.float32)[:, None, None]
        picture = _over(picture * (1 - shade), lifted(sign.board) * slope, board)
        if rng.random() < 0.4:
            line = np.clip(board_of(sign, EXTENT, 0.9) - board_of(sign, EXTENT, 0.82), 0, 1)
            picture = _over(picture, lifted(sign.text.colour), line * 0.7)
    return _over(picture, lifted(sign.text.colour), ink)


def _over(picture: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return picture + (colour - picture) * alpha[..., None]


def paired(sign: Sign, picture: np.ndarray) -> Sign:
    """A sign without a board takes an ink that stands out from what is under it."""
    if sign.board:
        return sign
    under = picture[room([sign], EXTENT)]
    bright, own = float(under.mean()) > 128 if len(under) else True, float(np.mean(rgb_of(sign.text.colour))) > 128
    return replace(sign, text=replace(sign.text, colour=_inverse(sign.text.colour))) if bright == own else sign


def _inverse(colour: str) -> str:
    return "#" + "".join(f"{255 - v:02x}" for v in rgb_of(colour))


class Signs:
    """Draws signs over training pictures."""

    def __init__(self, encoder: PatchEncoder, config: GlyphConfig) -> None:
        self.encoder, self.config = encoder, config

    @torch.no_grad()
    def over(self, batch: Batch, rng: np.random.Generator, words: Sequence[str] = ()) -> tuple[Batch, Tensor, Tensor]:
        """(the batch with signs in its pictures, control pictures [B, 3, 256, 256], weights of the loss [B, 1, 16, 16])."""
        pictures = to_uint8(self.encoder.transpose(batch.latents.cpu()).clamp(0, 1))
        rows = [self._one(picture, rng, word) for picture, word in zip(pictures, words or [""] * len(pictures))]
        shown, hints, weights = (torch.from_numpy(np.stack(part)) for part in zip(*rows))
        before, after = (self.encoder(t.permute(0, 3, 1, 2).float() / 255) for t in (torch.from_numpy(pictures), shown))
        latents = batch.latents.cpu() + (after - before)
        return replace(batch, latents=latents), hints.permute(0, 3, 1, 2).float() / 255, weights[:, None]

    def _one(self, picture: np.ndarray, rng: np.random.Generator, words: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        signs = [paired(random_sign(rng, self.config, words), picture)]
        if not words and rng.random() < self.config.two:
            other = paired(random_sign(rng, self.config), picture)
            signs += [other] if apart(signs[0], other) else []
        out = picture.astype(np.float32)
        for sign in signs:
            out = painted(out, sign, rng)
        inside = cv2.resize(room(signs, EXTENT).astype(np.float32), (EXTENT.width // PATCH_PX, EXTENT.height // PATCH_PX), interpolation=cv2.INTER_AREA)
        return out.clip(0, 255).round().astype(np.uint8), asked(signs, EXTENT), np.where(inside > 0, INSIDE, 1.0).astype(np.float32)


def apart(one: Sign, other: Sign) -> bool:
    a, b = one.box, other.box
    return a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def seeing_control(net: Any, encoder: PatchEncoder) -> Any:
    """A control for `net` that begins with the base's own eyes (see the head of this file) and answers 0."""
    control = start_from(build(control_config(dict(net.config), (HINT_WIDTH,), PATCH_PX)), net)
    seen = (2 * encoder.basis / encoder.scale[:, None, None, None]).flatten(1)
    into, out = control.controlnet_cond_embedding.conv_in, control.controlnet_cond_embedding.conv_out
    count = len(seen)
    with torch.no_grad():
        into.weight[:2 * count].zero_()
        into.bias.zero_()
        into.weight[:2 * count, :, 1, 1] = torch.cat([seen, -seen])
        out.weight[:, :2 * count] = torch.cat([net.conv_in.weight, -net.conv_in.weight], 1)     # silu(x) - silu(-x) = x
    return control


def train_glyphs(net: Any, control: Any, data: LatentSet, signs: Signs, budget: Budget, config: GlyphConfig, device: str = "cpu",
                 say: Callable[[str], None] = print) -> None:
    """Train `control` on `data` with signs until the budget is spent."""
    def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        _, batch = data.draw(rng, config.batch_size, config.text_dropout)
        batch, hints, weights = signs.over(batch, rng)
        times = random_times(config.batch_size, generator, config.time_mean, config.time_std)
        times[: int(config.one_step * config.batch_size)] = TOP
        eps = torch.randn(batch.latents.shape, generator=generator).to(device)
        return control_loss(net, control, batch.to(device), hints.to(device), times.to(device), eps, weights.to(device)).mean()
    train_beside(net, control, loss_of, budget, config.lr, config.seed, device, say)


@torch.no_grad()
def error_at(net: Any, control: Any, data: LatentSet, signs: Signs, device: str = "cpu", count: int = 48) -> tuple[float, float]:
    """(error with words shown, error without) of x0 in the signs' cells, from pure noise, on unseen pictures and unseen words."""
    rng = np.random.default_rng(0)
    rows = list(range(0, len(data), max(1, len(data) // count)))[:count]
    words = [random_words(rng, test=True) for _ in rows]
    batch, hints, weights = signs.over(data.rows(rows), rng, words)
    inside = (weights > 1).float()
    eps = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0)).to(device)
    times = torch.full((len(rows),), float(TOP), device=device)
    with mixed_precision(device):
        seen, blank = (float(control_loss(net, control, batch.to(device), shown.to(device), times, eps, inside.to(device)).mean() / inside.mean())
                       for shown in (hints, torch.zeros_like(hints)))
    return seen, blank


def make_glyphs(net: Any, encoder: PatchEncoder, data: LatentSet, unseen: LatentSet, budget: Budget, path: Path, command: str,
                device: str = "cpu", config: GlyphConfig = GlyphConfig(), start: Path | None = None) -> None:
    """Build (or go on from the net at `start`, where there is one), train, measure, export."""
    control, _, before = first(start, KIND, "network", build, lambda: (seeing_control(net, encoder), None))
    control = control.to(device, memory_format=torch.channels_last)
    signs = Signs(encoder.cpu(), config)
    train_glyphs(net, control, data, signs, budget, config, device, lambda text: print(text, flush=True))
    if rank():
        return
    seen, blank = error_at(net, control, unseen, signs, device)
    recipe = {"command": command, "config": asdict(config), "updates": before + budget.updates, "data": "python -m models.lab data, with drawn signs",
              "x0_error_in_signs_with_and_without_words": [round(seen, 4), round(blank, 4)]}
    export_control(control, "glyph", path, recipe, "Glyphs", "Paints words that you type into the picture.")
    print(f"{budget.updates} updates, x0 error in signs with and without words, unseen words: {seen:.4f}, {blank:.4f}, {path.name}", flush=True)
