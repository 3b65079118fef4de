"""Trains style transfer beside the frozen student (models.nets.style): python -m models.lab style_transfer --minutes 20

The losses of OSDiffST (Zuo et al. 2024): content, style, distribution of colours, structure; the latter three on pictures decoded with
gradients, style and content by the maps of judge A. Where there is an exact answer (models.lab.style_pairs) its latents are asked for too,
and style and colours are taken from the answer, else from what the set's artist drew of the same concept.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models import checkpoint
from models.devices import mixed_precision
from models.lab.beside import first, train_beside
from models.lab.budget import Budget
from models.lab.parallel import rank
from models.lab.style_pairs import HELD, Lesson, Pairs, Shares
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder
from models.nets.style import KIND, Pass, Restyle, attached, config_for, restyled
from models.nets.style_judge import Judge, look_of

DIRECTIONS = 24                                      # of the sliced Wasserstein distance
SSIM_PX = 7


@dataclass(frozen=True)
class StyleConfig:
    """decoded: rows of a batch whose pictures are looked at; the weights are those of the losses."""
    batch_size: int = 14
    decoded: int = 5
    lr: float = 4e-3
    rank: int = 16
    answer: float = 1.0
    style: float = 0.35
    colour: float = 2.0
    content: float = 0.15
    structure: float = 0.25
    seed: int = 0


@dataclass
class Teachers:
    """The frozen networks that a lesson needs."""
    encoder: PatchEncoder
    decoder: PatchDecoder
    judge: Judge


def to_lab(rgb: Tensor) -> Tensor:
    """sRGB [B, 3, H, W] in [0, 1] -> L*a*b* / 100 (CIE 1976, D65), with gradients everywhere."""
    rgb = rgb.float().clamp(1e-4, 1)
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    matrix = torch.tensor([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9502]], device=rgb.device)
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear) / torch.tensor([0.9505, 1.0, 1.089], device=rgb.device)[:, None, None]
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)], 1)


def sliced_distance(one: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Sliced Wasserstein distance of colours, a row [B] (Bonneel et al. 2015): [B, 3, H, W] each, projected and sorted."""
    directions = F.normalize(torch.randn(DIRECTIONS, 3, generator=generator), dim=1).to(one.device)
    a, b = (torch.einsum("dc,bcn->bdn", directions, to_lab(t).flatten(2)).sort(-1).values for t in (one, other))
    return (a - b).abs().mean((1, 2))


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """Structural similarity of two grey pictures [B, 1, H, W] in [0, 1], a row [B] (Wang et al. 2004)."""
    pool = lambda t: F.avg_pool2d(t, SSIM_PX, 1)
    a, b = pool(one), pool(other)
    va, vb, both = pool(one * one) - a * a, pool(other * other) - b * b, pool(one * other) - a * b
    return ((2 * a * b + 1e-4) * (2 * both + 9e-4) / ((a * a + b * b + 1e-4) * (va + vb + 9e-4))).mean((1, 2, 3))


def grey(rgb: Tensor) -> Tensor:
    return (rgb * torch.tensor([0.299, 0.587, 0.114], device=rgb.device)[:, None, None]).sum(1, keepdim=True)


def picture_loss(y: Tensor, lesson: Lesson, rows: slice, judge: Judge, config: StyleConfig, generator: torch.Generator) -> Tensor:
    """Style, colour, content and structure of decoded pictures y [n, 3, 256, 256], a mean."""
    half = lambda rgb: F.avg_pool2d(rgb, 2)
    target, content, loose = half(lesson.target[rows]), half(lesson.content[rows]), 1 - lesson.exact[rows]
    seen = judge.maps(half(y))
    with torch.no_grad():
        wanted, given = judge.maps(target), judge.maps(content)
    style = (look_of(seen) - look_of(wanted)).abs().mean(1)
    colour = sliced_distance(F.avg_pool2d(y, 4), F.avg_pool2d(target, 2), generator)
    kept = (seen[-1] - given[-1]).square().mean((1, 2, 3)) / given[-1].square().mean((1, 2, 3)).add(1e-3)
    structure = 1 - ssim(grey(half(y)), grey(content))
    exact = (half(y) - target).abs().mean((1, 2, 3)) * lesson.exact[rows]
    return (config.style * style + config.colour * (colour + exact) + loose * (config.content * kept + config.structure * structure)).mean()


