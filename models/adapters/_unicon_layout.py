"""UniCon as it is published for SD 1.5 (hub `lixirui142/unicon`): a folder a signal, `edge`, `depth`, `pose`, `id`.

    xy_lora/, yx_lora/, y_lora/    pytorch_lora_weights.safetensors in diffusers' layout; y_lora may be missing
    model.pth                      a pickle of everything that was trained; only its `conv1n` matrices are needed beside the LoRAs

The joint attention of a block is called attn1n there, its last layer conv1n ([2C, 2C] over both outputs, or [C, C] for each). The LoRA of
a side holds for its items as queries, as keys and values, and after the attention. Known from the project's own loading and saving code;
no published file could be opened here.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.adapters._fit import said_arch
from models.adapters._networks import AGAIN, BY_TEXT_WIDTH, filled, shapes_of
from models.devices import Device
from models.errors import BadInput, MissingWeights
from models.files import write_atomic
from models.nets.attention import key_of
from models.nets.pair import Pair
from models.spec import SD1, AdapterSpec, WeightFile, slug
from models.weights import header

SIDES, OWN, LORA = {"xy_lora": "x", "yx_lora": "y"}, "y_lora", "pytorch_lora_weights.safetensors"
PICKLE, TENSORS = "model.pth", "model.safetensors"
TRIGGERS = {"depth": "depth_map, ", "edge": "edge_map, ", "pose": "pose_map, "}     # the project's configs; `id` has none
OBEYS = {"depth": "depth", "edge": "softedge", "pose": "pose"}                      # edges are HED's
FUSE = re.compile(r"(?:unet\.)?(.+)\.(?:conv1n|post1n\.\w+)\.weight$")
MATRIX = re.compile(r"(?:unet\.)?(.+)\.(to_q|to_k|to_v|to_out\.0)\.(?:lora\.|lora_)(down|up|A|B)\.(?:\w+\.)?weight$")
PART = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "o"}
ROLES = {"down": "down", "A": "down", "up": "up", "B": "up"}


def spec_of(folder: Path, common: dict[str, Any]) -> AdapterSpec | None:
    """The spec of such a folder; None for any other. Raises BadInput while its model.pth is a pickle, MissingWeights for a part."""
    if not all((folder / side).is_dir() for side in SIDES):
        return None
    path = folder / TENSORS
    if not path.is_file() and (folder / PICKLE).is_file():
        raise BadInput(f"{folder.name}/{PICKLE} is a pickle, which can run code when opened.",
                       f"Turn it into safetensors: python3 launch.py models convert {folder / PICKLE}")
    files = (path, *(folder / part / LORA for part in (*SIDES, OWN)))
    if lost := next((f for f in files[:3] if not f.is_file()), None):
        raise MissingWeights(f"{folder.name} lacks {lost.relative_to(folder)}.", AGAIN)
    weights, signal = tuple(WeightFile(str(f), f.stat().st_size) for f in files if f.is_file()), _signal(folder)
    return AdapterSpec(id=slug(folder.name), title=f"UniCon {folder.name}", arch=_arch(path, files[-1]), files=weights,
                       bytes=sum(w.bytes for w in weights), control=OBEYS.get(signal, signal),
                       knows=f"A picture and its {signal}, either from the other, or both.", **common)


def is_one(path: Path) -> bool:
    """Whether a path is the model.pth of such a folder."""
    return path.name == PICKLE and all((path.parent / side).is_dir() for side in SIDES)


def _signal(folder: Path) -> str:
    return next((name for name in TRIGGERS if name in folder.name.lower()), folder.name)


def _arch(path: Path, own: Path) -> Any:
    """Seen from the words' width where y has a LoRA on them; all that is published is for SD 1.5."""
    if said := said_arch(header(path).get("__metadata__", {})):
        return said
    widths = [shape[1] for name, shape in (shapes_of(header(own)).items() if own.is_file() else ()) if "attn2.to_k" in name and "down" in name]
    return BY_TEXT_WIDTH.get(widths[0], SD1) if widths else SD1


def load(path: Path, device: Device) -> tuple[Pair, dict[str, str]]:
    """(the pair, {signal: its trigger}) of the folder that holds `path`. Raises BadInput or MissingWeights naming what is wrong."""
    folder, own, state = path.parent, path.parent / OWN / LORA, {}
    for part, side in SIDES.items():
        state |= {f"layers.{key_of(layer.removesuffix('n'))}.{side}.{PART[matrix]}.{role}.weight": t
                  for layer, matrix, role, t in _matrices(folder / part / LORA)}
    if own.is_file():
        state |= {f"own.{key_of(f'{layer}.{matrix}')}.{role}.weight": t for layer, matrix, role, t in _matrices(own)}
    state |= {name: _over_both(t, state.get(name.replace(".last.0.", ".x.o.up."))) for name, t in _fuses(path)}
    return filled(lambda: Pair(_config(state)), state, folder.name, device), {_signal(folder): TRIGGERS.get(_signal(folder), "")}


def _read(path: Path) -> Iterator[tuple[str, Tensor]]:
    header(path)
    with safe_open(path, "pt") as f:
        yield from ((name, f.get_tensor(name)) for name in f.keys())


def _fuses(path: Path) -> Iterator[tuple[str, Tensor]]:
    for name, t in _read(path):
        if m := FUSE.match(name):
            yield f"layers.{key_of(m[1])}-attn1.last.0.weight", t


def _over_both(t: Tensor, beside: Tensor | None) -> Tensor:
    """The last layer over both outputs; one that was made for each of them alone becomes two blocks."""
    return torch.block_diag(t, t) if beside is not None and len(t) == len(beside) else t


def _matrices(path: Path) -> Iterator[tuple[str, str, str, Tensor]]:
    """(path of the attention layer, which of its matrices, down or up, the tensor)."""
    for name, t in _read(path):
        m = MATRIX.match(name)
        if m is None:
            raise BadInput(f"{path.parent.name}/{path.name} holds {name}, which no UniCon has.", AGAIN)
        yield m[1], m[2], ROLES[m[3]], t


def _config(state: dict[str, Tensor]) -> dict[str, Any]:
    """Keywords of models.nets.pair.Pair, seen from shapes."""
    fuses = {name.split(".")[1]: len(t) // 2 for name, t in state.items() if name.endswith(".last.0.weight")}
    downs = {name.split(".")[1]: (t, state[name.replace(".down.", ".up.")]) for name, t in state.items()
             if name.startswith("own.") and name.endswith(".down.weight")}
    ranks = [len(t) for name, t in state.items() if name.startswith("layers.") and name.endswith(".down.weight")]
    return {"rank": ranks[0], "y_rank": next((len(down) for down, _ in downs.values()), 0), "straight": False, "fused": True, "layers": fuses,
            "y_layers": {key: [down.shape[1], len(up), 0, 1] for key, (down, up) in downs.items()}}


def convert(source: Path) -> Path:
    """model.pth -> model.safetensors beside it, only the matrices that are needed; torch.load(weights_only=True) runs nothing of it."""
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:                       # whatever the reader stumbles over is the file's fault
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInput(f"{source.name} cannot be read safely: {said[0][:120]}", AGAIN) from None
    kept = {name: t.detach().contiguous() for name, t in state.items() if FUSE.match(name)} if isinstance(state, dict) else {}
    if not kept:
        raise BadInput(f"{source.name} is no UniCon: it has no conv1n.", "Convert the model.pth of lixirui142/unicon.")
    target = source.with_name(TENSORS)
    write_atomic(target, lambda part: save_file(kept, part))
    return target
