"""LoRA files by their content: both layouts, alpha, which base they fit, and what is refused."""
from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from models.adapters import lora
from models.adapters._lora_keys import Place, declared_scale, parse
from models.devices import Device
from models.errors import BadInput, Incompatible, MissingWeights
from models.spec import EMBEDDED, SD1, SD2, SDXL, Arch
from tests.tiny_adapters import lora as tiny_lora

FP32 = Device("cpu", torch.float32)
TINY = Arch("tiny", 6, 4)
PATH = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"


class Net(nn.Module):
    """One of each kind of layer that a LoRA may change."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k = nn.Linear(6, 8, bias=False), nn.Linear(6, 8)
        self.conv1 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.proj_in = nn.Conv2d(6, 8, 1)
        self.to_out = nn.ModuleList([nn.Linear(8, 8)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(2).transpose(1, 2)
        words = self.to_out[0](self.to_q(rows) + self.to_k(rows)).transpose(1, 2).reshape(len(x), 8, *x.shape[2:])
        return words + self.proj_in(x) + nn.functional.interpolate(self.conv1(x), x.shape[2:])


def base(arch: Arch = TINY, seed: int = 0) -> SimpleNamespace:
    torch.manual_seed(seed)
    return SimpleNamespace(network=Net(), spec=SimpleNamespace(arch=arch, title="A base"))


@pytest.mark.parametrize("layout", ["peft", "kohya"])
def test_the_change_is_exactly_scale_times_up_times_down(tmp_path: Path, layout: str) -> None:
    """Against weights merged by hand: W + strength * alpha / rank * B A."""
    b, merged, x = base(), base(), torch.randn(2, 6, 8, 8)
    path = tiny_lora.write(tmp_path / "x.safetensors", b, layout, rank=2, alpha=3.0)
    generator = torch.Generator().manual_seed(0)
    for _, module in tiny_lora.targets(merged.network, tiny_lora.ATTENTION + tiny_lora.CONVOLUTION):
        down, up = tiny_lora.factors(module, 2, generator)
        module.weight.data += 0.7 * 3.0 / 2 * (up.flatten(1) @ down.flatten(1)).reshape(module.weight.shape)
    adapter = lora.load(lora.recognise(str(path)), FP32)
    plain, names = b.network(x), repr(b.network)
    adapter.set_strength(0.7)
    with adapter.attach(b):
        assert torch.allclose(b.network(x), merged.network(x), atol=1e-5) and not torch.allclose(b.network(x), plain, atol=1e-2)
        adapter.set_strength(0.0)
        assert torch.equal(b.network(x), plain)
    assert torch.equal(b.network(x), plain) and repr(b.network) == names


def test_two_on_one_layer_add_up_and_come_off_in_reverse(tmp_path: Path) -> None:
    b, x = base(), torch.randn(1, 6, 4, 4)
    one, two = (lora.load(lora.recognise(str(tiny_lora.write(tmp_path / f"{seed}.safetensors", b, seed=seed))), FP32) for seed in (1, 2))
    plain = b.network.to_q(x.flatten(2).transpose(1, 2))
    deltas = []
    for adapter in (one, two):
        with adapter.attach(b):
            deltas.append(b.network.to_q(x.flatten(2).transpose(1, 2)) - plain)
    with one.attach(b), two.attach(b):
        assert torch.allclose(b.network.to_q(x.flatten(2).transpose(1, 2)) - plain, sum(deltas), atol=1e-5)
        assert b.network.to_q.weight.shape == (8, 6) and b.network.to_k.bias is not None
    assert torch.equal(b.network.to_q(x.flatten(2).transpose(1, 2)), plain)


@pytest.mark.parametrize("name, place, role", [
    (f"{PATH}.lora_A.weight", Place("unet", "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"), "down"),
    ("unet.mid_block.attentions.0.proj_in.lora.up.weight", Place("unet", "mid_block_attentions_0_proj_in"), "up"),
    ("base_model.model.conv_in.lora_B.weight", Place("unet", "conv_in"), "up"),
    ("text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight", Place("text_encoder", "text_model_encoder_layers_0_mlp_fc1"), "down"),
    ("lora_unet_mid_block_attentions_0_proj_in.alpha", Place("unet", "mid_block_attentions_0_proj_in"), "alpha"),
    ("lora_te_text_model_encoder_layers_11_self_attn_q_proj.lora_up.weight", Place("text_encoder", "text_model_encoder_layers_11_self_attn_q_proj"), "up")])
def test_both_layouts_are_read(name: str, place: Place, role: str) -> None:
    assert parse(name) == (place, role)


@pytest.mark.parametrize("name", ["unet.conv_in.weight", "lora_unet_x.hada_w1_a", "lora_unet_x.lora_down.weight.dora_scale", "lora_unet_x.lora_mid.weight", ""])
def test_other_names_are_not(name: str) -> None:
    assert parse(name) is None


def test_alpha_from_the_header() -> None:
    said = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 8, "unet.alpha_pattern": {"mid_block.conv": 2}, "text_encoder.lora_alpha": 16})}
    assert declared_scale(said, Place("unet", "down_x"), 4) == 2 and declared_scale(said, Place("unet", "mid_block_conv"), 4) == 0.5
    assert declared_scale(said, Place("text_encoder", "x"), 4) == 4 and declared_scale({}, Place("unet", "x"), 4) == 1
    stabilised = {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 8, "unet.use_rslora": True})}
    assert declared_scale(stabilised, Place("unet", "x"), 4) == 4


def cross_attention(path: Path, width: int, metadata: dict[str, str] | None = None, name: str = PATH) -> Path:
    save_file({f"{name}.lora_A.weight": torch.zeros(4, width), f"{name}.lora_B.weight": torch.zeros(8, 4)}, path, metadata)
    return path


@pytest.mark.parametrize("width, arch", [(384, EMBEDDED), (768, SD1), (1024, SD2), (2048, SDXL)])
def test_the_base_it_fits_follows_from_the_width_of_the_words(tmp_path: Path, width: int, arch: Arch) -> None:
    spec = lora.recognise(str(cross_attention(tmp_path / "My Style v2.safetensors", width)))
    assert spec.arch == arch and spec.id == "my-style-v2" and spec.kind == "lora" and spec.bytes > 0


@pytest.mark.parametrize("said, arch", [({"modelspec.architecture": "stable-diffusion-v1/lora"}, SD1), ({"ss_base_model_version": "sd_v2"}, SD2),
                                        ({"ss_base_model_version": "sdxl_base_v1-0"}, SDXL)])
def test_or_from_the_header_when_no_words_are_read(tmp_path: Path, said: dict[str, str], arch: Arch) -> None:
    path = cross_attention(tmp_path / "x.safetensors", 320, said, "unet.mid_block.attn1.to_q")
    assert lora.recognise(str(path)).arch == arch


def test_a_file_that_does_not_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not say which base"):
        lora.recognise(str(cross_attention(tmp_path / "x.safetensors", 320, None, "unet.mid_block.attn1.to_q")))


def test_other_files_are_no_loras(tmp_path: Path, tiny_folder: Path) -> None:
    assert lora.recognise(str(tmp_path / "gone")) is None and lora.recognise(str(tmp_path)) is None
    assert lora.recognise(str(tiny_folder / "tiny-student.safetensors")) is None
    torch.save({"a": 1}, tmp_path / "x.pt")
    with pytest.raises(BadInput, match="pickle"):
        lora.recognise(str(tmp_path / "x.pt"))


def test_unknown_tensors_are_named(tmp_path: Path) -> None:
    path = cross_attention(tmp_path / "x.safetensors", 768)
    save_file(load_file(path) | {f"lora_unet_x{i}.hada_w1_a": torch.zeros(1) for i in range(5)}, path)
    with pytest.raises(BadInput, match=r"5 tensors that belong to no plain LoRA: lora_unet_x0.hada_w1_a, .*x1.*x2.*, \.\.\.\. LoHa"):
        lora.recognise(str(path))


def test_half_a_pair_is_refused(tmp_path: Path) -> None:
    save_file({f"{PATH}.lora_A.weight": torch.zeros(4, 768)}, tmp_path / "x.safetensors")
    with pytest.raises(BadInput, match="only one of the two matrices of down_blocks_0"):
        lora.recognise(str(tmp_path / "x.safetensors"))


def test_truncated_after_it_was_recognised(tmp_path: Path) -> None:
    path = cross_attention(tmp_path / "x.safetensors", 768)
    spec = lora.recognise(str(path))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(MissingWeights, match="x.safetensors"):
        lora.load(spec, FP32)


def test_layers_the_base_lacks_and_widths_that_differ_change_nothing(tmp_path: Path) -> None:
    b = base()
    whole = tiny_lora.write(tmp_path / "x.safetensors", b)
    names = repr(b.network)
    said = {"onestroke.arch": json.dumps({"family": "tiny", "context_dim": 6, "latent_channels": 4})}
    save_file(load_file(whole) | {"unet.up.to_q.lora_A.weight": torch.zeros(4, 6), "unet.up.to_q.lora_B.weight": torch.zeros(8, 4)}, whole, said)
    with pytest.raises(Incompatible, match='changes 1 layers that "A base" does not have: unet up_to_q'), lora.load(lora.recognise(str(whole)), FP32).attach(b):
        pass
    wide = {k: torch.zeros(4, 12) if k == "unet.to_q.lora_A.weight" else v for k, v in load_file(whole).items() if ".up." not in k}
    save_file(wide, whole, said)
    with pytest.raises(Incompatible, match=r"\(4, 12\).*for to_q, which do not fit"), lora.load(lora.recognise(str(whole)), FP32).attach(b):
        pass
    assert repr(b.network) == names


def test_attaching_to_another_architecture_names_both(tmp_path: Path) -> None:
    adapter = lora.load(lora.recognise(str(tiny_lora.write(tmp_path / "x.safetensors", base()))), FP32)
    with pytest.raises(Incompatible, match='"Random 0" is made for tiny .*, "A base" is sd1'), adapter.attach(base(SD1)):
        pass


def test_an_error_inside_detaches_all_the_same(tmp_path: Path) -> None:
    b = base()
    adapter, names = lora.load(lora.recognise(str(tiny_lora.write(tmp_path / "x.safetensors", b))), FP32), repr(b.network)
    with pytest.raises(ZeroDivisionError), adapter.attach(b):
        raise ZeroDivisionError
    assert repr(b.network) == names
