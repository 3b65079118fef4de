"""Style transfer in the lab at tiny size: the network, its lessons, its losses, that it learns, and that its file is the adapter."""
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models import checkpoint
from models.adapters import style as adapter
from models.errors import MissingWeights
from models.lab import style_scores
from models.lab.budget import Budget
from models.lab.items import Item
from models.lab.judges import Drawings, read_judge, train_judge, view
from models.lab.looks_at_random import random_look
from models.lab.style_pairs import HELD, Pairs, Shares, silhouettes
from models.lab.style_transfer import StyleConfig, Teachers, grey, make_style, sliced_distance, ssim, style_loss, to_lab
from models.nets.decoder import PatchDecoder
from models.nets.patches import PatchEncoder
from models.nets.style import KIND, Restyle, attached, config_for, eye_view, restyled
from models.nets.style_judge import Judge
from models.nets.unet import build_unet
from tests.unit.test_lab_unicon import TINY

JUDGE = {"form": "convolutions", "widths": [8, 16, 16]}
SETS, LABELS = ("noto", "fluent-3d", HELD), ("ball", "box", "kite", "ring")


def drawing(source: str, label: str) -> np.ndarray:
    """A shape a label, a colour and rim a set."""
    rgba = np.zeros((256, 256, 4), np.uint8)
    colour = {"noto": (230, 60, 40, 255), "fluent-3d": (40, 90, 220, 255), HELD: (60, 190, 70, 255)}[source]
    if label in ("ball", "ring"):
        cv2.circle(rgba, (128, 128), 100, colour, -1 if label == "ball" else 40, cv2.LINE_AA)
    else:
        cv2.rectangle(rgba, (40, 40), (216, 216), colour, -1 if label == "box" else 50)
    return rgba


@pytest.fixture(scope="module")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Item], np.ndarray, np.ndarray]:
    items = [Item(source, label, label, f"{source} style", "train" if label != "ring" else "test_concept", "objects", "MIT")
             for source in SETS for label in LABELS]
    rgba = np.stack([drawing(item.source, item.label) for item in items])
    return items, rgba, silhouettes(rgba, tmp_path_factory.mktemp("small") / "small.npy")


@pytest.fixture(scope="module")
def teachers() -> Teachers:
    torch.manual_seed(0)
    encoder = PatchEncoder()
    smooth = torch.nn.functional.interpolate(torch.randn(32, 3, 2, 2), size=16, mode="bilinear").flatten(1)
    encoder.basis.copy_(torch.linalg.qr(smooth.T)[0].T.reshape(32, 3, 16, 16))
    encoder.scale.fill_(3.0)
    decoder = PatchDecoder(32, (8, 8, 8)).requires_grad_(False)
    decoder.projection.load_state_dict(encoder.state_dict())
    return Teachers(encoder, decoder, Judge(**JUDGE).eval().requires_grad_(False))


def test_looks_keep_shape_and_range_and_come_again() -> None:
    rgb = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for seed in range(40):
        seen = random_look(np.random.default_rng(seed))(rgb)
        assert seen.shape == rgb.shape and torch.isfinite(seen).all() and seen.min() >= -1e-6 and seen.max() <= 1 + 1e-5, seed
        assert torch.equal(seen, random_look(np.random.default_rng(seed))(rgb))


def test_a_lesson_shows_content_truth_and_another_things_style(drawings: tuple) -> None:
    pairs = Pairs(*drawings)
    assert pairs.targets == ("fluent-3d", "noto") and pairs.labels == ["ball", "box", "kite"]
    lesson = pairs.lesson(np.random.default_rng(0), 8, Shares(0, 0, 0, 0), "noto")
    assert lesson.content.shape == lesson.target.shape == (8, 3, 256, 256) and lesson.style.shape == (8, 3, 128, 128)
    assert (lesson.exact == 1).all() and (lesson.strength == 1).all(), "the same shapes lie over each other"
    changed = (lesson.content - lesson.target).abs().amax((1, 2, 3))
    assert (changed > 0.3).all(), "the content is of another set"
    reddest = lesson.target.flatten(2).permute(0, 2, 1)[:, :, 0] - lesson.target.flatten(2).permute(0, 2, 1)[:, :, 2]
    assert (reddest.amax(1) > 0.5).all(), "and the truth of the one asked for"
    nothing = pairs.lesson(np.random.default_rng(0), 4, Shares(0.5, 0.5, 0, 1))
    assert torch.equal(nothing.content, nothing.target) and (nothing.strength == 0).all()
    held = Pairs(*drawings, ("test_concept",), (HELD,))
    assert held.labels == ["ring"] and held.targets == (HELD,)


def test_losses_are_nothing_for_the_same_picture() -> None:
    rgb = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    assert float(sliced_distance(rgb, rgb, generator).abs().max()) == 0 and ssim(grey(rgb), grey(rgb)).tolist() == pytest.approx([1, 1])
    assert (sliced_distance(rgb, rgb * 0.5, generator) > 0.05).all() and (ssim(grey(rgb), grey(1 - rgb)) < 0.2).all()
    wanted = cv2.cvtColor(rgb[0].permute(1, 2, 0).numpy(), cv2.COLOR_RGB2Lab)
    assert np.abs(to_lab(rgb)[0].permute(1, 2, 0).numpy() * 100 - wanted).max() < 0.5


