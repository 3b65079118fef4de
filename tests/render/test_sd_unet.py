"""Stable Diffusion checkpoints with the real layout at tiny width: folders and single files, whole and broken."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.bases import sd_unet
from models.bases._sd_parts import clip_tokenizer, sigmas_of
from models.devices import Device
from models.engine import open_engine
from models.errors import BadInput, Cancelled, Incompatible, MissingWeights
from models.job import Extent, Job, Picture
from models.sampling import vp_sigmas
from models.spec import SD1, SD2, Arch
from tests import tiny_sd

pytestmark = pytest.mark.render
FP32 = Device("cpu", torch.float32)
JOB = Job(prompt="a red fox, jumping", extent=Extent(64, 64), steps=2, guidance=2.0)


def open_base(path: Path) -> sd_unet.SdUnetBase:
    return sd_unet.load(sd_unet.recognise(str(path)), FP32)


@pytest.fixture
def own(sd_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy that a test may break."""
    def copy(name: str) -> Path:
        source = sd_folder / name
        return Path(shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path / name))
    return copy


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_folder_and_single_file_are_the_same_networks(sd_folder: Path, family: str) -> None:
    folder, file = (open_base(sd_folder / f"tiny-{family}{kind}") for kind in ("", "-file.safetensors"))
    for part in ("network", "vae", "text_encoder"):
        a, b = getattr(folder, part).state_dict(), getattr(file, part).state_dict()
        assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a), part
    assert folder.prediction == file.prediction == ("v_prediction" if family == "sd2" else "epsilon")
    assert np.array_equal(folder.sigmas, file.sigmas)
    assert torch.equal(folder.encode_prompt("a red fox, 1!").states, file.encode_prompt("a red fox, 1!").states)


@pytest.mark.parametrize("name, arch", [("tiny-sd1", Arch("sd1", 32, 4)), ("tiny-sd2-file.safetensors", Arch("sd2", 32, 4))])
def test_the_spec_follows_from_the_content(own: Callable, name: str, arch: Arch) -> None:
    path = own(name)
    renamed = path.rename(path.with_name("My Model (v2.5)" + (".ckpt" if path.is_file() else "")))
    spec = sd_unet.recognise(str(renamed))
    assert spec.arch == arch and spec.id.startswith("my-model-v2") and spec.negative_prompt and spec.default_steps == 20
    assert spec.native_px == (512,) and spec.bytes > 20_000_000


