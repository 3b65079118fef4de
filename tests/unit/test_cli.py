"""The command line: exit codes, messages, files. The engine is a small painter; one test runs the real one."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from models.errors import BadInput, UnknownId
from models.job import Extent, Job, Result, Timings
from models.spec import Arch, BaseSpec, Style
from models.weights import ASSETS
from studio import bench, cli
from studio.export import png
from studio.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SPEC = BaseSpec("tiny", "Tiny", Arch("tiny", 8, 4), (), 1, native_px=(32,), default_steps=2, styles=(Style("flat", "Flat", "flat style"),))


class Painter:
    """Flat pictures whose colour is the seed."""

    def __init__(self) -> None:
        self.catalog = SimpleNamespace(bases={SPEC.id: SPEC}, resolve_base=self.resolve)
        self.jobs, self.closed = [], False

    def resolve(self, id: str) -> BaseSpec:
        if id != SPEC.id:
            raise UnknownId(f'There is no base "{id}".', "Known: tiny.")
        return SPEC

    def render(self, job: Job, progress=None) -> Result:
        self.jobs.append(job)
        shape = (job.extent.height, job.extent.width, 3)
        return Result(np.stack([np.full(shape, seed % 256, np.uint8) for seed in job.seeds]), job, Timings(), ("A note.",))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Painter:
    engine = Painter()
    monkeypatch.setattr(cli, "open_engine", lambda settings: engine)
    monkeypatch.chdir(tmp_path)
    return engine


def run(*args: str) -> int:
    return cli.app(["generate", *args, "--base", "tiny"])


def test_a_picture_carries_the_job_that_makes_it(painter: Painter, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("a fox", "--style", "flat", "--seed", "7", "--size", "48x32", "--steps", "1", "--out", "fox.png") == 0
    pixels, job = png.decode((tmp_path / "fox.png").read_bytes())
    assert job == painter.jobs[0] == Job("a fox", "tiny", "flat", seeds=(7,), extent=Extent(48, 32), steps=1)
    assert pixels.shape == (32, 48, 3) and (pixels == 7).all()
    out, err = capsys.readouterr()
    assert out == "fox.png  seed 7\n" and "A note." in err and painter.closed


def test_a_batch_is_written_one_file_a_seed(painter: Painter, tmp_path: Path) -> None:
    assert run("a fox", "--seed", "5", "--count", "3", "--out", "fox.png") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fox-1.png", "fox-2.png", "fox-3.png"]
    jobs = [png.decode((tmp_path / f"fox-{i}.png").read_bytes())[1] for i in (1, 2, 3)]
    assert [job.seeds for job in jobs] == [(5,), (6,), (7,)] and len(painter.jobs) == 1


def test_what_is_unset_comes_from_the_base(painter: Painter) -> None:
    assert run("a fox") == 0 and run("a fox") == 0
    first, second = painter.jobs
    assert first.extent == Extent(32, 32) and first.steps == 2
    assert first.seeds != second.seeds


def test_styles_are_listed(painter: Painter, capsys: pytest.CaptureFixture) -> None:
    assert run("--styles") == 0
    assert capsys.readouterr().out.split() == ["flat", "Flat"] and not painter.jobs


@pytest.mark.parametrize("args,words", [
    ((), "no prompt"), (("x", "--size", "3"), "not a size"), (("x", "--size", "0x0"), "outside"), (("x", "--steps", "1000"), "outside"),
    (("x", "--steps", "0"), "outside"), (("x", "--count", "0"), "outside"), (("x", "--count", "9999"), "outside"),
    (("x", "--seed", "-1"), "seed"), (("x", "--out", "fox.jpg"), "PNG"), (("x", "--out", "nowhere/fox.png"), "not there"),
    (("x" * 30_000,), "20,000"), (("x", "--nope"), "--styles"), (("x", "--seed", "seven"), "invalid int")])
def test_bad_input_is_one_line_with_its_cure(painter: Painter, tmp_path: Path, capsys: pytest.CaptureFixture,
                                             args: Sequence[str], words: str) -> None:
    assert run(*args) == 2
    out, err = capsys.readouterr()
    assert words in err and err.startswith("onestroke: ") and err.count("\n") == 1 and "Traceback" not in err
    assert not painter.jobs and not out and not list(tmp_path.iterdir())


def test_an_unknown_base_is_refused(painter: Painter, capsys: pytest.CaptureFixture) -> None:
    assert cli.app(["generate", "x", "--base", "nope"]) == 2
    assert "Known: tiny" in capsys.readouterr().err and painter.closed


def test_a_failed_write_leaves_no_half_file(painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")
    (tmp_path / "fox.png").write_bytes(b"the old picture")
    monkeypatch.setattr("models.files.os.replace", full)
    assert run("x", "--out", "fox.png") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["fox.png"] and (tmp_path / "fox.png").read_bytes() == b"the old picture"


def test_an_unknown_command_lists_the_commands(capsys: pytest.CaptureFixture) -> None:
    assert cli.app(["paint"]) == 2
    err = capsys.readouterr().err
    assert all(command in err for command in cli.COMMANDS)


def test_an_unknown_flag_lists_the_flags(capsys: pytest.CaptureFixture) -> None:
    assert cli.app(["--bogus"]) == 2
    assert "--budget-gb" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt
    monkeypatch.setattr(cli, "dispatch", interrupted)
    assert cli.app([]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_pytest_gets_its_arguments_and_its_exit_code_comes_back() -> None:
    assert cli.app(["test", "--version"]) == 0
    assert cli.app(["test", "no/such/file.py", "-q"]) == 4


OWN_TESTS = """
import os, pathlib, pytest
HERE = pathlib.Path(__file__).parent
def test_plain():
    (HERE / "plain").write_text(os.environ["PYTEST_XDIST_WORKER"] + os.environ["OMP_NUM_THREADS"])
    assert %s
