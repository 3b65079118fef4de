"""The instruction adapter and its flow on a tiny base: what decides its answer, what strength 0 is, sizes, alpha and cut-outs."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from models.engine import Engine
from models.errors import BadInput
from models.flows.instruct import Instruct, available, instruct, job_of
from models.job import AdapterUse, Extent, Job, Picture
from tests.tiny_adapters.instruct import write


def noise(*shape: int, seed: int = 0) -> Picture:
    return Picture.from_array(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@pytest.fixture
def engine(tiny_engine: Callable, tmp_path: Path) -> Engine:
    engine = tiny_engine()
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(write(tmp_path / "told.safetensors", base)))
    return engine


def test_picture_and_sentence_decide(engine: Engine) -> None:
    paint = lambda picture=noise(64, 64, 3), words="make the fox red", prompt="a fox": engine.render(
        Job(base="tiny-student", prompt=prompt, extent=Extent(64, 64), adapters=(AdapterUse("told", 1.0, picture, words=words),))).pixels
    first = paint()
    assert (paint() == first).all(), "what was seen is remembered right"
    assert all((other != first).any() for other in (paint(noise(64, 64, 3, seed=1)), paint(words="remove the fox"), paint(prompt="a boat")))
    assert (paint(words="", prompt="make the fox red") == paint(prompt="make the fox red")).all(), "without words the prompt is the sentence"
    with pytest.raises(BadInput, match="what to do"):
        paint(words="", prompt="")


def test_a_batch_is_its_pictures(engine: Engine) -> None:
    job = Job(base="tiny-student", prompt="x", extent=Extent(64, 64), seeds=(3, 4), steps=2,
              adapters=(AdapterUse("told", 1.0, noise(64, 64, 3), words="make the fox red"),))
    both = engine.render(job).pixels
    for i, seed in enumerate(job.seeds):
        assert np.abs(engine.render(job.but(seeds=(seed,))).pixels[0].astype(int) - both[i]).max() <= 2


def test_the_flow_keeps_size_alpha_and_the_picture_at_zero(engine: Engine) -> None:
    for shape in ((90, 60, 3), (64, 64, 4)):
        given = noise(*shape)
        one = next(instruct(engine.render, Instruct("make the fox red", given, "tiny-student"), "told"))
        assert one.picture.array.shape == shape and one.understood.task == "recolour"
        assert shape[2] == 3 or (one.picture.array[..., 3] == given.array[..., 3]).all()
        none = list(instruct(engine.render, Instruct("make the fox red", given, "tiny-student", strength=0.0, seeds=(1, 2)), "told"))
        assert [n.picture for n in none] == [given, given]
    assert job_of(Instruct("x it", noise(90, 60, 3), "tiny-student"), "told").extent == Extent(208, 320)


def test_what_is_cut_out_has_alpha_and_the_pictures_colours(engine: Engine) -> None:
    given = noise(64, 64, 3)
    one = next(instruct(engine.render, Instruct("cut out the fox", given, "tiny-student"), "told"))
    assert one.picture.channels == 4 and (one.picture.array[..., :3] == given.array).all()


def test_empty_and_strange_words(engine: Engine) -> None:
    for bad in (dict(instruction=" "), dict(instruction="make it red", strength=2.0)):
        with pytest.raises(BadInput):
            Instruct(picture=noise(64, 64, 3), **bad)
    one = next(instruct(engine.render, Instruct("sing a song", noise(64, 64, 3), "tiny-student"), "told"))
    assert one.notes and one.understood.sure < 0.35
    assert available(engine) in {"told", "instruct"}
