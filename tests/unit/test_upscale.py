"""Enlarging: tiles, factors, alpha, refusals, and the net's promises; with a tiny net of random weights."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models import checkpoint
from models.catalog import Entry
from models.devices import Device
from models.engine import Engine, open_engine
from models.errors import BadInput, Cancelled, MissingWeights, UnknownId
from models.flows._tiles import Tiles, shares, starts
from models.flows.upscale import LANCZOS, OVERLAP_PX, check, estimate, lanczos, passes, upscale, upscalers
from models.job import Picture
from models.metadata import kind_of
from models.nets.upscale import DETAIL, KIND, Layer, Told, Upscaler, between, field_of_view
from models.percepts import own_upscaler
from models.percepts import upscale as percept
from models.spec import PerceptSpec, WeightFile

TINY = dict(width=8, depth=3, rank=2)


def random_net(seed: int, **changes) -> Upscaler:
    torch.manual_seed(seed)
    net = Upscaler(**TINY | changes).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.12)
    return net


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine that knows a tiny net by the id "tiny"."""
    folder = tmp_path_factory.mktemp("upscale")
    net, other = random_net(0), random_net(1)
    more = {DETAIL + k: v for k, v in other.state_dict().items() if not k.startswith("scorer.")}
    checkpoint.save(folder / "tiny.safetensors", KIND, TINY, {}, net.state_dict() | more, "Tiny")
    engine = open_engine(device="cpu", cache_dir=folder, models_dir=folder)
    spec = PerceptSpec("tiny", "Tiny", (WeightFile(str(folder / "tiny.safetensors")),), 100_000, "none", "larger")
    engine.catalog._percepts["tiny"] = Entry(spec, percept.load)
    yield engine
    engine.close()


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> Picture:
    rng = np.random.default_rng(seed)
    return Picture.from_array(rng.integers(0, 256, (height, width, channels), dtype=np.uint8))


@pytest.mark.parametrize("size,tile,overlap", [(500, 192, 48), (192, 192, 48), (40, 192, 48), (193, 192, 48), (4096, 192, 48)])
def test_tiles_cover_everything_once(size: int, tile: int, overlap: int) -> None:
    at = starts(size, tile, overlap)
    assert at[0] == 0 and max(at) + min(tile, size) == size and all(start % 2 == 0 for start in at[:-1])
    assert all(one + tile - other >= overlap for one, other in zip(at, at[1:]))
    total = np.zeros(size * 2)
    for start, share in zip(at, shares(size, tile, at, 2), strict=True):
        total[start * 2:start * 2 + len(share)] += share
    assert np.abs(total - 1).max() < 1e-6


def test_the_rim_of_a_tile_counts_nothing_inside_a_picture() -> None:
    first, second, *_ = shares(500, 192, starts(500, 192, 48), 1)
    assert first[0] == 1 and first[-10:].max() == 0 and second[:10].max() == 0


def test_joined_tiles_of_a_picture_are_the_picture() -> None:
    picture = np.random.default_rng(0).random((233, 310, 3), np.float32)
    tiles = Tiles(233, 310, 1, 96, 24)
    rows = list(tiles.joined(lambda w: picture[w[0]:w[0] + w[2], w[1]:w[1] + w[3]]))
    assert [top for top, _ in rows] == list(np.cumsum([0, *(len(r) for _, r in rows)])[:-1])
    assert np.abs(np.concatenate([r for _, r in rows]) - picture).max() < 1e-5 and len(tiles) > 6


@pytest.mark.parametrize("times,scale,wanted", [(2, 4, [2]), (4, 4, [4]), (8, 4, [4, 2]), (4, 2, [2, 2]), (8, 8, [8]), (4, 3, [2, 2]), (4, 1, [1])])
def test_factors_multiply_to_what_was_asked(times: int, scale: int, wanted: list[int]) -> None:
    assert passes(times, scale) == wanted


@pytest.mark.parametrize("times", [2, 4, 8])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("upscaler", ["tiny", LANCZOS])
def test_size_and_channels(engine: Engine, times: int, channels: int, upscaler: str) -> None:
    given = photo(23, 31, channels)
    out = upscale(engine, given, times, upscaler)
    assert (out.width, out.height, out.channels) == (31 * times, 23 * times, channels)
    assert upscale(engine, given, times, upscaler) == out


def test_tiled_equals_whole(engine: Engine) -> None:
    """The part of an overlap that counts nothing is wider than the net's field of view, so every tile says the same."""
    given = photo(150, 200)
    told = dict(times=4, upscaler="tiny", blur=0.3, noise=0.2)
    whole, tiled = (upscale(engine, given, tile_px=px, **told).array.astype(int) for px in (256, 96))
    assert np.abs(whole - tiled).max() <= 1 and field_of_view(random_net(0)) <= 96 // 4 // 3
    assert field_of_view(Upscaler()) <= OVERLAP_PX // 3


