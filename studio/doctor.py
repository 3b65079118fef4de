"""What this machine has and what the studio misses on it, each problem with its cure."""
from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from models.errors import StudioError
from models.spec import BaseSpec
from studio import chromium
from studio.settings import Settings

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
GIB = 2 ** 30
LOW_MEMORY_BYTES, LOW_DISK_BYTES = 1 * GIB, 1 * GIB
REINSTALL = "Delete the folder .venv and run python3 launch.py again."


@dataclass(frozen=True)
class Check:
    """One thing looked at. `needed`: the studio cannot open without it. `cure`: what to do when it is not ok."""
    name: str
    found: str
    ok: bool = True
    needed: bool = False
    cure: str = ""


def examine(settings: Settings) -> list[Check]:
    """Every check, in the order in which they depend on each other. Never raises for a thing that is missing."""
    checks = [python(), packages(), torch_build(), disk(settings.cache_dir), browser()]
    try:
        from models.engine import open_engine
        engine = open_engine(budget_bytes=settings.budget_bytes, cache_dir=settings.cache_dir, models_dir=settings.own_models)
    except (ImportError, OSError, RuntimeError, StudioError) as error:
        return [*checks, Check("engine", f"{type(error).__name__}: {error}", ok=False, needed=True, cure=REINSTALL)]
    try:
        return [*checks, torchvision(), *device(engine), text_encoder(), *weights(engine.catalog, settings)]
    finally:
        engine.close()


def report(checks: list[Check]) -> str:
    """One line a check, then the cure of each that is not ok."""
    wide = max(len(check.name) for check in checks)
    lines: list[str] = []
    for check in checks:
        mark = "ok" if check.ok else "MISSING" if check.needed else "note"
        lines.append(f"{mark:<8}{check.name:<{wide}}  {check.found}")
        if not check.ok and check.cure:
            lines.append(f"{'':<8}{'':<{wide}}  -> {check.cure}")
    return "\n".join(lines)


def python() -> Check:
    ok = (3, 11) <= tuple(map(int, platform.python_version_tuple()[:2])) <= (3, 13)
    return Check("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}", ok, True,
                 "Use Python 3.11, 3.12 or 3.13.")


def packages() -> Check:
    """Installed versions against the lock file; builds such as +cpu count as the same version."""
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", LOCK.read_text(encoding="utf-8"), re.MULTILINE)) if LOCK.exists() else {}
    wrong = [f"{name} {_installed(name) or 'is absent'} (locked: {pin})" for name, pin in pins.items()
             if _installed(name).partition("+")[0] != pin]
    shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    return Check("packages", shown or f"{len(pins)} at their locked versions", not wrong, False, REINSTALL)


def torch_build() -> Check:
    """Which torch, and whether an NVIDIA card stands unused beside a CPU build."""
    build = _installed("torch")
    if not build:
        return Check("torch", "not installed", ok=False, needed=True, cure=REINSTALL)
    unused = shutil.which("nvidia-smi") is not None and build.endswith("+cpu")
    return Check("torch", build + (", a CPU build beside an NVIDIA card" if unused else ""), not unused, False,
                 f"{REINSTALL} It takes the CUDA build if the card's driver is 525 or newer.")


def disk(cache_dir: Path) -> Check:
    """Room and permission where downloads and kept pictures go."""
    place = next(folder for folder in (cache_dir, *cache_dir.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    return Check("disk", f"{free / GIB:.1f} GiB free for {cache_dir}", free > LOW_DISK_BYTES, False,
                 "Make room, or choose another place with --cache-dir.")


def browser() -> Check:
    found = chromium.find_chromium()
    return Check("chromium", found or "not found; only tests and benches need it", found is not None, False, chromium.CURE)


def torchvision() -> Check:
    """Whether diffusers and transformers can be imported, with a torchvision made for another torch or without."""
    from models.compat import mend_torchvision
    how = "its operators are declared only (built for another torch; nothing here needs them)" if mend_torchvision() else "works"
    missing = [name for name in ("diffusers", "transformers", "peft") if find_spec(name) is None]
    return Check("torchvision", f"{_installed('torchvision') or 'not installed'}, {how}" + "".join(f"; {m} is absent" for m in missing),
                 not missing, True, REINSTALL)


def device(engine: Any) -> Iterator[Check]:
    """Where networks run, in which number format, and how much memory they may take."""
    from models.devices import free_bytes
    status = engine.status()
    yield Check("device", status.device)
    yield Check("number format", status.dtype)
    free = free_bytes(engine.registry.device.name)
    yield Check("memory", f"{free / GIB:.1f} GiB free, the studio may take {status.budget_bytes / GIB:.1f} GiB", free > LOW_MEMORY_BYTES, False,
                "Close other programs, or allow the studio less with --budget-gb.")


def text_encoder() -> Check:
    from models.text import weights_folder
    try:
        return Check("text encoder", weights_folder().parent.name, needed=True)
    except StudioError as error:
        return Check("text encoder", "not installed", ok=False, needed=True, cure=error.cure)


def weights(catalog: Any, settings: Settings) -> Iterator[Check]:
    """The files of every base: there, whole, and with the expected checksum. Only the chosen base's are needed."""
    try:
        chosen = catalog.resolve_base(settings.base).id
    except StudioError as error:
        yield Check("base", str(error), ok=False, needed=True, cure="Choose another with --base.")
        chosen = ""
    for spec in catalog.bases.values():
        yield base_weights(spec, settings.cache_dir, needed=spec.id == chosen)


def base_weights(spec: BaseSpec, cache_dir: Path, needed: bool) -> Check:
    """Reads the whole files of one base; also their safetensors headers, so that a cut file is seen."""
    from models.weights import header, locate, verify
    name, total = f"base {spec.id}", 0
    try:
        for file in spec.files:
            path = locate(file, cache_dir)
            if path.suffix == ".safetensors":
                header(path)
            verify(path, file)
            total += path.stat().st_size
    except StudioError as error:
        return Check(name, str(error).removesuffix(error.cure).strip(), ok=False, needed=needed, cure=error.cure)
    checked = "checksums match" if all(file.sha256 for file in spec.files) else "whole"
    return Check(name, f"{len(spec.files)} files, {total / 2 ** 20:.1f} MiB, {checked}", needed=needed)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
