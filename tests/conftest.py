"""What holds for every test, and the real classes at tiny size, written once a session and read through the real loaders.

No test needs a network, touches the user's own cache, or is left out in CI for want of a browser.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

for name, value in {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "TRANSFORMERS_VERBOSITY": "error",
                    "DIFFUSERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}.items():
    os.environ.setdefault(name, value)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests never read or write the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONESTROKE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two embedded bases a few numbers wide: tiny-student.safetensors and tiny-teacher.safetensors with their decoder."""
    from tests.tiny_embedded import write_bases
    return write_bases(tmp_path_factory.mktemp("embedded"))


@pytest.fixture
def tiny_engine(tiny_folder: Path) -> Iterator[Callable]:
    """Opens engines over the tiny bases (keywords go to open_engine) and closes them at the end of the test."""
    from models.engine import open_engine
    sources = [str(tiny_folder / f"tiny-{who}.safetensors") for who in ("student", "teacher")]
    opened = []

    def start(**options: object) -> object:
        opened.append(open_engine(bases=sources, device="cpu", **options))
        return opened[-1]

    yield start
    for engine in opened:
        engine.close()


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-sd1 and tiny-sd2 (which predicts v), each as a folder and as FAMILY-file.safetensors with the same weights."""
    from tests.tiny_sd import write_all
    return write_all(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-sdxl as a folder and as tiny-sdxl-file.safetensors with the same weights."""
    from tests.tiny_sdxl import write_all
    return write_all(tmp_path_factory.mktemp("sdxl"))


@pytest.fixture(scope="session")
def sana_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-sana (a flow model) and tiny-sana-sprint (distilled), each as a folder."""
    from tests.tiny_sana import write_all
    return write_all(tmp_path_factory.mktemp("sana"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright keeps an event loop running, beside which no other test could start its own."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch
        if not torch.cuda.is_available():
            pytest.skip("There is no CUDA device.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """In CI a browser test that was skipped is a failure: CI installs a browser."""
    report = yield
    if report.skipped and os.environ.get("CI") and item.get_closest_marker("browser"):
        report.outcome, report.longrepr = "failed", f"{item.nodeid} was skipped in CI: {report.longrepr[-1]}"
    return report
