"""From the hand to the picture: stroke to pixels in a real browser and inside the process, by stage, with memory."""
from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import StudioError
from models.job import Job
from studio.live.controls import Controls
from studio.live.hub import Hub
from studio.live.session import Session
from studio.live.strip import Strip
from studio.live.wire import CANVAS_PX
from studio.settings import Settings

STAGES = ("capture", "wire", "queue", "model", "encode", "paint")
MODEL_PARTS = ("text", "encode", "denoise", "decode")
DABS, ROWS, MOVES, MOVES_HZ = 30, 8, 300, 60         # dabs; rows of a stroke in the browser; moves of one without it
QUICK = {"DABS": 3, "ROWS": 1, "MOVES": 30}
DAB_PX = 18
DRIVE_LIMIT_S = 600
FRAME_LIMIT_S = 60


def run(settings: Settings) -> dict[str, float]:
    """Serve the studio, let a browser draw on it, then draw without one."""
    from studio.live.surface import Surface
    from studio.tabs.live import job_from, refined

    with serving(settings) as (url, ctx, spec):
        surface = Surface("live", lambda controls, canvas, reference: job_from(controls, canvas, spec), lambda job: refined(job, spec),
                          controls=Controls(prompt="a smiling red fox", base=spec.id))
        return (browser_figures(in_browser(url, "live", DABS, ROWS)) | inside_figures(ctx, surface, DABS, MOVES) | memory_figures(ctx.engine)
                | side_by_side(ctx.engine, spec))


@contextmanager
def serving(settings: Settings) -> Iterator[tuple[str, Any, Any]]:
    """(address, context, spec of the base) of a warm studio with an empty library."""
    from studio.app import open_context, start  # gradio and torch come in here

    with tempfile.TemporaryDirectory() as folder:
        ctx = open_context(settings, library_folder=Path(folder))
        spec = ctx.engine.catalog.resolve_base(settings.base)
        ctx.engine.warm(spec.id)
        served = start(ctx)
        try:
            yield served.url, ctx, spec
        finally:
            served.close()


# ---- in the browser

def in_browser(url: str, tab: str = "live", dabs: int = DABS, rows: int = ROWS) -> dict[str, Any]:
    command = [sys.executable, "-m", "studio.bench._drive", url, tab, str(dabs), str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DRIVE_LIMIT_S)
    if done.returncode:
        raise StudioError("The browser part of the bench failed.", done.stderr.strip()[-600:])
    return json.loads(done.stdout)


def browser_figures(seen: Mapping[str, Mapping[str, list]]) -> dict[str, float]:
    """Dab and stroke latency, frames a second during the stroke, and the median of each stage with its share."""
    out = quantiles("dab", latencies(seen["dab"])) | quantiles("stroke", latencies(seen["stroke"]))
    out["sustained_fps"] = rate([t for _, t in seen["stroke"]["frames"]], seen["stroke"]["events"])
    medians = {stage: float(np.median([row[stage] for row in seen["stroke"]["rows"]])) for stage in STAGES}
    whole = sum(medians.values())
    return out | {f"stage_{s}_ms": m for s, m in medians.items()} | {f"stage_{s}_share": m / whole for s, m in medians.items()}


def latencies(seen: Mapping[str, list]) -> list[float]:
    """Milliseconds from each pointer event to the first painted frame that contains it. Raises when a stroke was never shown."""
    frames = seen["frames"]
    out = [next((painted - at for shown, painted in frames if shown >= seq), None) for at, seq in seen["events"]]
    if not out or None in out:
        raise StudioError(f"{out.count(None)} of {len(out)} pointer events were never painted.", "Run the bench again.")
    return out


def rate(painted: Sequence[float], events: Sequence[Sequence[float]]) -> float:
    """Frames a second from the first to the last pointer event."""
    first, last = events[0][0], events[-1][0]
    return sum(first <= t <= last for t in painted) / ((last - first) / 1e3)


def quantiles(name: str, values: Sequence[float]) -> dict[str, float]:
    return {f"{name}_p50_ms": float(np.percentile(values, 50)), f"{name}_p95_ms": float(np.percentile(values, 95))}


