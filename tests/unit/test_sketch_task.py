"""What a sketch asks for: inks taken apart, controls checked, tasks built and painted."""
from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from models.catalog import Abilities
from models.errors import BadInput
from models.flows.unicon import loosened
from models.job import AdapterUse, Extent, Job, Picture, Result, Timings
from models.spec import EMBEDDED, BaseSpec
from studio.sketch.controls import ObjectWords, SketchControls
from studio.sketch.inks import BLOCK, DETAIL, OBJECTS, lines_of, separate
from studio.sketch.task import Painter, control_for, task_from

SPEC = BaseSpec(id="embedded", title="Small", arch=EMBEDDED, files=(), bytes=0, native_px=(256,), inpainting=True, max_steps=4)
ABLE = Abilities(SPEC, {"negative_prompt": "keep-out", "rgba": "transparent"}, {"canny": ("edges",), "scribble": ("scribble",)}, ("ink",), ("image-prompt",))
REFERENCE = Picture.from_array(np.full((32, 48, 4), 200, np.uint8))


def canvas(*strokes: tuple[str, int]) -> np.ndarray:
    """A diagonal line for each (ink, width)."""
    out = np.full((512, 512, 3), 255, np.uint8)
    for i, (ink, width) in enumerate(strokes):
        colour = tuple(int(ink[k:k + 2], 16) for k in (1, 3, 5))
        cv2.line(out, (50 + 65 * i, 80), (110 + 65 * i, 420), colour, width, cv2.LINE_AA)
    return out


def task(drawing: np.ndarray, reference: Picture | None = None, able: Abilities = ABLE, **settings: object):
    return task_from(replace(SketchControls(prompt="a fox", seed=3), **settings), drawing, reference, able)


def test_every_ink_is_told_from_the_others():
    inks = (DETAIL, BLOCK, *OBJECTS[:4])
    drawn = separate(canvas(*((ink, 5) for ink in inks)))
    assert set(drawn.masks) == set(inks) and drawn.objects == OBJECTS[:4]
    areas = [mask.sum() for mask in drawn.masks.values()]
    assert min(areas) > 0.8 * max(areas)


def test_empty_paper_has_no_ink_and_one_dot_has():
    assert separate(np.full((512, 512, 3), 255, np.uint8)).masks == {}
    assert separate(canvas((DETAIL, 1)))


@pytest.mark.parametrize("width", [1, 3, 12, 24, 80])
def test_a_stroke_becomes_a_line_of_a_few_pixels(width):
    lines = lines_of([separate(canvas((DETAIL, width))).masks[DETAIL]], 256)[..., 0]
    across = (lines[100:150] > 127).sum(1)
    assert lines.shape == (256, 256) and across.min() >= 1 and across.max() <= 18


def test_a_black_canvas_is_a_drawing_too():
    black = np.zeros((512, 512, 3), np.uint8)
    assert lines_of([separate(black).masks[DETAIL]], 256).shape == (256, 256, 1)
    assert task(black).job.adapters[0].id == "scribble"


def test_nothing_drawn_is_the_words_alone():
    asked = task(np.full((512, 512, 3), 255, np.uint8))
    assert asked.job.adapters == () and asked.mode == "text" and asked.block is None


def test_lines_become_the_control_at_the_strength_of_obey():
    asked = task(canvas((DETAIL, 3)), obey=0.7, look="ink", negative="rain")
    ids = [use.id for use in asked.job.adapters]
    assert ids == ["ink", "keep-out", "scribble"] and asked.job.adapters[2].strength == 0.7
    assert asked.job.adapters[2].image.array.shape == (256, 256, 3) and asked.mode == "sketch"
    assert task(canvas((DETAIL, 3)), obey=0.0).job.adapters == ()


def test_block_strokes_bring_a_second_pass_when_the_hand_rests():
    asked = task(canvas((DETAIL, 3), (BLOCK, 24)), steps=4)
    assert asked.block.array.any() and asked.detail.array.any()
    better = asked.better(4)
    assert better.final and better.better(4) is None
    assert task(canvas((DETAIL, 3), (BLOCK, 24)), steps=4, second_pass=False).better(4) is None
    assert task(canvas((DETAIL, 3)), steps=4).better(4) is None and task(canvas((DETAIL, 3))).better(4).job.steps == 4


def test_a_reference_is_looked_at_in_its_strength():
    asked = task(canvas((DETAIL, 3)), REFERENCE, mode="colour", reference_strength=0.5)
    assert AdapterUse("image-prompt", 0.5, REFERENCE) in asked.job.adapters and asked.mode == "colour"
    with pytest.raises(BadInput, match="cannot look at a reference"):
        task(canvas((DETAIL, 3)), REFERENCE, able=replace(ABLE, references=()))


