"""Trains what lets the embedded base paint beyond a picture's edges and into its holes: python -m models.lab outpaint --minutes 30

The base stays frozen and answers x0; models.nets.outpaint says what is added (after PQDiff). Every second batch goes through the teacher,
so that what is learned does not hang on one set of weights. Cells that are unknown count most: the rest is put back at every step anyway.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
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
from models.lab.diffusion import TOP, sigmas_at, weights_of
from models.lab.outpaint_views import View, ViewConfig, Views
from models.lab.parallel import rank
from models.lab.unicon import Texts
from models.nets.outpaint import KIND, Outpaint, Sight, attached, cells_of, config_for, start_from
from models.nets.patches import PATCH_PX, PatchEncoder
from models.nets.unet import predict
from models.sampling import vp_scales


@dataclass(frozen=True)
class OutpaintConfig:
    """one_step: rows that start from pure noise; the others lie anywhere above `least`, a training time. held: what the error counts in cells
    that are known. views: of what is shown."""
    batch_size: int = 12
    lr: float = 2e-3
    rank: int = 32
    one_step: float = 0.4
    least: float = 120.0
    held: float = 0.2
    views: ViewConfig = field(default_factory=ViewConfig)
    seed: int = 0


@dataclass(frozen=True)
class Shown:
    """latents [B, C, h, w] of the targets; known, anchor, box as Outpaint.seen takes them; unknown [B, 1, h, w]: the share of each cell."""
    latents: Tensor
    known: Tensor
    anchor: Tensor
    box: Tensor
    unknown: Tensor


@torch.no_grad()
def shown(views: Sequence[View], encoder: PatchEncoder) -> Shown:
    tensor = lambda pictures: torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    rgb, anchor = tensor([view.target for view in views]), tensor([view.anchor for view in views])
    known = torch.from_numpy(np.stack([view.known for view in views]))[:, None].float()
    cells = cells_of(encoder, rgb, known)
    return Shown(encoder(rgb), cells, cells_of(encoder, anchor[:, :3], anchor[:, 3:]), torch.tensor([view.box for view in views]),
                 1 - F.avg_pool2d(known, PATCH_PX))


def outpaint_loss(net: Any, outpaint: Outpaint, sight: Sight, batch: Shown, times: Tensor, cond: Any, eps: Tensor, held: float) -> Tensor:
    """Weighted squared error of x0, a sample [B]; times at the very top start from pure noise."""
    sigma = sigmas_at(times)[:, None, None, None]
    visible = (times < TOP).float()[:, None, None, None]
    alpha, _ = vp_scales(sigma)
    sight.seen = outpaint.seen(batch.known, batch.anchor, batch.box)
    answer = predict(net, alpha * (visible * batch.latents + sigma * eps), times, cond).float()
    cells = batch.unknown + held * (1 - batch.unknown)
    error = (cells * (answer - batch.latents).square()).mean((1, 2, 3)) / cells.mean((1, 2, 3))
    return weights_of(sigma[:, 0, 0, 0]) * error


def random_times(count: int, generator: torch.Generator, config: OutpaintConfig) -> Tensor:
    times = config.least + (TOP - config.least) * torch.rand(count, generator=generator)
    times[: round(config.one_step * count)] = TOP
    return times


def train_outpaint(nets: Sequence[Any], outpaint: Outpaint, views: Views, encoder: PatchEncoder, texts: Texts, budget: Budget,
                   config: OutpaintConfig, device: str = "cpu", say: Callable[[str], None] = print) -> None:
    """Train `outpaint` beside each of `nets` in turn until the budget is spent."""
    with ExitStack() as held:
        sights = [held.enter_context(attached(net.requires_grad_(False).eval(), outpaint, Sight(amount=1.0))) for net in nets]

        def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
            extent, turn = views.extent(rng), budget.updates % len(nets)
            drawn = [views.draw(rng, extent) for _ in range(config.batch_size)]
            batch = to(shown(drawn, encoder), device)
            times = random_times(len(drawn), generator, config).to(device)
            cond = tuple(t.to(device) for t in texts.cond([view.words for view in drawn]))
            eps = torch.randn(batch.latents.shape, generator=generator).to(device)
            return outpaint_loss(nets[turn], outpaint, sights[turn], batch, times, cond, eps, config.held).mean()
        train_beside(nets[0], outpaint, loss_of, budget, config.lr, config.seed, device, say)


def to(batch: Shown, device: str) -> Shown:
    return Shown(*(t.to(device) for t in vars(batch).values()))


@torch.no_grad()
def errors(net: Any, outpaint: Outpaint, views: Views, encoder: PatchEncoder, texts: Texts, device: str = "cpu", count: int = 32) -> dict[str, float]:
    """x0 error in unknown cells from pure noise on unseen drawings: shown what is known, shown that of another picture, shown nothing; and
    the error of the known colours' mean, which any painter should beat."""
    rng = np.random.default_rng(0)
    drawn = [views.draw(rng, (256, 256), kind) for kind in ("box", "side", "hole", "band") for _ in range(count // 4)]
    batch = to(shown(drawn, encoder), device)
    cond = tuple(t.to(device) for t in texts.cond([view.words for view in drawn]))
    eps = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0)).to(device)
    times, out = torch.full((len(drawn),), float(TOP), device=device), {}
    others = Shown(batch.latents, batch.known.roll(1, 0), batch.anchor.roll(1, 0), batch.box.roll(1, 0), batch.unknown)
    with attached(net, outpaint, Sight(amount=1.0)) as sight, mixed_precision(device):
        for who, what, amount in (("right", batch, 1.0), ("another", others, 1.0), ("none", batch, 0.0)):
            sight.amount = amount
            out[who] = round(float(outpaint_loss(net, outpaint, sight, what, times, cond, eps, 0.0).mean()), 4)
    seen = 1 - batch.unknown
    mean = (batch.latents * seen).sum((2, 3), True) / seen.sum((2, 3), True).clamp_min(1e-3)
    flat = (batch.unknown * (mean - batch.latents).square()).mean((1, 2, 3)) / batch.unknown.mean((1, 2, 3))
    return out | {"mean colour": round(float(flat.mean()), 4)}


def make_outpaint(nets: Sequence[Any], encoder: PatchEncoder, texts: Texts, views: Views, unseen: Views, budget: Budget, path: Path, command: str,
                  device: str = "cpu", config: OutpaintConfig = OutpaintConfig(), start: Path | None = None) -> None:
    """Build (or go on from the file at `start`, where there is one), train, measure, export."""
    torch.manual_seed(config.seed)

    def fresh() -> tuple[Outpaint, dict[str, Any]]:
        shape = config_for(nets[0], config.rank)
        return start_from(Outpaint(shape), nets[0]), shape
    outpaint, shape, before = first(start, KIND, "outpaint", Outpaint, fresh)
    outpaint.to(device)
    encoder = encoder.cpu()
    train_outpaint(nets, outpaint, views, encoder, texts, budget, config, device, lambda told: print(told, flush=True))
    if rank():
        return
    told = errors(nets[0], outpaint, unseen, encoder, texts, device)
    recipe = {"command": command, "config": asdict(config), "updates": before + budget.updates, "x0_error_in_unknown_cells_when_shown": told}
    checkpoint.save(path, KIND, {"outpaint": shape}, recipe, checkpoint.quantise(outpaint.state_dict()), "Outpaint",
                    says="Sees what is known of a picture: paints beyond its edges and into its holes.")
    print(f"{budget.updates} updates, x0 error in unknown cells of unseen pictures by what is shown: {told}, {path.name}", flush=True)
