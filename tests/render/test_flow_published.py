"""The three modes over tiny SD bases with random files in the published layouts: what is asked of them, and what comes back as which layer."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from models.engine import Engine, open_engine
from models.flows.asset import Wanted
from models.flows.behind import Behind, behind
from models.flows.infront import Both, InFront, both, infront
from models.job import Extent, Job, Picture
from tests.tiny_adapters import layerdiffuse_layers as tiny

pytestmark = pytest.mark.render
THING = np.zeros((64, 64, 4), np.uint8)
THING[16:48, 16:48] = (200, 40, 40, 255)
PLACE = Picture.from_array(np.full((64, 64, 3), (90, 150, 210), np.uint8))


def job(base: str, words: str) -> Job:
    return Job(base=base, prompt=words, extent=Extent(64, 64), guidance=1.0, seeds=(3,))


@pytest.fixture(scope="module")
def engine(sd_folder: Path, sdxl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(bases=[str(sd_folder / "tiny-sd1"), str(sdxl_folder / "tiny-sdxl")], device="cpu")
    folder, seeded = tmp_path_factory.mktemp("layers"), torch.Generator().manual_seed(1)
    with engine.registry.lease("tiny-sdxl") as (base, _):
        for role, pictures, alpha in (("fg2ble", 1, False), ("bg2ble", 1, False), ("fgble2bg", 2, False), ("bgble2fg", 2, True)):
            engine.catalog.add("adapter", str(tiny.save(folder / f"xl-{role}.safetensors", tiny.widened(base, pictures, seeded), base, alpha)))
    with engine.registry.lease("tiny-sd1") as (base, _):
        for role, frames, alpha in (("fg2bg", 2, False), ("bg2fg", 2, True), ("joint", 3, True)):
            engine.catalog.add("adapter", str(tiny.save(folder / f"sd-{role}.safetensors", tiny.framed(base, frames, frames == 2, seeded), base, alpha)))
    yield engine
    engine.close()


def test_they_are_found_for_their_base(engine: Engine) -> None:
    from models.flows import behind as behind_room
    from models.flows import infront as infront_room
    xl, sd = engine.catalog.able("tiny-sdxl"), engine.catalog.able("tiny-sd1")
    assert behind_room.suited(xl)["blend"] == "xl-fg2ble" and behind_room.suited(xl)["back"] == "xl-fgble2bg" and not behind_room.suited(xl)["frames"]
    assert infront_room.suited(sd)["frames"] == "sd-bg2fg" and sd.granted["joint_layers"] == "sd-joint" and not infront_room.suited(sd)["blend"]


@pytest.mark.parametrize("base, with_them", [("tiny-sdxl", {"blend": "xl-fg2ble", "back": "xl-fgble2bg"}), ("tiny-sd1", {"frames": "sd-fg2bg"})])
def test_a_background_for_a_thing(engine: Engine, base: str, with_them: dict) -> None:
    scene, back = behind(engine.render, Behind(job(base, "on a beach"), Picture.from_array(THING), "a red box", **with_them))
    assert scene.pixels.shape == back.pixels.shape == (1, 64, 64, 3) and (scene.pixels != back.pixels).any()
    other = np.roll(THING, 12, 1)
    *_, moved = behind(engine.render, Behind(job(base, "on a beach"), Picture.from_array(other), "a red box", **with_them))
    assert (moved.pixels != back.pixels).any(), "the background depends on the thing"
    assert "a red box" in (scene.job.prompt if base == "tiny-sdxl" else scene.job.each[1])


@pytest.mark.parametrize("base, with_them", [("tiny-sdxl", {"blend": "xl-bg2ble", "fore": "xl-bgble2fg"}), ("tiny-sd1", {"frames": "sd-bg2fg"})])
def test_a_thing_for_a_background(engine: Engine, base: str, with_them: dict) -> None:
    scene, thing = infront(engine.render, InFront(Wanted(job(base, "a red box")), PLACE, (8, 8, 56, 56), "on a beach", **with_them))
    assert scene.pixels.shape == (1, 64, 64, 3) and thing.pixels.shape == (1, 64, 64, 4) and thing.pixels[..., 3].std() > 0


def test_both_together(engine: Engine) -> None:
    asked = Both(Wanted(job("tiny-sd1", "a red box")), job("tiny-sd1", "on a beach"), (8, 8, 56, 56), frames="sd-joint")
    scene, back, thing = both(engine.render, asked)
    assert scene.job.each == ("a red box", "on a beach", "a red box on a beach")
    assert scene.pixels.shape == back.pixels.shape == (1, 64, 64, 3) and thing.pixels.shape == (1, 64, 64, 4)
