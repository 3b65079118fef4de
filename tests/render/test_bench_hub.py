"""The bench of hub models, run at a width that takes seconds."""
from __future__ import annotations

import math

import pytest

from models.bases import _random_sd
from studio.bench import hub
from studio.settings import Settings
from tests import tiny_sd, tiny_sdxl

pytestmark = pytest.mark.render


@pytest.mark.parametrize("base", [Settings().base, "random-sdxl"])
def test_it_writes_a_checkpoint_reads_it_and_measures(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    narrow = {"UNET": tiny_sd.unet_config("sd1"), "VAE": tiny_sd.vae_config(), "TEXT": tiny_sd.text_config("sd1"),
              "XL_UNET": tiny_sdxl.unet_config(), "XL_VAE": tiny_sdxl.vae_config(), "XL_TEXT": tiny_sdxl.text_config(1)}
    for name, config in narrow.items():
        monkeypatch.setattr(_random_sd, name, config)
    monkeypatch.setattr(hub, "SIDE_PX", 64)
    figures = hub.run(Settings(base=base))
    assert {"load_s", "first_picture_s", "denoise_step_s", "decode_s", "weights_mib"} <= figures.keys()
    assert all(math.isfinite(value) and value >= 0 for value in figures.values())
    assert figures["first_picture_s"] > figures["picture_s"] > figures["denoise_step_s"] > 0 and figures["weights_mib"] > 5


def test_a_checkpoint_of_ones_own_is_taken_as_it_is() -> None:
    with hub.checkpoint("stabilityai/sd-turbo") as source:
        assert source == "stabilityai/sd-turbo"
