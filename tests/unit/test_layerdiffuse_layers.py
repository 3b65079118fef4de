"""Layers that know of each other: the formulas, both ways of naming, what each picture shows, detaching, and what is refused."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from models.adapters import layerdiffuse, layerdiffuse_layers
from models.adapters._layer_frames import FramesTogether, Shared, looked, units_of
from models.adapters.layerdiffuse_layers import GREY, diffusers_name, on_grey
from models.catalog import Catalog
from models.compat import mend_torchvision
from models.devices import Device
from models.engine import Engine
from models.errors import BadInput, Incompatible
from models.job import AdapterUse, Extent, Job, Picture
from models.registry import Registry
from models.spec import SD1, SDXL
from tests.tiny_adapters import layerdiffuse_layers as tiny
from tests.tiny_sd import networks, unet_name
from tests.tiny_sdxl import unet_config

FP32 = Device("cpu", torch.float32)
RED = Picture.from_array(np.dstack([np.full((64, 64, 3), (200, 30, 30), np.uint8), np.kron(np.eye(2), np.full((32, 32), 255)).astype(np.uint8)]))
BLUE = Picture.from_array(np.full((64, 64, 3), (30, 60, 200), np.uint8))


@pytest.fixture(scope="module")
def engine(sd_folder: Path, sdxl_folder: Path) -> Iterator[Engine]:
    catalog = Catalog()
    for source in (sd_folder / "tiny-sd1", sdxl_folder / "tiny-sdxl"):
        catalog.resolve_base(str(source))
    engine = Engine(catalog, Registry(catalog, FP32))            # whatever the machine would rather multiply
    yield engine
    engine.close()


def job(base: str, use: AdapterUse, **changes: object) -> Job:
    return Job(**dict(base=base, prompt="a fox", extent=Extent(64, 64), guidance=1.0, adapters=(use,)) | changes)


def test_published_files_and_what_they_grant() -> None:
    files = {file.file: spec for spec in layerdiffuse_layers.SPECS for file in spec.files}
    assert set(files) == {*(f"diffuser_layer_xl_{role}.safetensors" for role in ("fg2ble", "bg2ble", "fgble2bg", "bgble2fg")),
                          *(f"layer_sd15_{role}.safetensors" for role in ("fg2bg", "bg2fg", "joint")),
                          "vae_transparent_decoder.safetensors", "layer_sd15_vae_transparent_decoder.safetensors"}
    assert files["layer_sd15_joint.safetensors"].grants == ("joint_layers",) and files["layer_sd15_joint.safetensors"].arch == SD1
    pair = files["diffuser_layer_xl_bgble2fg.safetensors"]
    assert pair.arch == SDXL and pair.max_images == 2 and "decoder" in pair.claims and len(pair.files) == 2


def test_names_of_the_webui_are_those_of_diffusers() -> None:
    mend_torchvision()
    from diffusers import UNet2DConditionModel
    with torch.device("meta"):
        names = UNet2DConditionModel(**unet_config()).state_dict()
    for name in names:
        path, _, last = name.rpartition(".")
        forge = f"diffusion_model.{unet_name(name, 'sdxl')}::diff::0"
        assert diffusers_name(forge) == diffusers_name(name) == (path.replace(".", "_"), last), name


@pytest.mark.parametrize("forge", [False, True])
def test_given_layers_lie_beside_the_noise_and_the_very_same_network_comes_back(engine: Engine, tmp_path: Path, forge: bool) -> None:
    with engine.registry.lease("tiny-sdxl") as (base, _):
        tensors = tiny.widened(base, 2, torch.Generator().manual_seed(1), forge)
        path = tiny.save(tmp_path / f"any-bgble2fg-{forge}.safetensors", tensors, base, decoder=True)
        spec = layerdiffuse_layers.recognise(str(path))
        assert layerdiffuse.recognise(str(path)) is None and spec.grants == ("bgble2fg",) and spec.max_images == 2
        adapter, conv, held = layerdiffuse_layers.load(spec, FP32), base.network.conv_in, dict(base.network.named_parameters())
        delta = tiny.widened(base, 2, torch.Generator().manual_seed(1))
        x, asked = torch.randn(2, 4, 8, 8), job("tiny-sdxl", AdapterUse(spec.id, 1.0, RED, (BLUE,)))
        with torch.no_grad(), adapter.attach(base) as hooks:
            hooks.prepare(asked, asked.adapters[0])
            given = torch.cat([base.encode(on_grey(p, asked)) for p in (RED, BLUE)], 1).expand(2, -1, -1, -1)
            wide = torch.cat([conv.weight.new_zeros(conv.weight.shape[0], 8, 3, 3)], 1)
            weight = torch.cat([held["conv_in.weight"], wide], 1) + delta["conv_in.weight"]
            expected = F.conv2d(torch.cat([x, given], 1), weight, held["conv_in.bias"] + delta["conv_in.bias"], padding=1)
            assert torch.allclose(base.network.conv_in(x), expected, atol=1e-4)
            name = next(name for name in delta if name.endswith("attn1.to_q.weight"))
            assert torch.equal(base.network.get_parameter(name), held[name] + delta[name])
            rgba = hooks.decode(torch.randn(1, 4, 8, 8))
            assert rgba.shape == (1, 4, 64, 64) and rgba[:, 3].std() > 0
            with pytest.raises(BadInput, match="looks at 2 layers, not 1"):
                hooks.prepare(asked, AdapterUse(spec.id, 1.0, RED))
        assert base.network.conv_in is conv and all(base.network.get_parameter(k) is v for k, v in held.items())


def test_clear_parts_are_grey() -> None:
    seen = on_grey(RED, Job(extent=Extent(64, 64)))
    assert torch.allclose(seen[0, :, 0, 0], torch.tensor([200, 30, 30]) / 255) and (seen[0, :, 0, 63] == GREY).all()


def test_frames_are_the_whole_formula() -> None:
    """Per frame a LoRA on all four, the given layer's map added before; then every place attends over the frames."""
    base = SimpleNamespace(network=networks("sd1")["unet"].eval(), spec=SimpleNamespace(arch=SD1, title="A base"))
    with torch.no_grad():
        tensors = tiny.framed(base, 2, True, torch.Generator().manual_seed(3))
        attn = base.network.down_blocks[1].attentions[1].transformer_blocks[0].attn2
        unit = units_of(tensors)["down_blocks_1_attentions_1_transformer_blocks_0_attn2"]
        t = {k.removeprefix("hookers.layers.7."): v for k, v in tensors.items() if k.startswith("hookers.layers.7.")}
        h, words, maps = torch.randn(4, 16, attn.to_q.in_features), torch.randn(4, 5, attn.to_k.in_features), torch.randn(1, tiny.EYES, 4, 4)
        shared = Shared(lambda: 1.0, {16: maps}, active=True)
        out = FramesTogether(attn.processor, unit, shared)(attn, h, words)
        frames = []
        for f in range(2):
            control = F.conv2d(F.silu(F.conv2d(maps, t[f"control_convs.{f}.0.weight"], t[f"control_convs.{f}.0.bias"], padding=1)),
                               t[f"control_convs.{f}.2.weight"], t[f"control_convs.{f}.2.bias"]).flatten(2).transpose(1, 2)
            x, c = h[f::2] + control, words[f::2]
            low = lambda short, f=f: t[f"to_{short}_lora.{f}.up.weight"] @ t[f"to_{short}_lora.{f}.down.weight"]
            turned = lambda layer, short, v, low=low: F.linear(v, layer.weight + low(short), layer.bias)
            q, k, v = (turned(layer, s, y).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
                       for layer, s, y in ((attn.to_q, "q", x), (attn.to_k, "k", c), (attn.to_v, "v", c)))
            seen = ((q @ k.transpose(2, 3) * attn.scale).softmax(-1) @ v).transpose(1, 2).flatten(2)
            frames.append(x + turned(attn.to_out[0], "out", seen))
        for place in range(16):
            over = torch.stack([frame[:, place] for frame in frames], 1)             # [B, frames, C]
            lin = lambda s, v: F.linear(v, t[f"temporal_{s}.weight"], t[f"temporal_{s}.bias"])
            n = lin("i", F.layer_norm(over, over.shape[-1:], t["temporal_n.weight"], t["temporal_n.bias"], 1e-6))
            q, k, v = (lin(s, n).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for s in "qkv")
            mixed = ((q @ k.transpose(2, 3) * attn.scale).softmax(-1) @ v).transpose(1, 2).flatten(2)
            expected = over + lin("o", mixed)
            for f in range(2):
                assert torch.allclose(out[f::2, place], expected[:, f] - h[f::2, place], atol=1e-3)
        shared.active = False
        assert torch.equal(FramesTogether(attn.processor, unit, shared)(attn, h, words), attn(h, words))


