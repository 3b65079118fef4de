"""The real app on a free port and a real Chromium; without Chromium these tests are skipped by name, in CI they fail."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.chromium import ARGS, CURE, find_chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """A running browser."""
    program = find_chromium()
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"No Chromium found. {CURE}")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def studio(tiny_folder, tmp_path_factory) -> Iterator[object]:
    """The app as `serve` starts it, over tiny bases of the real kind."""
    from studio.app import start

    served = start(tiny_context(tiny_folder, tmp_path_factory.mktemp("studio"), port=7900))
    yield served
    served.close()


def tiny_context(tiny_folder: Path, folder: Path, port: int) -> object:
    """A warm TabContext whose first base is tiny-student and which knows tiny-teacher too."""
    from studio.app import open_context
    from studio.settings import Settings

    ctx = open_context(Settings(port=port, base=str(tiny_folder / "tiny-student.safetensors"), cache_dir=folder))
    ctx.engine.catalog.resolve_base(str(tiny_folder / "tiny-teacher.safetensors"))
    ctx.engine.warm(ctx.engine.catalog.resolve_base(ctx.settings.base).id)
    return ctx


@pytest.fixture
def open_page(chromium, studio) -> Iterator[Callable]:
    """open_page(url) -> a fresh browser's page with a live canvas; errors of the page fail the test."""
    contexts, errors = [], []

    def open_one(url: str = studio.url) -> object:
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector('.os-stage[data-state="ready"].has-picture', timeout=60_000)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not errors


@pytest.fixture(scope="session")
def sketching(studio, tmp_path_factory) -> object:
    """The studio with a scribble control that fits its tiny base; the shipped one fits by name only."""
    from tests.tiny_adapters import all_cases

    engine = studio.ctx.engine
    with engine.registry.lease("tiny-student") as (base, _):
        control = all_cases()["tiny-student-scribble"].write(tmp_path_factory.mktemp("control"), base)
    engine.catalog.add("adapter", str(control))
    return studio


@pytest.fixture
def open_sketch(open_page, sketching) -> Callable:
    """open_sketch() -> a fresh page with the sketch tab open and its first picture there."""
    from tests.browser.sketching import show_sketch

    def open_one() -> object:
        page = open_page()
        show_sketch(page)
        return page
    return open_one


@pytest.fixture
def studio_of_two(tiny_folder, tmp_path, monkeypatch) -> Iterator[object]:
    """A studio with the live tab and one more that takes pictures."""
    import gradio as gr

    import studio.app
    from studio.events import Receiver
    from studio.tab import Tab, discover_tabs

    def build(ctx: object) -> None:
        words = gr.Textbox(label="Received")
        ctx.handoff.offer(Receiver("other", "Other", words, lambda result: f"{result.job.prompt} {result.pixels.shape}"))

    found = (*discover_tabs(), Tab("other", "Other", 9, build))
    monkeypatch.setattr(studio.app, "discover_tabs", lambda: found)
    served = studio.app.start(tiny_context(tiny_folder, tmp_path, port=7940))
    yield served
    served.close()
