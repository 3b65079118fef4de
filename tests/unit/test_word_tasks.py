"""The tasks that set words, paint them and lay out advertisements: what becomes of the stack, over a tiny base."""
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.engine import Engine, open_engine
from models.errors import BadInput
from models.job import Extent, Picture
from models.lab.control import export_control
from models.words.lettering import letter
from models.nets.control import build, control_config
from models.layers.stack import Layer, Placement, Stack, Text
from models.words import reading
from models.words.reading import Line
from studio.layers.task import Call, Outcome, discover_tasks
from studio.layers.tasks.proofread import on_canvas, words_on
from tests.layered import Shelf

TASKS = discover_tasks()
CANVAS = Extent(320, 240)


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors")], device="cpu")
    yield engine
    engine.close()


def run(engine: Engine, task: str, stack: Stack = Stack(CANVAS), pictures: dict | None = None, **asked: object) -> Outcome:
    return TASKS[task].run(Call(engine, None, "tiny-student", stack, pictures or {}, {"steps": 1, **asked}))


def layer_from(outcome: Outcome, **place: float) -> tuple[Layer, dict[str, Picture]]:
    made = outcome.layers[0]
    layer = Layer("words", made.name, made.picture.digest, replace(made.place, **place), text=made.text)
    return layer, {made.picture.digest: made.picture}


def test_words_become_a_text_layer_in_the_box_that_was_drawn(engine: Engine) -> None:
    made, = run(engine, "text", words="Good\nmorning", font="anton", size_px=40, box=[20, 30, 200], width_px=200, align="center").layers
    assert made.text.words == "Good\nmorning" and made.text.align == "center" and np.array_equal(made.picture.array, letter(made.text))
    assert made.place.corner == pytest.approx((20 - 10, 30 - 10)), "the box without the picture's margin of a quarter of the size"
    middle = run(engine, "text", words="Hi").layers[0]
    assert (middle.place.x, middle.place.y) == (160, 120)


def test_a_changed_text_keeps_its_place_scale_and_angle(engine: Engine) -> None:
    first = run(engine, "text", words="Hello", size_px=40, align="left")
    layer, pictures = layer_from(first, angle_deg=90.0)
    layer = replace(layer, place=replace(layer.place, width=layer.place.width * 2, height=layer.place.height * 2))
    on = Stack(CANVAS, (layer,))
    same = run(engine, "text", on, pictures, layer="words")
    assert same.replaces == ("words",) and same.layers[0].place == layer.place and same.layers[0].picture == pictures[layer.picture]
    longer = run(engine, "text", on, pictures, layer="words", words="Hello world").layers[0]
    assert longer.text.size_px == 40 and longer.place.angle_deg == 90 and longer.place.width > layer.place.width
    top = lambda place: place.y - place.width / 2                    # turned by 90 degrees the left end is the upper one
    assert top(longer.place) == pytest.approx(top(layer.place), abs=1.5) and longer.place.x == pytest.approx(layer.place.x, abs=1.5)
    assert math.isclose(longer.place.height, layer.place.height)


@pytest.mark.parametrize("asked,part", [
    ({"words": " "}, "no words"), ({"words": "a", "font": "wingdings"}, "font"), ({"words": "a", "colour": "red"}, "colour"),
    ({"words": "a", "size_px": 1e9}, "size_px"), ({"words": "שלום"}, "right to left"), ({"words": 5}, "text"), ({"words": "x", "align": "up"}, "align")])
