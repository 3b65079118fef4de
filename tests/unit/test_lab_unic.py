"""Training of UNIC at tiny size: what each task shows and asks for, that it learns, and that its file is the adapter."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models import checkpoint
from models.adapters import unic as adapter
from models.lab import unic
from models.lab.budget import Budget
from models.lab.unic import SENTENCES, School, UnicConfig
from models.nets.patches import PatchEncoder
from models.nets.unet import build_unet
from models.nets.unic import KIND, Unic, config_for, start_from
from models.text import TextEncoder
from tests.lab_rows import ROWS, TINY, OnWhite
from tests.unit.test_lab_unicon import LOUD

SMALL = UnicConfig(batch_size=4, rank=4, whole=1.0)


class Rows(OnWhite):
    """The same pictures, with keys."""
    texts, captions = ["", "a square, flat emoji style"], [[1]] * ROWS
    keys, shares = [f"set-{i % 2}/square-{i}" for i in range(ROWS)], np.full(ROWS, 1 / ROWS)


def test_every_task_has_its_picture_its_sentence_and_its_target(encoder: PatchEncoder, text: TextEncoder) -> None:
    data = Rows(encoder)
    school = School(data, encoder, text, SMALL)
    tasks = ["edges", "subject", "style", "read"]
    lesson, latents = school.lesson(tasks, [0, 1, 2, 3], np.random.default_rng(0)), data.rows([0, 1, 2, 3]).latents
    assert torch.equal(lesson.target[:3], latents[:3]) and not torch.equal(lesson.target[3], latents[3]), "what is read are lines"
    assert torch.equal(lesson.seen[3], latents[3]) and not any(torch.equal(lesson.seen[i], latents[i]) for i in (0, 1))
    assert any(torch.equal(lesson.seen[2], data.rows([row]).latents[0]) for row in (0, 2, 4)), "a picture of the same set"
    assert set(school.texts.known) == {SENTENCES["edges"], SENTENCES["subject"].format("square 1"), SENTENCES["style"], SENTENCES["read"],
                                       "a square, flat emoji style", "a square", ""}


def test_it_learns_and_its_file_is_the_adapter(encoder: PatchEncoder, text: TextEncoder, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, data, path = build_unet(TINY), Rows(encoder), tmp_path / "unic.safetensors"
    net.conv_out.weight.data.mul_(LOUD)
    fresh = start_from(Unic(config_for(net, 4)), net)
    told = unic.errors(net, fresh, School(data, encoder, text, SMALL), count=2)
    assert all(with_it == without for with_it, _, without in told.values()), "a fresh one is the identity"
    quick = replace(SMALL, lr=1e-1, tasks=(("edges", 1.0),), one_step=1.0, blank=0.0)
    unic.make_unic(net, encoder, text, data, data, Budget(5, 30), path, "test", config=quick, start=path)
    seen, _, none = checkpoint.load(path, KIND).recipe["x0_error_with_picture_with_another_without"]["edges"]
    assert seen < 0.97 * none
    spec = adapter.recognise(str(path))
    assert (spec.id, spec.kind, spec.control, spec.needs_image) == ("unic", "instruct", "edges", True)
