"""What every percept promises, over discovery: a spec that costs nothing, one picture of what it sees, the same every time."""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.catalog import Catalog
from models.engine import Engine, open_engine
from models.errors import BadInput, MissingWeights
from models.percepts import _shared
from models.releases import RELEASES

pytestmark = pytest.mark.render
EVERY = Catalog().percepts
SPECS = {id: spec for id, spec in EVERY.items() if spec.sees == "lines"}
WITH_WEIGHTS = [id for id, spec in SPECS.items() if spec.files]
RELEASED = [id for id, spec in EVERY.items() if any(file.repo in RELEASES for file in spec.files)]     # tests/unit/test_rembg.py opens these
HERE = [id for id in EVERY if id not in RELEASED]
CUTTERS = [id for id in HERE if EVERY[id].sees == "alpha"]
MEASURES = [(1, 64, 64), (2, 50, 83), (1, 7, 300)]


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder whose annotators were converted from pickles in the layout of the published ones, with random weights."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    for name, id in _shared.PUBLISHED.items():
        state = getattr(_shared.networks(), id)().state_dict()
        if id == "pidinet":                          # published as it came out of data-parallel training
            state = {"epoch": 19, "state_dict": {f"module.{key}": value for key, value in state.items()}}
        torch.save(state, folder / name)
        _shared.convert(folder / name, folder / "annotators")
    return folder


@pytest.fixture(scope="module")
def engine(models_dir: Path) -> Engine:
    engine = open_engine(device="cpu", models_dir=models_dir, cache_dir=models_dir / "cache")
    yield engine
    engine.close()


