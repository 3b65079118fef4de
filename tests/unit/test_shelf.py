"""The index over a user's own model files: what is known of them, how fast, and what breaks none of it."""
from __future__ import annotations

import json
import os
import sqlite3
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from models.adapters.lora import recognise as lora
from models.catalog import Catalog, found_by
from models.errors import BadInput, MissingWeights, StudioError, UnknownId
from models.frozen import freeze, thaw
from models.shelf import Shelf
from models.spec import AdapterSpec, Arch, BaseSpec, Style, WeightFile

LISTED_S = 2.0                                       # 10,000 files from a warm index
LAYER = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"


def tensor_file(path: Path, tensors: dict[str, list[int]], **meta: str) -> Path:
    """A safetensors file of half floats, all zero."""
    head, end = {"__metadata__": meta}, 0
    for name, shape in tensors.items():
        size = 2 * shape[0] * shape[1]
        head[name], end = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}, end + size
    body = json.dumps(head).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(body)) + body + bytes(end))
    return path


def lora_file(path: Path, width: int = 768, **meta: str) -> Path:
    return tensor_file(path, {f"{LAYER}.lora_A.weight": [2, width], f"{LAYER}.lora_B.weight": [4, 2]}, **meta)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def shelf(folder: Path, tmp_path: Path) -> Shelf:
    return Shelf(folder, tmp_path / "index.sqlite", found_by, {"embedded"})


def ids(shelf: Shelf, **question: str) -> list[str]:
    shelf.refresh()
    return [model.id for model in shelf.models(**question)]


def test_the_folders_are_made_where_there_are_none(shelf: Shelf, folder: Path) -> None:
    assert ids(shelf) == []
    kinds = {"bases", "loras", "controlnets", "t2i", "ip_adapters", "embeddings", "vaes", "layerdiffuse", "upscalers"}
    assert {path.name for path in folder.iterdir()} == kinds


def test_what_a_header_says_is_known_and_can_be_searched(shelf: Shelf, folder: Path) -> None:
    tags = json.dumps({"10_zebra style": {"zebra style": 10, "grass": 4, "sky": 7}})
    lora_file(folder / "loras/animals/Zebra Style v1.2.safetensors", ss_tag_frequency=tags, ss_resolution="(512, 512)", ss_network_dim="2",
              sshs_model_hash="ab" * 32, **{"modelspec.title": "Zebra", "modelspec.license": "CC0"})
    lora_file(folder / "loras/wide.safetensors", 2048)
    shelf.refresh()
    zebra, wide = shelf.models()[1], shelf.models()[0]
    assert (zebra.id, zebra.title, zebra.kind, zebra.plugin, zebra.error) == ("zebra-style-v1-2", "Zebra", "lora", "adapter", "")
    assert zebra.words == ("zebra style", "sky", "grass") and zebra.arch.startswith("sd1") and wide.arch.startswith("sdxl")
    assert zebra.facts == {"title": "Zebra", "licence": "CC0", "resolution": "(512, 512)", "rank": "2", "tensor_sha256": "ab" * 32}
    assert zebra.spec == replace(lora(zebra.path), id=zebra.id) and zebra.bytes == Path(zebra.path).stat().st_size
    assert ids(shelf, search="GRASS zebra") == ids(shelf, search="cc0") == [zebra.id]
    assert ids(shelf, search="100%") == [] and ids(shelf, kind="vae") == [] and shelf.count("sd") == 2


def test_content_decides_what_a_file_is(shelf: Shelf, folder: Path) -> None:
    tensor_file(folder / "loras/depth.safetensors", {"controlnet_cond_embedding.conv_in.weight": [4, 4]})
    tensor_file(folder / "loras/hands.safetensors", {"emb_params": [4, 768]})
    lora_file(folder / "Lora/named elsewhere.SafeTensors")
    tensor_file(folder / "vaes/odd.safetensors", {"whatever": [2, 2]})
    shelf.refresh()
    assert {model.id: model.kind for model in shelf.models()} == {"depth": "controlnet", "hands": "embedding", "named-elsewhere": "lora", "odd": "vae"}


