"""Trains the net that enlarges: python -m models.lab upscale --minutes 40

It begins as Real-ESRGAN's compact network (models.lab.upscale_trunk). Two turns. The first learns what is there: Charbonnier distance of
pixels and of their gradients, the degradation scores being learned beside it by regression. The second goes on from it and learns to look
sharp: a distance of features (Zhang et al. 2018) and a time-aware discriminator (He et al. 2024, "TAD-SR", section 3.3) are added, which
judges frozen features of pictures under noise and is told how much noise. Both sets of weights are kept; the slider "fidelity" lies
between them.
"""
from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import checkpoint
from models.devices import mixed_precision
from models.lab.budget import Budget
from models.lab.ema import Ema
from models.lab.metrics.features import FeatureNet
from models.lab.upscale_damage import Painted, damaged, random_damage
from models.lab.upscale_data import build
from models.lab.upscale_trunk import NAME, begun
from models.nets.upscale import DETAIL, KIND, SCALE, Upscaler

Say = Callable[[str], None]


@dataclass(frozen=True)
class UpscaleConfig:
    """crop_px: of the small picture. painted: share of a batch that comes through the embedded base's autoencoder. second: share of the
    minutes for the second turn; judged: pictures of a batch that features and discriminator see there. believed: share of pictures whose
    scores are the net's own guess, as later in use. slow: factor of the trunk's learning rate, which is trained already."""
    batch_size: int = 8
    crop_px: int = 40
    lr: float = 1e-3
    second_lr: float = 5e-4
    slow: float = 0.2
    second: float = 0.35
    judged: int = 4
    painted: float = 0.3
    believed: float = 0.4
    feature_weight: float = 0.35
    fooling_weight: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Pairs:
    """small [B, 3, h, w] and large [B, 3, 4h, 4w] in [0, 1]; scores [B, 2]; known [B]: whether the scores are the truth."""
    small: Tensor
    large: Tensor
    scores: Tensor
    known: Tensor


def tensor(pictures: np.ndarray) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [0, 1], channels last."""
    return (torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


def varied(large: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrored, turned, in other colours; uint8 [S, S, 3]."""
    large = np.rot90(large[:, ::-1] if rng.random() < 0.5 else large, int(rng.integers(4)))
    large = large[..., rng.permutation(3)] if rng.random() < 0.3 else large
    return 255 - large if rng.random() < 0.1 else large


def pairs(crops: np.ndarray, painted: Painted | None, config: UpscaleConfig, rng: np.random.Generator) -> Pairs:
    """One batch. Small pictures are made whole and then cut, so that no rim is seen that the base's patches begin at."""
    large = [varied(crops[k], rng) for k in rng.integers(0, len(crops), config.batch_size)]
    through = round(config.painted * config.batch_size) if painted else 0
    small, scores = [], []
    for k, picture in enumerate(large):
        damage = random_damage(rng)
        if k < through:
            small.append(cv2.resize(picture, None, fx=1 / SCALE, fy=1 / SCALE, interpolation=cv2.INTER_AREA))
        else:
            small.append(damaged(np.ascontiguousarray(picture), damage, rng))
        scores.append(damage.scores)
    if through:
        small[:through] = painted(np.stack(small[:through]), rng)
    room = small[0].shape[0] - config.crop_px + 1
    at = [tuple(int(v) for v in rng.integers(0, room, 2)) for _ in small]
    cut = lambda picture, y, x, scale: picture[y * scale:(y + config.crop_px) * scale, x * scale:(x + config.crop_px) * scale]
    return Pairs(tensor(np.stack([cut(p, *where, 1) for p, where in zip(small, at)])), tensor(np.stack([cut(p, *where, SCALE) for p, where in zip(large, at)])),
                 torch.tensor(scores), torch.arange(len(small)) >= through)


# --- losses ------------------------------------------------------------------------------------------------------------

def pixel_loss(made: Tensor, large: Tensor) -> Tensor:
    """Charbonnier distance (Lai et al. 2017) of pixels and, as much again, of their differences."""
    far = lambda a, b: ((a - b).square() + 1e-6).sqrt().mean()
    return far(made, large) + sum(far(made.diff(dim=d), large.diff(dim=d)) for d in (2, 3))


class Eyes(FeatureNet):
    """Features at the picture's own size, from the layers that see edges and texture."""
    LEVELS = (0, 2, 4)                               # blocks, at a half, a quarter, an eighth: 16, 24, 40 channels

    def prepare(self, rgb: Tensor) -> Tensor:
        return ((rgb * 255 - 127) / 128).contiguous(memory_format=torch.channels_last)

    def early(self, rgb: Tensor) -> list[Tensor]:
        """rgb [B, 3, H, W] -> maps of LEVELS; gradients flow to rgb."""
        with mixed_precision(self.device.type):
            return [x.float() for i, x in zip(range(self.LEVELS[-1] + 1), self._walk(rgb), strict=False) if i in self.LEVELS]


