"""What a Stable Diffusion checkpoint (1.x, 2.x, XL) says of itself in names and shapes, before a weight is read.

A single-file checkpoint (the layout of Rombach et al. 2022, for XL that of Podell et al. 2023) carries no config; widths, depths
and the text encoders follow from its tensors' shapes, so it is recognised by content and never by its name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
CONDITIONER = "conditioner.embedders."  # text encoders of SDXL and of its relatives
XL_CLIP, XL_OPEN_CLIP = f"{CONDITIONER}0.transformer.", f"{CONDITIONER}1.model."
HEAD_WIDTH = 64  # of all CLIP encoders and of the UNets of SD 2.x and XL
XL_TIME_WIDTH = 256  # numbers that each of SDXL's six size conditions becomes
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class TextLayout:
    """One text encoder of a single file. `open_clip`: it has OpenCLIP's names; `projected`: a projection of its last state is used."""

    prefix: str
    config: dict[str, Any]
    open_clip: bool = False
    projected: bool = False


@dataclass(frozen=True)
class Layout:
    """The configs that diffusers and transformers need to build the networks of a single file."""

    family: str  # "sd1", "sd2" or "sdxl"
    unet: dict[str, Any]
    vae: dict[str, Any]
    texts: tuple[TextLayout, ...]


