"""What a Stable Diffusion 1.x or 2.x checkpoint says of itself in names and shapes, before a weight is read.

A single-file checkpoint (the layout of Rombach et al. 2022) carries no config; widths, depths and the text encoder follow from
its tensors' shapes, so it is recognised by content and never by its name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP, OPEN_CLIP = "cond_stage_model.transformer.", "cond_stage_model.model."
HEAD_WIDTH = 64  # of both CLIP encoders and of the SD 2.x UNet
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """The configs that diffusers and transformers need to build the three networks of a single file."""

    family: str  # "sd1" or "sd2"
    unet: dict[str, Any]
    vae: dict[str, Any]
    text_encoder: dict[str, Any]


def shapes_of(header: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Tensor shapes by name from a safetensors header."""
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


def elements(shapes: Shapes, prefixes: Iterable[str] = ("",)) -> int:
    """How many numbers the tensors under `prefixes` hold."""
    wanted = tuple(prefixes)
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(wanted))


def missing_parts(shapes: Shapes) -> list[str]:
    """Which of the three networks a single file lacks, in words."""
    has = {"UNet": f"{UNET}input_blocks.0.0.weight", "VAE": f"{VAE}decoder.conv_in.weight"}
    missing = [part for part, name in has.items() if name not in shapes]
    texts = (f"{CLIP}text_model.embeddings.token_embedding.weight", f"{OPEN_CLIP}token_embedding.weight")
    return missing + ([] if any(name in shapes for name in texts) else ["text encoder"])


def layout_of(shapes: Shapes) -> Layout:
    """The configs of a complete single file."""
    open_clip = f"{OPEN_CLIP}token_embedding.weight" in shapes
    return Layout(
        "sd2" if open_clip else "sd1",
        _unet_config(shapes),
        _vae_config(shapes),
        _open_clip_config(shapes) if open_clip else _clip_config(shapes),
    )


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


def _clip_config(shapes: Shapes) -> dict[str, Any]:
    model = CLIP + "text_model."
    vocabulary, width = shapes[f"{model}embeddings.token_embedding.weight"]
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


def _open_clip_config(shapes: Shapes) -> dict[str, Any]:
    """SD 2.x reads the states before the last layer, so the config has one layer less than the file."""
    blocks = OPEN_CLIP + "transformer.resblocks."
    vocabulary, width = shapes[f"{OPEN_CLIP}token_embedding.weight"]
    return dict(
        hidden_act="gelu",
        hidden_size=width,
        projection_dim=512,
        vocab_size=vocabulary,
        intermediate_size=shapes[f"{blocks}0.mlp.c_fc.weight"][0],
        num_attention_heads=max(1, width // HEAD_WIDTH),
        num_hidden_layers=_count(shapes, re.escape(blocks)) - 1,
        max_position_embeddings=shapes[f"{OPEN_CLIP}positional_embedding"][0],
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=0,
    )
