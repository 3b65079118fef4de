"""Stable Diffusion checkpoints with the real layout, key names and configs, a few numbers wide and randomly initialised."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.compat import mend_torchvision

WIDTHS, TEXT_WIDTH, TEXT_LAYERS = [32, 64, 64, 64], 32, 2
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
TOKENIZER = {
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "model_max_length": 77,
    "do_lower_case": True,
    "tokenizer_class": "CLIPTokenizer",
    "add_prefix_space": False,
}


def unet_config(family: str) -> dict[str, Any]:
    two = family == "sd2"
    return dict(
        sample_size=64,
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        block_out_channels=WIDTHS,
        cross_attention_dim=TEXT_WIDTH,
        down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        attention_head_dim=[1, 1, 1, 1] if two else 8,
        use_linear_projection=two,
    )


def vae_config() -> dict[str, Any]:
    return dict(
        block_out_channels=WIDTHS,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        scaling_factor=0.18215,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
    )


def text_config(family: str) -> dict[str, Any]:
    return dict(
        hidden_size=TEXT_WIDTH,
        intermediate_size=64,
        num_hidden_layers=TEXT_LAYERS,
        num_attention_heads=1,
        vocab_size=49408,
        max_position_embeddings=77,
        projection_dim=TEXT_WIDTH,
        hidden_act="gelu" if family == "sd2" else "quick_gelu",
    )


def networks(family: str, seed: int = 0) -> dict[str, Any]:
    """{"unet", "vae", "text_encoder"} with random weights."""
    mend_torchvision()
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(seed)
    return {
        "unet": UNet2DConditionModel(**unet_config(family)),
        "vae": AutoencoderKL(**vae_config()),
        "text_encoder": CLIPTextModel(CLIPTextConfig(**text_config(family))),
    }


def write_folder(folder: Path, nets: dict[str, Any], family: str = "sd1", variant: str | None = None, **scheduler: Any) -> Path:
    """A diffusers folder as the hub has it."""
    readers = [part for part in nets if part.startswith("text_encoder")]
    for part, net in nets.items():
        net.save_pretrained(folder / part, variant=None if part in readers else variant)
        if variant and part in readers:
            (folder / part / "model.safetensors").rename(folder / part / f"model.{variant}.safetensors")
    parts: dict[str, Any] = {part: [type(net).__module__.split(".")[0], type(net).__name__] for part, net in nets.items()}
    for part in readers:
        tokenizer = part.replace("text_encoder", "tokenizer")
        _write_tokenizer(folder / tokenizer, "!" if family == "sd2" or part == "text_encoder_2" else "<|endoftext|>")
        parts[tokenizer] = ["transformers", "CLIPTokenizer"]
    _json(folder / "scheduler" / "scheduler_config.json", SCHEDULER | scheduler)
    parts |= {"scheduler": ["diffusers", "PNDMScheduler"]} | ({} if family == "sdxl" else {"safety_checker": [None, None]})
    pipeline = "StableDiffusionXLPipeline" if family == "sdxl" else "StableDiffusionPipeline"
    _json(folder / "model_index.json", {"_class_name": pipeline, "_diffusers_version": "0.6.0"} | parts)
    return folder


def _write_tokenizer(folder: Path, pad: str) -> None:
    from models.bases._sd_parts import clip_tokenizer

    words = clip_tokenizer(pad)
    _json(folder / "vocab.json", words.get_vocab())
    merges = [" ".join(pair) for pair in words._merges]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    _json(folder / "tokenizer_config.json", {**TOKENIZER, "pad_token": pad})


def write_single_file(path: Path, nets: dict[str, Any], family: str = "sd1", metadata: dict[str, str] | None = None) -> Path:
    """The same networks under the names of the original single-file layout."""
    tensors = painters(nets)
    text = nets["text_encoder"].state_dict()
    tensors |= open_clip(text, "cond_stage_model.model.", spare=1) if family == "sd2" else clip(text, "cond_stage_model.transformer.")
    return save(tensors, path, metadata)


def painters(nets: dict[str, Any], family: str = "sd1") -> dict[str, Tensor]:
    """UNet and VAE under their original names."""
    tensors = {f"model.diffusion_model.{unet_name(k, family)}": v for k, v in nets["unet"].state_dict().items()}
    return tensors | {f"first_stage_model.{_vae_name(k)}": _vae_tensor(k, v) for k, v in nets["vae"].state_dict().items()}


def save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> Path:
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, path, metadata)
    return path


def clip(text: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The names of CLIP as OpenAI's model has them in checkpoints."""
    kept = {k: v for k, v in text.items() if not k.endswith("position_ids")}
    return {f"{prefix}text_model.{k.removeprefix('text_model.')}": v for k, v in kept.items()}


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def unet_name(name: str, family: str = "sd1") -> str:
    """The original name of a tensor. An upsampler comes after an attention, where its level has one."""
    for theirs, ours in _UNET_ENDS.items():
        if name.startswith(theirs + "."):
            return ours + name.removeprefix(theirs)
    if m := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name):
        place = int(m[2]) * 2 if m[1] == "resnets" else 1
        return f"middle_block.{place}.{_resnet(m[3]) if m[1] == 'resnets' else m[3]}"
    m = re.match(r"(down|up)_blocks\.(\d)\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", name)
    level, item, rest = int(m[2]), int(m[4]), m[5]
    if m[3] == "downsamplers":
        return f"input_blocks.{3 * level + 3}.0.op.{rest.removeprefix('conv.')}"
    if m[3] == "upsamplers":
        return f"output_blocks.{3 * level + 2}.{1 if level == 0 and family != 'sdxl' else 2}.{rest}"
    block = f"input_blocks.{3 * level + item + 1}" if m[1] == "down" else f"output_blocks.{3 * level + item}"
    return f"{block}.0.{_resnet(rest)}" if m[3] == "resnets" else f"{block}.1.{rest}"


