"""What a model file says of itself in its header: which kind it is, what it is called, which words it was trained on.

Field names are those of ModelSpec 1.0.1 (`modelspec.*`) and of kohya's trainers (`ss_*`, `sshs_*`). Everything here was written
by a stranger: it is bounded text to be shown, never more.
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

KINDS = ("base", "lora", "controlnet", "t2i", "ip_adapter", "embedding", "vae", "layerdiffuse", "upscaler")
LONG, SHORT, MANY_WORDS, JSON_LIMIT = 2000, 200, 24, 4_000_000
_SIGNS = (                                           # first match decides; each is searched in every tensor name
    ("layerdiffuse", r"::\w+::\d+$"),
    ("lora", r"\.(lora_(A|B|down|up)\b|lora\.(down|up)\b|hada_w\d|lokr_w\d|dora_scale)"),
    ("ip_adapter", r"^(ip_adapter|image_proj)\."),
    ("upscaler", r"^((params(_ema)?|model|module)\.)*(conv_first\.(0\.)?weight|body\.0\.(weight|rdb1\.conv1)|model\.0\.weight|model\.1\.sub\.0)"),
    ("controlnet", r"(^|\.)(controlnet_(cond_embedding|down_blocks)|input_hint_block|zero_convs)\."),
    ("base", r"^(model\.diffusion_model|double_blocks|transformer_blocks)\."),
    ("t2i", r"^(adapter\.)?body\.\d+\."),
    ("vae", r"^(first_stage_model\.)?(encoder|decoder)\.(conv_in|mid|down|up)"),
    ("embedding", r"^(emb_params|clip_[lg]|t5xxl|string_to_param\b.*|\*)$"))
_KINDS_OF_SPEC = (("controlnet", "controlnet"), ("t2i", "t2iadapter"), ("vae", "autoencoder"))
_FACTS = {                                           # our name: the header's names, the first that is there counts
    "title": ("modelspec.title", "ss_output_name"), "description": ("modelspec.description", "ss_training_comment"),
    "author": ("modelspec.author",), "licence": ("modelspec.license",), "date": ("modelspec.date",), "tags": ("modelspec.tags",),
    "architecture": ("modelspec.architecture", "ss_base_model_version"), "usage": ("modelspec.usage_hint",),
    "trained_on": ("ss_sd_model_name",), "resolution": ("modelspec.resolution", "ss_resolution"),
    "prediction": ("modelspec.prediction_type",), "rank": ("ss_network_dim",), "alpha": ("ss_network_alpha",),
    "pictures": ("ss_num_train_images",), "steps": ("ss_steps",)}


def kind_of(head: Mapping[str, Any]) -> str:
    """Which of KINDS the tensors' names belong to; "" = cannot be told."""
    if own := head.get("__metadata__", {}).get("onestroke.kind"):
        return "base" if own == "onestroke.unet" else ""
    names = "\n".join(name for name in head if name != "__metadata__")
    return next((kind for kind, sign in _SIGNS if re.search(sign, names, re.MULTILINE)), "")


def kind_of_class(name: str) -> str:
    """Which of KINDS a diffusers class belongs to; "" = cannot be told."""
    return next((kind for kind, part in _KINDS_OF_SPEC if part in name.lower()), "")


def facts(meta: Mapping[str, str]) -> dict[str, str]:
    """What is known of a model by our names; only what is there."""
    found = {ours: next((plain(meta[name]) for name in names if meta.get(name)), "") for ours, names in _FACTS.items()}
    said = meta.get("modelspec.hash_sha256") or meta.get("sshs_model_hash") or ""
    found["tensor_sha256"] = said.lower().removeprefix("0x") if re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", said) else ""
    return {ours: value for ours, value in found.items() if value and value != "None"}


def trigger_words(meta: Mapping[str, str]) -> tuple[str, ...]:
    """The words that call a trained thing up: those the author names, else those of the training folders, then the commonest tags."""
    if phrase := meta.get("modelspec.trigger_phrase"):
        return tidy(phrase.split(","))
    folders = _object(meta.get("ss_tag_frequency", ""))
    named = [re.sub(r"^\d+_", "", folder).replace("_", " ") for folder in folders]
    counts: dict[str, int] = {}
    for tags in folders.values():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            counts[tag] = counts.get(tag, 0) + (count if type(count) is int else 0)
    return tidy([*named, *sorted(counts, key=lambda tag: (-counts[tag], tag))])


def card_words(text: str) -> tuple[str, ...]:
    """Trigger words of a file that a model page or another studio laid beside the model."""
    card = _object(text)
    trained, activation = card.get("trainedWords"), card.get("activation text")
    words = [word for word in trained if isinstance(word, str)] if isinstance(trained, list) else []
    return tidy([*words, *(activation.split(",") if isinstance(activation, str) else ())])


def tidy(words: Iterable[str]) -> tuple[str, ...]:
    """At most MANY_WORDS different words, each one short line."""
    few = islice(words, 2 * MANY_WORDS)
    return tuple(dict.fromkeys(word for raw in few if (word := plain(raw, SHORT))))[:MANY_WORDS]


def plain(text: str, limit: int = LONG) -> str:
    """Text without control characters, at most `limit` characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:limit]).split())


def _object(text: str) -> dict[str, Any]:
    """A JSON object, {} for anything else."""
    try:
        found = json.loads(text) if len(text) <= JSON_LIMIT else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