def shapes_of(header: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Tensor shapes by name from a safetensors header."""
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def elements(shapes: Shapes, prefixes: Iterable[str] = ("",)) -> int:
    """How many numbers the tensors under `prefixes` hold."""
    wanted = tuple(prefixes)
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(wanted))


def missing_parts(shapes: Shapes) -> list[str]:
    """Which of the three networks a single file of SD 1.x or 2.x lacks, in words."""
    texts = (_clip_words(CLIP), _open_clip_words(OPEN_CLIP))
    return _missing(shapes) + ([] if any(name in shapes for name in texts) else ["text encoder"])


def missing_xl_parts(shapes: Shapes) -> list[str]:
    """Which of the four networks a single file of SDXL lacks, in words."""
    texts = {"first text encoder": _clip_words(XL_CLIP), "second text encoder": f"{XL_OPEN_CLIP}text_projection"}
    return _missing(shapes) + [part for part, name in texts.items() if name not in shapes]


def _missing(shapes: Shapes) -> list[str]:
    has = {"UNet": f"{UNET}input_blocks.0.0.weight", "VAE": f"{VAE}decoder.conv_in.weight"}
    return [part for part, name in has.items() if name not in shapes]


def _clip_words(prefix: str) -> str:
    return f"{prefix}text_model.embeddings.token_embedding.weight"


def _open_clip_words(prefix: str) -> str:
    return f"{prefix}token_embedding.weight"


def layout_of(shapes: Shapes) -> Layout:
    """The configs of a complete single file of SD 1.x or 2.x."""
    unet, vae = _unet_config(shapes), _vae_config(shapes)
    if _open_clip_words(OPEN_CLIP) not in shapes:
        return Layout("sd1", unet, vae, (TextLayout(CLIP, _clip_config(shapes, CLIP)),))
    text = _open_clip_config(shapes, OPEN_CLIP, unread_layers=1)  # SD 2.x reads the states before the last layer
    return Layout("sd2", unet, vae, (TextLayout(OPEN_CLIP, text, open_clip=True),))


def xl_layout_of(shapes: Shapes) -> Layout:
    """The configs of a complete single file of SDXL."""
    added = dict(
        sample_size=128,
        addition_embed_type="text_time",
        addition_time_embed_dim=XL_TIME_WIDTH,
        projection_class_embeddings_input_dim=shapes[f"{UNET}label_emb.0.0.weight"][1],
    )
    vae = dict(sample_size=1024, scaling_factor=0.13025, force_upcast=True)
    second = _open_clip_config(shapes, XL_OPEN_CLIP) | {"projection_dim": shapes[f"{XL_OPEN_CLIP}text_projection"][1]}
    texts = (TextLayout(XL_CLIP, _clip_config(shapes, XL_CLIP)), TextLayout(XL_OPEN_CLIP, second, open_clip=True, projected=True))
    return Layout("sdxl", _unet_config(shapes) | added, _vae_config(shapes) | vae, texts)


def _count(shapes: Shapes, pattern: str) -> int:
    """How many numbers follow `pattern` among the names, counted from 0 without a gap."""
    found = {int(match[1]) for name in shapes if (match := re.match(pattern + r"(\d+)\.", name))}
    return len(found)


def _unet_config(shapes: Shapes) -> dict[str, Any]:
    blocks = UNET + "input_blocks."
    inputs = _count(shapes, re.escape(blocks))
    per_level = next((i for i in range(1, inputs) if f"{blocks}{i}.0.op.weight" in shapes), inputs)
    firsts = range(1, inputs, per_level)
    widths = [shapes[f"{blocks}{i}.0.out_layers.3.weight"][0] for i in firsts]
    looks = [f"{blocks}{i}.1.proj_in.weight" in shapes for i in firsts]
    context = next(shape[1] for name, shape in shapes.items() if name.startswith(UNET) and name.endswith("attn2.to_k.weight"))
    projection = next(shape for name, shape in shapes.items() if name.startswith(UNET) and name.endswith("proj_in.weight"))
    linear = len(projection) == 2
    return dict(
        sample_size=64,
        layers_per_block=per_level - 1,
        block_out_channels=widths,
        in_channels=shapes[f"{blocks}0.0.weight"][1],
        out_channels=shapes[f"{UNET}out.2.weight"][0],
        down_block_types=["CrossAttnDownBlock2D" if look else "DownBlock2D" for look in looks],
        up_block_types=["CrossAttnUpBlock2D" if look else "UpBlock2D" for look in reversed(looks)],
        transformer_layers_per_block=[_count(shapes, re.escape(f"{blocks}{i}.1.transformer_blocks.")) or 1 for i in firsts],
        cross_attention_dim=context,
        use_linear_projection=linear,
        attention_head_dim=[max(1, w // HEAD_WIDTH) for w in widths] if linear else 8,
    )  # diffusers reads it as head COUNT


def _vae_config(shapes: Shapes) -> dict[str, Any]:
    down = VAE + "encoder.down."
    levels = _count(shapes, re.escape(down))
    widths = [shapes[f"{down}{i}.block.0.conv2.weight"][0] for i in range(levels)]
    return dict(
        in_channels=3,
        out_channels=3,
        block_out_channels=widths,
        sample_size=512,
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        layers_per_block=_count(shapes, re.escape(down) + r"0\.block\."),
        scaling_factor=0.18215,
        latent_channels=shapes[f"{VAE}decoder.conv_in.weight"][1],
    )


def _clip_config(shapes: Shapes, prefix: str) -> dict[str, Any]:
    model = prefix + "text_model."
    vocabulary, width = shapes[_clip_words(prefix)]
    return dict(
        hidden_act="quick_gelu",
        hidden_size=width,
        projection_dim=width,
        vocab_size=vocabulary,
        intermediate_size=shapes[f"{model}encoder.layers.0.mlp.fc1.weight"][0],
        num_attention_heads=max(1, width // HEAD_WIDTH),
        num_hidden_layers=_count(shapes, re.escape(model) + r"encoder\.layers\."),
        max_position_embeddings=shapes[f"{model}embeddings.position_embedding.weight"][0],
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )


def _open_clip_config(shapes: Shapes, prefix: str, unread_layers: int = 0) -> dict[str, Any]:
    """`unread_layers`: how many of the file's last layers the network is built without."""
    blocks = prefix + "transformer.resblocks."
    vocabulary, width = shapes[_open_clip_words(prefix)]
    return dict(
        hidden_act="gelu",
        hidden_size=width,
        projection_dim=512,
        vocab_size=vocabulary,
        intermediate_size=shapes[f"{blocks}0.mlp.c_fc.weight"][0],
        num_attention_heads=max(1, width // HEAD_WIDTH),
        num_hidden_layers=_count(shapes, re.escape(blocks)) - unread_layers,
        max_position_embeddings=shapes[f"{prefix}positional_embedding"][0],
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=0,
    )
