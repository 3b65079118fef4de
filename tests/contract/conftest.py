"""Every base that can be opened here: the tiny ones, and the shipped ones whose weights are in assets/."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.engine import Engine, open_engine


@pytest.fixture(scope="session")
def sources(tiny_folder: Path, sd_folder: Path, sdxl_folder: Path, sana_folder: Path) -> list[str]:
    """What --base would name."""
    files = [tiny_folder / "tiny-student.safetensors", tiny_folder / "tiny-teacher.safetensors"]
    families = {"sd1": sd_folder, "sd2": sd_folder, "sdxl": sdxl_folder}
    files += [folder / f"tiny-{family}{kind}" for family, folder in families.items() for kind in ("", "-file.safetensors")]
    files += [sana_folder / "tiny-sana", sana_folder / "tiny-sana-sprint"]
    return [str(path) for path in files]


@pytest.fixture(scope="session")
def engine(sources: list[str]) -> Iterator[Engine]:
    engine = open_engine(bases=sources, device="cpu")
    yield engine
    engine.close()