def test_what_is_invisible_does_not_matter_and_what_is_not_stays(engine: Engine) -> None:
    rng = np.random.default_rng(3)
    one = rng.integers(0, 256, (48, 64, 4), dtype=np.uint8)
    one[..., 3] = 0
    one[12:36, 16:48, 3] = 255
    other = one.copy()
    other[one[..., 3] == 0, :3] = rng.integers(0, 256, 3)
    a, b = (upscale(engine, Picture.from_array(x), 4, "tiny", 0.1, 0.1) for x in (one, other))
    assert a == b and a.array[..., 3].min() == 0 and a.array[100, 130, 3] > 100
    assert not a.array[a.array[..., 3] == 0, :3].any()
    opaque = one.copy()
    opaque[..., 3] = 255
    assert (upscale(engine, Picture.from_array(opaque), 4, "tiny", 0.1, 0.1).array[..., 3] == 255).all()


def test_lanczos_keeps_one_colour_and_premultiplies() -> None:
    array = np.zeros((16, 16, 4), np.uint8)
    array[..., :3], array[4:12, 4:12] = (0, 255, 0), (200, 40, 40, 255)
    out = lanczos(Picture.from_array(array), 4).array
    seen = out[out[..., 3] > 20]
    assert np.abs(seen[:, :3].astype(int) - (200, 40, 40)).max() <= 6, "no green comes in from what cannot be seen"


def test_scores_are_told_estimated_and_matter(engine: Engine) -> None:
    given = photo(64, 64)
    blur, noise = estimate_of = estimate_with(engine, given)
    assert all(0 <= value <= 1 for value in estimate_of)
    told = lambda *scores: upscale(engine, given, 4, "tiny", *scores)
    assert told(None, None) == told(blur, noise) and told(None, noise) == told(blur, noise) and told(1.0, 1.0) != told(0.0, 0.0)


def estimate_with(engine: Engine, picture: Picture) -> tuple[float, float]:
    engine.catalog._percepts["upscale"], kept = replace_id(engine), engine.catalog._percepts.get("upscale")
    try:
        return estimate(engine, picture)
    finally:
        engine.registry.evict("percept", "upscale")
        engine.catalog._percepts.pop("upscale") if kept is None else engine.catalog._percepts.update(upscale=kept)


def replace_id(engine: Engine) -> Entry:
    entry = engine.catalog._percepts["tiny"]
    return replace(entry, spec=replace(entry.spec, id="upscale"))


