"""ControlNet files by their tensor names and shapes alone: the original layout renamed, and the config that no single file carries."""
from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ORIGINAL = "control_model."
HEAD_WIDTH = 64                                      # of every family but SD 1.x, which has 8 heads at any width
SD1_HEADS = 8
TIME_ID_WIDTH = 256                                  # SDXL's size and crop numbers, each embedded in this many
SDXL_TEXT_WIDTH = 2048                               # of the small kinds, which have no attention to see it from
MARK = "controlnet_mid_block.weight"                 # no other network has it
Shapes = Mapping[str, tuple[int, ...]]

_ENDS = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2", "label_emb.0.0": "add_embedding.linear_1",
         "label_emb.0.2": "add_embedding.linear_2", "input_blocks.0.0": "conv_in", "middle_block_out.0": "controlnet_mid_block"}
_RESNET = {"in_layers.0": "norm1", "in_layers.2": "conv1", "out_layers.0": "norm2", "out_layers.3": "conv2", "emb_layers.1": "time_emb_proj",
           "skip_connection": "conv_shortcut"}


def renamed(names: list[str]) -> dict[str, str]:
    """{diffusers' name: name in the file} of a ControlNet in either layout; {} when the file holds none."""
    inner = {name.removeprefix(ORIGINAL): name for name in names if name.startswith(ORIGINAL)} or {name: name for name in names}
    if MARK in inner:
        return inner
    if "middle_block_out.0.weight" not in inner:
        return {}
    per_level = min((int(m[1]) for name in inner if (m := re.match(r"input_blocks\.(\d+)\.0\.op\.", name))), default=len(inner))
    hints = max(int(m[1]) for name in inner if (m := re.match(r"input_hint_block\.(\d+)\.", name)))
    return {_name(short, per_level, hints): full for short, full in inner.items()}


def _name(name: str, per_level: int, last_hint: int) -> str:
    """diffusers' name of one tensor; `per_level`: input blocks a level, its downsampling counted."""
    stem, _, end = name.rpartition(".")
    if stem in _ENDS:
        return f"{_ENDS[stem]}.{end}"
    if m := re.match(r"input_hint_block\.(\d+)", stem):
        place = int(m[1])                            # convolutions and activations alternate
        return f"controlnet_cond_embedding.{'conv_in' if place == 0 else 'conv_out' if place == last_hint else f'blocks.{place // 2 - 1}'}.{end}"
    if m := re.match(r"zero_convs\.(\d+)\.0", stem):
        return f"controlnet_down_blocks.{m[1]}.{end}"
    if m := re.match(r"middle_block\.(\d)\.(.*)", name):
        return f"mid_block.attentions.0.{m[2]}" if m[1] == "1" else f"mid_block.resnets.{int(m[1]) // 2}.{_resnet(m[2])}"
    if m := re.match(r"input_blocks\.(\d+)\.([01])\.(.*)", name):
        level, item = divmod(int(m[1]) - 1, per_level)
        if m[3].startswith("op."):
            return f"down_blocks.{level}.downsamplers.0.conv.{end}"
        return f"down_blocks.{level}." + (f"attentions.{item}.{m[3]}" if m[2] == "1" else f"resnets.{item}.{_resnet(m[3])}")
    return name


def _resnet(rest: str) -> str:
    stem, _, end = rest.rpartition(".")
    return f"{_RESNET.get(stem, stem)}.{end}"


def config_of(shapes: Shapes) -> dict[str, Any]:
    """Keywords of ControlNetModel for tensors in diffusers' names. Raises KeyError for an incomplete file."""
    levels = range(_count(shapes, r"down_blocks\."))
    widths = [shapes[f"down_blocks.{i}.resnets.0.conv1.weight"][0] for i in levels]
    hints = _count(shapes, r"controlnet_cond_embedding\.blocks\.") // 2
    embedding = "controlnet_cond_embedding."
    out = dict(
        in_channels=shapes["conv_in.weight"][1], block_out_channels=widths,
        layers_per_block=_count(shapes, r"down_blocks\.0\.resnets\."),
        down_block_types=["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in (_depth(shapes, f"down_blocks.{i}") for i in levels)],
        mid_block_type="UNetMidBlock2DCrossAttn" if _depth(shapes, "mid_block") else "UNetMidBlock2D",
        transformer_layers_per_block=[_depth(shapes, f"down_blocks.{i}") or _depth(shapes, "mid_block") or 1 for i in levels],
        conditioning_channels=shapes[f"{embedding}conv_in.weight"][1],
        conditioning_embedding_out_channels=[shapes[f"{embedding}conv_in.weight"][0],
                                             *(shapes[f"{embedding}blocks.{2 * i + 1}.weight"][0] for i in range(hints))])
    return out | _words(shapes, widths)


def _words(shapes: Shapes, widths: list[int]) -> dict[str, Any]:
    """How the words come in: cross-attention, pooled vector, size numbers."""
    linear = any(len(shape) == 2 for name, shape in shapes.items() if name.endswith("proj_in.weight"))
    pooled, sized = shapes.get("class_embedding.linear_1.weight"), shapes.get("add_embedding.linear_1.weight")
    out: dict[str, Any] = dict(use_linear_projection=linear)
    out["attention_head_dim"] = [max(1, w // HEAD_WIDTH) for w in widths] if linear or pooled else SD1_HEADS     # diffusers reads head COUNT
    if contexts := [shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")]:
        out["cross_attention_dim"] = contexts[0]
    if pooled:
        out |= dict(class_embed_type="projection", projection_class_embeddings_input_dim=pooled[1])
    if sized:
        out.setdefault("cross_attention_dim", SDXL_TEXT_WIDTH)
        out |= dict(addition_embed_type="text_time", addition_time_embed_dim=TIME_ID_WIDTH, projection_class_embeddings_input_dim=sized[1])
    return out


def _depth(shapes: Shapes, block: str) -> int:
    """Transformer layers of a block's first attention; 0 without one."""
    return _count(shapes, re.escape(block) + r"\.attentions\.0\.transformer_blocks\.")


def _count(shapes: Shapes, pattern: str) -> int:
    """How many numbers follow `pattern` among the names."""
    return len({m[1] for name in shapes if (m := re.match(pattern + r"(\d+)\.", name))})
