"""Trains layered codes for the embedded base (AniFaceDrawing, Huang et al. 2023): python -m models.lab layered_codes --minutes 16

The one-step student is the generator and stays frozen. Stage 1: the picture encoder, and the keys and values of the layers, learn to
bring the student back to the picture that the code was made from; a code of what was painted must be the code it was painted from.
Stage 2: the drawing process of the same pictures is simulated, and the sketch encoder learns to write the picture's code from any
moment of it; structure counts from the first stroke, middle and colour the more the further the drawing is. No drawing by a person and
no label is needed.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models import checkpoint
from models.devices import mixed_precision
from models.lab.beside import train_beside
from models.lab.budget import Budget
from models.lab.control import Lines
from models.lab.diffusion import TOP, random_times, sigmas_at, weights_of
from models.lab.hands import Strokes, artist, tracer
from models.lab.latents import Batch, LatentSet
from models.lines import drawn
from models.nets.image_prompt import Look, attached
from models.nets.layered_codes import KIND, TOKENS, LayeredCodes, build, config_for, spans
from models.nets.patches import PatchEncoder
from models.nets.unet import predict
from models.sampling import vp_scales

SIDE_PX = 256


@dataclass(frozen=True)
class CodesConfig:
    """one_step: rows that start from pure noise. cycle: weight of the painted picture's code against the code it was painted from.
    whole: stage 2 sees finished drawings only, the other half of the comparison. random_order, dropped: shares of drawings in no
    particular order, and of strokes left out. painted: weight of the student's picture in stage 2, on `painted_rows` of the batch."""
    batch_size: int = 16
    lr: float = 6e-4
    text_dropout: float = 0.5
    one_step: float = 0.5
    time_mean: float = 1.6
    time_std: float = 1.3
    cycle: float = 0.1
    sketch_batch: int = 32
    whole: bool = False
    random_order: float = 0.3
    dropped: float = 0.1
    painted: float = 0.1
    painted_rows: int = 2
    seed: int = 0


def in_order(strokes: Strokes, rng: np.random.Generator, config: CodesConfig) -> list[np.ndarray]:
    """Strokes as somebody may draw them: by the area they span, so outlines come before what is in them, or in no order at all; some
    are never drawn. Whole strokes, because half a stroke is no moment of a drawing that the card's simulator knows."""
    kept = [s for s in strokes if rng.random() >= config.dropped] or list(strokes[:1])
    if rng.random() < config.random_order:
        return [kept[i] for i in rng.permutation(len(kept))]
    spans = [-float(np.prod(np.ptp(s, 0) + 1)) * np.exp(rng.normal(0, 0.3)) for s in kept]
    return [kept[i] for i in np.argsort(spans)]


def moment(strokes: Strokes, share: float, rng: np.random.Generator, config: CodesConfig) -> tuple[list[np.ndarray], float]:
    """(the first `share` of the strokes by one of two hands, the share of the ink that is there)."""
    order = in_order(strokes, rng, config)
    first = order[:max(1, round(share * len(order)))]
    done = sum(map(len, first)) / max(1, sum(map(len, order)))
    hand = artist if rng.random() < 0.3 else tracer
    return hand(first, 1.0, rng), done


def canvas(strokes: Strokes, width_px: float) -> Tensor:
    """[3, 256, 256] in {0..1}: white lines on black."""
    return torch.from_numpy(drawn([np.int32(s) for s in strokes], (SIDE_PX, SIDE_PX), width_px)).float().div(255).expand(3, -1, -1)


def moments(lines: Lines, rows: Sequence[int], latents: Tensor, shares: Sequence[float], rng: np.random.Generator,
            config: CodesConfig) -> tuple[Tensor, Tensor]:
    """(drawings [B, 3, 256, 256], how much of each is there [B] in 0..1)."""
    told = [moment(lines.strokes(int(r), z), share, rng, config) for r, z, share in zip(rows, latents, shares)]
    return torch.stack([canvas(strokes, rng.uniform(2, 5)) for strokes, _ in told]), torch.tensor([done for _, done in told]).float()


