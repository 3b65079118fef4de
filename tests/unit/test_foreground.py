"""Things in imagined places: what counts as grown, that repairs lower it and never raise it, and that the thing comes back bit for bit."""
from __future__ import annotations

import numpy as np
import pytest

from models.errors import BadInput
from models.flows._unknown import Hand
from models.flows.foreground import Foreground, foreground, grown_parts, growth, places_for, share
from models.job import Extent, Job, Picture, Result, Timings
from models.spec import EMBEDDED, BaseSpec

SIDE = 128
JOB = Job(prompt="", extent=Extent(SIDE, SIDE), seeds=(3,))
PLACE, THING = (90, 150, 220), (200, 30, 30)
SPEC = BaseSpec("embedded", "Embedded", EMBEDDED, (), 0)


def things() -> np.ndarray:
    out = np.zeros((SIDE, SIDE, 4), np.uint8)
    out[40:80, 40:80] = (*THING, 255)
    return out


def look(net: str, rgb: np.ndarray, hints: np.ndarray) -> np.ndarray:
    """A matting net that knows red."""
    return np.where((rgb[..., 0] > 150) & (rgb[..., 2] < 100), 255, 0).astype(np.uint8)


class Painter:
    """Paints the place everywhere; in the first pass over the things, and with `stubborn` in every one, more red beside them."""

    def __init__(self, stubborn: bool = False) -> None:
        self.stubborn, self.jobs = stubborn, []

    def __call__(self, job: Job) -> Result:
        self.jobs.append(job)
        out = np.full((job.extent.height, job.extent.width, 3), PLACE, np.uint8)
        if len(self.jobs) == 2 or self.stubborn:
            out[40:80, 80:100] = THING
        if job.image is not None:
            out = np.where(job.mask.array > 0, out, job.image.array[..., :3])
        return Result(out[None], job, Timings())


def wanted(**more: object) -> Foreground:
    return Foreground(JOB, Picture.from_array(things()), ("on a beach",), settings={"empty": False}, **more)


def test_what_has_grown_is_painted_away_and_the_thing_stays() -> None:
    painter = Painter()
    (result,) = foreground(painter, look, wanted(), Hand(native_px=SIDE, feather_px=0))
    before, after = result.seen["growth"]
    assert before == pytest.approx(0.5, abs=0.06) and after == 0 and "painted away" in result.notes[-1]
    assert (result.pixels[0, 40:80, 40:80] == THING).all() and growth(look, result.pixels[0], things()) == 0


def test_a_repair_that_does_not_help_is_not_taken() -> None:
    (result,) = foreground(Painter(stubborn=True), look, wanted(), Hand(native_px=SIDE, feather_px=0))
    before, after = result.seen["growth"]
    assert 0 < after <= before and (result.pixels[0, 40:80, 40:80] == THING).all()
    (plain,) = foreground(Painter(stubborn=True), look, wanted(repairs=0), Hand(native_px=SIDE))
    assert plain.seen["growth"][0] == plain.seen["growth"][1] and not any("painted away" in note for note in plain.notes)


def test_only_what_touches_the_thing_has_grown() -> None:
    rgb = np.full((SIDE, SIDE, 3), PLACE, np.uint8)
    rgb[40:80, 40:80] = THING
    assert not grown_parts(look, rgb, things()).any(), "a soft edge is no growth"
    rgb[10:30, 100:120] = THING
    assert not grown_parts(look, rgb, things()).any(), "another red thing is none either"
    rgb[40:80, 80:90] = THING
    assert share(grown_parts(look, rgb, things()), things()) == pytest.approx(0.25, abs=0.05)


def test_places_come_with_reasons() -> None:
    found = places_for("a crab", things(), SPEC, 4)
    assert len(found) == 4 and found[0] == ("under the sea", "A crab is often seen under the sea.")
    assert any("background" in place and "colours" in why for place, why in found)


@pytest.mark.parametrize("rgba,places,says", [
    (np.zeros((SIDE, SIDE, 4), np.uint8), ("x",), "no thing"), (np.full((SIDE, SIDE, 4), 255, np.uint8), ("x",), "fills the whole"),
    (things(), (), "places"), (things(), ("",), "places")])
def test_bad_input(rgba: np.ndarray, places: tuple[str, ...], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Foreground(JOB, Picture.from_array(rgba), places)
