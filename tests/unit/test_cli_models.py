"""`models list|add|remove|verify`, and the download, against a hub that is a small server on this machine."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from models import hub
from models.catalog import Catalog
from models.errors import BadInput, MissingWeights, StudioError
from models.stamps import FOLDERS
from studio import cli
from tests.unit.test_shelf import lora_file


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of models of a command line whose engine has a catalog and no device."""
    registry = SimpleNamespace(resident=lambda: (), loading=None)
    monkeypatch.setattr(cli, "open_engine", lambda settings: SimpleNamespace(
        catalog=Catalog(settings.own_models, tmp_path / "index.sqlite"), registry=registry, close=lambda: None))
    monkeypatch.setenv("ONESTROKE_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


def run(*words: str) -> int:
    return cli.app(["models", *words])


def test_models_are_listed_searched_and_written_as_json(home: Path, capsys: pytest.CaptureFixture) -> None:
    lora_file(home / "loras/Blue Ink.safetensors", **{"modelspec.trigger_phrase": "inky, blue"})
    (home / "loras/old.ckpt").write_bytes(b"PK\x03\x04" + bytes(90))
    assert run("list") == 0
    out = capsys.readouterr().out
    assert "embedded " in out and "shipped" in out and "blue-ink" in out
    assert str(home / "loras/Blue Ink.safetensors") in out and "-> old.ckpt is a pickle" in out
    assert run("list", "inky", "--kind", "lora", "--json") == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert (card["id"], card["words"], card["state"], card["plugin"]) == ("blue-ink", ["inky", "blue"], "absent", "adapter")
    assert run("list", "nothing-like-it") == 0 and "No model holds these words" in capsys.readouterr().out


def test_adding_leaves_the_file_where_it_is(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = lora_file(tmp_path / "downloads/mine.safetensors")
    assert run("add", str(path)) == 0 and str(path) in capsys.readouterr().out
    assert not list(home.rglob("*.safetensors"))
    assert run("remove", "mine") == 0 and path.exists() and "the file stays" in capsys.readouterr().out
    for word, check in (("--copy", Path.is_file), ("--link", Path.is_symlink)):
        assert run("add", str(path), word) == 0 and check(home / "loras/mine.safetensors")
        assert run("remove", "mine", "--delete") == 0 and path.exists() and not (home / "loras/mine.safetensors").exists()


@pytest.mark.parametrize("words,says", [
    (("lst",), "Commands: list, add, convert, remove, verify"), (("list", "--kind", "lroa"), "known: base, lora"),
    (("add", "nothing.safetensors"), "cannot be read"),
    (("remove", "nope"), "no model \"nope\""), (("remove", "embedded"), "belongs to the studio"), (("verify", "nope"), "no model \"nope\""),
    (("add",), "--download"), (("list", "--nope"), "--json"), (("add", "/", "--download"), "is no hub id")])
def test_what_is_unknown_is_one_line_with_what_is_known(home: Path, capsys: pytest.CaptureFixture, words: tuple[str, ...], says: str) -> None:
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1


def test_verifying_names_what_is_broken(home: Path, capsys: pytest.CaptureFixture) -> None:
    path = lora_file(home / "loras/good.safetensors")
    assert run("verify", "good") == 0 and "All are sound" in capsys.readouterr().out
    (home / "loras/short.safetensors").write_bytes(path.read_bytes()[:-2])
    assert run("verify", "good", "short") == 1
    out = capsys.readouterr().out
    assert "ok      good" in out and "BROKEN  short" in out and "2 bytes are missing" in out and "1 of them is not sound" in out


# --- the hub -----------------------------------------------------------------------------------------------------------

class Hub(BaseHTTPRequestHandler):
    """One repository, as the client asks for it: its list, and files that can be gone on with."""
    files: dict[str, bytes] = {}
    lie = ""
    asked: list[str] = []

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        Hub.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        if self.path.startswith("/api/models/owner/name"):
            siblings = [{"rfilename": name, "size": len(data), "lfs": {
                "sha256": Hub.lie or hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 1}} for name, data in Hub.files.items()]
            return self.answer(json.dumps({"id": "owner/name", "sha": "c" * 40, "siblings": siblings}).encode(), {"Content-Type": "application/json"})
        data = Hub.files.get(self.path.rpartition("/" + "c" * 40 + "/")[2])
        if data is None:
            return self.answer(b"", {"X-Error-Code": "RepoNotFound"}, 404)
        return self.answer(data, {"X-Repo-Commit": "c" * 40, "ETag": f'"{hashlib.sha256(data).hexdigest()}"', "Accept-Ranges": "bytes"})

    def answer(self, data: bytes, headers: dict[str, str], status: int = 200) -> None:
        start = int(self.headers["Range"].removeprefix("bytes=").split("-")[0]) if "Range" in self.headers else 0
        self.send_response(206 if start else status)
        for name, value in {"Content-Length": str(len(data) - start), **headers}.items():
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the small hub; the client's cache is a folder of the test."""
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    Hub.files, Hub.lie, Hub.asked = {"style.safetensors": lora_file(tmp_path / "style").read_bytes(), "README.md": b"#", "old.ckpt": b"PK"}, "", []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_size_is_said_before_anything_is_fetched(home: Path, endpoint: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up, fetch = hub.look_up, hub.fetch
    monkeypatch.setattr(hub, "look_up", lambda source: look_up(source, endpoint))
    monkeypatch.setattr(hub, "fetch", lambda parcel, report: fetch(parcel, report, endpoint))
    assert run("add", "owner/name") == 0
    out = capsys.readouterr().out
    assert "owner/name: 0.0 MB in 1 file" in out and "Nothing was downloaded" in out and not any("style" in line for line in Hub.asked)
    assert run("add", "owner/name", "--download") == 0
    out, err = capsys.readouterr()
    assert "style  lora  sd1" in out and "100 %" in err
    assert run("list", "style", "--kind", "lora") == 0 and "style" in capsys.readouterr().out


def test_a_wrong_checksum_is_refused_and_not_kept(endpoint: str, tmp_path: Path) -> None:
    Hub.lie = "0" * 64
    with pytest.raises(MissingWeights, match="checksum that the hub states"):
        hub.fetch(hub.look_up("owner/name", endpoint), endpoint=endpoint)
    assert not [path for path in (tmp_path / "hub").rglob("*.safetensors") if path.exists()]


def test_what_is_not_there_or_not_allowed_is_said(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StudioError, match="The hub has no model \"no/such\""):
        hub.look_up("no/such", endpoint)
    with pytest.raises(BadInput, match="no safetensors file other.safetensors.*It has: style.safetensors"):
        hub.look_up("owner/name/other.safetensors", endpoint)
    from huggingface_hub import constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(StudioError, match="HF_HUB_OFFLINE is set"):
        hub.look_up("owner/name", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(StudioError, match="cannot be had from the hub now"):
        hub.look_up("owner/name", "http://127.0.0.1:9")


def test_only_what_a_pipeline_needs_is_chosen() -> None:
    names = ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors",
             "unet/diffusion_pytorch_model.bin", "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json",
             "tokenizer/merges.txt", "text_encoder/model.safetensors", "safety_checker/model.safetensors", "evil.py", "v1.safetensors"]
    assert hub.choose("o/n", names) == [
        "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors", "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors", "tokenizer/vocab.json", "tokenizer/merges.txt"]
    with pytest.raises(BadInput, match="Name one: o/n/a.safetensors, o/n/b.safetensors"):
        hub.choose("o/n", ["a.safetensors", "b.safetensors"])
    with pytest.raises(BadInput, match="no safetensors file.*Pickles are not used"):
        hub.choose("o/n", ["a.ckpt"])


def test_every_kind_has_a_folder() -> None:
    assert set(FOLDERS) == {"base", "lora", "controlnet", "t2i", "ip_adapter", "embedding", "vae", "layerdiffuse", "upscaler"}
