"""From a WeightFile to a path: offline, by content, with the cure in the message."""
from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models import weights
from models.errors import BadInput, MissingWeights
from models.spec import WeightFile


def tensors(folder: Path, name: str = "net.safetensors", **metadata: str) -> Path:
    save_file({"a": torch.ones(4, 4), "b": torch.ones(2)}, folder / name, metadata)
    return folder / name


def test_a_file_of_ones_own_is_found_by_its_absolute_path(tmp_path: Path) -> None:
    path = tensors(tmp_path)
    assert weights.locate(WeightFile(str(path), path.stat().st_size)) == path


def test_an_absent_asset_names_the_cure() -> None:
    with pytest.raises(MissingWeights, match="nothing.safetensors is not there. Restore it with: git checkout -- assets"):
        weights.locate(WeightFile("embedded/nothing.safetensors"))


def test_a_short_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingWeights, match="bytes instead of 999"):
        weights.locate(WeightFile(str(tensors(tmp_path)), 999))


def test_a_hub_file_outside_the_cache_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"Download it \(12 MB\) with: hf download owner/name"):
        weights.locate(WeightFile("x.safetensors", 12_000_000, repo="owner/name"), tmp_path / "cache")


def test_a_hub_file_in_the_cache_is_found(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--owner--name" / "refs").mkdir()
    (tmp_path / "models--owner--name" / "refs" / "main").write_text("abc")
    tensors(snapshot, "x.safetensors")
    assert weights.locate(WeightFile("x.safetensors", repo="owner/name"), tmp_path) == snapshot / "x.safetensors"


def test_checksums_are_compared(tmp_path: Path) -> None:
    path = tensors(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    weights.verify(path, WeightFile(str(path), sha256=digest))
    assert weights.sha256(path) == digest
    with pytest.raises(MissingWeights, match="checksum"):
        weights.verify(path, WeightFile(str(path), sha256="0" * 64))
    path.write_bytes(path.read_bytes() + b"x")
    assert weights.sha256(path) != digest


def test_the_header_is_read_without_the_tensors(tmp_path: Path) -> None:
    head = weights.header(tensors(tmp_path, title="t"))
    assert head["__metadata__"] == {"title": "t"} and head["a"]["shape"] == [4, 4]


def test_truncation_is_counted_in_bytes(tmp_path: Path) -> None:
    path = tensors(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(MissingWeights, match="truncated: 10 bytes are missing"):
        weights.header(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(MissingWeights, match="truncated within its header"):
        weights.header(path)


@pytest.mark.parametrize("how", ["zip", "legacy"])
def test_pickles_are_refused_whatever_they_are_called(tmp_path: Path, how: str) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.ones(4)}, path, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(BadInput, match="pickle checkpoint, which can run code.*Convert it"):
        weights.header(path)


@pytest.mark.parametrize("data", [b"", b"short", b"\0" * 64, b"GGUF" + b"\0" * 60, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 8) + b'{"a": 1}',
                                  struct.pack("<Q", 2 ** 60) + b"{}", struct.pack("<Q", 20) + b'{"a":{"shape":[1 2]}'])
def test_other_files_are_no_safetensors(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(BadInput, match="is not a safetensors file"):
        weights.header(path)


@pytest.mark.parametrize("length", [0x0280, 0x4B50])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + json.dumps({"__metadata__": {"k": "v"}}).encode().ljust(length))
    assert weights.header(path) == {"__metadata__": {"k": "v"}}
