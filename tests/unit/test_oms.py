"""One More Step: exactly one addition before the first step, only from pure noise, and off where there is no flaw."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.adapters import oms
from models.contracts import Plan
from models.devices import Device
from models.errors import Incompatible, MissingWeights
from models.job import AdapterUse, Job, Picture
from models.nets.oms import LatentMean
from models.spec import EMBEDDED, SD1
from tests.tiny_adapters.oms import write_folder, write_own

FP32 = Device("cpu", torch.float32)
WORDS = torch.randn(2, 384, generator=torch.Generator().manual_seed(2))


def base(sigma: float = 14.6, width: int = 384) -> SimpleNamespace:
    spec = SimpleNamespace(id="base", arch=replace(EMBEDDED, context_dim=width), title="A base", default_steps=1)
    return SimpleNamespace(spec=spec, plan=lambda job: Plan((sigma * job.strength,)),
                           inputs=lambda x, s, cond: {"class_labels": cond, "encoder_hidden_states": cond[:, None, :32]})  # fmt: skip


def test_the_first_noise_gets_the_mean_and_keeps_its_noise(tmp_path: Path) -> None:
    b, x = base(), 14.6 * torch.randn(2, 32, 16, 24)
    adapter = oms.load(oms.recognise(str(write_own(tmp_path / "light.safetensors"))), FP32)
    with torch.no_grad(), adapter.attach(b) as hooks:
        mean = adapter.net(WORDS, (16, 24))
        hooks.prepare(Job(), AdapterUse("light"))
        assert torch.equal(hooks.start(x, WORDS), x + mean) and mean.std() > 0.1 and (mean[0] != mean[1]).any()
        adapter.set_strength(0.5)
        assert torch.allclose(hooks.start(x, WORDS), x + 0.5 * mean)
        adapter.set_strength(0.0)
        assert hooks.start(x, WORDS) is x


def test_a_picture_to_start_from_brings_its_own_light(tmp_path: Path) -> None:
    b, x, grey = base(), torch.randn(2, 32, 16, 16), Picture.from_array(np.full((16, 16, 3), 9, np.uint8))
    adapter = oms.load(oms.recognise(str(write_own(tmp_path / "light.safetensors"))), FP32)
    mask = Picture.from_array(np.zeros((16, 16), np.uint8))
    with torch.no_grad(), adapter.attach(b) as hooks:
        for job, use in ((Job(image=grey, strength=0.5), AdapterUse("light")), (Job(image=grey, mask=mask), AdapterUse("light")),
                         (Job(), AdapterUse("light", start=0.5))):  # fmt: skip
            hooks.prepare(job, use)
            assert hooks.start(x, WORDS) is x
        hooks.prepare(Job(image=grey, strength=1.0), AdapterUse("light"))
        assert hooks.start(x, WORDS) is not x, "strength 1 does not look at the picture"


def test_a_network_without_time_answers_minus_x0_of_unit_noise(tmp_path: Path) -> None:
    b, noise = base(width=32), torch.randn(2, 4, 8, 8)
    spec = oms.recognise(str(write_folder(tmp_path / "oms_b", b)))
    assert spec.id == "oms-b" and spec == oms.recognise(str(tmp_path / "oms_b" / "oms_module" / "diffusion_pytorch_model.safetensors"))
    adapter = oms.load(spec, FP32)
    assert not [name for name in adapter.net.state_dict() if "time" in name]
    with torch.no_grad(), adapter.attach(b) as hooks:
        hooks.prepare(Job(), AdapterUse("light"))
        expected = 14.6 * noise - adapter.net(noise, 0, WORDS[:, None, :32]).sample
        assert torch.allclose(hooks.start(14.6 * noise, WORDS), expected, atol=1e-3)
        assert torch.equal(adapter.net(noise, 0, WORDS[:, None, :32]).sample, adapter.net(noise, 999, WORDS[:, None, :32]).sample)


def test_fresh_it_changes_nothing_and_is_small() -> None:
    net = LatentMean()
    assert (net(WORDS) == 0).all() and net(WORDS).shape == (2, 32, 16, 16) and sum(p.numel() for p in net.parameters()) < 1_000_000


def test_bases_without_the_flaw_are_refused(tmp_path: Path) -> None:
    adapter = oms.load(oms.recognise(str(write_own(tmp_path / "light.safetensors"))), FP32)
    with pytest.raises(Incompatible, match='"A base" starts from pure noise .sigma 4096. and gets its light right'), adapter.attach(base(4096.0)):
        pass
    wrong = base()
    wrong.spec.arch = SD1
    with pytest.raises(Incompatible, match="is made for onestroke-embedded"), adapter.attach(wrong):
        pass


def test_folders_are_told_apart_and_their_gaps_named(tmp_path: Path, sd_folder: Path) -> None:
    assert oms.recognise(str(sd_folder / "tiny-sd1")) is None and oms.recognise(str(sd_folder / "tiny-sd1" / "unet")) is None
    assert oms.recognise("nothing") is None and oms.recognise(str(tmp_path)) is None
    folder = write_folder(tmp_path / "x", base(width=32)) / "oms_module"
    spec, config = oms.recognise(str(tmp_path / "x")), folder / "config.json"
    said = json.loads(config.read_text())
    config.unlink()
    with pytest.raises(MissingWeights, match="oms_module lost its config.json"):
        oms.load(spec, FP32)
    config.write_text(json.dumps(said | {"cross_attention_dim": 1280}))
    from safetensors.torch import load_file, save_file

    save_file(load_file(folder / "diffusion_pytorch_model.safetensors"), folder / "diffusion_pytorch_model.safetensors")
    with pytest.raises(Incompatible, match="x reads words 1280 wide"):
        oms.recognise(str(tmp_path / "x"))
