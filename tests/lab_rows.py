"""What tests of the lab train on: an autoencoder without detail, a UNet a few numbers wide, and six pictures of a square."""
from __future__ import annotations

import numpy as np
import torch

from models.lab.latents import Batch
from models.nets.patches import PatchEncoder
from models.nets.unet import CONFIG

TINY = CONFIG | dict(block_out_channels=[8, 16, 16], attention_head_dim=[1, 1, 1], norm_num_groups=4)
ROWS = 6


def smooth_encoder() -> PatchEncoder:
    """Thirty-two smooth directions, orthogonal, in place of principal components."""
    torch.manual_seed(0)
    net = PatchEncoder()
    smooth = torch.nn.functional.interpolate(torch.randn(32, 3, 2, 2), size=16, mode="bilinear").flatten(1)
    net.basis.copy_(torch.linalg.qr(smooth.T)[0].T.reshape(32, 3, 16, 16))
    net.scale.fill_(3.0)
    return net


class Rows:
    """A LatentSet of ROWS pictures: a square of one grey on another, each elsewhere."""
    paper, square = 0.1, 0.9
    texts, captions = ["", "a square"], [[1]] * ROWS

    def __init__(self, encoder: PatchEncoder) -> None:
        pictures = torch.full((ROWS, 3, 256, 256), self.paper)
        for i in range(ROWS):
            pictures[i, :, 32:160, 16 + 16 * i:144 + 16 * i] = self.square
        self.latents = encoder(pictures)

    def __len__(self) -> int:
        return ROWS

    def rows(self, rows: list[int]) -> Batch:
        n = len(rows)
        return Batch(self.latents[list(rows)], torch.zeros(n, 4, 384), torch.ones(n, 4, dtype=torch.bool), torch.zeros(n, 384))

    def draw(self, rng: np.random.Generator, size: int, text_dropout: float) -> tuple[np.ndarray, Batch]:
        rows = rng.integers(0, ROWS, size)
        return rows, self.rows(list(rows))


class OnWhite(Rows):
    """A dark square on near white, as drawings are."""
    paper, square = 0.9, 0.1
