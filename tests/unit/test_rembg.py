"""rembg's networks on a tiny onnx file written by hand, and getting a released file from a server of our own."""
from __future__ import annotations

import hashlib
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from models import hub, releases
from models.catalog import Catalog
from models.devices import Device
from models.engine import Engine, open_engine
from models.errors import BadInput, MissingWeights, StudioError
from models.percepts import rembg
from models.releases import RELEASES, Release
from studio import cli
from studio.cards import cards

pytestmark = pytest.mark.render
SIDE, CPU = 24, Device("cpu", torch.float32)


# --- a protobuf writer of the few fields that an onnx model needs (onnx.proto of the ONNX project) -----------------------

def varint(n: int) -> bytes:
    return bytes([n & 127 | 128]) + varint(n >> 7) if n > 127 else bytes([n])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def value_info(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(field(1, field(1, n)) for n in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def onnx_model(weights: tuple[float, float, float], side: int = SIDE, inputs: int = 1) -> bytes:
    """A 1x1 convolution of three channels and a sigmoid, with input and output named as in the published files."""
    tensor = b"".join(field(1, n) for n in (1, 3, 1, 1)) + field(2, 1) + field(8, "w") + field(9, struct.pack("<3f", *weights))
    nodes = (field(1, "input.1") + field(1, "w") + field(2, "x") + field(4, "Conv"), field(1, "x") + field(2, "1959") + field(4, "Sigmoid"))
    graph = b"".join(field(1, node) for node in nodes) + field(2, "g") + field(5, tensor)
    graph += b"".join(field(11, value_info("input.1" if k == 0 else f"other{k}", (1, 3, side, side))) for k in range(inputs))
    graph += field(12, value_info("1959", (1, 1, side, side)))
    return field(1, 7) + field(7, graph) + field(8, field(2, 11))


@pytest.fixture
def rembg_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """rembg's own folder, empty."""
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "rembg"))
    (tmp_path / "rembg").mkdir()
    return tmp_path / "rembg"


def opened(tmp_path: Path) -> Engine:
    return open_engine(device="cpu", models_dir=tmp_path / "models", cache_dir=tmp_path / "cache")


def half_red() -> np.ndarray:
    rgb = np.full((30, 40, 3), 60, np.uint8)
    rgb[:, 20:] = (220, 60, 60)
    return rgb


@pytest.mark.parametrize("place", ["models/matting", "models/annotators", "rembg"])
def test_a_file_is_found_where_users_and_rembg_keep_it(place: str, tmp_path: Path, rembg_home: Path) -> None:
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "u2netp.onnx").write_bytes(onnx_model((4, 0, -4)))
    engine = opened(tmp_path)
    seen = engine.look("u2netp", half_red(), hints=np.zeros((30, 40, 2), np.uint8))
    assert seen.shape == (30, 40) and seen[:, 24:].min() > 200 and seen[:, :16].max() < 50, "what is red comes out"
    assert {r.id: r.bytes for r in engine.registry.resident()}["u2netp"] == (tmp_path / place / "u2netp.onnx").stat().st_size
    card = next(card for card in cards(engine, "u2netp")["items"])
    assert card["here"] and card["path"].endswith("u2netp.onnx")
    engine.close()


def test_pictures_are_scaled_as_in_training(tmp_path: Path, rembg_home: Path) -> None:
    """The answer is the sigmoid of the normalised channel, stretched to 0..1; every file divides by its own deviation."""
    ramp = torch.linspace(0, 0.8, SIDE).expand(1, 3, SIDE, SIDE).clone()
    for file, deviation in (("u2net.onnx", 0.229), ("isnet-general-use.onnx", 1.0)):
        (rembg_home / file).write_bytes(onnx_model((1, 0, 0)))
        spec = Catalog().percept(file.removesuffix(".onnx")).spec
        expected = torch.sigmoid((ramp[:, :1] / 0.8 - 0.485) / deviation)
        expected = (expected - expected.min()) / (expected.max() - expected.min())
        assert (rembg.load(spec, CPU).look(ramp) - expected).abs().max() < 2e-3


def test_a_flat_answer_is_nothing(rembg_home: Path) -> None:
    (rembg_home / "u2net.onnx").write_bytes(onnx_model((0, 0, 0)))
    assert not rembg.load(Catalog().percept("u2net").spec, CPU).look(torch.rand(2, 3, 20, 31)).any()


@pytest.mark.parametrize("data", [b"", b"not a model", onnx_model((1, 0, 0), inputs=2)])
def test_a_file_that_is_none_is_refused(data: bytes, rembg_home: Path) -> None:
    (rembg_home / "u2net.onnx").write_bytes(data)
    with pytest.raises(BadInput, match="u2net.onnx cannot be read"):
        rembg.load(Catalog().percept("u2net").spec, CPU)


def test_without_its_weights_it_names_the_cure_with_the_size(tmp_path: Path, rembg_home: Path) -> None:
    engine = opened(tmp_path)
    with pytest.raises(MissingWeights) as missing:
        engine.look("isnet-general-use", half_red())
    assert "178.6 MB" in missing.value.cure and "models add rembg/isnet-general-use.onnx --download" in missing.value.cure
    assert not next(card for card in cards(engine, "isnet general")["items"])["here"] and not list(rembg_home.iterdir())
    engine.close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """A release of this machine's own."""
    (tmp_path / "www").mkdir()
    data = onnx_model((4, 0, -4))
    (tmp_path / "www/u2netp.onnx").write_bytes(data)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        release = Release("rembg/u2netp.onnx", len(data), hashlib.md5(data).hexdigest(), f"http://127.0.0.1:{web.server_port}/")
        monkeypatch.setitem(RELEASES, release.source, release)
        yield release
        web.shutdown()


def test_it_is_downloaded_only_when_asked_and_compared(server: Release, tmp_path: Path, rembg_home: Path, capsys: pytest.CaptureFixture) -> None:
    asked = ["models", "add", server.source, "--models-dir", str(tmp_path / "models"), "--cache-dir", str(tmp_path / "cache")]
    assert cli.app(asked) == 0 and "0.0 MB in 1 file" in capsys.readouterr().out and not list(rembg_home.iterdir())
    assert cli.app([*asked, "--download"]) == 0 and capsys.readouterr().out.strip().endswith("u2netp.onnx")
    told: list[tuple[int, int]] = []
    assert hub.fetch(hub.look_up(server.source), lambda *at: told.append(at)) == rembg_home / "u2netp.onnx" and told == [(server.bytes, server.bytes)]
    engine = opened(tmp_path)
    assert engine.look("u2netp", half_red())[:, 24:].min() > 200
    engine.close()


def test_another_content_or_no_network_leaves_nothing_behind(server: Release, tmp_path: Path, rembg_home: Path) -> None:
    (tmp_path / "www/u2netp.onnx").write_bytes(b"something else")
    with pytest.raises(MissingWeights, match="checksum"):
        releases.fetch(server)
    with pytest.raises(StudioError, match="cannot be had now"):
        releases.fetch(Release("rembg/gone.onnx", 1, "", server.place))
    assert not list(rembg_home.iterdir())
