"""Layered codes: who sees which token, what sparse drawings and locked colours do to a code, and both stages of training at tiny size."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.adapters import layered_codes as adapter
from models.lab import layered_codes as lab
from models.lab.budget import Budget
from models.lab.control import Lines
from models.nets import layered_codes as nets
from models.nets.image_prompt import Look, attached
from models.nets.unet import CONFIG, build_unet, predict
from tests.tiny_adapters.layered_codes import random_codes
from tests.lab_rows import TINY, Rows

TRAINED = lab.CodesConfig(batch_size=6, lr=1e-1, one_step=1.0, sketch_batch=6, dropped=0.0)


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    net = build_unet(TINY).eval().requires_grad_(False)
    net.conv_out.weight.mul_(4)                      # a fresh network answers almost 0
    return net


class Shades(Rows):
    """The square always in one place, each picture in another shade and colour."""

    def __init__(self, encoder) -> None:
        pictures = torch.full((6, 3, 256, 256), 0.9)
        for i, colour in enumerate(([0.8, 0, 0], [0, 0.6, 0], [0, 0, 0.8], [0.1, 0.1, 0.1], [0.7, 0.7, 0.2], [0.5, 0.1, 0.5])):
            pictures[i, :, 32:208, 32:208] = torch.tensor(colour)[:, None, None]
        self.latents = encoder(pictures)


def answer(unet, codes, code: torch.Tensor | None) -> torch.Tensor:
    cond = (torch.zeros(1, 4, 384), None, torch.zeros(1, 384))
    with torch.no_grad(), attached(unet, codes, Look()) as look:
        look.show(code)
        return predict(unet, torch.ones(1, 32, 16, 16), 999.0, cond)


def test_groups_reach_the_layers_of_their_level_only() -> None:
    """The shipped network: 4x4 layers see structure, 8x8 middle, those on the way out colour too."""
    with torch.device("meta"):
        shape = nets.config_for(build_unet(CONFIG))
    seen = {width: sorted({tuple(groups) for w, groups in shape["layers"].values() if w == width}) for width in (192, 384)}
    assert seen == {384: [("structure",)], 192: [("middle",), ("middle", "colour")]} and len(shape["layers"]) == 7


def test_a_layer_is_blind_to_the_tokens_of_other_groups() -> None:
    keys = nets.RoutedKeysValues(16, 8, [0, 1, 2])
    code = torch.randn(1, nets.TOKENS, 16)
    other = code.clone()
    other[:, 3:] += 1
    assert torch.equal(keys.to_k_ip(code), keys.to_k_ip(other)) and not keys.to_k_ip(code).equal(keys.to_k_ip(code + 1))


def test_hue_reaches_the_colour_tokens_alone(unet) -> None:
    codes, _ = random_codes(unet)
    red, green = (torch.tensor(c).reshape(1, 3, 1, 1).expand(1, 3, 64, 64) for c in ([1.0, 0, 0], [0.0, 0.299 / 0.587, 0]))
    with torch.no_grad():
        one, other = codes.picture(red), codes.picture(green)
    assert torch.allclose(one[:, :6], other[:, :6], atol=1e-4) and (one[:, 6:] - other[:, 6:]).abs().max() > 0.1


def test_sparse_drawings_come_nearer_to_the_mean_and_locked_colours_stay(unet) -> None:
    codes, _ = random_codes(unet)
    drawing = torch.zeros(1, 3, 64, 64)
    drawing[..., 30:32, 10:40] = 1
    with torch.no_grad():
        assert codes.psi(torch.zeros(1, 3, 64, 64)) == nets.LEAST_PSI and codes.psi(torch.ones(1, 3, 64, 64)) == 1
        full, short = codes.of_sketch(drawing, truncate=False), codes.of_sketch(drawing)
        assert torch.allclose(short, codes.psi(drawing) * full) and codes.psi(drawing) < 1
        locked = torch.rand(1, 3, 64, 64)
        kept = codes.of_sketch(drawing, locked)
    assert torch.equal(kept[:, :6], short[:, :6]) and torch.equal(kept[:, 6:], codes.of_picture(locked)[:, 6:])


def test_untrained_codes_change_nothing_and_no_code_is_no_change(unet) -> None:
    torch.manual_seed(0)
    fresh = nets.build(nets.config_for(unet, 32, (8, 16, 32), 8, 16, 16, (8, 16)))
    loud, _ = random_codes(unet)
    code = torch.randn(1, nets.TOKENS, 16)
    plain = answer(unet, fresh, None)
    assert torch.equal(answer(unet, fresh, code), plain) and not torch.equal(answer(unet, loud, code), plain)
    assert torch.equal(answer(unet, loud, None), plain)


def test_strokes_come_whole_and_large_ones_first() -> None:
    strokes = [np.array([[0, 0], [size, size]]) for size in (5, 50, 200)]
    config = lab.CodesConfig(random_order=0.0, dropped=0.0)
    rng = np.random.default_rng(0)
    assert [np.ptp(s) for s in lab.in_order(strokes, rng, config)] == [200, 50, 5]
    shuffled = {tuple(np.ptp(s) for s in lab.in_order(strokes, rng, lab.CodesConfig(random_order=1.0, dropped=0.0))) for _ in range(40)}
    assert len(shuffled) == 6
    first, done = lab.moment(strokes, 0.34, rng, config)
    assert len(first) >= 1 and done == pytest.approx(1 / 3), "shares count points of the strokes"
    weights = lab.layer_weights(torch.tensor([0.25]))[0, :, 0]
    assert weights.tolist() == [1.0] * 3 + [0.25] * 5


def test_both_stages_learn_and_the_file_is_the_adapter(encoder, unet, tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = Shades(encoder)
    shape = nets.config_for(unet, 32, (8, 16, 32), 8, 16, 16, (8, 16))
    codes = nets.build(shape)
    before = {k: v.clone() for k, v in unet.state_dict().items()}
    lab.train_pictures(unet, codes, encoder, data, Budget(10.0, max_updates=110), TRAINED, say=lambda text: None)
    fixed = {k: v.clone() for k, v in codes.state_dict().items() if not k.startswith(("sketch.", "full"))}
    lab.train_sketches(unet, codes, encoder, data, Budget(10.0, max_updates=40), TRAINED, say=lambda text: None)
    assert all(torch.equal(before[k], v) for k, v in unet.state_dict().items()), "the base is frozen"
    assert all(torch.equal(fixed[k], codes.state_dict()[k]) for k in fixed), "stage 2 trains the sketch encoder alone"
    told = lab.errors(unet, codes, encoder, data, TRAINED)
    assert told["picture"] < told["another picture"] < told["no code"], told
    assert told["100% of the strokes"] < told["no code"], told
    assert 0 < float(codes.full) < 0.5
    path = lab.export_codes(codes, shape, {"picture_updates": 80}, tmp_path / "guess.safetensors")
    spec = adapter.recognise(str(path))
    assert (spec.id, spec.kind, spec.control, spec.max_images) == ("guess", "control", "layered", 2)
    again, recipe = lab.load_codes(path)
    lines, _ = lab.moments(Lines(encoder), [0], data.latents[:1], [1.0], np.random.default_rng(0), TRAINED)
    with torch.no_grad():
        near = (again.of_sketch(lines) - codes.eval().of_sketch(lines)).abs().max()
    assert near < 0.2 and recipe["picture_updates"] == 80, "int8 rows are near what was saved"
