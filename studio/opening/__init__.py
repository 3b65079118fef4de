"""Files that become a stack of layers: one kind a file, found by folder. What is damaged, locked or a trap is BadInput, never a traceback."""
from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from models.errors import BadInput, StudioError
from models.job import Job, Picture
from models.layers.stack import Stack

MAX_FILE_BYTES = 512 * 2 ** 20
MAX_TOTAL_PX = 256_000_000                           # of all layers of one file: 1 GiB of pixels


@dataclass(frozen=True)
class Opened:
    """A file's layers and the RGBA pictures they name. notes: sentences on what could not be kept. jobs: {picture digest: its Job}."""
    name: str
    stack: Stack
    pictures: Mapping[str, Picture]
    notes: tuple[str, ...] = ()
    jobs: Mapping[str, Job] = field(default_factory=dict)


@dataclass(frozen=True)
class Opener:
    """claims(data): whether a file is of this kind, by its content; read(data, name) may raise anything, which then means damaged.
    order: who is asked first."""
    id: str
    title: str
    order: int
    claims: Callable[[bytes], bool]
    read: Callable[[bytes, str], Opened]


def openers() -> list[Opener]:
    """Every OPENER in studio/opening/*.py, in the order in which they are asked."""
    names = (info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))
    return sorted((importlib.import_module(f"{__name__}.{name}").OPENER for name in names), key=lambda opener: opener.order)


def open_file(data: bytes, name: str = "") -> Opened:
    """A PSD, an OpenRaster file, a project or any picture. `name`: of the file; its ending does not matter."""
    if not data:
        raise BadInput("The file is empty.", "Choose another one.")
    if len(data) > MAX_FILE_BYTES:
        raise BadInput(f"The file has {len(data) / 1e6:,.0f} MB; {MAX_FILE_BYTES / 1e6:,.0f} MB is the most.", "Save it with fewer or smaller layers.")
    opener = next(opener for opener in openers() if opener.claims(data))
    try:
        return opener.read(data, name.rpartition(".")[0] or name)
    except StudioError:
        raise
    except MemoryError:
        raise BadInput(f"This {opener.title} needs more memory than there is.", "Save it smaller.") from None
    except Exception as error:                       # a damaged file fails anywhere in its reader, in any way
        raise BadInput(f"This {opener.title} is damaged or cut short, or a kind that is not understood.", _cure(opener)) from error


def _cure(opener: Opener) -> str:
    return f"Save it anew from the program that made it; or export it there as PNG, if it is a {opener.title} of a special kind."
