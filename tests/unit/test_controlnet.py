"""ControlNets by their content, against diffusers' own loader and pipeline, and what is refused."""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.adapters import controlnet
from models.adapters._control_layout import config_of, renamed
from models.compat import mend_torchvision
from models.contracts import Step, merge_extra
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import AdapterUse, Extent, Job, Picture
from models.nets.control import build_control, hint, residuals, start_from
from models.nets.unet import CONFIG, build_unet, inputs_of, predict
from models.spec import SDXL, Arch
from tests import diffusers_side
from tests.tiny_adapters import controlnet as tiny
from tests.tiny_embedded import TINY
from tests.tiny_sd import networks

FP32 = Device("cpu", torch.float32)
PICTURE = Picture.from_array(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def sd1() -> SimpleNamespace:
    mend_torchvision()
    nets = networks("sd1")
    return SimpleNamespace(network=nets["unet"].eval(), nets=nets, spec=SimpleNamespace(arch=Arch("sd1", 32, 4), title="Tiny"))


def random_inputs(batch: int = 2, context: int = 32, channels: int = 4) -> dict[str, Any]:
    g = torch.Generator().manual_seed(3)
    return dict(sample=torch.randn(batch, channels, 8, 8, generator=g), timestep=torch.tensor(500),
                encoder_hidden_states=torch.randn(batch, 77, context, generator=g))


def prepared(path: Path, base: Any, strength: float = 1.0) -> tuple[Any, Any, dict[str, Any]]:
    """(adapter, hooks, what it adds to one step) after it looked at PICTURE."""
    adapter = controlnet.load(controlnet.recognise(str(path)), FP32)
    adapter.set_strength(strength)
    with adapter.attach(base) as hooks, torch.inference_mode():
        hooks.prepare(Job(extent=Extent(64, 64)), AdapterUse("x", strength, PICTURE))
        inputs = random_inputs()
        return adapter, hooks, hooks.before_denoise(Step(inputs["sample"], 1.0, None, inputs))


WRITERS: dict[str, Callable] = {
    "folder": lambda p, b: tiny.write_folder(p / "a-canny", b), "fp16 folder": lambda p, b: tiny.write_folder(p / "a-canny", b, variant="fp16"),
    "diffusers file": lambda p, b: tiny.write_file(p / "a-canny.safetensors", b),
    "original file": lambda p, b: tiny.write_file(p / "a-canny.safetensors", b, original=True)}


@pytest.mark.parametrize("layout", WRITERS)
def test_every_layout_gives_the_residuals_of_the_same_net(tmp_path: Path, sd1: SimpleNamespace, layout: str) -> None:
    path = WRITERS[layout](tmp_path, sd1)
    spec = controlnet.recognise(str(path))
    assert (spec.id, spec.kind, spec.control, spec.needs_image, spec.arch) == ("a-canny", "control", "canny", True, Arch("sd1", 32, 4))
    _, _, added = prepared(path, sd1, 0.7)
    picture = torch.from_numpy(PICTURE.array.copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        down, mid = tiny.random_control(sd1)(**random_inputs(), controlnet_cond=picture, conditioning_scale=0.7, return_dict=False)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(added["down_block_additional_residuals"], down, strict=True))
    assert torch.allclose(added["mid_block_additional_residual"], mid, atol=1e-5) and mid.abs().mean() > 0.01


def test_the_original_names_are_those_diffusers_reads(tmp_path: Path, sd1: SimpleNamespace) -> None:
    from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
    state = load_file(tiny.write_file(tmp_path / "a.safetensors", sd1, original=True))
    names = renamed(list(state))
    theirs = convert_controlnet_checkpoint(dict(state), {"layers_per_block": 2})
    assert all(torch.equal(state[names[name]], tensor) for name, tensor in theirs.items()) and theirs.keys() == names.keys()


def test_the_picture_is_that_of_diffusers_own_pipeline(tmp_path: Path, sd_folder: Path) -> None:
    """Three steps with guidance through the engine and through StableDiffusionControlNetPipeline, from the same noise."""
    from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
    from PIL import Image

    from models.engine import open_engine
    engine = open_engine(bases=[str(sd_folder / "tiny-sd1")], device="cpu")
    engine.registry.device = FP32
    job = Job("a fox", "tiny-sd1", negative="blue", seeds=(3,), extent=Extent(64, 64), steps=3, guidance=3.0)
    with engine.registry.lease("tiny-sd1") as (base, _):
        path = tiny.write_folder(tmp_path / "canny", base)
        engine.catalog.add("adapter", str(path))
        theirs = diffusers_side.picture(base, job, lambda scheduler: StableDiffusionControlNetPipeline(
            base.vae, base.text_encoder, base.tokenizer, base.network, ControlNetModel.from_pretrained(path), scheduler, None, None,
            requires_safety_checker=False), image=Image.fromarray(PICTURE.array), controlnet_conditioning_scale=0.8)
    ours = engine.render(job.but(adapters=(AdapterUse("canny", 0.8, PICTURE),))).pixels[0]
    engine.close()
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_two_controls_add_up(tmp_path: Path, sd1: SimpleNamespace) -> None:
    one = prepared(tiny.write_folder(tmp_path / "canny", sd1, 1), sd1, 0.5)[2]
    two = prepared(tiny.write_folder(tmp_path / "depth", sd1, 2), sd1, 0.25)[2]
    both = merge_extra(one, two)
    for key in ("down_block_additional_residuals", "mid_block_additional_residual"):
        parts = zip(*([v] if torch.is_tensor(v) else v for v in (both[key], one[key], two[key])), strict=True)
        assert all(torch.equal(total, a + b) for total, a, b in parts)
    with torch.inference_mode():
        assert torch.isfinite(sd1.network(**merge_extra(random_inputs(), both), return_dict=False)[0]).all()


def test_strength_zero_computes_nothing_and_a_picture_is_fitted_once(tmp_path: Path, sd1: SimpleNamespace) -> None:
    adapter, hooks, added = prepared(tiny.write_folder(tmp_path / "canny", sd1), sd1, 0.0)
    assert added == {}
    job = Job(extent=Extent(64, 96))
    for _ in range(2):
        hooks.prepare(job, AdapterUse("x", 1.0, PICTURE))
    assert len(adapter._pictures) == 1 and adapter._cond.shape == (1, 3, 96, 64)
    for i in range(6):
        hooks.prepare(job, AdapterUse("x", 1.0, Picture.from_array(np.full((8, 8, 1), i, np.uint8))))
    assert len(adapter._pictures) == controlnet.PICTURES_KEPT and 0 <= float(adapter._cond.min()) <= float(adapter._cond.max()) <= 1


# --- the small net of the embedded base --------------------------------------------------------------------------------

def test_the_small_net_starts_as_the_identity_and_learns_everywhere() -> None:
    torch.manual_seed(0)
    unet = build_unet(TINY)
    net = start_from(build_control(TINY, (8, 16, 32)), unet)
    assert torch.equal(net.conv_in.weight, unet.conv_in.weight) and torch.equal(net.mid_block.resnets[0].conv1.weight, unet.mid_block.resnets[0].conv1.weight)
    words = torch.randn(2, 5, 384), None, torch.randn(2, 384)
    x, time = torch.randn(2, 32, 4, 4), torch.tensor([900.0])
    cond = hint(net, torch.rand(2, 3, 64, 64))
    added = residuals(net, inputs_of(x, time, words), cond)
    assert torch.equal(predict(unet, x, time, words, **added), predict(unet, x, time, words))
    tiny.loud(net)
    predict(unet, x, time, words, **residuals(net, inputs_of(x, time, words), cond)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_shipped_size_is_a_fifth_of_its_unet_and_sees_every_latent() -> None:
    net = build_control()
    own, whole = (sum(p.numel() for p in n.parameters()) for n in (net, build_unet()))
    assert own < 0.2 * whole
    cond = hint(net, torch.rand(1, 3, 256, 192))
    assert net.controlnet_cond_embedding(cond).shape == (1, CONFIG["block_out_channels"][0], 16, 12)


def test_its_file_tells_what_it_obeys_and_fits_the_embedded_base(tmp_path: Path) -> None:
    path = tiny.write_own(tmp_path / "lines.safetensors", SimpleNamespace(network=build_unet(TINY)))
    spec = controlnet.recognise(str(path))
    assert (spec.control, str(spec.arch), spec.title) == ("scribble", "onestroke-embedded (text width 384, 32 latent channels)", "Random control")
    assert controlnet.load(spec, FP32).bytes_resident() > 100_000


# --- what is refused ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("names, message", [
    (["lora_controlnet", "input_hint_block.0.weight"], "Control-LoRA"), (["lllite_unet_x.weight"], "LLLite"),
    (["controlnet_mid_block.weight", "control_add_embedding.linear_1.weight"], "Union"), (["controlnet_mid_block.weight"], "incomplete")])
