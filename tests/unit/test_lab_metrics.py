"""Every score against a closed form, and the whole evaluation once on a handful of drawings."""
from __future__ import annotations

import importlib
import inspect
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models.lab import evaluate
from models.lab.items import STYLES, Item
from models.lab.metrics import concept, diversity, frechet, light, memorised, reconstruction
from models.lab.metrics.features import POOLED, TEXTURE, FeatureNet, look, pca, to_unit
from models.lab.metrics.metric import AGAIN, KNOWN, UNSEEN, Painted, Score, discover, share
from models.lab.metrics.real import THUMB_PX, Real, load_real, thumbnails, view

LABELS = ("fox", "owl", "apple", "pear", "bell", "cup", "ship", "kite")
CATEGORIES = ("animals & nature",) * 2 + ("food & drink",) * 2 + ("objects",) * 2 + ("travel & places", "activities")
CATEGORY = dict(zip(LABELS, CATEGORIES, strict=True))


def make_items(unseen: str = "kite") -> list[Item]:
    """One drawing of each label in each of the six sets."""
    return [Item(source, label, label, style, "test_concept" if label == unseen else "train", CATEGORY[label], "MIT")
            for source, style in STYLES.items() for label in LABELS]


def make_real(noise: float = 0.1, seed: int = 0) -> Real:
    """Features: one random centre a label, one random texture a style, little noise; pictures are of the label's colour."""
    rng = np.random.default_rng(seed)
    items = make_items()
    centres, looks = (dict(zip(names, rng.normal(size=(len(names), 40)), strict=True)) for names in (LABELS, STYLES.values()))
    features = np.stack([[centres[i.label] + noise * rng.normal(size=40) for _ in range(3)] for i in items])
    textures = np.stack([[looks[i.style] + noise * rng.normal(size=40) for _ in range(3)] for i in items])
    rgba = np.full((len(items), 256, 256, 4), 255, np.uint8)
    rgba[..., :3] = rng.integers(0, 255, (len(items), 1, 1, 3))
    pictures = rgba[..., :3]
    return Real(items, rgba, features.astype(np.float32), textures.astype(np.float32), thumbnails(pictures),
                rng.normal(size=(6, 40)).astype(np.float32))


def paint_real(real: Real, wanted: list[int], kind: str = KNOWN) -> Painted:
    """The wanted drawings themselves, as if painted."""
    styles = np.array([real.items[i].style for i in wanted])
    return Painted(real.pictures(wanted), real.plain[wanted], real.textures[wanted, 0], np.array(wanted), styles,
                   np.full(len(wanted), kind))


# The eyes

@pytest.fixture(scope="module")
def net() -> FeatureNet:
    return FeatureNet(dtype=torch.float32)


def test_input_is_scaled_as_the_lite_family_wants(net: FeatureNet):
    white = net.prepare(torch.ones(1, 3, 256, 256))
    assert white.shape == (1, 3, 224, 224)
    torch.testing.assert_close(white, torch.ones_like(white))
    torch.testing.assert_close(net.prepare(torch.zeros(1, 3, 64, 64))[0, 0, 0, 0], torch.tensor(-127 / 128))


def test_a_picture_is_seen_the_same_in_any_batch(net: FeatureNet):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    together = look(net, pictures, batch=2)
    assert together.shape == (3, POOLED + TEXTURE) and together.dtype == np.float32
    np.testing.assert_allclose(together[2:], look(net, pictures[2:]), atol=1e-4)


def test_gradients_reach_the_picture(net: FeatureNet):
    rgb = torch.rand(1, 3, 64, 64, requires_grad=True)
    maps = net.maps(rgb)
    assert [tuple(m.shape[1:3]) for m in maps] == [(16, 112), (24, 56), (40, 28), (112, 14)]
    maps[-1].sum().backward()
    assert rgb.grad.abs().sum() > 0


def test_principal_directions_of_a_known_cloud():
    x = np.random.default_rng(0).normal(size=(4000, 3)) * [0.1, 5, 1] + [1, 2, 3]
    mean, basis = pca(x, 2)
    np.testing.assert_allclose(mean, [1, 2, 3], atol=0.3)
    np.testing.assert_allclose(np.abs(basis), [[0, 0], [1, 0], [0, 1]], atol=0.05)


# Fréchet and kernel distance

