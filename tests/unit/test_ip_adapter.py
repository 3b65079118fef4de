"""IP-Adapters by their content, against diffusers' own loader and pipeline, what they compose with, and what is refused."""
from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.adapters import ip_adapter, lora
from models.adapters._image_eye import MEAN, STD
from models.compat import mend_torchvision
from models.contracts import Step
from models.devices import Device, cpu_has_fast_bf16
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import AdapterUse, Extent, Job, Picture
from models.nets import image_prompt
from models.nets.image_prompt import Look, attached
from models.nets.prepack import prepack
from models.nets.unet import build_unet, inputs_of, predict
from models.spec import SD1, SDXL, Arch
from tests import diffusers_side
from tests.tiny_adapters import ip_adapter as tiny
from tests.tiny_adapters import lora as tiny_lora
from tests.tiny_embedded import TINY
from tests.tiny_sd import networks

FP32 = Device("cpu", torch.float32)
PICTURES = tuple(Picture.from_array(np.random.default_rng(i).integers(0, 256, (28, 28, 3), dtype=np.uint8)) for i in range(3))


@pytest.fixture(scope="module")
def sd1() -> SimpleNamespace:
    mend_torchvision()
    return SimpleNamespace(network=networks("sd1")["unet"].eval(), spec=SimpleNamespace(arch=Arch("sd1", 32, 4), title="Tiny"))


def embedded() -> SimpleNamespace:
    torch.manual_seed(0)
    return SimpleNamespace(network=build_unet(TINY).eval(), spec=SimpleNamespace(arch=Arch("onestroke-embedded", 384, 32), title="Tiny"))


def random_inputs() -> dict[str, Any]:
    """16x16 latents: at 8x8 the innermost group norm has two values a group and turns rounding into 3e-4."""
    g = torch.Generator().manual_seed(3)
    return dict(sample=torch.randn(2, 4, 16, 16, generator=g), timestep=torch.tensor(500), encoder_hidden_states=torch.randn(2, 77, 32, generator=g))


def use_of(strength: float = 1.0, count: int = 1) -> AdapterUse:
    return AdapterUse("x", strength, PICTURES[0], PICTURES[1:count])


def answer(hooks: Any, net: Any, inputs: dict[str, Any], negative: bool = False) -> torch.Tensor:
    """One step as the engine takes it."""
    extra = hooks.before_denoise(Step(inputs["sample"], 1.0, None, inputs, negative))
    return net(**inputs, **extra, return_dict=False)[0]


def loaded(path: Path) -> ip_adapter.ImagePromptAdapter:
    return ip_adapter.load(ip_adapter.recognise(str(path)), FP32)


