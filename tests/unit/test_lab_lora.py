"""The lab's LoRA training on a tiny network, and that the file it writes is the adapter that was trained."""
from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from models.adapters import lora as adapter
from models.devices import Device
from models.lab import lora
from models.lab.budget import Budget
from models.lab.filters import FILTERS
from models.lab.latents import Batch
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder
from models.nets.unet import build_unet, predict
from models.spec import EMBEDDED
from models.weights import header
from tests.tiny_embedded import TINY


def batch(seed: int, size: int = 8) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.interpolate(torch.randn(size, 32, 4, 4, generator=rng), size=(16, 16), mode="bilinear")
    return Batch(smooth, torch.randn(size, 5, 384, generator=rng), torch.ones(size, 5, dtype=torch.bool), torch.randn(size, 384, generator=rng))


@pytest.fixture
def studio() -> lora.Studio:
    torch.manual_seed(0)
    net, encoder = build_unet(TINY).eval(), PatchEncoder()
    encoder.basis.copy_(torch.linalg.qr(torch.randn(768, 32))[0].T.reshape(32, 3, 16, 16))
    encoder.scale.fill_(3.0)
    decoder = PatchDecoder(32, (16, 16, 16)).eval().requires_grad_(False)
    decoder.projection.load_state_dict(encoder.state_dict())
    lora.add_lora(net, 4)
    return lora.Studio(net, encoder, decoder, FILTERS["ink"], distilled=True)


@pytest.mark.parametrize("name", FILTERS)
def test_filters_keep_shape_and_range_and_are_repeatable(name: str) -> None:
    pictures = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    out = FILTERS[name].apply(pictures)
    assert out.shape == pictures.shape and 0 <= out.min() and out.max() <= 1 and torch.equal(FILTERS[name].apply(pictures), out)
    assert (out - pictures).abs().mean() > 0.05
    alone = FILTERS[name].apply(pictures[:1])
    assert torch.equal(alone, out[:1])


def test_fresh_layers_change_nothing_and_only_they_are_trained(studio: lora.Studio) -> None:
    data = batch(1)
    args = (data.latents, torch.full((8,), 500.0), data.cond)
    with torch.no_grad():
        with_layers = predict(studio.net, *args)
        studio.net.disable_adapters()
        assert torch.allclose(predict(studio.net, *args), with_layers, atol=1e-6)
        studio.net.enable_adapters()
    assert {name.split(".")[-3] for name, p in studio.net.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}


def test_a_tasks_rows_have_the_levels_and_targets_they_should(studio: lora.Studio) -> None:
    data = batch(2)
    x, target, times = studio.task(data, torch.Generator().manual_seed(0))
    assert (times[:4] == lora.TOP).all() and (times[4:] < lora.TOP).all()
    assert torch.allclose(target[4:], studio.filtered(data.latents)[4:])
    answer = studio.plain_answer(x[:4], tuple(t[:4] for t in data.cond))
    assert torch.allclose(target[:4], studio.filtered(answer), atol=1e-5)


@pytest.mark.parametrize("distilled", [True, False])
def test_training_goes_towards_the_look_and_leaves_the_base_alone(studio: lora.Studio, distilled: bool) -> None:
    studio.distilled = distilled
    frozen = {k: v.clone() for k, v in studio.net.state_dict().items() if "lora_" not in k}
    settings, numbers = lora.LoraSettings(rank=4, batch_size=8, lr=6e-3, warmup_steps=3), iter(range(10_000))
    told: list[str] = []
    before = lora.learned_share(studio, batch(99_999, 16))
    lora.train(studio, lambda: batch(next(numbers)), settings, Budget(60.0, max_updates=25), told.append)
    after = lora.learned_share(studio, batch(99_999, 16))
    assert (1 - after) < 0.9 * (1 - before) and told, "at least a tenth of the error is gone"
    assert all(torch.equal(studio.net.state_dict()[k], v) for k, v in frozen.items())


def test_the_exported_file_is_the_adapter_that_was_trained(studio: lora.Studio, tmp_path: Path) -> None:
    """The studio's own layers answer as peft's do."""
    for p in studio.net.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.1, generator=torch.Generator().manual_seed(p.numel()))
    path = lora.export(studio, lora.LoraSettings(look="ink", rank=4, out=tmp_path), {"updates": 1})
    spec = adapter.recognise(str(path))
    assert (spec.id, spec.title, spec.arch, spec.licence) == ("ink", "Ink and wash", EMBEDDED, "Apache-2.0") and spec.knows
    assert json.loads(header(path)["__metadata__"]["onestroke.recipe"]) == {"updates": 1}
    plain = copy.deepcopy(studio.net)
    plain.delete_adapters("default")
    plain.unload_lora()
    base = SimpleNamespace(network=plain, spec=SimpleNamespace(arch=EMBEDDED, title="tiny"))
    data = batch(3)
    args = (data.latents, torch.full((8,), 500.0), data.cond)
    with torch.no_grad(), adapter.load(spec, Device("cpu", torch.float32)).attach(base):
        ours, theirs = predict(plain, *args), predict(studio.net, *args)
    assert torch.allclose(ours, theirs, atol=2e-3, rtol=1e-2) and ours.isfinite().all()
    with torch.no_grad():
        assert (predict(plain, *args) - theirs).abs().mean() > 0.02


def test_diffusers_itself_loads_the_exported_file(studio: lora.Studio, tmp_path: Path) -> None:
    """Other programs read it by their ordinary call."""
    for p in studio.net.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.1, generator=torch.Generator().manual_seed(p.numel()))
    path = lora.export(studio, lora.LoraSettings(look="ink", rank=4, out=tmp_path), {})
    plain = copy.deepcopy(studio.net)
    plain.delete_adapters("default")
    plain.unload_lora()
    plain.load_lora_adapter(str(tmp_path), weight_name=path.name, prefix="unet", adapter_name="ink")
    data = batch(3)
    args = (data.latents, torch.full((8,), 500.0), data.cond)
    with torch.no_grad():
        assert torch.allclose(predict(plain, *args), predict(studio.net, *args), atol=2e-3, rtol=1e-2)
