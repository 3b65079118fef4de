"""Strokes that learn: cubic curves drawn softly, so that a picture's judge can pull at their points, widths and colours.

After StyleCLIPDraw (Schaldenbrand et al. 2022, arXiv 2202.12362), with a raster in plain torch: a pixel is covered by a stroke as far as it
lies within half its width of the curve, strokes lie over each other in their order. Gradients come from the nearest piece of a curve alone,
as those of a minimum do, so the nearest is found without them and only pixels near a stroke take part.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.nets.style_judge import SIDE_PX as JUDGE_PX
from models.nets.style_judge import Judge
from models.vector.strokes import Strokes

PIECES = 10                                          # straight ones a curve is drawn with
SHARP_PX = 0.6                                       # softness of a stroke's edge
REACH = 5.0                                          # edges of softness beyond which a stroke is not felt
SIDE_OF_PAPER_PX = 224.0                             # the size at which the paper states its learning rates
POINT_LR, WIDTH_LR, COLOUR_LR = 1.2, 0.15, 0.015     # pixels and colour steps an update at that size
SLOWER = ((0.5, 0.4), (0.75, 0.1))                   # (share of the way, points move slower by)
WIDTHS_PX = (1.0, 30.0)                              # at that size
VIEWS, CROP, TILT = 8, (0.72, 0.95), 0.25            # augmentations: how many, the side that is kept, how far corners move
AGAINST = 0.3                                        # weight of words to stay away from
SETTLE = 0.9                                         # share of the way after which only the style is looked at
SAMPLES = 1024                                       # hypercolumns taken of a picture
WORDS, HOLD, HELD_PX = 1.0, 8.0, 24                  # weights of the words and of the first picture, and how coarsely it is held


def curve_points(points: Tensor, pieces: int = PIECES) -> Tensor:
    """Cubic Beziers [N, 4, 2] -> their points [N, pieces + 1, 2]."""
    t = torch.linspace(0, 1, pieces + 1, dtype=points.dtype)[:, None]
    basis = torch.cat([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t ** 2 * (1 - t), t ** 3], 1)
    return torch.einsum("pk,nkc->npc", basis, points)


def pixel_grid(side_px: int) -> Tensor:
    """Centres of pixels, [side_px^2, 2] of (x, y) in shares of the side."""
    steps = (torch.arange(side_px) + 0.5) / side_px
    return torch.stack([steps.repeat(side_px), steps.repeat_interleave(side_px)], 1)


@torch.no_grad()
def _near(a: Tensor, d: Tensor, grid: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(strokes, pieces, pixels) of all pixels within `reach` [N] of a stroke, with its nearest piece. a, d [N, S, 2]: starts, directions."""
    points = torch.cat([a, a[:, -1:] + d[:, -1:]], 1)
    low, high = points.amin(1) - reach[:, None], points.amax(1) + reach[:, None]        # most pixels are out of reach of a stroke's box
    boxed = ((grid >= low[:, None]) & (grid <= high[:, None])).all(2)
    strokes, pixels = boxed.nonzero(as_tuple=True)
    away, along = grid[pixels][:, None] - a[strokes], d[strokes]                        # [K, S, 2]
    t = ((away * along).sum(2) / along.square().sum(2).clamp_min(1e-10)).clamp_(0, 1)
    square, piece = (away - t[..., None] * along).square().sum(2).min(1)
    near = square < reach[strokes].square()
    return strokes[near], piece[near], pixels[near]