def feature_loss(made: Sequence[Tensor], large: Sequence[Tensor]) -> Tensor:
    """As LPIPS without learned weights, over maps [B, C, h, w]."""
    return sum((F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean() for a, b in zip(made, large, strict=True)) / len(made)


class TimeHeads(nn.Module):
    """One head a level: logit = conv(norm(conv(features)) (1 + gamma(t)) + beta(t)), t in [0, 1] being the noise on the picture."""

    def __init__(self, channels: Sequence[int] = (16, 24, 40), width: int = 48) -> None:
        super().__init__()
        self.enter = nn.ModuleList(nn.Conv2d(c, width, 3, padding=1) for c in channels)
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in channels)
        self.times = nn.ModuleList(nn.Sequential(nn.Linear(16, width), nn.SiLU(), nn.Linear(width, 2 * width)) for _ in channels)
        self.leave = nn.ModuleList(nn.Conv2d(width, 1, 3, padding=1) for _ in channels)

    def forward(self, maps: Sequence[Tensor], t: Tensor) -> list[Tensor]:
        angles = t[:, None] * 2.0 ** torch.arange(8) * torch.pi
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        logits = []
        for x, enter, norm, told, leave in zip(maps, self.enter, self.norms, self.times, self.leave, strict=True):
            gamma, beta = told(waves)[..., None, None].chunk(2, 1)
            logits.append(leave(F.leaky_relu(norm(enter(x)) * (1 + gamma) + beta, 0.2)))
        return logits


class Judge:
    """The time-aware discriminator with its optimiser. NOISE_MAX: deviation of the noise at t = 1."""
    NOISE_MAX = 0.3

    def __init__(self, eyes: Eyes, seed: int) -> None:
        self.eyes, self.heads, self.generator = eyes, TimeHeads(), torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.AdamW(self.heads.parameters(), lr=4e-4, betas=(0.5, 0.99))

    def noised(self, *pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """The same noise on each of the batches, and t [B]."""
        t = torch.rand(len(pictures[0]), generator=self.generator)
        noise = torch.randn(pictures[0].shape, generator=self.generator) * (self.NOISE_MAX * t)[:, None, None, None]
        return [picture + noise for picture in pictures], t

    def fooled(self, made: Tensor) -> Tensor:
        """What the net is to make small."""
        (noisy,), t = self.noised(made)
        return -sum(logit.mean() for logit in self.heads(self.eyes.early(noisy), t))

    def learn(self, made: Tensor, large: Tensor) -> float:
        """One turn by the hinge loss; returns the share of places judged rightly."""
        (noisy_made, noisy_large), t = self.noised(made.detach(), large)
        with torch.no_grad():
            maps = [self.eyes.early(noisy) for noisy in (noisy_made, noisy_large)]
        fake, real = (self.heads(seen, t) for seen in maps)
        loss = sum(F.relu(1 + a).mean() + F.relu(1 - b).mean() for a, b in zip(fake, real, strict=True))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(np.mean([float(((a < 0).float().mean() + (b > 0).float().mean()) / 2) for a, b in zip(fake, real)]))


# --- training ----------------------------------------------------------------------------------------------------------

class Training:
    """A net on its way; `judge` is there in the second turn."""

    def __init__(self, net: Upscaler, batches: Iterator[Pairs], config: UpscaleConfig, lr: float, judge: Judge | None = None) -> None:
        self.net, self.batches, self.config, self.judge = net.to(memory_format=torch.channels_last).train(), batches, config, judge
        new = lambda name: name.startswith(("scorer.", "told.")) or name.endswith((".a.weight", ".b.weight"))
        trunk, others = ([p for name, p in net.named_parameters() if new(name) == kind] for kind in (False, True))
        self.rates = (lr * config.slow, lr)
        self.optimizer = torch.optim.AdamW([{"params": trunk}, {"params": others}], lr=lr, betas=(0.9, 0.99), weight_decay=1e-4)
        self.average, self.said = Ema(net, 0.995), {}
        self.judged = torch.arange(config.judged) * (config.batch_size - 1) // max(1, config.judged - 1)

    def step(self, spent: float) -> None:
        """One update; `spent`: share of this turn that is over."""
        batch = next(self.batches)
        guess = self.net.scorer(batch.small)
        own = ~batch.known | (torch.arange(len(guess)) % 10 < 10 * self.config.believed)
        with mixed_precision("cpu"):
            made = self.net(batch.small, torch.where(own[:, None], guess.detach(), batch.scores))
        pixels = pixel_loss(made, batch.large)
        scoring = ((guess - batch.scores).abs() * batch.known[:, None]).mean()
        loss = pixels + 0.1 * scoring
        self.said |= {"pixels": float(pixels.detach()), "scores": float(scoring.detach())}
        if self.judge:
            loss = loss + self._looks(made, batch.large)
        loss.backward()
        if self.judge:
            self.said["judged rightly"] = self.judge.learn(made.detach()[self.judged], batch.large[self.judged])
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 0.5)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * min(1.0, (self.average.updates + 1) / 50) * max(0.02, 1 - spent) ** 0.8
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.net)

    def _looks(self, made: Tensor, large: Tensor) -> Tensor:
        """Features and the discriminator, on some of a batch: painted ones and others."""
        made, large = made[self.judged], large[self.judged]
        with torch.no_grad():
            truth = self.judge.eyes.early(large)
        features, fooling = feature_loss(self.judge.eyes.early(made), truth), self.judge.fooled(made)
        self.said["features"] = float(features.detach())
        return self.config.feature_weight * features + self.config.fooling_weight * fooling

    def run(self, budget: Budget, title: str, say: Say) -> Upscaler:
        """Until the budget is spent; returns the averaged net."""
        while (spent := budget.spent) < 1:
            self.step(spent)
            budget.tick()
            if budget.updates % 50 == 1:
                say(f"{title}: {budget.updates} updates, {', '.join(f'{k} {v:.4f}' for k, v in self.said.items())}, {budget.minutes_left:.1f} min left")
        return self.average.copy_to(self.net).eval()


