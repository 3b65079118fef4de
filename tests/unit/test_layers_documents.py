"""Documents and pictures of the Layers tab on disk: content-addressed, whole or not at all, with a bin."""
from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import BadInput, UnknownId
from models.job import Extent, Job, Picture
from models.layers.stack import Layer, Placement, Stack
from studio.layers.documents import BIN_S, Documents, Stale
from studio.layers.pictures import UNUSED_S


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(tmp_path / "layers")


def picture(value: int = 200, width: int = 20, height: int = 10) -> Picture:
    pixels = np.full((height, width, 4), value, np.uint8)
    pixels[:, : width // 2, 3] = 7
    return Picture.from_array(pixels)


def stack_of(*ids: str) -> Stack:
    return Stack(Extent(64, 48), tuple(Layer(f"l{n}", f"Layer {n}", id, Placement(10, 10, 20, 10)) for n, id in enumerate(ids)))


def test_a_picture_is_kept_once_with_its_alpha_and_its_job(documents: Documents) -> None:
    pictures, shown, job = documents.pictures, picture(), Job(prompt="a fox", seeds=(3,))
    id = pictures.put(shown, job)
    assert id == shown.digest == pictures.put(shown) and list(pictures) == [id] and len(pictures) == 1
    again = Documents(documents.folder).pictures
    assert again[id] == shown and again.job(id) == job and id in again and "0" * 64 not in again
    opaque = pictures.put(Picture.from_array(np.zeros((3, 4, 3), np.uint8)))
    assert pictures[opaque].array[..., 3].min() == 255 and pictures.job(opaque) is None
    with pytest.raises(KeyError):
        pictures["0" * 64]


def test_previews_are_small_and_made_once(documents: Documents) -> None:
    large = documents.pictures.put(picture(90, 900, 300))
    path = documents.pictures.preview(large, 100)
    with Image.open(path) as image:
        assert image.format == "WEBP" and image.size == (128, 43) and image.mode == "RGBA" and image.getpixel((5, 5))[3] == 7
    at = path.stat().st_mtime_ns
    assert documents.pictures.preview(large, 128) == path and path.stat().st_mtime_ns == at
    assert documents.pictures.preview(large, 1024).suffix == ".png"          # no larger than it is
    with pytest.raises(UnknownId):
        documents.pictures.preview("../../etc/passwd", 64)


def test_a_document_is_written_by_who_knows_its_revision(documents: Documents) -> None:
    id = documents.pictures.put(picture())
    made = documents.make("  A   poster ", stack_of(id))
    assert made.name == "A poster" and documents.read(made.id) == made
    later = documents.write(made.id, "Poster", stack_of(id, id), 1)
    assert (later.revision, later.card()["layers"]) == (2, 2) and Documents(documents.folder).read(made.id) == later
    with pytest.raises(Stale, match="another window"):
        documents.write(made.id, "Mine", stack_of(id), 1)
    with pytest.raises(BadInput, match="not in the library"):
        documents.write(made.id, "Poster", stack_of("0" * 64), 2)
    assert documents.read(made.id) == later


@pytest.mark.parametrize("id", ["", "..", "../library", "0123456789ab", "0123456789AB", "x" * 500])
def test_ids_that_are_none_reach_no_file(documents: Documents, id: str) -> None:
    for act in (documents.read, documents.remove, documents.restore):
        with pytest.raises(UnknownId):
            act(id)


def test_the_bin_gives_back_and_is_emptied_in_time(documents: Documents) -> None:
    kept, lost = documents.pictures.put(picture(1)), documents.pictures.put(picture(2))
    documents.pictures.preview(lost, 64)
    first, second = documents.make("First", stack_of(kept)), documents.make("Second", stack_of(lost))
    documents.remove(second.id)
    assert [card["name"] for card in documents.cards()] == ["First"]
    documents.sweep(second.changed_s + UNUSED_S * 1.5)                       # what is in the bin keeps its pictures
    assert lost in documents.pictures
    assert documents.restore(second.id) == documents.read(second.id) == second
    documents.remove(second.id)
    documents.sweep(second.changed_s + BIN_S + UNUSED_S)
    assert lost not in documents.pictures and kept in documents.pictures and documents.read(first.id) == first
    assert not list(documents.pictures.folder.rglob(f"{lost}*"))


def test_what_a_layer_was_made_from_stays_as_long_as_the_layer(documents: Documents) -> None:
    shown, whole, other = (documents.pictures.put(picture(seed)) for seed in (1, 2, 3))
    stack = stack_of(shown)
    layer = replace(stack.layers[0], source={"task": "cutout", "original": whole})
    made = documents.make("Cut", replace(stack, layers=(layer,)))
    documents.sweep(made.changed_s + 10 * UNUSED_S)
    assert shown in documents.pictures and whole in documents.pictures and other not in documents.pictures


def test_a_damaged_file_is_left_out_of_the_list_and_stops_the_sweep(documents: Documents) -> None:
    id = documents.pictures.put(picture())
    broken, whole = documents.make("Broken", stack_of(id)), documents.make("Whole", stack_of())
    (documents.folder / "documents" / f"{broken.id}.json").write_text('{"name": "Broken", "stack"')
    assert [card["id"] for card in documents.cards()] == [whole.id]
    with pytest.raises(BadInput, match="damaged"):
        documents.sweep(broken.changed_s + 10 * UNUSED_S)
    assert id in documents.pictures


def test_what_a_killed_process_left_half_written_is_cleared_once_it_is_old(documents: Documents) -> None:
    kept = documents.make("Kept", stack_of(documents.pictures.put(picture())))
    torn = [documents.folder / "documents" / ".abc.json.77-1.tmp", documents.folder / "pictures" / "ab" / ".x.png.77-1.tmp"]
    for path in torn:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"{half")
    documents.sweep()
    assert all(path.exists() for path in torn), "they may still be written"
    documents.sweep(time.time() + 2 * 86400)
    assert not any(path.exists() for path in torn) and documents.read(kept.id) == kept
