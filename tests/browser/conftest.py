"""The real app on a free port and a real Chromium; without Chromium these tests are skipped by name, in CI they fail."""
from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from models.weights import ASSETS
from studio.chromium import ARGS, CURE, find_chromium

WEIGHTS = ASSETS / "embedded" / "student.safetensors"


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
def studio(tmp_path_factory) -> Iterator[object]:
    """The app as `serve` starts it: with the embedded base when its weights are there, else with a tiny stand-in."""
    from studio.app import open_context, start
    from studio.library.store import Library
    from studio.settings import Settings
    from studio.tab import TabContext

    settings = Settings(port=7900, cache_dir=tmp_path_factory.mktemp("studio"))
    if WEIGHTS.is_file():
        ctx = open_context(settings)
        ctx.engine.warm(settings.base)
    else:
        ctx = TabContext(_tiny().TinyEngine(), settings, Library(settings.cache_dir / "library"))
    served = start(ctx)
    yield served
    served.close()


def _tiny() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tiny_engine", Path(__file__).with_name("tiny_engine.py"))
    module = sys.modules["tiny_engine"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def open_page(chromium, studio) -> Iterator[Callable]:
    """open_page() -> a fresh browser's page with a live canvas; errors of the page fail the test."""
    contexts, errors = [], []

    def open_one(**options: object) -> object:
        context = chromium.new_context(viewport={"width": 1440, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(studio.url)
        page.wait_for_selector('.os-stage[data-state="ready"].has-picture', timeout=60_000)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not errors
