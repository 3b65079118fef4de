"""Trains the scribble control of the embedded base on unfinished drawings: python -m models.lab scribble --minutes 8

The base stays frozen and answers x0; the control net learns to bring it to the picture whose lines it sees (Zhang et al. 2023,
section 3.3). Lines come from the pictures themselves (models.lines) and are cut off at a random share of their length, so that a
missing line means "not drawn yet" and not "nothing is here"; a third of the prompts is empty, so that lines alone must do.
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
from models.lab.diffusion import TOP, random_times, sigmas_at, weights_of
from models.lab.latents import Batch, LatentSet
from models.lab.parallel import rank
from models.lines import by_hand, drawn, edges, partial, strokes_of
from models.nets.control import KIND, build, control_config, hint, residuals, start_from
from models.nets.patches import PatchEncoder
from models.nets.unet import inputs_of, predict
from models.pixels import to_uint8
from models.sampling import vp_scales


@dataclass(frozen=True)
class ControlConfig:
    """shares: of a drawing's length that the net sees, drawn evenly from this range, but whole in `whole` of the rows.
    one_step: rows that start from pure noise, as a one-step student does."""
    batch_size: int = 24
    lr: float = 4e-4
    text_dropout: float = 0.33
    shares: tuple[float, float] = (0.05, 1.0)
    whole: float = 0.25
    one_step: float = 0.25
    time_mean: float = 1.6
    time_std: float = 1.3
    seed: int = 0


class Lines:
    """The strokes of training pictures, found once a row and kept."""

    def __init__(self, encoder: PatchEncoder) -> None:
        self.encoder = encoder
        self._known: dict[int, list[np.ndarray]] = {}

    @torch.no_grad()
    def strokes(self, row: int, latent: Tensor) -> list[np.ndarray]:
        """`latent` [C, 16, 16] is row `row` of the set."""
        if row not in self._known:
            picture = to_uint8(self.encoder.transpose(latent[None].cpu()).clamp(0, 1))[0]
            self._known[row] = [s.astype(np.int16) for s in strokes_of(edges(picture))]
        return self._known[row]

    def pictures(self, rows: Sequence[int], latents: Tensor, shares: Sequence[float], rng: np.random.Generator) -> Tensor:
        """Control pictures [B, 3, 256, 256] in {0..1}: white strokes on black."""
        side = latents.shape[-1] * 16
        drawings = [drawn(by_hand(partial(self.strokes(int(r), z), share, rng), rng), (side, side), rng.uniform(2, 5))
                    for r, z, share in zip(rows, latents, shares)]
        return torch.from_numpy(np.stack(drawings))[:, None].float().div(255).expand(-1, 3, -1, -1)


def random_shares(config: ControlConfig, count: int, rng: np.random.Generator) -> np.ndarray:
    shares = rng.uniform(*config.shares, count)
    shares[rng.random(count) < config.whole] = 1.0
    return shares


def control_loss(net: Any, control: Any, batch: Batch, lines: Tensor, times: Tensor, eps: Tensor, cells: Tensor | float = 1.0) -> Tensor:
    """Weighted squared error of x0 under control, per sample [B]; times at the very top start from pure noise. `cells`
    [B, 1, h, w]: weights of places."""
    sigma = sigmas_at(times)[:, None, None, None]
    shown = (times < TOP).float()[:, None, None, None]
    alpha, _ = vp_scales(sigma)
    inputs = inputs_of(alpha * (shown * batch.latents + sigma * eps), times, batch.cond)
    answer = predict(net, inputs["sample"], times, batch.cond, **residuals(control, inputs, hint(control, lines))).float()
    return weights_of(sigma[:, 0, 0, 0]) * (cells * (answer - batch.latents).square()).mean((1, 2, 3))


def train_control(net: Any, control: Any, data: LatentSet, lines: Lines, budget: Budget, config: ControlConfig, device: str = "cpu",
                  say: Callable[[str], None] = print) -> None:
    """Train `control` on `data` until the budget is spent."""
    def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
        rows, batch = data.draw(rng, config.batch_size, config.text_dropout)
        pictures = lines.pictures(rows, batch.latents, random_shares(config, len(rows), rng), rng).to(device)
        times = random_times(len(rows), generator, config.time_mean, config.time_std)
        times[: int(config.one_step * len(rows))] = TOP
        eps = torch.randn(batch.latents.shape, generator=generator).to(device)
        return control_loss(net, control, batch.to(device), pictures, times.to(device), eps).mean()
    train_beside(net, control, loss_of, budget, config.lr, config.seed, device, say)


@torch.no_grad()
def error_at(net: Any, control: Any, data: LatentSet, lines: Lines, share: float, device: str = "cpu", count: int = 64) -> tuple[float, float]:
    """(error with lines, error without) of x0 from pure noise on `count` unseen rows that show `share` of their lines."""
    rows = list(range(0, len(data), max(1, len(data) // count)))[:count]
    batch = data.rows(rows).to(device)
    pictures = lines.pictures(rows, batch.latents, [share] * len(rows), np.random.default_rng(0)).to(device)
    eps = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0)).to(device)
    times = torch.full((len(rows),), float(TOP), device=device)
    with mixed_precision(device):
        seen, blank = (float(control_loss(net, control, batch, p, times, eps).mean()) for p in (pictures, torch.zeros_like(pictures)))
    return seen, blank


def export_control(control: Any, what: str, path: Path, recipe: dict[str, Any], title: str, says: str) -> Path:
    """The net as models.adapters.controlnet reads it, int8 rows."""
    network = {k: v for k, v in control.config.items() if not k.startswith("_")}
    checkpoint.save(path, KIND, {"control": what, "network": network}, recipe, checkpoint.quantise(control.state_dict()), title, says=says)
    return path


def make_scribble(net: Any, encoder: PatchEncoder, data: LatentSet, unseen: LatentSet, budget: Budget, path: Path, command: str,
                  device: str = "cpu", config: ControlConfig = ControlConfig(), start: Path | None = None) -> None:
    """Build (or go on from the net at `start`, where there is one), train, measure, export."""
    control, _, before = first(start, KIND, "network", build, lambda: (start_from(build(control_config(dict(net.config))), net), None))
    control = control.to(device, memory_format=torch.channels_last)
    lines = Lines(encoder.cpu())
    train_control(net, control, data, lines, budget, config, device, lambda text: print(text, flush=True))
    if rank():
        return
    errors = {f"{share:.0%}": [round(v, 4) for v in error_at(net, control, unseen, Lines(encoder), share, device)] for share in (0.1, 0.25, 0.5, 1.0)}
    recipe = {"command": command, "config": asdict(config), "updates": before + budget.updates, "x0_error_with_and_without_lines": errors}
    export_control(control, "scribble", path, recipe, "Scribble", "Follows the lines of a drawing, finished or not.")
    print(f"{budget.updates} updates, x0 error with and without lines on unseen drawings: {errors}, {path.name}", flush=True)
