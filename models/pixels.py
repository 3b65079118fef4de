"""The one boundary between pictures (uint8, rows by columns) and tensors (float, channels first, 0..1).

Everything that resizes, pads or composites does it in premultiplied alpha, so transparent edges never bleed colour.
"""
from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from models.decoding import MAX_DECODE_PX as MAX_DECODE_PX
from models.decoding import decode as decode
from models.job import Extent, Picture


def to_tensor(picture: Picture, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """[1, C, H, W] in [0, 1]."""
    t = torch.from_numpy(picture.array.copy()).to(device)
    return t.permute(2, 0, 1)[None].to(dtype) / 255


def to_uint8(pixels: Tensor) -> np.ndarray:
    """[B, C, H, W] in [0, 1] -> uint8 [B, H, W, C], rounded."""
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


def flatten(picture: Picture, background: tuple[int, int, int] = (255, 255, 255)) -> Picture:
    """RGB of the picture over one colour."""
    a = picture.array
    if picture.channels == 1:
        return Picture.from_array(np.repeat(a, 3, 2))
    if picture.channels == 3:
        return picture
    alpha = a[..., 3:].astype(np.float32) / 255
    rgb = a[..., :3] * alpha + np.float32(background) * (1 - alpha)
    return Picture.from_array(rgb.round().astype(np.uint8))


def resize(picture: Picture, extent: Extent) -> Picture:
    """Stretched to `extent`, area-averaged when shrinking, cubic when growing; alpha premultiplied on the way."""
    if (picture.width, picture.height) == (extent.width, extent.height):
        return picture
    f = picture.array.astype(np.float32)
    if picture.channels == 4:
        f[..., :3] *= f[..., 3:] / 255
    shrinking = extent.width * extent.height < picture.width * picture.height
    f = cv2.resize(f, (extent.width, extent.height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)
    f = f.reshape(extent.height, extent.width, picture.channels)
    if picture.channels == 4:
        alpha = f[..., 3:].clip(0, 255)
        f[..., :3] = np.where(alpha > 0.5, f[..., :3] * 255 / np.maximum(alpha, 0.5), 0)
    return Picture.from_array(f.clip(0, 255).round().astype(np.uint8))


def cover(picture: Picture, extent: Extent) -> Picture:
    """Centre-cropped to the shape of `extent`, then resized to it: nothing is stretched."""
    ratio = extent.width / extent.height
    width = min(picture.width, max(1, round(picture.height * ratio)))
    height = min(picture.height, max(1, round(picture.width / ratio)))
    x, y = (picture.width - width) // 2, (picture.height - height) // 2
    return resize(Picture.from_array(picture.array[y:y + height, x:x + width]), extent)


def with_alpha(picture: Picture) -> Picture:
    """Straight RGBA of any picture; opaque where it says nothing."""
    if picture.channels == 4:
        return picture
    rgb = flatten(picture).array
    return Picture.from_array(np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], 2))


def blend(under: Tensor, over: Tensor, mask: Tensor) -> Tensor:
    """`over` where mask is 1, `under` where it is 0; all [B, C or 1, H, W] in [0, 1]. Four channels are straight RGBA and mix
    premultiplied; where the mask is 0, `under` comes back exactly."""
    if under.shape[1] != 4:
        return under + (over - under) * mask
    alpha = blend(under[:, 3:], over[:, 3:], mask)
    rgb = blend(under[:, :3] * under[:, 3:], over[:, :3] * over[:, 3:], mask) / alpha.clamp_min(1e-6)
    return torch.where(mask == 0, under, torch.cat([rgb, alpha], 1))
