"""Trains a LoRA that gives an embedded base another look, in minutes on a CPU: python -m models.lab style look=blueprint

The look is a formula on pictures (models.lab.filters), so the base teaches itself: what it would have painted, filtered, is what
the adapted base must paint. Three kinds of input make that hold everywhere on the way from noise to picture: pure noise (for a
one-step student, the target being its own filtered answer), filtered pictures under noise (so that later steps keep the look)
and plain pictures under noise (so that a plain drawing is turned into the look by image-to-image).
"""
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import checkpoint
from models.devices import mixed_precision
from models.errors import UnknownId
from models.lab.budget import Budget
from models.lab.diffusion import TOP, denoise, estimate, sigmas_at, weights_of
from models.lab.filters import FILTERS, Filter
from models.lab.latents import Batch
from models.lab.muon import Muon
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder
from models.spec import EMBEDDED as ARCH
from models.weights import ASSETS

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2", "conv_out"]


@dataclass(frozen=True)
class LoraSettings:
    """base: student or teacher of assets/embedded. data: the lab's folder. out: where the file goes."""
    look: str = "blueprint"
    base: str = "student"
    data: Path = Path()
    minutes: float = 5.0
    out: Path = ASSETS / "adapters"
    rank: int = 8
    batch_size: int = 16
    lr: float = 6e-3
    warmup_steps: int = 20
    seed: int = 0
    device: str = "cpu"


@dataclass
class Studio:
    """A base with fresh LoRA layers, its autoencoder, and the look it shall learn."""
    net: Any
    encoder: PatchEncoder
    decoder: PatchDecoder
    look: Filter
    distilled: bool
    device: str = "cpu"

    @torch.no_grad()
    def filtered(self, latents: Tensor) -> Tensor:
        """Latents of the same pictures in the look."""
        return self.encoder(self.look.apply(self.decoder(latents).float().clamp(0, 1)))

    @torch.no_grad()
    def plain_answer(self, x: Tensor, cond: tuple) -> Tensor:
        """What the base paints from pure noise without the LoRA."""
        self.net.disable_adapters()
        try:
            return denoise(self.net, x, float(sigmas_at(torch.tensor([float(TOP)]))), cond).float()
        finally:
            self.net.enable_adapters()

    def task(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(x at its noise level, target x0, times) of each row of `batch`."""
        size = len(batch.latents)
        times = (torch.rand(size, generator=rng) * TOP).to(self.device)
        styled = self.filtered(batch.latents)
        from_plain = (torch.rand(size, generator=rng) < 0.4).to(self.device)[:, None, None, None]
        clean, target = torch.where(from_plain, batch.latents, styled), styled
        if self.distilled:
            times[: size // 2] = TOP
        sigma, eps = sigmas_at(times)[:, None, None, None], torch.randn(batch.latents.shape, generator=rng).to(self.device)
        x = clean + sigma * eps
        if self.distilled:
            pure = slice(0, size // 2)
            x[pure] = (sigma * eps)[pure]
            target[pure] = self.filtered(self.plain_answer(x[pure], tuple(t[pure] for t in batch.cond)))
        return x, target, times

    def errors(self, x: Tensor, target: Tensor, times: Tensor, cond: tuple) -> Tensor:
        """Weighted squared error of x0, a row."""
        return weights_of(sigmas_at(times)) * (estimate(self.net, x, times, cond) - target).square().mean((1, 2, 3))


def add_lora(net: Any, rank: int) -> list[Tensor]:
    """Fresh LoRA layers on a frozen network; returns what is to be trained."""
    from peft import LoraConfig
    net.requires_grad_(False)
    net.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS))
    return [p for p in net.parameters() if p.requires_grad]


def train(studio: Studio, batches: Callable[[], Batch], settings: LoraSettings, budget: Budget, say: Callable[[str], None] = print) -> None:
    """Muon on the LoRA's matrices until the budget is spent; the learning rate warms up, then falls to zero."""
    named = [(name, p) for name, p in studio.net.named_parameters() if p.requires_grad]
    trained = [p for _, p in named]
    optimizer = Muon(named, settings.lr, weight_decay=0.0, ends=())
    rng = torch.Generator().manual_seed(settings.seed)
    average = 0.0
    while (spent := budget.spent) < 1:
        batch = batches().to(studio.device)
        with mixed_precision(studio.device):
            x, target, times = studio.task(batch, rng)
            loss = studio.errors(x, target, times, batch.cond).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * min(1.0, (budget.updates + 1) / settings.warmup_steps) * max(1 - spent, 0.02)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        budget.tick()
        average = float(loss.detach()) if budget.updates == 1 else 0.95 * average + 0.05 * float(loss.detach())
        if budget.updates % 50 == 1:
            say(f"{budget.updates} updates, loss {average:.4f}, {budget.minutes_left:.1f} min left")


@torch.no_grad()
def learned_share(studio: Studio, batch: Batch, seed: int = 1) -> float:
    """How much of the way to the look is gone on unseen rows, 0 = none, 1 = all; from the plain base or from the look's average picture,
    whichever is nearer, because a look on coloured paper is half won by painting nothing but the paper."""
    x, target, times = studio.task(batch, torch.Generator().manual_seed(seed))
    with_lora = studio.errors(x, target, times, batch.cond).mean()
    studio.net.disable_adapters()
    without = studio.errors(x, target, times, batch.cond).mean()
    studio.net.enable_adapters()
    average = (weights_of(sigmas_at(times)) * (target.mean(0) - target).square().mean((1, 2, 3))).mean()
    return float(1 - with_lora / torch.minimum(without, average))


def export(studio: Studio, settings: LoraSettings, recipe: dict[str, Any]) -> Path:
    """The LoRA in the diffusers layout, fp16, with its story in the header."""
    from peft import get_peft_model_state_dict
    tensors = {f"unet.{name}": t.half().contiguous().cpu() for name, t in get_peft_model_state_dict(studio.net).items()}
    path = settings.out / f"{settings.look}.safetensors"
    peft = {"unet.r": settings.rank, "unet.lora_alpha": settings.rank, "unet.target_modules": TARGETS, "unet.bias": "none"}
    header = {"modelspec.sai_model_spec": "1.0.1", "modelspec.title": studio.look.title, "modelspec.description": studio.look.says,
              "modelspec.license": "Apache-2.0", "lora_adapter_metadata": json.dumps(peft), "onestroke.arch": json.dumps(asdict(ARCH)),
              "onestroke.recipe": json.dumps(recipe)}
    checkpoint.write(path, tensors, header)
    return path


def sheet(studio: Studio, batch: Batch, captions: list[str], path: Path) -> None:
    """Three lines: the plain base, the formula on it, the LoRA, each in one step from the same noise."""
    from models.lab.evaluate import contact_sheet
    from models.pixels import to_uint8
    sigma = float(sigmas_at(torch.tensor([float(TOP)])))
    noise = sigma * torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(2)).to(studio.device)
    with torch.no_grad():
        plain = studio.plain_answer(noise, batch.cond)
        lines = (plain, studio.filtered(plain), denoise(studio.net, noise, sigma, batch.cond).float())
        pictures = [p for latents in lines for p in to_uint8(studio.decoder(latents).float())]
    contact_sheet(pictures, captions * 3, columns=len(captions)).save(path)


