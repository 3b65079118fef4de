"""What the Outpaint tab asks the models for, over the tiny bases: known pixels come back bit for bit, bad input is said in a sentence."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.errors import BadInput, StudioError
from models.job import Picture
from studio.outpaint.costs import working_bytes
from studio.outpaint.tasks import _painting as painting
from studio.outpaint.tasks.extend import cut
from studio.outpaint.tasks.mix import mixed
from studio.outpaint.tasks.place import is_cut_out, on_canvas, working_extent
from studio.outpaint.tasks.tile import joined, last_piece
from studio.tabs import outpaint as tab
from studio.workbench.history import History, Step
from studio.workbench.routes import Routes, works_at
from studio.workbench.task import Call, discover_tasks


def gradient(width: int = 64, height: int = 64, alpha: bool = False) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    rgb = np.dstack([x * 3, y * 3, 255 - x * 2]).astype(np.uint8)
    if not alpha:
        return rgb
    disc = (np.hypot(x - width / 2, y - height / 2) < min(width, height) / 3) * 255
    return np.dstack([rgb, disc.astype(np.uint8)])


@pytest.fixture
def ctx(tiny_engine: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    engine = tiny_engine(cache_dir=tmp_path)
    monkeypatch.delitem(engine.catalog._adapters, "outpaint", raising=False)     # the shipped one fits the tiny base by name only
    yield SimpleNamespace(engine=engine, library=SimpleNamespace(folder=tmp_path), settings=SimpleNamespace(base="tiny-student"))


@pytest.fixture
def run(ctx: Any) -> Callable:
    """run(task, pixels, **asked) -> (outcome, its pictures as arrays)."""
    import studio.outpaint.tasks
    works, tasks = works_at(ctx.library.folder / "workbench"), discover_tasks(studio.outpaint.tasks)

    def go(task: str, pixels: np.ndarray, parts: list | None = None, **asked: Any) -> tuple[dict[str, Any], list[np.ndarray]]:
        id = works.pictures.put(Picture.from_array(pixels))
        step = Step("0" * 12, id, pixels.shape[1], pixels.shape[0], "Start")
        told = parts.append if parts is not None else lambda part: None
        call = Call(ctx.engine, None, "tiny-student", History((step,), step.id), works.pictures, asked, part=told, session="outpaint")
        done = tasks[task].run(call)
        return done, [works.pictures[one["picture"]].array for one in done["pictures"]]
    go.pictures = works.pictures
    return go


def mask_of(run: Callable, marked: np.ndarray) -> str:
    """The id of a mask as the page sends it."""
    return run.pictures.put(Picture.from_array(np.dstack([np.full((*marked.shape, 3), 255, np.uint8), marked.astype(np.uint8) * 255])))


def test_a_side_goes_on_and_what_was_there_stays_bit_for_bit(run: Callable) -> None:
    parts: list = []
    done, (first, second) = run("extend", gradient(), parts, left=32, right=24, feather=0, variants=2, seed=4)
    assert first.shape == (64, 120, 4) and done["before"] == [32, 0, 64, 64]
    for whole in (first, second):
        assert np.array_equal(whole[:, 32:96, :3], gradient()) and whole[..., 3].min() == 255
    assert not np.array_equal(first, second) and [part["number"] for part in parts] == [0, 1]
    assert [one["asked"]["seed"] for one in done["pictures"]] == [4, 5]
    assert [one["box"] for one in done["more"]["regions"]] == [[0, 0, 32, 64], [96, 0, 120, 64]]                  # left and right lie apart
    assert np.array_equal(run("extend", gradient(), left=32, right=24, feather=0, variants=2, seed=4)[1][0], first)
    assert not run("extend", gradient(), left=32, top=8, variants=2)[0]["more"] and not run("extend", gradient(), left=32, right=24)[0]["more"]


def test_a_side_that_is_moved_inwards_is_cut(run: Callable) -> None:
    done, (whole,) = run("extend", gradient(), left=-10, bottom=-20)
    assert np.array_equal(whole[..., :3], gradient()[:44, 10:]) and done["before"] == [-10, 0, 64, 64] and done["pictures"][0]["title"] == "Cut"
    _, (whole,) = run("extend", gradient(), left=-16, right=16, feather=0)
    assert whole.shape == (64, 64, 4) and np.array_equal(whole[:, :48, :3], gradient()[:, 16:])
    with pytest.raises(BadInput, match="left"):
        cut(Picture.from_array(gradient()), {"top": -40, "right": 0, "bottom": -40, "left": 0})


def test_alpha_is_kept(run: Callable) -> None:
    done, (whole,) = run("extend", gradient(alpha=True), right=32, feather=0)
    assert np.array_equal(whole[:, :64, 3], gradient(alpha=True)[..., 3]) and any("transparent" in note for note in done["notes"])


WHOLE = "whole number"


@pytest.mark.parametrize("size,asked,says", [
    ((64, 64), {}, "margins are 0"), ((64, 64), {"left": 200, "top": 400}, "16 times"), ((64, 64), {"left": "10"}, WHOLE),
    ((64, 64), {"left": 10_000}, WHOLE), ((1, 1), {"left": 8}, "too little"), ((20_000, 3), {"top": 8}, "too little"),
    ((3000, 20), {"left": 8}, "too narrow"), ((64, 64), {"left": 8, "feather": -1}, WHOLE), ((64, 64), {"left": 8, "variants": 99}, WHOLE),
    ((64, 64), {"left": 8, "words": 7}, "must be text"), ((64, 64), {"left": 8, "style": "nope"}, "style")])
def test_what_cannot_be_extended_is_said_in_a_sentence(run: Callable, size: tuple[int, int], asked: dict[str, Any], says: str) -> None:
    with pytest.raises(StudioError, match=says):
        run("extend", gradient(*size), **asked)


def test_places_inside_are_painted_and_the_rest_stays(run: Callable) -> None:
    marked = np.zeros((64, 64), bool)
    marked[8:28, 8:28], marked[36:60, 36:60] = True, True
    done, (first, second) = run("fill", gradient(), mask=mask_of(run, marked), variants=2, feather=0, words="a leaf")
    assert all(np.array_equal(one[~marked][:, :3], gradient()[~marked]) for one in (first, second)) and len(done["more"]["regions"]) == 2
    labels = run.pictures[done["more"]["labels"]].array[..., 0]
    ids = [one["picture"] for one in done["pictures"]]
    _, (both,) = run("mix", gradient(), picture=ids[0], labels=done["more"]["labels"], chosen=[ids[0], ids[1]])
    assert np.array_equal(both[labels == 1], first[labels == 1]) and np.array_equal(both[labels == 2], second[labels == 2])
    assert np.array_equal(both[~marked][:, :3], gradient()[~marked])
    for asked in ({}, {"mask": mask_of(run, np.zeros((64, 64), bool))}, {"mask": mask_of(run, np.ones((64, 64), bool))}, {"mask": "0" * 64}):
        with pytest.raises(BadInput):
            run("fill", gradient(), **asked)
    with pytest.raises(BadInput, match="again"):
        run("mix", gradient(), picture=ids[0], labels=done["more"]["labels"], chosen=["nope"])


def test_a_loop_closes_and_holds_the_picture_in_its_middle(run: Callable) -> None:
    done, (whole,) = run("panorama", gradient(), wider=1.0, feather=0)
    left = done["before"][0]
    assert whole.shape[1] == 128 and np.array_equal(whole[:, left:left + 64, :3], gradient())
    with pytest.raises(BadInput):
        run("panorama", gradient(), wider=9.0)


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_tile_goes_on_from_its_side(run: Callable, side: str) -> None:
    done, (whole,) = run("tile", gradient(), side=side)
    x, y, width, height = done["before"]
    assert np.array_equal(whole[y:y + height, x:x + width, :3], gradient()) and whole.shape[0] * whole.shape[1] > 64 * 64
    assert last_piece(Picture.from_array(gradient(400, 64)), "left").width == 128
    both = joined(gradient(), gradient(alpha=True), side)
    assert both.shape[2] == 4


def test_zooming_out_keeps_the_size_or_grows(run: Callable) -> None:
    assert run("zoom", gradient(), times=1.5)[1][0].shape == (64, 64, 4)
    done, (whole,) = run("zoom", gradient(), times=1.5, same_size=False, feather=0)
    x, y, *_ = (round(v) for v in done["before"])
    assert whole.shape == (96, 96, 4) and np.array_equal(whole[y:y + 64, x:x + 64, :3], gradient())


def test_enlarging_says_its_size_and_refuses_what_is_too_large(run: Callable) -> None:
    assert run("upscale", gradient(alpha=True), times=2, upscaler="lanczos")[1][0].shape == (128, 128, 4)
    for asked in ({"times": 3}, {"times": 2, "upscaler": "nope"}, {"times": 2, "blur": 2}):
        with pytest.raises(StudioError):
            run("upscale", gradient(), **{"upscaler": "lanczos"} | asked)
    with pytest.raises(BadInput, match="smaller factor"):
        run("upscale", gradient(2000, 64), times=8, upscaler="lanczos")


def test_a_thing_stays_as_it_is_in_every_place(run: Callable) -> None:
    parts: list = []
    thing = gradient(alpha=True)
    done, pictures = run("place", thing, parts, words="a ball", places=["on a beach", "in the snow"], seeds=[3, 4], left=32, right=32, top=32, bottom=32)
    solid = thing[..., 3] == 255
    for whole in pictures:
        assert whole.shape == (128, 128, 4) and np.array_equal(whole[32:96, 32:96, :3][solid], thing[solid][:, :3])
    assert [part["place"] for part in parts] == ["on a beach", "in the snow"] and done["before"] == [32, 32, 64, 64]
    assert all(len(part["growth"]) == 2 for part in parts)
    with pytest.raises(BadInput, match="Cut it out first"):
        run("place", gradient(), places=["on a beach"], left=8)
    for places in ([], [""], ["x"] * 20, "on a beach"):
        with pytest.raises(BadInput):
            run("place", thing, places=places, left=8)


def test_what_the_page_asks_on_the_way_is_answered_or_refused(ctx: Any, run: Callable) -> None:
    id = run.pictures.put(Picture.from_array(gradient(alpha=True)))
    found = tab.places(ctx, {"picture": id, "words": "a boat", "count": 4})
    assert found["cut"] and len(found["places"]) == 4 and found["places"][0]["reason"]
    assert not is_cut_out(Picture.from_array(gradient()))
    assert tab.cost(None, {"width": 4096, "height": 4096, "task": "paint"})["bytes"] == working_bytes(4096, 4096, "paint") < 4 * 2 ** 30
    for wrong in ({"picture": "0" * 64}, {"picture": id, "words": 3}, {"picture": id, "count": 99}):
        with pytest.raises(BadInput):
            tab.places(ctx, wrong)
    for wrong in ({}, {"width": 0, "height": 5, "task": "paint"}, {"width": 5, "height": 5, "task": "x"}):
        with pytest.raises(BadInput):
            tab.cost(None, wrong)


def test_small_parts() -> None:
    thing = Picture.from_array(gradient(alpha=True))
    placed = on_canvas(thing, {"top": 10, "right": -20, "bottom": 0, "left": 5}).array
    assert placed.shape == (74, 49, 4) and np.array_equal(placed[10:, 5:], thing.array[:, :44])
    with pytest.raises(BadInput):
        on_canvas(thing, {"top": -60, "right": 0, "bottom": 0, "left": 0})
    spec = SimpleNamespace(multiple_px=16, native_px=(256,), min_px=64, max_px=512)
    assert str(working_extent(spec, 1920, 1080)) == "448x256" and str(working_extent(spec, 100, 100)) == "256x256"
    labels, boxes = painting.regions(np.eye(64, dtype=bool))
    assert len(boxes) == 1 and labels.max() == 1
    plain = lambda value: np.full((2, 2, 3), value, np.uint8)
    assert np.array_equal(mixed(plain(0), np.uint8([[0, 1], [2, 0]]), [plain(7), plain(9)])[..., 0], [[0, 7], [9, 0]])


def test_the_tab_has_its_routes(ctx: Any) -> None:
    routes = Routes("outpaint", works_at(ctx.library.folder / "workbench"), {}, ctx, dict, {"cost": tab.cost})
    assert {"/studio/outpaint/cost", "/studio/outpaint/select", "/studio/outpaint/task/{id}"} <= {route.path for route in routes.routes()}