def test_a_scene_has_an_object_for_each_colour_in_the_order_of_the_chips():
    words = (ObjectWords(OBJECTS[1], "a tree", 5), ObjectWords(OBJECTS[0], "a house", 9))
    asked = task(canvas((OBJECTS[0], 3), (OBJECTS[1], 3), (OBJECTS[2], 3)), mode="scene", objects=words)
    assert [(o.words, o.seed) for o in asked.scene.objects] == [("a tree", 5), ("a house", 9), ("", 3)]
    assert asked.scene.control == "scribble" and asked.scene.transparent == "transparent" and asked.mode == "scene"


def test_what_follows_lines_is_chosen_or_missing_with_a_cure():
    assert control_for("", ABLE) == "scribble" and control_for("edges", ABLE) == "edges"
    with pytest.raises(BadInput, match="Choose one of: edges, scribble"):
        control_for("pose", ABLE)
    with pytest.raises(BadInput, match="no adapter that follows lines"):
        task(canvas((DETAIL, 3)), able=replace(ABLE, controls={}))


@pytest.mark.parametrize("values, said", [
    ({"mode": "poem"}, "no way of sketching"), ({"reach": 500}, "cannot reach"), ({"objects": "x"}, "list of at most"),
    ({"objects": [{"ink": "#000000"}]}, "No object is drawn"), ({"objects": [{"ink": OBJECTS[0], "size": 1}]}, "has an ink"),
    ({"objects": [{"ink": OBJECTS[0], "seed": -1}]}, "cannot be used"), ({"objects": [{"ink": OBJECTS[0]}] * 7}, "at most 6"), ({"obey": "x"}, "cannot be"),
])
def test_settings_that_cannot_be_used_are_refused(values, said):
    with pytest.raises(BadInput, match=said):
        SketchControls().updated(values)


def test_settings_survive_the_way_to_the_page_and_back():
    told = SketchControls().updated({"mode": "scene", "objects": [{"ink": OBJECTS[0], "words": "a cat", "seed": 2}]})
    assert SketchControls().updated(told.to_dict()) == told and told.objects == (ObjectWords(OBJECTS[0], "a cat", 2),)


class Engine:
    """Paints a grey of the seed."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __call__(self, job: Job) -> Result:
        self.jobs.append(job)
        pixels = np.full((1, job.extent.height, job.extent.width, 4 if any(u.id == "transparent" for u in job.adapters) else 3), 90, np.uint8)
        return Result(pixels, job, Timings())


def test_the_painter_paints_passes_and_keeps_what_did_not_change():
    engine, painter = Engine(), Painter()
    blocked = task(canvas((DETAIL, 3), (BLOCK, 24)))
    painter.paint(engine, blocked)
    assert len(engine.jobs) == 1
    assert painter.paint(engine, blocked.better(4)).job.mask is not None and len(engine.jobs) == 3
    scene = task(canvas((OBJECTS[0], 3), (OBJECTS[1], 3)), mode="scene", objects=(ObjectWords(OBJECTS[0], "a house"), ObjectWords(OBJECTS[1], "a tree")))
    painter.paint(engine, scene)
    before = len(engine.jobs)
    changed = task(canvas((OBJECTS[0], 3), (OBJECTS[1], 3)), mode="scene", objects=(ObjectWords(OBJECTS[0], "a barn"), ObjectWords(OBJECTS[1], "a tree")))
    assert painter.paint(engine, changed).job.extent == Extent(256, 256) and len(engine.jobs) == before + 1, "one object"


def test_layered_codes_are_asked_for_by_name_and_take_the_colours_of_the_reference():
    able = replace(ABLE, controls=ABLE.controls | {"layered": ("codes",)})
    assert task(canvas((DETAIL, 3)), able=able).job.adapters[0].id == "scribble", "never by itself"
    use, = (u for u in task(canvas((DETAIL, 3)), REFERENCE, able=able, control="codes").job.adapters)
    assert (use.id, use.more) == ("codes", (REFERENCE,)), "instead of an image prompt"
    free, = task(canvas((DETAIL, 3)), REFERENCE, able=able, control="codes", reference_strength=0.0).job.adapters
    assert free.more == ()
    assert [u.id for u in task(canvas(), REFERENCE, able=able, control="codes").job.adapters] == ["image-prompt"], "nothing is drawn yet"


def test_a_pair_is_asked_for_by_name_and_may_follow_loosely():
    able = replace(ABLE, controls={"scribble": ("scribble",), "edges": ("unicon",)})
    assert control_for("", able) == "scribble" and control_for("unicon", able) == "unicon"
    use = task(canvas((DETAIL, 4)), able=able, control="unicon", loose=0.7).job.adapters[-1]
    assert (use.id, use.words) == ("unicon", "") and use.noise == loosened(0.7)
    noises = [loosened(v) for v in np.linspace(0, 1, 11)]
    assert noises[0] == 0 and noises[-1] == 1 and noises == sorted(noises) and noises[1] > 0.7, "noise through which lines are read as if clean is left out"
    with pytest.raises(BadInput, match="loose"):
        SketchControls().updated({"loose": 1.2})
