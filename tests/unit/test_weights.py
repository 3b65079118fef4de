"""From a WeightFile to a path: offline, by content, with the cure in the message."""
from __future__ import annotations

import hashlib
import json
import os
import random
import re
import struct
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models import weights
from models.errors import BadInput, MissingWeights, StudioError
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


# --- what a header may say ----------------------------------------------------------------------------------------------

def written(path: Path, head: object, data: bytes = b"") -> Path:
    """A file whose header is `head` (bytes as they are, else as JSON)."""
    body = head if isinstance(head, bytes) else json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(body)) + body + data)
    return path


def entry(dtype: object = "U8", shape: object = (4,), span: object = (0, 4), **more: object) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": span} | more


@pytest.mark.parametrize("head,words", [
    ({"a": entry(), "b": entry(span=(2, 6))}, "share bytes"), ({"a": entry(), "b": entry(span=(0, 4))}, "share bytes"),
    ({"a": entry(span=(2, 6))}, "leave 2 bytes unexplained"), ({"a": entry(shape=(3,), span=(0, 3))}, "5 bytes follow its last tensor"),
    ({"a": entry("Q8")}, "unknown kind 'Q8'"), ({"a": entry(["U8"])}, "unknown kind"), ({"a": entry("F32")}, "another number of bytes"),
    ({"a": entry(span=(4, 0))}, "another number of bytes"), ({"a": entry("F4", (3,), (0, 1))}, "another number of bytes"),
    ({"a": entry(shape=(2 ** 62, 2 ** 62, 16))}, "another number of bytes"), ({"a": entry(shape=(2 ** 63,))}, "no shape"),
    ({"a": entry(shape=[1] * 17)}, "no shape"), ({"a": entry(shape=(-4,))}, "no shape"), ({"a": entry(shape=(True, 4))}, "no shape"),
    ({"a": entry(shape=(4.0,))}, "no shape"), ({"a": entry(shape="4")}, "no shape"), ({"a": entry(span=(0, 2, 4))}, "where its bytes are"),
    ({"a": entry(span=(-4, 0))}, "where its bytes are"), ({"a": entry(span=None)}, "where its bytes are"), ({"a": entry(x=1)}, "other fields"),
    ({"a": None}, "other fields"), ({"": entry()}, "no readable name"), ({"a" * 1025: entry()}, "no readable name"),
    ({"a\x00b": entry()}, "no readable name"), ({"__metadata__": {"k": 1}}, "not text by name"), ({"__metadata__": ["k"]}, "not text by name"),
    (b'{"a":1,"a":1}', "cannot be read"), (b'{"__metadata__":{"k":"\\ud800"}}', "cannot be read"), (b'{"a":NaN}', "other fields"),
    ('{"a":1}'.encode("utf-16"), "not a safetensors"), (b'{"a":' + b"9" * 5000 + b"}", "cannot be read"),
    (b'{"a":' * 200_000, "cannot be read"), (b'{"a":' + b"[" * 200_000, "cannot be read"),
    (b'{"a":[' + b"[]," * 1_100_000 + b"1]}", "more than 2,000,000 parts")])
def test_a_header_that_cannot_be_true_is_refused(tmp_path: Path, head: object, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        weights.header(written(tmp_path / "model.safetensors", head, bytes(8)))


def test_what_two_readers_agree_on_is_read(tmp_path: Path) -> None:
    head = {"empty": entry("F32", (0, 3), (4, 4)), "half": entry("F4", (2, 4), (0, 4)), "one": entry("F16", (), (4, 6))}
    assert weights.header(written(tmp_path / "x", head, bytes(6))) == json.loads(json.dumps(head))


def test_a_header_that_is_too_long_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", weights.HEADER_LIMIT + 1) + b"{")
        f.truncate(weights.HEADER_LIMIT + 100)
    with pytest.raises(BadInput, match="25,000,001 bytes; 25,000,000 are the most"):
        weights.header(path)


def test_the_answer_is_the_callers_own(tmp_path: Path) -> None:
    path = tensors(tmp_path, title="t")
    weights.header(path).clear()
    assert "a" in weights.header(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")                             # opening it would wait for ever
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "loop", tmp_path / "absent", tmp_path / "a\0b", Path("/dev/zero")):
        with pytest.raises(StudioError):
            weights.header(path)


def broken(rng: random.Random, whole: bytes) -> bytes:
    """`whole` with one to four seeded injuries, most of them in its header."""
    out = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(len(out), 400)) if out else 0
        injury = rng.randrange(7)
        if injury == 0 and out:
            out[at] ^= 1 << rng.randrange(8)
        elif injury == 1:
            out[at:at + rng.randint(1, 30)] = b""
        elif injury == 2:
            out[at:at] = rng.choice([b"{", b"[", b'"', b"\\u", b"9" * 40, b"-", b"null", b"\xff\xfe", b'"a":{}', bytes(9), b"[" * 5000])
        elif injury == 3:
            out[:8] = struct.pack("<Q", rng.choice([0, 1, len(out), 2 ** 31, 2 ** 63, 2 ** 64 - 1, rng.randrange(2 ** 20)]))
        elif injury == 4:
            out = out[:rng.randrange(len(out) + 1)]
        elif injury == 5:
            number = lambda _: str(rng.choice([0, 1, 2 ** 31, 2 ** 63, 2 ** 64, 10 ** 30])).encode()
            out = bytearray(re.sub(rb"\d+", number, bytes(out), count=rng.randint(1, 6)))
        else:
            out[at:at + 4] = rng.randbytes(4)
    return bytes(out)


def test_a_thousand_broken_headers_neither_crash_nor_hang(tmp_path: Path) -> None:
    """Each case is refused with a StudioError or, where the injury did no harm, read by us and the reader that loads it alike."""
    rng, whole, path = random.Random(7), tensors(tmp_path, title="t", tags='{"a": {"b": 1}}').read_bytes(), tmp_path / "broken.safetensors"
    refused, slowest_s = 0, 0.0
    for case in range(1000):
        path.write_bytes(broken(rng, whole))
        os.utime(path, ns=(case, case))
        start = time.perf_counter()
        try:
            names = weights.header(path).keys() - {"__metadata__"}
        except StudioError as error:
            refused += 1
            assert str(error).startswith("broken.safetensors ") and error.cure
        else:
            assert names == load_file(path).keys()
        slowest_s = max(slowest_s, time.perf_counter() - start)
    assert refused > 800 and slowest_s < 1
