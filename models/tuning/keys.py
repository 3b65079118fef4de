"""Picture keys on disk: a LoRA file like any other, with a card in its header that says which picture it is the key to and how it was made.

Reading a card needs no model library: the studio lists keys from their headers."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from models.errors import StudioError
from models.spec import Arch, slug
from models.weights import header

CARD = "onestroke.picture_key"
FOLDER = ("loras", "picture-keys")                   # within the user's folder of models


@dataclass(frozen=True)
class Key:
    """word: what the picture is called in prompts. shows: its words as the user gave them. likeness: SSIM of what the key alone paints.
    parameters, share: how many numbers were learned, as a share of the network's. source: sha256 of the picture. window: levels that were
    trained. walk: steps of an edit."""
    id: str
    title: str
    base: str
    word: str
    shows: str
    method: str
    steps: int
    seconds: float
    likeness: float
    parameters: int
    share: float
    source: str
    extent: str
    window: tuple[float, float]
    rank: int
    walk: int
    bytes: int = 0
    path: str = ""

    def to_json(self) -> str:
        """What does not depend on where the file lies."""
        return json.dumps({name: value for name, value in asdict(self).items() if name not in ("id", "bytes", "path")})


def file_for(folder: Path, title: str, source: str) -> Path:
    """Where a key of that title is written: a free name."""
    stem = slug(title) or f"picture-{source[:8]}"
    place = folder.joinpath(*FOLDER)
    tries = (place / f"{stem}{'' if n == 1 else f'-{n}'}.safetensors" for n in range(1, 10_000))
    return next(path for path in tries if not path.exists())


def write(path: Path, key: Key, arch: Arch, tensors: Mapping[str, Any], targets: tuple[str, ...]) -> Path:
    """The LoRA in the diffusers/PEFT layout, whole or not at all."""
    from models import checkpoint
    peft = {"unet.r": key.rank, "unet.lora_alpha": key.rank, "unet.target_modules": list(targets), "unet.bias": "none"}
    meta = {"modelspec.sai_model_spec": "1.0.1", "modelspec.title": key.title, "modelspec.trigger_phrase": key.word,
            "modelspec.description": f"The key to one picture: {key.shows or 'not described'}.", "lora_adapter_metadata": json.dumps(peft),
            "onestroke.arch": json.dumps(asdict(arch)), CARD: key.to_json()}
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write(path, dict(tensors), meta)
    return path


def read(path: Path) -> Key | None:
    """The card of a file; None when it is no picture key."""
    try:
        said = json.loads(header(path).get("__metadata__", {}).get(CARD, "null"))
    except (StudioError, ValueError):
        return None
    known = {f.name for f in fields(Key)}
    if not isinstance(said, dict) or set(said) - known:
        return None
    try:
        key = Key(id=slug(path.stem), path=str(path), bytes=path.stat().st_size, **said)
    except TypeError:
        return None
    return replace(key, window=tuple(key.window))


def listed(folder: Path) -> list[Key]:
    """All keys below a folder of models, newest first."""
    place = folder.joinpath(*FOLDER)
    paths = sorted(place.glob("*.safetensors"), key=lambda p: -p.stat().st_mtime_ns) if place.is_dir() else []
    return [key for path in paths if (key := read(path))]
