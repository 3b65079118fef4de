"""Find by sketch in the lab at tiny size: hands, rasters, the loss, the weights of tracings, a whole run, and the index that ships."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models import checkpoint
from models.errors import BadInput, MissingWeights
from models.job import Job
from models.lab import bundle, retrieval
from models.lab.hands import artist, inked, shares, stranger, tracer
from models.lab.items import Item
from models.lab.pictures import over
from models.lab.retrieval import Bank, Mixture, RetrievalConfig, bank_of, chosen, found_at, info_nce, strokes_of_rows
from models.lines import agreement, edges, strokes_of
from models.nets.doodle import DRAWN_PX, KIND, SIDE_PX, Tower, raster
from models.percepts import likeness

TINY = RetrievalConfig(drawings=60, gallery=10, tracings=2, sketches=2, updates=6, pair_batch=8, seeds=1, judge_updates=6, tower_updates=40, batch_size=16)
HANDS = [tracer, artist, stranger]


def shape(corners: int, turn: float, reach: float = 90, spiky: float = 1.0) -> np.ndarray:
    """A filled polygon (a star where spiky < 1) on clear ground, uint8 [256, 256, 4]."""
    angles = turn + np.arange(2 * corners) * np.pi / corners
    radius = np.where(np.arange(2 * corners) % 2, reach * spiky, reach)
    points = np.stack([128 + radius * np.cos(angles), 128 + radius * np.sin(angles)], 1).round().astype(np.int32)
    out = np.zeros((256, 256, 4), np.uint8)
    cv2.fillPoly(out, [points.reshape(-1, 1, 2)], (40, 60, 200, 255), cv2.LINE_AA)
    return out


@pytest.fixture(scope="module")
def drawings() -> tuple[list[Item], np.ndarray]:
    """72 polygons and stars in two sets; every seventh is held out."""
    rng, items, pictures = np.random.default_rng(0), [], []
    for i in range(72):
        corners, spiky = 3 + i % 6, (1.0, 0.7, 0.45)[i % 3]
        pictures.append(shape(corners, rng.uniform(0, 6), rng.uniform(70, 110), spiky))
        items.append(Item(("twemoji", "noto")[i % 2], str(i), f"shape {corners} {spiky}", "flat emoji style", "test_pair" if i % 7 == 6 else "train",
                          "objects", "CC-BY-4.0"))
    return items, np.stack(pictures)


@pytest.fixture(scope="module")
def strokes(drawings: tuple[list[Item], np.ndarray]) -> list[list[np.ndarray]]:
    return [strokes_of(edges(255 - picture[..., 3:].repeat(3, 2))) for picture in drawings[1][:12]]


@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.__name__)
def test_a_hand_draws_the_same_thing_differently_and_by_its_seed(hand, strokes) -> None:
    drawn = [inked(hand(strokes[0], 1.0, np.random.default_rng(seed))) for seed in (0, 0, 1)]
    assert (raster(drawn[0]) == raster(drawn[1])).all() and (raster(drawn[0]) != raster(drawn[2])).any()
    truth = raster(inked(strokes[0]))
    sketches = [raster(inked(hand(strokes[0], 1.0, np.random.default_rng(seed)))) for seed in range(8)]
    near = np.mean([agreement(truth > 0.5, sketch > 0.5, 4)[2] for sketch in sketches])
    assert near > 0.6 and max(np.abs(sketch - truth).mean() for sketch in sketches) > 0.01


@pytest.mark.parametrize("hand", HANDS, ids=lambda hand: hand.__name__)
def test_a_hand_stops_where_it_is_told(hand, strokes) -> None:
    ink = lambda share: np.mean([inked(hand(s, share, np.random.default_rng(k))).sum() for k, s in enumerate(strokes)])
    assert ink(0.2) < 0.5 * ink(1.0)
    assert not inked(hand([], 1.0, np.random.default_rng(0))).any()


def test_shares_are_whole_as_often_as_asked() -> None:
    some = shares(4000, np.random.default_rng(0), whole=0.5)
    assert 0.45 < (some == 1).mean() < 0.55 and some.min() >= 0.1


def test_a_raster_does_not_know_where_or_how_large() -> None:
    lines = inked(strokes_of(edges(255 - shape(5, 0.3)[..., 3:].repeat(3, 2))))
    moved = np.zeros((700, 500), bool)
    moved[400:400 + lines.shape[0], 7:7 + lines.shape[1]] = lines
    assert (raster(moved) == raster(lines)).all()
    small = cv2.resize(lines.astype(np.uint8), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) > 0
    assert agreement(raster(lines) > 0.5, raster(small) > 0.5, 1.5)[2] > 0.95


def test_a_raster_fills_its_frame_centred_and_nothing_stays_nothing() -> None:
    line = np.zeros((40, 300), bool)
    line[20, 10:290] = True
    ys, xs = np.nonzero(raster(line) > 0.5)
    assert abs(xs.max() - xs.min() + 1 - DRAWN_PX) <= 2 and abs(ys.mean() - (SIDE_PX - 1) / 2) < 1.5
    assert raster(line).max() == 1 and not raster(np.zeros((9, 9), bool)).any()
    dot = np.zeros((9, 9), bool)
    dot[4, 4] = True
    assert 0 < (raster(dot) > 0.5).sum() < 0.2 * SIDE_PX ** 2


def test_the_tower_gives_unit_vectors() -> None:
    seen = Tower()(torch.rand(3, 1, SIDE_PX, SIDE_PX))
    assert seen.shape == (3, 64) and torch.allclose(seen.norm(dim=1), torch.ones(3), atol=1e-5)


def test_info_nce_in_closed_cases() -> None:
    apart = torch.eye(4)
    assert float(info_nce(apart, apart, torch.ones(4), 0.01)) < 1e-6
    same = torch.ones(4, 1)
    assert float(info_nce(same, same, torch.ones(4), 0.1)) == pytest.approx(np.log(4), abs=1e-5)
    wrong = apart.roll(1, 0)
    only_right = torch.tensor([0.0, 0.0, 1.0, 0.0])
    mixed = wrong.clone()
    mixed[2] = apart[2]
    assert float(info_nce(mixed, apart, only_right, 0.05)) < float(info_nce(mixed, apart, torch.ones(4), 0.05)) / 2


def test_accuracy_in_closed_cases_and_ties_count_against_us() -> None:
    eye = np.eye(20, dtype=np.float32)
    labels = [str(i // 2) for i in range(20)]
    assert found_at(eye, eye, labels) == (1.0, 1.0, 1.0)
    twin = np.arange(20).reshape(-1, 2)[:, ::-1].ravel()
    assert found_at(eye[twin], eye, labels) == (0.0, 0.0, 1.0)          # all but the first tie at 0, so the own is last
    assert found_at(np.ones_like(eye), eye, labels)[:2] == (0.0, 0.0)


@pytest.fixture(scope="module")
def bank(strokes) -> Bank:
    return bank_of(strokes, [f"shape {i % 6}" for i in range(12)], TINY)


def test_pairs_are_mirrored_together(bank: Bank) -> None:
    lonely = Bank(bank.labels, bank.pictures[:, :1], {"tracer": np.repeat(bank.pictures[:, :1], 2, 1)})
    sketches, pictures, which = lonely.pairs("tracer", np.arange(12), np.random.default_rng(0))
    assert sketches.shape == pictures.shape == (12, 1, SIDE_PX, SIDE_PX) and set(which) <= {0, 1}
    apart = lambda a, b: min(float((a.roll((dy, dx), (1, 2)) - b).abs().mean()) for dy in range(-2, 3) for dx in range(-2, 3))
    assert np.mean([apart(s, p) < 1e-6 for s, p in zip(sketches, pictures)]) == 1.0
    turned = [apart(p, torch.from_numpy(bank.pictures[i, 0][:, ::-1].copy())[None] / 255) < 1e-6 for i, p in enumerate(pictures)]
    assert 0 < np.mean(turned) < 1


def test_a_twin_is_another_drawing_of_the_same_concept(bank: Bank) -> None:
    assert [sorted(t) for t in bank.twins[:2]] == [[0, 6], [1, 7]]


def test_a_mixture_keeps_its_shares_and_weights(bank: Bank) -> None:
    weights = np.full((12, 2), 3.0)
    mixture = Mixture([("artist", np.arange(6), 0.25, None), ("tracer", np.arange(6, 12), 0.75, weights)])
    sketches, pictures, w = mixture.draw(bank, 8, np.random.default_rng(0))
    assert len(sketches) == len(pictures) == 8 and w.tolist() == [1.0] * 2 + [3.0] * 6


def test_tracings_that_look_like_nothing_weigh_less(bank: Bank) -> None:
    noise = (np.random.default_rng(0).random((12, 2, SIDE_PX, SIDE_PX)) < 0.2).astype(np.uint8) * 255
    tracings = bank.sketches["artist"].copy()
    tracings[:, 1] = noise[:, 1]
    fooled = Bank(bank.labels, bank.pictures, {"artist": bank.sketches["artist"], "tracer": tracings})
    weights = retrieval.weights_of_tracings(fooled, np.arange(6), replace(TINY, judge_updates=80), 0, lambda text: None)
    assert weights.mean() == pytest.approx(1.0, abs=1e-5)
    assert weights[6:, 0].mean() > 1.5 * weights[6:, 1].mean()           # on drawings the judge was not trained on


def test_strokes_are_found_once(drawings, tmp_path: Path) -> None:
    cache = tmp_path / "strokes.npz"
    first = strokes_of_rows(drawings[1], [0, 5, 9], cache, lambda text: None)
    kept = strokes_of_rows(np.zeros((0, 256, 256, 4), np.uint8), [0, 5, 9], cache)
    assert [len(d) for d in kept] == [len(d) for d in first] and all((a == b).all() for d, e in zip(first, kept) for a, b in zip(d, e))


def test_nothing_held_out_is_trained_on(drawings) -> None:
    train, gallery = chosen(drawings[0], TINY)
    assert not set(train) & set(gallery) and len(gallery) == 10
    assert {drawings[0][i].split for i in train} == {"train"} and {drawings[0][i].split for i in gallery} == {"test_pair"}
    with pytest.raises(BadInput, match="models.lab data"):
        chosen([], TINY)


@pytest.fixture(scope="module")
def made(drawings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tower that was trained a little and its section of scores."""
    folder = tmp_path_factory.mktemp("retrieval")
    retrieval.run_retrieval(drawings, folder, 60, "`test`", folder / "likeness.safetensors", folder / "SCORES.md", TINY)
    return folder


