"""The live session on a real event loop: newest wins, refine at rest, cancel, errors, credit, strip."""
from __future__ import annotations

import asyncio
import json
import struct
import threading
import time
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from models.errors import BadInput, Cancelled, StudioError
from models.job import Extent, Job, Picture, Result, Timings
from studio.library.store import Library
from studio.live import session as session_module
from studio.live import wire
from studio.live.controls import Controls
from studio.live.hub import MAX_TOKENS, Hub
from studio.live.session import Session
from studio.live.strip import FRESH, Frame, Strip
from studio.live.surface import Surface


class Painter:
    """Paints the colour of the drawing's corner; one step takes `step_s`; can be told to wait or to fail."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.step_s, self.jobs, self.cancelled, self.fail, self.gate = step_s, [], 0, None, threading.Event()
        self.gate.set()

    def render(self, job: Job, cancel: Callable[[], bool], **who: object) -> Result:
        self.jobs.append(job)
        self.gate.wait(5)
        if self.fail is not None:
            raise self.fail
        for _ in range(job.steps):
            if cancel():
                self.cancelled += 1
                raise Cancelled()
            time.sleep(self.step_s)
        value = job.image.array[0, 0, 0] if job.image else len(job.prompt) % 256
        return Result(np.full((1, 16, 16, 3), value, np.uint8), job, Timings())


class Page:
    """The other end of the socket: records, and acknowledges frames unless told not to."""

    def __init__(self, acknowledge: bool = True) -> None:
        self.frames, self.messages, self.acknowledge, self.session = [], [], acknowledge, None

    async def send_bytes(self, data: bytes) -> None:
        (length,) = struct.unpack_from("<I", data)
        self.frames.append((json.loads(data[4:4 + length]), data[4 + length:]))
        if self.acknowledge and self.frames[-1][0]["t"] == "frame":
            await self.session.message('{"t": "ack"}')

    async def send_json(self, data: dict) -> None:
        self.messages.append(data)

    def kinds(self) -> list[str]:
        return [header["kind"] for header, _ in self.frames]


def make_job(controls: Controls, canvas: np.ndarray, reference: Picture | None = None) -> Job:
    job = Job(prompt=controls.prompt, seeds=(controls.seed,), steps=controls.steps, extent=Extent(16, 16))
    return job if canvas.min() == 255 else job.but(image=Picture.from_array(canvas[:16, :16]), strength=controls.strength)


def surface_of(refine: int) -> Surface:
    return Surface("live", make_job, lambda job: job.but(steps=refine) if job.steps < refine else None)


def patch(seq: int, value: int, side: int = 16) -> bytes:
    return struct.pack("<I4H", seq, 0, 0, side, side) + bytes([value, value, value, 255]) * side * side


def settings(seq: int, **values: object) -> str:
    return json.dumps({"t": "set", "seq": seq, "settings": values})


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path)
    yield library
    library.close()


def converse(painter: Painter, library: Library, script: Callable[[Session, Page], Awaitable[None]],
             acknowledge: bool = True, refine: int = 4) -> Page:
    """Run `script` against a pumping session and return what the page saw."""
    async def play() -> Page:
        surface = surface_of(refine)
        hub = Hub(painter, library, surface)
        page = Page(acknowledge)
        page.session = Session(page, hub, Strip(), surface, library, "client")
        pump = asyncio.create_task(page.session.pump())
        try:
            await script(page.session, page)
        finally:
            page.session.closed = True
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            hub.close()
        return page
    return asyncio.run(play())


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def short_rest(monkeypatch):
    monkeypatch.setattr(session_module, "REST_S", 0.05)


def test_words_alone_paint_from_text_and_a_stroke_switches_to_the_drawing(library):
    async def script(session, page):
        await session.message(settings(1, prompt="fox"))
        await until(lambda: "refine" in page.kinds())
        session.binary(patch(2, 9))
        await until(lambda: page.kinds().count("refine") == 2)
    page = converse(Painter(), library, script)
    assert [h["mode"] for h, _ in page.frames] == ["text", "text", "draw", "draw"]
    assert [h["seq"] for h, _ in page.frames] == [1, 1, 2, 2]


def test_newest_input_wins_and_nothing_queues_up(library):
    painter = Painter()

    async def script(session, page):
        painter.gate.clear()
        session.binary(patch(1, 10))
        await until(lambda: len(painter.jobs) == 1)
        for seq in range(2, 60):
            session.binary(patch(seq, seq))
        painter.gate.set()
        await until(lambda: page.frames and page.frames[-1][0]["seq"] == 59)
    page = converse(painter, library, script)
    previews = [h["seq"] for h, _ in page.frames if h["kind"] == "preview"]
    assert previews == [1, 59]


def test_refine_keeps_seed_and_drawing_and_uses_more_steps(library):
    painter = Painter()

    async def script(session, page):
        await session.message(settings(1, seed=11))
        session.binary(patch(2, 40))
        await until(lambda: any(m["t"] == "rest" for m in page.messages))
    page = converse(painter, library, script)
    preview, better = painter.jobs[-2:]
    assert better == preview.but(steps=4) and better.seeds == (11,)
    assert page.session.strip.frames[-1].settled and page.kinds()[-1] == "refine"
    until_s = time.monotonic() + 10                  # the note is written in a thread of its own, which the closed page does not wait for
    while not library.journaled("client") and time.monotonic() < until_s:
        time.sleep(0.01)
    assert library.journaled("client")[0] == better


def test_new_input_cancels_a_refine(library):
    painter = Painter(step_s=0.05)

    async def script(session, page):
        session.binary(patch(1, 40))
        await until(lambda: painter.jobs and painter.jobs[-1].steps == 4)
        session.binary(patch(2, 50))
        await until(lambda: page.frames[-1][0]["seq"] == 2)
    converse(painter, library, script)
    assert painter.cancelled >= 1


def test_a_refine_that_gave_way_to_another_canvas_is_tried_again(library):
    busy = [True]

    async def script(session, page):
        session.workshop.busy_elsewhere = lambda: busy[0]
        session.binary(patch(1, 40))
        await until(lambda: painter.cancelled >= 2)
        busy[0] = False
        await until(lambda: "refine" in page.kinds())
    painter = Painter()
    page = converse(painter, library, script)
    assert page.kinds() == ["preview", "refine"]


def test_input_that_changes_nothing_refines_nothing_anew_but_the_switch_works_late(library):
    async def script(session, page):
        await session.message(settings(1, prompt="a", refine=False))
        await until(lambda: any(m["t"] == "rest" for m in page.messages))
        await session.message(settings(2, refine=True))
        await until(lambda: "refine" in page.kinds())
        await session.message(settings(3, prompt="a"))
        await until(lambda: any(m["t"] == "same" and m["seq"] == 3 for m in page.messages))
        await asyncio.sleep(0.2)
    page = converse(Painter(), library, script)
    assert page.kinds() == ["preview", "refine"]
    assert len(library.journaled("client")) == 2


def test_no_refine_when_switched_off_or_nothing_to_gain(library):
    async def script(session, page):
        await session.message(settings(1, prompt="a", refine=False))
        await until(lambda: any(m["t"] == "rest" for m in page.messages))
    page = converse(Painter(), library, script)
    assert page.kinds() == ["preview"]


def test_a_page_that_acknowledges_nothing_gets_two_frames_and_no_more(library):
    painter = Painter()

    async def script(session, page):
        for seq in range(1, 8):
            session.binary(patch(seq, seq))
            await asyncio.sleep(0.03)
    page = converse(painter, library, script, acknowledge=False)
    assert len(page.frames) == 2


def test_extra_acknowledgements_give_no_extra_credit(library):
    async def script(session, page):
        for _ in range(10):
            await session.message('{"t": "ack"}')
        for seq in range(1, 8):
            session.binary(patch(seq, seq))
            await asyncio.sleep(0.03)
    page = converse(Painter(), library, script, acknowledge=False)
    assert len(page.frames) == 2


@pytest.mark.parametrize("failure", [StudioError("No such thing.", "Try another."), RuntimeError("inner detail")])
def test_a_failed_render_is_told_and_the_next_one_works(library, failure):
    painter = Painter()

    async def script(session, page):
        painter.fail = failure
        session.binary(patch(1, 1))
        await until(lambda: any(m["t"] == "error" for m in page.messages))
        painter.fail = None
        session.binary(patch(2, 2))
        await until(lambda: bool(page.frames))
    page = converse(painter, library, script)
    told = next(m["message"] for m in page.messages if m["t"] == "error")
    assert "Try another" in told if isinstance(failure, StudioError) else "RuntimeError" in told and "inner detail" not in told


@pytest.mark.parametrize("text", ["", "[]", "{", '{"t": 1}', '{"t": "nonsense"}', '{"t": "set"}', '{"t": "set", "settings": {"steps": "many"}}',
                                  '{"t": "set", "settings": {"unknown": 1}}', '{"t": "pin", "frame": 99}', '{"t": "pin", "frame": "x"}', "x" * 200_000])
def test_unusable_messages_are_answered_and_change_nothing(library, text):
    async def script(session, page):
        await session.message(text)
        assert session.controls == Controls()
    page = converse(Painter(), library, script)
    assert [m["t"] for m in page.messages] == ["error"]


@pytest.mark.parametrize("data", [b"", b"x" * 11, struct.pack("<I4H", 1, 0, 0, 0, 0), struct.pack("<I4H", 1, 500, 0, 16, 1) + bytes(64),
                                  struct.pack("<I4H", 1, 0, 0, 4, 4) + bytes(63), struct.pack("<I4H", 1, 0, 0, 4, 4) + bytes(65)])
def test_malformed_patches_are_refused(data):
    with pytest.raises(BadInput):
        wire.read_patch(data)


def test_a_patch_changes_just_its_rectangle(library):
    async def script(session, page):
        session.binary(struct.pack("<I4H", 1, 3, 5, 2, 1) + bytes([1, 2, 3, 255, 4, 5, 6, 255]))
        assert session.canvas[5, 3].tolist() == [1, 2, 3] and session.canvas[5, 4].tolist() == [4, 5, 6]
        assert (session.canvas != 255).any(axis=2).sum() == 2
    converse(Painter(), library, script)


def test_a_very_long_prompt_is_passed_on_and_a_longer_one_is_explained(library):
    painter = Painter()

    async def script(session, page):
        await session.message(settings(1, prompt="狐" * 10_000))
        await until(lambda: bool(page.frames))
        await session.message(settings(2, prompt="x" * 20_001))
        await until(lambda: any(m["t"] == "error" for m in page.messages))
        await session.message(settings(3, prompt="short"))
        await until(lambda: painter.jobs[-1].prompt == "short")
    page = converse(painter, library, script)
    assert painter.jobs[0].prompt == "狐" * 10_000
    assert "20,000 characters" in next(m["message"] for m in page.messages if m["t"] == "error")


def test_pinned_frame_replays_and_restored_canvas_is_lossless(library):
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 4), np.uint8)

    async def script(session, page):
        await session.message(settings(1, prompt="owl", seed=5))
        session.binary(struct.pack("<I4H", 2, 0, 0, 16, 16) + noise.tobytes())
        await until(lambda: any(m["t"] == "rest" for m in page.messages))
        last = session.strip.frames[-1].id
        await session.message(json.dumps({"t": "pin", "frame": last}))
        await session.message(json.dumps({"t": "restore", "frame": last}))
    page = converse(Painter(), library, script)
    item = next(m["item"] for m in page.messages if m["t"] == "pinned")
    pixels, job = library.open(item)
    again = Painter().render(job, lambda: False)
    assert (again.pixels[0] == pixels).all() and job.prompt == "owl"
    header, png = page.frames[-1]
    assert header["t"] == "canvas" and header["settings"]["seed"] == 5
    from io import BytesIO

    from PIL import Image
    assert (np.asarray(Image.open(BytesIO(png)))[:16, :16] == noise[..., :3]).all()


def test_closing_mid_render_stops_the_render(library):
    painter = Painter(step_s=0.05)

    async def script(session, page):
        await session.message(settings(1, prompt="x", steps=50))
        await until(lambda: bool(painter.jobs))
    converse(painter, library, script)
    end = time.monotonic() + 3
    while not painter.cancelled and time.monotonic() < end:
        time.sleep(0.01)
    assert painter.cancelled == 1


def test_the_strip_lets_go_of_frames_mid_stroke_first():
    strip = Strip(capacity=FRESH + 4)
    for _ in range(FRESH + 4):
        strip.add(frame(strip.next_id()))
    strip.settle(1)
    assert strip.add(frame(strip.next_id())) == (2,)
    assert strip.get(1).settled
    with pytest.raises(BadInput, match="no longer"):
        strip.get(2)


def frame(number: int) -> Frame:
    result = Result(np.zeros((1, 1, 1, 3), np.uint8), Job(), Timings())
    return Frame(number, result, Controls(), b"", ("image/jpeg", b""))


def test_tokens_are_single_use_expire_and_bind_to_the_host(library):
    now = [0.0]
    hub = Hub(Painter(), library, surface_of(4), clock=lambda: now[0])
    token = hub.mint()
    assert hub.admits(token, "http://127.0.0.1:7860", "127.0.0.1:7860")
    assert not hub.admits(token, "http://127.0.0.1:7860", "127.0.0.1:7860")
    assert not hub.admits(hub.mint(), "https://evil.example", "127.0.0.1:7860")
    assert not hub.admits("", None, "127.0.0.1:7860")
    late = hub.mint()
    now[0] = 61.0
    assert not hub.admits(late, None, "127.0.0.1:7860")
    for _ in range(MAX_TOKENS + 50):
        hub.mint()
    assert len(hub._tokens) == MAX_TOKENS
    hub.close()
