"""Picture files of every kind to straight 8-bit pixels: deep, printed, animated, turned, with palettes and profiles, and broken ones."""
from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from models.decoding import ANIMATED_NOTE, CMYK_NOTE, DEEP_NOTE, decode, measured, read, read_rgba
from models.errors import BadInput

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
ROUNDED = np.round(RAMP / 257.0).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def deep_png(*planes: np.ndarray, extra: bytes = b"") -> bytes:
    """A 16-bit PNG of 1 (grey), 2 (grey, alpha), 3 or 4 channels, written byte by byte. `extra`: a chunk before the pixels."""
    pixels = np.stack(planes, -1)
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, {1: 0, 2: 4, 3: 2, 4: 6}[len(planes)], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    middle = chunk(extra[:4], extra[4:]) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("planes", [1, 2, 3, 4])
def test_sixteen_bits_are_rounded_not_cut(planes: int) -> None:
    """Every one of the 65,536 values, in grey, grey with alpha, colour, and colour with alpha."""
    colours, alpha = [RAMP, RAMP.T, RAMP[::-1]], RAMP[:, ::-1]
    given = {1: [RAMP], 2: [RAMP, alpha], 3: colours, 4: [*colours, alpha]}[planes]
    picture, notes = read(deep_png(*given))
    want = [ROUNDED, ROUNDED.T, ROUNDED[::-1]] if planes > 2 else [ROUNDED] * 3
    assert notes == (DEEP_NOTE,) and picture.channels == (4 if planes in (2, 4) else 3)
    assert all((picture.array[..., i] == plane).all() for i, plane in enumerate([*want, ROUNDED[:, ::-1]][:picture.channels]))


def test_sixteen_bits_with_one_transparent_colour() -> None:
    picture = decode(deep_png(RAMP, RAMP, RAMP, extra=b"tRNS" + struct.pack(">HHH", *[100 * 256 + 5] * 3)))
    assert picture.channels == 4 and (picture.array[..., 3] == 0).sum() == 1 and picture.array[100, 5, 3] == 0


def test_sixteen_bit_grey_tiff_and_a_turned_deep_png() -> None:
    _, tiff = cv2.imencode(".tif", RAMP)
    assert (decode(tiff.tobytes()).array[..., 0] == ROUNDED).all()
    exif = Image.Exif()
    exif[0x0112] = 6                                 # to be turned a quarter clockwise
    turned = decode(deep_png(RAMP, extra=b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")))
    assert (turned.array[..., 0] == np.rot90(ROUNDED, -1)).all()


def test_printing_colours_become_screen_colours() -> None:
    for kind in ("JPEG", "TIFF"):
        picture, notes = read(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind))
        assert notes == (CMYK_NOTE,) and np.abs(picture.array[4, 4].astype(int) - (255, 0, 0)).max() <= 3


def test_a_profile_of_another_screen_is_turned_into_srgb_and_srgb_is_left_alone() -> None:
    """A pure red of Lab lightness 53 in a profile without gamma is no longer (255, 0, 0); sRGB stays bit for bit; alpha stays either way."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 4), dtype=np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert (decode(saved(Image.fromarray(pixels), "PNG", icc_profile=srgb)).array == pixels).all()
    assert (decode(saved(Image.fromarray(pixels), "PNG", icc_profile=b"rubbish")).array == pixels).all()
    linear = _linear_profile(srgb)
    grey = np.full((4, 4, 4), (55, 55, 55, 77), np.uint8)
    picture, notes = read(saved(Image.fromarray(grey), "PNG", icc_profile=linear))
    want = 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055)
    assert notes and (picture.array[..., 3] == 77).all() and np.abs(picture.array[0, 0, :3] - want).max() <= 2


def _linear_profile(srgb: bytes) -> bytes:
    """sRGB's profile with straight tone curves and another name."""
    data = bytearray(srgb.replace("sRGB built-in".encode("utf-16-be"), "Line built-in".encode("utf-16-be")))
    for i in range(int.from_bytes(data[128:132], "big")):
        at = 132 + 12 * i
        if bytes(data[at:at + 4]) in (b"rTRC", b"gTRC", b"bTRC"):
            where, size = struct.unpack(">II", data[at + 4:at + 12])
            data[where:where + size] = (b"curv" + bytes(8)).ljust(size, b"\0")
    return bytes(data)


def test_animations_give_their_first_frame_and_say_so() -> None:
    frames = [Image.new("RGBA", (8, 8), colour) for colour in ((255, 0, 0, 128), (0, 255, 0, 255))]
    for kind in ("PNG", "WEBP"):
        picture, notes = read(saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **({"lossless": True} if kind == "WEBP" else {})))
        assert notes == (ANIMATED_NOTE,) and picture.array[4, 4].tolist() == [255, 0, 0, 128]
    gif = read(saved(frames[0].convert("P"), "GIF", save_all=True, append_images=[frames[1].convert("P")], transparency=0))
    assert gif[1] == (ANIMATED_NOTE,)


def test_palettes_grey_with_alpha_and_bitmaps() -> None:
    palette = Image.new("P", (4, 2))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.putdata([0, 1, 2, 0, 1, 2, 0, 1])
    got = decode(saved(palette, "PNG", transparency=bytes([255, 128, 0]))).array
    assert got[0, :3].tolist() == [[255, 0, 0, 255], [0, 255, 0, 128], [0, 0, 255, 0]]
    assert decode(saved(Image.new("LA", (3, 3), (90, 40)), "PNG")).array[1, 1].tolist() == [90, 90, 90, 40]
    assert decode(saved(Image.new("1", (3, 3), 1), "PNG")).array[1, 1].tolist() == [255, 255, 255]
    assert read_rgba(saved(Image.new("L", (3, 3), 7), "PNG"))[0].array[1, 1].tolist() == [7, 7, 7, 255]


def test_turned_photographs_stand_upright_and_are_measured_without_unpacking() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(Image.new("RGB", (20, 10)), "JPEG", exif=exif)
    assert (decode(data).width, decode(data).height) == (10, 20) and measured(data) == (20, 10)


@pytest.mark.parametrize("data", [deep_png(RAMP)[:300], deep_png(RAMP)[:40], b"II*\0" + bytes(40), b"GIF89a", saved(Image.new("RGB", (64, 64)), "WEBP")[:30]])
def test_broken_files_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="not a picture"):
        decode(data)