def test_other_kinds_and_incomplete_files_are_refused_by_name(tmp_path: Path, names: list[str], message: str) -> None:
    save_file({name: torch.zeros(2, 2, 1, 1) for name in names}, tmp_path / "x.safetensors")
    with pytest.raises((BadInput, MissingWeights), match=message):
        controlnet.recognise(str(tmp_path / "x.safetensors"))


def test_foreign_files_and_folders_are_left_to_others(tmp_path: Path, sd_folder: Path) -> None:
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"_class_name": "T2IAdapter"}))
    for source in (tmp_path / "x.safetensors", tmp_path / "other", tmp_path, sd_folder / "tiny-sd1-file.safetensors", sd_folder / "tiny-sd1", "nobody/nothing"):
        assert controlnet.recognise(str(source)) is None


def test_folders_without_usable_weights(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"_class_name": "ControlNetModel"}))
    with pytest.raises(MissingWeights, match="has no diffusion_pytorch_model.safetensors"):
        controlnet.recognise(str(tmp_path))
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"PK")
    with pytest.raises(BadInput, match="pickle"):
        controlnet.recognise(str(tmp_path))
    config.write_text("{")
    with pytest.raises(BadInput, match="not readable JSON"):
        controlnet.recognise(str(tmp_path))
    config.write_text(json.dumps({"_class_name": "ControlNetUnionModel"}))
    with pytest.raises(BadInput, match="Union"):
        controlnet.recognise(str(tmp_path))


