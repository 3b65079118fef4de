"""The image prompt's training at tiny size: views, blanks, and that what it learns comes from the picture."""
from __future__ import annotations

import numpy as np
import torch

from models.lab import image_prompt
from models.lab.budget import Budget
from models.nets.image_prompt import Look, attached, build, config_for, start_from
from models.nets.unet import build_unet
from tests.lab_rows import TINY, Rows

CONFIG = image_prompt.ImagePromptConfig(batch_size=6, lr=5e-3, one_step=1.0, blank=0.1)


def test_views_move_the_picture_and_keep_the_paper_white() -> None:
    rgb = torch.ones(4, 3, 256, 256)
    rgb[:, :, 96:160, 96:160] = 0.2
    seen = image_prompt.views(rgb, 64, CONFIG, np.random.default_rng(0))
    assert seen.shape == (4, 3, 64, 64) and 0 <= seen.min() and seen.max() <= 1
    assert torch.allclose(seen[:, :, 0, 0], torch.ones(4, 3), atol=1e-5) and (seen[:, :, 32, 32] < 0.5).all()
    assert (seen[0] - seen[1]).abs().max() > 0.1, "no two views are alike"


def test_it_learns_from_the_view_and_leaves_the_base_alone(encoder) -> None:
    torch.manual_seed(0)
    net, data = build_unet(TINY), Rows(encoder)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    prompt = start_from(build(config_for(net, side_px=32, widths=(8, 16, 32))), net)
    image_prompt.train_image_prompt(net, prompt, encoder, data, Budget(10.0, max_updates=100), CONFIG, say=lambda text: None)
    told = image_prompt.errors(net, prompt, encoder, data, CONFIG)
    assert told["right"] < told["none"]
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_a_hidden_view_does_not_matter(encoder) -> None:
    torch.manual_seed(0)
    net, batch = build_unet(TINY), Rows(encoder).rows([0, 1])
    prompt = start_from(build(config_for(net, side_px=32, widths=(8, 16, 32))), net)
    times, eps = torch.full((2,), 500.0), torch.randn(2, 32, 16, 16)
    with attached(net, prompt, Look()) as look, torch.no_grad():
        def loss(seen: torch.Tensor, shown: list[bool]) -> torch.Tensor:
            return image_prompt.prompt_loss(net, prompt, look, batch, seen, torch.tensor(shown), times, eps)
        one, other = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
        hidden, shown = (loss(one, [s, s]) - loss(other, [s, s]) for s in (False, True))
        assert hidden.abs().max() == 0 and shown.abs().max() > 0
