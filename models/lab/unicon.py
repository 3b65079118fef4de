"""Trains the pair of the embedded base (UniCon, models.nets.pair): python -m models.lab unicon --minutes 20

The base stays frozen and answers x0. A picture x and a signal y of it (its lines, or its silhouette) go through it as two items of one
batch, each at a noise level of its own (section 3.3 of the paper): the same level for both would teach none of the conditional ways.
Rows are of three kinds, because minutes are few: y clean (paint from a signal, unfinished lines among them), x clean (read a signal), and
both under noise.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoint
from models.devices import mixed_precision
from models.lab.beside import first, train_beside
from models.lab.budget import Budget
from models.lab.control import Lines
from models.lab.diffusion import TOP, random_times, sigmas_at, weights_of
from models.lab.latents import LatentSet, TextTable
from models.lab.parallel import rank
from models.lines import silhouette
from models.nets.pair import KIND, Pair, Pairing, attached, config_for, padded
from models.nets.patches import PatchEncoder
from models.nets.unet import Cond, predict
from models.pixels import to_uint8
from models.sampling import vp_scales
from models.text import TextEncoder, TextStates

TRIGGERS = {"lines": "a line drawing of ", "shape": "a silhouette of "}     # what y's words begin with (the paper's trigger words)


@dataclass(frozen=True)
class UniconConfig:
    """controls, reads: shares of rows with a clean y and a clean x, the rest has noise on both. one_step: of those rows, how many start
    from pure noise. shapes: of batches whose signal is the silhouette. text_dropout: of rows without words. whole: of rows with a clean y,
    how many show all lines, the others a share from `shares`. signal_weight: of a signal's error; thin black lines have four times the
    variance of pictures."""
    batch_size: int = 8
    lr: float = 2.5e-3
    rank: int = 16
    y_rank: int = 16
    controls: float = 0.5
    reads: float = 0.25
    one_step: float = 0.5
    shapes: float = 0.2
    text_dropout: float = 0.33
    shares: tuple[float, float] = (0.1, 1.0)
    whole: float = 0.6
    signal_weight: float = 0.25
    time_mean: float = 1.2
    time_std: float = 1.3
    seed: int = 0


class Signals:
    """The signals of training pictures as latents: black on white, which the encoder knows."""

    def __init__(self, encoder: PatchEncoder, config: UniconConfig) -> None:
        self.encoder, self.config, self.lines = encoder, config, Lines(encoder)
        self._shapes: dict[int, np.ndarray] = {}

    def pictures(self, signal: str, rows: Sequence[int], latents: Tensor, shares: Sequence[float], rng: np.random.Generator) -> Tensor:
        """Control pictures [B, 3, 256, 256] in [0, 1], white on black; `shares` of the lines are drawn."""
        if signal == "lines":
            return self.lines.pictures(rows, latents, shares, rng)
        shapes = np.stack([self._shape(int(row), z) for row, z in zip(rows, latents)])
        return torch.from_numpy(shapes)[:, None].float().div(255).expand(-1, 3, -1, -1)

    @torch.no_grad()
    def _shape(self, row: int, latent: Tensor) -> np.ndarray:
        if row not in self._shapes:
            self._shapes[row] = silhouette(to_uint8(self.encoder.transpose(latent[None].cpu()).clamp(0, 1))[0])
        return self._shapes[row]

    @torch.no_grad()
    def latents(self, pictures: Tensor) -> Tensor:
        return self.encoder(1 - pictures)


class Texts:
    """Sentences as a network reads them, each encoded once."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.known: dict[str, TextStates] = {}

    def cond(self, texts: Sequence[str]) -> Cond:
        if new := [t for t in dict.fromkeys(texts) if t not in self.known]:
            self.known |= dict(zip(new, self.encoder.encode(new)))
        return TextTable.of([self.known[t] for t in texts]).batch(np.arange(len(texts)))


class Words:
    """What y is told: its trigger and the words of its picture, or the trigger alone."""

    def __init__(self, data: LatentSet, encoder: TextEncoder) -> None:
        self.data, self.texts = data, Texts(encoder)

    def cond(self, signal: str, rows: Sequence[int], rng: np.random.Generator, dropout: float) -> Cond:
        return self.texts.cond([TRIGGERS[signal] + ("" if rng.random() < dropout else self._caption(int(row), rng)) for row in rows])

    def _caption(self, row: int, rng: np.random.Generator) -> str:
        return self.data.texts[int(rng.choice(self.data.captions[row]))]


def both(x: Cond, y: Cond) -> Cond:
    """Words of x and y, end to end along the batch; the shorter ones padded."""
    longest = max(x[0].shape[1], y[0].shape[1])
    return (*(torch.cat([padded(a, longest), padded(b, longest)]) for a, b in zip(x[:2], y[:2])), torch.cat([x[2], y[2]]))