def test_a_fresh_one_is_the_identity_and_leaves_no_trace(teachers: Teachers) -> None:
    torch.manual_seed(0)
    net = build_unet(TINY).eval()
    restyle = Restyle(config_for(net, 4, 3, 32, (8, 16))).eval()
    z, before = torch.randn(2, 32, 16, 16), [repr(net), [len(m._forward_hooks) for m in net.modules()]]
    with torch.no_grad(), attached(net, restyle) as now:
        style = restyle.style(torch.rand(1, 3, 32, 32))
        assert torch.equal(restyled(net, now, z, style), z)
        restyle.leave.weight.normal_()
        one, both = restyled(net, now, z[:1], style), restyled(net, now, z, style)
        assert not torch.equal(one, z[:1]) and torch.allclose(one, both[:1], atol=1e-4), "company changes nothing"
        none = restyle.null(2)
        assert all(torch.equal(a, b) for a, b in zip(restyle.mixed(tuple(t.expand(2, *t.shape[1:]) for t in style), 0.0), none))
        assert all(torch.allclose(a, b) for a, b in zip(restyle.mixed(style, 1.0), style))
    assert [repr(net), [len(m._forward_hooks) for m in net.modules()]] == before and not now.on


def test_the_loss_leads_to_the_answer(drawings: tuple, teachers: Teachers) -> None:
    torch.manual_seed(0)
    net = build_unet(TINY).requires_grad_(False).eval()
    restyle, config = Restyle(config_for(net, 4, 3, 32, (8, 16))), StyleConfig(decoded=1)
    lesson = Pairs(*drawings).lesson(np.random.default_rng(9), 2, Shares(0, 0, 0, 0), side_px=32)
    optimizer, losses = torch.optim.Adam(restyle.parameters(), 3e-2), []
    with attached(net, restyle) as now:
        for _ in range(12):
            loss = style_loss(net, now, restyle, lesson, teachers, config, torch.Generator().manual_seed(0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0], losses
    assert all(p.grad is not None for name, p in restyle.named_parameters() if not name.startswith("null"))


def test_its_file_is_the_adapter(drawings: tuple, teachers: Teachers, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, path = build_unet(TINY), tmp_path / "style.safetensors"
    sets = (Pairs(*drawings), Pairs(*drawings, ("test_concept",)), Pairs(*drawings, ("test_concept",), (HELD,)))
    make_style(net, sets, teachers, Budget(9, 1), path, "test", config=StyleConfig(batch_size=2, decoded=1, rank=4), start=path, count=2)
    saved = checkpoint.load(path, KIND)
    assert set(saved.recipe["latent_distance"]) == {"set", "look", "nothing", f"held-out set {HELD}"}
    assert saved.recipe["latent_distance"]["nothing"]["unchanged"] == 0
    spec = adapter.recognise(str(path))
    assert (spec.id, spec.kind, spec.needs_image, spec.max_images) == ("style", "style", True, 2)
    restyle, _ = style_scores.read_style(path)
    assert restyle.low.keys() == Restyle(saved.config["style"]).low.keys()


def test_what_is_matched_and_measured(drawings: tuple) -> None:
    red, blue = (style_scores.over(drawing(source, "ball"), style_scores.WHITE) for source in ("noto", "fluent-3d"))
    seen = style_scores.in_colours_of(red, blue)
    assert np.abs(seen[128, 128].astype(int) - blue[128, 128]).max() < 8 and (seen[2, 2] > 250).all(), "the paper stays"
    assert style_scores.overlap_error(np.stack([np.full((256, 256, 3), 7, np.uint8)] * 6)) == 0
    views, _ = style_scores.pans(Pairs(*drawings), 0)
    assert style_scores.overlap_error(views) == 0, "pans over one scene agree before anything is painted"
    assert style_scores.gain(np.array([2.0, 3.0]), np.array([1.0, 2.0])).startswith("+1 (+1 to +1)")
    told = style_scores.cases(Pairs(*drawings), drawings[0], ("noto",), 3)
    assert told.content.shape == told.truth.shape == (3, 256, 256, 3) and all("noto style" in words for words in told.words)
    assert eye_view(torch.rand(1, 3, 50, 90), 32).shape == (1, 3, 32, 32)


def test_judges_learn_words_for_pictures(drawings: tuple, tmp_path: Path) -> None:
    items, rgba, _ = drawings
    generator = torch.Generator().manual_seed(0)
    pooled = {label: torch.randn(2, 384, generator=generator) for label in LABELS}
    data = Drawings(items, rgba, pooled)
    rgb, said, sources = data.batch(np.random.default_rng(0), 3)
    assert rgb.shape == (3, 3, 96, 96) and said.shape == (3, 384) and set(sources.tolist()) <= {-1, 0, 1, 2}
    assert view(rgba[0], np.random.default_rng(1)).shape == (96, 96, 3)
    judge = train_judge(JUDGE, data, Budget(5, 30), 0, batch=3, say=lambda text: None)
    names = judge.text(torch.stack([pooled[label][0] for label in ("ball", "box", "kite")]))
    seen = torch.from_numpy(np.stack([view(rgba[i], np.random.default_rng(i)) for i in range(3) for _ in range(3)])).permute(0, 3, 1, 2).float() / 255
    right = (judge.vector(seen) @ names.T).argmax(1) == torch.arange(3).repeat_interleave(3)
    assert right.float().mean() > 0.6
    with pytest.raises(MissingWeights, match="judge_towers"):
        read_judge(tmp_path / "none.safetensors")
