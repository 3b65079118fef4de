"""What every base promises, over every base that can be opened here."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from models.contracts import Base
from models.engine import Engine
from models.job import Extent, Job, Picture
from models.sampling import noise
from tests.bases_here import TINY, shipped_bases

pytestmark = pytest.mark.render
BATCH_TOLERANCE = 0.02                               # of 1, mean over the picture: another batch size adds in another order
EXTENT = Extent(128, 64)


@pytest.fixture(params=[*TINY, *shipped_bases()])
def base(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Base]:
    with engine.registry.lease(request.param) as (base, _), torch.inference_mode():
        yield base


def job_of(base: Base, **fields: object) -> Job:
    return Job(base=base.spec.id, prompt="a red fox", extent=EXTENT, steps=min(2, base.spec.max_steps)).but(**fields)


def latents(base: Base, seeds: tuple[int, ...]) -> torch.Tensor:
    shape = (base.latent_channels, EXTENT.height // base.latent_px, EXTENT.width // base.latent_px)
    return noise(seeds, shape).to(base.device)


def test_encode_and_decode_have_the_promised_shapes_and_ranges(base: Base) -> None:
    rgb = torch.rand(2, 3, EXTENT.height, EXTENT.width, device=base.device)
    z = base.encode(rgb)
    assert z.shape == latents(base, (1, 2)).shape and torch.isfinite(z).all() and z.dtype == torch.float32
    out = base.decode(z)
    assert out.shape[0] == 2 and out.shape[1] in (3, 4) and out.shape[2:] == rgb.shape[2:]
    assert out.dtype == torch.float32 and 0 <= out.min() and out.max() <= 1
    assert torch.equal(base.encode(rgb), z) and torch.equal(base.decode(z), out)


def test_denoise_estimates_x0_from_any_noise_level(base: Base) -> None:
    cond = base.batch_cond([base.encode_prompt("a red fox")] * 2)
    x = latents(base, (1, 2))
    for sigma in (0.03, 1.0, 14.6):
        x0 = base.denoise(x * sigma, sigma, cond, {})
        assert x0.shape == x.shape and torch.isfinite(x0).all() and x0.dtype == torch.float32
        assert torch.equal(base.denoise(x * sigma, sigma, cond, {}), x0)


def test_samples_of_a_batch_do_not_know_each_other(base: Base) -> None:
    one = base.encode_prompt("a red fox")
    x = latents(base, (1, 2, 3, 4)) * 5
    batch = base.decode(base.denoise(x, 5.0, base.batch_cond([one] * 4), {}))
    singles = torch.cat([base.decode(base.denoise(x[i:i + 1], 5.0, base.batch_cond([one]), {})) for i in range(4)])
    assert (batch - singles).abs().mean((1, 2, 3)).max() < BATCH_TOLERANCE


def test_prompts_are_cached_and_long_ones_are_marked(base: Base) -> None:
    words = base.encode_prompt("a red fox")
    assert base.encode_prompt("a red fox") is words and not words.truncated
    assert base.encode_prompt("fox " * 500).truncated and not base.encode_prompt("").truncated


def test_prompts_of_different_length_share_a_batch(base: Base) -> None:
    short, long = base.encode_prompt("fox"), base.encode_prompt("a red fox that sits on a green hill, at night")
    x = latents(base, (1, 1)) * 5
    both = base.denoise(x, 5.0, base.batch_cond([short, long]), {})
    alone = base.denoise(x[:1], 5.0, base.batch_cond([short]), {})
    assert (both[:1] - alone).abs().mean() < BATCH_TOLERANCE
    assert (both[0] - both[1]).abs().mean() > 1e-4


def test_plans_fall_and_start_where_the_strength_says(base: Base) -> None:
    picture = Picture.from_array(np.zeros((64, 128, 3), np.uint8))
    full = base.plan(job_of(base))
    assert len(full.sigmas) == job_of(base).steps and list(full.sigmas) == sorted(full.sigmas, reverse=True) and min(full.sigmas) > 0
    half = base.plan(job_of(base, image=picture, strength=0.5))
    assert 0 < half.sigmas[0] < full.sigmas[0]
    assert base.plan(job_of(base, image=picture, strength=1.0)).sigmas == full.sigmas
    assert base.plan(job_of(base, strength=0.3)).sigmas == full.sigmas, "strength means nothing without a picture"
    assert (full.guidance == 1) or base.spec.negative_prompt
    if base.spec.negative_prompt:
        assert base.plan(job_of(base, guidance=3.5)).guidance == 3.5


def test_bytes_resident_are_the_weights(base: Base) -> None:
    weights = sum(p.numel() * p.element_size() for p in base.network.parameters())
    assert weights <= base.bytes_resident() < 2 * base.spec.bytes


def test_the_engine_paints_with_it(base: Base, engine: Engine) -> None:
    with torch.inference_mode(False):
        job = job_of(base, seeds=(1, 2))
        first = engine.render(job).pixels
        assert first.shape == (2, 64, 128, 3) and first.std() > 3 and (engine.render(job).pixels == first).all()
        assert (first[0] != first[1]).any()
