"""Picture files of any kind to pixels: upright, in screen colours, 8 bits a channel, straight alpha; animations give their first frame."""
from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from models.errors import BadInput
from models.job import Picture

MAX_DECODE_PX = 64_000_000                           # 8000 x 8000: more than any canvas here, less than any memory
ORIENTATION = 0x0112                                 # EXIF
CMYK_NOTE = "Its printing colours (CMYK) were turned into screen colours."
DEEP_NOTE = "Its 16 bits a channel were rounded to 8."
ANIMATED_NOTE = "It is animated; the first frame was taken."
PROFILE_NOTE = "Its colour profile was turned into sRGB."


def decode(data: bytes, max_px: int = MAX_DECODE_PX) -> Picture:
    """An encoded picture (PNG, JPEG, WebP, AVIF, GIF, BMP, TIFF) as RGB or straight RGBA, upright by its EXIF orientation."""
    return read(data, max_px)[0]


def read(data: bytes, max_px: int = MAX_DECODE_PX) -> tuple[Picture, tuple[str, ...]]:
    """The picture as `decode` gives it, and what a person should know of the change. Raises BadInput."""
    with _opened(data, max_px) as image:
        from PIL import ImageOps
        notes = [ANIMATED_NOTE] if getattr(image, "is_animated", False) else []
        deep = _rounded(image, data)
        image, more = _on_screen(ImageOps.exif_transpose(image if deep is None else deep))
        notes += more + ([] if deep is None else [DEEP_NOTE])
        mode = "RGBA" if _has_alpha(image) else "RGB"
        return Picture.from_array(np.asarray(image.convert(mode))), tuple(notes)


def read_rgba(data: bytes, max_px: int = MAX_DECODE_PX) -> tuple[Picture, tuple[str, ...]]:
    """The same as RGBA; opaque where the file says nothing."""
    picture, notes = read(data, max_px)
    if picture.channels == 4:
        return picture, notes
    return Picture.from_array(np.dstack([picture.array, np.full_like(picture.array[..., :1], 255)])), notes


def measured(data: bytes, max_px: int = MAX_DECODE_PX) -> tuple[int, int]:
    """(width, height) as stored, without unpacking the pixels. Raises BadInput as `decode` does."""
    with _opened(data, max_px) as image:
        return image.size


@contextmanager
def _opened(data: bytes, max_px: int) -> Iterator[Image.Image]:
    """The lazily opened file; whatever goes wrong with it inside the block is BadInput."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")              # of bombs, which are measured here, and of odd metadata
        try:
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > max_px:
                    raise BadInput(f"The picture is {image.width}x{image.height} px; {max_px / 1e6:.0f} megapixels is the most.",
                                   "Make it smaller first.")
                yield image
        except Image.DecompressionBombError:
            raise BadInput(f"The picture is far larger than {max_px / 1e6:.0f} megapixels, which is the most.", "Make it smaller first.") from None
        except BadInput:
            raise
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, TypeError, cv2.error) as error:
            raise BadInput("This file is not a picture that can be read.", "Use a PNG, JPEG or WebP file.") from error


def _has_alpha(image: Image.Image) -> bool:
    return any(band in "Aa" for band in image.getbands()) or "transparency" in image.info


def _rounded(image: Image.Image, data: bytes) -> Image.Image | None:
    """8 bits of a picture with more, rounded, where Pillow would clip or cut them; None for others."""
    if image.format == "PNG" and data[24:25] == b"\x10":
        deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
        if deep is None:
            raise ValueError("cut short")
        deep = cv2.cvtColor(deep, {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}[deep.shape[2]]) if deep.ndim == 3 else deep
        out = Image.fromarray(((deep.astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif image.mode.startswith(("I", "F")):
        values = np.asarray(image).astype(np.float64)
        out = Image.fromarray((values / _white(image.mode, values.max(initial=0)) * 255).clip(0, 255).round().astype(np.uint8))
    else:
        return None
    if turn := image.getexif().get(ORIENTATION):
        out.getexif()[ORIENTATION] = turn
    return out


def _white(mode: str, largest: float) -> float:
    """The value that means white in a grey picture of 16 or 32 bits; floats and 32 bits do not say it."""
    if mode.startswith("I;16") or largest > 255:
        return 65535.0
    return 255.0 if mode == "I" or largest > 1 else 1.0


def _on_screen(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Colours for printing, or of another screen, as sRGB; by the file's own profile where it has a sound one."""
    from PIL import ImageCms
    printed, profile = image.mode == "CMYK", image.info.get("icc_profile")
    note = [CMYK_NOTE] if printed else [PROFILE_NOTE]
    if profile and image.mode in ("CMYK", "RGB", "RGBA", "LAB"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" in ImageCms.getProfileDescription(source).lower():
                return image, []
            out = ImageCms.profileToProfile(image if image.mode != "RGBA" else image.convert("RGB"), source, ImageCms.createProfile("sRGB"),
                                            outputMode="RGB")
            out.info.pop("icc_profile", None)
            if image.mode == "RGBA":
                out.putalpha(image.getchannel("A"))
            return out, note
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass                                     # a damaged profile is as good as none
    return (image.convert("RGB"), note) if printed else (image, [])