def test_a_truncated_a_thinned_and_a_misfit_file(tmp_path: Path, sd1: SimpleNamespace) -> None:
    path = tiny.write_file(tmp_path / "a.safetensors", sd1)
    state = load_file(path)
    save_file({k: v for k, v in state.items() if "time_embedding" not in k}, path)
    with pytest.raises(MissingWeights, match="lacks 4 tensors, the first is time_embedding"):
        controlnet.load(controlnet.recognise(str(path)), FP32)
    save_file(state | {"down_blocks.0.resnets.0.conv2.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(BadInput, match="does not fit its config"):
        controlnet.load(controlnet.recognise(str(path)), FP32)
    save_file(state | {"extra.weight": torch.zeros(3)}, path)
    with pytest.raises(BadInput, match="extra.weight"):
        controlnet.load(controlnet.recognise(str(path)), FP32)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(MissingWeights, match="truncated"):
        controlnet.recognise(str(path))


def test_a_net_for_another_base_is_refused_with_both_names(tmp_path: Path, sd1: SimpleNamespace) -> None:
    adapter = controlnet.load(controlnet.recognise(str(tiny.write_folder(tmp_path / "canny", sd1))), FP32)
    other = SimpleNamespace(spec=SimpleNamespace(arch=SDXL, title="Big"), network=None)
    with pytest.raises(Incompatible, match='"canny" is made for sd1.*"Big" is sdxl'), adapter.attach(other):
        pass


def test_the_config_of_an_sdxl_net_is_seen_from_shapes() -> None:
    from accelerate import init_empty_weights
    from diffusers import ControlNetModel
    said = dict(block_out_channels=[32, 64, 64], down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"], layers_per_block=2,
                transformer_layers_per_block=[1, 2, 3], cross_attention_dim=2048, use_linear_projection=True, attention_head_dim=[1, 1, 1],
                addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816)
    with init_empty_weights():
        net = ControlNetModel(**said)
        seen = config_of({name: tuple(t.shape) for name, t in net.state_dict().items()})
        assert controlnet._arch(seen) == SDXL
        again = ControlNetModel(**seen)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in net.state_dict().items()}


def test_kinds_are_read_from_names() -> None:
    told = {"control_v11p_sd15_scribble": "scribble", "control_v11f1p_sd15_depth": "depth", "control_v11p_sd15s2_lineart_anime": "lineart",
            "thing": "", "controlnet-openpose-sdxl": "pose"}
    assert {name: controlnet.control_of(name) for name in told} == told
