"""Signs: where they lie, the control picture that asks for them, and how the glyph control is trained on them, at tiny size."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.adapters import controlnet
from models.errors import BadInput
from models.job import Extent
from models.lab import glyphs
from models.lab.budget import Budget
from models.lab.latents import Batch
from models.nets.control import hint
from models.nets.patches import PatchEncoder
from models.nets.unet import CONFIG, build_unet
from models.spec import EMBEDDED
from models.words.signs import DARKEST, Sign, asked, board_of, ink_of, outline, room
from models.layers.stack import Text

TINY = CONFIG | dict(block_out_channels=[8, 16, 16], attention_head_dim=[1, 1, 1], norm_num_groups=4)
SIDE = Extent(256, 256)
OPEN = Sign(Text("OPEN", "anton", 60, "#102040", "center"), 128, 100, 12.0, "#ffe0a0", "rounded")


@pytest.fixture(scope="module")
def encoder() -> PatchEncoder:
    torch.manual_seed(0)
    net = PatchEncoder()
    net.basis.copy_(torch.linalg.qr(torch.randn(768, 32))[0].T.reshape(32, 3, 16, 16))
    return net


class Grey:
    """A LatentSet of grey pictures."""

    def __init__(self, encoder: PatchEncoder) -> None:
        self.latents = encoder(torch.full((4, 3, 256, 256), 0.6))

    def __len__(self) -> int:
        return len(self.latents)

    def rows(self, rows: list[int]) -> Batch:
        n = len(rows)
        return Batch(self.latents[list(rows)], torch.zeros(n, 4, 384), torch.ones(n, 4, dtype=torch.bool), torch.zeros(n, 384))

    def draw(self, rng: np.random.Generator, size: int, text_dropout: float) -> tuple[np.ndarray, Batch]:
        return np.zeros(size, int), self.rows([0] * size)


def test_the_control_picture_has_the_sign_and_nothing_else() -> None:
    shown, inside = asked([OPEN], SIDE), room([OPEN], SIDE)
    assert shown.shape == (256, 256, 3) and shown[~inside].max() < 140, "half of an edge's pixel at most"
    assert (np.abs(shown.astype(int) - (DARKEST, DARKEST, 64)).max(2) < 2).sum() > 500, "letters in their colour, black lifted"
    assert (np.abs(shown.astype(int) - (255, 224, 160)).max(2) < 3).sum() > 2000, "the board in its own"
    assert asked([], SIDE).max() == 0 and not room([], SIDE).any()


@pytest.mark.parametrize("shape", ["board", "rounded", "banner", "label"])
def test_letters_stay_on_their_board_and_the_board_in_its_box(shape: str) -> None:
    sign = replace(OPEN, shape=shape)
    board, ink = board_of(sign, SIDE), ink_of(sign, SIDE)
    assert ink[board < 0.5].max() < 0.2 and ink.max() > 0.99
    x0, y0, x1, y1 = sign.box
    points = outline(sign)
    assert points[:, 0].min() >= x0 - 1e-6 and points[:, 0].max() <= x1 + 1e-6 and points[:, 1].min() >= y0 - 1e-6 and points[:, 1].max() <= y1 + 1e-6
    ys, xs = np.nonzero(ink > 0.5)
    assert abs((xs.min() + xs.max()) / 2 - 128) < 4 and abs((ys.min() + ys.max()) / 2 - 100) < 4, "its ink is centred"


def test_angles_turn_clockwise() -> None:
    ys, xs = np.nonzero(ink_of(replace(OPEN, angle_deg=15.0), SIDE) > 0.5)
    assert np.polyfit(xs, ys, 1)[0] > 0.1


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(BadInput, match="banner"):
        replace(OPEN, shape="star")


def test_words_of_the_tests_are_not_trained_on() -> None:
    train, test = set(glyphs.vocabulary()), set(glyphs.vocabulary(True))
    assert len(train) > 5000 and len(test) > 500 and not train & test
    rng = np.random.default_rng(0)
    signs = [glyphs.random_sign(rng, glyphs.GlyphConfig()) for _ in range(40)]
    assert all(min(s.box) > -1 and max(s.box) < 257 and abs(s.angle_deg) <= 15 for s in signs) and {bool(s.board) for s in signs} == {True, False}


def test_cells_that_a_sign_does_not_touch_keep_their_latents(encoder: PatchEncoder) -> None:
    data = Grey(encoder)
    before = data.rows([0, 1])
    after, shown, weights = glyphs.Signs(encoder, glyphs.GlyphConfig()).over(before, np.random.default_rng(3), ["hi", "SALE"])
    assert shown.shape == (2, 3, 256, 256) and weights.unique().tolist() == pytest.approx([1.0, glyphs.INSIDE])
    moved = (after.latents - before.latents).abs().amax(1, keepdim=True) > 1e-4
    assert moved.any() and not moved[torch.nn.functional.max_pool2d(weights, 5, 1, 2) == 1].any(), "its shadow reaches one cell further"


def test_the_control_sees_words_as_the_base_sees_them_and_says_nothing_yet(encoder: PatchEncoder) -> None:
    torch.manual_seed(1)
    net = build_unet(TINY)
    control = glyphs.seeing_control(net, encoder)
    shown = torch.rand(1, 3, 256, 256)
    scale = encoder.scale[:, None, None, None]
    latents = torch.nn.functional.conv2d(shown * 2, encoder.basis / scale, stride=16)
    embedding = control.controlnet_cond_embedding
    free = embedding.conv_out.weight.clone()
    with torch.no_grad():
        free[:, 64:] = 0
        seen = torch.nn.functional.conv2d(torch.nn.functional.silu(embedding.conv_in(hint(control, shown))), free, padding=1)
        want = torch.nn.functional.conv2d(latents, net.conv_in.weight, padding=1)
    assert torch.allclose(seen, want, atol=1e-4)
    assert all(not block.weight.any() for block in control.controlnet_down_blocks)


def test_it_learns_words_and_its_file_is_the_adapter(encoder: PatchEncoder, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, data = build_unet(TINY), Grey(encoder)
    config = glyphs.GlyphConfig(batch_size=4, lr=3e-3)
    glyphs.make_glyphs(net, encoder, data, data, Budget(9, 12), tmp_path / "glyphs.safetensors", "test", config=config)
    spec = controlnet.recognise(str(tmp_path / "glyphs.safetensors"))
    assert spec.control == "glyph" and spec.arch == EMBEDDED
    from models import checkpoint
    seen, blank = checkpoint.load(tmp_path / "glyphs.safetensors", "onestroke.control").recipe["x0_error_in_signs_with_and_without_words"]
    assert seen < blank
