"""The decoder's second lesson: what it is held to, and that it learns without forgetting exact latents."""
from __future__ import annotations

import numpy as np
import torch

from models.lab.budget import Budget
from models.lab.crisp import Critic, CrispConfig, Estimates, content_loss, draw, train_crisp
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder

TINY = CrispConfig(pairs=4, painted=3, batch_size=8, crop_cells=4, burn_in=1, seed=1)


def encoder_of(channels: int) -> PatchEncoder:
    encoder = PatchEncoder(channels)
    encoder.basis.copy_(torch.linalg.qr(torch.randn(768, channels, generator=torch.Generator().manual_seed(0)))[0].T.reshape(channels, 3, 16, 16))
    return encoder


def known() -> Estimates:
    rng = np.random.default_rng(0)
    return Estimates(torch.randn(7, 8, 16, 16), rng.integers(0, 256, (4, 256, 256, 3)).astype(np.uint8), torch.tensor([0.9, 0.5, 0.3, 0.2]))


def test_exact_latents_come_first_and_those_without_truth_last() -> None:
    encoder = encoder_of(8)
    latents, truth, trust = draw(known(), encoder, TINY, np.random.default_rng(3))
    assert latents.shape == (8, 8, 4, 4) and truth.shape == (8, 3, 64, 64)
    assert trust[0] == 1 and (trust[1:6] > 0).all() and (trust[1:6] < 1).all() and (trust[6:] == 0).all()
    assert torch.allclose(latents[:1], encoder(truth[:1])) and not torch.allclose(latents[1:2], encoder(truth[1:2]))


def test_pairs_are_held_to_pixels_and_others_to_their_colours_only() -> None:
    truth, trust = torch.rand(2, 3, 64, 64), torch.tensor([1.0, 0.0])
    finer = truth.clone()
    finer[1] += 0.2 * (torch.arange(64) % 2 * 2 - 1)          # stripes of a pixel, no change of colour in the large
    assert content_loss(finer, truth, truth, trust) < 1e-6
    finer[0] += 0.2 * (torch.arange(64) % 2 * 2 - 1)
    assert content_loss(finer, truth, truth, trust) > 0.1
    shifted = truth.clone()
    shifted[1] += 0.1
    assert abs(float(content_loss(shifted, truth, truth, trust)) - 0.1) < 1e-5


def test_the_critic_has_an_opinion_for_every_place() -> None:
    assert Critic(8)(torch.rand(2, 3, 64, 64)).shape == (2, 1, 8, 8)


def test_training_changes_the_network_and_never_the_projection() -> None:
    encoder, decoder = encoder_of(8), PatchDecoder(8, (16, 8, 8))
    decoder.projection.load_state_dict(encoder.state_dict())
    before = {k: v.clone() for k, v in decoder.state_dict().items()}

    class Ten(Budget):
        @property
        def spent(self) -> float:
            return self.updates / 10
    trained = train_crisp(decoder, encoder, known(), Ten(1), TINY, lambda text: None).state_dict()
    assert all(torch.equal(trained[k], v) for k, v in before.items() if k.startswith("projection."))
    assert not torch.equal(trained["leave.weight"], before["leave.weight"])
    assert all(torch.isfinite(v).all() for v in trained.values())