@pytest.mark.browser
def test_page():
    (HERE / "page").write_text(os.environ.get("PYTEST_XDIST_WORKER", "alone"))
"""


@pytest.mark.parametrize("holds,code", [("True", 0), ("False", 1)])
def test_everything_runs_in_several_processes_and_browser_tests_alone_after_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                                 holds: str, code: int) -> None:
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = browser: a page\naddopts = -p no:cacheprovider -q")
    (tmp_path / "test_own.py").write_text(OWN_TESTS % holds)
    assert cli.app(["test"]) == code
    assert (tmp_path / "plain").read_text().startswith("gw") and (tmp_path / "plain").read_text().endswith("1")
    assert (tmp_path / "page").read_text() == "alone"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """One bench called "speed"."""
    figures = {"dab_p50_ms": 41.25, "images": 12345.0}
    monkeypatch.setattr(bench, "names", lambda: ("speed",))
    monkeypatch.setitem(sys.modules, "studio.bench.speed", SimpleNamespace(__doc__="How fast.\n\nMore.", run=lambda settings: figures))
    return figures


def test_a_bench_prints_a_table_and_writes_its_figures(measured: dict[str, float], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "speed.json"
    assert cli.app(["bench", "speed", "--json", str(out)]) == 0
    written = json.loads(out.read_text())
    assert written["figures"] == measured and "torch" in written["machine"] and set(written) == {"machine", "figures"}
    printed = capsys.readouterr().out
    assert "dab_p50_ms" in printed and "41.25" in printed and "12,345" in printed


def test_benches_are_listed_and_an_unknown_one_is_refused(measured: dict[str, float], capsys: pytest.CaptureFixture) -> None:
    assert cli.app(["bench"]) == 0
    assert capsys.readouterr().out.split() == ["speed", "How", "fast."]
    assert cli.app(["bench", "sped"]) == 2
    assert "Benches: speed" in capsys.readouterr().err


def test_a_figure_that_is_no_number_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="dab_ms"):
        bench.write_json(tmp_path / "out.json", {"dab_ms": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", bench.names())
def test_every_bench_can_be_found_and_says_what_it_measures(name: str) -> None:
    assert callable(bench.find(name)) and bench.title(name)


@pytest.mark.render
@pytest.mark.skipif(not (ASSETS / "embedded/student.safetensors").exists(), reason="the embedded weights are not in assets/")
def test_the_real_command_paints_the_same_pixels_in_another_process(tmp_path: Path) -> None:
    there, here = tmp_path / "there.png", tmp_path / "here.png"
    words = ["generate", "a smiling red fox", "--style", "flat", "--seed", "7", "--out"]
    done = subprocess.run([sys.executable, "-m", "studio", *words, str(there)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
                          capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == f"{there}  seed 7\n", done.stderr
    assert cli.app([*words, str(here)]) == 0
    (first, job), (second, _) = (png.decode(file.read_bytes()) for file in (there, here))
    assert np.array_equal(first, second) and first.shape == (256, 256, 3) and first.std() > 5
    assert job == Job("a smiling red fox", Settings().base, "flat", seeds=(7,))
