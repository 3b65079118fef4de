"""Teacher and student training at tiny size: losses against closed forms, resuming, and DMD2's identities."""
import copy
import json

import numpy as np
import pytest
import torch

from models.errors import BadInput, UnknownId
from models.lab import diffusion
from models.lab.budget import Budget
from models.lab.diffusion import MAX_WEIGHT, denoising_loss, guided, sigmas_at, weights_of
from models.lab.distil import distil
from models.lab.ema import Ema
from models.lab.latents import Batch, LatentSet, TextTable, save_shards
from models.lab.method import Lesson, find_method, find_methods
from models.lab.methods.dmd2 import Config, matching_gradient
from models.lab.muon import RMS, Muon
from models.lab.recipes import settings_from
from models.lab.train import TrainConfig, Trainer, learning_rate, train, validation_loss
from models.nets.unet import CONFIG, build_unet
from models.text import TextStates

TINY = CONFIG | dict(in_channels=4, out_channels=4, block_out_channels=[8, 16, 16], attention_head_dim=[1, 1, 1], norm_num_groups=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data folder with 12 rows of 4-channel latents and three captions."""
    path = tmp_path_factory.mktemp("lab")
    g = torch.Generator().manual_seed(0)
    save_shards(path, "latents", {"latents": torch.randn(12, 256, 4, generator=g).half()})
    words = [TextStates(torch.randn(t, 384, generator=g), torch.randn(384, generator=g)) for t in (2, 5, 3)]
    TextTable.of(words).save(path)
    meta = {"captions": [[1, 2]] * 12, "kinds": ["plain"] * 12, "keys": [str(i) for i in range(12)],
            "weights": [1.0] * 12, "splits": ["train"] * 8 + ["test_pair"] * 4, "texts": ["", "a fox", "a cat"]}
    (path / "rows.json").write_text(json.dumps(meta))
    return path


class Exact(torch.nn.Module):
    """A network that knows the one true picture: 0.5 everywhere."""

    def forward(self, sample, **inputs):
        return (torch.full_like(sample, 0.5),)


def batch_of(latents: torch.Tensor) -> Batch:
    n = len(latents)
    return Batch(latents, torch.zeros(n, 2, 384), torch.ones(n, 2, dtype=torch.bool), torch.zeros(n, 384))


def test_loss_of_the_exact_network_is_zero_and_of_another_its_weighted_distance():
    times, eps = torch.tensor([1.0, 300.5, 998.0]), torch.randn(3, 4, 16, 16)
    assert float(denoising_loss(Exact(), batch_of(torch.full((3, 4, 16, 16), 0.5)), times, eps).max()) == 0
    loss = denoising_loss(Exact(), batch_of(torch.zeros(3, 4, 16, 16)), times, eps)
    assert torch.allclose(loss, 0.25 * weights_of(sigmas_at(times))) and float(loss[0]) == 0.25 * MAX_WEIGHT


def test_sampling_the_exact_network_gives_its_picture():
    cond = (torch.zeros(2, 2, 384), torch.ones(2, 2, dtype=torch.bool), torch.zeros(2, 384))
    empty = tuple(t[:1] for t in cond)
    painted = diffusion.sample(Exact(), cond, empty, (1, 2), 4, 2.0, channels=4)
    assert torch.allclose(painted, torch.full_like(painted, 0.5), atol=1e-2)


def test_guidance_of_one_is_the_plain_estimate():
    net = build_unet(TINY).eval()
    cond = (torch.randn(1, 2, 384), torch.ones(1, 2, dtype=torch.bool), torch.randn(1, 384))
    empty = tuple(torch.zeros_like(t) for t in cond)
    x = torch.randn(1, 4, 16, 16)
    assert torch.equal(guided(net, x, 2.0, cond, empty, 1), diffusion.denoise(net, x, 2.0, cond))


def test_latent_set_splits_and_drops_text(folder):
    train_set, pairs = LatentSet(folder), LatentSet(folder, "test_pair")
    assert (len(train_set), len(pairs)) == (8, 4)
    none = train_set.batch(np.random.default_rng(0), 6, text_dropout=1.0)
    assert none.mask.sum(1).tolist() == [2] * 6                       # the empty prompt has two tokens here
    assert train_set.batch(np.random.default_rng(0), 6, 0.0).latents.shape == (6, 4, 16, 16)


def test_training_learns_and_resuming_goes_on(folder, tmp_path):
    config = TrainConfig(batch_size=8, lr=2e-3, warmup_steps=5, save_every_s=60)
    data = LatentSet(folder)
    trainer = Trainer(config, tmp_path / "t.pt", net=build_unet(TINY))
    before = validation_loss(trainer.net, data, "cpu")
    train(trainer, data, LatentSet(folder, "test_pair"), Budget(9, 25), say=lambda s: None)
    assert validation_loss(trainer.net, data, "cpu") < before
    again = Trainer(config, tmp_path / "t.pt", net=build_unet(TINY))
    assert again.progress.updates == trainer.progress.updates == 25
    assert all(torch.equal(a, b) for a, b in zip(again.ema.values, trainer.ema.values))


def test_learning_rate_warms_up_and_cools_down():
    config = TrainConfig(lr=1.0, warmup_steps=10, cooldown_share=0.5)
    assert learning_rate(config, 0, 0.0) == 0.1
    assert learning_rate(config, 100, 0.2) == 1.0
    assert learning_rate(config, 100, 0.75) == 0.5


def test_ema_of_a_constant_is_the_constant():
    net = torch.nn.Linear(2, 2)
    average = Ema(net)
    for _ in range(3):
        average.update(net)
    assert torch.allclose(average.values[0], net.weight)


def test_equal_opinions_give_no_gradient_and_gaussians_point_home():
    x = torch.randn(4, 4, 2, 2)
    assert float(matching_gradient(x, x - 1, x - 1).abs().max()) == 0
    sigma, mu_student = 1.5, 0.8                                      # unit-variance Gaussians at mu_student and at 0
    shrink = sigma ** 2 / (1 + sigma ** 2)
    fake, real = x + shrink * (mu_student - x), x + shrink * (0.0 - x)
    assert bool((matching_gradient(x, real, fake) > 0).all())         # descent moves x down, towards 0


def test_dmd2_runs_keeps_its_teacher_and_resumes(folder, tmp_path):
    teacher = build_unet(TINY)
    before = copy.deepcopy(teacher.state_dict())
    config = Config(burn_in=1, ratio=1)
    method, data = find_method("dmd2"), LatentSet(folder)
    weights = distil(method, config, teacher, data, Budget(9, 6), tmp_path / "s.pt", 4, save_every_s=60, say=lambda s: None)
    assert all(torch.equal(before[k], v) for k, v in teacher.state_dict().items())
    assert set(weights) == {name for name, _ in teacher.named_parameters()}
    assert any(not torch.equal(before[k], v) for k, v in weights.items())
    state = method.setup(build_unet(TINY), config, "cpu")
    method.load_state_dict(state, torch.load(tmp_path / "s.pt", weights_only=True))
    assert state.turn == 6


def test_dmd2_student_turn_reaches_every_weight(folder):
    method, data = find_method("dmd2"), LatentSet(folder)
    state = method.setup(build_unet(TINY), Config(burn_in=0, ratio=1), "cpu")
    lesson = Lesson(data.batch(np.random.default_rng(0), 4, 0.0), data.table.batch(np.array([0])), np.random.default_rng(0))
    before = [p.detach().clone() for p in state.student.parameters()]
    losses = method.step(state, lesson)
    assert {"match", "adversarial"} <= set(losses)
    assert all(not torch.equal(a, b) for a, b in zip(before, state.student.parameters()) if a.ndim > 1)


def test_unknown_names_are_refused_with_the_list():
    assert "dmd2" in find_methods()
    with pytest.raises(UnknownId, match="dmd2"):
        find_method("magic")
    with pytest.raises(BadInput, match="batch_size"):
        settings_from(["size=3"], None)
    assert settings_from(["n=7", "device=cpu"], 2.0).n == 7


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_muon_turns_a_gradient_into_an_orthogonal_step_and_leaves_the_ends_to_adamw(layout):
    """One step from zero momentum is the nearest orthogonal matrix, with the root mean square of lr * RMS."""
    torch.manual_seed(0)
    net = torch.nn.ModuleDict({"conv_in": torch.nn.Conv2d(4, 8, 3), "wide": torch.nn.Linear(48, 16), "kernel": torch.nn.Conv2d(8, 16, 3)})
    net.to(memory_format=layout)
    before = {k: p.detach().clone() for k, p in net.named_parameters()}
    for p in net.parameters():
        p.grad = torch.randn_like(p)
    optimizer = Muon(net.named_parameters(), lr=1e-2, weight_decay=0.0)
    optimizer.step()
    for name in ("wide.weight", "kernel.weight"):
        step = (before[name] - net.get_parameter(name).detach()).flatten(1)
        u, s, v = torch.linalg.svd(net.get_parameter(name).grad.flatten(1), full_matrices=False)
        assert torch.nn.functional.cosine_similarity(step.flatten(), (u @ v).flatten(), 0) > 0.9
        assert float(step.square().mean().sqrt()) == pytest.approx(1e-2 * RMS, rel=0.3)
    end = before["conv_in.weight"] - net.get_parameter("conv_in.weight")
    assert torch.allclose(end.abs(), torch.full_like(end, 1e-2), rtol=1e-3), "AdamW's first step is the sign of the gradient"


def test_muon_clears_every_gradient_and_resumes_where_it_stopped():
    def trained(steps: list[int]) -> torch.nn.Module:
        torch.manual_seed(0)
        net, state = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 4)), None
        for count in steps:
            optimizer = Muon(net.named_parameters(), lr=1e-2)
            if state:
                optimizer.load_state_dict(state)
            for i in range(count):
                net(torch.ones(2, 6)).square().sum().backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                assert all(p.grad is None for p in net.parameters())
            state = optimizer.state_dict()
        return net
    assert all(torch.equal(a, b) for a, b in zip(trained([6]).parameters(), trained([2, 4]).parameters()))