def raster(points: Tensor, widths: Tensor, colours: Tensor, alphas: Tensor, paper: Tensor, side_px: int) -> Tensor:
    """Strokes over paper -> rgb [3, side_px, side_px] in [0, 1].

    points [N, 4, 2] and widths [N] in shares of the side, colours [N, 3], alphas [N] in [0, 1], paper [3]; later strokes lie above.
    rgb = sum_i T_i c_i colour_i + prod_j (1 - c_j) paper, T_i = prod_{j > i} (1 - c_j), c_i = alpha_i sigmoid((w_i / 2 - distance) / sharp).
    """
    grid, sharp = pixel_grid(side_px), SHARP_PX / side_px
    curve = curve_points(points)
    a, d = curve[:, :-1], curve[:, 1:] - curve[:, :-1]
    strokes, pieces, pixels = _near(a, d, grid, widths / 2 + REACH * sharp)
    start, along = a[strokes, pieces], d[strokes, pieces]
    away = grid[pixels] - start
    t = ((away * along).sum(1) / along.square().sum(1).clamp_min(1e-10)).clamp(0, 1)
    distance = (away - t[:, None] * along).square().sum(1).add(1e-10).sqrt()
    cover = torch.sigmoid((widths[strokes] / 2 - distance) / sharp) * alphas[strokes]
    free = torch.log1p(-cover.clamp(max=0.999))
    dense = torch.zeros(len(points), side_px ** 2).index_put((strokes, pixels), free)
    through = dense.flip(0).cumsum(0).flip(0)                                           # log of what passes this stroke and all above
    seen = (through[strokes, pixels] - free).exp() * cover                              # T_i c_i
    rgb = torch.zeros(side_px ** 2, 3).index_add(0, pixels, seen[:, None] * colours[strokes])
    left = through[0].exp() if len(points) else torch.ones(side_px ** 2)
    return (rgb + left[:, None] * paper).T.reshape(3, side_px, side_px)


# What pulls

def augmented(rgb: Tensor, generator: torch.Generator, views: int = VIEWS) -> Tensor:
    """Crops in perspective of one picture [3, H, W] -> [views, 3, JUDGE_PX, JUDGE_PX], so that it cannot please by accident."""
    keep = torch.empty(views, 1, 1).uniform_(*CROP, generator=generator)
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]) * keep
    corners = corners + (torch.rand(views, 1, 2, generator=generator) * 2 - 1) * (1 - keep) + (torch.rand(views, 4, 2, generator=generator) - 0.5) * TILT * keep
    u = torch.linspace(0, 1, JUDGE_PX)
    v, u = torch.meshgrid(u, u, indexing="ij")
    shares = torch.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], -1)      # bilinear between the corners
    grid = torch.einsum("hwk,bkc->bhwc", shares, corners)
    return F.grid_sample(rgb.expand(views, -1, -1, -1), grid, mode="bilinear", padding_mode="border", align_corners=False)


def hypercolumns(judge: Judge, rgb: Tensor, places: Tensor) -> Tensor:
    """What is seen at places [M, 2] in [-1, 1] of one picture [3, H, W]: colour, its slopes, and the judge's maps, [M, D]; each part scaled to
    count alike. A small judge is weak on texture, so colour and slopes stand beside it."""
    x = F.interpolate(rgb[None], (JUDGE_PX, JUDGE_PX), mode="bilinear", antialias=True, align_corners=False)
    slopes = torch.cat([F.pad(x[..., 1:] - x[..., :-1], (0, 1)), F.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))], 1)
    parts = [x * 2, slopes * 4, *judge.maps(x)]
    at = lambda t: F.grid_sample(t.float(), places[None, None], align_corners=False)[0, :, 0].T
    return torch.cat([at(part) / part.shape[1] ** 0.5 for part in parts], 1)


def style_distance(x: Tensor, wanted: Tensor) -> Tensor:
    """Relaxed earth mover's distance of hypercolumns by cosine, their moments, and the palette, which is their first three columns
    (Kolkin et al. 2019, "STROTSS", eqs. 5 to 8)."""
    cosine = 1 - F.normalize(x, dim=1) @ F.normalize(wanted, dim=1).T
    moved = torch.maximum(cosine.min(1).values.mean(), cosine.min(0).values.mean())
    cov = lambda t: (t - t.mean(0)).T @ (t - t.mean(0)) / len(t)
    moments = (x.mean(0) - wanted.mean(0)).abs().mean() + (cov(x) - cov(wanted)).abs().mean()
    colour = torch.cdist(x[:, :3], wanted[:, :3])
    return moved + moments + 0.5 * torch.maximum(colour.min(1).values.mean(), colour.min(0).values.mean())


@dataclass(frozen=True)
class Pull:
    """Where to: `words` [128] of the judge, or None; `avoid` [K, 128]; `style` hypercolumns [M, D] or None with its weight. order: "coupled"
    looks at both at once; "decoupled" at the words for the first half and at the style for the second, the baseline of the paper. picture
    [3, H, W]: what the strokes were laid over, held coarsely: a small judge is soon pleased by scribbles (ours)."""
    words: Tensor | None
    avoid: Tensor | None = None
    style: Tensor | None = None
    style_weight: float = 1.0
    order: str = "coupled"
    picture: Tensor | None = None

    def weights(self, share: float) -> tuple[float, float]:
        """(of the words, of the style) at a share of the way."""
        styled = self.style_weight if self.style is not None else 0.0
        if self.order == "decoupled" and styled:
            return (1.0, 0.0) if share < 0.5 else (0.0, styled)
        return (0.0, styled) if styled and share >= SETTLE else (1.0, styled)


