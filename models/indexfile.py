"""A small SQLite file that can be built anew from what it describes: opened for one question at a time, safe between processes."""
from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from models.errors import BadInput

BUSY_S = 30.0                                        # how long one process waits while another writes
log = logging.getLogger(__name__)


class IndexFile:
    """`schema`: CREATE ... IF NOT EXISTS statements. `derived`: the table that is dropped when `version` is another; others stay."""

    def __init__(self, path: Path, schema: str, derived: str, version: str) -> None:
        self.path, self.schema, self.derived, self.version = Path(path).expanduser(), schema, derived, version

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one question. A damaged file is set aside and a new one begun. Raises BadInput where none can be made."""
        try:
            db = self._connect()
        except (sqlite3.OperationalError, OSError) as error:
            raise BadInput(f"The index {self.path} cannot be opened: {error}.", "Name another place with --cache-dir.") from None
        except sqlite3.DatabaseError:
            aside = self.path.with_suffix(f".damaged-{time.time_ns()}")
            log.warning("The index of models was damaged; it was set aside as %s.", aside.name)
            self.path.replace(aside)
            db = self._connect()
        with closing(db):
            yield db

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """As `open`, in one transaction that holds the write lock from its start, so that what is read inside stays true."""
        with self.open() as db, _transaction(db):
            yield db

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        try:
            use_wal(db)
            db.execute("PRAGMA synchronous = NORMAL")
            if not self._is_laid_out(db):
                self._lay_out(db)
            return db
        except BaseException:
            db.close()
            raise

    def _is_laid_out(self, db: sqlite3.Connection) -> bool:
        made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone()
        return bool(made) and db.execute("SELECT version FROM about").fetchone() == (self.version,)

    def _lay_out(self, db: sqlite3.Connection) -> None:
        """Make the tables; rows of another version are derived anew."""
        with _transaction(db):
            if self._is_laid_out(db):                # another process was first
                return
            db.execute("CREATE TABLE IF NOT EXISTS about (version TEXT NOT NULL)")
            db.execute(f"DROP TABLE IF EXISTS {self.derived}")
            for statement in self.schema.strip().split(";\n"):
                db.execute(statement)
            db.execute("DELETE FROM about")
            db.execute("INSERT INTO about VALUES (?)", (self.version,))


def use_wal(db: sqlite3.Connection) -> None:
    """Write-ahead logging. The change into it wants the file alone and does not wait for `timeout` (SQLite calls no busy handler), so we do."""
    deadline = time.monotonic() + BUSY_S
    while db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