def test_fidelity_goes_from_one_set_of_weights_to_the_other(engine: Engine) -> None:
    given = photo(32, 32)
    at = lambda fidelity: upscale(engine, given, 4, "tiny", 0.5, 0.5, fidelity)
    assert at(0.0) != at(1.0) and at(1.0) == at(1.0)
    faithful = random_net(0)
    rgb = torch.from_numpy(given.array.copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        wanted = faithful(rgb, torch.tensor([[0.5, 0.5]])).clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(at(1.0).array - wanted).max() < 6, "16 bits aside, fidelity 1 is the faithful net"


@pytest.mark.parametrize("changes,says", [({"times": 3}, "Choose 2, 4, 8"), ({"blur": 1.2}, "Blur"), ({"noise": -1}, "Noise"), ({"fidelity": 7}, "Fidelity")])
def test_refusals(engine: Engine, changes: dict, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        upscale(engine, photo(8, 8), **{"upscaler": "tiny"} | changes)


def test_too_large_and_unknown_are_refused(engine: Engine) -> None:
    with pytest.raises(BadInput, match="smaller factor"):
        check(photo(10, 1100), 8)
    with pytest.raises(UnknownId):
        upscale(engine, photo(8, 8), 4, "nobody")
    with pytest.raises(UnknownId, match="enlarges nothing.*lanczos"):
        upscale(engine, photo(8, 8), 4, "canny")


def test_progress_ends_and_cancel_stops_within_a_tile(engine: Engine) -> None:
    said: list[tuple[int, int]] = []
    upscale(engine, photo(60, 60), 8, "tiny", progress=lambda done, total, what: said.append((done, total)), tile_px=48)
    assert said[-1][0] == said[-1][1] and [done for done, _ in said] == sorted(done for done, _ in said) and len({total for _, total in said}) == 1
    seen: list[int] = []
    with pytest.raises(Cancelled):
        upscale(engine, photo(200, 200), 4, "tiny", progress=lambda done, *_: seen.append(done), cancel=lambda: len(seen) >= 2, tile_px=48)
    assert len(seen) == 2


def test_upscalers_are_listed_with_lanczos_last(engine: Engine) -> None:
    found = upscalers(engine.catalog)
    assert found[-1]["id"] == LANCZOS and {"id", "title", "here", "scale", "scores", "cure"} == set(found[0]) and "tiny" in {one["id"] for one in found}


# --- the net -----------------------------------------------------------------------------------------------------------

def test_m_stands_between_the_factors_and_is_of_their_rank() -> None:
    """Equal to the low rank product written out: y = W x + B (M (A x)), one M a picture."""
    torch.manual_seed(0)
    layer = Layer(6, 2)
    torch.nn.init.normal_(layer.b.weight)
    x, m = torch.randn(3, 6, 5, 5), torch.randn(3, 2, 2)
    delta = torch.stack([layer.b.weight[:, :, 0, 0] @ m[i] @ layer.a.weight[:, :, 0, 0] for i in range(3)])
    wanted = torch.nn.functional.prelu(layer.conv(x) + torch.einsum("bij,bjhw->bihw", delta, x), layer.slope)
    assert torch.allclose(layer(x, m), wanted, atol=1e-5) and torch.linalg.matrix_rank(delta).max() == 2
    assert torch.allclose(layer(x[:1], m[:1]), wanted[:1], atol=1e-5), "one picture goes another way"


def test_told_begins_at_the_identity_and_learns_from_both_scores() -> None:
    told = Told(4, 3)
    m = told(torch.rand(2, 2))
    assert m.shape == (2, 4, 3, 3) and torch.allclose(m, torch.eye(3).expand_as(m), atol=1e-2)
    scores = torch.rand(2, 2, requires_grad=True)
    told(scores).square().sum().backward()
    assert (scores.grad != 0).all()


def test_a_fresh_net_is_plain_enlarging() -> None:
    rgb = torch.rand(1, 3, 10, 14)
    plain = torch.nn.functional.interpolate(rgb, scale_factor=4)
    assert torch.allclose(Upscaler(**TINY)(rgb, torch.rand(1, 2)), plain, atol=1e-6)


def test_nothing_farther_than_the_field_of_view_matters() -> None:
    net = random_net(5).double()
    rgb = torch.rand(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    net(rgb, torch.rand(1, 2, dtype=torch.float64))[0, :, 128:132, 128:132].sum().backward()
    rows = rgb.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    reach = max(32 - int(rows.min()), int(rows.max()) - 32)
    assert 3 <= reach <= field_of_view(net)


def test_between_is_exact_at_both_ends() -> None:
    one, two = {"a": torch.randn(4), "b": torch.randn(2)}, {"a": torch.randn(4)}
    assert torch.equal(between(one, two, 1.0)["a"], one["a"]) and torch.equal(between(one, two, 0.0)["a"], two["a"])
    assert torch.equal(between(one, two, 0.3)["b"], one["b"])


# --- a user's own ------------------------------------------------------------------------------------------------------

NAMES = {"rrdb": "conv_first.weight", "old rrdb": "model.0.weight", "compact": "body.0.weight", "wrapped": "params_ema.conv_first.weight"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_published_upscalers_are_told_by_their_tensors(name: str) -> None:
    assert kind_of({name: {}, "other.bias": {}}) == "upscaler"


@pytest.mark.parametrize("name", ["body.0.block1.weight", "adapter.body.0.resnets.0.block1.weight", "model.diffusion_model.x", "conv_first_x.weight"])
def test_other_files_are_no_upscalers(name: str) -> None:
    assert kind_of({name: {}}) != "upscaler"


def own_folder(tmp_path: Path) -> Path:
    (tmp_path / "upscalers").mkdir()
    save_file({"conv_first.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "upscalers" / "My Net x4.safetensors")
    return tmp_path


def test_own_files_are_listed_and_found_by_id(tmp_path: Path) -> None:
    engine = open_engine(device="cpu", models_dir=own_folder(tmp_path), cache_dir=tmp_path / "cache")
    engine.catalog.shelf.refresh()
    assert "my-net-x4" in {one["id"] for one in upscalers(engine.catalog)}
    assert engine.catalog.percept("my-net-x4").spec.sees == "larger"
    assert "my-net-x4" not in engine.catalog.known("percept"), "the shelf lists it"
    engine.close()


def test_without_spandrel_the_cure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    engine = open_engine(device="cpu", models_dir=own_folder(tmp_path), cache_dir=tmp_path / "cache")
    with pytest.raises(MissingWeights, match="spandrel") as error:
        upscale(engine, photo(8, 8), 2, "my-net-x4")
    assert "pip install" in error.value.cure
    engine.close()


def test_with_spandrel_a_compact_net_enlarges(tmp_path: Path) -> None:
    pytest.importorskip("spandrel")
    torch.manual_seed(0)
    net = torch.nn.Sequential()                      # SRVGGNetCompact with two layers of 8: body.N as spandrel counts them
    for k, layer in enumerate((torch.nn.Conv2d(3, 8, 3), torch.nn.PReLU(8), torch.nn.Conv2d(8, 8, 3), torch.nn.PReLU(8), torch.nn.Conv2d(8, 12, 3))):
        net.add_module(f"body.{k}".replace(".", "_"), layer)
    path = tmp_path / "compact.safetensors"
    save_file({k.replace("body_", "body."): v for k, v in net.state_dict().items()}, path)
    enlarger = own_upscaler.load(own_upscaler.recognise(str(path)), Device("cpu", torch.float32))
    assert enlarger.scale == 2 and enlarger.enlarge(torch.rand(1, 3, 9, 12)).shape == (1, 3, 18, 24)