def test_frechet_distance_of_round_gaussians():
    a, b = (np.zeros(5), 4 * np.eye(5)), (np.full(5, 2.0), 9 * np.eye(5))
    assert frechet.frechet_distance(a, b) == pytest.approx(5 * 2 ** 2 + 5 * (3 - 2) ** 2)
    assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_correlated_gaussians_is_symmetric():
    rng = np.random.default_rng(0)
    (a, b) = ((rng.normal(size=4), m @ m.T) for m in rng.normal(size=(2, 4, 4)))
    assert frechet.frechet_distance(a, b) == pytest.approx(frechet.frechet_distance(b, a))


def test_the_interval_holds_the_distance_of_two_samples():
    rng = np.random.default_rng(0)
    score = frechet.frechet_interval(rng.normal(size=(600, 4)), rng.normal(size=(600, 4)) + [2, 0, 0, 0], resamples=40)
    assert abs(score.value - 4) < score.spread < 1


def test_kernel_distance_by_hand():
    zeros, ones = np.zeros((2, 1)), np.ones((2, 1))
    assert frechet.kernel_distance(zeros, ones) == pytest.approx(1 + 8 - 2)
    assert frechet.kernel_distance(zeros, zeros) == 0


# The judge

def test_the_discriminant_of_two_gaussians_is_fishers():
    rng = np.random.default_rng(0)
    root = np.array([[2.0, 0.5], [0.0, 1.0]])
    x = rng.normal(size=(20000, 2)) @ root + np.repeat([[0, 0], [1, 3]], 10000, 0)
    head = concept.fit_discriminant(x, np.repeat([0, 1], 10000), 3, shrink=0)
    np.testing.assert_allclose(head.weight[:, 1] - head.weight[:, 0], np.linalg.solve(root.T @ root, [1, 3]), rtol=0.05)
    middle = head.scores(np.array([[0.5, 1.5]]))[0]
    assert middle[0] == pytest.approx(middle[1], abs=0.1) and middle[2] == -np.inf


def test_real_drawings_are_named_and_their_style_too():
    real = make_real()
    known = [i for i, item in enumerate(real.items) if item.split == "train"]
    scores = concept.measure(paint_real(real, known), real)
    assert scores["concept, named first ↑"].value == scores["style ↑"].value == 1
    swapped = replace(paint_real(real, known), features=real.plain[np.roll(known, 1)])
    assert concept.measure(swapped, real)["concept, named first ↑"].value < 0.2


def test_no_head_saw_the_drawing_that_it_judges():
    """With features that say nothing, a head that had seen the drawing would know it by heart; an honest one guesses."""
    real = make_real()
    nothing = np.random.default_rng(1).normal(size=(len(real.items), 1, 400)).astype(np.float32)
    blind = replace(real, views=np.repeat(nothing, 3, 1))
    scores = concept.measure(paint_real(blind, list(range(len(real.items)))), blind)
    assert scores["concept, named first ↑"].value < 0.4


def test_unseen_concepts_have_a_row_of_their_own():
    real = make_real()
    kites = [i for i, item in enumerate(real.items) if item.label == "kite"]
    assert concept.measure(paint_real(real, kites, UNSEEN), real)["unseen concept, named first ↑"].value == 1


def test_concepts_are_drawn_by_three_sets_and_are_no_people():
    drawn = (("fox", 3, "animals & nature"), ("owl", 2, "animals & nature"), ("clerk", 6, "people"))
    items = [Item(s, "x", label, STYLES[s], "train", category, "MIT")
             for label, sets, category in drawn for s in list(STYLES)[:sets]]
    assert concept.concepts(items) == ["fox"]


# The other scores

def test_mean_pair_distance_of_a_right_triangle():
    assert diversity.mean_pair_distance(np.array([[0, 0], [3, 0], [0, 4.0]])) == pytest.approx((3 + 4 + 5) / 3)


def test_a_painter_that_repeats_itself_scores_no_diversity():
    real = make_real()
    painted = paint_real(real, [0, 0, 0, 7, 7, 7], AGAIN)
    assert diversity.measure(painted, real)["distance between seeds ↑"].value == 0


