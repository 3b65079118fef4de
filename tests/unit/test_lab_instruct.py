"""The instruction adapter at tiny size: triplets whose truth holds, words that give tasks away, that it learns, and that its file is the adapter."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import checkpoint
from models.lab import instruct, instruct_pairs
from models.lab.budget import Budget
from models.lab.instruct import InstructConfig, School
from models.lab.instruct_pairs import Stage, recoloured, rows_of, triplet
from models.lab.items import STYLES, Item
from models.nets.instruct import KIND, Instruct, Source, config_for, tapped
from models.nets.instruct_tasks import COLOURS, TASKS, understood
from models.nets.patches import PatchEncoder
from models.nets.unet import build_unet, predict
from models.text import TextEncoder
from tests.unit.test_lab_unicon import LOUD, TINY

SMALL = InstructConfig(batch_size=4)
WIDTHS = (32, 32, 32)


@pytest.fixture(scope="module")
def drawings() -> tuple[list[Item], np.ndarray]:
    """Discs of two looks and boxes of one; the last one is of an unseen concept."""
    y, x = np.mgrid[:256, :256]
    pictures = np.zeros((4, 256, 256, 4), np.uint8)
    for i, colour in enumerate(((200, 60, 60), (220, 90, 90), (60, 90, 200), (90, 200, 90))):
        inside = np.hypot(x - 128, y - 128) < 110 if i < 2 else np.maximum(abs(x - 128), abs(y - 128)) < 100
        pictures[i][inside] = (*colour, 255)
    sources = ("twemoji", "noto", "twemoji", "twemoji")
    labels = ("disc", "disc", "box", "slab")
    items = [Item(source, label, label, STYLES[source], "test_concept" if label == "slab" else "train", "objects", "CC-BY-4.0")
             for source, label in zip(sources, labels)]
    return items, pictures


@pytest.fixture(scope="module")
def stage(drawings: tuple[list[Item], np.ndarray]) -> Stage:
    return Stage(*drawings, rows_of(drawings[0], "train"))


@pytest.fixture(scope="module")
def encoder() -> PatchEncoder:
    torch.manual_seed(0)
    net = PatchEncoder()
    smooth = torch.nn.functional.interpolate(torch.randn(32, 3, 2, 2), size=16, mode="bilinear").flatten(1)
    net.basis.copy_(torch.linalg.qr(smooth.T)[0].T.reshape(32, 3, 16, 16))
    net.scale.fill_(3.0)
    return net


def test_nothing_held_out_is_trained_on(drawings: tuple[list[Item], np.ndarray]) -> None:
    assert rows_of(drawings[0], "train") == [0, 1, 2] and rows_of(drawings[0], "held") == [3]
    assert all(not set(task.says) & set(task.held) and len(task.held) >= 2 and len(task.says) >= 6 for task in TASKS.values())


@pytest.mark.parametrize("task", TASKS)
def test_every_triplet_says_and_does_one_thing(stage: Stage, task: str) -> None:
    made = [triplet(stage, task, np.random.default_rng(seed)) for seed in range(6)]
    for one in made:
        assert one.before.shape == one.after.shape == (256, 256, 3) and one.before.dtype == one.after.dtype == np.uint8
        assert "{" not in one.says and one.shows and (one.changed == (np.abs(one.before.astype(int) - one.after).max(2) > 6)).all()
    assert any(one.changed.any() for one in made)
    if task in ("add", "remove", "recolour"):
        assert all(not (one.changed & (one.alpha == 0)).any() for one in made), "nothing but the thing that is named changes"
    if task == "cutout":
        assert all((one.after[..., 0] == 255 - one.alpha).all() for one in made)
    again = triplet(stage, task, np.random.default_rng(0))
    assert again.says == made[0].says and (again.before == made[0].before).all() and (again.after == made[0].after).all()


@pytest.mark.parametrize("colour", COLOURS)
def test_a_recoloured_drawing_has_the_colour_and_its_alpha(drawings: tuple[list[Item], np.ndarray], colour: str) -> None:
    before = drawings[1][0]
    after = recoloured(before, colour)
    inside = before[..., 3] > 0
    nearest = min(COLOURS, key=lambda name: np.abs(after[inside][:, :3].mean(0) - COLOURS[name]).sum())
    assert nearest == colour and (after[..., 3] == before[..., 3]).all()


@pytest.mark.parametrize("task", TASKS)
def test_words_give_the_task_away(task: str) -> None:
    fill = {"x": "fox", "y": "crown", "c": "red", "s": "flat", "w": {"move": "up", "background": "on a beach"}.get(task, "on the left")}
    told = [understood(say.format(**fill)).task for say in (*TASKS[task].says, *TASKS[task].held)]
    assert told.count(task) >= len(told) * 0.75, list(zip(TASKS[task].says + TASKS[task].held, told))
    assert understood("").sure == 0.0


def test_a_fresh_net_gives_the_picture_back_and_steers_nothing() -> None:
    torch.manual_seed(0)
    net = build_unet(TINY)
    fresh = Instruct(config_for(net, WIDTHS, 32)).eval()
    z, words = torch.randn(2, 32, 12, 16), (torch.randn(2, 5, 384), None, torch.randn(2, 384))
    source, times = Source(z, torch.ones(2, 1, 12, 16), torch.tensor([1.0, 0.0])), torch.full((2,), 500.0)
    with torch.no_grad(), tapped(net) as taps:
        seen = instruct.looked(net, taps, z, words)
        features = fresh.features(source, z, times, words, seen)
        plain, steered = (predict(net, z, times, words, **extra) for extra in ({}, fresh.residuals(features)))
        answer = fresh.answer(features, source, steered)
    assert torch.equal(plain, steered) and torch.equal(answer[0], z[0]) and not answer[1].any(), "a hidden picture is not a black one"
    assert not [hook for module in net.modules() for hook in module._forward_hooks], "taps come off"


def test_it_learns_and_its_file_is_the_adapter(stage: Stage, drawings: tuple[list[Item], np.ndarray], encoder: PatchEncoder, tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, path = build_unet(TINY), tmp_path / "instruct.safetensors"
    net.conv_out.weight.data.mul_(LOUD)
    monkeypatch.setattr(instruct, "config_for", lambda unet: config_for(unet, WIDTHS, 32))
    monkeypatch.setattr(instruct_pairs, "ODDS", {"cutout": 1.0})
    monkeypatch.setattr(instruct, "TASKS", {"cutout": TASKS["cutout"]})
    config = replace(SMALL, batch_size=6, hidden=0.0, lr=1e-2, through=0.34)
    instruct.make_instruct(net, encoder, TextEncoder(), drawings, {"train": [0, 1, 2], "held": [0, 1, 2]}, Budget(30, 50), path, "test", config=config)
    recipe = checkpoint.load(path, KIND).recipe
    said, paraphrased, identity = recipe["x0_error_said_paraphrased_identity"]["cutout"]
    assert said < 0.95 * identity and recipe["updates"] == 50


def test_rows_are_remembered_and_looked_at_once(stage: Stage, encoder: PatchEncoder) -> None:
    net = build_unet(TINY)
    school, rng = School(stage, encoder, TextEncoder(), SMALL), np.random.default_rng(0)
    with tapped(net) as taps:
        first = school.look(net, taps, school.rows(20, rng))
        kept = [row.seen for row in first]
        assert all(kept) and not taps.open
        again = school.look(net, taps, school.rows(4, rng))
        assert sum(any(row is old for old in first) for row in again) == int(SMALL.again * 4)
        assert all(row.seen is seen for row, seen in zip(first, kept))
    lesson = school.lesson(again, None)
    assert [t.shape[0] for t in (lesson.target, lesson.source.latents, lesson.sentence[0], lesson.cells)] == [4] * 4
    assert abs(float(lesson.cells.mean()) - 1) < 1e-4