def test_words_that_cannot_be_set_are_refused(engine: Engine, asked: dict, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        run(engine, "text", **asked)


def test_proposals_are_layers_whose_words_stay_text(engine: Engine) -> None:
    y, x = np.mgrid[:80, :80] - 40
    rgba = np.dstack([np.broadcast_to(np.uint8((40, 90, 200)), (80, 80, 3)), (np.hypot(x, y) < 36).astype(np.uint8) * 255])
    picture = Picture.from_array(rgba)
    on = Stack(CANVAS, (Layer("p", "Blue ball", picture.digest, Placement(160, 120, 80, 80)),))
    pictures = {picture.digest: picture}
    outcome = run(engine, "advert", on, pictures, product="p", taglines="Roll on\nThe ball that comes back\n", count=2, seed=1)
    assert len(outcome.proposals) == 2 and not outcome.layers
    for proposal in outcome.proposals:
        kinds = [made.source["kind"] for made in proposal.layers]
        assert kinds[0] == "background" and [made.text.words for made in proposal.layers if made.text] == ["Roll on", "The ball that comes back"]
        assert proposal.layers[0].place == Placement(160, 120, 320, 240) and proposal.layers[0].source["extent"] == [320, 240]
        assert proposal.layers[0].job is not None
    with pytest.raises(BadInput, match="outline"):
        solid = Picture.from_array(np.full((8, 8, 4), 200, np.uint8) | 255)
        run(engine, "advert", Stack(CANVAS, (replace(on.layers[0], picture=solid.digest),)), {solid.digest: solid}, product="p", taglines="Hi")
    with pytest.raises(BadInput, match="no words"):
        run(engine, "advert", on, pictures, product="p", taglines="  ")


def test_words_are_painted_over_the_canvas_and_crisp_ones_are_text(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-student") as (base, _):
        net = build(control_config(dict(base.network.config)))
    control = export_control(net, "glyph", tmp_path / "tiny-glyphs.safetensors", {}, "Tiny glyphs", "Paints words.")
    engine.catalog.add("adapter", str(control))
    outcome = run(engine, "words", words="HI YOU", crisp=0.8, adapter="tiny-glyphs")
    painted, *typed = outcome.layers
    assert painted.place.width == 320 and 0 < (painted.picture.array[..., 3] > 0).mean() < 0.6 and outcome.group and "typesetting" in outcome.notes[0]
    assert [made.text.words for made in typed] == ["HI", "YOU"] and all(made.opacity == 0.8 for made in typed)
    boxed, = run(engine, "words", words="HI", box=[100, 60, 220, 120], adapter="tiny-glyphs").layers
    with pytest.raises(BadInput, match="adapter"):
        run(engine, "words", words="HI", adapter="scribble")
    ys, xs = np.nonzero(boxed.picture.array[..., 3])
    scale = boxed.picture.width / 320
    assert xs.min() >= 85 * scale and xs.max() <= 235 * scale and ys.min() >= 45 * scale and ys.max() <= 135 * scale
    assert [word for word, _ in boxed.source["signs"]["words"]] == ["HI"]


# Proofreading

def paper() -> tuple[Stack, Shelf]:
    """A text of two words, a turned one, and a painted sign, on white."""
    shelf, text, turned = Shelf(), Text("Good morning", "inter-bold", 36), Text("UP", "anton", 40)
    words, up = letter(text), letter(turned)
    sign = np.zeros((60, 120, 4), np.uint8)
    layers = (shelf.layer("paper", np.full((8, 8, 4), 255, np.uint8), Placement(160, 120, 320, 240)),
              shelf.layer("text", words, Placement.at(10, 10, words.shape[1], words.shape[0]), text=text),
              shelf.layer("up", up, Placement(280, 160, up.shape[1], up.shape[0], 90.0), text=turned),
              shelf.layer("sign", sign, Placement.at(20, 150, 240, 60),
                          source={"task": "words", "signs": {"words": [["OPEN", [30, 10, 90, 50]]], "size": [120, 60]}}))
    return Stack(CANVAS, layers), shelf


def test_words_are_looked_for_where_they_lie_on_the_canvas(engine: Engine) -> None:
    stack, shelf = paper()
    boxes = {word: box for layer in stack.layers for word, box in words_on(layer)}
    assert list(boxes) == ["Good", "morning", "UP", "OPEN"] and boxes["OPEN"] == pytest.approx((80, 160, 200, 200))
    assert boxes["Good"][2] < boxes["morning"][0] and boxes["UP"][3] - boxes["UP"][1] > boxes["UP"][2] - boxes["UP"][0] > 20
    assert on_canvas((0, 0, 10, 10), (20, 10), Placement(50, 50, 20, 10, flip_x=True)) == pytest.approx((50, 45, 60, 55))
    for broken in ({}, {"words": 3}, {"words": [["a", [1, 2]]], "size": [5, 5]}, {"words": [["a", [1, 2, "x", 4]]], "size": [5, 5]},
                   {"words": [], "size": [0, 5]}):
        assert not list(words_on(replace(stack.layers[3], source={"task": "words", "signs": broken})))


def test_misread_words_are_marked_and_nothing_changes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, shelf = paper()
    scale = 736 / 320
    line = lambda words, *box: Line(words, tuple(scale * v for v in box), 1.0)
    seen = []
    monkeypatch.setattr(reading, "readers", lambda: ("one",))
    monkeypatch.setattr(reading, "read", lambda rgb: seen.append(rgb.shape) or (line("Goodmorming", 10, 10, 260, 60), line("UP", 250, 130, 310, 190)))
    outcome = run(engine, "proofread", stack, shelf)
    assert seen == [(552, 736, 3)] and not outcome.layers
    assert [(mark.words, mark.said, mark.layer) for mark in outcome.marks] == [("morning", "morming", "text"), ("OPEN", "", "sign")]
    assert outcome.notes[0].startswith("2 of 4") and outcome.marks[1].box == (80, 160, 200, 200)
    assert run(engine, "proofread", stack, shelf, layers=["up"]).notes == ("The word is read as meant.",)
    with pytest.raises(BadInput, match="no words"):
        run(engine, "proofread", Stack(CANVAS, stack.layers[:1]), shelf)
    monkeypatch.setattr(reading, "readers", lambda: ())
    with pytest.raises(BadInput, match="reader"):
        run(engine, "proofread", stack, shelf)


@pytest.mark.skipif(not reading.readers(), reason="no reader of words is installed")
def test_a_real_reader_finds_what_is_set_and_misses_what_is_not_there(engine: Engine) -> None:
    stack, shelf = paper()
    outcome = run(engine, "proofread", stack, shelf)
    assert {mark.words for mark in outcome.marks} >= {"OPEN"} and "Good" not in {mark.words for mark in outcome.marks}