def test_a_run_learns_and_says_what_it_measured(made: Path, drawings) -> None:
    saved = checkpoint.load(made / "likeness.safetensors", KIND)
    assert saved.recipe["updates"] == 40 and saved.recipe["command"] == "`test`"
    learnt = saved.recipe["acc@1, acc@10, concept on held-out drawings"]
    assert learnt[0] >= 0.3                                   # chance is 1 in 10
    text = (made / "SCORES.md").read_text(encoding="utf-8")
    assert "## Find by sketch\n" in text
    assert "10 simulated sketches search 10 held-out drawings" in text and text.count("\n| ") == 17


# --- the index that ships ----------------------------------------------------------------------------------------------

def paint(prompts, styles, seeds, steps: int, who: str) -> np.ndarray:
    """Shapes by the seed; every fifth picture is blank."""
    assert steps == 4 and who == "student" and len(prompts) == len(styles) == len(seeds) <= 8
    return np.stack([np.full((256, 256, 3), 255, np.uint8) if s % 5 == 4 else 255 - shape(3 + s % 4, s)[..., 3:].repeat(3, 2) for s in seeds])


def test_a_bundle_is_read_as_it_was_painted_and_leaves_blanks_out(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "percepts"
    folder.mkdir()
    (folder / "likeness.safetensors").write_bytes((made / "likeness.safetensors").read_bytes())
    rate = lambda jobs, pictures: np.array([job.seeds[0] for job in jobs])
    assert bundle.run_bundle([], paint, rate, made / "SCORES.md", folder, count=18, asked=24) == 18
    read = likeness.read_bundle(folder)
    assert [job.seeds[0] for job in read.jobs] == [i for i in range(24) if i % 5 != 4][-18:] and len(read.thumbs) == len(read.vectors) == 18
    assert {(job.base, job.steps) for job in read.jobs} == {("embedded", 4)} and read.thumbs[0].shape == (96, 96, 3)
    tower = likeness.Likeness(likeness.SPECS[0], bundle.read_tower(folder / "likeness.safetensors"))
    again = tower.embed([likeness.lines_of_picture(paint([""], [""], job.seeds, 4, "student")[0]) for job in read.jobs])
    assert np.abs(again - read.vectors).max() < 2e-3
    shown = cv2.resize(paint([""], [""], read.jobs[7].seeds, 4, "student")[0], (96, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(read.thumbs[7].astype(int) - shown).mean() < 8
    checkpoint.save(folder / "likeness.safetensors", KIND, {}, {}, checkpoint.quantise(Tower().state_dict()), "other")
    with pytest.raises(MissingWeights, match="other weights.*models.lab bundle"):
        likeness.read_bundle(folder)
    (folder / "bundled.webp").unlink()
    with pytest.raises(MissingWeights, match="not whole.*models.lab bundle"):
        likeness.read_bundle(folder)


def test_what_goes_into_the_bundle_is_known_and_asked_for_once(drawings) -> None:
    items = [Item(source, "x", label, "", "train", "objects", "") for label in ("fox", "teapot", "very long name here")
             for source in ("a", "b", "c", "d", "e")]
    jobs = bundle.wanted(items, 10, [("flat", "a fox")])
    assert [(j.prompt, j.style) for j in jobs] == [("a fox", "flat"), ("a teapot", "flat")] and [j.seeds for j in jobs] == [(0,), (1,)]


def test_a_picture_that_shows_its_concept_is_rated_above_one_that_does_not(drawings) -> None:
    items = [replace(item, split="train") for item in drawings[0][:6]]
    jobs = [Job(prompt=f"a {item.label}") for item in items] + [Job(prompt="a dream")]
    pictures = np.stack([over(picture, np.uint8([255] * 3)) for picture in drawings[1][:6]] + [np.zeros((256, 256, 3), np.uint8)])
    right, wrong = (bundle.recognisable(items, drawings[1], jobs, pictures[list(order)]) for order in (range(7), (1, 2, 3, 4, 5, 0, 6)))
    assert right[6] == wrong[6] == -1 and right[:6].mean() > 0.9 > wrong[:6].mean() + 0.3
