"""Where a Stable Diffusion checkpoint lies and what its spec says: a diffusers folder, a single file or a hub id in the cache.

Nothing is downloaded by itself. What one family has of its own is a `Kind`, which its base hands in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models.bases._sd_layout import UNET, VAE, Layout, Shapes, elements, shapes_of
from models.bases._sd_parts import STEM, Parts, files_of, from_folder, from_single_file, tokenizer_of, weight_file
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.spec import Arch, BaseSpec, WeightFile, slug
from models.weights import header

FP32_BYTES = 4
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
DISTILLED_NAMES = ("turbo", "lightning", "hyper", "lcm")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
OTHER_NOISE = re.compile(r"EDM|Flow")  # in the names of schedulers whose noise is not that of SD


@dataclass(frozen=True)
class Kind:
    """One family of checkpoints.

    pipeline: how the class name in model_index.json begins. parts: the networks of a diffusers folder, keys of STEM.
    layout(shapes, name): of a single file; None when it is another kind of model, a StudioError when it is one that cannot be
    used. family(unet config): the name of its architecture. abilities(slug, side_px): fields of its spec; side_px is None where
    a checkpoint does not say at which size it was trained. check_index(index, name): raises for pipelines that cannot be used.
    """

    specs: tuple[BaseSpec, ...]
    pipeline: str | tuple[str, ...]
    parts: tuple[str, ...]
    layout: Callable[[Shapes, str], Layout | None]
    family: Callable[[dict[str, Any]], str]
    abilities: Callable[[str, int | None], dict[str, Any]]
    check_index: Callable[[dict[str, Any], str], None] = lambda index, name: None

    @property
    def needed(self) -> tuple[str, ...]:
        """Small files that a complete folder has."""
        readers = [part for part in self.parts if part.startswith("text_encoder")]
        configs = [f"{part}/config.json" for part in self.parts]
        words = [f"{tokenizer_of(part)}/tokenizer_config.json" for part in readers]
        return ("model_index.json", "scheduler/scheduler_config.json", *configs, *words)

    def download(self, repo: str) -> str:
        """The command that fetches what is needed of a repository, and no more."""
        return f'hf download {repo} --include "*.json" "*.txt" ' + " ".join(f'"{part}/*.fp16.*"' for part in self.parts)


def is_distilled(slug: str) -> bool:
    """Whether a checkpoint is for few steps, which only its name says."""
    return any(word in slug for word in DISTILLED_NAMES)


def recognise(source: str, kind: Kind) -> BaseSpec | None:
    """The spec of a folder, a single file or a hub id; None when it is another kind of model. Raises StudioError when broken."""
    path = Path(source).expanduser().absolute()
    if path.is_dir():
        return _folder_spec(path, path.name, kind)
    if path.is_file():
        return _file_spec(path, kind)
    if known := next((spec for spec in kind.specs if spec.files[0].repo == source), None):
        return known
    if HUB_ID.fullmatch(source) and path.suffix not in (".safetensors", ".ckpt", ".pt"):
        return _hub_spec(source, kind)
    if "/" in source or path.suffix == ".safetensors":
        raise BadInput(f"There is no file or folder {source}.", "Check the path.")
    return None


def load_parts(spec: BaseSpec, device: Device, cache_dir: Path | None, kind: Kind) -> Parts:
    """Read the weights where they lie; a hub model only from the cache."""
    first = spec.files[0]
    path = Path(first.file)
    if first.repo:
        folder = snapshot(first.repo, cache_dir)
        if folder is None:
            raise MissingWeights(
                f'"{first.repo}" is not on this machine (about {spec.bytes / 2e9:.1f} GB to download).',
                f"Get it with: {kind.download(first.repo)}",
            )
        path = folder / first.file
    if not path.exists():
        raise MissingWeights(f"{path} is not there any more.", "Put it back, or choose another base.")
    if path.name != "model_index.json":
        return from_single_file(path, device, kind.layout(shapes_of(header(path)), path.name))
    check_folder(path.parent, kind)
    return from_folder(path.parent, device, kind.parts)


def _hub_spec(repo: str, kind: Kind) -> BaseSpec | None:
    folder = snapshot(repo, None)
    if folder is None:
        raise MissingWeights(
            f'"{repo}" is not on this machine (such models take 2 to 14 GB).', f"Download it with: hf download {repo}"
        )
    spec = _folder_spec(folder, repo.rpartition("/")[2], kind)
    return spec and replace(spec, files=(WeightFile("model_index.json", repo=repo),))


def snapshot(repo: str, cache_dir: Path | None) -> Path | None:
    """The folder of a repository in `cache_dir` or in the hub's own cache."""
    from huggingface_hub import try_to_load_from_cache

    for place in dict.fromkeys((cache_dir, None)):
        found = try_to_load_from_cache(repo, "model_index.json", cache_dir=place)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _folder_spec(folder: Path, name: str, kind: Kind) -> BaseSpec | None:
    if not (folder / "model_index.json").exists():
        raise BadInput(
            f"{folder} is no diffusers folder: it has no model_index.json.",
            "Give the folder that holds model_index.json, unet/ and vae/.",
        )
    index = read_json(folder / "model_index.json")
    if not str(index.get("_class_name", "")).startswith(kind.pipeline):
        return None
    kind.check_index(index, name)
    weights = check_folder(folder, kind)
    _check_schedule(read_json(folder / "scheduler" / "scheduler_config.json"), name)
    unet = read_json(folder / "unet" / "config.json")
    files = (WeightFile(str(folder / "model_index.json")), *(WeightFile(str(p), p.stat().st_size) for p in weights))
    count = sum(elements(shapes_of(header(p))) for p in weights)
    side_px = unet["sample_size"] * 8 if unet.get("sample_size") else None
    return _spec(name, _arch(kind.family(unet), unet, name), files, count, side_px, kind)


