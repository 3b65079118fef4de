"""Distribution matching distillation with an adversarial head: DMD2 (Yin et al. 2024, "Improved Distribution Matching
Distillation for Fast Image Synthesis"; the gradient is eq. 7 of DMD, Yin et al. 2023).

Three networks: the frozen teacher T, the student G, and the fake F that is trained online to denoise what G paints. The
student moves along D_F - D_T, the difference of the two denoisers' opinions on its noised output: where F, which knows the
student, and T, which knows the data, agree, there is nothing to learn. A small head on F's bottleneck tells real from painted.

Ours: part of every batch starts from a noised real picture at a random level instead of pure noise, which teaches the student
the later steps of a few-step walk and image-to-image at once.
"""
from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.devices import mixed_precision
from models.lab.diffusion import estimate, guided, sigmas_at, weights_of
from models.lab.ema import Ema
from models.lab.latents import Batch
from models.lab.method import Lesson
from models.lab.muon import Muon
from models.lab.parallel import average_gradients
from models.sampling import TRAIN_STEPS


@dataclass(frozen=True)
class Config:
    guidance: float = 1.75                           # of the teacher (classifier-free)
    ratio: int = 2                                   # fake turns a student turn
    burn_in: int = 30                                # fake turns before the first student turn
    lr_student: float = 2e-4
    lr_fake: float = 5e-4
    momentum: float = 0.8                            # of Muon; two networks that chase each other bear less than one alone
    gan_weight: float = 0.02
    real_start_share: float = 0.4                    # of the batch that starts from a noised real picture
    anchor_weight: float = 0.25                      # how strongly those stay near that picture
    ema_decay: float = 0.99
    clip: float = 1.0


