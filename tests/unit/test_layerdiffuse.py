"""Transparent generation: added weights and shared attention against their formulas, decoders, files, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from models import checkpoint
from models.adapters import layerdiffuse
from models.adapters._layerdiffuse_parts import AddedWeights, SharedAttention, sd1_attention
from models.devices import Device
from models.engine import Engine, open_engine
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import AdapterUse, Extent, Job, Picture
from models.nets.decoder import PatchDecoder
from models.nets.rgba import RgbaDecoder, packed, pad_colours
from models.nets.transparent import OffsetEncoder, TransparentDecoder, decode_views
from models.spec import EMBEDDED, SD1
from tests.tiny_adapters import layerdiffuse as tiny
from tests.tiny_sd import networks

FP32 = Device("cpu", torch.float32)


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, sd_folder: Path) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / "tiny-student.safetensors"), str(sd_folder / "tiny-sd1")], device="cpu")
    yield engine
    engine.close()


def small() -> SimpleNamespace:
    torch.manual_seed(0)
    net = torch.nn.ModuleDict({"to_q": torch.nn.Linear(4, 4), "conv": torch.nn.Conv2d(2, 2, 1)})
    return SimpleNamespace(network=net, spec=SimpleNamespace(arch=SD1, title="A base"))


def test_deltas_are_added_and_the_very_same_tensors_come_back() -> None:
    b, delta = small(), {"to_q.weight": torch.randn(4, 4), "conv.bias": torch.randn(2)}
    own, held = dict(b.network.named_parameters()), {k: v.clone() for k, v in b.network.state_dict().items()}
    change = AddedWeights(layerdiffuse.SPECS[0], delta)
    b.network["to_q"].packed = torch.ones(1)
    with change.attach(b):
        for strength in (1.0, 0.5, 0.0):
            change.set_strength(strength)
            assert torch.equal(b.network["to_q"].weight, held["to_q.weight"] + strength * delta["to_q.weight"])
        assert b.network["to_q"].weight is own["to_q.weight"] and b.network["to_q"].packed is None
    assert all(b.network.get_parameter(k) is v and torch.equal(v, held[k]) for k, v in own.items())


@pytest.mark.parametrize("delta, said", [({"up.weight": torch.zeros(1)}, "changes up.weight, which"), ({"to_q.weight": torch.zeros(4, 8)}, r"\(4, 8\)")])
def test_deltas_that_do_not_fit_change_nothing(delta: dict[str, torch.Tensor], said: str) -> None:
    b = small()
    before = b.network["to_q"].weight
    with pytest.raises(Incompatible, match=said), AddedWeights(layerdiffuse.SPECS[0], {"to_q.bias": torch.ones(4)} | delta).attach(b):
        pass
    assert b.network["to_q"].weight is before


def test_shared_attention_of_one_frame_is_the_whole_formula() -> None:
    """h1 = h + attention with the LoRA; h2 = h1 + O(V(I(norm h1))); the answer is h2 - h."""
    base = SimpleNamespace(network=networks("sd1")["unet"].eval(), spec=SimpleNamespace(arch=SD1, title="A base"))
    with torch.no_grad():
        tensors = tiny.shared(base, torch.Generator().manual_seed(3))
        attn = base.network.down_blocks[1].attentions[1].transformer_blocks[0].attn2
        found, t = attn.processor, {k.removeprefix("hookers.layers.7."): v for k, v in tensors.items() if k.startswith("hookers.layers.7.")}
        assert sd1_attention(7) == "down_blocks_1_attentions_1_transformer_blocks_0_attn2"
        assert sd1_attention(31) == "mid_block_attentions_0_transformer_blocks_0_attn2"
        h, words = torch.randn(2, 16, attn.to_q.in_features), torch.randn(2, 5, attn.to_k.in_features)
        plain = attn(h, words)
        change = SharedAttention(SimpleNamespace(arch=SD1, title="x", fits=lambda arch: True), tensors)
        with change.attach(base):
            turned = lambda layer, short, x: F.linear(x, layer.weight + t[f"to_{short}_lora.0.up.weight"] @ t[f"to_{short}_lora.0.down.weight"], layer.bias)
            layers = [getattr(layer, "plain", layer) for layer in (attn.to_q, attn.to_k, attn.to_v, attn.to_out[0])]
            q, k, v = (turned(layer, s, x).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for layer, s, x in zip(layers, "qkv", (h, words, words)))
            seen = (q @ k.transpose(2, 3) * attn.scale).softmax(-1) @ v
            h1 = h + turned(layers[3], "out", seen.transpose(1, 2).flatten(2))
            x = F.layer_norm(h1, h1.shape[-1:], t["temporal_n.weight"], t["temporal_n.bias"], 1e-6)
            for short in "ivo":
                x = F.linear(x, t[f"temporal_{short}.weight"], t[f"temporal_{short}.bias"])
            assert torch.allclose(attn(h, words), h1 + x - h, atol=1e-4)
            change.set_strength(0.0)
            assert torch.equal(attn(h, words), plain)
        assert attn.processor is found and torch.equal(attn(h, words), plain)


def test_a_sticker_decoder_starts_as_the_opaque_one() -> None:
    torch.manual_seed(0)
    opaque = PatchDecoder(32, (16, 16, 16))
    opaque.projection.basis.normal_()
    opaque.leave.weight.data.normal_(0, 0.1)
    decoder, latents = RgbaDecoder.from_opaque(opaque), torch.randn(2, 32, 2, 3)
    with torch.no_grad():
        out = decoder(latents)
        assert out.shape == (2, 4, 32, 48) and torch.allclose(out[:, :3], opaque(latents), atol=1e-5) and (out[:, 3] == 1).all()


def test_the_released_shape_and_names() -> None:
    with torch.device("meta"):
        state = TransparentDecoder().state_dict()
    assert state["latent_conv_in.weight"].shape == (64, 4, 1, 1) and state["conv_out.weight"].shape == (4, 32, 3, 3)
    assert state["down_blocks.6.attentions.1.to_q.weight"].shape == (512, 512) and state["up_blocks.0.resnets.2.conv1.weight"].shape == (512, 1024, 3, 3)
    assert [tuple(OffsetEncoder().blocks[i].weight.shape[:2]) for i in (0, 4, 16)] == [(32, 4), (64, 32), (4, 256)]
    files = {file.file for spec in layerdiffuse.SPECS for file in spec.files}
    assert files >= {"ld_diffusers_sdxl_attn.safetensors", "layer_sd15_transparent_attn.safetensors"}


def test_views_are_turned_back_and_any_size_passes() -> None:
    def reads(rgb: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        assert rgb.shape[2] % 64 == rgb.shape[3] % 64 == 0 and latents.shape[2] * 8 == rgb.shape[2]
        return torch.cat([F.interpolate(latents[:, :1], scale_factor=8), rgb], 1)
    rgb, latents = torch.rand(1, 3, 72, 104), torch.rand(1, 4, 9, 13)
    for views in (1, 4, 8):
        out = decode_views(reads, rgb, latents, views)
        assert torch.equal(out[:, :3], rgb) and torch.equal(out[:, 3:], F.interpolate(latents[:, :1], scale_factor=8))


def test_invisible_colours_are_those_around() -> None:
    rgba = torch.zeros(1, 4, 16, 12)
    rgba[:, 0, 4:9, 3:8] = rgba[:, 3, 4:9, 3:8] = 1.0
    padded = pad_colours(rgba)
    assert torch.allclose(padded[:, 0], torch.ones(1, 16, 12), atol=1e-3) and (padded[:, 1:] == 0).all()


def test_alpha_survives_the_engine_and_a_mask(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-student") as (base, _):
        path = tiny.write_own(tmp_path / "sticker.safetensors", base)
    spec = engine.catalog.add("adapter", str(path))
    assert spec.grants == ("rgba",) and spec.claims == ("decoder",) and spec.arch == EMBEDDED
    job = Job(base="tiny-student", prompt="a fox", seeds=(1, 2), extent=Extent(64, 64), adapters=(AdapterUse("sticker"),))
    out = engine.render(job).pixels
    assert out.shape == (2, 64, 64, 4) and out[..., 3].std() > 1
    drawing = torch.randint(0, 256, (64, 64, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).numpy()
    mask = torch.zeros(64, 64, dtype=torch.uint8).numpy()
    mask[16:48, 16:48] = 255
    masked = engine.render(job.but(image=Picture.from_array(drawing), mask=Picture.from_array(mask), strength=0.7)).pixels
    assert (masked[:, mask == 0] == drawing[mask == 0]).all() and masked.shape == (2, 64, 64, 4)


def test_a_file_without_a_lora_is_a_decoder_only(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-student") as (base, _):
        spec = layerdiffuse.recognise(str(tiny.write_own(tmp_path / "x.safetensors", base, lora=False)))
        adapter, latents = layerdiffuse.load(spec, FP32), torch.randn(1, 32, 4, 4)
        with torch.no_grad(), adapter.attach(base) as hooks:
            own = hooks.decode(latents)
            adapter.set_strength(0.25)
            faded = hooks.decode(latents)
        assert adapter.change is None and torch.allclose(faded[:, 3], 1 - 0.25 * (1 - own[:, 3]), atol=1e-5)


def test_a_fresh_encoder_moves_nothing(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-sd1") as (base, _):
        folder = tiny.write_release(tmp_path / "release", base, tiny._added)
        adapter = layerdiffuse.load(layerdiffuse.recognise(str(folder)), FP32)
        rgba = torch.cat([torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64)], 1)
        with torch.no_grad():
            assert torch.allclose(adapter.encode(base, rgba), base.encode(rgba[:, :3]), atol=1e-5)
        adapter.encoder = None
        with pytest.raises(MissingWeights, match="without its encoder"):
            adapter.encode(base, rgba)


def test_incomplete_releases_are_refused_by_name(engine: Engine, tmp_path: Path, sd_folder: Path) -> None:
    with engine.registry.lease("tiny-sd1") as (base, _):
        folder = tiny.write_release(tmp_path / "release", base, tiny._added)
    by_file = layerdiffuse.recognise(str(folder / "any_attn.safetensors"))
    assert by_file == layerdiffuse.recognise(str(folder)) and len(by_file.files) == 3
    decoder = folder / "any_transparent_decoder.safetensors"
    save_file({k: v for k, v in load_file(decoder).items() if k != "conv_out.bias"}, decoder)
    with pytest.raises(MissingWeights, match="any_transparent_decoder.safetensors is incomplete"):
        layerdiffuse.load(layerdiffuse.recognise(str(folder)), FP32)
    (folder / "any_attn.safetensors").unlink()
    with pytest.raises(BadInput, match="not the change of the network"):
        layerdiffuse.recognise(str(folder))
    for other in (sd_folder, sd_folder / "tiny-sd1", sd_folder / "tiny-sd1-file.safetensors", tmp_path / "gone"):
        assert layerdiffuse.recognise(str(other)) is None
    checkpoint.save(tmp_path / "x.safetensors", "onestroke.rgba", {"channels": 32, "widths": [16, 16, 16]}, {},
                    packed(RgbaDecoder(32, (16, 16, 16)), {"what": torch.ones(1)}), "x")  # fmt: skip
    with pytest.raises(Incompatible, match="no known kind: what"):
        layerdiffuse.load(layerdiffuse.recognise(str(tmp_path / "x.safetensors")), FP32)