def _resnet(rest: str) -> str:
    first, _, last = rest.partition(".")
    return f"{_RESNET[first]}.{last}"


def _vae_name(name: str) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name).replace(
        "mid_block.attentions.0", "mid.attn_1"
    )
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{3 - int(m[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)
    for theirs, ours in (("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")):
        name = name.replace(f"attn_1.{theirs}", f"attn_1.{ours}")
    return name


def _vae_tensor(name: str, tensor: Tensor) -> Tensor:
    return tensor[:, :, None, None] if re.search(r"attentions\.0\.to_.*weight", name) else tensor


def open_clip(text: dict[str, Tensor], prefix: str, spare: int = 0) -> dict[str, Tensor]:
    """OpenCLIP names, q, k and v in one matrix; `spare`: layers more than the network has, as in SD 2.x, which does not read them."""
    text = {k.removeprefix("text_model."): v for k, v in text.items()}
    ends = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    out = {prefix + ours: text[theirs] for theirs, ours in ends.items()}
    if "text_projection.weight" in text:
        out |= {f"{prefix}text_projection": text["text_projection.weight"].T, f"{prefix}logit_scale": torch.tensor(4.6)}
    layers = len({k.split(".")[2] for k in text if k.startswith("encoder.layers.")})
    for layer in range(layers + spare):
        own = f"encoder.layers.{min(layer, layers - 1)}."
        of = {k.removeprefix(own): v for k, v in text.items() if k.startswith(own)}
        out |= _open_clip_layer(of, f"{prefix}transformer.resblocks.{layer}.")
    return out


def _open_clip_layer(of: dict[str, Tensor], block: str) -> dict[str, Tensor]:
    out, names = {}, {"self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    for kind in ("weight", "bias"):
        out[f"{block}attn.in_proj_{kind}"] = torch.cat([of[f"self_attn.{c}_proj.{kind}"] for c in "qkv"])
        out |= {f"{block}{ours}.{kind}": of[f"{theirs}.{kind}"] for theirs, ours in names.items()}
    return out


def write_all(folder: Path) -> Path:
    """tiny-sd1 and tiny-sd2 (which predicts v) as folders and as single files."""
    for family, prediction in (("sd1", "epsilon"), ("sd2", "v_prediction")):
        nets = networks(family)
        write_folder(folder / f"tiny-{family}", nets, family, prediction_type=prediction)
        said = {"modelspec.prediction_type": "v"} if family == "sd2" else None
        write_single_file(folder / f"tiny-{family}-file.safetensors", nets, family, said)
    return folder
