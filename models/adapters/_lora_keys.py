"""The names under which LoRA files keep their matrices, brought to one form.

Two layouts are common: diffusers/PEFT (`unet.PATH.lora_A.weight`, alpha in the header) and kohya
(`lora_unet_PATH.lora_down.weight` with dots in PATH as underscores and an `alpha` tensor beside it). Both become (target, flat
path, role).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

UNET, TEXT = "unet", "text_encoder"
_ROLES = {
    "lora_A": "down",
    "lora_B": "up",
    "lora_down": "down",
    "lora_up": "up",
    "lora.down": "down",
    "lora.up": "up",
    "alpha": "alpha",
}
_KOHYA_TARGETS = {"unet": UNET, "te": TEXT, "te1": TEXT, "te2": "text_encoder_2"}
_KOHYA = re.compile(r"lora_(unet|te1|te2|te)_(\w+)\.(lora_down|lora_up|alpha)(?:\.weight)?$")
_PEFT = re.compile(
    r"(unet|text_encoder_2|text_encoder|base_model\.model)\.(.+?)\.(lora_A|lora_B|lora\.down|lora\.up|alpha)(?:\.default)?(?:\.weight)?$"
)


@dataclass(frozen=True)
class Place:
    """A layer that a LoRA changes: in which network, and its path with underscores for dots."""

    target: str
    flat: str


def parse(name: str) -> tuple[Place, str] | None:
    """(place, role) of a tensor name, role one of down, up, alpha; None when it belongs to no plain LoRA."""
    if m := _KOHYA.match(name):
        return Place(_KOHYA_TARGETS[m[1]], m[2]), _ROLES[m[3]]
    if m := _PEFT.match(name):
        return Place(UNET if m[1] == "base_model.model" else m[1], m[2].replace(".", "_")), _ROLES[m[3]]
    return None


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
