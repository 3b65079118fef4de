"""The networks of a Stable Diffusion checkpoint, read from a diffusers folder or from a single file by diffusers' own loaders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from models.bases._sd_layout import CLIP, OPEN_CLIP, UNET, VAE, Layout, layout_of, shapes_of
from models.compat import mend_torchvision
from models.devices import Device
from models.errors import MissingWeights
from models.weights import ASSETS, header

TERMINAL_ABAR = 2.0**-24  # stands for "no signal left" in zero-terminal-SNR schedules, as in diffusers
SCHEDULE = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
STEM = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}


@dataclass
class Parts:
    """`sigmas`: noise levels of the training times, rising; `prediction`: epsilon, v_prediction or sample."""

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    sigmas: np.ndarray
    prediction: str


@contextmanager
def _readable(what: str, cure: str) -> Iterator[None]:
    """Whatever a loader says about broken or foreign weights becomes one MissingWeights; lack of memory stays lack of memory."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise MemoryError(str(error)) from error
        raise MissingWeights(f"{what} cannot be loaded ({str(error).strip().splitlines()[0][:200]}).", cure) from error


def sigmas_of(scheduler: dict[str, Any]) -> np.ndarray:
    """Noise levels of a scheduler config's training times, from diffusers' own alphas."""
    mend_torchvision()
    from diffusers import DDIMScheduler

    abar = DDIMScheduler.from_config({**SCHEDULE, **scheduler}).alphas_cumprod.double().numpy().clip(TERMINAL_ABAR)
    return np.sqrt((1 - abar) / abar)


def weight_file(folder: Path, part: str) -> tuple[Path | None, str | None]:
    """The safetensors file (or the index of a sharded one) of a part and its variant; None when there is none."""
    for variant in (None, "fp16"):
        name = f"{STEM[part]}.{variant}" if variant else STEM[part]
        for path in (
            folder / part / f"{name}.safetensors",
            folder / part / f"{STEM[part]}.safetensors.index{f'.{variant}' if variant else ''}.json",
        ):
            if path.exists():
                return path, variant
    return None, None


def files_of(path: Path) -> list[Path]:
    """The tensor files behind what `weight_file` found: itself, or the shards its index lists."""
    if path.suffix == ".safetensors":
        return [path]
    return sorted({path.parent / name for name in json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()})


def from_folder(folder: Path, device: Device) -> Parts:
    """All parts of a diffusers folder."""
    mend_torchvision()
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    with _readable(f"The folder {folder.name}", "Download or copy it again."):
        nets = {
            part: _pretrained(cls, folder, part, device)
            for part, cls in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL), ("text_encoder", CLIPTextModel))
        }
        scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        return Parts(
            **nets, tokenizer=tokenizer, sigmas=sigmas_of(scheduler), prediction=scheduler.get("prediction_type", "epsilon")
        )


def _pretrained(cls: Any, folder: Path, part: str, device: Device) -> Any:
    path, variant = weight_file(folder, part)
    for file in files_of(path) if path else ():
        header(file)  # says "truncated" in words before a loader says it in its own
    net, told = cls.from_pretrained(
        folder / part, variant=variant, use_safetensors=True, local_files_only=True, dtype=device.dtype, output_loading_info=True
    )
    if lost := sorted(told["missing_keys"]):
        raise MissingWeights(
            f"{folder.name}/{part} lacks {len(lost)} tensors, the first is {lost[0]}.", "Download or copy it again."
        )
    return net


def from_single_file(path: Path, device: Device) -> Parts:
    """All parts of a single-file checkpoint; the tokenizer is the one in assets/, because no checkpoint carries it."""
    head = header(path)
    layout = layout_of(shapes_of(head))
    open_clip = layout.family == "sd2"
    with _readable(path.name, "Download it again, or try it as a diffusers folder."):
        unet, vae, text = _networks(path, layout, device)
        prediction = _prediction(head.get("__metadata__", {}), head, unet, open_clip)
        return Parts(unet, vae, text, clip_tokenizer("!" if open_clip else "<|endoftext|>"), sigmas_of({}), prediction)


