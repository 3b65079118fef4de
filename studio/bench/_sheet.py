"""Contact sheets of benches: rows of pictures under a line of captions, small enough to be kept."""
from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from studio.files import write_whole
from studio.settings import Settings

CELL_PX, GAP_PX, HEAD_PX = 150, 6, 18
MOST_ROWS = 6


def write_sheet(settings: Settings, name: str, captions: Sequence[str], rows: Sequence[Sequence[np.ndarray]]) -> Path:
    """The first rows of uint8 [H, W, 3] pictures as bench-sheets/NAME.webp of the cache folder."""
    rows = rows[:MOST_ROWS]
    wide, high = len(captions) * (CELL_PX + GAP_PX) + GAP_PX, HEAD_PX + len(rows) * (CELL_PX + GAP_PX) + GAP_PX
    sheet = Image.new("RGB", (wide, high), (246, 244, 240))
    pen = ImageDraw.Draw(sheet)
    for i, caption in enumerate(captions):
        pen.text((GAP_PX + i * (CELL_PX + GAP_PX), 3), caption, (40, 36, 32))
    for j, row in enumerate(rows):
        for i, picture in enumerate(row):
            small = cv2.resize(np.ascontiguousarray(picture[..., :3]), (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA)
            sheet.paste(Image.fromarray(small), (GAP_PX + i * (CELL_PX + GAP_PX), HEAD_PX + GAP_PX + j * (CELL_PX + GAP_PX)))
    out = io.BytesIO()
    sheet.save(out, "WEBP", quality=82, method=6)
    path = Path(settings.cache_dir).expanduser() / "bench-sheets" / f"{name}.webp"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, out.getvalue())
    return path


def black_on_white(lines: np.ndarray) -> np.ndarray:
    """bool [H, W] -> uint8 [H, W, 3]."""
    return np.repeat((255 - 255 * lines.astype(np.uint8))[..., None], 3, 2)
