"""Find by sketch in the studio: the right picture of a library first, nothing that is gone, and never an exception to the page."""
from __future__ import annotations

import base64
import io
import sqlite3
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import Image

from models.engine import Engine, open_engine
from models.errors import BadInput
from models.job import Job
from models.turns import Urgency
from studio.library.store import Library
from studio.sketch import finding
from studio.sketch.finding import Finder, lines_on, make_find, make_found
from studio.sketch.index import LikenessIndex, Seen
from studio.sketch.inks import BLOCK, DETAIL, OBJECTS

SHAPES = {"ring": 40, "triangle": 3, "square": 4, "star": 5}


def rgb_of(ink: str) -> tuple[int, int, int]:
    return tuple(int(ink[i:i + 2], 16) for i in (1, 3, 5))


def outline(name: str, centre: tuple[float, float] = (256, 256), reach: float = 180) -> np.ndarray:
    """Corners [n, 1, 2] of a shape."""
    corners = SHAPES[name]
    angles = -np.pi / 2 + np.arange(2 * corners) * np.pi / corners
    radius = np.where(np.arange(2 * corners) % 2, reach * (0.4 if name == "star" else np.cos(np.pi / corners)), reach)
    return np.stack([centre[0] + radius * np.cos(angles), centre[1] + radius * np.sin(angles)], 1).round().astype(np.int32)[:, None]


def doodle(name: str, ink: str = DETAIL, width: int = 3, **where) -> np.ndarray:
    """A shape drawn with a pen, uint8 [512, 512, 3]."""
    canvas = np.full((512, 512, 3), 255, np.uint8)
    return cv2.polylines(canvas, [outline(name, **where)], True, rgb_of(ink), width, cv2.LINE_AA)


def painted(name: str, side: int = 256) -> np.ndarray:
    """The same shape as a picture: filled, on a colour, smaller and elsewhere."""
    picture = np.full((512, 512, 3), (250, 230, 170), np.uint8)
    cv2.fillPoly(picture, [outline(name, (300, 230), 130)], (60, 90, 160), cv2.LINE_AA)
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def url(picture: np.ndarray) -> str:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def shown(data_url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2]))))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = open_engine(device="cpu")
    yield engine
    engine.close()


@pytest.fixture
def library(tmp_path) -> Iterator[Library]:
    library = Library(tmp_path / "library")
    yield library
    library.close()


@pytest.fixture
def kept(library: Library) -> dict[str, str]:
    """{shape: id} of a library with each of SHAPES."""
    return {name: library.keep(painted(name), Job(prompt=f"a {name}")).id for name in SHAPES}


def own(hits: list) -> list:
    return [hit for hit in hits if hit["from"] == "library"]


@pytest.mark.parametrize("name", SHAPES)
def test_the_drawn_shape_is_found_first_in_the_library(engine, library, kept, name: str) -> None:
    answer = make_find(engine, library)({"picture": url(doodle(name))})
    hits = own(answer["hits"])
    assert hits[0]["id"] == kept[name] and hits[0]["title"] == f"a {name}"
    assert all(1 >= a["score"] >= b["score"] >= 0 for a, b in zip(answer["hits"], answer["hits"][1:])) and len(answer["hits"]) <= finding.SHOWN
    assert shown(hits[0]["thumb"]).shape == (96, 96, 3)
    whole = make_found(engine, library)({"id": hits[0]["id"]})
    assert (shown(whole["picture"]) == painted(name)).all()


def test_it_does_not_matter_where_how_large_and_in_which_ink_it_is_drawn(engine, library, kept) -> None:
    find = make_find(engine, library)
    for ink, width, where in ((DETAIL, 12, {}), (OBJECTS[1], 3, {"centre": (90, 100), "reach": 60}), (OBJECTS[3], 6, {"reach": 240})):
        assert own(find({"picture": url(doodle("star", ink, width, **where))})["hits"])[0]["id"] == kept["star"]


def test_deleted_pictures_vanish_and_new_ones_appear(engine, library, kept) -> None:
    finder = Finder(engine, library)
    library.item(kept["star"]).path.unlink()
    ids = lambda name: [hit["id"] for hit in own(finder.find({"picture": url(doodle(name))})["hits"])]
    assert kept["star"] not in ids("star")
    ids("ring")
    with sqlite3.connect(library.folder / "library.sqlite") as db:
        db.execute("DELETE FROM items WHERE id = ?", (kept["ring"],))
    assert kept["ring"] not in ids("ring") and kept["ring"] not in finder.index
    new = library.keep(painted("ring"), Job(prompt="another ring"))
    assert ids("ring")[0] == new.id