def picture(batch: int, height: int, width: int) -> torch.Tensor:
    """A red block on a soft ground with a little noise, [B, 3, H, W] in [0, 1]; each picture of the batch is another."""
    rgb = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1)) * 0.1 + torch.linspace(0.6, 0.8, width)
    rgb[:, 1:, height // 4:height // 2, width // 4:width // 2] = 0.1
    return rgb


def test_specs_are_read_without_weights_and_without_slow_imports() -> None:
    code = ("import sys; from models.catalog import Catalog; print(len(Catalog().percepts), "
            "[m for m in ('controlnet_aux', 'torchvision', 'timm', 'skimage', 'scipy', 'diffusers') if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2])
    assert out.stdout.strip() == f"{len(EVERY)} []" and len(SPECS) >= 5


@pytest.mark.parametrize("spec", EVERY.values(), ids=EVERY)
def test_specs_are_consistent(spec) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", spec.id) and spec.title and spec.licence
    assert spec.bytes > 100_000 if spec.files else spec.bytes == 0
    assert all(file.file.endswith(".onnx" if spec.id in RELEASED else ".safetensors") for file in spec.files)
    catalog = Catalog()
    assert spec.id not in catalog.bases and spec.id not in catalog.adapters


@pytest.mark.parametrize("measure", MEASURES, ids=str)
@pytest.mark.parametrize("id", SPECS)
def test_it_sees_one_channel_of_the_same_size_and_the_same_every_time(engine: Engine, id: str, measure: tuple[int, int, int]) -> None:
    rgb = picture(*measure)
    given = rgb.clone()
    with engine.registry.percept(id) as percept:
        seen = percept.look(rgb)
        assert seen.shape == (measure[0], 1, *measure[1:]) and seen.dtype == torch.float32
        assert torch.isfinite(seen).all() and 0 <= seen.min() and seen.max() <= 1
        assert torch.equal(percept.look(rgb), seen) and torch.equal(rgb, given)


@pytest.mark.parametrize("id", SPECS)
def test_pictures_of_a_batch_do_not_know_each_other(engine: Engine, id: str) -> None:
    rgb = picture(2, 48, 64)
    with engine.registry.percept(id) as percept:
        both, alone = percept.look(rgb), torch.cat([percept.look(one[None]) for one in rgb])
    assert (both - alone).abs().max() < 1e-3 and (both[0] != both[1]).any()


@pytest.mark.parametrize("id", HERE)
def test_bytes_are_counted(engine: Engine, id: str) -> None:
    with engine.registry.percept(id) as percept:
        assert percept.spec.id == id
        assert percept.bytes_resident() == EVERY[id].bytes
    assert {r.id: r.bytes for r in engine.registry.resident()}[id] == EVERY[id].bytes


@pytest.mark.parametrize("id", [id for id, spec in EVERY.items() if spec.sees == "likeness"])
@pytest.mark.parametrize("measure", MEASURES, ids=str)
def test_a_likeness_is_one_unit_vector_a_picture_and_the_same_every_time(engine: Engine, id: str, measure: tuple[int, int, int]) -> None:
    rgb = picture(*measure)
    with engine.registry.percept(id) as percept:
        seen, alone = percept.look(rgb), torch.cat([percept.look(one[None]) for one in rgb])
        assert seen.ndim == 2 and len(seen) == len(rgb) and torch.equal(percept.look(rgb), seen)
    assert torch.allclose(seen.norm(dim=1), torch.ones(len(rgb)), atol=1e-5) and (seen - alone).abs().max() < 1e-3
    with pytest.raises(BadInput, match="annotator"):
        engine.look(id, np.zeros((16, 16, 3), np.uint8))


@pytest.mark.parametrize("measure", [*MEASURES, (1, 700, 20)], ids=str)
@pytest.mark.parametrize("id", CUTTERS)
def test_alpha_is_one_channel_of_the_same_size_and_follows_hints(engine: Engine, id: str, measure: tuple[int, int, int]) -> None:
    rgb = picture(*measure)
    with engine.registry.percept(id) as percept:
        seen = percept.look(rgb)
        assert seen.shape == (measure[0], 1, *measure[1:]) and torch.isfinite(seen).all() and 0 <= seen.min() and seen.max() <= 1
        assert torch.equal(percept.look(rgb), seen) and torch.equal(percept.look(rgb, torch.zeros(len(rgb), 2, *measure[1:])), seen)
        ones, none = torch.ones_like(seen), torch.zeros_like(seen)
        keep, drop = (percept.look(rgb, torch.cat(pair, 1)) for pair in ((ones, none), (none, ones)))
    assert drop.mean() < keep.mean(), "keep everything, drop everything"


@pytest.mark.parametrize("id", CUTTERS)
def test_the_engine_takes_hints_where_they_mean_something(engine: Engine, id: str) -> None:
    rgb, hints = np.full((40, 56, 3), 200, np.uint8), np.zeros((40, 56, 2), np.uint8)
    rgb[10:30, 10:30] = (200, 30, 30)
    hints[15:25, 15:25, 0] = 255
    assert engine.look(id, rgb).shape == (40, 56) and engine.look(id, rgb, hints=hints).dtype == np.uint8
    with pytest.raises(BadInput, match="takes no hints"):
        engine.look("lines", rgb, hints=hints)


@pytest.mark.parametrize("id", SPECS)
def test_the_engine_looks_with_it(engine: Engine, id: str) -> None:
    rgb = (picture(1, 40, 56)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    seen = engine.look(id, rgb)
    assert seen.shape == (40, 56) and seen.dtype == np.uint8
    assert not any(r.pinned for r in engine.registry.resident())
    engine.registry.evict("percept", id)
    assert (engine.look(id, rgb) == seen).all()


@pytest.mark.parametrize("id", WITH_WEIGHTS)
def test_without_its_weights_it_names_the_cure(id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    engine = open_engine(device="cpu", models_dir=tmp_path, cache_dir=tmp_path)
    with pytest.raises(MissingWeights) as missing:
        engine.look(id, np.zeros((16, 16, 3), np.uint8))
    assert "hf download" in missing.value.cure and "models convert" in missing.value.cure
    engine.close()
