"""The library: files that replay, an index that survives reopening, a bounded journal."""
from __future__ import annotations

import threading

import numpy as np
import pytest

from models.errors import BadInput
from models.job import AdapterUse, Job, Picture
from studio.library import store
from studio.library.store import Library


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path / "library")
    yield library
    library.close()


def pixels(seed: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, channels), np.uint8)


def full_job() -> Job:
    picture = Picture.from_array(pixels(3))
    mask = Picture.from_array(pixels(4, 1))
    return Job(prompt="фокс, 狐: “fox”\nsecond line", negative="rain", seeds=(2 ** 62,), steps=3, guidance=2.5, style="flat",
               image=picture, strength=0.25, mask=mask, adapters=(AdapterUse("ink", 0.5, picture),))


@pytest.mark.parametrize("channels", [3, 4])
def test_a_kept_picture_comes_back_with_its_exact_job(library, channels):
    shown, job = pixels(1, channels), full_job()
    item = library.keep(shown, job)
    again, replay = library.open(item.id)
    assert (again == shown).all() and replay == job and item.digest == job.digest


def test_newest_first_and_still_there_after_reopening(tmp_path):
    library = Library(tmp_path)
    kept = [library.keep(pixels(i), Job(prompt=str(i))).id for i in range(3)]
    library.close()
    library = Library(tmp_path)
    assert [item.id for item in library.items()] == kept[::-1]
    assert [item.prompt for item in library.items(limit=1, offset=1)] == ["1"]
    library.close()


def test_no_half_written_file_is_ever_listed(library, monkeypatch):
    def fail(*_):
        raise OSError("disk full")
    monkeypatch.setattr(store.png, "encode", fail)
    with pytest.raises(OSError):
        library.keep(pixels(1), Job())
    assert library.items() == [] and not list(library.folder.rglob("*.png"))


def test_unknown_and_stripped_pictures_say_so(library):
    with pytest.raises(BadInput, match="holds no picture"):
        library.open("../../etc/passwd")
    item = library.keep(pixels(1), Job())
    from PIL import Image
    Image.fromarray(pixels(1)).save(item.path)
    with pytest.raises(BadInput, match="no job"):
        library.open(item.id)


def test_the_journal_keeps_the_newest_jobs_of_each_client(library, monkeypatch):
    monkeypatch.setattr(store, "JOURNAL_ROWS", 3)
    for i in range(5):
        library.journal("a" if i % 2 else "b", Job(prompt=str(i)))
    assert [job.prompt for job in library.journaled()] == ["4", "3", "2"]
    assert [job.prompt for job in library.journaled("a")] == ["3"]


def test_threads_may_keep_at_once(library):
    threads = [threading.Thread(target=library.keep, args=(pixels(i), Job(prompt=str(i)))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(item.prompt for item in library.items()) == [str(i) for i in range(8)]
