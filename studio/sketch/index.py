"""What the pictures of a library look like, kept beside it: one row a picture in likeness.sqlite, found again by the picture's id.

The file is a cache: rows of other weights are dropped when it is opened, and deleting it costs the time to look again.
"""
from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

_SCHEMA = "CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, weights TEXT NOT NULL, vector BLOB NOT NULL, thumb BLOB NOT NULL)"


class Seen(NamedTuple):
    """`vector`: float32 [D], all 0 for a picture without lines or one that cannot be read; `thumb`: WebP, empty when there is none."""
    id: str
    vector: np.ndarray
    thumb: bytes


class LikenessIndex:
    """Vectors are held in memory too (256 bytes a picture), thumbs only on disk. Safe to call from any thread."""

    def __init__(self, path: Path, weights: str) -> None:
        self._lock, self._weights = threading.Lock(), weights
        self._db = _opened(path)
        self._db.execute("DELETE FROM seen WHERE weights != ?", (weights,))
        self._db.commit()
        rows = self._db.execute("SELECT id, vector FROM seen").fetchall()
        self._vectors = {id: np.frombuffer(vector, np.float16).astype(np.float32) for id, vector in rows}

    def __contains__(self, id: str) -> bool:
        return id in self._vectors

    def add(self, seen: Iterable[Seen]) -> None:
        seen = list(seen)
        rows = [(one.id, self._weights, one.vector.astype(np.float16).tobytes(), one.thumb) for one in seen]
        with self._lock, self._db:
            self._db.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", rows)
            self._vectors |= {one.id: one.vector.astype(np.float16).astype(np.float32) for one in seen}

    def keep_only(self, ids: Iterable[str]) -> None:
        """Forget every other picture."""
        gone = [(id,) for id in set(self._vectors) - set(ids)]
        if gone:
            with self._lock, self._db:
                self._db.executemany("DELETE FROM seen WHERE id = ?", gone)
                for (id,) in gone:
                    self._vectors.pop(id, None)

    def matrix(self, ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
        """(those of `ids` that are known, their vectors [N, D])."""
        with self._lock:
            known = [id for id in ids if id in self._vectors]
            return known, np.stack([self._vectors[id] for id in known]) if known else np.zeros((0, 1), np.float32)

    def thumb(self, id: str) -> bytes:
        with self._lock:
            row = self._db.execute("SELECT thumb FROM seen WHERE id = ?", (id,)).fetchone()
        return row[0] if row else b""

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _opened(path: Path) -> sqlite3.Connection:
    """The file; made anew when it is damaged, and in memory where no file can be written."""
    try:
        return _connected(path)
    except sqlite3.DatabaseError:
        pass
    try:
        path.unlink(missing_ok=True)
        return _connected(path)
    except (sqlite3.DatabaseError, OSError):
        return _connected(Path(":memory:"))


def _connected(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        db.execute(_SCHEMA)
        db.execute("SELECT id, weights, vector, thumb FROM seen LIMIT 1").fetchall()
        return db
    except sqlite3.DatabaseError:
        db.close()
        raise