def picture_of(encoder: PatchEncoder, latents: Tensor) -> Tensor:
    return encoder.transpose(latents).clamp(0, 1)


def painted(net: Any, look: Look, code: Tensor, batch: Batch, times: Tensor, eps: Tensor) -> Tensor:
    """x0 that the base answers to this code; times at the very top start from pure noise."""
    sigma = sigmas_at(times)[:, None, None, None]
    x = (times < TOP).float()[:, None, None, None] * batch.latents + sigma * eps
    look.show(code)
    return predict(net, vp_scales(sigma)[0] * x, times, batch.cond).float()


def picture_loss(net: Any, codes: LayeredCodes, look: Look, encoder: PatchEncoder, batch: Batch, times: Tensor, eps: Tensor,
                 cycle: float) -> Tensor:
    """Stage 1, the mean over the batch: absolute error of x0 under the picture's own code, and the way back to the code."""
    code = codes.of_picture(picture_of(encoder, batch.latents))
    x0 = painted(net, look, code, batch, times, eps)
    error = (weights_of(sigmas_at(times)) * (x0 - batch.latents).abs().mean((1, 2, 3))).mean()
    again = (codes.picture(picture_of(encoder, x0)) - codes.standard.mean) / codes.standard.std
    return error + cycle * (again - code.detach()).square().mean()


def layer_weights(done: Tensor) -> Tensor:
    """How much each token counts, [B, TOKENS, 1], by the share that is drawn: structure fully, the rest as far as it can be known."""
    out = done[:, None, None].expand(-1, TOKENS, 1).clone()
    out[:, spans()["structure"].first:spans()["structure"].stop] = 1
    return out


def sketch_loss(codes: LayeredCodes, drawings: Tensor, done: Tensor, target: Tensor) -> Tensor:
    """Stage 2: layer-wise squared error of the drawing's code, the mean over the batch."""
    return (layer_weights(done) * (codes.sketch(drawings).float() - target).square()).mean()


def _times(count: int, generator: torch.Generator, config: CodesConfig) -> Tensor:
    times = random_times(count, generator, config.time_mean, config.time_std)
    times[: round(config.one_step * count)] = TOP
    return times


def train_pictures(net: Any, codes: LayeredCodes, encoder: PatchEncoder, data: LatentSet, budget: Budget, config: CodesConfig,
                   device: str = "cpu", say: Callable[[str], None] = print) -> None:
    """Stage 1: the picture encoder, the scale of its codes, and the layers' keys and values."""
    part = nn.ModuleDict({"picture": codes.picture, "standard": codes.standard, "layers": codes.ip_adapter})
    with attached(net, codes, Look()) as look:
        def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
            batch = data.draw(rng, config.batch_size, config.text_dropout)[1].to(device)
            eps = torch.randn(batch.latents.shape, generator=generator).to(device)
            return picture_loss(net, codes, look, encoder, batch, _times(len(eps), generator, config).to(device), eps, config.cycle)
        train_beside(net, part, loss_of, budget, config.lr, config.seed, device, say)


def train_sketches(net: Any, codes: LayeredCodes, encoder: PatchEncoder, data: LatentSet, budget: Budget, config: CodesConfig,
                   device: str = "cpu", say: Callable[[str], None] = print) -> None:
    """Stage 2: the sketch encoder alone."""
    lines = Lines(encoder)
    codes.requires_grad_(False).eval()
    codes.sketch.requires_grad_(True)
    ink: list[float] = []
    with attached(net, codes, Look()) as look:
        def loss_of(rng: np.random.Generator, generator: torch.Generator) -> Tensor:
            rows, batch = data.draw(rng, config.sketch_batch, config.text_dropout)
            shares = np.ones(len(rows)) if config.whole else rng.uniform(0, 1, len(rows))
            drawings, done = moments(lines, rows, batch.latents, shares, rng, config)
            ink.extend((drawings.mean((1, 2, 3)) / done.clamp_min(0.05)).tolist())
            batch, drawings, done = batch.to(device), drawings.to(device), done.to(device)
            with torch.no_grad():
                target = codes.of_picture(picture_of(encoder, batch.latents))
            loss = sketch_loss(codes, drawings, done, target)
            few = slice(config.painted_rows)
            eps = torch.randn(batch.latents[few].shape, generator=generator).to(device)
            some = Batch(*(t[few] for t in (batch.latents, batch.states, batch.mask, batch.pooled)))
            x0 = painted(net, look, codes.sketch(drawings[few]), some, torch.full((len(eps),), float(TOP), device=device), eps)
            return loss + config.painted * (x0 - some.latents).abs().mean()
        train_beside(net, nn.ModuleDict({"sketch": codes.sketch}), loss_of, budget, config.lr, config.seed, device, say)
    codes.full.fill_(float(np.median(ink)))


