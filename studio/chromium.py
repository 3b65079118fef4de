"""The Chromium that browser tests and the live bench drive: found on this machine, never downloaded."""
from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "msedge")
CURE = "Install Chromium (Debian: apt install chromium), or set ONESTROKE_CHROMIUM to a Chromium or Chrome program."
ARGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync")


def find_chromium(env: Mapping[str, str] = os.environ) -> str | None:
    """The program's path, None where there is none."""
    names = (env["ONESTROKE_CHROMIUM"],) if env.get("ONESTROKE_CHROMIUM") else NAMES
    return next((path for name in names if (path := shutil.which(name, path=env.get("PATH")))), None)