def check_folder(folder: Path, kind: Kind) -> list[Path]:
    """The weight files of a complete folder."""
    found = {part: weight_file(folder, part)[0] for part in kind.parts}
    lost = [name for name in kind.needed if not (folder / name).exists()]
    lost += [f"{part}/{STEM[part]}.safetensors" for part, path in found.items() if path is None]
    pickles = [p for part in kind.parts for p in folder.glob(f"{part}/*.bin")]
    if pickles and None in found.values():
        raise BadInput(
            f"{folder.name} holds pickles ({pickles[0].name}), which can run code when opened.",
            "Get the model in safetensors form.",
        )
    if lost:
        raise MissingWeights(
            f"The diffusers folder {folder.name} is incomplete: {', '.join(lost)} is missing.", "Download or copy it again."
        )
    files = [file for path in found.values() if path for file in files_of(path)]
    if gone := [file.name for file in files if not file.exists()]:
        raise MissingWeights(f"The diffusers folder {folder.name} lacks {', '.join(gone)}.", "Download or copy it again.")
    return files


def _check_schedule(scheduler: dict[str, Any], name: str) -> None:
    kind, predicts = str(scheduler.get("_class_name", "")), scheduler.get("prediction_type", "epsilon")
    if OTHER_NOISE.search(kind) or predicts not in PREDICTIONS:
        raise Incompatible(
            f"{name} was trained on other noise levels than Stable Diffusion ({kind}, {predicts}).",
            f"Use a model that predicts {', '.join(PREDICTIONS[:-1])} or {PREDICTIONS[-1]}.",
        )


def _file_spec(path: Path, kind: Kind) -> BaseSpec | None:
    shapes = shapes_of(header(path))
    layout = kind.layout(shapes, path.name)
    if layout is None:
        return None
    count = elements(shapes, (UNET, VAE, *(text.prefix for text in layout.texts)))
    size = WeightFile(str(path), path.stat().st_size)
    return _spec(path.stem, _arch(layout.family, layout.unet, path.name), (size,), count, None, kind)


def check_whole(name: str, lost: list[str]) -> None:
    """Raises when a single file lacks some of its networks."""
    if lost:
        raise MissingWeights(f"{name} lacks its {' and its '.join(lost)}.", "Get the full checkpoint, which holds all its networks.")


def _arch(family: str, unet: dict[str, Any], name: str) -> Arch:
    taken, given = unet.get("in_channels"), unet.get("out_channels")
    if taken not in (given, 2 * given + 1):  # the second: for inpainting, mask and masked latents come too
        raise Incompatible(f"{name} takes {taken} channels: it is an editing or depth model.", "Use the plain model or one for inpainting.")
    if unet.get("time_cond_proj_dim"):
        raise Incompatible(f"{name} takes guidance as an input, as latent consistency models do.", "Use the plain model.")
    return Arch(family, unet["cross_attention_dim"], given)


def _spec(name: str, arch: Arch, files: tuple[WeightFile, ...], count: int, side_px: int | None, kind: Kind) -> BaseSpec:
    id = slug(name)
    return BaseSpec(id=id, title=name, arch=arch, files=files, bytes=count * FP32_BYTES, **kind.abilities(id, side_px))


def read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(f"{path.parent.name}/{path.name} is not readable JSON.", "Download or copy the folder again.") from None