def test_a_picture_is_looked_at_once_even_after_a_restart(engine, library, kept) -> None:
    Finder(engine, library).find({"picture": url(doodle("star"))})
    for item in library.items():
        item.path.write_bytes(b"not read again")
    hits = own(Finder(engine, library).find({"picture": url(doodle("star"))})["hits"])
    assert hits[0]["id"] == kept["star"] and shown(hits[0]["thumb"]).shape == (96, 96, 3)
    assert "error" in make_found(engine, library)({"id": kept["star"]})


def test_a_damaged_picture_is_no_hit_and_stops_nothing(engine, library, kept) -> None:
    library.item(kept["square"]).path.write_bytes(b"\x89PNG broken")
    library.keep(np.full((64, 64, 3), 200, np.uint8), Job(prompt="nothing"))
    hits, _ = Finder(engine, library).search(doodle("square"), count=1000)
    assert {hit.id for hit in hits if hit.source == "library"} == {kept[name] for name in SHAPES if name != "square"}


def test_what_takes_too_long_is_looked_at_behind_the_answer(engine, library, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(12):
        last = library.keep(painted("square" if i else "star"), Job(prompt=str(i)))
    monkeypatch.setattr(finding, "PATIENCE_S", -1.0)
    finder = Finder(engine, library)
    first = finder.find({"picture": url(doodle("square"))})
    assert "4 of your 12 pictures" in first["note"] and own(first["hits"])[0]["title"] != "0" and last.id in finder.index
    finder.wait()
    second = finder.find({"picture": url(doodle("star"))})
    assert "pictures are still" not in second["note"] and own(second["hits"])[0]["title"] == "0"


def test_looking_at_the_library_waits_for_everybody_else(engine, library, kept, monkeypatch: pytest.MonkeyPatch) -> None:
    urgencies, take = [], engine.turns.take
    monkeypatch.setattr(engine.turns, "take", lambda session, urgency: urgencies.append(urgency) or take(session, urgency))
    make_find(engine, library)({"picture": url(doodle("star"))})
    assert urgencies == [Urgency.IDLE, Urgency.PICTURE]


@pytest.mark.parametrize("asked", [None, {}, {"picture": None}, {"picture": "data:image/png;base64,!!!"}, {"picture": "http://x/y.png"},
                                   {"picture": "data:image/png;base64," + base64.b64encode(b"no picture").decode()}])
def test_a_broken_picture_is_refused_in_a_sentence(engine, library, asked) -> None:
    answer = make_find(engine, library)(asked)
    assert set(answer) == {"error"} and "picture" in answer["error"]


def test_an_empty_canvas_is_told_so(engine, library) -> None:
    assert make_find(engine, library)({"picture": url(np.full((512, 512, 3), 255, np.uint8))}) == {"error": "Draw something first."}


@pytest.mark.parametrize("asked", [None, {}, {"id": "nope"}, {"id": "bundled-"}, {"id": "bundled-999999"}, {"id": "bundled--1"}, {"id": "bundled-²"},
                                   {"id": "../library.sqlite"}])
def test_a_hit_that_does_not_exist_is_refused_in_a_sentence(engine, library, asked) -> None:
    answer = make_found(engine, library)(asked)
    assert set(answer) == {"error"} and answer["error"].endswith(".")


# --- lines of a canvas -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("width", [1, 3, 12])
def test_pen_strokes_count_by_their_middle(width: int) -> None:
    canvas = np.full((512, 512, 3), 255, np.uint8)
    cv2.line(canvas, (100, 200), (400, 200), rgb_of(DETAIL), width, cv2.LINE_AA)
    ys, xs = np.nonzero(lines_on(canvas))
    assert np.abs(ys - 200).max() <= 2 and len(xs) < 320 and xs.min() < 110 and xs.max() > 390


def test_block_strokes_and_filled_areas_count_by_their_outline() -> None:
    for ink in (BLOCK, OBJECTS[0]):
        canvas = np.full((512, 512, 3), 255, np.uint8)
        cv2.circle(canvas, (256, 256), 60, rgb_of(ink), -1, cv2.LINE_AA)
        ys, xs = np.nonzero(lines_on(canvas))
        far = np.hypot(ys - 256, xs - 256)
        assert 50 < far.min() and far.max() < 63 and 250 < len(far) < 800


def test_a_block_stroke_to_the_edge_is_closed_there() -> None:
    canvas = np.full((512, 512, 3), 255, np.uint8)
    cv2.rectangle(canvas, (0, 100), (200, 300), rgb_of(BLOCK), -1)
    assert lines_on(canvas)[150:250, 0].all()


# --- the index ---------------------------------------------------------------------------------------------------------

def test_the_index_keeps_vectors_and_thumbs_until_the_weights_change(tmp_path) -> None:
    path, vector = tmp_path / "likeness.sqlite", np.linspace(-1, 1, 64, dtype=np.float32)
    index = LikenessIndex(path, "one")
    index.add([Seen("a", vector, b"thumb"), Seen("b", -vector, b"")])
    index.close()
    index = LikenessIndex(path, "one")
    ids, vectors = index.matrix(["b", "x", "a"])
    assert ids == ["b", "a"] and np.abs(vectors - np.stack([-vector, vector])).max() < 1e-3
    assert index.thumb("a") == b"thumb" and index.thumb("x") == b""
    index.keep_only(["a"])
    assert "b" not in index and index.matrix(["b"])[1].shape[0] == 0
    index.close()
    assert "a" not in LikenessIndex(path, "two")


def test_an_index_that_is_no_database_is_made_anew(tmp_path) -> None:
    path = tmp_path / "likeness.sqlite"
    for damage in (b"garbage" * 200, None):
        if damage is None:
            path.unlink()
            with sqlite3.connect(path) as db:
                db.execute("CREATE TABLE seen (other TEXT)")
        else:
            path.write_bytes(damage)
        index = LikenessIndex(path, "one")
        index.add([Seen("a", np.ones(4, np.float32), b"")])
        index.close()
        assert "a" in LikenessIndex(path, "one")


# --- what ships --------------------------------------------------------------------------------------------------------

def test_the_bundle_was_made_by_the_shipped_weights() -> None:
    """Fails after a training of the student or of the tower: python -m models.lab bundle."""
    import json

    from models.percepts.likeness import read_bundle
    from models.weights import ASSETS, sha256
    bundle = read_bundle()
    told = json.loads((ASSETS / "percepts" / "bundled.json").read_text(encoding="utf-8"))
    assert told["student_sha256"] == sha256(ASSETS / "embedded" / "student.safetensors")
    assert len(bundle.jobs) >= 200 and len({(job.prompt, job.style) for job in bundle.jobs}) == len(bundle.jobs)
    assert np.allclose(np.linalg.norm(bundle.vectors, axis=1), 1, atol=0.01)
    assert (ASSETS / "percepts" / "bundled.webp").stat().st_size < 700_000 and (ASSETS / "percepts" / "likeness.safetensors").stat().st_size < 4e6


@pytest.mark.render
def test_a_bundled_hit_is_painted_again_as_its_thumb_shows(engine, library) -> None:
    hit = make_find(engine, library)({"picture": url(doodle("star"))})["hits"][0]
    assert hit["from"] == "bundled" and hit["id"].startswith("bundled-")
    whole = shown(make_found(engine, library)({"id": hit["id"]})["picture"])
    assert whole.shape == (256, 256, 3)
    thumb = cv2.resize(whole, (96, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(thumb.astype(int) - shown(hit["thumb"])).mean() < 8


def test_the_percept_finds_itself(engine) -> None:
    """A picture is nearer to its own doodle than to the others'."""
    from models.nets.doodle import raster
    from models.percepts.likeness import lines_of_picture
    with engine.registry.percept("likeness") as percept:
        pictures = percept.embed([lines_of_picture(painted(name)) for name in SHAPES])
        doodles = percept.embed([raster(lines_on(doodle(name))) for name in SHAPES])
    assert ((doodles @ pictures.T).argmax(1) == np.arange(len(SHAPES))).all()
    with pytest.raises(BadInput, match="annotator"):
        engine.look("likeness", painted("star"))
