"""Any other picture file as one layer; asked last, so it also says what cannot be opened at all."""
from __future__ import annotations

from models.errors import BadInput
from models.decoding import read_rgba
from models.layers.stack import Stack
from studio.export import png
from studio.opening import Opened, Opener
from studio.opening._room import Room, canvas


def open_picture(data: bytes, name: str) -> Opened:
    """The picture on a canvas of its own size."""
    if data[:4] == b"PK\3\4":
        raise BadInput("This zip holds no layers that are understood.", "Choose a project, an OpenRaster file or a PSD.")
    room = Room()
    picture, notes = read_rgba(data)
    extent = canvas(picture.width, picture.height)
    layer = room.layer(picture.array, 0, 0, name or "Picture")
    try:
        job = png.job_in(data)
    except BadInput:
        job = None
    return Opened(name, Stack(extent, (layer,)), room.pictures, notes, {layer.picture: job} if job else {})


OPENER = Opener("picture", "picture", 99, lambda data: True, open_picture)
