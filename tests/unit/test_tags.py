"""Adapters named in the prompt."""
from __future__ import annotations

import pytest

from models.errors import BadInput, UnknownId
from models.job import AdapterUse, Job
from models.tags import MAX_TAGS, id_of_file, resolved, tags_of

KNOWN = {"ink": "ink", "ink-and-wash": "ink", "pixel-art-xl-v1-1": "pixel-art-xl"}


def id_of(name: str) -> str:
    if id_of_file(name) not in KNOWN:
        raise UnknownId(f"no {name}")
    return KNOWN[id_of_file(name)]


def test_a_prompt_without_tags_is_the_same_job() -> None:
    job = Job(prompt="a <3 fox: 2 > 1")
    assert resolved(job, id_of) is job


def test_tags_become_adapters_and_leave_the_words() -> None:
    job = resolved(Job(prompt="a fox, <lora:ink:0.8>, on snow <lora:Pixel Art XL v1.1>", adapters=(AdapterUse("x"),)), id_of)
    assert job.adapters == (AdapterUse("x"), AdapterUse("ink", 0.8), AdapterUse("pixel-art-xl", 1.0))
    assert job.prompt == "a fox, on snow"


@pytest.mark.parametrize("tag", ["<lora:ink:0.5:1>", "<lyco:INK:0.5>", "<lora: ink.safetensors :0.5>", "<adapter:Ink and wash:.5>"])
def test_other_ways_to_write_it(tag: str) -> None:
    assert resolved(Job(prompt=f"{tag} a fox"), id_of) == Job(prompt="a fox", adapters=(AdapterUse("ink", 0.5),))


def test_mistakes_are_named() -> None:
    with pytest.raises(UnknownId, match="pixelart"):
        resolved(Job(prompt="<lora:pixelart:1>"), id_of)
    with pytest.raises(BadInput, match='"strong".* is no number'):
        resolved(Job(prompt="<lora:ink:strong>"), id_of)
    with pytest.raises(BadInput, match="more than"):
        resolved(Job(prompt="<lora:ink>" * (MAX_TAGS + 1)), id_of)


def test_the_tags_alone_can_be_given_to_other_words() -> None:
    assert tags_of("a fox, <lora:ink:0.8>, on <b>snow <adapter:Pixel Art XL v1.1>") == "<lora:ink:0.8><adapter:Pixel Art XL v1.1>"
    assert tags_of("a fox") == ""
