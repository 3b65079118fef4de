"""Embedded bases with the real classes, file formats and text encoder, a few numbers wide and randomly initialised."""

from __future__ import annotations

from pathlib import Path

import torch

from models import checkpoint
from models.lab.export import export_autoencoder
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder
from models.nets.unet import CONFIG, build_unet

TINY = CONFIG | dict(
    block_out_channels=[32, 64],
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"],
    attention_head_dim=[1, 2],
)
DECODER_WIDTHS = (16, 16, 16)
LOUD = 4.0  # a fresh network answers almost 0; louder, words and noise show in pixels


def write_bases(folder: Path) -> Path:
    """tiny-student, tiny-teacher and decoder, seeded."""
    for seed, who in enumerate(("student", "teacher")):
        torch.manual_seed(seed)
        net = build_unet(TINY)
        net.conv_out.weight.data.mul_(LOUD)
        checkpoint.save(
            folder / f"tiny-{who}.safetensors",
            "onestroke.unet",
            TINY,
            {"updates": 0},
            checkpoint.quantise(net.state_dict()),
            f"Tiny {who}",
        )
    encoder = PatchEncoder()
    encoder.basis.copy_(torch.linalg.qr(torch.randn(768, 32))[0].T.reshape(32, 3, 16, 16))
    encoder.scale.fill_(3.0)
    decoder = PatchDecoder(32, DECODER_WIDTHS)
    decoder.projection.load_state_dict(encoder.state_dict())
    export_autoencoder(encoder, decoder, DECODER_WIDTHS, {}, folder)
    return folder
