"""Everything a user kept: PNG files that carry their Job, an SQLite index over them, and a journal of what was painted.

Safe to call from any thread. A file appears under its final name only when it is complete; what is deleted lies in the trash until the user
empties it. The index holds nothing that the files do not say, except stars, boards and the trash.
"""
from __future__ import annotations

import io
import json
import os
import re
import secrets
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sql
from PIL import Image

from models.errors import BadInput
from models.indexfile import BUSY_S, use_wal
from models.job import Job
from studio.export import png

JOURNAL_ROWS = 500
VERSION = 1                                          # of the index; PRAGMA user_version
THUMB_PX = 320
MAX_BOARD_CHARS, MAX_BOARDS = 80, 500
PART = 500                                           # ids in one statement
META = sql.MetaData()
ITEMS = sql.Table("items", META, sql.Column("id", sql.Text, primary_key=True), sql.Column("created_s", sql.Float, nullable=False),
                  *(sql.Column(name, sql.Text, nullable=False) for name in ("file",)),
                  sql.Column("width", sql.Integer, nullable=False), sql.Column("height", sql.Integer, nullable=False),
                  sql.Column("prompt", sql.Text, nullable=False), sql.Column("base", sql.Text, nullable=False),
                  sql.Column("seed", sql.Integer, nullable=False), sql.Column("digest", sql.Text, nullable=False),
                  sql.Column("starred", sql.Boolean, nullable=False, server_default="0"), sql.Column("trashed_s", sql.Float),
                  sql.Column("bytes", sql.Integer, nullable=False, server_default="0"))
JOURNAL = sql.Table("journal", META, sql.Column("n", sql.Integer, primary_key=True, autoincrement=True), sql.Column("created_s", sql.Float, nullable=False),
                    sql.Column("client", sql.Text, nullable=False), sql.Column("job", sql.LargeBinary, nullable=False), sqlite_autoincrement=True)
BOARDS = sql.Table("boards", META, sql.Column("id", sql.Integer, primary_key=True), sql.Column("name", sql.Text, unique=True, nullable=False))
PINS = sql.Table("pins", META, sql.Column("board", sql.Integer, primary_key=True), sql.Column("item", sql.Text, primary_key=True))
sql.Index("items_shown", ITEMS.c.trashed_s, ITEMS.c.created_s.desc(), ITEMS.c.id.desc())
sql.Index("items_starred", ITEMS.c.starred, ITEMS.c.trashed_s, ITEMS.c.created_s.desc(), ITEMS.c.id.desc())
sql.Index("pins_by_item", PINS.c.item)
_WORDS = """CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(prompt, content='items', content_rowid='rowid', tokenize='unicode61 remove_diacritics 2');
CREATE TRIGGER IF NOT EXISTS words_in AFTER INSERT ON items BEGIN INSERT INTO words(rowid, prompt) VALUES (new.rowid, new.prompt); END;
CREATE TRIGGER IF NOT EXISTS words_out AFTER DELETE ON items BEGIN INSERT INTO words(words, rowid, prompt) VALUES ('delete', old.rowid, old.prompt); END"""


@dataclass(frozen=True)
class Item:
    """A kept picture. `created_s`: seconds since 1970; `digest`: of its Job; `bytes`: of its file; `trashed_s`: since when it lies in the trash."""
    id: str
    created_s: float
    path: Path
    width: int
    height: int
    prompt: str
    base: str
    seed: int
    digest: str
    starred: bool = False
    trashed_s: float | None = None
    bytes: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "path"}


@dataclass(frozen=True)
class Query:
    """Which pictures. `words`: all of them begin a word of the prompt; `board`: by name; `since_s`, `until_s`: when they were kept."""
    words: str = ""
    board: str = ""
    base: str = ""
    starred: bool = False
    trashed: bool = False
    since_s: float | None = None
    until_s: float | None = None