def test_the_eyes_give_four_levels() -> None:
    base = SimpleNamespace(network=networks("sd1")["unet"])
    eyes = {k.removeprefix("kwargs_encoder."): v for k, v in tiny.framed(base, 2, True, torch.Generator().manual_seed(3)).items() if k.startswith("kwargs")}
    assert {cells: m.shape[2:] for cells, m in looked(eyes, torch.randn(1, 3, 64, 96)).items()} == {96: (8, 12), 24: (4, 6), 6: (2, 3), 2: (1, 2)}


def test_three_frames_have_their_own_words_and_only_the_first_has_alpha(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-sd1") as (base, _):
        path = tiny.save(tmp_path / "some-joint.safetensors", tiny.framed(base, 3, False, torch.Generator().manual_seed(2)), base, decoder=True)
    spec = engine.catalog.add("adapter", str(path))
    assert spec.grants == ("joint_layers",) and not spec.needs_image and layerdiffuse.recognise(str(path)) is None
    asked = job("tiny-sd1", AdapterUse(spec.id), seeds=(1, 2, 3), each=("a fox", "a field", "a fox in a field"))
    out = engine.render(asked).pixels
    assert out.shape == (3, 64, 64, 4) and out[0, ..., 3].std() > 1 and (out[1:, ..., 3] == 255).all()
    other = engine.render(asked.but(each=("a fox", "a city", "a fox in a field"))).pixels
    assert (other[1] != out[1]).any() and (other[0] != out[0]).any(), "frames look at each other"
    with pytest.raises(BadInput, match="paints 3 pictures together, not 2"):
        engine.render(asked.but(seeds=(1, 2), each=("a", "b")))


def test_what_a_file_does_not_say_is_asked_for(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-sdxl") as (base, _):
        nameless = tiny.save(tmp_path / "a" / "some.safetensors", tiny.widened(base, 1, torch.Generator().manual_seed(2)), base)
        alone = tiny.save(tmp_path / "b" / "xl_bgble2fg.safetensors", tiny.widened(base, 2, torch.Generator().manual_seed(2)), base)
    with pytest.raises(BadInput, match="does not say what it paints"):
        layerdiffuse_layers.recognise(str(nameless))
    with pytest.raises(BadInput, match="transparent decoder is not beside it"):
        layerdiffuse_layers.recognise(str(alone))
    plain = tmp_path / "plain.safetensors"
    save_file({"down_blocks.0.x": torch.zeros(1)}, plain)
    assert layerdiffuse_layers.recognise(str(plain)) is None and layerdiffuse_layers.recognise(str(tmp_path)) is None


def test_files_of_another_network_are_refused_before_anything_changes(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-sdxl") as (base, _):
        tensors = tiny.widened(base, 1, torch.Generator().manual_seed(2)) | {"down_blocks.9.resnets.0.conv1.weight": torch.zeros(1)}
        adapter = layerdiffuse_layers.load(layerdiffuse_layers.recognise(str(tiny.save(tmp_path / "x_fg2ble.safetensors", tensors, base))), FP32)
        conv = base.network.conv_in
        with pytest.raises(Incompatible, match="down_blocks.9"), adapter.attach(base):
            pass
        assert base.network.conv_in is conv
    with engine.registry.lease("tiny-sd1") as (base, _):
        path = tiny.save(tmp_path / "y_fg2bg.safetensors", tiny.framed(base, 2, True, torch.Generator().manual_seed(2)) | {"what": torch.zeros(1)}, base)
        with pytest.raises(Incompatible, match="no known kind: what"):
            layerdiffuse_layers.load(layerdiffuse_layers.recognise(str(path)), FP32)
        assert "what" in load_file(path)
