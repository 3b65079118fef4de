"""The tasks that paint layers: what becomes of the stack, what can be made again, and what is refused. Over a tiny base."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.layers.compose import flatten
from models.engine import Engine, open_engine
from models.errors import BadInput, Cancelled
from models.job import Extent, Picture
from models.layers.stack import Layer, Placement, Stack, new_id
from studio.layers.task import Call, Outcome, discover_tasks
from studio.layers.tasks._making import box_on, placed_like, working_extent
from studio.layers.tasks.harmonise import ORIGINAL, SHADOW_OF, on_layer
from tests.tiny_adapters import layerdiffuse

TASKS = discover_tasks()
CANVAS = Extent(320, 240)
Desk = tuple[Stack, dict[str, Picture]]


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors")], device="cpu")
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(layerdiffuse.write_own(tmp_path_factory.mktemp("adapters") / "clear.safetensors", base)))
    yield engine
    engine.close()


def desk(*layers: tuple[str, np.ndarray, Placement]) -> Desk:
    pictures = [Picture.from_array(rgba) for _, rgba, _ in layers]
    nodes = tuple(Layer(new_id(), name, picture.digest, place) for (name, _, place), picture in zip(layers, pictures))
    return Stack(CANVAS, nodes), {picture.digest: picture for picture in pictures}


def plain(colour: tuple[int, ...], side: int = 40) -> np.ndarray:
    return np.full((side, side, 4), (*colour, 255)[:4], np.uint8)


def run(engine: Engine, on: Desk, task: str, cancelled: bool = False, **asked: object) -> Outcome:
    return TASKS[task].run(Call(engine, None, "tiny-student", *on, {"steps": 1, **asked}, cancelled=lambda: cancelled))


def applied(on: Desk, outcome: Outcome) -> Desk:
    """As the page does it: one for one where there are as many, else where the topmost was."""
    stack, pictures = on
    new = [Layer(new_id(), made.name, made.picture.digest, made.place, made.opacity, made.blend, source=made.source) for made in outcome.layers]
    pictures = pictures | {made.picture.digest: made.picture for made in outcome.layers}
    nodes = list(stack.layers)
    if len(outcome.replaces) == len(new):
        by = dict(zip(outcome.replaces, new))
        return Stack(stack.extent, tuple(by.get(node.id, node) for node in nodes)), pictures
    at = max((i for i, node in enumerate(nodes) if node.id in outcome.replaces), default=len(nodes) - 1) + 1
    kept = lambda part: [node for node in part if node.id not in outcome.replaces]
    return Stack(stack.extent, tuple([*kept(nodes[:at]), *new, *kept(nodes[at:])])), pictures


BACK = ("Sky", plain((90, 150, 210)), Placement(160, 120, 320, 240))
BALL = ("Ball", plain((200, 40, 40)), Placement(80, 150, 60, 60))
KITE = ("Kite", plain((40, 180, 60)), Placement(220, 70, 50, 50, angle_deg=30, flip_x=True))


def test_an_asset_is_one_layer_that_knows_how_it_was_made(engine: Engine) -> None:
    on = desk(BACK)
    (made,) = run(engine, on, "asset", words=" a red fox ", seed=7).layers
    assert made.name == "A red fox" and made.picture.channels == 4 and made.source["task"] == "asset" and made.source["asked"]["words"] == "a red fox"
    assert (made.place.x, made.place.y) == (160, 120) and max(made.place.width, made.place.height) == pytest.approx(0.6 * 240)
    (again,) = run(engine, on, "asset", **made.source["asked"]).layers
    assert again.picture == made.picture and made.job.seeds == (7,)


def test_painted_again_it_keeps_its_place_and_name(engine: Engine) -> None:
    on = desk(BACK, KITE)
    outcome = run(engine, on, "asset", words="Kite", seed=3, layer=on[0].layers[1].id)
    (made,), old = outcome.layers, KITE[2]
    assert outcome.replaces == (on[0].layers[1].id,) and made.name == "Kite"
    assert (made.place.x, made.place.angle_deg, made.place.flip_x) == (old.x, 30, True)
    assert made.place.width <= old.width + 1e-6 and made.place.height <= old.height + 1e-6


def test_variants_are_proposals(engine: Engine) -> None:
    outcome = run(engine, desk(), "asset", words="a fox", variants=3)
    assert not outcome.layers and len({p.layers[0].picture.digest for p in outcome.proposals}) == 3


def test_a_scene_is_a_place_and_a_layer_a_thing(engine: Engine) -> None:
    on = desk(BALL)
    outcome = run(engine, on, "scene", words="a red car, a tall tree and two dogs on a beach", clear=True, group=True)
    assert outcome.layers[0].name == "Background" and outcome.group
    assert sorted(made.name for made in outcome.layers[1:]) == ["Dog", "Dog", "Red car", "Tall tree"]
    assert outcome.replaces == (on[0].layers[0].id,) and outcome.layers[0].source["task"] == "behind"
    assert outcome.layers[0].place == Placement(160, 120, 320, 240)
    for made in outcome.layers[1:]:
        left, top, right, bottom = made.place.bounds()
        assert -1 <= left and -1 <= top and right <= 321 and bottom <= 241
        assert made.source["task"] == "asset"
    bare = run(engine, on, "scene", words="a cat")
    assert "white paper" in bare.notes[0] and (bare.layers[0].picture.array == 255).all() and not bare.replaces


def test_a_background_goes_behind_and_replaces_the_old_one(engine: Engine) -> None:
    on = desk(BACK, BALL)
    outcome = run(engine, on, "behind", words="in the snow", seed=2)
    (made,) = outcome.layers
    assert outcome.replaces == (on[0].layers[0].id,) and made.place == Placement(160, 120, 320, 240) and (made.picture.array[..., 3] == 255).all()
    assert run(engine, desk(BALL), "behind", words="in the snow").replaces == ()
    alone = run(engine, on, "behind", words="in the snow", seed=2, alone=True)
    assert alone.layers[0].picture != made.picture and alone.layers[0].source["asked"]["alone"]


def test_a_thing_goes_where_it_is_asked_to(engine: Engine) -> None:
    (made,) = run(engine, desk(BACK), "infront", words="a boat", box={"x": 20, "y": 40, "width": 80, "height": 90}).layers
    left, top, right, bottom = made.place.bounds()
    assert 17 <= left and right <= 103 and 37 <= top and bottom <= 133
    on = desk(BACK, BALL)
    outcome = run(engine, on, "infront", words="a boat", layer=on[0].layers[1].id)
    assert outcome.replaces == (on[0].layers[1].id,) and abs(outcome.layers[0].place.x - 80) < 12


def test_both_are_two_layers(engine: Engine) -> None:
    back, thing = run(engine, desk(), "both", words="a boat", place="on a beach").layers
    assert back.place == Placement(160, 120, 320, 240) and thing.name == "A boat" and back.source["asked"]["words"] == "on a beach"


def test_harmonised_layers_stay_layers_and_doing_it_again_starts_from_the_first(engine: Engine) -> None:
    on = desk(BACK, BALL, KITE)
    outcome = run(engine, on, "harmonise", words="at noon", seed=1)
    assert [made.name for made in outcome.layers] == ["Sky", "Shadow of Ball", "Ball", "Kite"] and outcome.layers[1].blend == "multiply"
    for made, (_, before, place) in zip([m for m in outcome.layers if SHADOW_OF not in m.source], (BACK, BALL, KITE)):
        assert made.place == place and (made.picture.array[..., 3] == before[..., 3]).all()
        assert made.source[ORIGINAL] == Picture.from_array(before).digest
    once = applied(on, outcome)
    again = run(engine, once, "harmonise", words="at noon", seed=1)
    assert [made.picture for made in again.layers] == [made.picture for made in outcome.layers]
    assert again.replaces == tuple(layer.id for layer in once[0].layers), "in the order of the stack, one for one"
    nothing = run(engine, once, "harmonise", amount=0.0, shadow=0.0)
    assert (flatten(*applied(once, nothing)) == flatten(*on)).all()


def test_moving_one_harmonised_layer_leaves_the_others(engine: Engine) -> None:
    on = desk(BACK, BALL, KITE)
    stack, pictures = applied(on, run(engine, on, "harmonise", words="at noon"))
    kite = next(layer for layer in stack.layers if layer.name == "Kite")
    moved = stack.edit(kite.id, place=Placement(260, 70, 50, 50))
    before, after = flatten(stack, pictures), flatten(moved, pictures)
    assert (before[:, :150] == after[:, :150]).all() and (before != after).any()


def test_only_what_is_chosen_is_harmonised(engine: Engine) -> None:
    on = desk(BACK, BALL, KITE)
    outcome = run(engine, on, "harmonise", layers=[on[0].layers[2].id])
    assert [made.name for made in outcome.layers] == ["Sky", "Kite"] and on[0].layers[1].id not in outcome.replaces


def test_a_layer_sees_the_field_where_it_lies() -> None:
    """A field that is its own coordinates, looked up through flips and turns."""
    y, x = np.mgrid[:240, :320].astype(np.float32)
    field = np.dstack([x, y, x * 0 + 1])
    upright = on_layer(field, Placement(100, 60, 40, 20), (40, 20), CANVAS, CANVAS)
    assert np.allclose(upright[0, 0], (80, 50, 1), atol=0.6) and np.allclose(upright[-1, -1], (119, 69, 1), atol=0.6)
    flipped = on_layer(field, Placement(100, 60, 40, 20, flip_x=True), (40, 20), CANVAS, CANVAS)
    assert np.allclose(flipped, upright[:, ::-1], atol=1e-3)
    turned = on_layer(field, Placement(100, 60, 40, 20, angle_deg=90), (40, 20), CANVAS, CANVAS)
    assert np.allclose(turned[0, 0], (109, 40, 1), atol=1.1) and np.allclose(turned[-1, -1], (90, 79, 1), atol=1.1)


def test_canvases_are_painted_at_a_size_the_base_knows(engine: Engine) -> None:
    spec = engine.catalog.base("tiny-student").spec
    for canvas in (Extent(1024, 768), Extent(100, 100), Extent(4000, 500), Extent(8192, 8192)):
        size = working_extent(spec, canvas)
        assert size.width % 16 == size.height % 16 == 0 and max(size.width, size.height) <= spec.max_px and min(size.width, size.height) >= spec.min_px
    assert working_extent(spec, Extent(1024, 1024)) == Extent(256, 256)
    assert box_on(Placement(-50, 500, 10, 10), Extent(256, 192), CANVAS) == (0, 184, 8, 192)
    assert placed_like(Placement(50, 50, 40, 40), Picture.from_array(plain((1, 2, 3), 10)[:5]), CANVAS) == Placement(50, 60, 40, 20)


@pytest.mark.parametrize("task, asked, said", [
    ("asset", {}, "no words"), ("asset", {"words": "a fox", "variants": 9}, "variants"), ("asset", {"words": "a fox", "style": "oil"}, 'no style "oil"'),
    ("asset", {"words": "a fox", "alpha": "magic"}, "no alpha"), ("asset", {"words": "a fox", "softness": float("nan")}, "softness"),
    ("asset", {"words": "a fox", "seed": -1}, "seed"), ("asset", {"words": "x" * 30_000}, "characters"), ("scene", {"words": " , "}, "no words"),
    ("behind", {}, "no words"), ("infront", {"words": "a boat", "box": {"x": "a"}}, '"x"'), ("both", {"words": "a boat"}, "no words"),
    ("harmonise", {}, "nothing to harmonise"), ("harmonise", {"amount": 2}, "amount")])
def test_what_cannot_be_done_is_said(engine: Engine, task: str, asked: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        run(engine, desk(BACK) if asked.get("amount") is None else desk(BACK, BALL), task, **asked)


def test_nobody_waits(engine: Engine) -> None:
    with pytest.raises(Cancelled):
        run(engine, desk(), "scene", cancelled=True, words="a cat and a dog on a beach")