def test_nearest_drawing_skips_its_own_and_sees_mirrors():
    real = make_real()
    own = np.array([0, 5])
    assert memorised.nearest_features(real.plain[own], real).index.tolist() == [0, 5]
    others = memorised.nearest_features(real.plain[own], real, own)
    assert (others.index != own).all() and [real.items[i].label for i in others.index] == ["fox", "cup"]
    thumbs = np.random.default_rng(0).random((len(real.items), THUMB_PX, THUMB_PX, 3)).astype(np.float32)
    mixed = replace(real, thumbs=thumbs.reshape(len(thumbs), -1))
    found = memorised.nearest_pixels(thumbs[3:4, :, ::-1].reshape(1, -1), mixed)
    assert found.index[0] == 3 and found.distance[0] == pytest.approx(0, abs=1e-3)


def test_thumbnail_distance_is_rms():
    real = make_real()
    flat = replace(real, thumbs=np.zeros_like(real.thumbs))
    assert memorised.nearest_pixels(np.full((1, 768), 0.25, np.float32), flat).distance[0] == pytest.approx(0.25)


def test_copies_count_as_nearer_than_held_out_drawings():
    real = make_real()
    held = replace(real, items=[replace(i, split="val") if i.source == "noto" else i for i in real.items])
    rows = [i for i, item in enumerate(held.items) if item.split == "train"]
    assert memorised.measure(paint_real(held, rows), held)["nearer than held-out drawings, features ↓"].value == 1


def test_psnr_by_hand():
    a, b = np.zeros((2, 4, 4, 3), np.uint8), np.full((2, 4, 4, 3), 51, np.uint8)
    np.testing.assert_allclose(reconstruction.psnr_db(a, b), -10 * np.log10(0.04), rtol=1e-5)
    np.testing.assert_allclose(reconstruction.psnr_db(a, a), 99, rtol=1e-5)


def test_map_distance_ignores_scale_and_reaches_two():
    x, y = torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    x[:, 0], y[:, 1] = 5, 1
    assert reconstruction.map_distance([x, x], [y, y]).item() == pytest.approx(2)
    assert reconstruction.map_distance([x], [x * 7]).item() == pytest.approx(0, abs=1e-6)


def test_luma_distance_is_the_shift_in_levels():
    dark, grey = (light.histogram(light.luma(np.full((1, 8, 8, 3), level, np.uint8))) for level in (0, 128))
    assert light.mover_distance(dark, grey) == pytest.approx(128)


def test_fine_energy_grows_with_the_square_of_contrast_and_not_with_tone():
    board = (np.indices((16, 16)).sum(0) % 2 * 2.0 - 1)[None]
    assert light.fine_energy(10 * board + 100) == pytest.approx(100 * light.fine_energy(board))
    assert light.fine_energy(np.full((1, 16, 16), 100.0)) == pytest.approx(0, abs=1e-9)


def test_share_of_hits_with_its_interval():
    assert share(np.array([True] * 50 + [False] * 50)) == pytest.approx(Score(0.5, 0.098))


# All metrics together

def test_metrics_are_found_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = importlib.import_module("models.lab.metrics")
    (tmp_path / "extra.py").write_text("from models.lab.metrics.metric import Metric, Score\n"
                                       "METRIC = Metric('extra', lambda painted, real: {'extra': Score(1.0)})\n")
    before = {metric.name for metric in discover()}
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "models.lab.metrics.extra", raising=False)
    assert {metric.name for metric in discover()} - before == {"extra"}


@pytest.mark.parametrize("metric", discover(), ids=lambda metric: metric.name)
def test_every_metric_says_what_it_is_and_skips_what_it_cannot_measure(metric):
    real = make_real()
    assert len((inspect.getmodule(metric.measure).__doc__ or "").split()) > 20
    assert metric.measure(paint_real(real, [0]).of("nothing"), real) == {}


# The evaluation

def test_asks_are_the_same_for_everybody_and_respect_the_splits():
    items = make_items()
    asked = evaluate.asks(items, 24)
    assert asked == evaluate.asks(items, 24)
    kinds = Counter(ask.kind for ask in asked)
    assert kinds[KNOWN] == 24 and kinds[UNSEEN] == 6 and kinds[AGAIN] == 2 * evaluate.SEEDS_AGAIN
    assert all((items[a.wanted].split == "test_concept") == (a.kind == UNSEEN) for a in asked)
    assert len({(a.prompt, a.style, a.seed) for a in asked}) == len(asked)