def random_pair_times(size: int, generator: torch.Generator, config: UniconConfig) -> tuple[Tensor, Tensor]:
    """(times of x, times of y) [size] each: y clean in the first rows, x clean in the next, independent noise in the rest."""
    x, y = (random_times(size, generator, config.time_mean, config.time_std) for _ in "xy")
    controls, reads = round(config.controls * size), round(config.reads * size)
    x[: round(config.one_step * controls)] = TOP
    y[controls:controls + -int(-config.one_step * reads // 1)] = TOP
    y[:controls], x[controls:controls + reads] = 0, 0
    return x, y


def pair_errors(net: Any, latents: Tensor, times: Tensor, cond: Cond, eps: Tensor) -> Tensor:
    """Weighted squared error of x0, an item [2 B]; items at time 0 are shown clean and count nothing, at the top they are pure noise."""
    sigma = torch.where(times > 0, sigmas_at(times), 0.0)[:, None, None, None]
    shown = (times < TOP).float()[:, None, None, None]
    alpha, _ = vp_scales(sigma)
    answer = predict(net, alpha * (shown * latents + sigma * eps), times, cond).float()
    return torch.where(times > 0, weights_of(sigmas_at(times)), 0.0) * (answer - latents).square().mean((1, 2, 3))


def train_unicon(net: Any, pair: Pair, data: LatentSet, signals: Signals, words: Words, budget: Budget, config: UniconConfig,
                 device: str = "cpu", say: Callable[[str], None] = print) -> None:
    """Train `pair` on `data` until the budget is spent."""
    with attached(net, pair, Pairing()) as pairing:
        def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
            rows, batch = data.draw(rng, config.batch_size, config.text_dropout)
            signal = "shape" if rng.random() < config.shapes else "lines"
            times = random_pair_times(len(rows), generator, config)
            shares = np.where((times[1].numpy() == 0) & (rng.random(len(rows)) >= config.whole), rng.uniform(*config.shares, len(rows)), 1.0)
            y = signals.latents(signals.pictures(signal, rows, batch.latents, shares, rng))
            latents, cond = torch.cat([batch.latents, y]), both(batch.cond, words.cond(signal, rows, rng, max(config.text_dropout, 0.5)))
            eps = torch.randn(latents.shape, generator=generator).to(device)
            pairing.count, pairing.weights, pairing.latent = len(rows), (1.0,), tuple(latents.shape[-2:])
            told = pair_errors(net, latents.to(device), torch.cat(times).to(device), tuple(t.to(device) for t in cond), eps)
            return told[: len(rows)].mean() + config.signal_weight * told[len(rows):].mean()
        train_beside(net, pair, loss_of, budget, config.lr, config.seed, device, say)


@torch.no_grad()
def errors(net: Any, pair: Pair, data: LatentSet, signals: Signals, words: Words, device: str = "cpu", count: int = 48) -> dict[str, float]:
    """x0 error from pure noise on unseen rows: of pictures and of lines, with the right partner, with another's, with none."""
    rows = list(range(0, len(data), max(1, len(data) // count)))[:count]
    batch, rng = data.rows(rows), np.random.default_rng(0)
    y = signals.latents(signals.pictures("lines", rows, batch.latents, [1.0] * len(rows), rng))
    cond = tuple(t.to(device) for t in both(batch.cond, words.cond("lines", rows, rng, 0.0)))
    eps = torch.randn((2 * len(rows), *y.shape[1:]), generator=torch.Generator().manual_seed(0)).to(device)
    out = {}
    with attached(net, pair, Pairing(len(rows), (1.0,), tuple(y.shape[-2:]))) as pairing, mixed_precision(device):
        for what, moving in (("picture", slice(0, len(rows))), ("lines", slice(len(rows), None))):
            times = torch.zeros(2 * len(rows))
            times[moving] = TOP
            for who, weights, turn in (("right", (1.0,), 0), ("another", (1.0,), 1), ("none", (), 0)):
                x, partner = (batch.latents, y.roll(turn, 0)) if what == "picture" else (batch.latents.roll(turn, 0), y)
                pairing.weights = weights
                told = pair_errors(net, torch.cat([x, partner]).to(device), times.to(device), cond, eps)
                out[f"{what}, {who}"] = round(float(told[moving].mean()), 4)
    return out


def _fresh(net: Any, config: UniconConfig) -> tuple[Pair, dict[str, Any]]:
    shape = config_for(net, config.rank, config.y_rank)
    return Pair(shape), shape


def make_unicon(net: Any, encoder: PatchEncoder, text: TextEncoder, data: LatentSet, unseen: LatentSet, budget: Budget, path: Path,
                command: str, device: str = "cpu", config: UniconConfig = UniconConfig(), start: Path | None = None) -> None:
    """Build (or go on from the file at `start`, where there is one), train, measure, export."""
    torch.manual_seed(config.seed)
    pair, shape, before = first(start, KIND, "pair", Pair, lambda: _fresh(net, config))
    pair.to(device)
    signals = Signals(encoder.cpu(), config)
    train_unicon(net, pair, data, signals, Words(data, text), budget, config, device, lambda told: print(told, flush=True))
    if rank():
        return
    told = errors(net, pair, unseen, Signals(encoder, config), Words(unseen, text), device)
    recipe = {"command": command, "config": asdict(config), "updates": before + budget.updates, "x0_error_by_partner": told}
    checkpoint.save(path, KIND, {"pair": shape, "triggers": TRIGGERS}, recipe, checkpoint.quantise(pair.state_dict()), "UniCon",
                    says="A picture and its lines or silhouette, either from the other, or both invented together.")
    print(f"{budget.updates} updates, x0 error on unseen drawings by partner: {told}, {path.name}", flush=True)
