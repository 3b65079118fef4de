"""What a large result costs in memory, said before it is made.

Measured as the peak of the process over what its loaded networks take (CPU, shipped base and network): 4096 x 4096 px enlarged from 1024 x
1024, 420 MB; 2048 x 2048 from 512 x 512, 220 MB; 4096 x 4096 painted beside 4096 x 2560, 120 MB. Keeping the result adds its RGBA and its file.
"""
from __future__ import annotations

FIXED_BYTES = 160 * 2 ** 20                          # tiles, what does not grow with the picture
PER_PX = {"paint": 28, "upscale": 30}                # bytes for every pixel of the result


def working_bytes(width: int, height: int, task: str) -> int:
    """About how much memory it takes while it works, and until it is kept."""
    return FIXED_BYTES + PER_PX[task] * width * height
