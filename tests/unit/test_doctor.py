"""doctor finds what is missing, says how to cure it, and never falls over it."""
from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest

from models import weights
from models.spec import Arch, BaseSpec, WeightFile
from studio import chromium, cli, doctor
from studio.doctor import Check, base_weights, examine, report
from studio.settings import Settings


def safetensors(path: Path, values: int = 8) -> Path:
    """A whole safetensors file with one float32 tensor."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [values], "data_offsets": [0, 4 * values]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * values))
    return path


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseSpec:
    """A base whose one file lies whole in a folder of its own."""
    monkeypatch.setattr(weights, "ASSETS", tmp_path)
    data = safetensors(tmp_path / "w.safetensors").read_bytes()
    return BaseSpec("tiny", "Tiny", Arch("tiny", 8, 4), (WeightFile("w.safetensors", len(data), hashlib.sha256(data).hexdigest()),), 1)


def test_a_whole_file_is_ok(spec: BaseSpec, tmp_path: Path) -> None:
    check = base_weights(spec, tmp_path, needed=True)
    assert check.ok and "checksums match" in check.found


@pytest.mark.parametrize("spoil,words", [
    (lambda p: p.unlink(), "not there"), (lambda p: p.write_bytes(p.read_bytes()[:-4]), "bytes instead of"),
    (lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\x01"), "checksum")])
def test_a_spoilt_file_is_named_with_its_cure(spec: BaseSpec, tmp_path: Path, spoil, words: str) -> None:
    spoil(tmp_path / "w.safetensors")
    check = base_weights(spec, tmp_path, needed=True)
    assert not check.ok and check.needed and words in check.found and "git checkout" in check.cure


def test_a_cut_file_without_a_known_size_is_seen_too(spec: BaseSpec, tmp_path: Path) -> None:
    loose = BaseSpec("loose", "Loose", spec.arch, (WeightFile("w.safetensors"),), 1)
    path = tmp_path / "w.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    assert "truncated" in base_weights(loose, tmp_path, needed=False).found


def test_the_cure_stands_under_its_problem() -> None:
    text = report([Check("python", "3.11"), Check("weights", "gone", ok=False, needed=True, cure="Fetch them."),
                   Check("chromium", "none", ok=False, cure="Install it.")])
    marks = [line.split()[0] for line in text.splitlines()]
    assert marks == ["ok", "MISSING", "->", "note", "->"]


def test_examining_this_machine_finds_what_the_tests_run_on(tmp_path: Path) -> None:
    checks = {check.name: check for check in examine(Settings(cache_dir=tmp_path / "not/made/yet"))}
    assert {"python", "packages", "torch", "torchvision", "device", "memory", "text encoder", "disk", "chromium"} <= set(checks)
    assert all(checks[name].ok for name in ("python", "torchvision", "device", "text encoder", "disk"))
    assert not (tmp_path / "not").exists()


def test_an_unknown_base_is_missing_not_a_crash(tmp_path: Path) -> None:
    base = next(check for check in examine(Settings(cache_dir=tmp_path, base="nope")) if check.name == "base")
    assert base.needed and not base.ok and "--base" in base.cure


@pytest.mark.parametrize("checks,code", [([Check("a", "x")], 0), ([Check("a", "x", ok=False)], 0), ([Check("a", "x", ok=False, needed=True)], 1)])
def test_the_exit_code_tells_whether_something_needed_is_missing(monkeypatch: pytest.MonkeyPatch, checks: list[Check], code: int) -> None:
    monkeypatch.setattr(doctor, "examine", lambda settings: checks)
    assert cli.app(["doctor"]) == code


def test_an_engine_that_cannot_open_is_one_check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")
    monkeypatch.setattr("models.engine.open_engine", broken)
    last = examine(Settings(cache_dir=tmp_path))[-1]
    assert last.name == "engine" and not last.ok and last.needed and ".venv" in last.cure


def test_packages_off_their_lock_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("pytest==0.0.1\nno-such-package==1.0\n")
    monkeypatch.setattr(doctor, "LOCK", lock)
    check = doctor.packages()
    assert not check.ok and "pytest" in check.found and "no-such-package is absent" in check.found


def test_a_cpu_build_beside_a_card_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: "2.13.0+cpu")
    monkeypatch.setattr(doctor, "shutil", SimpleNamespace(which=lambda name: "nvidia-smi"))
    check = doctor.torch_build()
    assert not check.ok and not check.needed and ".venv" in check.cure


def test_chromium_is_found_by_variable_or_name(tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert chromium.find_chromium({"PATH": str(tmp_path)}) == str(program)
    assert chromium.find_chromium({"PATH": "", "ONESTROKE_CHROMIUM": str(program)}) == str(program)
    assert chromium.find_chromium({"PATH": ""}) is None
