"""Strokes as numbers, as pixels and as SVG: closed forms, gradients, that they learn, and that they can be exported."""
from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
import torch

from models.nets.style_judge import Judge
from models.vector.strokes import SHEET, Strokes, at_random, contours_of, fitted, from_picture, paper_of, svg_of
from models.vector.strokes_raster import Draft, Pull, augmented, curve_points, raster, style_distance, style_samples
from models.vector.vectors import rasterise

SIDE = 32
JUDGE = {"form": "convolutions", "widths": [8, 16, 16]}


def line(y: float, width: float = 0.2, colour: tuple[float, ...] = (1, 0, 0), alpha: float = 1.0) -> tuple[torch.Tensor, ...]:
    """One straight stroke across the middle three quarters."""
    points = torch.tensor([[[0.125, y], [0.375, y], [0.625, y], [0.875, y]]])
    return points, torch.tensor([width]), torch.tensor([list(map(float, colour))]), torch.tensor([alpha])


def together(*lines: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.cat(parts) for parts in zip(*lines))


def test_no_stroke_is_paper_and_a_stroke_is_its_colour_in_its_middle() -> None:
    paper = torch.tensor([0.2, 0.4, 0.6])
    none = raster(torch.zeros(0, 4, 2), torch.zeros(0), torch.zeros(0, 3), torch.zeros(0), paper, SIDE)
    assert torch.allclose(none, paper[:, None, None].expand(3, SIDE, SIDE))
    rgb = raster(*line(0.5), paper, SIDE)
    assert torch.allclose(rgb[:, 16, 16], torch.tensor([1.0, 0, 0]), atol=0.01) and torch.allclose(rgb[:, 2, 16], paper, atol=1e-3)
    half = raster(*line(0.5, alpha=0.5), torch.ones(3), SIDE)
    assert torch.allclose(half[:, 16, 16], torch.tensor([1.0, 0.5, 0.5]), atol=0.01)


def test_later_strokes_lie_above() -> None:
    red, blue = line(0.5), line(0.5, colour=(0, 0, 1))
    for pair, wanted in (((red, blue), 2), ((blue, red), 0)):
        assert raster(*together(*pair), torch.ones(3), SIDE)[:, 16, 16].argmax() == wanted


def test_a_strokes_width_is_what_it_covers() -> None:
    cover = 1 - raster(*line(0.5, 0.25, (0, 0, 0)), torch.ones(3), 64)[0]
    assert float(cover[:, 32].sum()) == pytest.approx(0.25 * 64, abs=0.4)


def test_gradients_are_those_of_the_picture() -> None:
    points, widths, colours, alphas = (t.double().requires_grad_() for t in line(0.43, 0.2, (0.3, 0.5, 0.2), 0.7))
    pull = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(*moved: torch.Tensor) -> torch.Tensor:
        return (raster(*(t.float() for t in moved), torch.ones(3), 16).double() * pull).sum()
    loss(points, widths, colours, alphas).backward()
    for tensor, at in ((points, (0, 1, 1)), (widths, (0,)), (colours, (0, 1)), (alphas, (0,))):
        step, moved = 2e-3, []
        for sign in (1, -1):
            changed = [t.detach().clone() for t in (points, widths, colours, alphas)]
            which = next(i for i, t in enumerate((points, widths, colours, alphas)) if t is tensor)
            changed[which][at] += sign * step
            moved.append(float(loss(*changed)))
        assert float(tensor.grad[at]) == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=0.05, abs=0.05)


def test_strokes_learn_a_picture() -> None:
    target = torch.ones(3, SIDE, SIDE)
    target[:, 8:24, 8:24] = torch.tensor([0.1, 0.6, 0.2])[:, None, None]
    draft = Draft(at_random(16, np.random.default_rng(0)), Judge(**JUDGE), Pull(None), 40, SIDE, 0)
    errors = []
    for _ in range(40):
        error = (draft.picture() - target).square().mean()
        draft.optimizer.zero_grad()
        error.backward()
        draft.optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.4 * errors[0]


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge(**JUDGE).eval().requires_grad_(False)


def fox() -> np.ndarray:
    rgb = np.full((120, 120, 3), 255, np.uint8)
    cv2.circle(rgb, (60, 60), 40, (230, 120, 40), -1, cv2.LINE_AA)
    cv2.circle(rgb, (48, 50), 6, (20, 20, 30), -1, cv2.LINE_AA)
    return rgb


