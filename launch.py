#!/usr/bin/env python3
"""Opens Onestroke with one command: makes .venv beside this file, installs the locked packages into it once, starts the studio.

    python3 launch.py                      open the studio in a browser
    python3 launch.py --help               its flags and the other commands
    python3 launch.py test                 install what the tests need too (a browser's driver) and run them all

Only the standard library is used here. The first start downloads packages; it may be interrupted and run again. What is
installed is written to a stamp file last, so a half-finished installation is never mistaken for a whole one.
ONESTROKE_TORCH=cpu or =cuda overrides the choice of the torch build.
"""
from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "onestroke.json"
LOCK, TEST_LOCK = ROOT / "requirements.lock", ROOT / "requirements-test.lock"
OLDEST, NEWEST = (3, 11), (3, 13)
TORCH_INDEX = "https://download.pytorch.org/whl"
CUDA_BUILDS = ((580, "cu130"), (525, "cu126"))       # (oldest NVIDIA driver that runs it, build), newest first
NEED_GIB = {"cpu": 4, "cuda": 12}


class Stop(Exception):
    """The installation cannot go on; the text says why and what to do."""


def main(argv):
    """Install if something is missing, then become the studio. Returns an exit code."""
    try:
        check_python(sys.version_info)
        locks = [LOCK, TEST_LOCK] if argv[:1] in (["test"], ["bench"]) else [LOCK]
        if missing := missing_locks(locks, read_stamp(STAMP)):
            install(missing)
        return run_studio(argv)
    except Stop as error:
        print(f"launch.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command goes on from here.", file=sys.stderr)
        return 130


def check_python(version):
    """Raises Stop unless `version` is one that the lock file was resolved for."""
    if not OLDEST <= tuple(version[:2]) <= NEWEST:
        raise Stop(f"this is Python {version[0]}.{version[1]}, Onestroke needs Python 3.11, 3.12 or 3.13. "
                   "Install one of them (python.org, or your system's packages) and run it as `python3.11 launch.py`.")


def run_studio(argv):
    """Run `python -m studio` in the environment, in the caller's own folder, so that relative paths mean what they say."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in paths if path))
    command = [str(venv_python()), "-P", "-m", "studio", *argv]
    if os.name == "posix":
        sys.stdout.flush()
        os.execve(command[0], command, environment)
    return subprocess.call(command, env=environment)


# --- what is installed already -----------------------------------------------------------------------------------------

def digest(lock):
    """sha256 of a lock file, 64 hex digits."""
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def read_stamp(path):
    """What the last complete installation wrote; {} when there was none or this is another Python."""
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    wanted = os.environ.get("ONESTROKE_TORCH", "")
    same_torch = not wanted or stamp.get("torch", "").startswith(wanted[:2])
    same = stamp.get("python") == platform.python_version() and same_torch and venv_python().exists()
    return stamp if same else {}


def write_stamp(path, stamp):
    """Replace the stamp in one step: it is there whole or not at all."""
    waiting = path.with_name(f"{path.name}.{os.getpid()}.part")
    waiting.write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    os.replace(waiting, path)


def missing_locks(locks, stamp):
    """The lock files whose present content was not installed."""
    return [lock for lock in locks if stamp.get("locks", {}).get(lock.name) != digest(lock)]


def locked_version(package):
    """The version that the lock file pins `package` to."""
    found = re.search(rf"^{re.escape(package)}==([^\s;]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise Stop(f"{LOCK.name} does not pin {package}. Fetch the file anew from the project.")
    return found.group(1)


# --- installing --------------------------------------------------------------------------------------------------------

def install(missing):
    """Bring .venv to the state that the lock files describe, with pip's own progress on screen."""
    stamp = read_stamp(STAMP)
    build = stamp.get("torch") or torch_build()
    if LOCK in missing:
        check_disk(build)
        say("Installing Onestroke's packages into .venv; this happens once and takes a few minutes.")
        make_venv()
    forget_half_installed()
    if LOCK in missing:
        install_torch(build)
    say(f"Installing the packages of {' and '.join(lock.name for lock in missing)} ...")
    pip("install", *(word for lock in missing for word in ("-r", str(lock))), "-c", str(LOCK))
    locks = stamp.get("locks", {}) | {lock.name: digest(lock) for lock in missing}
    write_stamp(STAMP, {"python": platform.python_version(), "torch": build, "locks": locks})
    say("Installed.")


def make_venv():
    """Make .venv, or keep the one that stands if it has a working pip of this very Python."""
    if venv_python().exists() and venv_works():
        return
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]) != 0:
        raise Stop("this Python cannot make an environment. On Debian or Ubuntu: `sudo apt install python3-venv`, then run again.")


