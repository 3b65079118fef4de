"""Training of outpainting at tiny size: what views show, that places ask by position, that it learns, and that its file is the adapter."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import checkpoint
from models.lab import outpaint as lab
from models.lab.budget import Budget
from models.lab.items import Item
from models.lab.outpaint import OutpaintConfig
from models.lab.outpaint_views import KINDS, Thing, ViewConfig, Views, hidden, holes, known_part, view_of
from models.lab.unicon import Texts
from models.nets.outpaint import ANCHOR, KIND, Outpaint, Sight, attached, cells_of, config_for, places, relative_grid, start_from
from models.nets.patches import PatchEncoder
from models.nets.unet import CONFIG, build_unet, predict
from models.text import TextEncoder

TINY = CONFIG | dict(block_out_channels=[8, 16, 16], attention_head_dim=[1, 1, 1], norm_num_groups=4)
SMALL = OutpaintConfig(batch_size=4, rank=4, views=ViewConfig(square=1.0, wordless=1.0))
LOUD = 4.0


@pytest.fixture(scope="module")
def encoder() -> PatchEncoder:
    torch.manual_seed(0)
    net = PatchEncoder()
    smooth = torch.nn.functional.interpolate(torch.randn(32, 3, 2, 2), size=16, mode="bilinear").flatten(1)
    net.basis.copy_(torch.linalg.qr(smooth.T)[0].T.reshape(32, 3, 16, 16))
    net.scale.fill_(3.0)
    return net


@pytest.fixture(scope="module")
def views() -> Views:
    """Six drawings: discs of one colour each."""
    yy, xx = np.mgrid[:256, :256]
    disc = (((yy - 128) ** 2 + (xx - 128) ** 2) < 100 ** 2).astype(np.uint8) * 255
    drawings = np.stack([np.dstack([np.full((256, 256, 3), (40 * i, 200 - 30 * i, 90), np.uint8), disc]) for i in range(6)])
    items = [Item("twemoji", f"disc-{i}", f"disc {i}", "flat emoji style", "train", "objects", "CC0") for i in range(6)]
    return Views(items, drawings, SMALL.views)


# --- views --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", KINDS)
def test_the_anchor_is_the_known_part_of_the_target(views: Views, kind: str) -> None:
    for seed in range(6):
        view = views.draw(np.random.default_rng(seed), (208, 320), kind)
        height, width = view.known.shape
        assert view.target.shape == (208, 320, 3) and 0 < view.known.mean() < 1 and view.anchor.shape == (256, 256, 4)
        x0, y0, x1, y1 = (round(v * side) for v, side in zip(view.box, (width, height, width, height)))
        part = view.known[y0:y1, x0:x1]
        assert part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any() and view.known.sum() == part.sum(), "the box is the least one"
        small = torch.nn.functional.interpolate(torch.from_numpy(view.anchor[..., :3]).permute(2, 0, 1)[None].float(), (y1 - y0, x1 - x0), mode="area")
        near = (small[0].permute(1, 2, 0).numpy() - view.target[y0:y1, x0:x1])
        assert np.abs(near).mean() < 8, "the anchor, shrunk into its box, is the target there"


def test_a_box_is_a_share_of_the_canvas_and_a_band_has_both_sides() -> None:
    rng = np.random.default_rng(0)
    areas = [1 / known_part("box", (256, 256), (4.0, 4.0), rng).mean() for _ in range(40)]
    assert 3.2 < np.median(areas) < 4.8
    band = known_part("band", (256, 256), (2.0, 4.0), rng)
    across = band.all(0) if band.all(0).any() else band.all(1)
    assert across[0] and across[-1] and not across.all()
    assert 0 < holes((256, 256), rng).mean() < 0.85


def test_what_nothing_shows_is_hidden() -> None:
    known = np.zeros((256, 256), bool)
    known[:, :100] = True
    assert hidden(Thing(0, 0.2, 0.8, 0.5), (0, 0, 512, 512), known) and not hidden(Thing(0, 0.2, 0.35, 0.5), (0, 0, 512, 512), known)
    assert hidden(Thing(0, 0.1, 0.9, 0.9), (0, 0, 200, 200), known), "beyond the target"


def test_without_words_nothing_new_is_shown(views: Views) -> None:
    bare = Views(views.items, views.drawings, replace(SMALL.views, scenes=0.0, several=0.0, empty=1.0))
    for seed in range(12):
        view = bare.draw(np.random.default_rng(seed), (256, 256), "side")
        assert view.words == ""
        if (np.ptp(view.target[view.known].reshape(-1, 3), axis=0) == 0).all():
            assert np.ptp(view.target.reshape(-1, 3), axis=0).max() < 120 or not view.known.any()


# --- asking by position -------------------------------------------------------------------------------------------------

def test_rows_and_columns_are_not_swapped() -> None:
    """A box that is not square: the card's pitfall."""
    y, x = relative_grid(torch.tensor([[0.5, 0.0, 1.0, 0.25]]), 16, 16)
    assert x[0, 8] == pytest.approx(0.5) and x[0, 0] == pytest.approx(-15.5) and y[0, 0] == pytest.approx(1.5) and y[0, 4] == pytest.approx(17.5)
    same_y, same_x = relative_grid(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), ANCHOR, ANCHOR)
    assert torch.allclose(same_y[0], torch.arange(16.0)) and torch.allclose(same_x, same_y)


