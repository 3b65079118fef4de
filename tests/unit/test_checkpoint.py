"""Our own files on disk: the quantisation error has a bound, damage has a name, and nothing is ever half-written."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.errors import MissingWeights

CONFIG = {"width": 4, "levels": [1, 2]}


def saved(folder: Path, **tensors: torch.Tensor) -> Path:
    path = folder / "net.safetensors"
    checkpoint.save(path, "onestroke.test", CONFIG, {"seed": 3}, tensors or {"a": torch.randn(3, 5)}, "A test")
    return path


def test_round_trip(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 5), "b": torch.arange(4).half(), "t": torch.randn(4, 6).T}
    back = checkpoint.load(saved(tmp_path, **tensors), "onestroke.test")
    assert back.config == CONFIG and back.recipe == {"seed": 3}
    assert all(torch.equal(back.tensors[k], v) for k, v in tensors.items())


@pytest.mark.parametrize("spread", [1e-6, 1e-3, 1.0, 30.0])
def test_quantised_weights_are_off_by_half_a_level_at_most(spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(64, 16, 3, 3, generator=generator) * spread * torch.logspace(-2, 0, 64)[:, None, None, None]
    packed = checkpoint.quantise({"w": rows})
    back = checkpoint.dequantise(packed)["w"]
    level = packed["w" + checkpoint.SCALE].float()[:, None, None, None]
    assert packed["w"].dtype == torch.int8 and back.shape == rows.shape
    assert ((back - rows).abs() <= level * 0.5001).all()
    if spread >= 1.0:
        assert (back - rows).norm() / rows.norm() < 0.012


def test_zero_rows_stay_zero_and_small_tensors_stay_half() -> None:
    packed = checkpoint.quantise({"w": torch.zeros(64, 64), "bias": torch.ones(64), "small": torch.ones(2, 2)})
    assert packed["bias"].dtype == packed["small"].dtype == torch.float16
    assert (checkpoint.dequantise(packed)["w"] == 0).all()


def test_a_tensor_that_only_looks_like_a_scale_survives() -> None:
    tensors = {"encoder.scale": torch.ones(4), "encoder.basis": torch.ones(2, 2)}
    assert set(checkpoint.dequantise(tensors)) == set(tensors)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="gone.safetensors is missing. Restore it"):
        checkpoint.load(tmp_path / "gone.safetensors", "onestroke.test")


@pytest.mark.parametrize("keep", [0, 5, 40, 300, -8])
def test_truncated_file_is_called_damaged(tmp_path: Path, keep: int) -> None:
    path = saved(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(MissingWeights, match="net.safetensors is damaged"):
        checkpoint.load(path, "onestroke.test")


def test_another_kind_of_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="holds onestroke.test, not onestroke.unet"):
        checkpoint.load(saved(tmp_path), "onestroke.unet")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved(tmp_path, a=torch.ones(2))
    before = path.read_bytes()
    shared = torch.ones(4)
    with pytest.raises(RuntimeError):
        checkpoint.save(path, "onestroke.test", CONFIG, {}, {"a": shared, "b": shared}, "two names for one memory")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
