"""The container file and the service unit say nothing that does not exist here; neither is run."""
from __future__ import annotations

import ast
import configparser
import json
import re
from pathlib import Path

from studio.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "studio/deploy/Dockerfile").read_text(encoding="utf-8")
UNIT = ROOT / "studio/deploy/onestroke.service"


def test_the_container_copies_what_is_there_and_starts_with_known_flags() -> None:
    (first,) = re.findall(r"^COPY --chown=\S+ (.+) \./$", DOCKERFILE, re.M)
    assert all((ROOT / name).is_file() for name in first.split())
    flags = json.loads(re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.M)[1])
    assert Settings.from_args(flags, {"ONESTROKE_CACHE_DIR": "/data"}).listen
    used = re.search(r'python -c "import launch; launch\.(\w+)\(\[launch\.(\w+)\]\)"', DOCKERFILE)
    names = {node.name if isinstance(node, ast.FunctionDef) else node.targets[0].elts[0].id if isinstance(node.targets[0], ast.Tuple) else ""
             for node in ast.parse((ROOT / "launch.py").read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef | ast.Assign)}
    assert set(used.groups()) <= names


def test_its_health_check_is_python_that_compiles_and_asks_a_route_that_exists() -> None:
    command = json.loads(re.search(r"CMD (\[\"python\", \"-c\".*\])$", DOCKERFILE, re.M)[1])
    compile(command[2], "health", "exec")
    from studio.api.sdapi import SdApi
    assert any(getattr(route, "path", "") == "/internal/ping" for route in SdApi(None, None, "").routes()) and "/internal/ping" in command[2]


def test_the_service_starts_with_known_flags_and_gives_up_nothing() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT, encoding="utf-8")
    program, script, *flags = unit["Service"]["ExecStart"].split()
    assert program.startswith("/") and script == "launch.py" and Settings.from_args(flags, {}).listen
    assert unit["Service"]["NoNewPrivileges"] == "true" and unit["Install"]["WantedBy"] == "default.target"
