"""Documents of a tab: one JSON file each, written whole at every change, and the pictures they name. What is in them is the tab's.

A document that is thrown away lies in the bin for a while and can be brought back. Safe to call from any thread.
"""
from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from models.errors import BadInput, InUse, StudioError, UnknownId
from models.files import clear_torn
from studio.files import write_whole
from studio.layers.pictures import PICTURE_ID, Pictures

BIN_S = 30 * 86400.0
MAX_NAME_CHARS = 200
UNNAMED = "Untitled"
_ID = re.compile(r"[0-9a-f]{12}")


class Stale(InUse):
    """Another page has changed the document since."""


@dataclass(frozen=True)
class Kind:
    """What a tab keeps in its documents. field: its name in JSON. parse(JSON) -> content, which has to_dict(). about(content): what a list
    shows of it. check(pictures, content) raises BadInput where a picture is missing."""
    field: str
    parse: Callable[[Any], Any]
    about: Callable[[Any], dict[str, Any]]
    check: Callable[[Pictures, Any], None]


@dataclass(frozen=True)
class Document:
    """`revision` rises with every change; `changed_s`: seconds since 1970."""
    id: str
    name: str
    content: Any
    revision: int
    changed_s: float
    kind: Kind = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        return self.card() | {self.kind.field: self.content.to_dict()}

    def card(self) -> dict[str, Any]:
        """What a list shows of it."""
        return {"id": self.id, "name": self.name, "revision": self.revision, "changed_s": self.changed_s, **self.kind.about(self.content)}


class Documents:
    """`folder` is made when it is not there: documents/ID.json, bin/ID.json, pictures/."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        self.folder, self.kind, self.pictures = Path(folder), kind, Pictures(Path(folder) / "pictures")
        for room in ("documents", "bin"):
            (self.folder / room).mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()

    def cards(self) -> list[dict[str, Any]]:
        """Every document, the newest change first; files that cannot be read are left out."""
        cards = []
        for path in (self.folder / "documents").glob("*.json"):
            try:
                cards.append(self.read(path.stem).card())
            except StudioError:
                continue
        return sorted(cards, key=lambda card: card["changed_s"], reverse=True)

    def make(self, name: str, content: Any) -> Document:
        return self._write(Document(secrets.token_hex(6), _named(name), content, 1, time.time(), self.kind))

    def read(self, id: str, room: str = "documents") -> Document:
        """Raises UnknownId, and BadInput for a file that is damaged."""
        path = self._path(id, room)
        if not path.exists():
            raise UnknownId(f'There is no document "{id[:16]}".', "It may have been deleted in another window.")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            content = self.kind.parse(values[self.kind.field])
            return Document(id, values["name"], content, values["revision"], values["changed_s"], self.kind)
        except (ValueError, KeyError, TypeError):
            raise BadInput(f"The file of document {id[:16]} is damaged.") from None

    def write(self, id: str, name: str, content: Any, revision: int) -> Document:
        """Change a document that the writer knows at `revision`. Raises Stale when it has changed since, BadInput for missing pictures."""
        self.kind.check(self.pictures, content)
        with self._lock:
            now = self.read(id)
            if now.revision != revision:
                raise Stale(f'"{now.name}" was changed in another window meanwhile.', "Load it from there, or keep this one as a copy.")
            return self._write(replace(now, name=_named(name), content=content, revision=revision + 1, changed_s=time.time()))

    def remove(self, id: str) -> None:
        """Into the bin."""
        with self._lock:
            self.read(id)
            self._path(id).replace(self._path(id, "bin"))
            self._path(id, "bin").touch()

    def restore(self, id: str) -> Document:
        """Out of the bin."""
        with self._lock:
            document = self.read(id, "bin")
            self._path(id, "bin").replace(self._path(id))
        return document

    def sweep(self, now_s: float | None = None) -> None:
        """Empty the bin of what lies there longer than BIN_S and clear what a killed process left half written, then let go of pictures that
        nothing names. A file that cannot be read stops the last, for what it names is not known."""
        clear_torn(self.folder, now_s)
        old_s = (time.time() if now_s is None else now_s) - BIN_S
        for path in (self.folder / "bin").glob("*.json"):
            if path.stat().st_mtime < old_s:
                path.unlink()
        rooms = [(room, path.stem) for room in ("documents", "bin") for path in (self.folder / room).glob("*.json")]
        used = {picture for room, id in rooms for picture in named_in(self.read(id, room).content)}
        self.pictures.sweep(used, now_s)

    def _path(self, id: str, room: str = "documents") -> Path:
        if not _ID.fullmatch(id):
            raise UnknownId(f'"{id[:16]}" is no id of a document.')
        return self.folder / room / f"{id}.json"

    def _write(self, document: Document) -> Document:
        values = {"name": document.name, "revision": document.revision, "changed_s": document.changed_s,
                  self.kind.field: document.content.to_dict()}
        write_whole(self._path(document.id), json.dumps(values, separators=(",", ":")).encode())
        return document


def named_in(content: Any) -> set[str]:
    """All pictures that a content names anywhere: those it shows, and those that something was made from and may be made from again."""
    return set(PICTURE_ID.findall(json.dumps(content.to_dict())))


def _named(name: object) -> str:
    """A name that can be shown."""
    if not isinstance(name, str) or len(name) > MAX_NAME_CHARS:
        raise BadInput(f"A document's name may have {MAX_NAME_CHARS} characters at most.", "Choose a shorter one.")
    return " ".join(name.split()) or UNNAMED