class Draft:
    """A drawing on its way: parameters, optimiser, and what was told last. Deterministic: its own generator decides every view."""

    def __init__(self, strokes: Strokes, judge: Judge, pull: Pull, iterations: int, side_px: int, seed: int) -> None:
        self.judge, self.pull, self.iterations, self.side_px, self.done = judge, pull, iterations, side_px, 0
        tensor = lambda array: torch.tensor(array, dtype=torch.float32)
        self.points, self.widths = tensor(strokes.points).requires_grad_(), tensor(strokes.widths).requires_grad_()
        self.colours, self.alphas = tensor(strokes.colours).requires_grad_(), tensor(strokes.alphas).requires_grad_()
        self.paper = tensor(strokes.paper)
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.Adam([{"params": [self.points], "lr": POINT_LR / SIDE_OF_PAPER_PX},
                                           {"params": [self.widths], "lr": WIDTH_LR / SIDE_OF_PAPER_PX},
                                           {"params": [self.colours, self.alphas], "lr": COLOUR_LR}])
        self.told: dict[str, float] = {}

    def advance(self, count: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Up to `count` more iterations, also from within inference mode."""
        with torch.inference_mode(False), torch.enable_grad():
            for _ in range(min(count, self.iterations - self.done)):
                if stop():
                    return
                self._step(self.done / self.iterations)
                self.done += 1

    def _step(self, share: float) -> None:
        slower = [by for since, by in SLOWER if share >= since]
        self.optimizer.param_groups[0]["lr"] = POINT_LR / SIDE_OF_PAPER_PX * (slower[-1] if slower else 1.0)
        loss = self._loss(*self.pull.weights(share))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.points.clamp_(-0.1, 1.1)
            self.widths.clamp_(*(px / SIDE_OF_PAPER_PX for px in WIDTHS_PX))
            self.colours.clamp_(0, 1), self.alphas.clamp_(0.05, 1)

    def _loss(self, words: float, style: float) -> Tensor:
        rgb, loss = self.picture(), torch.zeros(())
        if words and self.pull.words is not None:
            seen = self.judge.vector(augmented(rgb, self.generator))
            near = (seen @ self.pull.words).mean()
            self.told["words"] = float(near.detach())
            loss = loss - WORDS * words * near + (AGAINST * WORDS * (seen @ self.pull.avoid.T).mean() if self.pull.avoid is not None else 0.0)
        if style and self.pull.style is not None:
            far = style_distance(hypercolumns(self.judge, rgb, random_places(SAMPLES, self.generator)), self.pull.style)
            self.told["style"] = float(far.detach())
            loss = loss + style * far
        return loss if self.pull.picture is None else loss + HOLD * (_coarse(rgb) - _coarse(self.pull.picture)).abs().mean()

    def picture(self) -> Tensor:
        """rgb [3, side_px, side_px] as it is now."""
        return raster(self.points, self.widths, self.colours, self.alphas, self.paper, self.side_px)

    def strokes(self) -> Strokes:
        """As numbers, for SVG."""
        array = lambda t: t.detach().double().numpy()
        return Strokes(array(self.points), array(self.widths), array(self.colours), array(self.alphas), array(self.paper))

    def shown(self) -> Tensor:
        """The picture without gradients."""
        with torch.inference_mode(False), torch.no_grad():
            return self.picture().clamp(0, 1)


def _coarse(rgb: Tensor) -> Tensor:
    return F.interpolate(rgb[None], (HELD_PX, HELD_PX), mode="area")[0]


def random_places(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, 2, generator=generator) * 2 - 1


def style_samples(judge: Judge, pictures: Sequence[Tensor], seed: int = 0) -> Tensor:
    """Hypercolumns of a style picture seen several ways ([3, H, W] each), fixed for a drawing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return torch.cat([hypercolumns(judge, rgb, random_places(SAMPLES, generator)) for rgb in pictures])
