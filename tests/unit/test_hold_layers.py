"""Multi-layer noise blending against its formula, with latents that are area means so that every number can be checked."""
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.adapters import hold_layers
from models.adapters.hold_layers import LEAST_AGREEMENT
from models.devices import Device
from models.errors import BadInput
from models.job import AdapterUse, Extent, Job, Picture
from models.spec import EMBEDDED

BASE = SimpleNamespace(spec=SimpleNamespace(arch=EMBEDDED, title="A base"), device="cpu", dtype=torch.float32, latent_px=8, latent_channels=3,
                       encode=lambda rgb: torch.nn.functional.avg_pool2d(rgb, 8))
SIDE = Extent(16, 16)


def layer(colour: int, left: bool) -> Picture:
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[..., :3] = colour
    rgba[:, slice(0, 8) if left else slice(8, 16), 3] = 255
    return Picture.from_array(rgba)


PLACE = Picture.from_array(np.full((16, 16, 3), 102, np.uint8))
USE = AdapterUse("hold-layers", 1.0, PLACE, (layer(255, True), layer(0, False)), stop=0.5)
JOB = Job(seeds=(1, 1, 1), extent=SIDE)


@pytest.fixture
def hooks():
    adapter = hold_layers.load(hold_layers.SPECS[0], Device("cpu", torch.float32))
    with adapter.attach(BASE) as found:
        yield adapter, found


def test_each_scene_takes_its_newest_layer_and_agrees_with_the_one_below(hooks) -> None:
    _, hook = hooks
    hook.prepare(JOB, USE)
    x0 = torch.stack([torch.full((3, 2, 2), v) for v in (0.1, 0.6, 0.9)])
    out = hook.after_denoise(x0, 0.0)                # time 1: all is held, and what is under a layer is the scene below
    assert torch.allclose(out[0], x0[0])
    assert torch.allclose(out[1][:, :, 0], torch.ones(3, 2)) and torch.allclose(out[1][:, :, 1], torch.full((3, 2), 0.1))
    assert torch.allclose(out[2][:, :, 0], torch.ones(3, 2)) and torch.allclose(out[2][:, :, 1], torch.zeros(3, 2))
    late = hook.after_denoise(x0, 0.75)              # time 1/4, free below 1/2: held by half
    agreement = LEAST_AGREEMENT + (1 - LEAST_AGREEMENT) * 0.25
    under = agreement * 0.1 + (1 - agreement) * 0.6
    assert torch.allclose(late[1][:, :, 1], torch.full((3, 2), under), atol=1e-6)
    assert torch.allclose(late[1][:, :, 0], torch.full((3, 2), 0.5 + 0.5 * under), atol=1e-6)


def test_partial_scenes_start_from_themselves(hooks) -> None:
    _, hook = hooks
    whole = hold_layers.partial_scenes(USE, JOB)[0][-1]
    hook.prepare(JOB.but(image=Picture.from_array(whole), strength=0.5), USE)
    noise = torch.randn(3, 3, 2, 2)
    given = BASE.encode(torch.from_numpy(whole.copy()).permute(2, 0, 1)[None] / 255)
    start = hook.start(given + noise, None)
    assert torch.allclose(start[0] - noise[0], torch.full((3, 2, 2), 0.4), atol=1e-5)
    assert torch.allclose(start[1][:, :, 1] - noise[1][:, :, 1], torch.full((3, 2), 0.4), atol=1e-5)
    assert torch.allclose(start[2] - noise[2], given[0], atol=1e-5)


def test_one_seed_holds_the_whole_scene_and_no_strength_holds_nothing(hooks) -> None:
    adapter, hook = hooks
    hook.prepare(JOB.but(seeds=(1,)), USE)
    x0 = torch.full((1, 3, 2, 2), 0.3)
    assert torch.allclose(hook.after_denoise(x0, 0.0)[0, 0], torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    hook.prepare(JOB.but(seeds=(1,)), AdapterUse("hold-layers", 1.0, PLACE))
    assert torch.allclose(hook.after_denoise(x0, 0.0), torch.full((1, 3, 2, 2), 0.4)), "a background alone is held itself"
    adapter.set_strength(0.0)
    hook.prepare(JOB, USE)
    assert torch.equal(hook.after_denoise(x0, 0.0), x0) and torch.equal(hook.start(x0, None), x0)


def test_the_number_of_scenes_follows_from_the_layers(hooks) -> None:
    with pytest.raises(BadInput, match="2 layers make 3 partial scenes, not 2"):
        hooks[1].prepare(JOB.but(seeds=(1, 1)), USE)
