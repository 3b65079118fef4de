"""The rules of the house, read off the source: who may import whom, what an import may cost, how long things may be."""
from __future__ import annotations

import ast
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEVELS = {
    "models": 0, "models.job": 0, "models.spec": 0, "models.errors": 0, "models.sampling": 0, "models.compat": 0, "models.files": 0,
    "models.nets": 0, "models.frozen": 0, "models.nouns": 0,
    "models.pixels": 1, "models.devices": 1, "models.weights": 1, "models.turns": 1, "models.lines": 1, "models.tags": 1,
    "models.checkpoint": 1, "models.text": 1, "models.metadata": 1, "models.stamps": 1, "models.indexfile": 1, "models.hub": 1,
    "models.releases": 1, "models.decoding": 1, "models.layers": 1, "models.vector": 1, "models.words": 1,
    "models.contracts": 2, "models.shelf": 2,
    "models.bases": 3, "models.adapters": 3, "models.percepts": 3,
    "models.catalog": 4, "models.memory": 4, "models.attachments": 4,
    "models.registry": 5, "models.engine": 6, "models.tuning": 6, "models.flows": 7, "models.plain": 7}
LAB_MAY_IMPORT = 1
PLUGIN_ROOMS = ("models.bases", "models.adapters", "models.percepts")
ONLY_MODELS_IMPORTS = {"torch", "torchvision", "diffusers", "transformers", "peft", "accelerate", "safetensors"}
ONLY_STUDIO_IMPORTS = {"gradio", "gradio_client", "starlette", "fastapi", "uvicorn", "studio"}
SLOW = ("torch", "diffusers", "transformers", "peft", "accelerate")
MAX_FILE, MAX_FUNCTION, MAX_TAB_BUILD, NINE_OF_TEN, MEDIAN = 400, 60, 90, 35, 10
MACHINE_PATH = re.compile(r"(?<![\w.:}])/(?:work|root|home|Users|opt|mnt)/\w")
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}


