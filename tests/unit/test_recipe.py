"""What files of other programs say of how they were made; nothing that they say may hurt."""
from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from models.errors import BadInput
from models.job import Extent, Job
from models.spec import EMBEDDED, SD1, BaseSpec
from studio.export import png
from studio.library.recipe import MAX_TEXT, Recipe, fitted, job_of, read

PIXELS = np.zeros((8, 8, 3), np.uint8)
SD = BaseSpec("sd15", "SD 1.5", SD1, (), 0, native_px=(512,), multiple_px=8, max_px=768, max_steps=50, default_steps=25, negative_prompt=True)
SMALL = BaseSpec("embedded", "Embedded", EMBEDDED, (), 0, max_px=512)
GRAPH = {"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sub/dream.safetensors"}},
         "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "ink.safetensors", "strength_model": 0.7, "model": ["1", 0]}},
         "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["2", 1]}},
         "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["2", 1]}},
         "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 640, "height": 448, "batch_size": 1}},
         "6": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["3", 0], "strength": 1.0}},
         "8": {"class_type": "PrimitiveInt", "inputs": {"value": 99}},
         "7": {"class_type": "KSampler", "inputs": {"seed": ["8", 0], "steps": 22, "cfg": 6.5, "sampler_name": "euler", "denoise": 0.9,
                                                    "positive": ["6", 0], "negative": ["4", 0], "latent_image": ["5", 0], "model": ["2", 0]}}}


def png_with(**texts: str) -> bytes:
    info, out = PngImagePlugin.PngInfo(), io.BytesIO()
    for key, text in texts.items():
        info.add_text(key, text, zip=len(text) > 200)
    Image.fromarray(PIXELS).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def webp_with(**tags: Any) -> bytes:
    exif, out = Image.Exif(), io.BytesIO()
    for tag, value in tags.items():
        target = exif.get_ifd(0x8769) if tag == "t37510" else exif
        target[int(tag[1:])] = value
    Image.fromarray(PIXELS).save(out, "WEBP", exif=exif)
    return out.getvalue()


A1111 = ('a fox, "red"\nsecond line\nNegative prompt: dog\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 5, Size: 512x768, Model: dream, '
         'Lora hashes: "ink: 12ab", Version: v1.10.1')


@pytest.mark.parametrize("data", [png_with(parameters=A1111), webp_with(t37510=b"UNICODE\0" + A1111.encode("utf-16-be")),
                                  webp_with(t37510=b"ASCII\0\0\0" + A1111.encode())])
def test_a1111_is_read_from_png_and_exif(data: bytes) -> None:
    said = read(data)
    assert (said.tool, said.prompt, said.negative) == ("A1111", 'a fox, "red"\nsecond line', "dog")
    assert (said.seed, said.steps, said.guidance, said.size, said.model) == (5, 20, 7.0, (512, 768), "dream")


def test_comfyui_is_followed_through_its_links() -> None:
    for data in (png_with(prompt=json.dumps(GRAPH), workflow="{}"), webp_with(t272="prompt:" + json.dumps(GRAPH))):
        said = read(data)
        assert (said.tool, said.prompt, said.negative, said.seed, said.steps, said.guidance) == ("ComfyUI", "a fox", "blurry", 99, 22, 6.5)
        assert (said.size, said.model, said.loras, said.strength) == ((640, 448), "dream", (("ink", 0.7),), 0.9)


def test_a_graph_that_goes_in_circles_ends() -> None:
    graph = {"1": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["2", 0]}}, "2": {"class_type": "A", "inputs": {"x": ["3", 0]}},
             "3": {"class_type": "B", "inputs": {"x": ["2", 0]}}}
    assert read(png_with(prompt=json.dumps(graph))).prompt == ""


