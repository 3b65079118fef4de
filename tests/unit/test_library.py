"""The library: files that replay, an index that survives reopening, a bounded journal."""
from __future__ import annotations

import io
import sqlite3
import threading
from contextlib import closing

import numpy as np
import pytest

from models.errors import BadInput
from models.job import AdapterUse, Job, Picture
from studio.library import store
from studio.library.store import Library, Query


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


def test_words_stars_bases_and_dates_narrow_what_is_shown(library):
    fox, cat, both = (library.keep(pixels(i), Job(prompt=words, base=base)).id for i, (words, base) in
                      enumerate([("a smiling Fuchs", "embedded"), ("a cat's hat", "sd15"), ("Übergroßer fox and cat", "embedded")]))
    shown = lambda **what: [item.id for item in library.items(query=Query(**what))]
    assert shown(words="fuchs") == [fox] and shown(words="cat") == [both, cat] and shown(words="cat FOX") == [both] and shown(words="uber") == [both]
    assert shown(words="nothing") == [] and shown(words='" OR 1=1 --') == [] and shown(words="*()") == [both, cat, fox], "odd signs are no syntax"
    library.star([fox, both])
    library.star([both], on=False)
    assert shown(starred=True) == [fox] and library.item(fox).starred and library.count(Query(starred=True)) == 1
    assert shown(base="sd15") == [cat] and library.bases() == ["embedded", "sd15"]
    moment = library.item(cat).created_s
    assert shown(since_s=moment) == [both, cat] and shown(until_s=moment) == [fox]


def test_the_trash_gives_back_and_only_it_deletes(library):
    kept, gone = (library.keep(pixels(i), Job(prompt=str(i))) for i in range(2))
    library.thumb(gone.id)
    assert library.trash([gone.id, "no such"]) == 1 and library.ids() == [kept.id] and library.trashed() == [gone.id]
    assert library.restore([gone.id]) == 1 and len(library.items()) == 2
    assert library.delete([kept.id, gone.id]) == 0 and kept.path.exists(), "nothing goes that was not in the trash"
    library.trash([gone.id])
    use = library.usage()
    assert use["pictures"] == 2 and use["trashed"] == 1 and 0 < use["trash_bytes"] < use["bytes"]
    assert library.delete([kept.id, gone.id]) == 1 and not gone.path.exists() and not list((library.folder / "thumbs").iterdir())
    assert library.usage() == {"pictures": 1, "bytes": kept.path.stat().st_size, "trashed": 0, "trash_bytes": 0}


def test_boards_hold_pictures_and_leave_them(library):
    ids = [library.keep(pixels(i), Job(prompt=str(i))).id for i in range(3)]
    assert library.pin(" My  board ", ids[:2]) == 2 and library.pin("My board", [ids[0], "no such"]) == 1
    library.pin("Empty", [])
    assert library.boards() == [{"name": "Empty", "pictures": 0}, {"name": "My board", "pictures": 2}]
    assert [item.id for item in library.items(query=Query(board="My board"))] == ids[1::-1]
    library.pin("My board", ids[:1], on=False)
    library.trash(ids[1:2])
    assert library.boards()[1]["pictures"] == 0
    library.drop_board("My board")
    assert [board["name"] for board in library.boards()] == ["Empty"] and len(library.ids()) == 2
    for name in ("", " \n", "x" * 81):
        with pytest.raises(BadInput, match="board's name"):
            library.pin(name, ids)


def test_a_thumb_is_small_and_made_once(library):
    from PIL import Image
    item = library.keep(np.zeros((900, 300, 4), np.uint8), Job())
    data = library.thumb(item.id)
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (107, 320) and image.mode == "RGBA"
    item.path.unlink()
    assert library.thumb(item.id) == data
    with pytest.raises(BadInput, match="file is gone"):
        library.open(item.id)


def test_an_older_studios_index_is_taken_over(tmp_path):
    new = Library(tmp_path)
    item = new.keep(pixels(1), Job(prompt="an old fox"))
    new.close()
    with closing(sqlite3.connect(tmp_path / "library.sqlite")) as db, db:
        db.executescript("DROP TABLE words; DROP TRIGGER words_in; DROP TRIGGER words_out; DROP INDEX items_shown; DROP INDEX items_starred;"
                         "ALTER TABLE items DROP COLUMN starred; ALTER TABLE items DROP COLUMN trashed_s; ALTER TABLE items DROP COLUMN bytes;"
                         "DROP TABLE boards; DROP TABLE pins; PRAGMA user_version = 0")
    again = Library(tmp_path)
    assert [found.id for found in again.items(query=Query(words="fox"))] == [item.id]
    assert again.item(item.id).bytes == item.path.stat().st_size and again.star([item.id]) == 1
    again.close()


def test_many_pictures_are_asked_for_by_their_index(library):
    """Every question of the page is answered from an index, so its time does not grow with the library."""
    import sqlalchemy as sql
    rows = [{"id": f"id-{i:04d}", "created_s": float(i), "file": f"pictures/{i}.png", "width": 9, "height": 9, "prompt": f"thing {i % 977}", "base": "embedded",
             "seed": i, "digest": "", "bytes": 1} for i in range(10_000)]
    with library._writing() as db:
        db.execute(store.ITEMS.insert(), rows)
    library.star(["id-0007"])
    assert [item.id for item in library.items(2)] == ["id-9999", "id-9998"] and library.count() == 10_000
    assert [item.id for item in library.items(query=Query(starred=True))] == ["id-0007"]
    assert library.count(Query(words="thing 976")) == 10
    with library._reading() as db:
        for query in (Query(), Query(trashed=True), Query(starred=True)):
            asked = sql.select(store.ITEMS).where(*store._wanted(query)).order_by(store.ITEMS.c.created_s.desc(), store.ITEMS.c.id.desc()).limit(60)
            plan = " ".join(row[-1] for row in db.exec_driver_sql(
                "EXPLAIN QUERY PLAN " + str(asked.compile(library._db, compile_kwargs={"literal_binds": True}))))
            assert "USING INDEX" in plan and "SCAN items" not in plan, plan
