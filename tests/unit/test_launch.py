"""launch.py: what it decides, without installing anything."""
from __future__ import annotations

import importlib.util
import json
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The module with its environment and lock files in an empty folder."""
    spec = importlib.util.spec_from_file_location("launch_under_test", ROOT / "launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("ONESTROKE_TORCH", raising=False)
    for name, value in {"ROOT": tmp_path, "VENV": tmp_path / ".venv", "STAMP": tmp_path / ".venv/onestroke.json",
                        "LOCK": tmp_path / "requirements.lock", "TEST_LOCK": tmp_path / "requirements-test.lock"}.items():
        monkeypatch.setattr(module, name, value)
    (tmp_path / "requirements.lock").write_text("# pins\ntorch==2.13.0\ntorchvision==0.28.0\n")
    (tmp_path / "requirements-test.lock").write_text("pytest==9.2.0\n")
    yield module


@pytest.fixture
def installed(launch: ModuleType) -> ModuleType:
    """As if an installation had been finished."""
    launch.venv_python().parent.mkdir(parents=True)
    launch.venv_python().touch()
    stamp = {"python": platform.python_version(), "torch": "cpu", "locks": {launch.LOCK.name: launch.digest(launch.LOCK)}}
    launch.write_stamp(launch.STAMP, stamp)
    return launch


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 14, 0), (2, 7, 18)])
def test_another_python_is_refused_by_name(launch: ModuleType, version: tuple[int, ...]) -> None:
    with pytest.raises(launch.Stop, match=re.escape(f"{version[0]}.{version[1]}") + ".*3.11, 3.12 or 3.13"):
        launch.check_python(version)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 13, 1)])
def test_the_promised_pythons_are_taken(launch: ModuleType, version: tuple[int, ...]) -> None:
    launch.check_python(version)


def test_nothing_is_missing_after_a_whole_installation(installed: ModuleType) -> None:
    assert installed.missing_locks([installed.LOCK], installed.read_stamp(installed.STAMP)) == []


def test_a_changed_lock_is_installed_again(installed: ModuleType) -> None:
    installed.LOCK.write_text("torch==2.13.1\n")
    assert installed.missing_locks([installed.LOCK], installed.read_stamp(installed.STAMP)) == [installed.LOCK]


def test_tests_add_only_what_they_need(installed: ModuleType) -> None:
    both = [installed.LOCK, installed.TEST_LOCK]
    assert installed.missing_locks(both, installed.read_stamp(installed.STAMP)) == [installed.TEST_LOCK]


@pytest.mark.parametrize("spoil", [lambda m: m.STAMP.unlink(), lambda m: m.STAMP.write_text('{"python": "3.1'),
                                   lambda m: m.STAMP.write_text(json.dumps({"python": "3.11.0-other"})), lambda m: m.venv_python().unlink()])
def test_a_half_made_environment_is_not_taken_for_a_whole_one(installed: ModuleType, spoil) -> None:
    spoil(installed)
    assert installed.read_stamp(installed.STAMP) == {}


def test_another_torch_is_installed_when_asked_for(installed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESTROKE_TORCH", "cpu")
    assert installed.read_stamp(installed.STAMP)
    monkeypatch.setenv("ONESTROKE_TORCH", "cuda")
    assert installed.read_stamp(installed.STAMP) == {}


def test_an_interrupted_installation_leaves_no_stamp(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*words: str, quiet: bool = False) -> bool:
        raise KeyboardInterrupt
    monkeypatch.setattr(launch, "make_venv", lambda: None)
    monkeypatch.setattr(launch, "pip", interrupted)
    assert launch.main([]) == 130
    assert not launch.STAMP.exists()


def test_a_package_that_pip_was_killed_in_is_installed_anew(launch: ModuleType) -> None:
    packages = launch.VENV / "lib/python3.11/site-packages"
    for name in ("whole", "cut"):
        (packages / f"{name}-1.0.dist-info").mkdir(parents=True)
        (packages / f"{name}-1.0.dist-info/METADATA").touch()
    (packages / "whole-1.0.dist-info/INSTALLER").write_text("pip")
    launch.forget_half_installed()
    assert [path.name for path in packages.iterdir()] == ["whole-1.0.dist-info"]


@pytest.mark.parametrize("driver,build", [(None, "cpu"), (470, "cpu"), (535, "cu126"), (580, "cu130"), (595, "cu130")])
def test_the_torch_build_follows_the_driver(launch: ModuleType, monkeypatch: pytest.MonkeyPatch, driver: int | None, build: str) -> None:
    monkeypatch.setattr(launch, "nvidia_driver", lambda: driver)
    monkeypatch.setattr(launch.sys, "platform", "linux")
    assert launch.torch_build() == build


def test_an_unknown_wish_for_torch_is_refused(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESTROKE_TORCH", "rocm")
    with pytest.raises(launch.Stop, match="cpu or cuda"):
        launch.torch_build()


class Pip:
    """Records the requirements asked for; `has` says which of them a source can meet."""

    def __init__(self, launch: ModuleType, has: tuple[str, ...]) -> None:
        self.stop, self.has, self.installed = launch.Stop, has, []

    def __call__(self, *words: str, quiet: bool = False) -> bool:
        wanted = [word for word in words if "==" in word]
        if quiet:
            return set(wanted) <= set(self.has)
        if "--extra-index-url" in words and "index" not in self.has:
            raise self.stop("pip could not finish")
        self.installed.append(wanted)
        return True


@pytest.mark.parametrize("build,has,expected", [
    ("cpu", ("torch==2.13.0+cpu",), ["torch==2.13.0+cpu"]),
    ("cpu", ("index",), ["torch==2.13.0+cpu", "torchvision==0.28.0+cpu"]),
    ("cu130", ("index",), ["torch==2.13.0+cu130", "torchvision==0.28.0+cu130"]),
    ("cu130", (), ["torch==2.13.0", "torchvision==0.28.0"])])
def test_torch_comes_from_the_first_source_that_has_it(launch: ModuleType, monkeypatch: pytest.MonkeyPatch, build: str,
                                                       has: tuple[str, ...], expected: list[str]) -> None:
    pip = Pip(launch, has)
    monkeypatch.setattr(launch, "pip", pip)
    monkeypatch.setattr(launch.sys, "platform", "linux")
    launch.install_torch(build)
    assert pip.installed == [expected]


def test_a_machine_without_a_gpu_never_gets_cuda_by_accident(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = Pip(launch, has=())
    monkeypatch.setattr(launch, "pip", pip)
    monkeypatch.setattr(launch.sys, "platform", "linux")
    with pytest.raises(launch.Stop, match="ONESTROKE_TORCH=cuda"):
        launch.install_torch("cpu")
    assert pip.installed == []


def test_a_full_disk_is_told_before_a_download(launch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2 ** 30}))
    with pytest.raises(launch.Stop, match="1.0 GiB are free"):
        launch.check_disk("cpu")


def test_the_studio_runs_in_the_callers_folder(launch: ModuleType, tmp_path: Path) -> None:
    """A real child process: relative paths of `generate --out` mean the caller's folder, and its `models` is not imported."""
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio/__init__.py").touch()
    (tmp_path / "studio/__main__.py").write_text("import os, sys; print(os.getcwd(), *sys.argv[1:])")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "studio").mkdir(parents=True)
    (elsewhere / "studio/__main__.py").write_text("print('the wrong studio')")
    launch.venv_python().parent.mkdir(parents=True)
    launch.venv_python().symlink_to(sys.executable)
    code = (f"import sys; sys.path.insert(0, {str(ROOT)!r}); import launch; from pathlib import Path; "
            f"launch.ROOT = Path({str(tmp_path)!r}); launch.VENV = launch.ROOT / '.venv'; sys.exit(launch.run_studio(['doctor', '--x']))")
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True)
    assert done.stdout.split() == [str(elsewhere), "doctor", "--x"], done.stderr


def test_the_lock_pins_what_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = (ROOT / "requirements.lock").read_text().splitlines()
    assert set(project["dependencies"]) <= set(pins)
    assert set(project["optional-dependencies"]["test"]) <= set((ROOT / "requirements-test.lock").read_text().splitlines())


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_every_line_of_a_lock_is_one_exact_version(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; \w+ \S+ \"[\w.]+\")?", line) for line in lines)
    names = [line.split("==")[0] for line in lines]
    assert len(set(names)) == len(names)
