"""Tiles that move between steps: where they lie, that the walk is exact, that seams average out; shapes of one area."""
from __future__ import annotations

import numpy as np
import pytest
import torch

from models.catalog import Catalog
from models.engine import Engine, open_engine
from models.errors import BadInput, Cancelled, Incompatible
from models.flows._fstd import MOVING, OVERLAPPING, STILL, WAYS, Grid, fstd, window
from models.flows.any_size import RATIOS, Enlarging, any_size, extent_for
from models.job import AdapterUse, Extent, Job, Picture

GRID = Grid(8, 4, 4)
SIGMAS = (0.7, 0.5, 0.3, 0.15, 0.05, 0.02)


def covered(corners: list[tuple[int, int]], height: int, width: int, tile: int) -> np.ndarray:
    count = np.zeros((height, width), int)
    for y, x in corners:
        assert 0 <= y <= height - tile and 0 <= x <= width - tile
        count[y:y + tile, x:x + tile] += 1
    return count


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_moving_tiles_are_as_many_as_still_ones_and_leave_little_free(seed: int) -> None:
    still = GRID.corners(40, 32, STILL, 0, seed)
    assert len(still) == 20 and (covered(still, 40, 32, 8) == 1).all()
    for step in range(8):
        corners = GRID.corners(40, 32, MOVING, step, seed)
        count = covered(corners, 40, 32, 8)
        assert len(corners) <= 30 and (count > 0).mean() > 0.7
    assert GRID.offset(0, seed) == GRID.offset(4, seed) == (0, 0)
    assert len({GRID.offset(step, seed) for step in range(1, 8)}) > 3


def test_overlapping_tiles_cover_everything_several_times() -> None:
    corners = GRID.corners(40, 32, OVERLAPPING, 0, 0)
    count = covered(corners, 40, 32, 8)
    assert count.min() >= 1 and count[20, 16] == 4 and len(corners) >= 2.5 * 20


@pytest.mark.parametrize("way", WAYS)
def test_with_an_exact_denoiser_the_walk_ends_at_the_picture(way: str) -> None:
    """A point mass at `truth` has x0 = truth everywhere, so any tiling must find it, free places included."""
    truth = torch.randn(1, 3, 37, 29)
    denoise = lambda tiles, sigma, corners: torch.cat([truth[..., y:y + 8, x:x + 8] for y, x in corners])
    x = truth + SIGMAS[0] * torch.randn_like(truth)
    assert torch.allclose(fstd(x, SIGMAS, truth, denoise, way, GRID), truth, atol=1e-5)


def seams(way: str, seed: int = 0) -> float:
    """Steps across the lines of the still grid over steps elsewhere, for a denoiser that gives every tile a shade of its own."""
    generator = torch.Generator().manual_seed(seed)
    flat = torch.zeros(1, 1, 64, 64)
    denoise = lambda tiles, sigma, corners: tiles * 0.5 + 0.3 * torch.randn(len(tiles), 1, 1, 1, generator=generator)
    out = fstd(flat.clone(), SIGMAS + (0.019,), flat, denoise, way, GRID, seed)[0, 0]
    steps = out.diff(dim=1).square().mean(0)
    on = torch.zeros(63, dtype=torch.bool)
    on[7::8] = True
    return float(steps[on].mean() / steps[~on].mean().clamp_min(1e-9))


def test_seams_lie_on_the_still_grid_only_if_it_is_still() -> None:
    still, moving = (np.mean([seams(way, seed) for seed in range(4)]) for way in (STILL, MOVING))
    assert still > 50 and moving < 10


def test_skipped_tiles_take_the_reference_and_cost_nothing() -> None:
    reference, asked = torch.full((1, 1, 16, 16), 3.0), []

    def denoise(tiles: torch.Tensor, sigma: float, corners: list) -> torch.Tensor:
        asked.extend(corners)
        return torch.zeros_like(tiles)
    out = fstd(reference.clone(), (0.5,), reference, denoise, STILL, GRID, skip=lambda y, x: x == 0)
    assert (out[..., :8] == 3).all() and (out[..., 8:] == 0).all() and asked == [(0, 8), (8, 8)]


def test_the_window_is_highest_in_the_middle() -> None:
    bell = window(8)
    assert bell.min() > 0 and bell[3:5, 3:5].min() == bell.max()


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_shape_has_about_the_area_of_the_square(ratio: str) -> None:
    spec = Catalog().base("embedded").spec
    extent, (wide, high) = extent_for(spec, ratio), RATIOS[ratio]
    assert extent.width % 16 == extent.height % 16 == 0
    assert abs(extent.width * extent.height / 256 ** 2 - 1) < 0.08 and abs(extent.width / extent.height / (wide / high) - 1) < 0.12
    assert extent_for(spec, "1:1") == Extent(256, 256)


def test_unknown_shapes_and_ways_are_refused() -> None:
    with pytest.raises(BadInput, match="16:9"):
        extent_for(Catalog().base("embedded").spec, "7:5")
    with pytest.raises(BadInput, match="moving"):
        Enlarging(way="sideways")
    with pytest.raises(BadInput):
        Enlarging(strength=0)


# --- with a base -------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = open_engine(device="cpu", cache_dir=tmp_path_factory.mktemp("cache"))
    yield engine
    engine.close()


def drawing(height: int, width: int, channels: int = 3) -> Picture:
    y, x = np.mgrid[:height, :width]
    array = np.full((height, width, channels), 255, np.uint8)
    array[(y - height / 2) ** 2 + (x - width / 2) ** 2 < (height / 3) ** 2, :3] = (220, 60, 40)
    if channels == 4:
        array[:, width // 3:, 3] = 0
    return Picture.from_array(array)


JOB = Job(prompt="a red ball", base="embedded-teacher", steps=4, seeds=(3,), guidance=1.0)


def test_it_paints_any_size_keeps_the_picture_and_is_repeatable(engine: Engine) -> None:
    given, said = drawing(300, 421), []
    out = any_size(engine, JOB, given, Enlarging(0.2), progress=lambda done, total, what: said.append((done, total)))
    assert (out.width, out.height, out.channels) == (421, 300, 3) and said[-1][0] == said[-1][1]
    assert out == any_size(engine, JOB, given, Enlarging(0.2)) and out != any_size(engine, JOB.but(seeds=(4,)), given, Enlarging(0.2))
    off = np.abs(out.array.astype(int) - given.array)
    assert 0 < off.mean() < 12, "a weak walk keeps what is there"


def test_alpha_stays_and_cancel_stops(engine: Engine) -> None:
    given = drawing(256, 512, 4)
    out = any_size(engine, JOB.but(steps=4), given, Enlarging(0.1))
    assert (out.array[..., 3] == given.array[..., 3]).all()
    seen: list[int] = []
    with pytest.raises(Cancelled):
        any_size(engine, JOB, given, progress=lambda done, *_: seen.append(done), cancel=lambda: len(seen) > 1)
    assert len(seen) == 2


def test_refusals(engine: Engine) -> None:
    with pytest.raises(Incompatible, match="many steps"):
        any_size(engine, Job(base="embedded"), drawing(300, 300))
    with pytest.raises(BadInput, match="Enlarge it first"):
        any_size(engine, JOB, drawing(100, 300))
    with pytest.raises(Incompatible, match="LoRAs"):
        any_size(engine, JOB.but(adapters=(AdapterUse("scribble", image=drawing(256, 256)),)), drawing(300, 300))