def python_files(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


PRODUCT = [ROOT / "launch.py", *python_files("models", "studio")]
EVERYTHING = [*PRODUCT, *python_files("tests")]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports anywhere; `from models import pixels` counts as models.pixels."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports from the root"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ([name for name in inner if is_module(name)] or [node.module])


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or path.is_dir()


def level(name: str) -> int | None:
    """The L-number of a module of models/, by its longest listed prefix; None for the lab."""
    if name.startswith("models.lab"):
        return None
    room = ".".join(name.split(".")[:2])
    assert room in LEVELS, f"{room} has no L-number: give it one in architecture.md and here."
    return LEVELS[room]


def own(path: Path) -> list[str]:
    return [name for name in imports(path) if name.split(".")[0] == "models"]


@pytest.mark.parametrize("path", python_files("models"), ids=module_name)
def test_models_import_only_lower_rooms(path: Path) -> None:
    me = module_name(path)
    limit = level(me)
    for name in own(path):
        if limit is None:
            assert name.startswith("models.lab") or level(name) <= LAB_MAY_IMPORT, f"the lab imports {name}"
        else:
            assert level(name) is not None, f"{me} imports {name}: the lab meets the app in a checkpoint file only"
            assert level(name) <= limit, f"{me} (L{limit}) imports {name} (L{level(name)})"


@pytest.mark.parametrize("path", python_files("models/bases", "models/adapters", "models/percepts"), ids=module_name)
def test_a_plugin_imports_no_plugin_of_another_room(path: Path) -> None:
    room = ".".join(module_name(path).split(".")[:2])
    assert not [name for name in own(path) if name.startswith(PLUGIN_ROOMS) and not name.startswith(room)]


def test_models_never_import_the_face() -> None:
    assert not offenders(python_files("models"), ONLY_STUDIO_IMPORTS)


def test_the_face_never_imports_torch() -> None:
    assert not offenders(python_files("studio"), ONLY_MODELS_IMPORTS)


def test_the_face_never_imports_the_lab() -> None:
    assert not [path for path in python_files("studio") if any(name.startswith("models.lab") for name in imports(path))]


def test_launch_needs_the_standard_library_only() -> None:
    assert {name.split(".")[0] for name in imports(ROOT / "launch.py")} <= sys.stdlib_module_names


def offenders(paths: list[Path], forbidden: set[str]) -> list[str]:
    return [f"{module_name(path)} imports {name}" for path in paths for name in imports(path) if name.split(".")[0] in forbidden]


@pytest.mark.parametrize("module", ["studio.app", "studio.cli", "studio.settings", "studio.doctor", "models.job", "models.spec"])
def test_importing_loads_no_model_library_and_opens_no_socket(module: str) -> None:
    code = ("import sys, json; events = []\n"
            "sys.addaudithook(lambda event, args: events.append(event) if event in ('socket.bind', 'socket.connect') else None)\n"
            f"import {module}\n"
            f"print(json.dumps([[name for name in {SLOW!r} if name in sys.modules], events]))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert json.loads(done.stdout.splitlines()[-1]) == [[], []]


# --- lengths -----------------------------------------------------------------------------------------------------------

def functions(paths: list[Path]) -> list[tuple[str, int, int]]:
    """(where, lines, most lines allowed) of every function, its docstring included."""
    out = []
    for path in paths:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                tab = node.name == "build" and path.parent == ROOT / "studio/tabs"
                out.append((f"{module_name(path)}.{node.name}", node.end_lineno - node.lineno + 1, MAX_TAB_BUILD if tab else MAX_FUNCTION))
    return out


@pytest.mark.parametrize("path", EVERYTHING, ids=module_name)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MAX_FILE


def test_no_function_is_long() -> None:
    assert not [(where, lines) for where, lines, most in functions(EVERYTHING) if lines > most]


def test_most_functions_are_short() -> None:
    lines = sorted(count for _, count, _ in functions(PRODUCT))
    assert statistics.median(lines) < MEDIAN
    assert lines[len(lines) * 9 // 10] < NINE_OF_TEN


# --- what must not stand in the tree -----------------------------------------------------------------------------------

def texts() -> list[Path]:
    loose = [ROOT / name for name in ("README.md", "pyproject.toml", "requirements.lock", "requirements-test.lock", ".gitignore", ".ci/run")]
    web = [path for kind in ("*.js", "*.css", "*.html", "*.md") for room in ("studio", "models", "assets") for path in (ROOT / room).rglob(kind)]
    return [path for path in [*EVERYTHING, *loose, *web] if path.exists()]


def test_no_path_of_one_machine() -> None:
    assert not [(path.name, found.group()) for path in texts() for found in MACHINE_PATH.finditer(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("line,hit", [("/ro" "ot/x.png", True), ("cd /wo" "rk/main", True), ("a/ro" "ot/b", False), ("/rooting/x", False)])
def test_the_path_rule_finds_what_it_should(line: str, hit: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) is hit


def unpickling(module: ast.Module) -> list[int]:
    """Lines that could run code hidden in a file: torch.load without weights_only=True, numpy's allow_pickle, pickle's kin."""
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [node.lineno for name in names if name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.Call):
            called, given = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            unsafe_torch = called == "torch.load" and given.get("weights_only") != "True"
            found += [node.lineno] if unsafe_torch or given.get("allow_pickle") == "True" else []
    return found


def test_nothing_loads_a_pickle() -> None:
    assert not {module_name(path): lines for path in EVERYTHING if (lines := unpickling(tree(path)))}


@pytest.mark.parametrize("code,lines", [("import pickle", [1]), ("torch.load(f)", [1]), ("torch.load(f, weights_only=True)", []),
                                        ("np.load(f, allow_pickle=True)", [1]), ("np.load(f)", [])])
def test_the_pickle_rule_finds_what_it_should(code: str, lines: list[int]) -> None:
    assert unpickling(ast.parse(code)) == lines


def test_ruff_finds_nothing() -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