def _networks(path: Path, layout: Layout, device: Device) -> tuple[Any, Any, Any]:
    """UNet, VAE and text encoder, renamed by diffusers' own converters."""
    mend_torchvision()
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.loaders import single_file_utils as convert
    from transformers import CLIPTextConfig, CLIPTextModel

    unet = convert.convert_ldm_unet_checkpoint(_tensors(path, UNET), layout.unet)
    unet = _filled(lambda: UNet2DConditionModel(**layout.unet), unet, path, device)
    vae = convert.convert_ldm_vae_checkpoint(_tensors(path, VAE), layout.vae)
    vae = _filled(lambda: AutoencoderKL(**layout.vae), vae, path, device)
    config = CLIPTextConfig(**layout.text_encoder)
    if layout.family == "sd2":
        text = convert.convert_open_clip_checkpoint(SimpleNamespace(config=config), _tensors(path, OPEN_CLIP), OPEN_CLIP)
    else:
        text = convert.convert_ldm_clip_checkpoint(_tensors(path, CLIP))
    text = {name.removeprefix("text_model."): tensor for name, tensor in text.items()}
    return unet, vae, _filled(lambda: CLIPTextModel(config), text, path, device)


def _filled(build: Callable[[], Any], state: dict[str, torch.Tensor], path: Path, device: Device) -> Any:
    """The network with exactly these weights; it is built without any, so nothing is initialised in vain."""
    from accelerate import init_empty_weights

    with init_empty_weights():
        net = build()
    wanted = [name for name in net.state_dict() if not name.endswith("position_ids")]
    if lost := [name for name in wanted if name not in state]:
        raise MissingWeights(f"{path.name} lacks {len(lost)} tensors, the first is {lost[0]}.", "Download it again.")
    net.load_state_dict({name: state[name].to(device.dtype).contiguous() for name in wanted}, strict=False, assign=True)
    return net.eval()


def _tensors(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    with safe_open(path, "pt") as f:
        return {name: f.get_tensor(name) for name in f.keys() if name.startswith(prefix)}


def clip_tokenizer(pad: str) -> Any:
    """CLIP's byte-pair encoder (Radford et al. 2021) from the merges in assets/."""
    mend_torchvision()
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    merges = (ASSETS / "clip" / "merges.txt").read_text(encoding="utf-8").splitlines()
    letters = list(bytes_to_unicode().values())
    words = [
        *letters,
        *(letter + "</w>" for letter in letters),
        *(merge.replace(" ", "") for merge in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    return CLIPTokenizer({word: i for i, word in enumerate(words)}, [tuple(merge.split(" ")) for merge in merges], pad_token=pad)


def _prediction(metadata: dict[str, str], names: Any, unet: Any, open_clip: bool) -> str:
    """What the network was trained to predict: said by the header, else, for SD 2.x, seen from what it answers."""
    said = metadata.get("modelspec.prediction_type", "")
    if said in ("v", "epsilon"):
        return "v_prediction" if said == "v" else said
    return "v_prediction" if "v_pred" in names or (open_clip and _answers_v(unet)) else "epsilon"


@torch.no_grad()
def _answers_v(unet: Any) -> bool:
    """At the noisiest time an epsilon network returns about its input and a v network about the negative of the picture; the
    same probe as in other studios: the mean difference to a flat 0.5 is below -1 for v only."""
    x = torch.full((1, unet.config.in_channels, 8, 8), 0.5, dtype=unet.dtype)
    words = torch.full((1, 2, unet.config.cross_attention_dim), 0.5, dtype=unet.dtype)
    return float((unet(x, 999, words, return_dict=False)[0] - x).float().mean()) < -1
