"""What several tests of the lab share."""
from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module")
def encoder() -> Any:
    """A PatchEncoder."""
    from tests.lab_rows import smooth_encoder
    return smooth_encoder()


@pytest.fixture(scope="module")
def text() -> Any:
    """The TextEncoder that ships."""
    from models.text import TextEncoder
    return TextEncoder()
