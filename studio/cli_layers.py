"""`layers FILE... --to FORMAT --out PATH`: PSDs, OpenRaster files, projects and pictures into each other, from the shell."""
from __future__ import annotations

import re
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.errors import BadInput, StudioError
from models.job import Extent
from models.layers.stack import Group, Layer, Node, Placement, Stack, new_id
from studio.export import Format, formats
from studio.files import write_whole
from studio.opening import MAX_FILE_BYTES, Opened, open_file
from studio.settings import Parser


def run(args: Sequence[str]) -> int:
    """Open, put on each other, write; prints the file and what could not be kept."""
    asked = parser().parse_args(list(args))
    if asked.list or not asked.files:
        return listed(asked)
    out = out_path(asked)
    opened = [opened_file(path) for path in asked.files]
    stack = stacked(opened)
    pictures, about = _together(opened), {"name": out.stem.partition(".")[0], "background": asked.background, "jobs": _jobs(opened)}
    write_whole(out, format_for(asked, out).write(stack, pictures, asked.scale, about))
    for note in dict.fromkeys(note for one in opened for note in one.notes):
        print(note, file=sys.stderr)
    print(f"{out}  {sum(1 for _ in stack.leaves())} layers, {stack.extent} px")
    return 0


def parser() -> Parser:
    out = Parser(prog="launch.py layers", description="Turn files with layers (PSD, ORA, projects) and pictures into any export format.",
                 epilog="Several files lie on each other, the first at the bottom, centred on a canvas that holds them all.")
    out.add_argument("files", nargs="*", type=Path, metavar="FILE", help="PSD, ORA, project or picture")
    out.add_argument("--to", choices=list(formats()), metavar="FORMAT", help=f"one of {', '.join(formats())}; unset = by the ending of --out")
    out.add_argument("--out", type=Path, metavar="PATH", help="the file to write; unset = beside the first file")
    out.add_argument("--scale", type=float, default=1.0, metavar="K", help="size of the export; 1 = as it is")
    out.add_argument("--background", type=_colour, default="", metavar="#rrggbb", help="lies under everything; unset = nothing")
    out.add_argument("--list", action="store_true", help="show the layers and write nothing")
    return out


def listed(asked: Namespace) -> int:
    """The layers of the files, topmost first, or the formats there are."""
    if not asked.files:
        print("\n".join(f"{format.id:<8} .{format.suffix:<14} {format.title}" for format in formats().values()))
        return 0
    for path in asked.files:
        opened = opened_file(path)
        print(f"{path}  {opened.stack.extent} px", *_rows(opened.stack.layers, 1), *opened.notes, sep="\n")
    return 0


def _rows(nodes: tuple[Node, ...], depth: int) -> list[str]:
    rows = []
    for node in reversed(nodes):
        place = "" if isinstance(node, Group) else f" {node.place.width:g}x{node.place.height:g} at {node.place.corner[0]:g},{node.place.corner[1]:g}"
        hidden = "" if node.visible else " (hidden)"
        rows.append(f"{'  ' * depth}{node.name}{hidden}  {node.blend} {node.opacity * 100:.0f} %{place}")
        rows += _rows(node.layers, depth + 1) if isinstance(node, Group) else []
    return rows


def opened_file(path: Path) -> Opened:
    """Raises BadInput, with the file's name, for what cannot be opened."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInput(f"it has more than {MAX_FILE_BYTES / 1e6:,.0f} MB.", "Save it with fewer or smaller layers.")
        return open_file(path.read_bytes(), path.name)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.", "Check its name and where it lies.") from None
    except StudioError as error:
        raise BadInput(f"{path.name}: {error}") from None


def format_for(asked: Namespace, out: Path) -> Format:
    """--to, or what the ending of --out says."""
    if asked.to:
        return formats()[asked.to]
    by_ending = sorted((format for format in formats().values() if out.name.lower().endswith(f".{format.suffix}")), key=lambda f: -len(f.suffix))
    if not by_ending:
        raise BadInput(f'"{out.suffix}" tells no format.', f"Say it with --to: {', '.join(formats())}.")
    return by_ending[0]


def out_path(asked: Namespace) -> Path:
    """Raises BadInput before anything is read when it cannot be written."""
    if asked.out is None and asked.to is None:
        raise BadInput("Neither --to nor --out says what to write.", f"Formats: {', '.join(formats())}.")
    first = asked.files[0]
    out = asked.out or first.with_name(f"{first.name.partition('.')[0]}.{formats()[asked.to].suffix}")
    format_for(asked, out)
    if not out.parent.is_dir():
        raise BadInput(f"The folder {out.parent} is not there.", "Make it first, or choose another place with --out.")
    if asked.out is None and any(out.resolve() == path.resolve() for path in asked.files):
        raise BadInput(f"{out.name} would replace a file that is read.", "Choose another place with --out.")
    return out


def stacked(opened: Sequence[Opened]) -> Stack:
    """One file as it is; several as groups (single pictures as layers) in the middle of a canvas that holds them all."""
    if len(opened) == 1:
        return opened[0].stack
    extent = Extent(max(one.stack.extent.width for one in opened), max(one.stack.extent.height for one in opened))
    return Stack(extent, tuple(_centred(one, extent) for one in opened))


def _centred(one: Opened, extent: Extent) -> Node:
    x, y = (extent.width - one.stack.extent.width) // 2, (extent.height - one.stack.extent.height) // 2
    nodes = tuple(_moved(node, x, y) for node in one.stack.layers)
    return nodes[0] if len(nodes) == 1 else Group(new_id(), one.name[:200] or "File", nodes)


def _moved(node: Node, x: int, y: int) -> Node:
    """With an id of its own: files of one origin may share them."""
    if isinstance(node, Layer):
        place: Placement = replace(node.place, x=node.place.x + x, y=node.place.y + y)
        return replace(node, id=new_id(), place=place)
    return replace(node, id=new_id(), layers=tuple(_moved(inner, x, y) for inner in node.layers))


def _together(opened: Sequence[Opened]) -> Mapping[str, Any]:
    return {digest: picture for one in opened for digest, picture in one.pictures.items()}


def _jobs(opened: Sequence[Opened]) -> Mapping[str, Any]:
    return {digest: job for one in opened for digest, job in one.jobs.items()}


def _colour(text: str) -> str:
    if text and not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ArgumentTypeError(f"{text!r} is not a colour; write it as #rrggbb")
    return text