def style_loss(net: Any, now: Pass, restyle: Restyle, lesson: Lesson, teachers: Teachers, config: StyleConfig, generator: torch.Generator) -> Tensor:
    with torch.no_grad():
        latents, wanted = teachers.encoder(lesson.content), teachers.encoder(lesson.target)
    z = restyled(net, now, latents, restyle.mixed(restyle.style(lesson.style), lesson.strength))
    far = F.smooth_l1_loss(z, wanted, reduction="none", beta=0.1).mean((1, 2, 3))        # paper is right from the start: no kink there
    answer = (far * (0.15 + 0.85 * lesson.exact)).mean()
    rows = slice(0, config.decoded)
    return config.answer * answer + picture_loss(teachers.decoder(z[rows]).float(), lesson, rows, teachers.judge, config, generator)


def train_style(net: Any, restyle: Restyle, pairs: Pairs, teachers: Teachers, budget: Budget, config: StyleConfig, device: str = "cpu",
                say: Callable[[str], None] = print, shares: Shares = Shares()) -> None:
    """Train `restyle` until the budget is spent."""
    with attached(net, restyle) as now:
        def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
            lesson = pairs.lesson(rng, config.batch_size, shares, side_px=restyle.eye.side_px).to(device)
            return style_loss(net, now, restyle, lesson, teachers, config, generator)
        train_beside(net, restyle, loss_of, budget, config.lr, config.seed, device, say)


ONLY = {"set": Shares(0, 0, 0, 0), "look": Shares(1, 0, 0, 0), "nothing": Shares(0.5, 0, 0, 1)}


@torch.no_grad()
def errors(net: Any, restyle: Restyle, pairs: Pairs, encoder: PatchEncoder, kind: str, target: str = "", device: str = "cpu",
           count: int = 48) -> dict[str, float]:
    """Mean latent distance to the answer on unseen rows: with the right style picture, with another's, left as it is."""
    lesson = pairs.lesson(np.random.default_rng(1), count, ONLY[kind], target, restyle.eye.side_px).to(device)
    latents, wanted = encoder(lesson.content), encoder(lesson.target)
    far = lambda z: round(float((z - wanted).abs().mean()), 4)
    with attached(net, restyle) as now, mixed_precision(device):
        style = restyle.style(lesson.style)
        right, other = (restyled(net, now, latents, restyle.mixed(s, lesson.strength)) for s in (style, tuple(t.roll(1, 0) for t in style)))
    return {"right": far(right), "another": far(other), "unchanged": far(latents)}


def make_style(net: Any, pairs: tuple[Pairs, Pairs, Pairs], teachers: Teachers, budget: Budget, path: Path, command: str, device: str = "cpu",
               config: StyleConfig = StyleConfig(), start: Path | None = None, count: int = 48) -> None:
    """Build, train, measure, export. `pairs`: to learn from, unseen concepts, unseen concepts with HELD as the target."""
    torch.manual_seed(config.seed)
    restyle, shape, before = first(start, KIND, "style", Restyle, lambda: _fresh(net, config.rank))
    restyle = restyle.to(device)
    train_style(net, restyle, pairs[0], teachers, budget, config, device, lambda text: print(text, flush=True))
    if rank():
        return
    told = {kind: errors(net, restyle, pairs[1], teachers.encoder, kind, device=device, count=count) for kind in ONLY}
    told[f"held-out set {HELD}"] = errors(net, restyle, pairs[2], teachers.encoder, "set", HELD, device, count)
    recipe = {"command": command, "config": asdict(config), "updates": before + budget.updates, "held_out_set": HELD, "latent_distance": told}
    checkpoint.save(path, KIND, {"style": shape}, recipe, checkpoint.quantise(restyle.state_dict()), "Style of a picture",
                    says="Redraws a picture in the style of another, in one step, the same for every view.")
    print(f"{budget.updates} updates, latent distance on unseen concepts {told}, {path.name} {path.stat().st_size / 1e6:.1f} MB", flush=True)


def _fresh(net: Any, rank_: int) -> tuple[Restyle, dict[str, Any]]:
    shape = config_for(net, rank_)
    return Restyle(shape), shape
