"""Everything a user kept: PNG files that carry their Job, an SQLite index over them, and a journal of what was painted.

Safe to call from any thread. A file appears under its final name only when it is complete.
"""
from __future__ import annotations

import json
import secrets
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import BadInput
from models.job import Job
from studio.export import png

JOURNAL_ROWS = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (id TEXT PRIMARY KEY, created_s REAL NOT NULL, file TEXT NOT NULL, width INT NOT NULL,
  height INT NOT NULL, prompt TEXT NOT NULL, base TEXT NOT NULL, seed INT NOT NULL, digest TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS items_by_time ON items (created_s DESC);
CREATE TABLE IF NOT EXISTS journal (n INTEGER PRIMARY KEY AUTOINCREMENT, created_s REAL NOT NULL, client TEXT NOT NULL,
  job BLOB NOT NULL);
"""


@dataclass(frozen=True)
class Item:
    """A kept picture. `created_s`: seconds since 1970; `digest`: of its Job."""
    id: str
    created_s: float
    path: Path
    width: int
    height: int
    prompt: str
    base: str
    seed: int
    digest: str


class Library:
    """`folder` is made when it is not there. Files: pictures/YYYY-MM/ID.png; index: library.sqlite."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(self.folder / "library.sqlite", check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        with self._transaction() as db:
            db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def keep(self, pixels: np.ndarray, job: Job) -> Item:
        """Store one picture, uint8 [H, W, 3 or 4], with the Job of that very picture."""
        created_s = time.time()
        item_id = time.strftime("%Y%m%d-%H%M%S-", time.localtime(created_s)) + secrets.token_hex(8)
        path = self.folder / "pictures" / time.strftime("%Y-%m", time.localtime(created_s)) / f"{item_id}.png"
        path.parent.mkdir(exist_ok=True)
        draft = path.with_suffix(".part")
        draft.write_bytes(png.encode(pixels, job))
        draft.replace(path)
        height, width = pixels.shape[:2]
        file = path.relative_to(self.folder).as_posix()
        row = (item_id, created_s, file, width, height, job.prompt, job.base, job.seeds[0], job.digest)
        with self._transaction() as db:
            db.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        return self._item(row)

    def items(self, limit: int = 100, offset: int = 0) -> list[Item]:
        """Newest first."""
        with self._transaction() as db:
            rows = db.execute("SELECT * FROM items ORDER BY created_s DESC, id DESC LIMIT ? OFFSET ?", (limit, offset)).fetchall()
        return [self._item(tuple(row)) for row in rows]

    def ids(self) -> list[str]:
        """Of all pictures, newest first."""
        with self._transaction() as db:
            return [row[0] for row in db.execute("SELECT id FROM items ORDER BY created_s DESC, id DESC")]

    def item(self, item_id: str) -> Item:
        with self._transaction() as db:
            row = db.execute("SELECT * FROM items WHERE id = ?", (item_id,)).fetchone()
        if row is None:
            raise BadInput(f"The library holds no picture {item_id[:40]!r}.")
        return self._item(tuple(row))

    def open(self, item_id: str) -> tuple[np.ndarray, Job]:
        """(pixels uint8 [H, W, 3 or 4], the Job that makes them again)."""
        pixels, job = png.decode(self.item(item_id).path.read_bytes())
        if job is None:
            raise BadInput("That picture's file carries no job any more.", "It was changed by another program.")
        return pixels, job

    def journal(self, client: str, job: Job) -> None:
        """Note what a live canvas rested at; the newest JOURNAL_ROWS stay."""
        packed = zlib.compress(json.dumps(job.to_dict()).encode(), 1)
        with self._transaction() as db:
            done = db.execute("INSERT INTO journal (created_s, client, job) VALUES (?, ?, ?)", (time.time(), client, packed))
            db.execute("DELETE FROM journal WHERE n <= ?", (done.lastrowid - JOURNAL_ROWS,))

    def journaled(self, client: str | None = None, limit: int = 20) -> list[Job]:
        """The newest jobs first, of one client or of all."""
        with self._transaction() as db:
            rows = db.execute("SELECT job FROM journal WHERE ? IS NULL OR client = ? ORDER BY n DESC LIMIT ?",
                              (client, client, limit)).fetchall()
        return [Job.from_dict(json.loads(zlib.decompress(row["job"]))) for row in rows]

    def _item(self, row: tuple) -> Item:
        item_id, created_s, file, *rest = row
        return Item(item_id, created_s, self.folder / file, *rest)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._db:
            yield self._db
