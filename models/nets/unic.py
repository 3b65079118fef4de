"""UNIC-Adapter (Duan et al. 2025, arXiv 2412.18928) for a UNet: one place for any picture, and a sentence that says what it is for.

The frozen UNet itself is the branch: it sees the clean picture at time 0 with the sentence as its words and low-rank additions on all
attention, and the keys and values of its self-attention are kept. In the main run every self-attention layer reads them with queries of
its own: o += s W A(rot(W_q' h + c), rot(k + c'), v) with W = 0 and W_q' = W_q at the start (section 3.3, whose feed-forward parts are
shared as here). Keys and values depend on picture and sentence only, so they are found once; values are never turned.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from models.nets.attention import Across, Grid, LowRank, attend, beside, grid_of, hooked, key_of, self_attention, split

KIND = "onestroke.unic"
BRANCH = ("to_q", "to_k", "to_v", "to_out.0")
Kept = dict[str, tuple[Tensor, Tensor]]              # {layer: (turned keys, values)}, each [B or 1, heads, L, d]


@dataclass
class Memory:
    """What the hooks of one UNet hold. `recording`: what the branch sees is kept, in `kept`. `amount`: how much of it the main run reads;
    0 or nothing kept = the UNet as it is. `latent`: rows and columns of the picture that is running."""
    latent: Grid = (0, 0)
    recording: bool = False
    amount: float = 0.0
    kept: Kept = field(default_factory=dict)

    def rows(self) -> slice | None:
        """The items that have the branch's additions: all of them, in the branch."""
        return slice(0, None) if self.recording else None

    @contextmanager
    def records(self, latent: Grid) -> Iterator[Kept]:
        """What the UNet sees in this block is kept."""
        self.kept, self.recording, self.latent = {}, True, latent
        try:
            yield self.kept
        finally:
            self.recording = False


class ReadLayer(nn.Module):
    """How one layer of the main run reads what was kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.across, self.last = nn.Linear(width, width, bias=False), Across(width), nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.last.weight)

    def seen(self, attn: Any, hidden: Tensor, latent: Grid) -> tuple[Tensor, Tensor]:
        """(keys, values) of the branch."""
        key = self.across.keys(attn.to_k(hidden), attn.heads, grid_of(hidden.shape[1], latent))
        return key, split(attn.to_v(hidden), attn.heads)

    def forward(self, attn: Any, hidden: Tensor, kept: tuple[Tensor, Tensor], latent: Grid) -> Tensor:
        """[B, L, C] -> what is added to it."""
        query = self.across.queries(self.query(hidden), attn.heads, grid_of(hidden.shape[1], latent))
        return self.last(attend(query, *kept))


class Unic(nn.Module):
    """All that is added to a UNet. `config` as `config_for` returns it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({key: ReadLayer(width) for key, width in config["layers"].items()})
        self.branch = nn.ModuleDict({key: LowRank(*shape[:2], config["rank"], *shape[2:]) for key, shape in config["branch"].items()})


def config_for(unet: Any, rank: int = 16) -> dict[str, Any]:
    """The config for a UNet; `rank` of the branch's additions. What comes after the last keys and values is never seen and has none."""
    layers = self_attention(unet)
    last = [key for key in layers if key.startswith("up_blocks")][-1]
    branch = {key_of(name): LowRank.shape_for(module) for name, module in unet.named_modules()
              if name.endswith(BRANCH) and isinstance(module, nn.Linear)}
    blind = last.removesuffix("attn1")
    seen = {key: shape for key, shape in branch.items() if not key.startswith(blind) or key in (f"{last}-to_k", f"{last}-to_v")}
    return {"rank": rank, "branch": seen, "layers": {key: attn.to_q.in_features for key, attn in layers.items()}}


def start_from(unic: Unic, unet: Any) -> Unic:
    """The new queries begin as the layer's own; returns `unic`."""
    for key, attn in self_attention(unet).items():
        unic.layers[key].query.load_state_dict({"weight": attn.to_q.weight})
    return unic


@contextmanager
def attached(unet: Any, unic: Unic, memory: Memory) -> Iterator[Memory]:
    """Calls of the UNet follow `memory`; leaving restores it exactly."""
    def hook_of(key: str, layer: ReadLayer) -> Any:
        def hook(attn: Any, hidden: Tensor) -> Tensor | None:
            if memory.recording:
                memory.kept[key] = layer.seen(attn, hidden, memory.latent)
                return None
            return memory.amount * layer(attn, hidden, memory.kept[key], memory.latent) if memory.amount and memory.kept else None
        return hook
    modules = {key_of(name): module for name, module in unet.named_modules()}
    with (beside({key: (modules[key], low) for key, low in unic.branch.items()}, memory.rows),
          hooked({key: hook_of(key, layer) for key, layer in unic.layers.items()}, self_attention(unet))):
        yield memory
