"""The pixel boundary: exact conversions, alpha-correct resizing, upright photographs, and pictures that are refused quickly."""
from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from models import pixels
from models.errors import BadInput
from models.job import Extent, Picture


def encoded(array: np.ndarray, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, format, **options)
    return out.getvalue()


def claimed_png(width: int, height: int) -> bytes:
    """A PNG that says it is huge and holds next to nothing."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_uint8_to_tensor_and_back_is_exact(channels: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, (9, 7, channels), dtype=np.uint8)
    tensor = pixels.to_tensor(Picture.from_array(array))
    assert tensor.shape == (1, channels, 9, 7) and 0 <= tensor.min() and tensor.max() <= 1
    assert (pixels.to_uint8(tensor)[0] == array).all()


def test_to_uint8_rounds_and_clamps() -> None:
    values = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 2.0]).reshape(1, 1, 1, 4)
    assert pixels.to_uint8(values).ravel().tolist() == [0, 0, 1, 255]


def test_transparent_edges_do_not_bleed_colour() -> None:
    """A red square whose surroundings are transparent green stays purely red at every size."""
    array = np.zeros((64, 64, 4), np.uint8)
    array[..., 1] = 255
    array[16:48, 16:48] = (255, 0, 0, 255)
    for side in (17, 40, 128):
        out = pixels.resize(Picture.from_array(array), Extent(side, side)).array
        seen = out[out[..., 3] > 8]
        assert len(seen) and seen[:, 0].min() >= 250 and seen[:, 1].max() <= 5


def test_resizing_keeps_the_mean_and_the_identity() -> None:
    array = np.random.default_rng(1).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    picture = Picture.from_array(array)
    assert pixels.resize(picture, Extent(32, 64)) is picture
    small = pixels.resize(picture, Extent(16, 32)).array
    assert np.abs(small - array.reshape(32, 2, 16, 2, 3).mean((1, 3))).max() <= 0.5


def test_cover_crops_the_middle_and_stretches_nothing() -> None:
    array = np.zeros((40, 120, 3), np.uint8)
    array[:, 40:80] = 255
    assert (pixels.cover(Picture.from_array(array), Extent(40, 40)).array == 255).all()
    assert (pixels.cover(Picture.from_array(array.transpose(1, 0, 2).copy()), Extent(80, 80)).array == 255).all()


@pytest.mark.parametrize("size, extent", [((1, 1), (64, 64)), ((3000, 1), (64, 64)), ((1, 3000), (16, 320)), ((257, 129), (64, 128))])
def test_cover_gives_the_asked_size_for_any_shape(size: tuple[int, int], extent: tuple[int, int]) -> None:
    picture = Picture.from_array(np.full((size[1], size[0], 4), 90, np.uint8))
    out = pixels.cover(picture, Extent(*extent))
    assert (out.width, out.height, out.channels) == (*extent, 4)


def test_flatten_puts_the_picture_on_white() -> None:
    array = np.zeros((1, 3, 4), np.uint8)
    array[0, :, 3] = (0, 51, 255)
    assert pixels.flatten(Picture.from_array(array)).array[0, :, 0].tolist() == [255, 204, 0]
    grey = pixels.flatten(Picture.from_array(np.full((2, 2), 7, np.uint8)))
    assert grey.channels == 3 and (grey.array == 7).all()


def test_photographs_come_out_upright() -> None:
    array = np.zeros((20, 40, 3), np.uint8)
    array[:, :20] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6                                 # the camera was turned: rotate by 90 degrees clockwise to see it upright
    picture = pixels.decode(encoded(array, "PNG", exif=exif))
    assert (picture.width, picture.height) == (20, 40)
    assert (picture.array[:20, :, 0] == 255).all() and (picture.array[20:] == 0).all()


@pytest.mark.parametrize("mode, channels", [("RGB", 3), ("RGBA", 4), ("L", 3), ("LA", 4), ("P", 3), ("CMYK", 3), ("1", 3)])
def test_every_common_mode_is_read(mode: str, channels: int) -> None:
    out = io.BytesIO()
    Image.new(mode, (5, 4)).save(out, "TIFF" if mode == "CMYK" else "PNG")
    picture = pixels.decode(out.getvalue())
    assert (picture.width, picture.height, picture.channels) == (5, 4, channels)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", encoded(np.zeros((64, 64, 3), np.uint8))[:60],
                                  encoded(np.zeros((64, 64, 3), np.uint8), "JPEG")[:200]])
def test_corrupt_files_are_refused(data: bytes) -> None:
    with pytest.raises(BadInput, match="not a picture that can be read"):
        pixels.decode(data)


@pytest.mark.parametrize("side", [9_000, 12_000, 30_000])
def test_huge_pictures_are_refused_before_they_are_decoded(side: int) -> None:
    start = time.perf_counter()
    with pytest.raises(BadInput, match="megapixels"):
        pixels.decode(claimed_png(side, side))
    assert time.perf_counter() - start < 2


def test_blend_keeps_what_the_mask_does_not_name() -> None:
    under, over = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 2:] = 1
    out = pixels.blend(under, over, mask)
    assert torch.equal(out[..., :2], under[..., :2]) and torch.allclose(out[..., 2:], over[..., 2:])


def test_blending_transparent_pictures_bleeds_no_colour() -> None:
    under, over = torch.tensor([1.0, 0, 0, 1]).view(1, 4, 1, 1), torch.tensor([0, 1.0, 0, 0]).view(1, 4, 1, 1)
    half = pixels.blend(under, over, torch.full((1, 1, 1, 1), 0.5)).flatten()
    assert torch.allclose(half, torch.tensor([1.0, 0, 0, 0.5])), "an invisible green must not show"
    assert torch.equal(pixels.blend(over, under, torch.zeros(1, 1, 1, 1)), over), "even the colour under alpha 0 stays"


def test_any_picture_gets_an_alpha() -> None:
    grey = Picture.from_array(np.full((2, 3), 7, np.uint8))
    assert (pixels.with_alpha(grey).array == [7, 7, 7, 255]).all()
    clear = Picture.from_array(np.zeros((2, 3, 4), np.uint8))
    assert pixels.with_alpha(clear) is clear
