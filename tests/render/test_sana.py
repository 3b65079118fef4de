"""SANA folders with the real layout at tiny width, against diffusers' own pipelines, whole and broken."""
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.adapters import sana_controlnet
from models.bases import sana, sd_unet, sdxl_unet
from models.catalog import Catalog
from models.devices import Device
from models.engine import FIRST_FRESH_STREAM, Engine
from models.errors import BadInput, Incompatible, MissingWeights
from models.job import AdapterUse, Extent, Job, Picture
from models.registry import Registry
from models.sampling import flow_time, noise
from models.spec import SANA, Arch
from tests.tiny_adapters import sana_controlnet as tiny_control
from tests.tiny_sana import LATENT_CHANNELS, TEXT_WIDTH

pytestmark = pytest.mark.render
FP32 = Device("cpu", torch.float32)
EXTENT, SEED = Extent(96, 64), 7
SHAPE = (LATENT_CHANNELS, EXTENT.height // 32, EXTENT.width // 32)
JOB = Job(prompt="A red fox, jumping", base="tiny-sana", extent=EXTENT, steps=3, seeds=(SEED,))
NAMES = ("tiny-sana", "tiny-sana-sprint")


def open_base(path: Path, device: Device = FP32) -> sana.SanaBase:
    return sana.load(sana.recognise(str(path)), device)


@pytest.fixture
def own(sana_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy that a test may break."""
    return lambda name: Path(shutil.copytree(sana_folder / name, tmp_path / name))


@pytest.fixture(scope="module")
def bases(sana_folder: Path) -> dict[str, sana.SanaBase]:
    return {name: open_base(sana_folder / name) for name in NAMES}


def change(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# --- against the pipelines of diffusers --------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def engine(sana_folder: Path):
    catalog = Catalog()
    for name in NAMES:
        catalog.resolve_base(str(sana_folder / name))
    engine = Engine(catalog, Registry(catalog, FP32))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def pipelines(sana_folder: Path) -> dict[str, Any]:
    from diffusers import SanaPipeline, SanaSprintPipeline

    out = {name: cls.from_pretrained(sana_folder / name, local_files_only=True)
           for name, cls in zip(NAMES, (SanaPipeline, SanaSprintPipeline), strict=True)}
    for pipeline in out.values():
        pipeline.set_progress_bar_config(disable=True)
    return out


def picture(pipeline: Any, **options: Any) -> np.ndarray:
    return pipeline(JOB.prompt, width=EXTENT.width, height=EXTENT.height, use_resolution_binning=False, output_type="np", **options).images[0] * 255


@pytest.mark.parametrize("negative, guidance", [("", 4.5), ("blue, blurry", 3.0), ("", 1.0)])
def test_a_flow_model_paints_what_the_pipeline_of_diffusers_paints(engine: Engine, pipelines, negative: str, guidance: float) -> None:
    """The same noise, the same noise levels, Euler's method: the same picture, without words against it too."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    ours = engine.render(JOB.but(negative=negative, guidance=guidance)).pixels[0]
    pipeline = pipelines["tiny-sana"]
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    unshifted = [flow_time(sigma) for sigma in sana.flow_sigmas(JOB.steps, 1.0)]
    first = flow_time(sana.flow_sigmas(JOB.steps, 3.0)[0])
    theirs = picture(pipeline, negative_prompt=negative, guidance_scale=guidance, num_inference_steps=JOB.steps, sigmas=unshifted,
                     latents=first * noise((SEED,), SHAPE))
    assert ours.std() > 3 and np.abs(ours - theirs).max() < 1.5


def test_it_is_near_the_published_scheduler_at_its_first_order(engine: Engine, pipelines) -> None:
    """Which rounds the network's time down to whole thousandths and starts a three-thousandth higher."""
    from diffusers import DPMSolverMultistepScheduler

    config = dict(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0, solver_order=1)
    pipelines["tiny-sana"].scheduler = DPMSolverMultistepScheduler(**config)
    theirs = picture(pipelines["tiny-sana"], num_inference_steps=JOB.steps, latents=noise((SEED,), SHAPE))
    assert np.abs(engine.render(JOB).pixels[0] - theirs).mean() < 3


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("guidance", [4.5, 9.0])
def test_sprint_paints_what_the_pipeline_of_diffusers_paints(engine: Engine, pipelines, monkeypatch, steps: int, guidance: float) -> None:
    """The same first and fresh noise; guidance is an input, so another one is another picture without a second pass."""
    fresh = iter(noise((SEED,), SHAPE, stream=FIRST_FRESH_STREAM + i) for i in range(steps))
    monkeypatch.setattr("diffusers.schedulers.scheduling_scm.randn_tensor", lambda shape, **options: next(fresh))
    theirs = picture(pipelines["tiny-sana-sprint"], num_inference_steps=steps, guidance_scale=guidance, latents=noise((SEED,), SHAPE),
                     intermediate_timesteps=1.3 if steps == 2 else None)
    ours = engine.render(JOB.but(base="tiny-sana-sprint", steps=steps, guidance=guidance)).pixels[0]
    assert ours.std() > 3 and np.abs(ours - theirs).max() < 1.5


def test_without_a_wish_sprint_is_told_the_guidance_of_its_pipeline(engine: Engine) -> None:
    job = JOB.but(base="tiny-sana-sprint", steps=1)
    strong = engine.render(job.but(guidance=14.0)).pixels
    plain = engine.render(job).pixels
    assert (plain == engine.render(job.but(guidance=4.5)).pixels).all() and (plain != strong).any()


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
def test_words_are_those_of_the_pipeline(bases, pipelines, name: str) -> None:
    for text in ("a red fox", "A Fox ", "fox " * 100, "x" * 700):
        states, mask = pipelines[name].encode_prompt(text, complex_human_instruction=sana.INSTRUCTION.split("\n"))[:2]
        words = bases[name].encode_prompt(text)
        assert len(words.states) == mask.sum() and words.truncated == (len(text) == 700)
        assert torch.allclose(words.states, states[0, :len(words.states)], atol=1e-4)


@torch.inference_mode()
def test_the_negative_text_is_read_without_the_instruction(bases, pipelines) -> None:
    base = bases["tiny-sana"]
    base.plan(JOB.but(negative="blurry"))
    for text in ("blurry", "blurry " * 60):
        base.plan(JOB.but(negative=text))
        _, _, states, mask = pipelines["tiny-sana"].encode_prompt("a fox", negative_prompt=text)
        words = base.encode_prompt(text)
        assert len(words.states) == mask.sum() and torch.allclose(words.states, states[0, :len(words.states)], atol=1e-4)
    base.plan(JOB)
    assert base.encode_prompt("blurry").states.shape != base.encode_prompt("").states.shape == (1, TEXT_WIDTH)


def test_the_instruction_is_that_of_the_pipelines() -> None:
    import inspect

    from diffusers import SanaPipeline, SanaSprintPipeline

    for cls in (SanaPipeline, SanaSprintPipeline):
        assert "\n".join(inspect.signature(cls.__call__).parameters["complex_human_instruction"].default) == sana.INSTRUCTION


# --- what the network is told ------------------------------------------------------------------------------------------

def test_all_that_the_network_is_told_goes_to_a_controlnet_too(bases) -> None:
    told = {"hidden_states", "timestep", "encoder_hidden_states", "encoder_attention_mask"}
    for name, base in bases.items():
        base.plan(JOB)
        cond = base.batch_cond([base.encode_prompt("a fox"), base.encode_prompt("a dog that barks")])
        inputs = base.inputs(torch.ones(2, *SHAPE), 3.0, cond)
        assert inputs.keys() == told | ({"guidance"} if base.sprint else set())
        assert inputs["timestep"].tolist() == [0.75 if base.sprint else 750.0] * 2, name
        assert inputs["encoder_attention_mask"].sum(1).tolist() == [len(base.encode_prompt(t).states) for t in ("a fox", "a dog that barks")]
        assert torch.allclose(inputs["hidden_states"], torch.full((2, *SHAPE), 0.25))
    assert inputs["guidance"].tolist() == pytest.approx([0.45] * 2)


@torch.inference_mode()
def test_in_half_precision_what_would_overflow_does_not(sana_folder: Path) -> None:
    half = open_base(sana_folder / "tiny-sana", Device("cpu", torch.float16))
    assert half.network.dtype == torch.float16 and half.vae.dtype == half.text_encoder.dtype == torch.bfloat16
    assert torch.isfinite(half.decode(half.encode(torch.rand(1, 3, 64, 64)))).all()
    cond = half.batch_cond([half.encode_prompt("a fox")])
    assert torch.isfinite(half.denoise(noise((1,), SHAPE) * 5, 5.0, cond, {})).all()


# --- what its spec says ------------------------------------------------------------------------------------------------

def test_the_spec_follows_from_the_content(own: Callable, tmp_path: Path) -> None:
    flow, sprint = (sana.recognise(str(own(name).rename(tmp_path / f"My Model {i}"))) for i, name in enumerate(NAMES))
    assert flow.arch == sprint.arch == Arch("sana", TEXT_WIDTH, LATENT_CHANNELS) and (flow.id, sprint.id) == ("my-model-0", "my-model-1")
    assert (flow.default_steps, flow.default_guidance, flow.negative_prompt, flow.native_px) == (20, 4.5, True, (1024,))
    assert (sprint.default_steps, sprint.max_steps, sprint.default_guidance, sprint.negative_prompt) == (2, 4, 1.0, False)
    change(tmp_path / "My Model 0", "transformer/config.json", sample_size=128)
    large = sana.recognise(str(tmp_path / "My Model 0"))
    assert large.native_px == (4096,) and large.max_px == 4096


def test_the_well_known_ones_are_listed_and_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    catalog = Catalog()
    for name, id in (("Sana_Sprint_0.6B_1024px", "sana-sprint-0-6b"), ("Sana_Sprint_1.6B_1024px", "sana-sprint-1-6b"),
                     ("Sana_600M_1024px", "sana-600m"), ("Sana_1600M_1024px", "sana-1600m")):
        spec = catalog.resolve_base(f"Efficient-Large-Model/{name}_diffusers")
        assert spec.id == id and spec.arch == SANA
    with pytest.raises(MissingWeights, match=r"about 9.1 GB to download.*hf download Efficient-Large-Model/Sana_1600M"):
        sana.load(spec, FP32, tmp_path / "cache")


def test_a_hub_model_in_the_cache_is_used(sana_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--someone--Some-Sana"
    shutil.copytree(sana_folder / "tiny-sana-sprint", place / "snapshots" / "abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    spec = Catalog().resolve_base("someone/Some-Sana")
    assert spec.id == "some-sana" and spec.files[0].repo == "someone/Some-Sana" and sana.load(spec, FP32).sprint


# --- broken, foreign and unusable ones ---------------------------------------------------------------------------------

@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_incomplete_folders_name_what_is_missing(own: Callable, part: str) -> None:
    folder = own("tiny-sana")
    shutil.rmtree(folder / part)
    with pytest.raises(MissingWeights, match=f"incomplete: .*{part}.*Download or copy it again"):
        sana.recognise(str(folder))


def test_truncated_and_unreadable_files_are_named(own: Callable) -> None:
    folder = own("tiny-sana")
    weights = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1000])
    with pytest.raises(MissingWeights, match="diffusion_pytorch_model.safetensors"):
        sana.recognise(str(folder))
    weights.write_bytes(whole)
    (folder / "vae" / "config.json").write_text('{"latent_channels": 8}')
    with pytest.raises(MissingWeights, match="vae/config.json does not say encoder_block_out_channels, scaling_factor"):
        sana.recognise(str(folder))
    (folder / "vae" / "config.json").write_text("{")
    with pytest.raises(BadInput, match="vae/config.json is not readable JSON"):
        sana.recognise(str(folder))


@pytest.mark.parametrize("name, file, values, said", [
    ("tiny-sana", "model_index.json", {"_class_name": "SanaVideoPipeline"}, "made for SanaVideoPipeline.*Use the folder of a SanaPipeline"),
    ("tiny-sana", "scheduler/scheduler_config.json", {"use_flow_sigmas": False}, "other noise levels than SANA .DPMSolverMultistep"),
    ("tiny-sana-sprint", "scheduler/scheduler_config.json", {"_class_name": "DDIMScheduler"}, "other noise levels than SANA-Sprint"),
    ("tiny-sana-sprint", "transformer/config.json", {"guidance_embeds": False}, "lacks an input for guidance"),
    ("tiny-sana", "transformer/config.json", {"caption_channels": 2304}, "do not fit together: 2304 against 32 numbers a word"),
    ("tiny-sana", "vae/config.json", {"encoder_block_out_channels": [8, 8]}, "32 against 2 px a latent cell"),
])
def test_what_does_not_fit_is_refused_by_name(own: Callable, name: str, file: str, values: dict, said: str) -> None:
    folder = own(name)
    change(folder, file, **values)
    with pytest.raises(Incompatible, match=said):
        sana.recognise(str(folder))


def test_a_folder_that_went_away_is_missed(own: Callable) -> None:
    folder = own("tiny-sana")
    spec = sana.recognise(str(folder))
    shutil.rmtree(folder)
    with pytest.raises(MissingWeights, match="is not there any more"):
        sana.load(spec, FP32)


def test_other_models_are_told_apart(sana_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    for module in (sd_unet, sdxl_unet):
        assert all(module.recognise(str(sana_folder / name)) is None for name in NAMES)
    (tmp_path / "sd").mkdir()
    (tmp_path / "sd" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    for other in (tmp_path / "sd", tmp_path, tiny_folder / "tiny-student.safetensors", Path("nobody/nothing")):
        assert sana.recognise(str(other)) is None


# --- ControlNet --------------------------------------------------------------------------------------------------------

def test_a_controlnet_paints_what_the_pipeline_of_diffusers_paints(engine: Engine, bases, sana_folder: Path, tmp_path: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, SanaControlNetPipeline

    net = tiny_control.random_control(bases["tiny-sana"])
    net.save_pretrained(tmp_path / "edges-hed")
    engine.catalog.add("adapter", str(tmp_path / "edges-hed"))
    drawing = np.random.default_rng(0).integers(0, 256, (EXTENT.height, EXTENT.width, 3), dtype=np.uint8)
    use = AdapterUse("edges-hed", 0.8, Picture.from_array(drawing))
    ours = engine.render(JOB.but(guidance=3.0, adapters=(use,))).pixels[0]
    pipeline = SanaControlNetPipeline.from_pretrained(sana_folder / "tiny-sana", controlnet=net, local_files_only=True)
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    pipeline.set_progress_bar_config(disable=True)
    unshifted = [flow_time(sigma) for sigma in sana.flow_sigmas(JOB.steps, 1.0)]
    first = flow_time(sana.flow_sigmas(JOB.steps, 3.0)[0])
    theirs = picture(pipeline, control_image=torch.tensor(drawing / 127.5 - 1).float().permute(2, 0, 1)[None], controlnet_conditioning_scale=0.8,
                     guidance_scale=3.0, num_inference_steps=JOB.steps, sigmas=unshifted, latents=first * noise((SEED,), SHAPE))
    plain = engine.render(JOB.but(guidance=3.0)).pixels[0].astype(int)
    assert np.abs(ours - plain).mean() > 1 and np.abs(ours - theirs).max() < 1.5


def test_a_controlnet_of_another_sana_is_refused(bases, tmp_path: Path) -> None:
    flow, sprint = bases.values()
    folder = tiny_control.write_folder(tmp_path / "deep", flow, layers=3)
    spec = sana_controlnet.recognise(str(folder))
    assert spec.arch == flow.spec.arch and spec.control == "" and sana_controlnet.recognise(str(tmp_path)) is None
    adapter = sana_controlnet.load(spec, FP32)
    with pytest.raises(Incompatible, match="made for a SANA of width 16, .* and 3 layers"), adapter.attach(flow):
        pass
    with pytest.raises(Incompatible, match="is a SANA-Sprint"), adapter.attach(sprint):
        pass
    change(folder, "config.json", _class_name="ControlNetModel")
    with pytest.raises(MissingWeights, match="no ControlNet of SANA any more"):
        sana_controlnet.load(spec, FP32)
