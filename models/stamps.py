"""What lies in the folders of models: one stamp a model, be it a file or a folder in the diffusers layout. Nothing is opened.

The folders may carry the names that other studios give them, so that one collection serves them all.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.errors import MissingWeights

FOLDERS = {"base": ("bases", "checkpoints", "stable-diffusion"), "lora": ("loras", "lora", "lycoris"),
           "controlnet": ("controlnets", "controlnet"), "t2i": ("t2i", "t2i_adapters"),
           "ip_adapter": ("ip_adapters", "ipadapter", "ip-adapter"), "embedding": ("embeddings", "textual_inversion"),
           "vae": ("vaes", "vae"), "layerdiffuse": ("layerdiffuse", "layer_model"),
           "upscaler": ("upscalers", "upscale_models", "esrgan", "realesrgan", "swinir")}
SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")     # what is looked at; its content says what it is
DEPTH = 6                                            # folders within folders


@dataclass(frozen=True)
class Stamp:
    """`place`: the kind that its folder is for, "" elsewhere. Another `bytes` or `mtime_ns` means another content."""
    path: str
    place: str
    bytes: int
    mtime_ns: int


def walk(folder: Path, places: tuple[str, ...] = tuple(FOLDERS)) -> Iterator[Stamp]:
    """Every model in the folders of `places` below `folder`, in the order of their names."""
    kinds = {name: kind for kind, names in FOLDERS.items() for name in names}
    for entry in _entries(folder):
        if (place := kinds.get(entry.name.lower())) in places and entry.is_dir():
            yield from _below(entry.path, place, DEPTH, set())


def stamp(path: Path, place: str = "") -> Stamp:
    """The stamp of one file or folder. Raises MissingWeights when it is not there."""
    try:
        if path.is_dir():
            return _folder(str(path), place)
        stat = path.stat()
    except (OSError, ValueError) as error:
        raise MissingWeights(f"{path.name} cannot be read: {error}.", "Check the path and its permissions.") from None
    return Stamp(str(path), place, stat.st_size, stat.st_mtime_ns)


def make_folders(folder: Path) -> None:
    """One empty folder a kind, so that a user sees where things go."""
    for names in FOLDERS.values():
        (folder / names[0]).mkdir(parents=True, exist_ok=True)


def is_model(names: set[str]) -> bool:
    """Whether a folder of these names is one model in the diffusers layout."""
    return "model_index.json" in names or ("config.json" in names and any(n.startswith("diffusion_pytorch_model") for n in names))


def _below(folder: str, place: str, depth: int, been: set[tuple[int, int]]) -> Iterator[Stamp]:
    """`been` holds the folders above and before, so that a link to one of them leads nowhere."""
    stat = os.stat(folder)
    if depth == 0 or (stat.st_dev, stat.st_ino) in been:
        return
    been.add((stat.st_dev, stat.st_ino))
    entries = _entries(folder)
    if depth < DEPTH and is_model({entry.name for entry in entries}):
        yield _folder(folder, place)
        return
    for entry in entries:
        try:
            if entry.is_dir():
                yield from _below(entry.path, place, depth - 1, been)
            elif entry.name.lower().endswith(SUFFIXES) and entry.is_file():
                held = entry.stat()
                yield Stamp(entry.path, place, held.st_size, held.st_mtime_ns)
        except OSError:                              # gone, or not ours to read: as if it were not there
            continue


def _entries(folder: str | Path) -> list[os.DirEntry]:
    """What stands in a folder by name, hidden things left out; nothing when it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError:
        return []


def _folder(folder: str, place: str) -> Stamp:
    """Size and newest time of the files that make up a model in the diffusers layout."""
    stats = [path.stat() for path in Path(folder).rglob("*") if path.suffix in (".json", ".safetensors") and path.is_file()]
    return Stamp(folder, place, sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0))
