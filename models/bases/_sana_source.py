"""Where a SANA checkpoint lies, what its spec says, and its networks: a diffusers folder, or a hub id in the cache.

Nothing is downloaded by itself. Whether a checkpoint is a flow model (many steps, guidance) or SANA-Sprint (few steps, guidance as
an input of the network) is said by the pipeline that its model_index.json names; the configs must agree with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from models.bases._sd_parts import pretrained, readable
from models.bases._sd_layout import elements, shapes_of
from models.bases._sd_source import FP32_BYTES, HUB_ID, Kind, check_folder, read_json, snapshot
from models.compat import mend_torchvision
from models.devices import Device
from models.errors import Incompatible, MissingWeights
from models.spec import SANA, Arch, BaseSpec, WeightFile, slug
from models.weights import header

IS_SPRINT = {
    "SanaPipeline": False,
    "SanaPAGPipeline": False,
    "SanaControlNetPipeline": False,
    "SanaSprintPipeline": True,
    "SanaSprintImg2ImgPipeline": True,
}
"""Pipelines whose networks paint pictures from words alone."""
LATENT_PX = 32  # pixels that a latent cell covers; the autoencoder of a folder must agree
COMMON: dict[str, Any] = dict(multiple_px=LATENT_PX, min_px=64, max_px=2048, inpainting=True)
FLOW: dict[str, Any] = dict(max_steps=60, default_steps=20, default_guidance=4.5, negative_prompt=True)
SPRINT: dict[str, Any] = dict(max_steps=4, default_steps=2)
GET_ANOTHER = "Use the folder of a SanaPipeline or a SanaSprintPipeline."
AGAIN = "Download or copy it again."

KIND = Kind(
    specs=(),
    pipeline="Sana",
    parts=("transformer", "vae", "text_encoder"),
    layout=lambda shapes, name: None,  # there is no single-file layout that holds all its networks
    family=lambda config: SANA.family,
    abilities=lambda slug, side_px: {},
)


@dataclass
class Parts:
    """`scheduler`: its config. `sprint`: distilled in TrigFlow for few steps, with guidance as an input."""

    transformer: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: dict[str, Any]
    sprint: bool


def recognise(source: str, specs: Sequence[BaseSpec]) -> BaseSpec | None:
    """The spec of a folder or of a hub id that is known or in the cache; None for whatever else. Raises StudioError when broken."""
    path = Path(source).expanduser().absolute()
    if path.is_dir():
        return _folder_spec(path, path.name)
    if known := next((spec for spec in specs if spec.files[0].repo == source), None):
        return known
    folder = snapshot(source, None) if HUB_ID.fullmatch(source) and not path.exists() else None
    spec = _folder_spec(folder, source.rpartition("/")[2]) if folder else None
    return spec and replace(spec, files=(WeightFile("model_index.json", repo=source),))


def load_parts(spec: BaseSpec, device: Device, cache_dir: Path | None) -> Parts:
    """Read the weights where they lie; a hub model only from the cache."""
    first = spec.files[0]
    folder = snapshot(first.repo, cache_dir) if first.repo else Path(first.file).parent
    if folder is None:
        raise MissingWeights(
            f'"{first.repo}" is not on this machine (about {spec.bytes / 2e9:.1f} GB to download).',
            f"Get it with: hf download {first.repo}",
        )
    if not (folder / "model_index.json").exists():
        raise MissingWeights(f"{folder} is not there any more.", "Put it back, or choose another base.")
    if _folder_spec(folder, folder.name) is None:
        raise Incompatible(f"{folder.name} is no SANA checkpoint.", GET_ANOTHER)
    return _from_folder(folder, device)


def _from_folder(folder: Path, device: Device) -> Parts:
    mend_torchvision()
    from diffusers import AutoencoderDC, SanaTransformer2DModel
    from transformers import AutoTokenizer, Gemma2Model

    wide = replace(device, dtype=torch.bfloat16) if device.dtype == torch.float16 else device  # both overflow in fp16
    with readable(f"The folder {folder.name}", AGAIN):
        return Parts(
            pretrained(SanaTransformer2DModel, folder, "transformer", device),
            pretrained(AutoencoderDC, folder, "vae", wide),
            pretrained(Gemma2Model, folder, "text_encoder", wide),
            AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
            read_json(folder / "scheduler" / "scheduler_config.json"),
            _is_sprint(read_json(folder / "model_index.json"), folder.name),
        )


def _is_sprint(index: dict[str, Any], name: str) -> bool:
    pipeline = str(index.get("_class_name"))
    if pipeline not in IS_SPRINT:
        raise Incompatible(f"{name} is made for {pipeline}, which does not paint pictures from words alone.", GET_ANOTHER)
    return IS_SPRINT[pipeline]


def _folder_spec(folder: Path, name: str) -> BaseSpec | None:
    """None for folders of other pipelines, and for those without an index, about which the other bases have something to say."""
    if not (folder / "model_index.json").exists():
        return None
    index = read_json(folder / "model_index.json")
    if not str(index.get("_class_name", "")).startswith(KIND.pipeline):
        return None
    sprint = _is_sprint(index, name)
    weights = check_folder(folder, KIND)
    config = {part: read_json(folder / part / "config.json") for part in KIND.parts}
    _check_networks(config["transformer"], config["vae"], config["text_encoder"], name)
    _check_walk(config["transformer"], read_json(folder / "scheduler" / "scheduler_config.json"), sprint, name)
    count = sum(elements(shapes_of(header(path))) for path in weights)
    return _spec(folder, name, weights, count * FP32_BYTES, config["transformer"], sprint)


def _spec(folder: Path, name: str, weights: list[Path], size: int, transformer: dict[str, Any], sprint: bool) -> BaseSpec:
    side_px = transformer["sample_size"] * LATENT_PX
    return BaseSpec(
        id=slug(name),
        title=name,
        arch=Arch(SANA.family, transformer["caption_channels"], transformer["in_channels"]),
        files=(WeightFile(str(folder / "model_index.json")), *(WeightFile(str(p), p.stat().st_size) for p in weights)),
        bytes=size,
        native_px=(side_px,),
        **(COMMON | {"max_px": max(side_px, COMMON["max_px"])} | (SPRINT if sprint else FLOW)),
    )


def _check_networks(transformer: dict[str, Any], vae: dict[str, Any], text: dict[str, Any], name: str) -> None:
    """Raises when the configs lack what a spec is made of, or when the three networks do not speak of the same latents and words."""
    wanted = {"transformer": ("in_channels", "caption_channels", "sample_size"), "vae": ("latent_channels", "encoder_block_out_channels",
              "scaling_factor"), "text_encoder": ("hidden_size",)}
    for (part, keys), config in zip(wanted.items(), (transformer, vae, text), strict=True):
        if lost := [key for key in keys if key not in config]:
            raise MissingWeights(f"{name}/{part}/config.json does not say {', '.join(lost)}.", AGAIN)
    cell_px = 2 ** (len(vae["encoder_block_out_channels"]) - 1)
    pairs = (("latent channels", transformer["in_channels"], vae["latent_channels"]), ("px a latent cell", LATENT_PX, cell_px),
             ("numbers a word", transformer["caption_channels"], text["hidden_size"]))
    for what, ours, theirs in pairs:
        if ours != theirs:
            raise Incompatible(f"The networks of {name} do not fit together: {ours} against {theirs} {what}.", GET_ANOTHER)


def _check_walk(transformer: dict[str, Any], scheduler: dict[str, Any], sprint: bool, name: str) -> None:
    """Raises when the noise levels or the inputs of the network are not those of its pipeline."""
    kind, predicts = str(scheduler.get("_class_name", "")), scheduler.get("prediction_type")
    flows = kind.startswith("FlowMatch") or (bool(scheduler.get("use_flow_sigmas")) and predicts == "flow_prediction")
    good = kind == "SCMScheduler" and predicts in (None, "trigflow") if sprint else flows and not scheduler.get("use_dynamic_shifting")
    if not good:
        raise Incompatible(f"{name} walks other noise levels than {'SANA-Sprint' if sprint else 'SANA'} ({kind}, {predicts}).", GET_ANOTHER)
    if bool(transformer.get("guidance_embeds")) != sprint:
        raise Incompatible(f"The transformer of {name} {'lacks' if sprint else 'has'} an input for guidance.", GET_ANOTHER)