def test_a_place_is_most_like_itself() -> None:
    grid = torch.arange(16.0)[None]
    e = places(grid, grid)[0]
    for head in e.unflatten(-1, (4, -1)).unbind(1):
        alike = head @ head.T
        assert (alike.argmax(1) == torch.arange(256)).all() and torch.allclose(alike.diagonal(), alike[0, 0].expand(256))


def test_a_fresh_question_reads_what_lies_at_its_own_place() -> None:
    torch.manual_seed(0)
    net = Outpaint({"channels": 4, "width": 8, "rank": 2, "layers": {}}).anchor
    asked = places(*relative_grid(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), 16, 16))
    q, k = net.query(asked)[0], net.place(places(torch.arange(16)[None], torch.arange(16)[None]))[0]
    weights = torch.einsum("ihc,jhc->hij", q.unflatten(-1, (4, -1)), k.unflatten(-1, (4, -1))).div(32 ** 0.5).softmax(-1)
    assert (weights.argmax(-1) == torch.arange(256)).all() and weights.diagonal(dim1=1, dim2=2).mean() > 0.5


# --- what is added to a network -----------------------------------------------------------------------------------------

def cond() -> tuple[torch.Tensor, ...]:
    return torch.zeros(2, 4, 384), torch.ones(2, 4, dtype=torch.bool), torch.zeros(2, 384)


def test_without_sight_the_network_is_what_it_was(encoder: PatchEncoder, views: Views) -> None:
    torch.manual_seed(0)
    net, x = build_unet(TINY), torch.randn(2, 32, 16, 16)
    own = start_from(Outpaint(config_for(net, 4)), net)
    batch = lab.shown([views.draw(np.random.default_rng(i), (256, 256)) for i in range(2)], encoder)
    with torch.no_grad():
        before = predict(net, x, 500.0, cond())
        with attached(net, own, Sight(amount=1.0)) as sight:
            assert torch.equal(predict(net, x, 500.0, cond()), before)
            sight.seen = own.seen(batch.known, batch.anchor, batch.box)
            seen = predict(net, x, 500.0, cond())
            sight.amount = 0.0
            assert torch.equal(predict(net, x, 500.0, cond()), before)
        assert torch.equal(predict(net, x, 500.0, cond()), before) and not torch.equal(seen, before)


def test_cells_without_a_known_pixel_are_nothing(encoder: PatchEncoder) -> None:
    known = torch.zeros(1, 1, 64, 64)
    known[..., :24] = 1
    cells = cells_of(encoder, torch.rand(1, 3, 64, 64), known)
    assert (cells[:, :, :, 2:] == 0).all() and cells[0, -1, 0].tolist() == [1, 0.5, 0, 0] and (cells[:, :-1, :, 1] != 0).any()
    other = torch.rand(1, 3, 64, 64)
    assert torch.equal(cells_of(encoder, other * known, known), cells_of(encoder, other, known)), "what is unknown is never looked at"


def test_it_learns_and_its_file_goes_on_where_it_stopped(encoder: PatchEncoder, views: Views, tmp_path: Path) -> None:
    torch.manual_seed(0)
    nets, path, texts = [build_unet(TINY), build_unet(TINY)], tmp_path / "outpaint.safetensors", Texts(TextEncoder())
    for net in nets:
        net.conv_out.weight.data.mul_(LOUD)
    before = {k: v.clone() for k, v in nets[0].state_dict().items()}
    quick = replace(SMALL, lr=3e-2, one_step=1.0)
    make = lambda updates: lab.make_outpaint(nets, encoder, texts, views, views, Budget(5, updates), path, "test", config=quick, start=path)
    make(16)
    told = checkpoint.load(path, KIND).recipe["x0_error_in_unknown_cells_when_shown"]
    assert told["right"] < 0.95 * told["none"]
    assert all(torch.equal(before[k], v) for k, v in nets[0].state_dict().items()), "the base stays as it was"
    make(1)
    assert checkpoint.load(path, KIND).recipe["updates"] == 17


def test_known_cells_count_little(encoder: PatchEncoder, views: Views) -> None:
    batch = lab.shown([views.draw(np.random.default_rng(0), (256, 256), "side")], encoder)
    assert batch.unknown.shape == (1, 1, 16, 16) and torch.allclose(batch.unknown, 1 - batch.known[:, -1:])
    canvas = np.full((512, 512, 3), 7, np.uint8)
    assert view_of(canvas, (0, 0, 512, 512), known_part("side", (256, 256), (2, 3), np.random.default_rng(1)), "").target.max() == 7