def run(settings: LoraSettings) -> Path:
    """Everything: load, train, measure, look, export."""
    from models.lab.latents import LatentSet
    from models.lab.painter import Painter
    if settings.look not in FILTERS:
        raise UnknownId(f'There is no look "{settings.look}".', f"Known: {', '.join(FILTERS)}.")
    painter = Painter(device=settings.device)
    torch.manual_seed(settings.seed)
    net = painter.net(settings.base)
    add_lora(net, settings.rank)
    studio = Studio(net, painter.encoder, painter.decoder, FILTERS[settings.look], settings.base == "student", settings.device)
    data, unseen = LatentSet(settings.data), LatentSet(settings.data, "test_pair", ("plain",))
    rng, budget = np.random.default_rng(settings.seed), Budget(settings.minutes)
    train(studio, lambda: data.batch(rng, settings.batch_size), settings, budget)
    rows = range(0, len(unseen), max(1, len(unseen) // 64))
    share = learned_share(studio, unseen.rows(rows).to(settings.device))
    sheet(studio, unseen.rows(rows[:8]).to(settings.device), [unseen.texts[unseen.captions[i][0]] for i in rows[:8]],
          settings.data / f"lora-{settings.look}-{settings.base}.png")
    recipe = {"command": f"python -m models.lab style look={settings.look} base={settings.base} --minutes {settings.minutes:g}",
              "base": settings.base, "updates": budget.updates, "learned_share": round(share, 4)}
    path = export(studio, settings, recipe)
    print(f"{budget.updates} updates, {share:.0%} of the way on unseen drawings, {path}")
    return path
