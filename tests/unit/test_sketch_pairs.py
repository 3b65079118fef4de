"""A pair in the sketch tab: it reads lines as an annotator does, and invents a picture with its lines; over a tiny base and a random pair."""
from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.engine import Engine, open_engine
from models.errors import UnknownId
from models.flows.unicon import unicon
from studio.sketch import pairs
from studio.sketch.importing import annotators, make_lines, strokes_from, told
from studio.sketch.pairs import make_invent
from tests.tiny_adapters import unicon as tiny_pair


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors")], device="cpu", cache_dir=tmp_path_factory.mktemp("home"))
    engine.catalog._adapters.pop("unicon", None)     # the shipped one is as wide as the shipped base
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(tiny_pair.write_own(tmp_path_factory.mktemp("pair") / "a-pair.safetensors", base)))
    yield engine
    engine.close()


def test_a_pair_is_offered_as_a_reader_of_lines_and_reads_any_shape(engine: Engine) -> None:
    offered = dict(annotators(engine))
    assert "pair:a-pair" in offered and next(iter(offered)) == "lines"
    seen = pairs.read(engine, "pair:a-pair", np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8), "tiny-student")
    assert seen.shape == (40, 90) and seen.dtype == np.uint8
    with pytest.raises(UnknownId):
        pairs.read(engine, "pair:nobody", np.zeros((8, 8, 3), np.uint8))


def test_what_the_pair_reads_become_strokes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    line = np.zeros((512, 512), np.uint8)
    line[250:256, 100:400] = 220
    monkeypatch.setattr(pairs, "read", lambda engine, how, rgb, base: line[:rgb.shape[0], :rgb.shape[1]])
    photo = np.random.default_rng(0).normal(127, 40, (512, 512, 3)).clip(0, 255).astype(np.uint8)
    found = strokes_from(engine, Image.fromarray(photo), "pair:a-pair")
    assert len(found.strokes) == 1 and np.allclose(found.strokes[0][:, 1], 253, atol=3)


def test_inventing_gives_the_pair_that_the_flow_paints(engine: Engine) -> None:
    shown: list[Image.Image] = []
    invent = make_invent(engine, lambda image: shown.append(image) or {"strokes": [[0, 0, 9, 9]], "note": "one"})
    asked = {"prompt": "a fox", "style": "", "seed": 5, "steps": 1, "base": "tiny-student"}
    answer = invent({**asked, "obey": 3})
    first = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["picture"].partition(",")[2]))))
    picture, lines = unicon(engine.render, pairs.job_for(engine.catalog.base("tiny-student").spec).but(prompt="a fox", seeds=(5,)), "a-pair", "both")
    assert np.array_equal(first, picture.pixels[0]) and np.array_equal(np.asarray(shown[0]), lines.pixels[0])
    assert answer["strokes"] == [[0, 0, 9, 9]] and invent(asked)["picture"] == answer["picture"]
    assert told(strokes_from(engine, shown[0])).keys() == {"strokes", "note"}


@pytest.mark.parametrize("asked", [None, 5, {"base": "nobody"}, {"seed": "x"}, {"steps": True}])
def test_what_cannot_be_invented_is_a_sentence(engine: Engine, asked: object) -> None:
    assert make_invent(engine, lambda image: {})(asked)["error"]
    assert make_lines(engine)({"picture": "data:,", "how": "pair:nobody"})["error"]


def test_a_base_without_a_pair_says_so(engine: Engine, tiny_folder: Path) -> None:
    lone = open_engine(bases=[str(tiny_folder / "tiny-teacher.safetensors")], device="cpu")
    lone.catalog._adapters = {}
    try:
        assert "no pair" in make_invent(lone, lambda image: {})({"base": "tiny-teacher"})["error"]
    finally:
        lone.close()
