"""Pictures in the style of another, and drawings of strokes, through an engine with tiny bases."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.engine import Engine, open_engine
from models.errors import BadInput, Cancelled, MissingWeights
from models.flows.stroke_drawing import PERCEPT, Wish, draw
from models.flows.stylise import Manner, available, stylise
from models.job import Job, Picture
from studio.layers.task import Call, discover_tasks
from models.layers.stack import Layer, Placement, Stack
from models.job import Extent
from tests.tiny_adapters import style

pytestmark = pytest.mark.render
STYLE = Picture.from_array(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))
MANNER = Manner(base="tiny-student", adapter="tiny-style", side_px=64)
SMALL = dict(iterations=10, strokes=12, size_px=48, base="tiny-student", seed=3)


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors")], device="cpu")
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(style.write(tmp_path_factory.mktemp("style") / "tiny-style.safetensors", base)))
    yield engine
    engine.close()


def thing(channels: int = 3, height: int = 60, width: int = 80) -> Picture:
    rgba = np.full((height, width, 4), (255, 255, 255, 0), np.uint8)
    cv2.circle(rgba, (width // 2, height // 2), 20, (220, 60, 30, 255), -1, cv2.LINE_AA)
    return Picture.from_array(rgba if channels == 4 else np.where(rgba[..., 3:] > 127, rgba[..., :3], 255).astype(np.uint8))


def test_views_are_restyled_alike_alone_and_in_company(engine: Engine) -> None:
    views = [thing(), thing(4), thing(height=50, width=100), thing()]
    done = list(stylise(engine, views, STYLE, MANNER))
    assert [one.number for one in done] == [0, 1, 2, 3] and done[0].after == done[3].after
    (alone,) = stylise(engine, views[2:3], STYLE, MANNER)
    assert alone.after == done[2].after and (done[2].after.width, done[2].after.height) == (100, 50)
    assert (done[0].after.array != views[0].array).any() and done[0].job == Job.from_dict(done[0].job.to_dict())
    assert (engine.render(done[0].job.but(seeds=(99,), prompt="anything")).pixels == engine.render(done[0].job).pixels).all(), "no seed, no words"


def test_alpha_is_copied_and_strength_is_a_knob(engine: Engine) -> None:
    at = lambda g: next(stylise(engine, [thing(4)], STYLE, Manner(g, MANNER.base, MANNER.adapter, MANNER.side_px))).after
    none, half, full = at(0.0), at(0.5), at(1.0)
    assert none == thing(4) and half != full
    assert (full.array[..., 3] == thing(4).array[..., 3]).all() and (half.array[..., 3] == thing(4).array[..., 3]).all()


def test_what_cannot_be_restyled_is_said(engine: Engine) -> None:
    with pytest.raises(BadInput, match="no pictures"):
        list(stylise(engine, [], STYLE, MANNER))
    with pytest.raises(BadInput, match="no style picture"):
        list(stylise(engine, [thing()], None, MANNER))
    with pytest.raises(BadInput, match="clear all over"):
        list(stylise(engine, [thing()], Picture.from_array(np.zeros((8, 8, 4), np.uint8)), MANNER))
    with pytest.raises(BadInput, match="outside 0..1"):
        Manner(1.5)
    with pytest.raises(MissingWeights, match="style_transfer"):
        list(stylise(engine, [thing()], STYLE, Manner(adapter="not-there")))
    with pytest.raises(Cancelled):
        list(stylise(engine, [thing()], STYLE, MANNER, cancel=lambda: True))
    assert available(engine, "tiny-student", "tiny-style") is None


def test_strokes_are_drawn_watched_and_drawn_again(engine: Engine) -> None:
    seen: list[tuple[int, int]] = []
    sketches = list(draw(engine, Wish("a red fox", STYLE, **SMALL), lambda done, total, what: seen.append((done, total)), every=4))
    assert [one.iteration for one in sketches] == [0, 4, 8, 10] and [one.done for one in sketches] == [False, False, False, True]
    assert all(one.svg.count(" stroke=") == 12 for one in sketches) and sketches[0].svg != sketches[-1].svg
    assert sketches[-1].preview.array.shape == (48, 48, 3) and set(sketches[-1].told) == {"words", "style"} and seen[-1] == (10, 10)
    *_, again = draw(engine, Wish("a red fox", STYLE, **SMALL), every=10)
    assert again.svg == sketches[-1].svg, "how often it is looked at decides nothing"


def test_what_cannot_be_drawn_is_said(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong, says in ((dict(words=" "), "no words"), (dict(words="a", strokes=1), "strokes"), (dict(words="a", order="x"), "order")):
        with pytest.raises(BadInput, match=says):
            Wish(**wrong)
    with pytest.raises(Cancelled):
        list(draw(engine, Wish("a fox", start="random", **SMALL), cancel=lambda: True))
    monkeypatch.delitem(engine.catalog._percepts, PERCEPT)
    with pytest.raises(MissingWeights, match="judge_towers"):
        next(draw(engine, Wish("a fox", **SMALL)))


def test_the_layers_tab_gets_a_drawing_of_paths_and_looks_on(engine: Engine) -> None:
    style_layer = Layer("style", "Style", STYLE.digest, Placement(100, 100, 64, 48))
    parts: list[dict] = []
    call = Call(engine, None, "tiny-student", Stack(Extent(200, 200), (style_layer,)), {STYLE.digest: STYLE},
                {"words": "a fox", "strokes": 8, "iterations": 10, "style": "style", "start": "random", "seed": 1}, part=parts.append)
    (made,) = discover_tasks()["strokes"].run(call).layers
    assert made.svg == parts[-1]["svg"] and [part["done"] for part in parts] == [0, 5, 10] and made.name == "A fox"
    assert made.source["task"] == "strokes" and made.picture.channels == 4
