"""Tiny decoders: three layouts give one network, the picture is the one diffusers decodes, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.adapters import taesd
from models.devices import Device
from models.errors import Incompatible, MissingWeights
from models.spec import EMBEDDED, SD1, SD2, SDXL
from tests.tiny_adapters.taesd import autoencoder, write

FP32 = Device("cpu", torch.float32)


def base(channels: int = 4) -> SimpleNamespace:
    grey = lambda z: torch.full((len(z), 3, z.shape[2] * 8, z.shape[3] * 8), 0.5)
    return SimpleNamespace(spec=SimpleNamespace(arch=SD1, title="A base"), latent_channels=channels, decode=grey)


@pytest.mark.parametrize("layout", ["folder", "file", "original"])
def test_every_layout_decodes_as_diffusers_does(tmp_path: Path, layout: str) -> None:
    spec = taesd.recognise(str(write(tmp_path / ("taesd" if layout == "folder" else "taesd.safetensors"), None, layout)))
    assert (spec.id, spec.arch, spec.also, spec.claims) == ("taesd", SD2, (SD1,), ("decoder",)) and spec.bytes > 0
    adapter, latents = taesd.load(spec, FP32), torch.randn(2, 4, 6, 5)
    with torch.no_grad(), adapter.attach(base()) as hooks:
        expected = (autoencoder().decode(latents).sample / 2 + 0.5).clamp(0, 1)
        assert torch.allclose(hooks.decode(latents), expected, atol=1e-5) and expected.shape == (2, 3, 48, 40)
        adapter.set_strength(0.25)
        assert torch.allclose(hooks.decode(latents), 0.75 * 0.5 + 0.25 * expected, atol=1e-5)
        adapter.set_strength(0.0)
        assert (hooks.decode(latents) == 0.5).all()


def test_the_real_shape_is_seen_from_the_names() -> None:
    from diffusers import AutoencoderTiny

    state = {k: v for k, v in AutoencoderTiny().state_dict().items()}
    tensors = {place: state[name] for place, name in taesd._layers(state).items()}
    assert taesd.shape_of(tensors) == taesd.Shape(4, (3, 3, 3, 1), (64, 64, 64, 64))


def test_prefixes_of_other_programs_are_read(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.safetensors", None, "original")
    for prefix in ("taesd_decoder.", "decoder."):
        save_file({prefix + k: v for k, v in load_file(plain).items()}, tmp_path / "b.safetensors")
        with torch.no_grad():
            one, other = (taesd.load(taesd.recognise(str(p)), FP32).net for p in (plain, tmp_path / "b.safetensors"))
        assert torch.equal(one(torch.ones(1, 4, 2, 2)), other(torch.ones(1, 4, 2, 2)))


def test_sdxl_is_told_by_its_name(tmp_path: Path) -> None:
    spec = taesd.recognise(str(write(tmp_path / "taesdxl_decoder.safetensors", None, "original")))
    assert (spec.id, spec.arch, spec.also) == ("taesdxl-decoder", SDXL, ())


def test_other_files_are_left_to_others(tmp_path: Path, tiny_folder: Path, sd_folder: Path) -> None:
    for other in (tiny_folder / "decoder.safetensors", tiny_folder / "tiny-student.safetensors", sd_folder / "tiny-sd1",
                  sd_folder / "tiny-sd1-file.safetensors", tmp_path, tmp_path / "gone.safetensors"):  # fmt: skip
        assert taesd.recognise(str(other)) is None
    only_encoder = {k: v for k, v in autoencoder().state_dict().items() if k.startswith("encoder.")}
    save_file({k.removeprefix("encoder.layers."): v for k, v in only_encoder.items()}, tmp_path / "taesd_encoder.safetensors")
    assert taesd.recognise(str(tmp_path / "taesd_encoder.safetensors")) is None


def test_what_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "x.safetensors", None, "file")
    adapter = taesd.load(taesd.recognise(str(path)), FP32)
    wide, strange = base(16), base()
    strange.spec.arch = EMBEDDED
    with pytest.raises(Incompatible, match='decodes 4 channels, "A base" paints 16'), adapter.attach(wide):
        pass
    with pytest.raises(Incompatible, match="x.* is made for sd2"), adapter.attach(strange):
        pass
    save_file({k: v for k, v in load_file(path).items() if k != "decoder.layers.2.conv.4.bias"}, path)
    with pytest.raises(MissingWeights, match="x.safetensors is incomplete"):
        taesd.load(taesd.recognise(str(path)), FP32)
