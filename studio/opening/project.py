"""A project of this studio (studio/export/project.py): the same stack and the same pictures, bit for bit."""
from __future__ import annotations

import json

from models.errors import BadInput
from models.job import Job, Picture
from models.decoding import measured, read_rgba
from models.layers.stack import Stack
from studio.export import png
from studio.export.project import PICTURES, STACK, VERSION
from studio.opening import Opened, Opener
from studio.opening._room import Room, named
from studio.opening._zip import Archive, holds

MAX_JSON_BYTES = 64 * 2 ** 20
AGAIN = "Export the document again."


def claims(data: bytes) -> bool:
    return holds(data, STACK)


def open_project(data: bytes, name: str) -> Opened:
    archive, room = Archive(data), Room()
    head = _head(archive.read(STACK, MAX_JSON_BYTES))
    stack, jobs = Stack.from_dict(head["stack"]), {}
    for digest in sorted(stack.pictures()):
        data = archive.read(f"{PICTURES}/{digest}.png")
        room.make_room(*measured(data))
        room.pictures[digest] = _checked(read_rgba(data)[0], digest)
        if job := _job(data):
            jobs[digest] = job
    return Opened(named(head.get("name", ""), name), stack, room.pictures, (), jobs)


def _head(data: bytes) -> dict:
    try:
        head = json.loads(data)
    except (ValueError, RecursionError):
        raise BadInput("stack.json in the project is damaged.", AGAIN) from None
    if not isinstance(head, dict) or not isinstance(head.get("onestroke"), int) or "stack" not in head:
        raise BadInput("This zip is no project of Onestroke.", "Choose a file that was exported as a project.")
    if head["onestroke"] > VERSION:
        raise BadInput("A newer Onestroke wrote this project.", "Update the studio first.")
    return head


def _checked(picture: Picture, digest: str) -> Picture:
    if picture.digest != digest:
        raise BadInput(f"The picture {digest[:12]} in the project is not what it was.", AGAIN)
    return picture


def _job(data: bytes) -> Job | None:
    try:
        return png.job_in(data)
    except BadInput:
        return None


OPENER = Opener("project", "project", 10, claims, open_project)
