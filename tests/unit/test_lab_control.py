"""Training of the scribble control at tiny size: what it sees, that it learns, and that its file is the adapter."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.adapters import controlnet
from models.lab import beside, control
from models.lab.budget import Budget
from models.nets.control import KIND, build, control_config, start_from
from models.nets.patches import PatchEncoder
from models.nets.unet import build_unet
from tests.lab_rows import TINY, Rows


def test_control_pictures_show_the_share_that_was_asked_for(encoder: PatchEncoder) -> None:
    data, lines = Rows(encoder), control.Lines(encoder)
    batch = data.rows([0, 0, 0])
    shown = lines.pictures([0, 0, 0], batch.latents, [0.0, 0.3, 1.0], np.random.default_rng(0))
    ink = shown.mean((1, 2, 3))
    assert shown.shape == (3, 3, 256, 256) and ink[0] == 0 and 0 < ink[1] < ink[2] and 0 <= shown.min() and shown.max() <= 1
    assert lines.strokes(0, batch.latents[0]) is lines.strokes(0, batch.latents[0]), "found once"


def test_an_untrained_control_changes_nothing_and_training_helps_only_where_lines_are(encoder: PatchEncoder, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, data = build_unet(TINY), Rows(encoder)
    net_control = start_from(build(control_config(TINY)), net)
    lines = control.Lines(encoder)
    seen, blank = control.error_at(net, net_control, data, lines, 1.0)
    assert seen == blank
    budget = Budget(10.0, max_updates=120)
    config = control.ControlConfig(batch_size=6, lr=2e-2, whole=1.0, one_step=1.0)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    control.train_control(net, net_control, data, lines, budget, config, say=lambda text: None)
    seen, blank = control.error_at(net, net_control, data, lines, 1.0)
    assert seen < 0.95 * blank, "the lines say where the square is"
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items()), "the base is frozen"
    path = control.export_control(net_control, "scribble", tmp_path / "lines.safetensors", {}, "Lines", "Follows lines.")
    spec = controlnet.recognise(str(path))
    assert (spec.id, spec.control, spec.knows, spec.needs_image) == ("lines", "scribble", "Follows lines.", True)


def test_shares_cover_their_range() -> None:
    shares = control.random_shares(control.ControlConfig(), 4000, np.random.default_rng(0))
    assert shares.min() >= 0.05 and (shares == 1).mean() == pytest.approx(0.25, abs=0.03)


def test_training_goes_on_from_a_control_on_disk(tmp_path: Path) -> None:
    net = build_unet(TINY)
    fresh = lambda: (start_from(build(control_config(TINY)), net), control_config(TINY))
    first, _, before = beside.first(tmp_path / "none.safetensors", KIND, "network", build, fresh)
    assert before == 0
    torch.manual_seed(1)
    for p in first.parameters():
        p.data.add_(0.01 * torch.randn_like(p))
    path = control.export_control(first, "scribble", tmp_path / "lines.safetensors", {"updates": 7}, "Lines", "Follows lines.")
    again, shape, before = beside.first(path, KIND, "network", build, fresh)
    assert before == 7 and shape["block_out_channels"] == TINY["block_out_channels"]
    near = [(a.data - b.data).abs().max() for a, b in zip(first.parameters(), again.parameters())]
    assert max(near) < 0.02, "int8 rows are near what was saved"
