"""The user's own model files: an index over folders that may hold tens of thousands of them.

Each header is read once and what it says is kept in SQLite; a file is looked at again when its size or time changes. What a file
is the plug-ins say (`Recognise`), so whatever can be loaded is known here; the rest is listed with what its header says of it, or
with what is wrong with it. Files elsewhere can be added by path, files in the folders can be forgotten without being touched.
Safe to call from any thread and from several processes at once.
"""
from __future__ import annotations

import json
import logging
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Any

from models import metadata
from models.errors import BadInput, StudioError, UnknownId
from models.frozen import FORM, freeze, thaw
from models.indexfile import IndexFile
from models.spec import slug
from models.stamps import FOLDERS, SUFFIXES, Stamp, make_folders, stamp, walk
from models.weights import header, sha256

Recognise = Callable[[str, str], "tuple[str, Any] | None"]
"""(what it may be: "base", "adapter" or "percept", path) -> (module that loads it, spec), or None."""
PLUGINS = {"": ("base", "adapter"), "base": ("base",), "upscaler": ("percept",)}
"""What a model of a kind may be to the studio; of any other kind it is an adapter."""
BATCH, CARD_LIMIT, CLOSE_MATCHES = 200, 1_000_000, 5
VERSION = f"1-{FORM}"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS choices (path TEXT PRIMARY KEY, known INT NOT NULL, place TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS models (path TEXT PRIMARY KEY, place TEXT NOT NULL, bytes INT NOT NULL, mtime_ns INT NOT NULL, id TEXT NOT NULL,
  kind TEXT NOT NULL, title TEXT NOT NULL, arch TEXT NOT NULL, plugin TEXT NOT NULL, module TEXT NOT NULL, spec TEXT NOT NULL,
  words TEXT NOT NULL, facts TEXT NOT NULL, error TEXT NOT NULL, sha256 TEXT NOT NULL, search TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS models_by_id ON models (id);
CREATE INDEX IF NOT EXISTS models_by_plugin ON models (plugin);
"""
_COLUMNS = ("path", "place", "bytes", "mtime_ns", "id", "kind", "title", "arch", "plugin", "module", "spec", "words", "facts", "error", "sha256",
            "search")
ID = re.compile(r"[a-z0-9-]{1,255}")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """One file or folder. `plugin`: "base", "adapter" or "percept" when something here can load it, else "". `error`: why it cannot be used.

    `words`: trigger words. `facts`: what its header says, by the names of models.metadata. `sha256`: as it was when verified.
    """
    path: str
    place: str
    bytes: int
    mtime_ns: int
    id: str = ""
    kind: str = ""
    title: str = ""
    arch: str = ""
    plugin: str = ""
    module: str = ""
    frozen: str = ""
    words: tuple[str, ...] = ()
    facts: dict[str, str] | None = None
    error: str = ""
    sha256: str = ""

    @cached_property
    def spec(self) -> Any:
        """The spec under this model's id; None when nothing here can load it."""
        return replace(thaw(self.frozen), id=self.id) if self.frozen else None

    def row(self) -> tuple:
        facts = self.facts or {}
        search = " ".join([self.id, self.kind, self.title, self.arch, Path(self.path).name, *self.words, *facts.values()]).lower()
        return (self.path, self.place, self.bytes, self.mtime_ns, self.id, self.kind, self.title, self.arch, self.plugin, self.module,
                self.frozen, json.dumps(self.words), json.dumps(facts), self.error, self.sha256, search)


def _model(row: Sequence[Any]) -> Model:
    *start, words, facts, error, digest, _ = row
    return Model(*start, tuple(json.loads(words)), json.loads(facts), error, digest)


class Shelf:
    """`folder`: the user's models; `index`: the SQLite file. Ids in `reserved` belong to what ships. Nothing is read before it is asked for."""

    def __init__(self, folder: Path, index: Path, recognise: Recognise, reserved: Collection[str] = ()) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self._file = IndexFile(index, _SCHEMA, "models", VERSION)
        self.recognise, self.reserved = recognise, frozenset(reserved)
        self._scanning = threading.Lock()
        self.progress: tuple[int, int] = (0, 0)      # (read, to read) of the running refresh

    # ---- asking

    def models(self, search: str = "", kind: str = "", plugin: str = "", limit: int = -1, offset: int = 0) -> list[Model]:
        """Those that hold every word of `search`, by title. limit -1 = all."""
        where, values = _where(search, kind, plugin)
        order = "ORDER BY title COLLATE NOCASE, id LIMIT ? OFFSET ?"
        return [_model(row) for row in self._ask(f"SELECT * FROM models {where} {order}", (*values, limit, offset))]

    def count(self, search: str = "", kind: str = "", plugin: str = "") -> int:
        where, values = _where(search, kind, plugin)
        return sum(row[0] for row in self._ask(f"SELECT count(*) FROM models {where}", values))

    def find(self, id: str, places: tuple[str, ...] = tuple(FOLDERS)) -> Model | None:
        """The model of that id as it is on disk now; None when there is none. `places` are searched for one that is new."""
        if not ID.fullmatch(id):
            return None
        model = self._row("id", id)
        if model is None or (model.bytes, model.mtime_ns) != self._now(model):
            self.refresh(places)
            model = self._row("id", id)
        return model

    def get(self, id: str) -> Model:
        """As `find`. Raises UnknownId with the ids that come close, or how many there are."""
        if model := self.find(id):
            return model
        close = [model.id for model in self.models(id, limit=CLOSE_MATCHES)] or [model.id for model in self.models(limit=CLOSE_MATCHES)]
        more = self.count() - len(close)
        known = f"Known: {', '.join(close)}{f' and {more:,} more' if more > 0 else ''}." if close else f"There are no models in {self.folder}."
        raise UnknownId(f'There is no model "{id}" among your files.', known)

    def _now(self, model: Model) -> tuple[int, int]:
        try:
            found = stamp(Path(model.path))
        except StudioError:
            return (-1, 0)
        return found.bytes, found.mtime_ns

    def _row(self, column: str, value: str) -> Model | None:
        return next((_model(row) for row in self._ask(f"SELECT * FROM models WHERE {column} = ?", (value,))), None)

    def _ask(self, question: str, values: Sequence[Any]) -> list[tuple]:
        """The rows of a SELECT; none while there is no index, which asking does not make."""
        if not self._file.path.exists():
            return []
        with self._file.open() as db:
            return db.execute(question, values).fetchall()

    # ---- looking

    def refresh(self, places: tuple[str, ...] = tuple(FOLDERS), progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Take in what is new or changed in the folders of `places` and drop what is gone. A broken file is a row with its error."""
        with self._scanning:
            if not self.folder.exists():
                self._make_folders()
            choices = self._choices()
            here = {found.path: found for found in walk(self.folder, places) if choices.get(found.path, (1, ""))[0]}
            here |= {path: found for path, (known, place) in choices.items() if known and (found := _stamp_or_none(path, place))}
            with self._file.open() as db:
                held = {path: rest for path, *rest in db.execute("SELECT path, bytes, mtime_ns, place FROM models")}
            gone = [path for path, (_, _, place) in held.items() if path not in here and (place in places or not place)]
            self._drop([path for path in gone if not choices.get(path, (0, ""))[0]])
            self._take_in([s for s in here.values() if held.get(s.path, [None] * 3)[:2] != [s.bytes, s.mtime_ns]], progress)
            self._mark_absent([path for path in gone if choices.get(path, (0, ""))[0]])

    def _take_in(self, stamps: Sequence[Stamp], progress: Callable[[int, int], None]) -> None:
        for start in range(0, len(stamps), BATCH):
            self.progress = (start, len(stamps))
            progress(*self.progress)
            self._store([self.describe(each) for each in stamps[start:start + BATCH]])
        self.progress = (0, 0)
        if stamps:
            progress(len(stamps), len(stamps))

    def describe(self, found: Stamp) -> Model:
        """What one file is, from its header. Never raises: what is wrong with it becomes `error`."""
        path, model = Path(found.path), Model(found.path, found.place, found.bytes, found.mtime_ns, kind=found.place)
        try:
            head = {} if path.is_dir() else header(path)
            meta = head.get("__metadata__", {})
            known = metadata.facts(meta)
            kind = (_folder_kind(path) if path.is_dir() else metadata.kind_of(head)) or found.place
            model = replace(model, kind=kind, facts=known, words=metadata.trigger_words(meta) or _card_words(path),
                            title=known.get("title", "") or metadata.plain(path.stem), arch=known.get("architecture", ""))
            return self._with_spec(model)
        except StudioError as error:
            return replace(model, title=model.title or metadata.plain(path.stem), error=str(error))
        except Exception as error:                   # one strange file must not keep the other ten thousand from being listed
            log.warning("%s could not be described.", path, exc_info=True)
            return replace(model, title=model.title or metadata.plain(path.stem), error=f"{path.name} cannot be understood ({error!r}).")

    def _with_spec(self, model: Model) -> Model:
        for plugin in PLUGINS.get(model.kind, ("adapter",)):
            if found := self.recognise(plugin, model.path):
                module, spec = found
                return replace(model, plugin=plugin, module=module, frozen=freeze(spec), arch=str(getattr(spec, "arch", "")),
                               kind=model.kind or getattr(spec, "kind", "base"), title=metadata.plain(spec.title) or model.title)
        return model

    # ---- changing

    def add(self, source: Path, place: str = "") -> Model:
        """Know the file or folder at `source` from now on; it stays where it is. Raises StudioError when it cannot be used."""
        if place and place not in FOLDERS:
            raise UnknownId(f'There is no kind "{place}".', f"Known: {', '.join(FOLDERS)}.")
        path = Path(source).expanduser().absolute()
        model = self.describe(stamp(path, place))
        if model.error:
            raise BadInput(model.error)
        if place and model.kind != place:
            raise BadInput(f"{path.name} holds a {model.kind}, not a {place}.", "Leave the kind out, or name the right one.")
        with self._file.write() as db:
            db.execute("INSERT OR REPLACE INTO choices VALUES (?, 1, ?)", (str(path), model.kind))
        self._store([model])
        return self._row("path", str(path))

    def forget(self, id: str, delete: bool = False) -> Model:
        """Know that model no longer. `delete` removes the file too, a folder only when it lies in the folders of models."""
        model = self.get(id)
        path = Path(model.path)
        if delete and path.is_dir() and self.folder not in path.parents:
            raise BadInput(f"{path} is a folder outside {self.folder} and is not deleted from here.", "Forget it, then delete it yourself.")
        if delete:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        with self._file.write() as db:
            db.execute("DELETE FROM models WHERE path = ?", (model.path,))
            db.execute("DELETE FROM choices WHERE path = ?", (model.path,))
            if not delete and self.folder in path.parents:
                db.execute("INSERT INTO choices VALUES (?, 0, '')", (model.path,))
        return model

    def verify(self, id: str) -> str:
        """Read one model whole: "" when it is sound, else what is wrong. The first checksum is remembered and compared from then on."""
        model = self.get(id)
        path = Path(model.path)
        try:
            for file in sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]:
                header(file)
            if path.is_dir():
                return model.error
            digest = sha256(path)
        except (StudioError, OSError) as error:
            return str(error)
        if model.sha256 and model.sha256 != digest:
            return f"{path.name} is not the file that it was: its checksum changed. Get it again, or forget and add it."
        with self._file.write() as db:
            db.execute("UPDATE models SET sha256 = ? WHERE path = ?", (digest, model.path))
        return model.error

    # ---- rows

    def _store(self, models: Sequence[Model]) -> None:
        with self._file.write() as db:
            for model in models:
                old = db.execute("SELECT id FROM models WHERE path = ?", (model.path,)).fetchone()
                row = replace(model, id=old[0] if old else self._free_id(db, model)).row()
                db.execute(f"INSERT OR REPLACE INTO models VALUES ({', '.join('?' * len(_COLUMNS))})", row)

    def _free_id(self, db: sqlite3.Connection, model: Model) -> str:
        """The file's name as an id; with its folders', then with a number, when that is taken."""
        path = Path(model.path)
        near = path.relative_to(self.folder) if self.folder in path.parents else Path(path.parent.name, path.name)
        names = [slug(_stem(path)) or "model", slug(str(near.with_name(_stem(path))))]
        numbered = (f"{names[1]}-{n}" for n in count(2))
        return next(name for name in chain(names, numbered)
                    if name not in self.reserved and not db.execute("SELECT 1 FROM models WHERE id = ?", (name,)).fetchone())

    def _drop(self, paths: Sequence[str]) -> None:
        if paths:
            with self._file.write() as db:
                db.executemany("DELETE FROM models WHERE path = ?", [(path,) for path in paths])

    def _mark_absent(self, paths: Sequence[str]) -> None:
        if paths:
            with self._file.write() as db:
                db.executemany("UPDATE models SET error = ?, mtime_ns = 0 WHERE path = ?",
                               [(f"{path} is not there any more. Put it back, or forget it.", path) for path in paths])

    def _choices(self) -> dict[str, tuple[int, str]]:
        """{path: (1 = added from elsewhere, 0 = forgotten; kind)}."""
        with self._file.open() as db:
            return {path: (known, place) for path, known, place in db.execute("SELECT * FROM choices")}

    def _make_folders(self) -> None:
        try:
            make_folders(self.folder)
        except OSError as error:
            raise BadInput(f"{self.folder} cannot be made: {error.strerror or error}.", "Name another place with --models-dir.") from None


def _where(search: str, kind: str, plugin: str) -> tuple[str, list[str]]:
    """The WHERE clause and its values."""
    words = [re.sub(r"([\\%_])", r"\\\1", word) for word in search.lower().split()]
    parts = [r"search LIKE ? ESCAPE '\'"] * len(words) + ["kind = ?"] * bool(kind) + ["plugin = ?"] * bool(plugin)
    values = [f"%{word}%" for word in words] + [value for value in (kind, plugin) if value]
    return f"WHERE {' AND '.join(parts)}" if parts else "", values


def _stem(path: Path) -> str:
    """A file's name without the ending that says its format; a version like v1.5 stays whole."""
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _stamp_or_none(path: str, place: str) -> Stamp | None:
    try:
        return stamp(Path(path), place)
    except StudioError:
        return None


def _folder_kind(path: Path) -> str:
    """The kind of a model in the diffusers layout, from the class its config names."""
    if (path / "model_index.json").exists():
        return "base"
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        return metadata.kind_of_class(str(config.get("_class_name", "")))
    except (OSError, ValueError, RecursionError, AttributeError):
        raise BadInput(f"{path.name} has no readable config.json.", "Download or copy the folder again.") from None


def _card_words(path: Path) -> tuple[str, ...]:
    """Trigger words from what a model page or another studio laid beside the file."""
    for card in (path.with_suffix(".civitai.info"), path.with_suffix(".json")):
        try:
            if card.stat().st_size <= CARD_LIMIT and (words := metadata.card_words(card.read_text(encoding="utf-8"))):
                return words
        except (OSError, ValueError):
            continue
    return ()
