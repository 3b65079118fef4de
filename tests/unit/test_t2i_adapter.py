"""T2I-Adapters by their content, against diffusers' own network and pipeline, and what is refused."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.adapters import t2i_adapter
from models.compat import mend_torchvision
from models.contracts import Step, merge_extra
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import AdapterUse, Extent, Job, Picture
from models.spec import SD1, SDXL, Arch
from tests import diffusers_side
from tests.tiny_adapters import t2i_adapter as tiny
from tests.tiny_sd import networks

FP32 = Device("cpu", torch.float32)
PICTURE = Picture.from_array(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
KEY = "down_intrablock_additional_residuals"


@pytest.fixture(scope="module")
def sd1() -> SimpleNamespace:
    mend_torchvision()
    return SimpleNamespace(network=networks("sd1")["unet"].eval(), spec=SimpleNamespace(arch=Arch("sd1", 32, 4), title="Tiny"))


def features(path: Path, base: Any, strength: float = 1.0, batch: int = 2) -> list[torch.Tensor]:
    adapter = t2i_adapter.load(t2i_adapter.recognise(str(path)), FP32)
    adapter.set_strength(strength)
    with adapter.attach(base) as hooks, torch.inference_mode():
        hooks.prepare(Job(extent=Extent(64, 64)), AdapterUse("x", strength, PICTURE))
        return hooks.before_denoise(Step(torch.zeros(batch, 4, 8, 8), 1.0, None, {})).get(KEY)


@pytest.mark.parametrize("kind", tiny.CONFIGS)
@pytest.mark.parametrize("name, prefix", [("a-depth", "adapter."), ("a-depth.safetensors", "adapter."), ("a-depth.safetensors", "")])
def test_every_form_and_layout_gives_the_features_of_the_same_net(tmp_path: Path, sd1: SimpleNamespace, kind: str, name: str, prefix: str) -> None:
    path = tiny.write(tmp_path / name, sd1, kind, prefix=prefix if name.endswith("s") else "adapter.")
    spec = t2i_adapter.recognise(str(path))
    assert (spec.id, spec.kind, spec.control, spec.needs_image) == ("a-depth", "control", "depth", True)
    rgb = torch.from_numpy(PICTURE.array.copy()).permute(2, 0, 1)[None] / 255
    seen = rgb if tiny.CONFIGS[kind]["in_channels"] == 3 else (rgb * torch.tensor(t2i_adapter.LUMA)[:, None, None]).sum(1, keepdim=True)
    with torch.inference_mode():
        expected = tiny.random_adapter(kind)(seen)
    got = features(path, sd1, 0.5)
    assert all(torch.allclose(a, 0.5 * b.expand(2, -1, -1, -1), atol=1e-5) for a, b in zip(got, expected, strict=True))


def test_the_picture_is_that_of_diffusers_own_pipeline(tmp_path: Path, sd_folder: Path) -> None:
    """Three steps with guidance through the engine and through StableDiffusionAdapterPipeline, from the same noise."""
    from diffusers import StableDiffusionAdapterPipeline
    from PIL import Image

    from models.engine import open_engine
    engine = open_engine(bases=[str(sd_folder / "tiny-sd1")], device="cpu")
    engine.registry.device = FP32
    job = Job("a fox", "tiny-sd1", negative="blue", seeds=(3,), extent=Extent(64, 64), steps=3, guidance=3.0)
    with engine.registry.lease("tiny-sd1") as (base, _):
        engine.catalog.add("adapter", str(tiny.write(tmp_path / "depth", base, "full_adapter")))
        theirs = diffusers_side.picture(base, job, lambda scheduler: StableDiffusionAdapterPipeline(
            base.vae, base.text_encoder, base.tokenizer, base.network, tiny.random_adapter("full_adapter"), scheduler, None, None,
            requires_safety_checker=False), image=Image.fromarray(PICTURE.array), adapter_conditioning_scale=0.8)
    ours = engine.render(job.but(adapters=(AdapterUse("depth", 0.8, PICTURE),))).pixels[0]
    engine.close()
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_two_add_up_and_the_network_takes_them_from_the_list(tmp_path: Path, sd1: SimpleNamespace) -> None:
    one, two = (features(tiny.write(tmp_path / f"{seed}.safetensors", sd1, "full_adapter", seed), sd1) for seed in (1, 2))
    both = merge_extra({KEY: one}, {KEY: two})
    assert all(torch.equal(total, a + b) for total, a, b in zip(both[KEY], one, two, strict=True))
    inputs = dict(sample=torch.randn(2, 4, 8, 8), timestep=500, encoder_hidden_states=torch.randn(2, 77, 32))
    with torch.inference_mode():
        assert torch.isfinite(sd1.network(**inputs, **both, return_dict=False)[0]).all()
    assert both[KEY] == []


def test_features_are_computed_once_a_picture_and_never_at_strength_zero(tmp_path: Path, sd1: SimpleNamespace) -> None:
    adapter = t2i_adapter.load(t2i_adapter.recognise(str(tiny.write(tmp_path / "a.safetensors", sd1, "full_adapter"))), FP32)
    calls: list[tuple[int, ...]] = []
    adapter.net.register_forward_pre_hook(lambda module, given: calls.append(tuple(given[0].shape)))
    with adapter.attach(sd1) as hooks, torch.inference_mode():
        for strength in (0.0, 1.0, 0.5):
            adapter.set_strength(strength)
            hooks.prepare(Job(extent=Extent(64, 72)), AdapterUse("x", strength, PICTURE))
            for _ in range(3):
                assert bool(hooks.before_denoise(Step(torch.zeros(1, 4, 9, 8), 1.0, None, {}))) is (strength > 0)
    assert calls == [(1, 3, 72, 64)]


# --- what is refused ---------------------------------------------------------------------------------------------------

def test_the_base_is_seen_from_the_form(tmp_path: Path, sd1: SimpleNamespace) -> None:
    for kind, arch in (("full_adapter", SD1), ("light_adapter", SD1), ("full_adapter_xl", SDXL)):
        path = tiny.write(tmp_path / f"{kind}.safetensors", sd1, kind)
        save_file(load_file(path), path)
        assert t2i_adapter.recognise(str(path)).arch == arch


def test_broken_files_and_other_widths(tmp_path: Path, sd1: SimpleNamespace) -> None:
    path = tiny.write(tmp_path / "a.safetensors", sd1, "full_adapter")
    adapter, state = t2i_adapter.load(t2i_adapter.recognise(str(path)), FP32), load_file(path)
    with pytest.raises(Incompatible, match='"a" is made for sd1'), adapter.attach(SimpleNamespace(spec=SimpleNamespace(arch=SDXL, title="Big"))):
        pass
    wide = SimpleNamespace(spec=sd1.spec, network=SimpleNamespace(config=SimpleNamespace(block_out_channels=[64, 64, 64, 64])))
    with pytest.raises(Incompatible, match="gives .* channels"), adapter.attach(wide):
        pass
    save_file({k: v for k, v in state.items() if "body.2.resnets.0.block2" not in k}, path)
    with pytest.raises(MissingWeights, match="incomplete T2I-Adapter: adapter.body.2"):
        t2i_adapter.recognise(str(path))
    save_file({k: v for k, v in state.items() if k != "adapter.body.3.resnets.1.block1.bias"}, path)
    with pytest.raises(MissingWeights, match="lacks 1 tensors"):
        t2i_adapter.load(t2i_adapter.recognise(str(path)), FP32)
    save_file(state | {"adapter.conv_in.weight": torch.zeros(32, 7, 3, 3)}, path)
    with pytest.raises(BadInput, match="7 folded channels"):
        t2i_adapter.recognise(str(path))


def test_foreign_files_are_left_to_others(tmp_path: Path, sd_folder: Path) -> None:
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    for source in (tmp_path / "x.safetensors", tmp_path, sd_folder / "tiny-sd1-file.safetensors", "nobody/nothing"):
        assert t2i_adapter.recognise(str(source)) is None
