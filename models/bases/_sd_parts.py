"""The networks of a Stable Diffusion checkpoint, read from a diffusers folder or from a single file by diffusers' own loaders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from models.bases._sd_layout import UNET, VAE, Layout, TextLayout
from models.compat import mend_torchvision
from models.devices import Device
from models.errors import Incompatible, MissingWeights
from models.weights import ASSETS, header

TERMINAL_ABAR = 2.0**-24  # stands for "no signal left" in zero-terminal-SNR schedules, as in diffusers
SCHEDULE = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
STEM = {
    "transformer": "diffusion_pytorch_model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
ZERO_END = "ztsnr"  # names an empty tensor by which single files say that their noise levels end without signal


@dataclass
class Parts:
    """`texts` and `tokenizers` belong together, one each for SD 1.x and 2.x, two for XL. `sigmas`: noise levels of the training
    times, rising; `prediction`: epsilon, v_prediction or sample; `index`: model_index.json, empty for single files."""

    unet: Any
    vae: Any
    texts: tuple[Any, ...]
    tokenizers: tuple[Any, ...]
    sigmas: np.ndarray
    prediction: str
    index: dict[str, Any] = field(default_factory=dict)


@contextmanager
def readable(what: str, cure: str) -> Iterator[None]:
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
    for variant in (None, "fp16", "bf16"):
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


def _classes() -> dict[str, Any]:
    mend_torchvision()
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    return {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    }


def from_folder(folder: Path, device: Device, parts: Sequence[str]) -> Parts:
    """The networks named in `parts` (keys of STEM) of a diffusers folder, and what belongs to them."""
    classes = _classes()
    from transformers import CLIPTokenizer

    with readable(f"The folder {folder.name}", "Download or copy it again."):
        devices = {"vae": vae_device(_config(folder / "vae" / "config.json"), device)}
        nets = {part: pretrained(classes[part], folder, part, devices.get(part, device)) for part in parts}
        scheduler = _config(folder / "scheduler" / "scheduler_config.json")
        readers = [part for part in parts if part.startswith("text_encoder")]
        return Parts(
            nets["unet"],
            nets["vae"],
            texts=tuple(nets[part] for part in readers),
            tokenizers=tuple(CLIPTokenizer.from_pretrained(folder / tokenizer_of(part), local_files_only=True) for part in readers),
            sigmas=sigmas_of(scheduler),
            prediction=scheduler.get("prediction_type", "epsilon"),
            index=_config(folder / "model_index.json"),
        )


def tokenizer_of(part: str) -> str:
    """The folder of the tokenizer that a text encoder reads from."""
    return part.replace("text_encoder", "tokenizer")


def _config(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def vae_device(config: dict[str, Any], device: Device) -> Device:
    """Where and in which format the VAE runs: that of SDXL overflows in fp16, as its config says, so it stays in fp32 there."""
    return replace(device, dtype=torch.float32) if config.get("force_upcast") and device.dtype == torch.float16 else device


def pretrained(cls: Any, folder: Path, part: str, device: Device) -> Any:
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


def from_single_file(path: Path, device: Device, layout: Layout) -> Parts:
    """All parts of a single-file checkpoint; the tokenizers are made from assets/, because no checkpoint carries one."""
    head = header(path)
    with readable(path.name, "Download it again, or try it as a diffusers folder."):
        unet, vae = _painters(path, layout, device)
        texts = tuple(_reader(path, text, device) for text in layout.texts)
        return Parts(
            unet,
            vae,
            texts,
            tokenizers=tuple(clip_tokenizer("!" if text.open_clip else "<|endoftext|>") for text in layout.texts),
            sigmas=sigmas_of({"rescale_betas_zero_snr": ZERO_END in head}),
            prediction=_prediction(head.get("__metadata__", {}), head, unet, ask=layout.family == "sd2"),
        )


def _painters(path: Path, layout: Layout, device: Device) -> tuple[Any, Any]:
    """UNet and VAE, renamed by diffusers' own converters."""
    classes = _classes()
    from diffusers.loaders import single_file_utils as convert

    unet = convert.convert_ldm_unet_checkpoint(_tensors(path, UNET), layout.unet)
    net = _filled(lambda: classes["unet"](**layout.unet), unet, path, device)
    if strange := sorted(unet.keys() - net.state_dict().keys()):
        raise Incompatible(
            f"The UNet of {path.name} has {len(strange)} tensors that others do not have, the first is {strange[0]}.",
            "Pruned and rebuilt models say their shape only in a diffusers folder; get it as one.",
        )
    vae = convert.convert_ldm_vae_checkpoint(_tensors(path, VAE), layout.vae)
    return net, _filled(lambda: classes["vae"](**layout.vae), vae, path, vae_device(layout.vae, device))


def _reader(path: Path, layout: TextLayout, device: Device) -> Any:
    """A text encoder, renamed by diffusers' own converters."""
    classes = _classes()
    from diffusers.loaders import single_file_utils as convert
    from transformers import CLIPTextConfig

    config, tensors = CLIPTextConfig(**layout.config), _tensors(path, layout.prefix)
    if layout.open_clip:
        state = convert.convert_open_clip_checkpoint(SimpleNamespace(config=config), tensors, layout.prefix)
    else:
        state = convert.convert_ldm_clip_checkpoint(tensors)
    if layout.projected:
        return _filled(lambda: classes["text_encoder_2"](config), state, path, device)
    state = {name.removeprefix("text_model."): tensor for name, tensor in state.items()}
    return _filled(lambda: classes["text_encoder"](config), state, path, device)


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


def _prediction(metadata: dict[str, str], names: Any, unet: Any, ask: bool) -> str:
    """What the network was trained to predict: said by the file, else, with `ask`, seen from what it answers, else epsilon."""
    said = metadata.get("modelspec.prediction_type", "")
    if said in ("v", "epsilon"):
        return "v_prediction" if said == "v" else said
    return "v_prediction" if "v_pred" in names or (ask and _answers_v(unet)) else "epsilon"


@torch.no_grad()
def _answers_v(unet: Any) -> bool:
    """At the noisiest time an epsilon network returns about its input and a v network about the negative of the picture; the
    same probe as in other studios: the mean difference to a flat 0.5 is below -1 for v only."""
    x = torch.full((1, unet.config.in_channels, 8, 8), 0.5, dtype=unet.dtype)
    words = torch.full((1, 2, unet.config.cross_attention_dim), 0.5, dtype=unet.dtype)
    answer = unet(x, 999, words, return_dict=False)[0]
    return float((answer - x[:, : answer.shape[1]]).float().mean()) < -1