def endless(crops: np.ndarray, painted: Painted | None, config: UpscaleConfig, seed: int) -> Iterator[Pairs]:
    rng = np.random.default_rng(seed)
    while True:
        yield pairs(crops, painted, config, rng)


def train_upscaler(net: Upscaler, crops: np.ndarray, painted: Painted | None, budgets: Sequence[Budget], config: UpscaleConfig,
                   eyes: Callable[[], Eyes], say: Say = print, keep: Callable[[Upscaler], None] = lambda net: None) -> tuple[Upscaler, Upscaler]:
    """(faithful, detailed) after both turns; the second begins when the first is over, which `keep` is told."""
    torch.manual_seed(config.seed)
    faithful = Training(net, endless(crops, painted, config, config.seed), config, config.lr).run(budgets[0], "faithful", say)
    keep(faithful)
    judge = Judge(eyes(), config.seed)
    budgets[1].begin = time.monotonic()
    second = Training(copy.deepcopy(faithful), endless(crops, painted, config, config.seed + 1), config, config.second_lr, judge)
    second.net.scorer.requires_grad_(False)
    return faithful, second.run(budgets[1], "detail", say)


def export(path: Path, faithful: Upscaler, detailed: Upscaler, recipe: dict[str, Any]) -> None:
    """Both sets of weights in one file; what the second turn did not change is written once."""
    one, two = faithful.state_dict(), detailed.state_dict()
    tensors = dict(one) | {DETAIL + name: value for name, value in two.items() if not torch.equal(value, one[name])}
    config = {"width": faithful.enter.out_channels, "depth": len(faithful.layers), "rank": faithful.told.rank}
    checkpoint.save(path, KIND, config, recipe, checkpoint.quantise(tensors), "Enlarge four times", licence="Apache-2.0 AND BSD-3-Clause",
                    says="Makes a picture four times as large in one step. Its trunk began as Real-ESRGAN's (BSD-3-Clause, Xintao Wang).")


def read(path: Path) -> tuple[Upscaler, Upscaler]:
    """(faithful, detailed) of a file."""
    saved = checkpoint.load(path, KIND)
    plain = {name: value.float() for name, value in saved.tensors.items() if not name.startswith(DETAIL)}
    more = {name.removeprefix(DETAIL): value.float() for name, value in saved.tensors.items() if name.startswith(DETAIL)}
    nets = []
    for tensors in (plain, plain | more):
        nets.append(Upscaler(**saved.config).eval())
        nets[-1].load_state_dict(tensors)
    return nets[0], nets[1]


def make_upscaler(folder: Path, minutes: float, path: Path, command: str, start: Path | None = None, config: UpscaleConfig = UpscaleConfig()) -> None:
    """Build the pictures if need be, train for `minutes`, export to `path`. start: weights to go on from."""
    from models.lab.export import AUTOENCODER, EMBEDDED
    cv2.setNumThreads(1)
    say = lambda text: print(text, flush=True)
    crops, _ = build(folder, say)
    painted = Painted(checkpoint.load_autoencoder(EMBEDDED / AUTOENCODER)) if (EMBEDDED / AUTOENCODER).exists() else None
    budgets = [Budget((1 - config.second) * minutes), Budget(config.second * minutes)]
    going_on = bool(start and start.exists())
    net, trunk = (read(start)[0], "") if going_on else begun()

    def write(faithful: Upscaler, detailed: Upscaler) -> None:
        updates = [budget.updates for budget in budgets]
        export(path, faithful, detailed, {"command": command, "config": asdict(config), "updates": updates, "started_from": start.name if going_on else NAME,
                                          "trunk_sha256": trunk,
                                          "pictures_seen": sum(updates) * config.batch_size})
        say(f"{updates} updates, {path.name}")
    write(*train_upscaler(net, crops, painted, budgets, config, Eyes, say, lambda net: write(net, net)))
