"""The index file between processes: whoever comes second waits, whatever the first is doing."""
from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from models import indexfile
from models.errors import BadInput
from models.indexfile import IndexFile

SCHEMA = "CREATE TABLE IF NOT EXISTS things (name TEXT)"


def held(path: Path, how: str) -> sqlite3.Connection:
    """A connection to a file that is not yet in WAL mode, inside a transaction."""
    other = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    other.execute("CREATE TABLE x (a)")
    other.execute(how)
    other.execute("SELECT * FROM x").fetchall()
    return other


@pytest.mark.parametrize("how", ["BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_opening_waits_for_another_process_even_before_wal(tmp_path: Path, how: str) -> None:
    other = held(tmp_path / "index.sqlite", how)
    threading.Timer(0.1, lambda: other.execute("COMMIT")).start()
    with IndexFile(tmp_path / "index.sqlite", SCHEMA, "things", "1").open() as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_waiting_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexfile, "BUSY_S", 0.05)
    held(tmp_path / "index.sqlite", "BEGIN IMMEDIATE")
    with pytest.raises(BadInput, match="--cache-dir"), IndexFile(tmp_path / "index.sqlite", SCHEMA, "things", "1").open():
        pass
