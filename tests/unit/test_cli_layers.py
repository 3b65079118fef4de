"""`layers` on the command line: every kind of file into every format, several on each other, and what cannot be done in one line."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.layers.compose import flatten
from studio import cli
from studio.export import format_of
from studio.opening import open_file
from tests.layered import noise, plain_stack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stack, shelf = plain_stack()
    for id in ("psd", "ora", "project"):
        (tmp_path / f"doc-{id}.bin").write_bytes(format_of(id).write(stack, shelf, 1.0, {}))
    Image.fromarray(noise(30, 20)).save(tmp_path / "small.png")
    return tmp_path


@pytest.mark.parametrize("kind", ["psd", "ora", "project"])
def test_layered_files_become_each_other_and_pictures(folder: Path, kind: str, capsys: pytest.CaptureFixture) -> None:
    stack, shelf = plain_stack()
    assert cli.app(["layers", str(folder / f"doc-{kind}.bin"), "--out", str(folder / "out.png")]) == 0
    assert np.abs(np.asarray(Image.open(folder / "out.png")).astype(int) - flatten(stack, shelf)).max() <= 1      # a PSD keeps opacity in 8 bits
    assert "4 layers, 100x80 px" in capsys.readouterr().out
    for to in ("psd", "ora", "project"):
        assert cli.app(["layers", str(folder / f"doc-{kind}.bin"), "--to", to, "--out", str(folder / "again")]) == 0
        assert [node.name for node in open_file((folder / "again").read_bytes()).stack.walk()] == [node.name for node in stack.walk()]


def test_several_files_lie_on_each_other(folder: Path) -> None:
    assert cli.app(["layers", str(folder / "doc-ora.bin"), str(folder / "small.png"), "--to", "ora", "--out", str(folder / "both.ora")]) == 0
    back = open_file((folder / "both.ora").read_bytes()).stack
    assert back.extent.width == 100 and [node.name for node in back.layers] == ["doc-ora", "small"] and back.layers[1].place.corner == (35, 30)


def test_the_file_is_named_by_what_it_is_and_scaled(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.app(["layers", str(folder / "small.png"), "--to", "pack"]) == 0 and (folder / "small.pack.zip").stat().st_size > 1000
    assert cli.app(["layers", str(folder / "small.png"), "--out", str(folder / "big.webp"), "--scale", "2", "--background", "#ffffff"]) == 0
    with Image.open(folder / "big.webp") as image:
        assert image.size == (60, 40) and image.convert("RGBA").getextrema()[3] == (255, 255)
    capsys.readouterr()
    assert cli.app(["layers", str(folder / "doc-psd.bin"), "--list"]) == 0 and cli.app(["layers"]) == 0
    said = capsys.readouterr().out
    assert "Füchs 狐 d (hidden)  plus-lighter 100 % 30x20 at 45,30" in said and "OpenRaster" in said


@pytest.mark.parametrize("more, says", [
    (["missing.psd", "--to", "png"], "cannot be read"),
    (["small.png"], "Neither --to nor --out"),
    (["small.png", "--out", "x.xcf"], "tells no format"),
    (["small.png", "--to", "xcf"], "invalid choice"),
    (["small.png", "--to", "png"], "would replace"),
    (["small.png", "--out", "no/such/folder/x.png"], "is not there"),
    (["small.png", "--to", "psd", "--scale", "0"], "not a scale"),
    (["small.png", "--to", "psd", "--scale", "9000"], "more than can be written"),
    (["small.png", "--to", "psd", "--background", "red"], "not a colour"),
    (["broken.psd", "--to", "png"], "broken.psd: This PSD is cut short"),
])
def test_what_cannot_be_done_is_one_line(folder: Path, more: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(folder)
    Path("broken.psd").write_bytes(b"8BPS rubbish")
    assert cli.app(["layers", *more]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
