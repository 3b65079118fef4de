"""How the studio was asked to start: one frozen value made from the command line and the environment."""
from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NoReturn

from models.errors import BadInput

LOOPBACK = "127.0.0.1"
EVERY_INTERFACE = "0.0.0.0"
DEFAULT_PORT = 7860
DEFAULT_BASE = "embedded"


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises BadInput, with the flags that exist, where the stock one exits."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.ArgumentDefaultsHelpFormatter} | options)

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message[:1].upper()}{message[1:]}.", f"Known here: {', '.join(self.known_flags())}.")

    def known_flags(self) -> list[str]:
        """The long flags of this parser, in the order they were added."""
        return [option for action in self._actions for option in action.option_strings if option.startswith("--")]


@dataclass(frozen=True)
class Settings:
    """What a start was asked for.

    host, port: where the server listens; a taken port moves to the next free one. share: also a public address through
    Gradio's tunnel. listen: reachable from other machines. base: id of the base that is loaded first. cache_dir: downloaded
    weights and the user's pictures. models_dir: the user's own model files, None = `models` in cache_dir. budget_gb: memory that
    resident models may take, None = decided by the engine. keep_alive_min: minutes after which an unused model is unloaded, None =
    when its room is needed. open_browser: whether a browser window opens when the server answers. password: what everybody has to
    know to get in, "" = nothing; a studio that others can reach always has one.
    """
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    share: bool = False
    listen: bool = False
    base: str = DEFAULT_BASE
    cache_dir: Path = Path("~/.cache/onestroke")
    budget_gb: float | None = None
    open_browser: bool = False
    models_dir: Path | None = None
    keep_alive_min: float | None = None
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise BadInput(f"Port {self.port} is outside 1..65535.", "Leave --port out to get the first free one from 7860 on.")
        if self.budget_gb is not None and not self.budget_gb > 0:
            raise BadInput(f"A memory budget of {self.budget_gb} GB is not above 0.", "Leave --budget-gb out to let the studio decide.")
        if self.keep_alive_min is not None and not self.keep_alive_min > 0:
            raise BadInput(f"Models cannot be kept for {self.keep_alive_min} minutes.", "Leave --keep-alive-min out to keep them.")

    @property
    def budget_bytes(self) -> int | None:
        """The budget in bytes (1 GB = 2**30 bytes), None = the engine decides."""
        return None if self.budget_gb is None else int(self.budget_gb * 2 ** 30)

    @property
    def own_models(self) -> Path:
        """Where the user's own model files are."""
        return (self.models_dir or self.cache_dir / "models").expanduser()

    @classmethod
    def from_args(cls, argv: Sequence[str], env: Mapping[str, str] = os.environ) -> Settings:
        """The command line wins over ONESTROKE_* variables, which win over the defaults. Raises BadInput."""
        return cls.from_values(parser(env).parse_args(list(argv)), env)

    @classmethod
    def from_values(cls, values: argparse.Namespace, env: Mapping[str, str]) -> Settings:
        """Settings from the parsed flags that `add_flags` declares."""
        reachable = values.listen or values.share
        return cls(host=EVERY_INTERFACE if values.listen else LOOPBACK, port=values.port, share=values.share, listen=values.listen,
                   base=values.base, cache_dir=values.cache_dir.expanduser(), budget_gb=values.budget_gb,
                   open_browser=not values.no_browser and not reachable and has_screen(env), models_dir=values.models_dir,
                   keep_alive_min=values.keep_alive_min, password=values.password or (secrets.token_urlsafe(12) if reachable else ""))

    def to_dict(self) -> dict[str, object]:
        """JSON-ready, for printing and for saving beside results."""
        return asdict(self) | {"cache_dir": str(self.cache_dir), "models_dir": str(self.own_models), "password": "set" if self.password else ""}


def parser(env: Mapping[str, str]) -> Parser:
    """The parser of the studio's own flags; its help text is `python3 launch.py --help`."""
    out = Parser(prog="launch.py", description="Open the studio in a browser.",
                 epilog="Other commands: generate, models, doctor, bench, test; each has its own --help.")
    add_flags(out, env)
    server = out.add_argument_group("server")
    server.add_argument("--port", type=int, default=env.get("ONESTROKE_PORT", DEFAULT_PORT), help="first port to try")
    server.add_argument("--listen", action="store_true", help="let other machines of your network in, with a password")
    server.add_argument("--share", action="store_true", help="also open a public address through Gradio's tunnel")
    server.add_argument("--password", default=env.get("ONESTROKE_PASSWORD", ""), metavar="TEXT",
                        help="what everybody has to know to get in; unset = a fresh one with --listen or --share, else none")
    server.add_argument("--keep-alive-min", type=float, default=env.get("ONESTROKE_KEEP_ALIVE_MIN"), metavar="MIN",
                        help="unload a model that nobody used for so long; unset = when its room is needed")
    server.add_argument("--no-browser", action="store_true", help="print the address, open no window")
    return out


def add_flags(into: argparse.ArgumentParser, env: Mapping[str, str]) -> None:
    """The flags that every command which opens the engine understands."""
    into.add_argument("--base", default=env.get("ONESTROKE_BASE", DEFAULT_BASE), metavar="ID", help="base to load")
    into.add_argument("--cache-dir", type=Path, default=default_cache_dir(env), metavar="DIR", help="weights and your files")
    into.add_argument("--models-dir", type=Path, default=env.get("ONESTROKE_MODELS_DIR") or None, metavar="DIR",
                      help="your model files (bases, loras, ...); unset = models in the cache")
    into.add_argument("--budget-gb", type=float, default=env.get("ONESTROKE_BUDGET_GB"), metavar="GB",
                      help="memory that models may take; unset = the studio decides")


def engine_settings(values: argparse.Namespace) -> Settings:
    """Settings of a command that opens the engine but no server."""
    return Settings(base=values.base, cache_dir=values.cache_dir.expanduser(), budget_gb=values.budget_gb, models_dir=values.models_dir)


def default_cache_dir(env: Mapping[str, str]) -> Path:
    """ONESTROKE_CACHE_DIR, else `onestroke` in the system's place for caches."""
    if own := env.get("ONESTROKE_CACHE_DIR"):
        return Path(own)
    if sys.platform == "win32":
        return Path(env.get("LOCALAPPDATA", "~/AppData/Local")) / "onestroke"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/onestroke")
    return Path(env.get("XDG_CACHE_HOME") or "~/.cache") / "onestroke"


def has_screen(env: Mapping[str, str]) -> bool:
    """Whether a browser window could appear: never in CI, on Linux only with a display."""
    if env.get("CI"):
        return False
    return sys.platform in ("win32", "darwin") or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))
