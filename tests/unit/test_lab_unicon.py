"""Training of the pair at tiny size: who is clean and who is not, that it learns, and that its file is the adapter."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.lab import unicon
from models.lab.budget import Budget
from models.lab.diffusion import TOP
from models.lab.unicon import TRIGGERS, Signals, UniconConfig, Words
from models.nets.pair import KIND, Pair, config_for
from models.nets.patches import PatchEncoder
from models.nets.unet import build_unet
from models.text import TextEncoder
from tests.lab_rows import TINY
from tests.lab_rows import OnWhite as Rows

LOUD = 4.0                                           # a fresh network answers almost 0, and there is little to learn beside it
SMALL = UniconConfig(batch_size=6, rank=4, y_rank=4)


def test_each_kind_of_row_has_its_noise() -> None:
    config = UniconConfig(batch_size=100, controls=0.5, reads=0.2, one_step=0.5)
    x, y = unicon.random_pair_times(100, torch.Generator().manual_seed(0), config)
    assert (y[:50] == 0).all() and (x[:25] == TOP).all() and (x[25:50] < TOP).all() and (x[:50] > 0).all()
    assert (x[50:70] == 0).all() and (y[50:60] == TOP).all() and (y[60:70] < TOP).all()
    assert (x[70:] > 0).all() and (y[70:] > 0).all() and np.corrcoef(x[70:], y[70:])[0, 1] < 0.5, "levels of their own"


def test_signals_show_what_they_are_called(encoder: PatchEncoder) -> None:
    data, signals = Rows(encoder), Signals(encoder, SMALL)
    latents = data.rows([0, 1]).latents
    lines, half, shape = (signals.pictures(s, [0, 1], latents, [share] * 2, np.random.default_rng(0)).mean((1, 2, 3))
                          for s, share in (("lines", 1.0), ("lines", 0.4), ("shape", 1.0)))
    assert (0 < half).all() and (half < lines).all() and (lines < shape).all() and shape[0] == pytest.approx(0.25, abs=0.06), "a filled square"


def test_words_begin_with_the_signal_and_are_read_once(encoder: PatchEncoder, text: TextEncoder) -> None:
    words = Words(Rows(encoder), text)
    with_caption = words.cond("lines", [0, 1], np.random.default_rng(0), 0.0)
    alone = words.cond("shape", [0, 1], np.random.default_rng(0), 1.0)
    assert {*words.texts.known} == {TRIGGERS["lines"] + "a square", TRIGGERS["shape"]}
    expected = text.encode([TRIGGERS["lines"] + "a square"])[0]
    assert torch.allclose(with_caption[2][1], expected.pooled, atol=5e-3) and with_caption[1].sum() == 2 * len(expected.states)
    joined = unicon.both(with_caption, alone)
    assert joined[0].shape[0] == 4 and joined[0].shape[:2] == joined[1].shape and joined[1].sum() == with_caption[1].sum() + alone[1].sum()


def test_clean_items_count_nothing_and_come_as_they_are(encoder: PatchEncoder) -> None:
    seen = {}

    class Net(torch.nn.Module):
        def forward(self, sample: torch.Tensor, **_: object) -> tuple[torch.Tensor]:
            seen["sample"] = sample
            return (torch.zeros_like(sample),)
    latents = torch.ones(2, 32, 16, 16)
    told = unicon.pair_errors(Net(), latents, torch.tensor([0.0, float(TOP)]), Rows(encoder).rows([0, 1]).cond, torch.randn(2, 32, 16, 16))
    assert told[0] == 0 and told[1] > 0.9 and torch.equal(seen["sample"][0], latents[0])


def test_it_learns_and_its_file_goes_on_where_it_stopped(encoder: PatchEncoder, text: TextEncoder, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, data, path = build_unet(TINY), Rows(encoder), tmp_path / "unicon.safetensors"
    net.conv_out.weight.data.mul_(LOUD)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    untrained = unicon.errors(net, Pair(config_for(net, 4, 4)), data, Signals(encoder, SMALL), Words(data, text))
    assert untrained["picture, right"] == untrained["picture, none"], "a fresh pair is the identity"
    quick = replace(SMALL, lr=1e-1, controls=0.5, reads=0.5, one_step=1.0, shapes=0.0, whole=1.0)
    make = lambda updates: unicon.make_unicon(net, encoder, text, data, data, Budget(5, updates), path, "test", config=quick, start=path)
    make(30)
    saved = unicon.checkpoint.load(path, KIND)
    told = saved.recipe["x0_error_by_partner"]
    assert told["picture, right"] < 0.97 * told["picture, none"] and told["lines, right"] < 0.97 * told["lines, none"]
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items()), "the base stays as it was"
    make(1)
    assert unicon.checkpoint.load(path, KIND).recipe["updates"] == 31
