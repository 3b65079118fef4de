"""SDXL checkpoints with the real layout at tiny width: folders and single files, against diffusers' own pipeline, whole and broken."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.adapters import lora
from models.bases import _random_sd, sd_unet, sdxl_unet
from models.bases._sd_layout import elements, missing_xl_parts, shapes_of, xl_layout_of
from models.catalog import Catalog
from models.devices import Device
from models.engine import Engine
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import Extent, Job, Picture
from models.registry import Registry
from models.sampling import noise
from models.spec import SDXL, Arch
from tests import tiny_sdxl
from tests.tiny_adapters import lora as tiny_lora

pytestmark = pytest.mark.render
FP32 = Device("cpu", torch.float32)
EXTENT, TIMES, SEED = Extent(96, 64), [999, 666, 333], 7
JOB = Job(prompt="a red fox, jumping", base="tiny-sdxl", extent=EXTENT, steps=3, seeds=(SEED,))
PARTS = ("network", "vae", "text_encoder", "text_encoder_2")


def open_base(path: Path, device: Device = FP32) -> sdxl_unet.SdxlUnetBase:
    return sdxl_unet.load(sdxl_unet.recognise(str(path)), device)


@pytest.fixture
def own(sdxl_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy that a test may break."""
    def copy(name: str) -> Path:
        source = sdxl_folder / name
        return Path(shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name))
    return copy


@pytest.fixture(scope="module")
def base(sdxl_folder: Path) -> sdxl_unet.SdxlUnetBase:
    return open_base(sdxl_folder / "tiny-sdxl")


def test_folder_and_single_file_are_the_same_networks(base: sdxl_unet.SdxlUnetBase, sdxl_folder: Path) -> None:
    file = open_base(sdxl_folder / "tiny-sdxl-file.safetensors")
    for part in PARTS:
        a, b = getattr(base, part).state_dict(), getattr(file, part).state_dict()
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a), part
    assert file.prediction == base.prediction == "epsilon" and np.array_equal(base.sigmas, file.sigmas)
    assert file.vae.config.scaling_factor == base.vae.config.scaling_factor == 0.13025
    words, same = (b.encode_prompt("a red fox, 1!") for b in (base, file))
    assert torch.allclose(words.states, same.states, atol=1e-5) and torch.allclose(words.pooled, same.pooled, atol=1e-5)


