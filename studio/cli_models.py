"""`models list|add|convert|remove|verify`: the user's model files from the shell."""
from __future__ import annotations

import json
import os
import shutil
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models import hub
from models.errors import BadInput, StudioError
from models.releases import RELEASES
from models.stamps import FOLDERS
from models.weights import ASSETS, header
from studio.cards import cards
from studio.settings import Parser, add_flags, engine_settings

EVERYTHING = 1 << 40


def run(args: Sequence[str], open_engine: Callable[[Any], Any]) -> int:
    """Do what the first word says; without one, list."""
    words = list(args) or ["list"]
    if words[0] in ("-h", "--help"):
        words = ["list", *words]
    if words[0] not in COMMANDS:
        raise BadInput(f'There is no command "models {words[0]}".', f"Commands: {', '.join(COMMANDS)}.")
    declare, work = COMMANDS[words[0]]
    parser = Parser(prog=f"launch.py models {words[0]}", description=work.__doc__, epilog=f"Others: models {', '.join(COMMANDS)}.")
    declare(parser)
    add_flags(parser, os.environ)
    asked = parser.parse_args(words[1:])
    engine = open_engine(engine_settings(asked))
    try:
        if engine.catalog.shelf:
            engine.catalog.shelf.refresh(progress=_show_reading)
        return work(engine, asked)
    finally:
        engine.close()


# --- list --------------------------------------------------------------------------------------------------------------

def _declare_list(parser: Parser) -> None:
    parser.add_argument("words", nargs="*", help="only models that hold all of these words")
    parser.add_argument("--kind", type=_kind, default="", metavar="KIND", help=f"one of {', '.join(FOLDERS)}")
    parser.add_argument("--json", action="store_true", help="everything that is known, as JSON")


def list_models(engine: Any, asked: Namespace) -> int:
    """Every model that is known here: what ships, and the files in your folders."""
    found = cards(engine, " ".join(asked.words), asked.kind, EVERYTHING)["items"]
    if asked.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return 0
    away = {True: "", False: " (not downloaded)"}
    rows = [(card["id"], card["kind"], card["arch"].split(" (")[0], size(card["bytes"]), (card["path"] or card["where"]) + away[card["here"]])
            for card in found]
    wide = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    for row, card in zip(rows, found, strict=True):
        print("  ".join(f"{text:<{width}}" for text, width in zip(row, wide)), row[4], sep="  ")
        if card["error"]:
            print(f"{'':<{wide[0]}}  -> {card['error']}")
    if not rows:
        print(f"No model holds these words. Yours belong into {engine.catalog.shelf.folder}.")
    return 0


def size(count: int) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _kind(text: str) -> str:
    if text and text not in FOLDERS:
        raise ArgumentTypeError(f"there is no kind {text!r}; known: {', '.join(FOLDERS)}")
    return text


# --- add ---------------------------------------------------------------------------------------------------------------

def _declare_add(parser: Parser) -> None:
    parser.add_argument("source", help="a file, a diffusers folder, or a hub id: owner/name or owner/name/file.safetensors")
    parser.add_argument("--kind", type=_kind, default="", metavar="KIND", help="refuse it when it is another kind")
    parser.add_argument("--download", action="store_true", help="fetch a hub id; without it only its size is said")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--copy", action="store_true", help="copy the file into your folder of models")
    place.add_argument("--link", action="store_true", help="link to it from your folder of models")


def add(engine: Any, asked: Namespace) -> int:
    """Know a model from now on. The file stays where it is; a hub id is downloaded only with --download."""
    path = Path(asked.source)
    if hub.is_hub_id(asked.source):
        parcel = hub.look_up(asked.source)
        print(parcel)
        if not asked.download:
            print("Nothing was downloaded. Add --download to fetch it.")
            return 0
        path = hub.fetch(parcel, _show_download)
        if asked.source in RELEASES:                 # a percept's own file, which is known where it lies
            print(path)
            return 0
    elif asked.download:
        raise BadInput(f"{asked.source} is no hub id.", "Leave --download out for a file that is here.")
    model = engine.catalog.shelf.add(path, asked.kind)
    if asked.copy or asked.link:
        model = _bring_home(engine.catalog.shelf, model, asked.copy)
    print(f"{model.id}  {model.kind}  {model.arch}  {size(model.bytes)}  {model.path}")
    if not model.plugin:
        print(f"It is listed, but nothing here can paint with a {model.kind or 'file of this kind'} yet.", file=sys.stderr)
    return 0


