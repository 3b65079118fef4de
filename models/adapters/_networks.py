"""Adapters that are networks: finding their files, and loading them with words for what is wrong."""
from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from models.devices import Device
from models.errors import BadInput, MissingWeights, StudioError
from models.spec import EMBEDDED, SD1, SD2, SDXL
from models.weights import ASSETS, header

BY_TEXT_WIDTH = {arch.context_dim: arch for arch in (EMBEDDED, SD1, SD2, SDXL)}
HOLES = "inpaint"                                    # what is unknown of the picture is -1 to such a control
CONTROLS = {HOLES: HOLES, "scribble": "scribble", "sketch": "sketch", "canny": "canny", "depth": "depth", "lineart": "lineart", "openpose": "pose",
            "pose": "pose", "softedge": "softedge", "hed": "softedge", "pidinet": "softedge", "normal": "normal", "mlsd": "lines",
            "seg": "segmentation", "tile": "tile", "shuffle": "shuffle", "color": "colour", "colour": "colour", "qr": "qr"}
GENERIC = ("diffusion_pytorch_model", "model", "pytorch_model", "adapter_model")
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
AGAIN = "Download or copy it again."


def name_of(path: Path) -> str:
    """What people call the file: its folder's name where every such file is called the same."""
    return path.parent.name if path.stem.removesuffix(".fp16") in GENERIC else path.stem


def control_of(name: str) -> str:
    """The kind of picture a control adapter obeys, guessed from a file name; "" when it does not say."""
    return next((kind for part, kind in CONTROLS.items() if part in name.lower()), "")


def shapes_of(head: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Tensor shapes by name from a safetensors header."""
    return {name: tuple(entry["shape"]) for name, entry in head.items() if name != "__metadata__"}


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a diffusers folder."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(f"{folder.name}/config.json is not readable JSON.", AGAIN) from None


def weights_in(folder: Path) -> Path:
    """The safetensors file of a diffusers folder. Raises BadInput for a pickle, MissingWeights for nothing."""
    if found := next((folder / name for name in WEIGHTS if (folder / name).exists()), None):
        header(found)
        return found
    if pickles := sorted(folder.glob("*.bin")):
        raise BadInput(f"{folder.name} holds a pickle ({pickles[0].name}), which can run code when opened.", "Get it in safetensors form.")
    raise MissingWeights(f"The folder {folder.name} has no {WEIGHTS[0]}.", AGAIN)


def folder_of(source: str) -> Path | None:
    """The diffusers folder that a path or a hub id in the cache names; None for anything else."""
    path = Path(source).expanduser().absolute()
    if not path.exists() and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source):
        from huggingface_hub import try_to_load_from_cache
        found = try_to_load_from_cache(source, "config.json")
        path = Path(found).parent if isinstance(found, str) else path
    return path if (path / "config.json").is_file() else None


def shipped(kind: str) -> list[Path]:
    """Files in assets/adapters whose header names `kind`; a damaged one is left out, so that the studio opens."""
    def said(path: Path) -> str:
        try:
            return header(path).get("__metadata__", {}).get("onestroke.kind", "")
        except StudioError:
            return ""
    return [path for path in sorted((ASSETS / "adapters").glob("*.safetensors")) if said(path) == kind]


def filled(build: Callable[[], Any], state: Mapping[str, Tensor], what: str, device: Device) -> Any:
    """The frozen network with exactly these weights on `device`. Raises MissingWeights naming the first that lacks or does not fit."""
    from accelerate import init_empty_weights
    with init_empty_weights():
        net = build()
    wanted = net.state_dict()
    if lost := [name for name in wanted if name not in state]:
        raise MissingWeights(f"{what} lacks {len(lost)} tensors, the first is {lost[0]}.", AGAIN)
    if odd := [name for name in wanted if wanted[name].shape != state[name].shape]:
        raise BadInput(f"{what} does not fit its config: {odd[0]} is {tuple(state[odd[0]].shape)}, not {tuple(wanted[odd[0]].shape)}.", AGAIN)
    if strange := [name for name in state if name not in wanted]:
        raise BadInput(f"{what} holds {len(strange)} tensors that belong to no such network, the first is {strange[0]}.",
                       "It is of another kind than its config says.")
    net.load_state_dict({name: state[name].to(device.name, device.dtype).contiguous() for name in wanted}, assign=True)
    return net.to(device.name).eval().requires_grad_(False)