def test_at_real_width_a_single_file_says_the_published_configs() -> None:
    """Names and shapes only: no weight is made."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        nets = {"unet": UNet2DConditionModel(**_random_sd.XL_UNET), "vae": AutoencoderKL(**_random_sd.XL_VAE),
                "text_encoder": CLIPTextModel(CLIPTextConfig(**_random_sd.TEXT)),
                "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**_random_sd.XL_TEXT))}
    shapes = shapes_of({name: {"shape": tensor.shape} for name, tensor in tiny_sdxl.single_file(nets).items()})
    layout = xl_layout_of(shapes)
    assert not missing_xl_parts(shapes) and all(layout.unet[key] == value for key, value in _random_sd.XL_UNET.items())
    assert all(layout.vae[key] == value for key, value in _random_sd.XL_VAE.items())
    for text, config in zip(layout.texts, (_random_sd.TEXT, _random_sd.XL_TEXT)):
        assert all(text.config[key] == value for key, value in config.items() if key != "pad_token_id")
    assert 4 * elements(shapes) == pytest.approx(sdxl_unet.SPECS[0].bytes, rel=1e-3)


# --- against the pipeline of diffusers ---------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def engine(sdxl_folder: Path):
    catalog = Catalog()
    catalog.resolve_base(str(sdxl_folder / "tiny-sdxl"))
    engine = Engine(catalog, Registry(catalog, FP32))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def pipeline(sdxl_folder: Path):
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(sdxl_folder / "tiny-sdxl", local_files_only=True, add_watermarker=False)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("negative, guidance", [("", 5.0), ("blue, blurry", 3.0), ("", 1.0)])
def test_it_paints_what_the_pipeline_of_diffusers_paints(engine: Engine, pipeline, negative: str, guidance: float) -> None:
    """The same noise, the same noise levels, the deterministic step: the same picture, without words against it too."""
    ours = engine.render(JOB.but(negative=negative, guidance=guidance)).pixels[0]
    latents = noise((SEED,), (4, EXTENT.height // 8, EXTENT.width // 8))
    theirs = pipeline(JOB.prompt, negative_prompt=negative or None, guidance_scale=guidance, timesteps=TIMES, latents=latents,
                      width=EXTENT.width, height=EXTENT.height, output_type="np").images[0]
    assert ours.std() > 3 and np.abs(ours - theirs * 255).max() < 1.5


@torch.inference_mode()
def test_words_are_those_of_the_pipeline(base: sdxl_unet.SdxlUnetBase, pipeline) -> None:
    for text in ("", "a red fox", "fox " * 100):
        states, _, pooled, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False)
        first, _, cut = base._read(base.text_encoder, base.tokenizer, text)
        second, out, _ = base._read(base.text_encoder_2, base.tokenizer_2, text)
        assert torch.allclose(torch.cat([first, second], -1), states, atol=1e-5) and cut == (len(text) > 77)
        assert torch.allclose(out.text_embeds, pooled, atol=1e-5)


# --- what the network is told ------------------------------------------------------------------------------------------

def test_all_that_the_network_is_told_goes_to_a_controlnet_too(base: sdxl_unet.SdxlUnetBase) -> None:
    cond = base.batch_cond([base.encode_prompt("a fox"), base.encode_prompt("a dog")])
    inputs = base.inputs(torch.ones(2, 4, 8, 12), 5.0, cond)
    assert inputs.keys() == {"sample", "timestep", "encoder_hidden_states", "added_cond_kwargs"}
    assert inputs["encoder_hidden_states"].shape == (2, 77, 96)
    assert inputs["added_cond_kwargs"]["text_embeds"].shape == (2, 48)
    assert inputs["added_cond_kwargs"]["time_ids"].tolist() == [[64, 96, 0, 0, 64, 96]] * 2


def test_residuals_of_a_controlnet_are_taken(base: sdxl_unet.SdxlUnetBase) -> None:
    from diffusers import ControlNetModel

    net = ControlNetModel.from_unet(base.network)
    torch.nn.init.normal_(net.controlnet_mid_block.weight, std=0.1)
    cond, x = base.batch_cond([base.encode_prompt("a fox")]), torch.ones(1, 4, 8, 12)
    with torch.inference_mode():
        down, mid = net(**base.inputs(x, 5.0, cond), controlnet_cond=torch.ones(1, 3, 64, 96), return_dict=False)
        with_control = base.denoise(x, 5.0, cond, dict(down_block_additional_residuals=down, mid_block_additional_residual=mid))
        assert not torch.allclose(with_control, base.denoise(x, 5.0, cond, {}), atol=1e-3)


def test_no_words_are_zeros_only_where_guidance_is_used(base: sdxl_unet.SdxlUnetBase, own: Callable, tmp_path: Path) -> None:
    blank = base.encode_prompt(" ")
    assert not blank.states.any() and not blank.pooled.any() and not blank.truncated
    turbo = own("tiny-sdxl").rename(tmp_path / "my-turbo")
    assert open_base(turbo).encode_prompt("").states.any()
    index = json.loads((turbo / "model_index.json").read_text())
    (turbo / "model_index.json").write_text(json.dumps(index | {"force_zeros_for_empty_prompt": False}))
    assert open_base(turbo.rename(tmp_path / "my-full")).encode_prompt("").states.any()


@torch.inference_mode()
def test_in_half_precision_the_vae_stays_in_single(sdxl_folder: Path) -> None:
    for name in ("tiny-sdxl", "tiny-sdxl-file.safetensors"):
        for dtype, expected in ((torch.float16, torch.float32), (torch.bfloat16, torch.bfloat16)):
            half = open_base(sdxl_folder / name, Device("cpu", dtype))
            assert half.vae.dtype == expected and half.network.dtype == half.text_encoder_2.dtype == dtype
            assert torch.isfinite(half.decode(half.encode(torch.rand(1, 3, 64, 64)))).all()


# --- what its spec says ------------------------------------------------------------------------------------------------

def test_the_spec_follows_from_the_content(own: Callable) -> None:
    for name in ("tiny-sdxl", "tiny-sdxl-file.safetensors"):
        path = own(name)
        spec = sdxl_unet.recognise(str(path.rename(path.with_name("My Model (v2)" + (".ckpt" if path.is_file() else "")))))
        assert spec.arch == Arch("sdxl", 96, 4) and spec.id.startswith("my-model-v2") and sd_unet.recognise(str(path.parent / spec.title)) is None
        assert (spec.default_steps, spec.default_guidance, spec.negative_prompt, spec.native_px) == (25, 5.0, True, (1024,))


@pytest.mark.parametrize("name, steps, side", [("sd_xl_turbo_1.0", 1, 512), ("Juggernaut-Lightning", 4, 1024), ("x_hyper", 4, 1024)])
def test_distilled_checkpoints_take_few_steps_and_no_guidance(sdxl_folder: Path, tmp_path: Path, name: str, steps: int, side: int) -> None:
    file = tmp_path / f"{name}.safetensors"
    file.symlink_to(sdxl_folder / "tiny-sdxl-file.safetensors")
    spec = sdxl_unet.recognise(str(file))
    assert (spec.default_steps, spec.max_steps, spec.default_guidance, spec.negative_prompt) == (steps, 8, 1.0, False)
    assert spec.native_px == (side,)


def test_the_size_a_folder_was_trained_at_is_in_its_config(own: Callable, tmp_path: Path) -> None:
    turbo = own("tiny-sdxl").rename(tmp_path / "some-turbo")
    assert sdxl_unet.recognise(str(turbo)).native_px == (1024,) and sdxl_unet.recognise(str(turbo)).default_steps == 4
    config = turbo / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 64}))
    assert sdxl_unet.recognise(str(turbo)).native_px == (512,) and sdxl_unet.recognise(str(turbo)).default_steps == 1


def test_the_well_known_ones_are_listed_and_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    catalog = Catalog()
    turbo = catalog.resolve_base("stabilityai/sdxl-turbo")
    assert turbo is catalog.bases["sdxl-turbo"] and turbo.arch == SDXL and turbo.native_px == (512,)
    assert catalog.resolve_base("stabilityai/stable-diffusion-xl-base-1.0").id == "sdxl"
    with pytest.raises(MissingWeights, match=r'about 6.9 GB to download.*hf download stabilityai/sdxl-turbo .*"text_encoder_2/\*.fp16'):
        sdxl_unet.load(turbo, FP32, tmp_path / "cache")


def test_a_hub_model_in_the_cache_is_used(sdxl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--someone--Some-XL"
    shutil.copytree(sdxl_folder / "tiny-sdxl", place / "snapshots" / "abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    spec = Catalog().resolve_base("someone/Some-XL")
    assert spec.id == "some-xl" and spec.files[0].repo == "someone/Some-XL"
    assert sdxl_unet.load(spec, FP32).prediction == "epsilon"


def test_half_precision_variants_are_found(tmp_path: Path) -> None:
    folder = tiny_sdxl.write_folder(tmp_path / "half", tiny_sdxl.networks(), variant="fp16", prediction_type="v_prediction")
    assert open_base(folder).prediction == "v_prediction"


def test_single_files_say_v_prediction_and_zero_terminal_snr_by_a_tensor(own: Callable) -> None:
    path = own("tiny-sdxl-file.safetensors")
    save_file(load_file(path) | {"v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}, path)
    base = open_base(path)
    assert base.prediction == "v_prediction" and base.sigmas[-1] == pytest.approx(4096, rel=0.01)


def test_it_paints_from_pictures_and_in_masks(engine: Engine) -> None:
    drawing = Picture.from_array(np.full((64, 96, 3), 200, np.uint8))
    near, far = (engine.render(JOB.but(image=drawing, strength=s)).pixels.astype(int) for s in (0.1, 0.9))
    assert (near != far).any()
    mask = np.zeros((64, 96, 1), np.uint8)
    mask[:, 48:] = 255
    painted = engine.render(JOB.but(image=drawing, strength=0.9, mask=Picture.from_array(mask))).pixels[0]
    assert (painted[:, :40] == 200).all() and (painted[:, 60:] != 200).any()


# --- LoRA --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("layout", ["peft", "kohya"])
def test_a_lora_changes_both_text_encoders_and_forgets_prompts(base: sdxl_unet.SdxlUnetBase, tmp_path: Path, layout: str) -> None:
    adapter = lora.load(lora.recognise(str(tiny_lora.write(tmp_path / "x.safetensors", base, layout, text=True))), FP32)
    assert {place.target for place in adapter.factors} == {"unet", "text_encoder", "text_encoder_2"}
    plain = base.encode_prompt("a red fox")
    with adapter.attach(base):
        changed = base.encode_prompt("a red fox")
        halves = (changed.states - plain.states).abs().mean(0).split(list(tiny_sdxl.TEXT_WIDTHS))
        assert all(half.max() > 1e-4 for half in halves) and not torch.equal(changed.pooled, plain.pooled)
        adapter.set_strength(0.0)
        assert torch.equal(base.encode_prompt("a red fox").states, plain.states)
    assert torch.equal(base.encode_prompt("a red fox").pooled, plain.pooled)


def test_both_layouts_of_one_lora_are_one_change(base: sdxl_unet.SdxlUnetBase, tmp_path: Path) -> None:
    """Every kind of layer, so that each name of single-file checkpoints is met."""
    kinds = ("to_q", "conv", "conv1", "conv2", "conv_shortcut", "proj_in", "linear_1", "linear_2", "time_emb_proj", "conv_in", "conv_out", "net.2")
    found = [lora.load(lora.recognise(str(tiny_lora.write(tmp_path / f"{layout}.safetensors", base, layout, endings=kinds))), FP32)
             for layout in ("peft", "kohya")]
    peft, kohya = (adapter.factors for adapter in found)
    assert peft.keys() == kohya.keys() and len(peft) > 90
    for place, ours in peft.items():
        assert torch.equal(ours.down, kohya[place].down) and torch.equal(ours.up, kohya[place].up) and ours.scale == kohya[place].scale
    with found[1].attach(base):
        assert sum(isinstance(layer, lora.LoraLayer) for layer in base.network.modules()) == len(kohya)


# --- broken, foreign and unusable ones ---------------------------------------------------------------------------------

@pytest.mark.parametrize("part", ["unet", "text_encoder_2", "tokenizer_2", "scheduler"])
def test_incomplete_folders_name_what_is_missing(own: Callable, part: str) -> None:
    folder = own("tiny-sdxl")
    shutil.rmtree(folder / part)
    with pytest.raises(MissingWeights, match=f"incomplete: .*{part}.*Download or copy it again"):
        sdxl_unet.recognise(str(folder))


@pytest.mark.parametrize("lost, said", [("first_stage_model.", "VAE"), ("conditioner.embedders.0.", "first text encoder"),
                                        ("conditioner.embedders.1.", "second text encoder")])
def test_part_of_a_single_file_says_which_network_it_lacks(own: Callable, lost: str, said: str) -> None:
    path = own("tiny-sdxl-file.safetensors")
    save_file({k: v for k, v in load_file(path).items() if not k.startswith(lost)}, path)
    with pytest.raises(MissingWeights, match=f"lacks its {said}"):
        sdxl_unet.recognise(str(path))


def test_refiners_and_other_noise_are_refused_by_name(own: Callable) -> None:
    path = own("tiny-sdxl-file.safetensors")
    whole = load_file(path)
    save_file({k.replace("embedders.1.", "embedders.0."): v for k, v in whole.items() if "embedders.0." not in k}, path)
    with pytest.raises(Incompatible, match="is an SDXL refiner.*Use the base model"):
        sdxl_unet.recognise(str(path))
    save_file(whole | {"edm_mean": torch.zeros(4)}, path)
    with pytest.raises(Incompatible, match=r"other noise levels than SDXL \(EDM\)"):
        sdxl_unet.recognise(str(path))
    folder = own("tiny-sdxl")
    schedule, index = folder / "scheduler" / "scheduler_config.json", folder / "model_index.json"
    schedule.write_text(json.dumps(json.loads(schedule.read_text()) | {"_class_name": "EDMEulerScheduler"}))
    with pytest.raises(Incompatible, match="other noise levels than Stable Diffusion .EDMEulerScheduler"):
        sdxl_unet.recognise(str(folder))
    refiner = {"_class_name": "StableDiffusionXLImg2ImgPipeline", "text_encoder": [None, None]}
    index.write_text(json.dumps(json.loads(index.read_text()) | refiner))
    with pytest.raises(Incompatible, match="one text encoder only, as SDXL refiners"):
        sdxl_unet.recognise(str(folder))


def test_a_pruned_unet_in_a_single_file_is_refused(own: Callable) -> None:
    path = own("tiny-sdxl-file.safetensors")
    whole = load_file(path)
    block = "model.diffusion_model.output_blocks.3.1.transformer_blocks."
    more = {k.replace(f"{block}0.", f"{block}1."): v.clone() for k, v in whole.items() if k.startswith(f"{block}0.")}
    save_file(whole | more, path)
    with pytest.raises(Incompatible, match="tensors that others do not have, the first is up_blocks.1.attentions.0"):
        open_base(path)


def test_editing_checkpoints_and_pickles_are_refused_and_inpainting_ones_taken(own: Callable, tmp_path: Path) -> None:
    path = own("tiny-sdxl-file.safetensors")
    whole = load_file(path)
    save_file(whole | {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, 8, 3, 3)}, path)
    with pytest.raises(Incompatible, match="takes 8 channels: it is an editing"):
        sdxl_unet.recognise(str(path))
    save_file(whole | {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}, path)
    base = open_base(path)
    assert base.for_holes and base.spec.arch.latent_channels == 4
    words = base.batch_cond([base.encode_prompt("a fox")])
    assert base.denoise(torch.zeros(1, 4, 8, 8), 1.0, words, {}).shape == (1, 4, 8, 8)
    torch.save({"a": 1}, tmp_path / "model.ckpt")
    with pytest.raises(BadInput, match="pickle"):
        sdxl_unet.recognise(str(tmp_path / "model.ckpt"))


def test_other_files_are_told_apart(sd_folder: Path, tiny_folder: Path) -> None:
    for other in (sd_folder / "tiny-sd1", sd_folder / "tiny-sd2-file.safetensors", tiny_folder / "tiny-student.safetensors"):
        assert sdxl_unet.recognise(str(other)) is None