def test_broken_files_are_listed_with_their_error(shelf: Shelf, folder: Path) -> None:
    good = lora_file(folder / "loras/good.safetensors")
    (folder / "loras/short.safetensors").write_bytes(good.read_bytes()[:-3])
    (folder / "loras/old.ckpt").write_bytes(b"PK\x03\x04" + bytes(90))
    (folder / "loras/lame.safetensors").write_bytes(tensor_file(folder / "x", {f"{LAYER}.lora_A.weight": [2, 768]}).read_bytes())
    (folder / "loras/locked.safetensors").symlink_to(folder / "loras/nowhere")
    shelf.refresh()
    errors = {model.id: model.error for model in shelf.models()}
    assert errors.pop("good") == "" and errors.keys() == {"short", "old", "lame"}
    assert "3 bytes are missing" in errors["short"] and "pickle" in errors["old"] and "one of the two matrices" in errors["lame"]


def test_a_plug_in_that_fails_stops_nothing(folder: Path, tmp_path: Path) -> None:
    def clumsy(kind: str, path: str) -> None:
        raise ZeroDivisionError("oops")
    lora_file(folder / "loras/a.safetensors")
    shelf = Shelf(folder, tmp_path / "index.sqlite", clumsy)
    shelf.refresh()
    assert "cannot be understood (ZeroDivisionError('oops'))" in shelf.models()[0].error


def test_only_what_changed_is_read_again(folder: Path, tmp_path: Path) -> None:
    asked = []
    shelf = Shelf(folder, tmp_path / "index.sqlite", lambda kind, path: asked.append(Path(path).stem))
    one, two = lora_file(folder / "loras/one.safetensors"), lora_file(folder / "loras/two.safetensors")
    shelf.refresh()
    shelf.refresh()
    assert sorted(asked) == ["one", "two"]
    lora_file(one, 1024)
    two.unlink()
    lora_file(folder / "loras/three.safetensors")
    shelf.refresh()
    assert sorted(asked[2:]) == ["one", "three"] and [model.id for model in shelf.models()] == ["one", "three"]


def test_equal_names_get_different_ids_that_last(shelf: Shelf, folder: Path) -> None:
    for place in ("a", "b", "b/c"):
        lora_file(folder / f"loras/{place}/same.safetensors")
    lora_file(folder / "loras/embedded.safetensors")
    first = {model.path: model.id for model in (shelf.refresh(), shelf.models())[1]}
    assert sorted(first.values()) == ["loras-b-c-same", "loras-b-same", "loras-embedded", "same"]
    lora_file(folder / "loras/0/same.safetensors")
    lora_file(Path(next(path for path in first if path.endswith("a/same.safetensors"))), 1024)
    shelf.refresh()
    assert first.items() <= {model.path: model.id for model in shelf.models()}.items()


def test_a_file_elsewhere_is_known_until_it_is_forgotten(shelf: Shelf, tmp_path: Path) -> None:
    path = lora_file(tmp_path / "elsewhere/mine.safetensors")
    assert shelf.add(path).id == "mine" and ids(shelf) == ["mine"]
    path.rename(tmp_path / "hidden")
    shelf.refresh()
    assert "not there any more" in shelf.models()[0].error
    (tmp_path / "hidden").rename(path)
    assert shelf.find("mine").error == ""
    shelf.forget("mine")
    assert ids(shelf) == [] and path.exists()


def test_adding_refuses_what_cannot_be_used(shelf: Shelf, tmp_path: Path) -> None:
    path = lora_file(tmp_path / "mine.safetensors")
    with pytest.raises(UnknownId, match="no kind \"lroa\".*Known: base, lora"):
        shelf.add(path, "lroa")
    with pytest.raises(BadInput, match="holds a lora, not a vae"):
        shelf.add(path, "vae")
    with pytest.raises(MissingWeights):
        shelf.add(tmp_path / "nothing.safetensors")
    (tmp_path / "x.ckpt").write_bytes(b"\x80\x02" + bytes(90))
    with pytest.raises(StudioError):
        shelf.add(tmp_path / "x.ckpt")
    assert ids(shelf) == []


def test_a_file_in_the_folders_can_be_forgotten_and_deleted(shelf: Shelf, folder: Path) -> None:
    path = lora_file(folder / "loras/one.safetensors")
    shelf.refresh()
    shelf.forget("one")
    assert ids(shelf) == [] and path.exists()
    shelf.add(path)
    assert ids(shelf) == ["one"]
    shelf.forget("one", delete=True)
    assert ids(shelf) == [] and not path.exists()
    with pytest.raises(UnknownId, match="no model \"one\""):
        shelf.forget("one")


def test_a_silent_change_is_found(shelf: Shelf, folder: Path) -> None:
    path = lora_file(folder / "loras/one.safetensors")
    shelf.refresh()
    assert shelf.verify("one") == shelf.verify("one") == ""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    from models import weights
    weights._sha256.cache_clear()                    # another day, another process
    assert "checksum changed" in shelf.verify("one")


