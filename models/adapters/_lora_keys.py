"""The names under which LoRA files keep their matrices, brought to one form.

Two layouts are common: diffusers/PEFT (`unet.PATH.lora_A.weight`, alpha in the header) and kohya
(`lora_unet_PATH.lora_down.weight` with dots in PATH as underscores and an `alpha` tensor beside it). For SDXL, kohya's PATH is
that of single-file checkpoints (`input_blocks_4_1_...`). All become (target, flat path as diffusers has it, role).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

UNET, TEXT, TEXT_2 = "unet", "text_encoder", "text_encoder_2"
_ROLES = {
    "lora_A": "down",
    "lora_B": "up",
    "lora_down": "down",
    "lora_up": "up",
    "lora.down": "down",
    "lora.up": "up",
    "alpha": "alpha",
}
_KOHYA_TARGETS = {"unet": UNET, "te": TEXT, "te1": TEXT, "te2": TEXT_2}
_KOHYA = re.compile(r"lora_(unet|te1|te2|te)_(\w+)\.(lora_down|lora_up|alpha)(?:\.weight)?$")
_PEFT = re.compile(
    r"(unet|text_encoder_2|text_encoder|base_model\.model)\.(.+?)\.(lora_A|lora_B|lora\.down|lora\.up|alpha)(?:\.default)?(?:\.weight)?$"
)

_PER_LEVEL = 3  # blocks of a level in single-file names: two layers and what changes the size; up: three layers
_SGM_SIDE = re.compile(r"(input|output)_blocks_(\d+)_(\d)_(.+)")
_SGM_MIDDLE = re.compile(r"middle_block_(\d)_(.+)")
_SGM_RESNET = {
    "in_layers_0": "norm1",
    "in_layers_2": "conv1",
    "out_layers_0": "norm2",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
}
_SGM_ENDS = {
    "time_embed_0": "time_embedding_linear_1",
    "time_embed_2": "time_embedding_linear_2",
    "label_emb_0_0": "add_embedding_linear_1",
    "label_emb_0_2": "add_embedding_linear_2",
    "input_blocks_0_0": "conv_in",
    "out_0": "conv_norm_out",
    "out_2": "conv_out",
}


@dataclass(frozen=True)
class Place:
    """A layer that a LoRA changes: in which network, and its path with underscores for dots."""

    target: str
    flat: str


def parse(name: str) -> tuple[Place, str] | None:
    """(place, role) of a tensor name, role one of down, up, alpha; None when it belongs to no plain LoRA."""
    if m := _KOHYA.match(name):
        target = _KOHYA_TARGETS[m[1]]
        return Place(target, as_in_diffusers(m[2]) if target == UNET else m[2]), _ROLES[m[3]]
    if m := _PEFT.match(name):
        return Place(UNET if m[1] == "base_model.model" else m[1], m[2].replace(".", "_")), _ROLES[m[3]]
    return None


def as_in_diffusers(flat: str) -> str:
    """A flat UNet path of a single-file checkpoint under diffusers' name; any other path as it is."""
    if m := _SGM_MIDDLE.fullmatch(flat):  # resnet, attention, resnet
        number, rest = int(m[1]), m[2]
        return f"mid_block_attentions_0_{rest}" if number == 1 else f"mid_block_resnets_{number // 2}_{_SGM_RESNET.get(rest, rest)}"
    m = _SGM_SIDE.fullmatch(flat)
    if m is None or flat in _SGM_ENDS:
        return _SGM_ENDS.get(flat, flat)
    way, number, rest = ("down", int(m[2]) - 1, m[4]) if m[1] == "input" else ("up", int(m[2]), m[4])
    level, layer = divmod(number, _PER_LEVEL)
    if rest in ("op", "conv"):
        return f"{way}_blocks_{level}_{way}samplers_0_conv"
    inner = f"resnets_{layer}_{_SGM_RESNET.get(rest, rest)}" if m[3] == "0" else f"attentions_{layer}_{rest}"
    return f"{way}_blocks_{level}_{inner}"


def places(names: Iterable[str]) -> tuple[dict[Place, dict[str, str]], list[str]]:
    """{place: {role: tensor name}} and the names that fit no layout."""
    found: dict[Place, dict[str, str]] = {}
    strange = []
    for name in names:
        if parsed := parse(name):
            found.setdefault(parsed[0], {})[parsed[1]] = name
        else:
            strange.append(name)
    return found, strange


def declared_scale(metadata: Mapping[str, str], place: Place, rank: int) -> float:
    """alpha / rank from the PEFT settings in the header (alpha / sqrt(rank) for rank-stabilised ones); 1 when there are none."""
    settings = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    own = {k.removeprefix(f"{place.target}."): v for k, v in settings.items() if k.startswith(f"{place.target}.")} or settings
    patterns = {k.replace(".", "_"): v for k, v in (own.get("alpha_pattern") or {}).items()}
    alpha = next((v for k, v in patterns.items() if place.flat == k or place.flat.endswith(f"_{k}")), own.get("lora_alpha", rank))
    return alpha / (rank**0.5 if own.get("use_rslora") else rank)