@torch.no_grad()
def errors(net: Any, codes: LayeredCodes, encoder: PatchEncoder, data: LatentSet, config: CodesConfig, device: str = "cpu",
           count: int = 64) -> dict[str, float]:
    """Absolute x0 error from pure noise on unseen rows, by what the code was made from."""
    rows = list(range(0, len(data), max(1, len(data) // count)))[:count]
    batch, lines, rng = data.rows(rows).to(device), Lines(encoder), np.random.default_rng(0)
    eps = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0)).to(device)
    times, out = torch.full((len(rows),), float(TOP), device=device), {}
    with attached(net, codes, Look()) as look, mixed_precision(device):
        seen = codes.of_picture(picture_of(encoder, batch.latents))
        ways = {"picture": seen, "another picture": seen.roll(1, 0), "no code": None, "mean code": torch.zeros_like(seen)}
        for share in (1.0, 0.5, 0.2):
            ways[f"{share:.0%} of the strokes"] = codes.of_sketch(moments(lines, rows, batch.latents, [share] * len(rows), rng, config)[0].to(device))
        for name, code in ways.items():
            out[name] = round(float((painted(net, look, code, batch, times, eps) - batch.latents).abs().mean()), 4)
    return out


def load_codes(path: Path) -> tuple[LayeredCodes, dict[str, Any]]:
    """(the codes, how they were made)."""
    saved = checkpoint.load(path, KIND)
    codes = build(saved.config)
    codes.load_state_dict(saved.tensors)
    return codes.eval(), saved.recipe


def export_codes(codes: LayeredCodes, shape: dict[str, Any], recipe: dict[str, Any], path: Path) -> Path:
    """As models.adapters.layered_codes reads it, int8 rows."""
    checkpoint.save(path, KIND, shape, recipe, checkpoint.quantise(codes.state_dict()), "Layered codes",
                    says="Guesses a whole picture from few strokes; loose with lines.")
    return path


def make_layered_codes(net: Any, encoder: PatchEncoder, data: LatentSet, unseen: LatentSet, minutes: float, path: Path, command: str,
                       device: str = "cpu", config: CodesConfig = CodesConfig(), start: Path | None = None, updates: int = 0) -> None:
    """Both stages, half of the minutes each, or with `start` (a file that had stage 1) stage 2 alone, up to `updates`; measure, export."""
    torch.manual_seed(config.seed)
    say = lambda text: print(text, flush=True)
    shape, recipe = config_for(net), {"command": command, "config": asdict(config)}
    if start is None:
        codes = build(shape).to(device)
        budget = Budget(minutes / 2)
        train_pictures(net, codes, encoder, data, budget, config, device, say)
        recipe["picture_updates"] = budget.updates
        export_codes(codes, shape, recipe, path)
    else:
        codes, before = load_codes(start)
        recipe["picture_updates"] = before["picture_updates"]
    budget = Budget(minutes if start else minutes / 2, updates or None)
    train_sketches(net, codes.to(device), encoder, data, budget, config, device, say)
    recipe |= {"sketch_updates": budget.updates, "x0_error_by_code": errors(net, codes, encoder, unseen, config, device)}
    export_codes(codes, shape, recipe, path)
    say(f"{recipe['picture_updates']} + {recipe['sketch_updates']} updates, x0 error on unseen drawings {recipe['x0_error_by_code']}, {path.name}")