def test_invoke_fooocus_swarm_and_novelai() -> None:
    invoke = {"positive_prompt": "a", "negative_prompt": "b", "seed": 3, "steps": 30, "cfg_scale": 5, "width": 512, "height": 640, "scheduler": "euler",
              "model": {"name": "juggernaut"}, "loras": [{"model": {"name": "ink"}, "weight": 0.5}]}
    said = read(png_with(invokeai_metadata=json.dumps(invoke)))
    assert (said.tool, said.prompt, said.seed, said.size, said.model, said.loras) == ("InvokeAI", "a", 3, (512, 640), "juggernaut", (("ink", 0.5),))
    fooocus = {"prompt": "a", "negative_prompt": "b", "seed": "9", "steps": 30, "guidance_scale": 4, "resolution": "(1152, 896)", "base_model": "x",
               "loras": [["ink", 0.3, "00"]]}
    said = read(png_with(parameters=json.dumps(fooocus), fooocus_scheme="fooocus"))
    assert (said.tool, said.seed, said.size, said.loras) == ("Fooocus", 9, (1152, 896), (("ink", 0.3),))
    swarm = {"sui_image_params": {"prompt": "a", "negativeprompt": "b", "seed": 4, "steps": 8, "cfgscale": 2, "width": 768, "height": 512, "model": "m"}}
    said = read(png_with(parameters=json.dumps(swarm)))
    assert (said.tool, said.negative, said.steps, said.size) == ("SwarmUI", "b", 8, (768, 512))
    novel = {"uc": "bad", "steps": 28, "sampler": "k_euler", "scale": 11.0, "seed": 77, "width": 832, "height": 1216}
    said = read(png_with(Software="NovelAI", Comment=json.dumps(novel), Description="a girl"))
    assert (said.tool, said.prompt, said.negative, said.seed, said.guidance) == ("NovelAI", "a girl", "bad", 77, 11.0)


def test_our_own_job_comes_back_exactly() -> None:
    job = Job("a fox, (red)", seeds=(4,), style="flat", extent=Extent(256, 192))
    said = read(png.encode(PIXELS, job))
    assert said.tool == "Onestroke" and said.job == job and job_of(said, SMALL) == (job, ())
    other, notes = job_of(said, SD)
    assert other.base == "sd15" and other.seeds == (4,) and notes


def test_a_recipe_becomes_a_job_of_the_base_that_is_there() -> None:
    said = Recipe("A1111", "a fox", "dog", 5, 80, 7.0, (1024, 512), model="dream", loras=(("ink", 0.5),))
    job, notes = job_of(said, SMALL)
    assert job.prompt == "a fox <lora:ink:0.5>" and job.steps == 4 and job.extent == Extent(512, 256) and job.negative == "" and job.guidance is None
    assert len(notes) == 4 and all(note.endswith(".") for note in notes)
    job, _ = job_of(said, SD)
    assert (job.steps, job.guidance, job.negative, job.extent) == (50, 7.0, "dog", Extent(768, 384))


@pytest.mark.parametrize("size,fits", [((1, 1), (64, 64)), ((20_000, 3), (512, 64)), ((300, 200), (304, 192)), ((512, 512), (512, 512))])
def test_any_size_becomes_one_that_is_painted(size: tuple[int, int], fits: tuple[int, int]) -> None:
    assert fitted(*size, SMALL) == Extent(*fits)


def chunked(kind: bytes, body: bytes) -> bytes:
    plain = png_with()
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return plain[:33] + chunk + plain[33:]


@pytest.mark.parametrize("data", [
    png_with(), png_with(parameters="just words"), png_with(parameters="[" * 5000), png_with(prompt="{" * 9000), png_with(prompt='{"1": 5}'),
    png_with(parameters='{"sui_image_params": 4}'), png_with(invokeai_metadata="[]"), png_with(Software="NovelAI", Comment="[1]"),
    chunked(b"zTXt", b"parameters\0\0" + zlib.compress(b"Steps: 1, " * (MAX_TEXT // 4))), chunked(b"zTXt", b"parameters\0\0nonsense"),
    chunked(b"iTXt", b"parameters"), png_with()[:60], webp_with(t37510=b"UNICODE\0\xd8\x00")])
def test_what_is_damaged_too_large_or_strange_says_nothing(data: bytes) -> None:
    assert read(data) is None


@pytest.mark.parametrize("numbers", ["Seed: -1, Size: 0x0", "Seed: 99999999999999999999999, Size: 5x5", "Seed: abc, CFG scale: nan", "Seed: 1, CFG scale: inf"])
def test_numbers_beyond_reason_are_left_out(numbers: str) -> None:
    said = read(png_with(parameters=f"a\nSteps: 999999, Sampler: x, {numbers}"))
    assert said.steps in (None, 100) and said.seed in (None, 1) and said.guidance is None
    job_of(said, SMALL)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(BadInput, match="not a picture"):
        read(b"MZ\x90\0nothing")
    json.dumps(read(png_with(parameters=A1111)).to_dict())