def _bring_home(shelf: Any, model: Any, copy: bool) -> Any:
    """Copy or link an added model into the folder of its kind; it is known by that place from then on."""
    source = Path(model.path)
    home = shelf.folder / FOLDERS.get(model.kind, FOLDERS["lora"])[0] / source.name
    if home.exists() or home.is_symlink():
        raise BadInput(f"{home} is there already.", "Rename one of them.")
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        if copy:
            part = home.with_name(f".{home.name}.part")
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, part)
            part.rename(home)
        else:
            home.symlink_to(source)
    except OSError as error:
        raise BadInput(f"{home} cannot be written: {error.strerror or error}.", "Make room, or leave the file where it is.") from None
    shelf.forget(model.id)
    return shelf.add(home)


# --- convert -----------------------------------------------------------------------------------------------------------

def _declare_convert(parser: Parser) -> None:
    parser.add_argument("file", type=Path, help="ControlNetHED.pth, table5_pidinet.pth or sk_model.pth of lllyasviel/Annotators; model.pth of UniCon")


def convert(engine: Any, asked: Namespace) -> int:
    """Turn published weights (a pickle, of which only tensors are read) into safetensors: an annotator's in your folder of models, UniCon's
    beside the pickle."""
    from models.adapters import _unicon_layout       # both import torch
    from models.percepts import _shared
    file = asked.file.expanduser()
    print(_unicon_layout.convert(file) if _unicon_layout.is_one(file) else _shared.convert(file, engine.catalog.annotators_dir))
    return 0


# --- remove and verify -------------------------------------------------------------------------------------------------

def _declare_remove(parser: Parser) -> None:
    parser.add_argument("id", help="the first column of models list")
    parser.add_argument("--delete", action="store_true", help="delete the file too")


def remove(engine: Any, asked: Namespace) -> int:
    """Forget a model. Its file stays unless --delete is given."""
    if any(asked.id in engine.catalog.known(kind) for kind in ("base", "adapter", "percept")):
        raise BadInput(f'"{asked.id}" belongs to the studio and cannot be removed.', "Yours are listed by: models list")
    model = engine.catalog.shelf.forget(asked.id, asked.delete)
    engine.catalog.forget(asked.id)
    print(f"{'Deleted' if asked.delete else 'Forgotten; the file stays'}: {model.path}")
    return 0


def _declare_verify(parser: Parser) -> None:
    parser.add_argument("ids", nargs="*", help="only these; without any, all")


def verify(engine: Any, asked: Namespace) -> int:
    """Read every model file whole: its header, and its checksum against the last time. 1 when something is wrong."""
    shelf, bad = engine.catalog.shelf, 0
    results = [(f"assets/{path.relative_to(ASSETS).as_posix()}", path) for path in sorted(ASSETS.rglob("*.safetensors"))] if not asked.ids else []
    for name, wrong in [(name, _wrong(path)) for name, path in results]:
        bad += _say(name, wrong)
    for id in asked.ids or [model.id for model in shelf.models()]:
        bad += _say(id, shelf.verify(id))
    print(f"{bad} of them {'is' if bad == 1 else 'are'} not sound." if bad else "All are sound.")
    return int(bad > 0)


def _wrong(path: Path) -> str:
    try:
        header(path)
    except StudioError as error:
        return str(error)
    return ""


def _say(name: str, wrong: str) -> bool:
    print(f"{'BROKEN' if wrong else 'ok':<8}{name}" + (f"\n{'':<8}-> {wrong}" if wrong else ""), flush=True)
    return bool(wrong)


def _show_reading(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\rreading headers {done:,}/{total:,} ", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _show_download(done: int, total: int) -> None:
    end = "\n" if done == total or not sys.stderr.isatty() else ""
    print(f"\r{done / 1e6:,.1f} of {total / 1e6:,.1f} MB ({done * 100 // max(total, 1)} %) ", end=end, file=sys.stderr, flush=True)


COMMANDS: dict[str, tuple[Callable[[Parser], None], Callable[[Any, Namespace], int]]] = {
    "list": (_declare_list, list_models), "add": (_declare_add, add), "convert": (_declare_convert, convert),
    "remove": (_declare_remove, remove), "verify": (_declare_verify, verify)}
