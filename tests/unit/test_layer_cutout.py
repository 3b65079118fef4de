"""The task that cuts a layer's picture out: where it lies afterwards, what it remembers, and what is refused. With the net that ships."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from models.engine import Engine, open_engine
from models.errors import BadInput, MissingWeights
from models.job import Extent, Picture
from models.layers.stack import Layer, Placement, Stack
from studio.layers.task import Call, Outcome, discover_tasks
from studio.layers.tasks.cutout import around, to_picture, within

pytestmark = pytest.mark.render
TASK = discover_tasks()["cutout"]
PLACES = [Placement(100, 80, 60, 40), Placement(300, 200, 800, 300, 30), Placement(50, 60, 90, 120, -75, True), Placement(9, 8, 70, 40, 200, True, True)]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = open_engine(device="cpu")
    yield engine
    engine.close()


def picture(side: int = 240) -> Picture:
    """A red disc with a dark bar on white, right of the middle; opaque."""
    y, x = np.mgrid[:side, :side]
    rgba = np.full((side, side, 4), 255, np.uint8)
    rgba[np.hypot(x - 0.6 * side, y - 0.5 * side) < 0.25 * side] = (200, 50, 40, 255)
    rgba[side // 2 - 8:side // 2 + 8, side // 2:side // 2 + 40] = (40, 30, 30, 255)
    return Picture.from_array(rgba)


def run(engine: Engine, layer: Layer, pictures: dict[str, Picture], **asked: object) -> Outcome:
    return TASK.run(Call(engine, None, "embedded", Stack(Extent(400, 300), (layer,)), pictures, {"layer": layer.id, **asked}))


def layer_of(shown: Picture, place: Placement = Placement(200, 150, 240, 240), **more: object) -> tuple[Layer, dict[str, Picture]]:
    return Layer("one", "Ball", shown.digest, place, **more), {shown.digest: shown}


@pytest.mark.parametrize("place", PLACES)
def test_a_box_of_a_picture_and_the_picture_find_each_other(place: Placement) -> None:
    shown, box = Picture.from_array(np.zeros((80, 120, 3), np.uint8)), (10, 20, 70, 60)
    part = within(place, box, shown)
    back = around(part, list(box), shown)
    assert all(getattr(back, name) == pytest.approx(getattr(place, name)) for name in ("x", "y", "width", "height"))
    assert part.width == pytest.approx(place.width / 2) and to_picture(place, shown, part.x, part.y) == pytest.approx((40, 40))
    assert to_picture(place, shown, place.x, place.y) == pytest.approx((60, 40))


def test_it_takes_the_layers_place_and_remembers_the_whole(engine: Engine) -> None:
    shown = picture()
    layer, pictures = layer_of(shown, opacity=0.5, blend="multiply")
    outcome = run(engine, layer, pictures)
    (made,) = outcome.layers
    assert outcome.replaces == ("one",) and made.place == layer.place and (made.name, made.opacity, made.blend) == ("Ball", 0.5, "multiply")
    alpha = made.picture.array[..., 3]
    assert made.picture.width == 240 and alpha[120, 170] > 240 and alpha[20, 20] < 10 and made.source["original"] == shown.digest


def test_a_trimmed_layer_is_cut_again_from_its_whole_picture(engine: Engine) -> None:
    shown = picture()
    layer, pictures = layer_of(shown, Placement(200, 150, 120, 120, 90))
    (small,) = run(engine, layer, pictures, trim=True, method="paper").layers
    x0, y0, x1, y1 = small.source["box"]
    assert small.picture.width == x1 - x0 < 150 and small.place.width == pytest.approx((x1 - x0) / 2) and small.place.y > 150, "turned by 90 degrees"
    pictures[small.picture.digest] = small.picture
    again = Layer("two", "Ball", small.picture.digest, small.place, source=small.source)
    stroke = {"points": [[200, 150 + 12]], "keep": False, "width_px": 6}
    (made,) = run(engine, again, pictures, strokes=[stroke], method="paper").layers
    assert made.place.x == pytest.approx(200) and made.place.width == pytest.approx(120) and made.picture.width == 240
    assert made.picture.array[120, 144, 3] == 0, "canvas px became px of the picture"
    kept = Layer("three", "Ball", made.picture.digest, made.place, source=made.source)
    pictures[made.picture.digest] = made.picture
    assert len(run(engine, kept, pictures, method="paper").layers[0].source["strokes"]) == 1
    assert run(engine, kept, pictures, method="paper", anew=True).layers[0].source["strokes"] == []


def test_a_preview_is_small_and_lies_in_the_same_place(engine: Engine) -> None:
    shown = picture(1200)
    layer, pictures = layer_of(shown)
    (made,) = run(engine, layer, pictures, quick=True, trim=True, feather=4.0, shift=-2).layers
    assert made.picture.width == 512 and made.place == layer.place and made.picture.array[256, 360, 3] > 240


@pytest.mark.parametrize("asked,why", [
    ({"strokes": "all"}, "strokes"), ({"strokes": [{"points": []}]}, "strokes"), ({"strokes": [{"points": [[1, "x"]], "keep": True}]}, "strokes"),
    ({"method": "magic"}, "no method"), ({"method": "hed"}, "no method"), ({"feather": -1}, "feather"), ({"quick": 1}, "true or false"),
    ({"feather_side": "up"}, "feather_side")])
def test_bad_wishes_are_refused_by_name(engine: Engine, asked: dict, why: str) -> None:
    layer, pictures = layer_of(picture())
    with pytest.raises(BadInput, match=why):
        run(engine, layer, pictures, **asked)


def test_a_network_that_is_not_here_names_its_cure(engine: Engine, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    layer, pictures = layer_of(picture())
    with pytest.raises(MissingWeights, match="u2netp.onnx"):
        run(engine, layer, pictures, method="u2netp")