class Critic(nn.Module):
    """Bottleneck features [B, C, 4, 4] -> one logit a picture (DMD2 section 4.3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels // 2, 3, 1, 1), nn.GroupNorm(8, channels // 2), nn.SiLU(),
                                  nn.Conv2d(channels // 2, channels // 2, 4), nn.SiLU(), nn.Flatten(), nn.Linear(channels // 2, 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.body(features)[:, 0]


@dataclass
class State:
    config: Config
    teacher: Any
    student: Any
    fake: Any
    critic: Critic
    average: Ema
    student_optimizer: torch.optim.Optimizer
    fake_optimizer: torch.optim.Optimizer
    turn: int = 0


def bottleneck(net: Any, x: Tensor, times: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """(x0 estimate, features after the middle block)."""
    kept: list[Tensor] = []
    handle = net.mid_block.register_forward_hook(lambda module, args, out: kept.append(out))
    try:
        return estimate(net, x, times, batch.cond), kept[0]
    finally:
        handle.remove()


def matching_gradient(x: Tensor, real: Tensor, fake: Tensor) -> Tensor:
    """(D_F - D_T) / mean|x - D_T| per sample (DMD eq. 7 and 8); no gradient flows through it."""
    scale = (x - real).abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-3)
    return torch.nan_to_num((fake - real) / scale).detach()


class Dmd2:
    name, paper, Config = "dmd2", "arXiv:2405.14867", Config

    def setup(self, teacher: Any, config: Config, device: str) -> State:
        teacher = teacher.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        student, fake = (copy.deepcopy(teacher).requires_grad_(True).train() for _ in range(2))
        critic = Critic(teacher.config.block_out_channels[-1]).to(device)
        against = [*fake.named_parameters(), *((f"critic.{name}", p) for name, p in critic.named_parameters())]
        muon = lambda named, lr: Muon(named, lr, weight_decay=0.0, momentum=config.momentum, ends=("conv_in", "conv_out", "critic."))
        return State(config, teacher, student, fake, critic, Ema(student, config.ema_decay), muon(student.named_parameters(), config.lr_student),
                     muon(against, config.lr_fake))

    def step(self, state: State, lesson: Lesson) -> dict[str, float]:
        config, batch = state.config, lesson.batch
        paints = state.turn >= config.burn_in and state.turn % (config.ratio + 1) == 0
        state.turn += 1
        with mixed_precision(batch.latents.device.type):
            if paints:
                return self._student_turn(state, lesson)
            with torch.no_grad():
                painted, _ = self._paint(state, batch)
            return self._fake_turn(state, batch, painted)

    @staticmethod
    def _paint(state: State, batch: Batch) -> tuple[Tensor, Tensor]:
        """Student pictures, and which of them [B, 1, 1, 1] started from a noised real one."""
        size, device = len(batch.latents), batch.latents.device
        from_real = torch.rand(size, device=device) < state.config.real_start_share
        times = torch.where(from_real, 80 + 840 * torch.rand(size, device=device), torch.full((size,), float(TRAIN_STEPS - 1), device=device))
        shown = from_real[:, None, None, None].float()
        x = batch.latents * shown + sigmas_at(times)[:, None, None, None] * torch.randn_like(batch.latents)
        return estimate(state.student, x, times, batch.cond), shown

    def _student_turn(self, state: State, lesson: Lesson) -> dict[str, float]:
        config, batch = state.config, lesson.batch
        painted, shown = self._paint(state, batch)
        times = torch.full((len(painted),), float(lesson.rng.uniform(0.05, 0.98)) * TRAIN_STEPS, device=painted.device)
        sigma = float(sigmas_at(times)[0])
        noisy = painted + sigma * torch.randn_like(painted)
        with torch.no_grad():
            real = guided(state.teacher, noisy, sigma, batch.cond, lesson.empty, config.guidance)
        state.fake.requires_grad_(False)
        fake, features = bottleneck(state.fake, noisy, times, batch)
        gradient = matching_gradient(painted, real, fake)
        match = 0.5 * F.mse_loss(painted, (painted - gradient).detach())
        adversarial = F.softplus(-state.critic(features).float()).mean()
        anchor = (shown * (painted - batch.latents).square()).mean()
        (match + config.gan_weight * adversarial + config.anchor_weight * anchor).backward()
        state.fake.requires_grad_(True)
        state.fake_optimizer.zero_grad(set_to_none=True)              # the critic's share of this backward
        self._descend(state.student_optimizer, state.student.parameters(), config.clip)
        state.average.update(state.student)
        return {"match": float(match.detach()), "adversarial": float(adversarial.detach()), "anchor": float(anchor.detach())}

    def _fake_turn(self, state: State, batch: Batch, painted: Tensor) -> dict[str, float]:
        size, device = len(painted), painted.device
        times = torch.rand(size, device=device) * (TRAIN_STEPS - 1)
        sigma = sigmas_at(times)[:, None, None, None]
        guess, seen = bottleneck(state.fake, painted + sigma * torch.randn_like(painted), times, batch)
        denoising = (weights_of(sigma) * (guess - painted).square()).mean()
        _, truth = bottleneck(state.fake, batch.latents + sigma * torch.randn_like(painted), times, batch)
        told = state.critic(torch.cat([seen, truth])).float()
        critic = F.softplus(told[:size]).mean() + F.softplus(-told[size:]).mean()
        (denoising + state.config.gan_weight * critic).backward()
        self._descend(state.fake_optimizer, [*state.fake.parameters(), *state.critic.parameters()], state.config.clip)
        right = float(((told[:size] < 0).float().mean() + (told[size:] > 0).float().mean()) / 2)
        return {"fake": float(denoising.detach()), "critic_right": right}

    @staticmethod
    def _descend(optimizer: torch.optim.Optimizer, parameters: Any, clip: float) -> None:
        parameters = list(parameters)
        average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def student(self, state: State) -> dict[str, Tensor]:
        return state.average.state_dict(state.student)

    def state_dict(self, state: State) -> dict[str, Any]:
        parts = ("student", "fake", "critic", "student_optimizer", "fake_optimizer")
        return {p: getattr(state, p).state_dict() for p in parts} | {"average": state.average.values, "turn": state.turn,
                                                                     "average_updates": state.average.updates}

    def load_state_dict(self, state: State, saved: dict[str, Any]) -> None:
        for part in ("student", "fake", "critic", "student_optimizer", "fake_optimizer"):
            getattr(state, part).load_state_dict(saved[part])
        state.average.values, state.average.updates, state.turn = saved["average"], saved["average_updates"], saved["turn"]


METHOD = Dmd2()