# ---- inside the process: the same session and engine, no browser, no socket

class Eye:
    """The far end of a session: notes when each frame arrives and acknowledges it at once."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, float]] = []
        self.session: Session | None = None

    async def send_bytes(self, data: bytes) -> None:
        length = int.from_bytes(data[:4], "little")
        header = json.loads(data[4:4 + length])
        if header["t"] == "frame":
            self.frames.append((header["seq"], time.perf_counter() * 1e3))
            await self.session.message('{"t": "ack"}')

    async def send_json(self, data: dict) -> None:
        if data["t"] == "error":
            raise StudioError(data["message"])


def inside_figures(ctx: Any, surface: Any, dabs: int = DABS, moves: int = MOVES) -> dict[str, float]:
    """Latency and rate of the session alone, and where the model's own milliseconds go."""
    dab, stroke, timings = asyncio.run(_draw_inside(ctx, surface, dabs, moves))
    parts = {f"model_{part}_ms": float(np.median([getattr(t, f"{part}_ms") for t in timings])) for part in MODEL_PARTS}
    return (quantiles("inside_dab", latencies(dab)) | quantiles("inside_stroke", latencies(stroke))
            | {"inside_fps": rate([t for _, t in stroke["frames"]], stroke["events"])} | parts)


async def _draw_inside(ctx: Any, surface: Any, dabs: int, moves: int) -> tuple[dict, dict, list]:
    hub, eye = Hub(ctx.engine, ctx.library, surface), Eye()
    session = eye.session = Session(eye, hub, Strip(), surface, ctx.library, "bench")
    pump = asyncio.create_task(session.pump())
    dab = await _hand(session, eye, dabs, wait=True)
    stroke = await _hand(session, eye, moves, wait=False)
    session.closed = True
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
    hub.close()
    return dab, stroke, [frame.result.timings for frame in session.strip.frames if frame.kind == "preview"]


async def _hand(session: Session, eye: Eye, count: int, wait: bool) -> dict[str, list]:
    """`count` dabs, each after the last one's frame (`wait`), or at MOVES_HZ."""
    eye.frames, events = [], []
    for _ in range(count):
        events.append((time.perf_counter() * 1e3, session.seq + 1))
        session.binary(_dab(session.seq + 1))
        if wait:
            await _until(lambda: eye.frames and eye.frames[-1][0] >= session.seq)
        await asyncio.sleep(0.1 if wait else 1 / MOVES_HZ)
    await _until(lambda: eye.frames and eye.frames[-1][0] >= session.seq)
    return {"events": events, "frames": list(eye.frames)}


async def _until(condition: Callable[[], Any]) -> None:
    end_s = time.perf_counter() + FRAME_LIMIT_S
    while not condition():
        if time.perf_counter() > end_s:
            raise StudioError(f"No frame came within {FRAME_LIMIT_S} s.")
        await asyncio.sleep(0.001)


def _dab(seq: int) -> bytes:
    """A patch of one dark square somewhere that depends on seq."""
    x, y = (seq * 37) % (CANVAS_PX - DAB_PX), (seq * 11) % (CANVAS_PX - DAB_PX)
    head = b"".join(v.to_bytes(n, "little") for v, n in ((seq, 4), (x, 2), (y, 2), (DAB_PX, 2), (DAB_PX, 2)))
    return head + bytes((seq % 200, 40, 60, 255)) * DAB_PX ** 2


def side_by_side(engine: Any, spec: Any) -> Mapping[str, float]:
    """One text job through the bare networks, the engine and the plain diffusers pipeline."""
    from models.plain import compare

    return compare(engine, Job(prompt="a smiling red fox", base=spec.id, seeds=(7,), steps=spec.min_steps))


def memory_figures(engine: Any) -> dict[str, float]:
    """This process, which serves and paints; the browser and its driver are others."""
    import psutil

    return {"process_mib": psutil.Process().memory_info().rss / 2 ** 20, "engine_mib": engine.status().used_bytes / 2 ** 20}
