"""PNG metadata: what we write, others can read; what others write, we can read; what is broken is refused."""
from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from models.errors import BadInput
from models.job import Extent, Job, Picture
from studio.export import png

PIXELS = np.zeros((8, 8, 3), np.uint8)


def test_infotext_is_where_other_tools_look_and_says_what_they_expect():
    job = Job(prompt="a fox, sitting: red", negative="rain", seeds=(7,), steps=2, extent=Extent(256, 192), guidance=2.0, style="flat")
    text = Image.open(io.BytesIO(png.encode(PIXELS, job))).text["parameters"]
    assert text.splitlines() == ["a fox, sitting: red", "Negative prompt: rain",
                                 "Steps: 2, Sampler: Onestroke, CFG scale: 2.0, Seed: 7, Size: 256x192, Model: embedded, Style: flat, Version: Onestroke"]


def test_infotext_round_trip_of_what_it_carries():
    job = Job(prompt="line one\nline two", negative="no\nrain", seeds=(9,), image=Picture.from_array(PIXELS), strength=0.5)
    read = png.read_infotext(png.infotext(job))
    assert read["Prompt"] == "line one\nline two" and read["Negative prompt"] == "no\nrain"
    assert (read["Seed"], read["Size-1"], read["Size-2"], read["Denoising strength"]) == ("9", "256", "256", "0.5")


def test_infotext_of_another_tool_with_quoted_values():
    read = png.read_infotext('a cat\nNegative prompt: dog\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 1, Size: 512x768, '
                             'Lora hashes: "ink: 0123456789ab, oil: ba9876543210", Version: 1.10.1')
    assert read["Lora hashes"] == "ink: 0123456789ab, oil: ba9876543210" and read["Size-2"] == "768" and read["Sampler"] == "DPM++ 2M"


def test_a_text_without_parameters_is_all_prompt():
    assert png.read_infotext("just words, and: more") == {"Prompt": "just words, and: more", "Negative prompt": ""}


def test_a_job_larger_than_pillow_allows_text_to_be_round_trips():
    noise = Picture.from_array(np.random.default_rng(0).integers(0, 256, (768, 768, 3), np.uint8))
    job = Job(image=noise, strength=0.5)
    assert png.decode(png.encode(PIXELS, job))[1] == job


def test_a_plain_png_has_no_job():
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "PNG")
    pixels, job = png.decode(out.getvalue())
    assert job is None and (pixels == PIXELS).all()


@pytest.mark.parametrize("data", [b"", b"GIF89a", png.encode(PIXELS, Job())[:60]])
def test_what_is_no_whole_png_is_refused(data):
    with pytest.raises(BadInput, match="whole PNG"):
        png.decode(data)


@pytest.mark.parametrize("body", [b"not zlib", zlib.compress(b"[1]"), zlib.compress(b'{"steps": 0}'), zlib.compress(b'{"magic": 1}')])
def test_a_damaged_job_is_refused(body):
    info = png.PngImagePlugin.PngInfo()
    info.add(png.JOB_CHUNK, body)
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "PNG", pnginfo=info)
    with pytest.raises(BadInput):
        png.decode(out.getvalue())


def test_a_bomb_is_refused_before_it_unpacks(monkeypatch):
    monkeypatch.setattr(png, "MAX_JOB_BYTES", 1000)
    with pytest.raises(BadInput, match="larger"):
        png.job_in(png.encode(PIXELS, Job(prompt="x" * 5000)))
