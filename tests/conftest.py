"""Real classes at tiny size, written to disk once a session and read through the real loaders."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two embedded bases a few numbers wide: tiny-student.safetensors and tiny-teacher.safetensors with their decoder."""
    from tests.tiny_embedded import write_bases

    return write_bases(tmp_path_factory.mktemp("embedded"))


@pytest.fixture
def tiny_engine(tiny_folder: Path) -> Iterator[Callable]:
    """Opens engines over the tiny bases (keywords go to open_engine) and closes them at the end of the test."""
    from models.engine import open_engine

    opened = []

    def start(**options):
        opened.append(
            open_engine(
                bases=[str(tiny_folder / f"tiny-{who}.safetensors") for who in ("student", "teacher")], device="cpu", **options
            )
        )
        return opened[-1]

    yield start
    for engine in opened:
        engine.close()


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny-sd1 and tiny-sd2 (which predicts v), each as a folder and as FAMILY-file.safetensors with the same weights."""
    from tests.tiny_sd import write_all

    return write_all(tmp_path_factory.mktemp("sd"))
