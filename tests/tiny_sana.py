"""SANA and SANA-Sprint folders with the real layout, key names and configs, a few numbers wide and randomly initialised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

TEXT_WIDTH, LATENT_CHANNELS = 32, 8
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
LETTERS = [chr(code) for code in range(33, 127)] + ["▁", "\n"]
MERGES = [("▁", "f"), ("o", "x"), ("▁f", "ox"), ("r", "e"), ("re", "d")]
FLOW_SCHEDULER: dict[str, Any] = dict(
    _class_name="DPMSolverMultistepScheduler", beta_schedule="linear", beta_start=0.0001, beta_end=0.02, flow_shift=3.0,
    num_train_timesteps=1000, prediction_type="flow_prediction", solver_order=2, use_flow_sigmas=True, final_sigmas_type="zero",
    algorithm_type="dpmsolver++", lower_order_final=True, timestep_spacing="linspace")
SPRINT_SCHEDULER: dict[str, Any] = dict(
    _class_name="SCMScheduler", num_train_timesteps=1000, prediction_type="trigflow", sigma_data=0.5)


def transformer_config(sprint: bool) -> dict[str, Any]:
    added = dict(guidance_embeds=True, guidance_embeds_scale=0.1, qk_norm="rms_norm_across_heads") if sprint else {}
    return added | dict(
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=3,
        num_cross_attention_heads=2,
        cross_attention_head_dim=8,
        cross_attention_dim=16,
        caption_channels=TEXT_WIDTH,
        mlp_ratio=2.5,
        sample_size=32,
        patch_size=1,
    )


def vae_config() -> dict[str, Any]:
    """Six stages, as the real one has, so that a latent cell covers 32 px."""
    widths, kinds = (8, 8, 8, 16, 16, 16), ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3
    scales = ((), (), (), (5,), (5,), (5,))
    return dict(
        latent_channels=LATENT_CHANNELS,
        attention_head_dim=8,
        encoder_block_types=kinds,
        decoder_block_types=kinds,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        encoder_layers_per_block=(1, 1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1, 1),
        encoder_qkv_multiscales=scales,
        decoder_qkv_multiscales=scales,
        upsample_block_type="interpolate",
        downsample_block_type="Conv",
        scaling_factor=0.41407,
    )


def text_config() -> dict[str, Any]:
    return dict(
        vocab_size=len(SPECIAL) + 256 + len(LETTERS) + len(MERGES),
        hidden_size=TEXT_WIDTH,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=4096,
        max_position_embeddings=8192,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )


def tokenizer() -> Any:
    """Gemma's kind: byte-pair encoding with bytes to fall back on, spaces as a letter, and a begin before every text."""
    from transformers import GemmaTokenizer

    words = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *LETTERS, *(a + b for a, b in MERGES)]
    return GemmaTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=MERGES, padding_side="right", add_bos_token=True, add_eos_token=False
    )


def write_folder(folder: Path, sprint: bool, seed: int = 0, scheduler: dict[str, Any] | None = None) -> Path:
    """A diffusers folder as the hub has it."""
    from models.compat import mend_torchvision

    mend_torchvision()
    from diffusers import AutoencoderDC, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    torch.manual_seed(seed)
    nets = {
        "transformer": SanaTransformer2DModel(**transformer_config(sprint)),
        "vae": AutoencoderDC(**vae_config()),
        "text_encoder": Gemma2Model(Gemma2Config(**text_config())),
    }
    parts: dict[str, Any] = {part: [type(net).__module__.split(".")[0], type(net).__name__] for part, net in nets.items()}
    for part, net in nets.items():
        net.save_pretrained(folder / part)
    tokenizer().save_pretrained(folder / "tokenizer")
    walk = scheduler or (SPRINT_SCHEDULER if sprint else FLOW_SCHEDULER)
    parts |= {"tokenizer": ["transformers", "GemmaTokenizerFast"], "scheduler": ["diffusers", walk["_class_name"]]}
    (folder / "scheduler").mkdir()
    _json(folder / "scheduler" / "scheduler_config.json", walk)
    pipeline = "SanaSprintPipeline" if sprint else "SanaPipeline"
    _json(folder / "model_index.json", {"_class_name": pipeline, "_diffusers_version": "0.33.0"} | parts)
    return folder


def write_all(folder: Path) -> Path:
    """tiny-sana and tiny-sana-sprint."""
    write_folder(folder / "tiny-sana", sprint=False)
    write_folder(folder / "tiny-sana-sprint", sprint=True)
    return folder


def _json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