def test_a_damaged_index_is_set_aside(shelf: Shelf, folder: Path, tmp_path: Path) -> None:
    lora_file(folder / "loras/one.safetensors")
    assert ids(shelf) == ["one"]
    for path in tmp_path.glob("index.sqlite*"):
        path.write_bytes(b"rubbish" * 1000)
    assert ids(shelf) == ["one"] and list(tmp_path.glob("*damaged*"))


def test_the_index_is_in_wal_mode_and_two_may_use_it(shelf: Shelf, folder: Path, tmp_path: Path) -> None:
    for n in range(40):
        lora_file(folder / f"loras/{n}.safetensors")
    other = Shelf(folder, tmp_path / "index.sqlite", found_by)
    threads = [threading.Thread(target=each.refresh) for each in (shelf, other)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert shelf.count() == 40
    assert sqlite3.connect(tmp_path / "index.sqlite").execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_loop_of_links_ends(shelf: Shelf, folder: Path) -> None:
    lora_file(folder / "loras/one.safetensors")
    (folder / "loras/again").symlink_to(folder / "loras")
    assert ids(shelf) == ["one"]


def test_thousands_are_listed_at_once_from_a_warm_index(folder: Path, tmp_path: Path) -> None:
    """ONESTROKE_MANY=10000 for the full size; the bound is the same."""
    many = int(os.environ.get("ONESTROKE_MANY", 500))
    data = lora_file(tmp_path / "one.safetensors", ss_tag_frequency=json.dumps({"4_word": {f"tag {n}": n for n in range(100)}})).read_bytes()
    (folder / "loras").mkdir(parents=True)
    for n in range(many):
        (folder / f"loras/file {n}.safetensors").write_bytes(data)
    start = time.perf_counter()
    Shelf(folder, tmp_path / "index.sqlite", found_by).refresh()
    cold_s, start = time.perf_counter() - start, time.perf_counter()
    warm = Shelf(folder, tmp_path / "index.sqlite", lambda kind, path: pytest.fail("a header was opened"))
    warm.refresh()
    models = warm.models()
    warm_s, start = time.perf_counter() - start, time.perf_counter()
    found = warm.models(search="file 7 word", limit=50)
    print(f"{many} files: {cold_s:.2f} s cold, {warm_s:.3f} s warm, {(time.perf_counter() - start) * 1e3:.1f} ms a search")
    assert len(models) == many and found and models[0].spec and warm_s < LISTED_S


def test_specs_come_back_from_text_equal() -> None:
    arch = Arch("x", 1, 2)
    base = BaseSpec("b", "B", arch, (WeightFile("f", 3, "aa", "o/r"),), 5, native_px=(64, 128), styles=(Style("s", "S", "p"),))
    adapter = AdapterSpec("a", "A", "lora", arch, (), 0, grants=("rgba",), claims=("c",), also=(Arch("y", 3, 4),))
    assert thaw(freeze(base)) == base and thaw(freeze(adapter)) == adapter


def test_the_catalog_takes_a_file_in_when_its_id_is_asked_for(folder: Path, tmp_path: Path) -> None:
    lora_file(folder / "loras/mine.safetensors")
    tensor_file(folder / "vaes/odd.safetensors", {"whatever": [2, 2]})
    catalog = Catalog(folder, tmp_path / "index.sqlite")
    assert not (tmp_path / "index.sqlite").exists() and "mine" not in catalog.adapters
    assert catalog.adapter("mine").spec.id == "mine" and "mine" in catalog.adapters
    with pytest.raises(BadInput, match="nothing here can paint with it"):
        catalog.adapter("odd")
    with pytest.raises(UnknownId, match="There is no adapter \"nope\".*1 of your own"):
        catalog.adapter("nope")
    catalog.forget("mine")
    assert "mine" not in catalog.adapters


def test_a_base_of_ones_own_is_found_by_id(folder: Path, tmp_path: Path, tiny_folder: Path) -> None:
    (folder / "bases").mkdir(parents=True)
    for path in tiny_folder.glob("*.safetensors"):
        (folder / "bases" / path.name).write_bytes(path.read_bytes())
    catalog = Catalog(folder, tmp_path / "index.sqlite")
    assert catalog.resolve_base("tiny-student").id == "tiny-student"
    assert {"embedded", "tiny-student", "tiny-teacher"} <= catalog.bases.keys()