def clip_features(folder: Path, pictures: tuple[Picture, ...], plus: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """(of the pictures, of none) by transformers alone."""
    from transformers import CLIPVisionModelWithProjection
    net = CLIPVisionModelWithProjection.from_pretrained(folder).eval().double()
    rgb = torch.stack([torch.from_numpy(p.array.copy()).permute(2, 0, 1).double() / 255 for p in pictures])
    seen = (rgb - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    if plus:
        return tuple(net(x, output_hidden_states=True).hidden_states[-2] for x in (seen, torch.zeros_like(seen)))
    return net(seen).image_embeds, torch.zeros(len(pictures), tiny.CLIP["projection_dim"]).double()


def diffusers_unet(unet: Any, path: Path, scale: float) -> Any:
    """A copy of the network with the file loaded by diffusers."""
    net, state = copy.deepcopy(unet), load_file(path)
    parts = {part: {k.removeprefix(part + "."): v for k, v in state.items() if k.startswith(part)} for part in ("image_proj", "ip_adapter")}
    net._load_ip_adapter_weights([parts])
    for processor in net.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [scale]
    return net


@pytest.mark.parametrize("plus", [False, True], ids=["basic", "plus"])
@pytest.mark.parametrize("count", [1, 3])
def test_the_answer_is_that_of_diffusers_with_the_same_file(tmp_path: Path, sd1: SimpleNamespace, plus: bool, count: int) -> None:
    path, base = tiny.write_published(tmp_path / "a.safetensors", sd1, plus), copy.deepcopy(sd1)
    base.network.double()
    adapter = ip_adapter.load(ip_adapter.recognise(str(path)), Device("cpu", torch.float64))
    adapter.set_strength(0.7)
    inputs = {name: value.double() if value.is_floating_point() else value for name, value in random_inputs().items()}
    theirs = diffusers_unet(base.network, path, 0.7).double()
    features = clip_features(tmp_path / "image_encoder", PICTURES[:count], plus)
    with torch.inference_mode(), adapter.attach(base) as hooks:
        hooks.prepare(Job(), use_of(0.7, count))
        for negative, seen in enumerate(features):
            expected = theirs(**inputs, added_cond_kwargs={"image_embeds": [seen[None].expand(2, *seen.shape)]}, return_dict=False)[0]
            ours = answer(hooks, base.network, inputs, bool(negative))
            assert torch.allclose(ours, expected, atol=1e-5) and not torch.allclose(ours, base.network(**inputs, return_dict=False)[0], atol=1e-3)


def test_the_picture_is_that_of_diffusers_own_pipeline(tmp_path: Path, sd_folder: Path) -> None:
    """Three steps with guidance through the engine and through StableDiffusionPipeline.load_ip_adapter, from the same noise."""
    from diffusers import StableDiffusionPipeline

    from models.engine import open_engine
    engine = open_engine(bases=[str(sd_folder / "tiny-sd1")], device="cpu")
    engine.registry.device = FP32
    job = Job("a fox", "tiny-sd1", negative="blue", seeds=(3,), extent=Extent(64, 64), steps=3, guidance=3.0)

    def pipeline(scheduler: Any) -> Any:
        pipe = StableDiffusionPipeline(base.vae, base.text_encoder, base.tokenizer, copy.deepcopy(base.network), scheduler, None, None,
                                       requires_safety_checker=False)
        pipe.load_ip_adapter(str(tmp_path), subfolder="", weight_name="look.safetensors", image_encoder_folder=None)
        pipe.set_ip_adapter_scale(0.8)
        return pipe
    with engine.registry.lease("tiny-sd1") as (base, _):
        tiny.write_published(tmp_path / "look.safetensors", base)
        with torch.inference_mode():
            seen, none = clip_features(tmp_path / "image_encoder", PICTURES[:1], False)
        theirs = diffusers_side.picture(base, job, pipeline, ip_adapter_image_embeds=[torch.stack([none, seen]).float()])
    engine.catalog.add("adapter", str(tmp_path / "look.safetensors"))
    ours = engine.render(job.but(adapters=(AdapterUse("look", 0.8, PICTURES[0]),))).pixels[0]
    engine.close()
    assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_processors_come_back_and_strength_zero_is_exact(tmp_path: Path, sd1: SimpleNamespace) -> None:
    adapter, inputs = loaded(tiny.write_published(tmp_path / "a.safetensors", sd1)), random_inputs()
    before, names = dict(sd1.network.attn_processors), repr(sd1.network)
    with torch.inference_mode():
        plain = sd1.network(**inputs, return_dict=False)[0]
        with adapter.attach(sd1) as hooks:
            adapter.set_strength(0.0)
            hooks.prepare(Job(), use_of())
            assert torch.equal(answer(hooks, sd1.network, inputs), plain)
            adapter.set_strength(1.0)
            assert not torch.equal(answer(hooks, sd1.network, inputs), plain)
            assert torch.equal(sd1.network(**inputs, return_dict=False)[0], plain), "a call outside the window of the use"
        assert torch.equal(sd1.network(**inputs, return_dict=False)[0], plain)
    after = sd1.network.attn_processors
    assert all(after[name] is processor for name, processor in before.items()) and repr(sd1.network) == names
    assert not sd1.network._forward_hooks


def test_pictures_are_looked_at_once(tmp_path: Path, sd1: SimpleNamespace) -> None:
    adapter, calls = loaded(tiny.write_published(tmp_path / "a.safetensors", sd1)), []
    look = adapter.eye.look
    adapter.eye.look = lambda pictures: calls.append(len(pictures)) or look(pictures)
    with torch.inference_mode(), adapter.attach(sd1) as hooks:
        for count in (1, 1, 3, 1):
            hooks.prepare(Job(), use_of(count=count))
        hooks.prepare(Job(), use_of(0.0, 2))
    assert calls == [1, 3]


# --- composition -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("first", ["lora", "image"])
def test_a_lora_and_an_image_prompt_in_either_order(tmp_path: Path, sd1: SimpleNamespace, first: str) -> None:
    """Against the same image prompt on weights with the LoRA merged in by hand."""
    path = tiny_lora.write(tmp_path / "l.safetensors", sd1, rank=2, alpha=2.0, endings=tiny_lora.ATTENTION)
    merged, generator, inputs = copy.deepcopy(sd1), torch.Generator().manual_seed(0), random_inputs()
    for _, module in tiny_lora.targets(merged.network, tiny_lora.ATTENTION):
        down, up = tiny_lora.factors(module, 2, generator)
        module.weight.data += (up.flatten(1) @ down.flatten(1)).reshape(module.weight.shape)
    words, picture = lora.load(lora.recognise(str(path)), FP32), loaded(tiny.write_published(tmp_path / "a.safetensors", sd1))
    with torch.inference_mode():
        with picture.attach(merged) as hooks:
            hooks.prepare(Job(), use_of())
            expected = answer(hooks, merged.network, inputs)
        one, two = (words, picture) if first == "lora" else (picture, words)
        with one.attach(sd1) as a, two.attach(sd1) as b:
            hooks = b if first == "lora" else a
            hooks.prepare(Job(), use_of())
            assert torch.allclose(answer(hooks, sd1.network, inputs), expected, atol=1e-4)


@pytest.mark.skipif(not cpu_has_fast_bf16(), reason="This processor does not multiply bf16, so the studio packs nothing on it.")
def test_packed_layers_and_plain_attention_of_the_embedded_base(tmp_path: Path) -> None:
    """bf16 and packed as it runs on a CPU, against fp32."""
    base = embedded()
    path = tiny.write_own(tmp_path / "a.safetensors", base, plus=True)
    words = torch.randn(1, 5, 384), None, torch.randn(1, 384)
    out = {}
    for device in (FP32, Device("cpu", torch.bfloat16, packs_weights=True)):
        b = copy.deepcopy(base)
        b.network.to(device.dtype)
        if device.packs_weights:
            prepack(b.network)
        inputs = inputs_of(torch.randn(1, 32, 4, 4, generator=torch.Generator().manual_seed(1)), torch.tensor([900.0]), words)
        inputs = {k: v.to(device.dtype) if torch.is_tensor(v) and k != "timestep" else v for k, v in inputs.items()}
        adapter = ip_adapter.load(ip_adapter.recognise(str(path)), device)
        with torch.inference_mode(), adapter.attach(b) as hooks:
            hooks.prepare(Job(), use_of())
            out[device.dtype] = answer(hooks, b.network, inputs).float(), b.network(**inputs, return_dict=False)[0].float()
    (full, full_plain), (half, half_plain) = out.values()
    assert (full - full_plain).abs().mean() > 0.01
    assert ((half - half_plain) - (full - full_plain)).abs().mean() < 0.1 * (full - full_plain).abs().mean()


def test_two_image_prompts_add_up_layer_by_layer(tmp_path: Path, sd1: SimpleNamespace) -> None:
    """Every layer's answer with both is its own plus both shares."""
    one, two = (loaded(tiny.write_published(tmp_path / f"{seed}.safetensors", sd1, seed=seed)) for seed in (1, 2))
    attn, hidden, words = image_prompt.cross_attention(sd1.network)["3"], torch.randn(1, 16, 32), torch.randn(1, 77, 32)
    with torch.inference_mode():
        plain, shares = attn(hidden, words), []
        for adapter in (one, two):
            with adapter.attach(sd1) as hooks:
                hooks.prepare(Job(), use_of())
                hooks.before_denoise(Step(hidden, 1.0, None, {}))
                shares.append(attn(hidden, words) - plain)
        with one.attach(sd1) as a, two.attach(sd1) as b:
            for hooks in (a, b):
                hooks.prepare(Job(), use_of())
                hooks.before_denoise(Step(hidden, 1.0, None, {}))
            assert torch.allclose(attn(hidden, words) - plain, sum(shares), atol=1e-5)


# --- the embedded base's own -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("plus", [False, True])
def test_its_own_net_trains_in_every_part(plus: bool) -> None:
    base = embedded()
    net, config = tiny.random_prompt(base, plus, own=True)
    image_prompt.start_from(net, base.network)
    layer = image_prompt.cross_attention(base.network)["1"]
    assert torch.equal(net.ip_adapter["1"].to_k_ip.weight, layer.to_k.weight)
    words = torch.randn(2, 5, 384), None, torch.randn(2, 384)
    with attached(base.network, net, Look()) as look:
        look.show(net.image_proj(net.features(torch.rand(2, 3, 32, 32))))
        predict(base.network, torch.randn(2, 32, 4, 4), torch.tensor([900.0]), words).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    assert image_prompt.build(config).state_dict().keys() == net.state_dict().keys()


def test_its_default_size_is_small() -> None:
    net = image_prompt.build(image_prompt.config_for(build_unet()))
    assert sum(p.numel() for p in net.parameters()) < 4_000_000
    assert net.features(torch.rand(1, 3, net.image_encoder.side_px, net.image_encoder.side_px)).shape == (1, 256)
    assert net.image_encoder(torch.rand(1, 3, 96, 96)).shape == (1, net.image_encoder.positions, net.image_encoder.width)


# --- what files say, and what is refused -------------------------------------------------------------------------------

def published(width: int, layers: int = 16, image: int = 1024) -> dict[str, torch.Tensor]:
    tensors = {"image_proj.proj.weight": torch.zeros(4 * width, image), "image_proj.proj.bias": torch.zeros(4 * width),
               "image_proj.norm.weight": torch.zeros(width), "image_proj.norm.bias": torch.zeros(width)}
    return tensors | {f"ip_adapter.{2 * i + 1}.to_{c}_ip.weight": torch.zeros(8, width) for i in range(layers) for c in "kv"}


@pytest.mark.parametrize("width, arch", [(768, SD1), (2048, SDXL)])
def test_the_base_is_seen_from_the_text_width(tmp_path: Path, width: int, arch: Arch) -> None:
    save_file(published(width), tmp_path / "ip-adapter_x.safetensors")
    spec = ip_adapter.recognise(str(tmp_path / "ip-adapter_x.safetensors"))
    assert (spec.id, spec.kind, spec.arch, spec.max_images, spec.needs_image) == ("ip-adapter-x", "image_prompt", arch, 4, True)


def test_without_clip_the_cure_is_named(tmp_path: Path) -> None:
    save_file(published(768), tmp_path / "x.safetensors")
    with pytest.raises(MissingWeights, match=r"CLIP ViT-H/14 \(projection_dim 1024\).*hf download h94/IP-Adapter --include \"models/image_encoder"):
        loaded(tmp_path / "x.safetensors")
    tiny.write_clip(tmp_path / "image_encoder")
    with pytest.raises(MissingWeights, match="is another"):
        loaded(tmp_path / "x.safetensors")


@pytest.mark.parametrize("extra, without, message", [
    ("ip_adapter.1.to_q_lora.down.weight", "", "FaceID"), ("image_proj.perceiver_resampler.proj_in.weight", "", "FaceID"),
    ("image_proj.proj.0.weight", "", "full-face"), ("", "image_proj.norm.weight", "incomplete")])
def test_other_kinds_and_incomplete_files_are_refused_by_name(tmp_path: Path, extra: str, without: str, message: str) -> None:
    tensors = published(768) | ({extra: torch.zeros(2, 2)} if extra else {})
    save_file({k: v for k, v in tensors.items() if k != without}, tmp_path / "x.safetensors")
    with pytest.raises((BadInput, MissingWeights), match=message):
        ip_adapter.recognise(str(tmp_path / "x.safetensors"))


def test_a_width_that_no_base_has(tmp_path: Path) -> None:
    save_file(published(999), tmp_path / "x.safetensors")
    with pytest.raises(BadInput, match="text width of 999"):
        ip_adapter.recognise(str(tmp_path / "x.safetensors"))


def test_foreign_files_are_left_to_others(tmp_path: Path, sd_folder: Path) -> None:
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(2)}, tmp_path / "x.safetensors")
    for source in (tmp_path / "x.safetensors", tmp_path, sd_folder / "tiny-sd1-file.safetensors", "nobody/nothing"):
        assert ip_adapter.recognise(str(source)) is None


def test_a_thinned_file_and_one_for_other_layers(tmp_path: Path, sd1: SimpleNamespace) -> None:
    path = tiny.write_published(tmp_path / "a.safetensors", sd1)
    adapter, before = loaded(path), dict(sd1.network.attn_processors)
    del adapter.prompt.ip_adapter["5"]
    with pytest.raises(Incompatible, match="nothing for layer 5"), adapter.attach(sd1):
        pass
    with pytest.raises(Incompatible, match='"a" is made for sd1'), adapter.attach(SimpleNamespace(spec=SimpleNamespace(arch=SDXL, title="Big"))):
        pass
    assert sd1.network.attn_processors == before
    state = load_file(path)
    meta = {"onestroke.arch": '{"family": "sd1", "context_dim": 32, "latent_channels": 4}'}
    save_file({k: v for k, v in state.items() if k != "ip_adapter.3.to_v_ip.weight"}, path, meta)
    with pytest.raises(MissingWeights, match="lacks 1 tensors, the first is ip_adapter.3.to_v_ip.weight"):
        loaded(path)