def test_the_table_has_a_row_for_each_name_and_gaps_stay_empty():
    text = evaluate.table({"a": {"x ↑": Score(0.5, 0.25)}, "b": {"x ↑": Score(12.345), "y": Score(1.0)}})
    assert text.splitlines() == ["| | a | b |", "|---|---|---|", "| x ↑ | 0.500 ± 0.250 | 12.3 |", "| y |  | 1.000 |"]


def test_contact_sheet_has_a_cell_for_each_picture():
    pictures = [np.full((256, 256, 3), 9 * k, np.uint8) for k in range(11)]
    sheet = evaluate.contact_sheet(pictures, ["a very long caption " * 5] * 11)
    assert sheet.size == (8 * 128, 2 * (128 + 14))
    assert sheet.getpixel((2 * 128 + 60, 142 + 60)) == (90, 90, 90)


def test_the_64_prompts_cover_the_styles():
    prompts = evaluate.read_prompts()
    assert len(prompts) == len(set(prompts)) == 64
    styles = Counter(style for style, _ in prompts)
    assert set(styles) == {*evaluate.STYLE_IDS.values(), evaluate.STICKER_ID}
    assert styles[evaluate.STICKER_ID] == 3 and min(styles[s] for s in evaluate.STYLE_IDS.values()) >= 9


@pytest.fixture
def drawings() -> tuple[list[Item], np.ndarray]:
    """Shapes: each label is a regular polygon of its own, each style a shade."""
    items = make_items()
    rgba = np.zeros((len(items), 256, 256, 4), np.uint8)
    for k, item in enumerate(items):
        corners = 3 + LABELS.index(item.label)
        angles = np.arange(corners) / corners * 2 * np.pi
        points = (128 + 100 * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.int32)
        shade = 60 + 30 * list(STYLES).index(item.source)
        cv2.fillPoly(rgba[k], [points], (shade, 255 - shade, 40, 255))
    return items, rgba


def test_views_are_repeatable_and_opaque(drawings):
    items, rgba = drawings
    for kind in ("plain", "moved", "color", "sticker"):
        picture = view(items[0], rgba[0], kind)
        assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, view(items[0], rgba[0], kind))


@pytest.mark.render
def test_a_perfect_painter_scores_as_real_drawings_do(drawings, tmp_path: Path):
    items, rgba = drawings
    index = {(evaluate.STYLE_IDS[i.source], i.label): k for k, i in enumerate(items)}

    def paint(prompts, styles, seeds, steps, who):
        words = [prompt.split(",")[0].split()[-1] for prompt in prompts]
        asked = [index.get(pair, 0) for pair in zip(styles, words, strict=True)]
        return np.stack([view(items[i], rgba[i], "plain") for i in asked])

    out = tmp_path / "SCORES.md"
    columns = [evaluate.Column("perfect, 1 step", "student", 1)]
    result = evaluate.run_scores((items, rgba), paint, tmp_path / "cache", lambda text: None, n=12, columns=columns,
                                 rebuild=lambda pictures: pictures, facts={"command": "a test"}, out=out)
    perfect, truth = result["perfect, 1 step"], result["real drawings"]
    for row in ("concept, named first ↑", "unseen concept, named first ↑", "Fréchet distance ↓", "luma histogram distance ↓"):
        assert perfect[row].value == pytest.approx(truth[row].value, abs=1e-6), row
    text = out.read_text(encoding="utf-8")
    assert "| autoencoder PSNR, dB ↑ | 99.0 ± 0.0 |" in text and "- command: a test" in text
    sheets = {path.name for path in (tmp_path / "cache" / "perfect-1-step").iterdir()}
    assert sheets >= {"known.webp", "unseen.webp", "nearest.webp"}


@pytest.mark.render
def test_features_of_real_drawings_are_computed_once(drawings, tmp_path: Path, net: FeatureNet):
    items, rgba = drawings
    first = load_real(items[:4], rgba[:4], tmp_path, net, lambda text: None)
    again = load_real(items[:4], rgba[:4], tmp_path, net, lambda text: pytest.fail("looked twice"))
    np.testing.assert_array_equal(first.views, again.views)
    np.testing.assert_allclose(first.plain, look(net, first.pictures(range(4)))[:, :POOLED], atol=2e-3)
    assert first.thumbs.shape == (4, 768) and to_unit(first.pictures([0])).max() <= 1