def test_words_and_style_pull_and_the_same_seed_draws_the_same(judge: Judge) -> None:
    towards = torch.nn.functional.normalize(torch.randn(128, generator=torch.Generator().manual_seed(3)), dim=0)
    style = style_samples(judge, [torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(1))])
    drafts = [Draft(from_picture(fox(), 24, np.random.default_rng(0)), judge, Pull(towards, None, style), 10, SIDE, 5) for _ in range(2)]
    drafts[0].advance(1)
    first = dict(drafts[0].told)
    drafts[0].advance(9)
    drafts[1].advance(10)
    assert drafts[0].done == 10 and np.array_equal(drafts[0].strokes().points, drafts[1].strokes().points)
    assert drafts[0].told["style"] < first["style"]
    drafts[0].advance(5)
    assert drafts[0].done == 10, "it ends where it was to end"
    stopped = Draft(from_picture(fox(), 8, np.random.default_rng(0)), judge, Pull(towards), 10, SIDE, 5)
    stopped.advance(10, lambda: True)
    assert stopped.done == 0


def test_the_orders_look_at_words_and_style_when_they_should(judge: Judge) -> None:
    style = torch.rand(4, 3)
    coupled, decoupled = Pull(torch.zeros(128), None, style, 2.0), Pull(torch.zeros(128), None, style, 2.0, "decoupled")
    assert coupled.weights(0.3) == (1.0, 2.0) and coupled.weights(0.95) == (0.0, 2.0), "at the end the style settles"
    assert decoupled.weights(0.3) == (1.0, 0.0) and decoupled.weights(0.7) == (0.0, 2.0)
    assert Pull(torch.zeros(128)).weights(0.95) == (1.0, 0.0)


def test_style_distance_is_nothing_to_itself_and_grows(judge: Judge) -> None:
    x = torch.rand(64, 20, generator=torch.Generator().manual_seed(0))
    assert float(style_distance(x, x)) == pytest.approx(0, abs=1e-3)
    assert 0.01 < float(style_distance(x, x + 0.2)) < float(style_distance(x, x + 1.5))


def test_views_for_the_judge_are_crops_of_the_picture() -> None:
    rgb = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    views = augmented(rgb, torch.Generator().manual_seed(1), 5)
    assert views.shape == (5, 3, 96, 96) and 0 <= views.min() and views.max() <= 1 and (views[0] != views[1]).any()


def test_first_strokes_lie_on_the_thing() -> None:
    strokes = from_picture(fox(), 40, np.random.default_rng(0))
    middle = curve_points(torch.tensor(strokes.points)).numpy().mean(1)
    assert len(strokes) == 40 and (np.linalg.norm(middle - 0.5, axis=1) < 0.36).all()
    assert np.ptp(strokes.colours[:, 0]) > 0.3, "the eye is dark, the thing is not"
    blank = from_picture(np.full((64, 64, 3), 255, np.uint8), 12, np.random.default_rng(0))
    assert len(blank) == 12 and np.isfinite(blank.points).all()


def test_a_cubic_is_found_again() -> None:
    wanted = np.array([[10, 10], [60, 0], [90, 80], [150, 60]], float)
    curve = curve_points(torch.tensor(wanted)[None], 200)[0].numpy()
    again = curve_points(torch.tensor(fitted(curve))[None], 200)[0].numpy()
    assert np.abs(again - curve).max() < 3
    assert len(contours_of(np.full((256, 256, 3), 255, np.uint8), 10)) == 0


def test_svg_has_one_path_a_stroke_and_looks_like_the_raster() -> None:
    strokes = from_picture(fox(), 30, np.random.default_rng(2))
    svg = svg_of(strokes)
    assert svg.count("<path") == 30 and svg.count("C") == 30 and f"0 0 {SHEET:g}" in svg
    shown = raster(*(torch.tensor(a, dtype=torch.float32) for a in (strokes.points, strokes.widths, strokes.colours, strokes.alphas, strokes.paper)), 96)
    drawn = rasterise(svg, 96, 96).astype(np.float32)
    flat = drawn[..., :3] * drawn[..., 3:] / 255 + 255 - drawn[..., 3:]
    assert np.abs(flat - shown.permute(1, 2, 0).numpy() * 255).mean() < 6
    night = svg_of(Strokes(strokes.points, strokes.widths, strokes.colours, strokes.alphas, np.array([0.0, 0.0, 0.5])))
    assert night.count("<path") == 31 and re.search(r'<path d="M0 0[^>]*fill="#000080"', night)


def test_paper_is_the_colour_of_the_rim() -> None:
    assert paper_of(fox()).tolist() == [1, 1, 1]
    assert np.allclose(paper_of(np.full((20, 30, 3), (10, 20, 200), np.uint8)), np.array([10, 20, 200]) / 255)