def forget_half_installed():
    """Make pip install anew what it was killed in. A package's INSTALLER file is the last thing that pip writes; without it
    the package may be cut short, but pip would take it for whole."""
    for info in [*VENV.glob("lib/python*/site-packages/*.dist-info"), *VENV.glob("Lib/site-packages/*.dist-info")]:
        if not (info / "INSTALLER").exists():
            shutil.rmtree(info)


def venv_works():
    """Whether .venv runs this Python version and has pip."""
    code = "import platform, pip; print(platform.python_version())"
    answer = subprocess.run([str(venv_python()), "-c", code], capture_output=True, text=True)
    return answer.returncode == 0 and answer.stdout.strip() == platform.python_version()


def venv_python():
    """The interpreter inside .venv."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def pip(*words, quiet=False):
    """Run pip in .venv. quiet: print nothing and return whether it worked; else a failure raises Stop."""
    command = [str(venv_python()), "-m", "pip", "--disable-pip-version-check", *words]
    if quiet:
        return subprocess.run(command, capture_output=True).returncode == 0
    if subprocess.call(command) != 0:
        raise Stop("pip could not finish; its reason stands above. With a working network and enough disk space, "
                   "run the same command again: what was fetched is kept.")
    return True


def check_disk(build):
    """Raises Stop when the disk has clearly too little room for this torch build."""
    need = NEED_GIB["cpu" if build == "cpu" else "cuda"]
    free = shutil.disk_usage(ROOT).free / 2 ** 30
    if free < need and not STAMP.exists():
        raise Stop(f"{free:.1f} GiB are free on this disk, the installation needs about {need} GiB. Make room and run again.")


def say(text):
    print(text, flush=True)


# --- which torch -------------------------------------------------------------------------------------------------------

def torch_build():
    """"cpu", or the CUDA build that this machine's NVIDIA driver can run ("cu130", "cu126")."""
    wanted = os.environ.get("ONESTROKE_TORCH", "")
    if wanted not in ("", "cpu", "cuda"):
        raise Stop(f"ONESTROKE_TORCH={wanted} is not known. Set it to cpu or cuda, or leave it unset.")
    if sys.platform == "darwin" or wanted == "cpu":
        return "cpu"
    driver = nvidia_driver()
    if wanted == "cuda" and driver is None:
        return CUDA_BUILDS[0][1]
    build = next((build for oldest, build in CUDA_BUILDS if driver is not None and driver >= oldest), "cpu")
    if driver is not None and build == "cpu":
        say(f"The NVIDIA driver {driver} is older than any CUDA build of torch needs: the CPU is used. A newer driver cures it.")
    return build


def nvidia_driver():
    """The major version of the NVIDIA driver, None where there is none."""
    text = ""
    if tool := shutil.which("nvidia-smi"):
        answer = subprocess.run([tool, "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True)
        text = answer.stdout if answer.returncode == 0 else ""
    elif (file := Path("/proc/driver/nvidia/version")).exists():
        text = file.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"\b(\d{3})\.\d+", text)
    return int(found.group(1)) if found else None


def install_torch(build):
    """Install the pinned torch in the given build from the first source that has exactly that build.

    A requirement like torch==2.13.0+cpu is met by a CPU build only, so a machine without a GPU never gets gigabytes of CUDA by
    accident. The places that pip is set up with come first (a wheel on disk, a mirror), then PyTorch's own index.
    """
    torch, vision = f"torch=={locked_version('torch')}", f"torchvision=={locked_version('torchvision')}"
    say(f"Installing {torch} ({'CPU' if build == 'cpu' else 'CUDA'} build) ...")
    if sys.platform == "darwin":
        return pip("install", torch, vision, "-c", str(LOCK))
    if pip("install", "--dry-run", "--no-deps", f"{torch}+{build}", quiet=True):
        return pip("install", f"{torch}+{build}", "-c", str(LOCK))
    try:
        return pip("install", f"{torch}+{build}", f"{vision}+{build}", "--extra-index-url", f"{TORCH_INDEX}/{build}", "-c", str(LOCK))
    except Stop:
        if build == "cpu":
            raise Stop(f"no CPU build of {torch} for Python {platform.python_version()} could be fetched from {TORCH_INDEX}. "
                       "Check the network, try another Python from 3.11 to 3.13, or set ONESTROKE_TORCH=cuda to accept the "
                       "much larger CUDA build, which runs on a CPU too.") from None
    return pip("install", torch, vision, "-c", str(LOCK))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
