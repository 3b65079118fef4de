"""The embedded autoencoder: an orthogonal patch encoder and a decoder that starts as its transpose and learns the rest.

Encoder: each 16x16x3 patch is projected on its principal components (PCA, Pearson 1901), one strided convolution without
training. Decoder: the transposed projection plus a convolutional residual that starts at zero, so the first step is already
the best linear autoencoder and training only adds detail.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH_PX = 16


class PatchEncoder(nn.Module):
    """rgb [B, 3, H, W] in [0, 1] (H, W multiples of 16) -> latents [B, C, H/16, W/16], about unit variance over the training set."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.register_buffer("basis", torch.zeros(channels, 3, PATCH_PX, PATCH_PX))   # orthonormal rows
        self.register_buffer("mean", torch.zeros(3, PATCH_PX, PATCH_PX))
        self.register_buffer("scale", torch.ones(channels))                           # latent = coefficient / scale

    def forward(self, rgb: Tensor) -> Tensor:
        weight = self.basis / self.scale[:, None, None, None]
        bias = -(weight * self.mean).sum((1, 2, 3))
        return F.conv2d(rgb * 2 - 1, weight.to(rgb.dtype), bias.to(rgb.dtype), stride=PATCH_PX)

    def transpose(self, latents: Tensor) -> Tensor:
        """The least-squares picture of these latents, [B, 3, H, W] around [0, 1], not clamped."""
        weight = (self.basis * self.scale[:, None, None, None]).to(latents.dtype)
        rgb = F.conv_transpose2d(latents, weight, stride=PATCH_PX)
        return (rgb + self.mean.to(rgb.dtype).repeat(1, latents.shape[2], latents.shape[3])) * 0.5 + 0.5


def fit_patches(patches: Tensor, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """PCA of `patches` [N, 3, 16, 16] in [-1, 1] -> (basis [C, 3, 16, 16], mean [3, 16, 16], scale [C]).

    Coefficients are divided by the square root of their standard deviation (neither raw nor whitened: large strokes stay
    larger than fine detail, but not thirty times larger) and then by one number that brings the whole to unit variance.
    """
    flat = patches.flatten(1).double()
    mean = flat.mean(0)
    values, vectors = torch.linalg.eigh((flat - mean).T @ (flat - mean) / len(flat))
    basis = vectors.flip(1)[:, :channels].T
    basis = basis * torch.where(basis.sum(1, keepdim=True) < 0, -1.0, 1.0)             # eigh leaves the sign open
    std = values.flip(0)[:channels].clamp_min(1e-12).sqrt()
    scale = std.sqrt() * std.mean().sqrt()                                            # (std / scale)^2 averages to one
    shape = (-1, *patches.shape[1:])
    return basis.reshape(shape).float(), mean.reshape(patches.shape[1:]).float(), scale.float()
