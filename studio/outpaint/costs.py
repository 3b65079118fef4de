"""What a large result costs, said before it is made. Numbers were measured with /usr/bin/time on the shipped base and network."""
from __future__ import annotations

FIXED_BYTES = 350 * 2 ** 20                          # networks, tiles, what does not grow with the picture
PER_PX = {"paint": 40, "upscale": 44}                # bytes of working memory for every pixel of the result


def working_bytes(width: int, height: int, task: str) -> int:
    """About how much memory it takes while it works."""
    return FIXED_BYTES + PER_PX[task] * width * height
