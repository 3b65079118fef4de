"""The live tab without a browser: the pure step from controls to Job, discovery, and who may connect."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.errors import BadInput
from models.job import AdapterUse, Extent
from models.spec import Arch, BaseSpec, Style
from studio.app import free_port
from studio.guard import HostGuard
from studio.live.controls import Controls
from studio.tab import Tab, discover_tabs
from studio.tabs.live import job_from, refine_steps

SPEC = BaseSpec("embedded", "Embedded", Arch("unet", 8, 4), (), 1, styles=(Style("flat", "Flat", "flat"),))
PAPER = np.full((512, 512, 3), 255, np.uint8)


def drawn() -> np.ndarray:
    canvas = PAPER.copy()
    canvas[100:200, 100:200] = (200, 30, 30)
    return canvas


@pytest.mark.parametrize("canvas", [None, PAPER])
def test_an_empty_canvas_paints_from_the_words(canvas):
    job = job_from(Controls(prompt=" a fox ", style="flat", seed=5, steps=2, strength=0.3), canvas, SPEC)
    assert (job.prompt, job.style, job.seeds, job.steps, job.extent) == ("a fox", "flat", (5,), 2, Extent(256, 256))
    assert job.image is None


def test_a_drawing_is_followed_at_the_strength_at_the_size_of_the_base():
    job = job_from(Controls(strength=0.3), drawn(), SPEC)
    assert (job.image.width, job.image.height, job.strength) == (256, 256, 0.3)
    assert job.image.array[75, 75].tolist() == [200, 30, 30] and job.image.array[10, 10].tolist() == [255, 255, 255]


def test_a_look_and_words_to_avoid_become_adapters_where_the_base_needs_them():
    controls = Controls(prompt="x", look="ink", look_strength=0.5, negative=" rain ")
    job = job_from(controls, None, SPEC, keep_out="keep-out")
    assert job.adapters == (AdapterUse("ink", 0.5), AdapterUse("keep-out")) and job.negative == "rain"
    assert job_from(Controls(prompt="x"), None, SPEC, keep_out="keep-out").adapters == ()
    guided = replace(SPEC, negative_prompt=True)
    assert job_from(controls, None, guided).adapters == (AdapterUse("ink", 0.5),)
    assert job_from(controls, None, SPEC).negative == ""


def test_the_same_controls_and_drawing_make_the_same_job():
    assert job_from(Controls(prompt="x"), drawn(), SPEC) == job_from(Controls(prompt="x"), drawn(), SPEC)


def test_what_a_base_cannot_do_is_left_out():
    plain = BaseSpec("plain", "Plain", SPEC.arch, (), 1, image_to_image=False, max_steps=2)
    job = job_from(Controls(base="plain", negative="rain", steps=9), drawn(), plain)
    assert (job.image, job.negative, job.steps) == (None, "", 2)


def test_refining_takes_more_steps_but_never_more_than_sensible():
    slow = BaseSpec("slow", "Slow", SPEC.arch, (), 1, max_steps=60, default_steps=20)
    assert (refine_steps(SPEC), refine_steps(slow)) == (4, 20)


@pytest.mark.parametrize("values", [{"steps": True}, {"steps": "2"}, {"seed": 1.5}, {"prompt": None}, {"lock": True}])
def test_controls_refuse_other_kinds_and_names(values):
    with pytest.raises(BadInput):
        Controls().updated(values)


def test_the_live_tab_is_found_and_ids_are_unique():
    tabs = discover_tabs()
    assert tabs[0].id == "live" and len({tab.id for tab in tabs}) == len(tabs)


def test_a_tab_says_which_needs_no_base_meets():
    tab = Tab("x", "X", 1, lambda ctx: None, needs=("inpainting", "image_to_image"))
    assert tab.missing({"embedded": SPEC}) == ("inpainting",)


@pytest.mark.parametrize("host, trusted", [("127.0.0.1:7860", True), ("localhost", True), ("[::1]:7860", True), ("192.168.1.5:80", True), ("box", True),
                                           ("x.gradio.live", True), ("evil.example", False), ("localhost.evil.example", False), ("", False)])
def test_only_addresses_and_own_names_are_hosts(host, trusted):
    assert HostGuard(None, ("box", "*.gradio.live")).trusts(host) is trusted


def test_a_taken_port_moves_to_the_next():
    import socket
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) > port