class Library:
    """`folder` is made when it is not there. Files: pictures/YYYY-MM/ID.png, thumbs/ID.webp; index: library.sqlite."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sql.create_engine(sql.URL.create("sqlite", database=str(self.folder / "library.sqlite")), connect_args={"timeout": BUSY_S})
        sql.event.listen(self._db, "connect", lambda connection, _: use_wal(connection))
        self._lay_out()

    def _lay_out(self) -> None:
        """Make the tables, or bring those of an older studio up to date."""
        with self._writing() as db:
            known = {row[1] for row in db.exec_driver_sql("PRAGMA table_info(items)")}
            for column, kind in (("starred", "BOOLEAN NOT NULL DEFAULT 0"), ("trashed_s", "FLOAT"), ("bytes", "INTEGER NOT NULL DEFAULT 0")):
                if known and column not in known:
                    db.exec_driver_sql(f"ALTER TABLE items ADD COLUMN {column} {kind}")
            META.create_all(db)
            for statement in _WORDS.split(";\n"):
                db.exec_driver_sql(statement)
            if db.exec_driver_sql("PRAGMA user_version").scalar() < VERSION:
                db.exec_driver_sql("INSERT INTO words(words) VALUES ('rebuild')")
                for id, file in db.execute(sql.select(ITEMS.c.id, ITEMS.c.file).where(ITEMS.c.bytes == 0)).all():
                    path = self.folder / file
                    db.execute(ITEMS.update().where(ITEMS.c.id == id).values(bytes=path.stat().st_size if path.exists() else 0))
                db.exec_driver_sql(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        with self._lock:
            self._db.dispose()

    # --- keeping and finding ---

    def keep(self, pixels: np.ndarray, job: Job) -> Item:
        """Store one picture, uint8 [H, W, 3 or 4], with the Job of that very picture."""
        created_s, data = time.time(), png.encode(pixels, job)
        item_id = time.strftime("%Y%m%d-%H%M%S-", time.localtime(created_s)) + secrets.token_hex(8)
        path = self.folder / "pictures" / time.strftime("%Y-%m", time.localtime(created_s)) / f"{item_id}.png"
        _written(path, data)
        height, width = pixels.shape[:2]
        row = {"id": item_id, "created_s": created_s, "file": path.relative_to(self.folder).as_posix(), "width": width, "height": height,
               "prompt": job.prompt, "base": job.base, "seed": job.seeds[0], "digest": job.digest, "bytes": len(data)}
        with self._writing() as db:
            db.execute(ITEMS.insert().values(row))
        return self.item(item_id)

    def items(self, limit: int = 100, offset: int = 0, query: Query = Query()) -> list[Item]:
        """Newest first."""
        found = sql.select(ITEMS).where(*_wanted(query)).order_by(ITEMS.c.created_s.desc(), ITEMS.c.id.desc()).limit(limit).offset(offset)
        with self._reading() as db:
            return [self._item(row) for row in db.execute(found)]

    def count(self, query: Query = Query()) -> int:
        with self._reading() as db:
            return db.execute(sql.select(sql.func.count()).select_from(ITEMS).where(*_wanted(query))).scalar()

    def ids(self) -> list[str]:
        """Of all pictures that are not in the trash, newest first."""
        with self._reading() as db:
            return list(db.scalars(sql.select(ITEMS.c.id).where(ITEMS.c.trashed_s.is_(None)).order_by(ITEMS.c.created_s.desc(), ITEMS.c.id.desc())))

    def item(self, item_id: str) -> Item:
        with self._reading() as db:
            row = db.execute(sql.select(ITEMS).where(ITEMS.c.id == item_id)).first()
        if row is None:
            raise BadInput(f"The library holds no picture {item_id[:40]!r}.")
        return self._item(row)

    def open(self, item_id: str) -> tuple[np.ndarray, Job]:
        """(pixels uint8 [H, W, 3 or 4], the Job that makes them again)."""
        pixels, job = png.decode(self._data(item_id))
        if job is None:
            raise BadInput("That picture's file carries no job any more.", "It was changed by another program.")
        return pixels, job

    def thumb(self, item_id: str) -> bytes:
        """A WebP whose longer side is THUMB_PX at most, made when it is first asked for."""
        path = self.folder / "thumbs" / f"{self.item(item_id).id}.webp"
        if not path.exists():
            pixels, _ = png.decode(self._data(item_id))
            image, out = Image.fromarray(pixels), io.BytesIO()
            image.thumbnail((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS)
            image.save(out, "WEBP", quality=86)
            _written(path, out.getvalue())
        return path.read_bytes()

    def _data(self, item_id: str) -> bytes:
        try:
            return self.item(item_id).path.read_bytes()
        except OSError:
            raise BadInput("That picture's file is gone.", "It was moved or deleted by another program.") from None

    # --- what the user says of them ---

    def star(self, ids: Iterable[str], on: bool = True) -> int:
        return self._change(ids, ITEMS.update().values(starred=on))

    def trash(self, ids: Iterable[str]) -> int:
        """Into the trash; restore() undoes it."""
        return self._change(ids, ITEMS.update().where(ITEMS.c.trashed_s.is_(None)).values(trashed_s=time.time()))

    def restore(self, ids: Iterable[str]) -> int:
        return self._change(ids, ITEMS.update().values(trashed_s=None))

    def delete(self, ids: Iterable[str]) -> int:
        """For ever, but only what lies in the trash. The row goes first: a file without a row is lost space, the other way round a lie."""
        gone: list[Item] = []
        with self._writing() as db:
            for part in _parts(ids):
                mine = sql.and_(ITEMS.c.id.in_(part), ITEMS.c.trashed_s.isnot(None))
                found = [self._item(row) for row in db.execute(sql.select(ITEMS).where(mine))]
                db.execute(PINS.delete().where(PINS.c.item.in_([item.id for item in found])))
                db.execute(ITEMS.delete().where(mine))
                gone += found
        for item in gone:
            item.path.unlink(missing_ok=True)
            (self.folder / "thumbs" / f"{item.id}.webp").unlink(missing_ok=True)
        return len(gone)

    def trashed(self) -> list[str]:
        with self._reading() as db:
            return list(db.scalars(sql.select(ITEMS.c.id).where(ITEMS.c.trashed_s.isnot(None))))

    def usage(self) -> dict[str, int]:
        """Pictures and bytes, and how much of both lies in the trash."""
        of = sql.select(sql.func.count(), sql.func.coalesce(sql.func.sum(ITEMS.c.bytes), 0)).select_from(ITEMS)
        with self._reading() as db:
            pictures, size = db.execute(of).one()
            trashed, trash_size = db.execute(of.where(ITEMS.c.trashed_s.isnot(None))).one()
        return {"pictures": pictures, "bytes": size, "trashed": trashed, "trash_bytes": trash_size}

    def bases(self) -> list[str]:
        with self._reading() as db:
            return list(db.scalars(sql.select(ITEMS.c.base).distinct().order_by(ITEMS.c.base)))

    def boards(self) -> list[dict[str, Any]]:
        """{"name", "pictures"} by name."""
        of = (sql.select(BOARDS.c.name, sql.func.count(ITEMS.c.id)).select_from(
            BOARDS.outerjoin(PINS, PINS.c.board == BOARDS.c.id).outerjoin(ITEMS, sql.and_(ITEMS.c.id == PINS.c.item, ITEMS.c.trashed_s.is_(None))))
            .group_by(BOARDS.c.id).order_by(BOARDS.c.name))
        with self._reading() as db:
            return [{"name": name, "pictures": count} for name, count in db.execute(of)]

    def pin(self, board: str, ids: Iterable[str], on: bool = True) -> int:
        """Put pictures on a board, which is made when it is new, or take them off it."""
        name = " ".join(board.split())
        if not name or len(name) > MAX_BOARD_CHARS:
            raise BadInput(f"A board's name has 1 to {MAX_BOARD_CHARS} characters.")
        done = 0
        with self._writing() as db:
            number = db.scalar(sql.select(BOARDS.c.id).where(BOARDS.c.name == name))
            if number is None and on:
                if db.scalar(sql.select(sql.func.count()).select_from(BOARDS)) >= MAX_BOARDS:
                    raise BadInput(f"There are {MAX_BOARDS} boards already.", "Delete one first.")
                number = db.execute(BOARDS.insert().values(name=name)).inserted_primary_key[0]
            for part in _parts(ids):
                known = db.scalars(sql.select(ITEMS.c.id).where(ITEMS.c.id.in_(part))).all()
                db.execute(PINS.delete().where(PINS.c.board == number, PINS.c.item.in_(known)))
                if on and known:
                    db.execute(PINS.insert(), [{"board": number, "item": id} for id in known])
                done += len(known)
        return done

    def drop_board(self, name: str) -> None:
        """The board goes, its pictures stay."""
        with self._writing() as db:
            number = db.scalar(sql.select(BOARDS.c.id).where(BOARDS.c.name == name))
            db.execute(PINS.delete().where(PINS.c.board == number))
            db.execute(BOARDS.delete().where(BOARDS.c.id == number))

    def _change(self, ids: Iterable[str], change: Any) -> int:
        with self._writing() as db:
            return sum(db.execute(change.where(ITEMS.c.id.in_(part))).rowcount for part in _parts(ids))

    # --- what live canvases rested at ---

    def journal(self, client: str, job: Job) -> None:
        """Note what a live canvas rested at; the newest JOURNAL_ROWS stay."""
        packed = zlib.compress(json.dumps(job.to_dict()).encode(), 1)
        with self._writing() as db:
            done = db.execute(JOURNAL.insert().values(created_s=time.time(), client=client, job=packed))
            db.execute(JOURNAL.delete().where(JOURNAL.c.n <= done.inserted_primary_key[0] - JOURNAL_ROWS))

    def journaled(self, client: str | None = None, limit: int = 20) -> list[Job]:
        """The newest jobs first, of one client or of all."""
        found = sql.select(JOURNAL.c.job).order_by(JOURNAL.c.n.desc()).limit(limit)
        with self._reading() as db:
            rows = db.scalars(found if client is None else found.where(JOURNAL.c.client == client)).all()
        return [Job.from_dict(json.loads(zlib.decompress(row))) for row in rows]

    def _item(self, row: Any) -> Item:
        values = dict(row._mapping)
        return Item(path=self.folder / values.pop("file"), **values)

    @contextmanager
    def _writing(self) -> Iterator[sql.Connection]:
        """One at a time, all or nothing."""
        with self._lock, self._db.begin() as db:
            yield db

    @contextmanager
    def _reading(self) -> Iterator[sql.Connection]:
        with self._db.connect() as db:
            yield db


def _wanted(query: Query) -> list[Any]:
    """The conditions of a query."""
    out = [ITEMS.c.trashed_s > 0 if query.trashed else ITEMS.c.trashed_s.is_(None)]
    if tokens := re.findall(r"\w+", query.words):
        match = " ".join(f'"{token}"*' for token in tokens)
        out.append(sql.text("items.rowid IN (SELECT rowid FROM words WHERE words MATCH :match)").bindparams(match=match))
    if query.board:
        out.append(ITEMS.c.id.in_(sql.select(PINS.c.item).join(BOARDS, BOARDS.c.id == PINS.c.board).where(BOARDS.c.name == query.board)))
    if query.starred:
        out.append(ITEMS.c.starred == 1)
    if query.base:
        out.append(ITEMS.c.base == query.base)
    if query.since_s is not None:
        out.append(ITEMS.c.created_s >= query.since_s)
    if query.until_s is not None:
        out.append(ITEMS.c.created_s < query.until_s)
    return out


def _parts(ids: Iterable[str]) -> Iterator[Sequence[str]]:
    every = list(ids)
    return (every[i:i + PART] for i in range(0, len(every), PART))


def _written(path: Path, data: bytes) -> None:
    """The whole file under its final name or nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{secrets.token_hex(4)}.part")
    try:
        draft.write_bytes(data)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