@pytest.mark.parametrize("name", ["sd_turbo", "Some-Lightning", "x_hyper_sd", "LCM mix"])
def test_distilled_checkpoints_take_few_steps_and_no_guidance(sd_folder: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.safetensors"
    file.symlink_to(sd_folder / "tiny-sd2-file.safetensors")
    spec = sd_unet.recognise(str(file))
    assert (spec.default_steps, spec.max_steps, spec.default_guidance, spec.negative_prompt) == (1, 4, 1.0, False)
    plan = sd_unet.SdUnetBase.plan(_Planned(spec), Job(guidance=7.0))
    assert plan.guidance == 1 and plan.stochastic and plan.sigmas[0] == pytest.approx(14.6146, abs=1e-3)


class _Planned:
    """The two values that a plan is made from."""
    sigmas = vp_sigmas()

    def __init__(self, spec: object) -> None:
        self.spec = spec


def test_the_well_known_ones_are_listed_and_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    by_id = {spec.id: spec for spec in sd_unet.SPECS}
    assert by_id["sd-turbo"].arch == SD2 and by_id["sd15"].arch == SD1
    assert sd_unet.recognise("stabilityai/sd-turbo") is by_id["sd-turbo"]
    with pytest.raises(MissingWeights, match=r'"stabilityai/sd-turbo" is not on this machine \(about 2.6 GB to download\).*hf download stabilityai/sd-turbo'):
        sd_unet.load(by_id["sd-turbo"], FP32, tmp_path / "cache")
    with pytest.raises(MissingWeights, match="hf download someone/some-model"):
        sd_unet.recognise("someone/some-model")


def test_a_hub_model_in_the_cache_is_used(sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--someone--Some-Model"
    shutil.copytree(sd_folder / "tiny-sd1", place / "snapshots" / "abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    spec = sd_unet.recognise("someone/Some-Model")
    assert spec.id == "some-model" and spec.files[0].repo == "someone/Some-Model"
    assert sd_unet.load(spec, FP32).prediction == "epsilon"


def test_half_precision_variants_are_found(tmp_path: Path) -> None:
    folder = tiny_sd.write_folder(tmp_path / "half", tiny_sd.networks("sd1"), variant="fp16")
    assert open_base(folder).network.dtype == torch.float32


def test_weights_in_several_files_are_found_and_a_lost_one_is_named(sd_folder: Path, own: Callable) -> None:
    folder = own("tiny-sd1")
    whole = sd_unet.recognise(str(folder))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    open_base(sd_folder / "tiny-sd1").network.save_pretrained(folder / "unet", max_shard_size="6MB")
    shards = sorted((folder / "unet").glob("*-of-*.safetensors"))
    spec = sd_unet.recognise(str(folder))
    assert len(shards) > 1 and spec.bytes == whole.bytes and len(spec.files) == 3 + len(shards)
    assert sd_unet.load(spec, FP32).prediction == "epsilon"
    shards[0].unlink()
    with pytest.raises(MissingWeights, match=f"lacks {shards[0].name}"):
        sd_unet.recognise(str(folder))


def test_the_shipped_tokenizer_is_clips(sd_folder: Path) -> None:
    """Token ids of the published vocabulary (Radford et al. 2021)."""
    words = clip_tokenizer("<|endoftext|>")
    assert len(words) == 49408 and words("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    folder = open_base(sd_folder / "tiny-sd1").tokenizer
    for text in ("", "A Red FOX, jumping!", "naïve café 狐 🦊", "it's 2x4"):
        assert folder(text).input_ids == words(text).input_ids


def test_long_prompts_lose_their_end_and_say_so(sd_folder: Path) -> None:
    base = open_base(sd_folder / "tiny-sd1")
    long, longer = base.encode_prompt("fox " * 76), base.encode_prompt("fox " * 20_000)
    assert base.encode_prompt("fox " * 75).truncated is False and long.truncated and longer.truncated
    assert torch.equal(long.states, longer.states) and long.states.shape == (77, 32)


def test_noise_levels_come_from_the_schedulers_own_alphas() -> None:
    assert np.allclose(sigmas_of(tiny_sd.SCHEDULER), vp_sigmas(), rtol=1e-4)
    linear = sigmas_of({"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02})
    assert linear[-1] > 100 and (np.diff(linear) > 0).all()
    zero_snr = sigmas_of({"rescale_betas_zero_snr": True})
    assert zero_snr[-1] == pytest.approx(4096, rel=0.01) and np.isfinite(zero_snr).all()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_every_parameterisation_gives_x0(sd_folder: Path, prediction: str) -> None:
    """A network that is always right in its own terms makes denoise return the truth."""
    base = open_base(sd_folder / "tiny-sd1")
    x0, eps, sigma = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), 2.0
    alpha, s = 1 / 5 ** 0.5, 2 / 5 ** 0.5
    answer = {"epsilon": eps, "v_prediction": alpha * eps - s * x0, "sample": x0}[prediction]
    base.prediction, seen = prediction, []

    def right(sample: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: object, return_dict: bool) -> tuple[torch.Tensor]:
        seen.append((sample, float(timestep)))
        return (answer,)
    right.config = SimpleNamespace(in_channels=4)
    base.network = right
    assert torch.allclose(base.denoise(x0 + sigma * eps, sigma, None, {}), x0, atol=1e-5)
    assert torch.allclose(seen[0][0], alpha * x0 + s * eps, atol=1e-6)
    assert base.sigmas[int(seen[0][1])] <= sigma <= base.sigmas[int(seen[0][1]) + 1]


def test_v_prediction_is_seen_from_the_answers_where_no_header_says_it(sd_folder: Path, tmp_path: Path) -> None:
    tensors = load_file(sd_folder / "tiny-sd2-file.safetensors")
    for bias, expected in ((0.0, "epsilon"), (-3.0, "v_prediction")):
        tensors["model.diffusion_model.out.2.bias"].fill_(bias)
        save_file(tensors, tmp_path / f"probe{expected}.safetensors")
        assert open_base(tmp_path / f"probe{expected}.safetensors").prediction == expected


@pytest.fixture(scope="module")
def engine(sd_folder: Path):
    engine = open_engine(bases=[str(sd_folder / "tiny-sd1-file.safetensors")], device="cpu")
    yield engine
    engine.close()


def test_it_paints_repeatably_in_batches_and_from_pictures(engine) -> None:
    job = JOB.but(base="tiny-sd1-file", seeds=(1, 2))
    first = engine.render(job).pixels
    assert (engine.render(job).pixels == first).all() and first.shape == (2, 64, 64, 3)
    singles = np.concatenate([engine.render(job.but(seeds=(seed,))).pixels for seed in (1, 2)])
    assert np.abs(first.astype(int) - singles).mean() < 2
    drawing = Picture.from_array(np.full((64, 64, 3), 200, np.uint8))
    near, far = (engine.render(job.but(image=drawing, strength=s)).pixels.astype(int) for s in (0.1, 0.9))
    assert (near != far).any() and (engine.render(job.but(image=drawing, strength=0.0)).pixels == 200).all()
    assert (engine.render(job.but(negative="blue")).pixels != first).any()


def test_it_stops_between_steps(engine) -> None:
    steps: list[int] = []
    with pytest.raises(Cancelled):
        engine.render(JOB.but(base="tiny-sd1-file", steps=30), progress=lambda done, total, what: steps.append(done), cancel=lambda: len(steps) > 2)
    assert max(steps) <= 2 and engine.render(JOB.but(base="tiny-sd1-file")).pixels.std() > 1


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "scheduler", "tokenizer", "unet/config.json"])
def test_incomplete_folders_name_what_is_missing(own: Callable, part: str) -> None:
    path = own("tiny-sd1") / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(MissingWeights, match=f"incomplete: .*{part}.*Download or copy it again"):
        sd_unet.recognise(str(path.parents[part.count("/")]))


def test_a_folder_whose_files_break_after_it_was_recognised(own: Callable) -> None:
    folder = own("tiny-sd1")
    spec = sd_unet.recognise(str(folder))
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(MissingWeights, match="truncated: 1,000 bytes are missing"):
        sd_unet.load(spec, FP32)
    shutil.rmtree(folder)
    with pytest.raises(MissingWeights, match="not there any more"):
        sd_unet.load(spec, FP32)


def test_lost_tensors_are_named_not_invented(own: Callable) -> None:
    weights = own("tiny-sd1") / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    del tensors["conv_in.weight"]
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(MissingWeights, match="lacks 1 tensors, the first is conv_in.weight"):
        open_base(weights.parents[1])


@pytest.mark.parametrize("lost, said", [("first_stage_model.", "VAE"), ("cond_stage_model.", "text encoder")])
def test_half_a_single_file_says_which_network_it_lacks(own: Callable, lost: str, said: str) -> None:
    path = own("tiny-sd1-file.safetensors")
    save_file({k: v for k, v in load_file(path).items() if not k.startswith(lost)}, path)
    with pytest.raises(MissingWeights, match=f"lacks its {said}"):
        sd_unet.recognise(str(path))


def test_a_single_file_that_lost_a_tensor_is_named(own: Callable) -> None:
    path = own("tiny-sd1-file.safetensors")
    save_file({k: v for k, v in load_file(path).items() if "middle_block.1.norm" not in k}, path)
    with pytest.raises(MissingWeights, match="mid_block.attentions.0.norm"):
        open_base(path)


def test_truncated_files_and_pickles_are_refused(own: Callable, tmp_path: Path) -> None:
    path = own("tiny-sd1-file.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(MissingWeights, match="truncated: 5 bytes"):
        sd_unet.recognise(str(path))
    torch.save({"a": 1}, tmp_path / "model.ckpt")
    with pytest.raises(BadInput, match="pickle"):
        sd_unet.recognise(str(tmp_path / "model.ckpt"))
    folder = own("tiny-sd1")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").rename(folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(BadInput, match="pickles"):
        sd_unet.recognise(str(folder))


def test_other_folders_and_files_are_told_apart(own: Callable, tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no diffusers folder"):
        sd_unet.recognise(str(tmp_path))
    assert sd_unet.recognise(str(tiny_folder / "tiny-student.safetensors")) is None
    folder = own("tiny-sd1")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionXLPipeline"}))
    assert sd_unet.recognise(str(folder)) is None
    (folder / "model_index.json").write_text("{")
    with pytest.raises(BadInput, match="not readable JSON"):
        sd_unet.recognise(str(folder))


def with_channels(path: Path, count: int, of: Path) -> Path:
    """A single file whose UNet takes so many channels, the weights of the first four as they were."""
    tensors = load_file(path)
    name = "model.diffusion_model.input_blocks.0.0.weight"
    torch.manual_seed(0)
    tensors[name] = torch.cat([tensors[name], torch.randn(32, count - 4, 3, 3) * 0.3], 1)
    save_file(tensors, of)
    return of


def test_editing_checkpoints_are_refused_by_name(own: Callable, tmp_path: Path) -> None:
    for count in (5, 8):
        with pytest.raises(Incompatible, match=f"takes {count} channels: it is an editing or depth"):
            sd_unet.recognise(str(with_channels(own("tiny-sd1-file.safetensors"), count, tmp_path / f"of-{count}.safetensors")))


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_a_checkpoint_for_inpainting_sees_mask_and_known_latents(own: Callable, tmp_path: Path, family: str) -> None:
    """The five channels are what diffusers' pipeline for it makes of picture and mask."""
    base = open_base(with_channels(own(f"tiny-{family}-file.safetensors"), 9, tmp_path / "inpainting.safetensors"))
    assert base.for_holes and base.spec.arch.latent_channels == 4 and base.spec.inpainting
    rgb, mask = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)), torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 8:40] = 1
    base.show(rgb, mask)
    masked = (rgb * 2 - 1) * (mask < 0.5)            # as StableDiffusionInpaintPipeline.__call__ masks it
    theirs = base.vae.encode(masked).latent_dist.mode() * base.vae.config.scaling_factor
    told = base.inputs(torch.zeros(2, 4, 8, 8), 1.0, None)["sample"]
    assert told.shape == (2, 9, 8, 8) and torch.allclose(told[:, 5:], theirs.expand(2, -1, -1, -1), atol=1e-5)
    assert torch.equal(told[0, 4], torch.nn.functional.interpolate(mask, size=(8, 8))[0, 0])
    base.show(None, None)
    assert (base.inputs(torch.zeros(1, 4, 8, 8), 1.0, None)["sample"][:, 4] == 1).all(), "without a picture everything may change"


def test_what_is_painted_with_it_depends_on_what_is_known(own: Callable, tmp_path: Path) -> None:
    path = with_channels(own("tiny-sd1-file.safetensors"), 9, tmp_path / "inpainting.safetensors")
    engine = open_engine(bases=[str(path)], device="cpu")
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    pictures = [Picture.from_array(np.full((64, 64, 3), grey, np.uint8)) for grey in (20, 230)]
    jobs = [JOB.but(base="inpainting", image=picture, mask=Picture.from_array(mask), steps=1) for picture in pictures]
    first, second = (engine.render(job).pixels[0] for job in jobs)
    assert (first[:, :32] == 20).all() and (second[:, :32] == 230).all()
    assert np.abs(first[:, 48:].astype(int) - second[:, 48:]).mean() > 0.5
    plain = engine.render(JOB.but(base="inpainting")).pixels
    assert (engine.render(JOB.but(base="inpainting")).pixels == plain).all() and plain.shape == (1, 64, 64, 3)
    engine.close()


def test_a_folder_of_an_inpainting_pipeline_is_taken(own: Callable) -> None:
    folder = own("tiny-sd1")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": "StableDiffusionInpaintPipeline"}))
    assert sd_unet.recognise(str(folder)).arch == Arch("sd1", 32, 4)
