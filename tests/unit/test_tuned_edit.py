"""Picture keys on tiny bases: they learn, leave no trace, let others paint in between, and every knob of an edit does what it says."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import torch

from models.engine import Engine
from models.errors import BadInput, Cancelled, UnknownId
from models.flows import tuned_edit as flow
from models.flows.tuned_edit import Edit, Tune, Tuning, changed, etas, extent_for, forget, grid, job_of, key_of, keys, tune, tuned_edit
from models.job import AdapterUse, Extent, Job, Picture
from models.spec import SD1, BaseSpec
from models.tuning.keys import Key, read
from models.tuning.levels import ALL, WINDOWS, discrepancy, likeness, visits, window_of
from models.turns import Urgency

STEPS = 12


def drawing(side: int = 64) -> Picture:
    y, x = np.mgrid[:side, :side]
    rgb = np.full((side, side, 3), 235, np.uint8)
    rgb[np.hypot(x - side / 2, y - side / 2) < side / 3] = (200, 60, 40)
    return Picture.from_array(rgb)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps, and no early end."""
    monkeypatch.setattr(flow, "METHODS", {id: replace(m, steps=(1, 120, STEPS), lr=3e-2, enough=2.0) for id, m in flow.METHODS.items()})


@pytest.fixture
def engine(tiny_engine: Callable, tmp_path: Path, quick: None) -> Engine:
    return tiny_engine(models_dir=tmp_path / "models", cache_dir=tmp_path / "cache")


def learned(engine: Engine, **wanted: object) -> list[Tuning]:
    return list(tune(engine, drawing(), Tune(**dict(base="tiny-student", shows="a red ball", every=4) | wanted)))


def test_it_learns_and_the_key_is_an_ordinary_lora(engine: Engine) -> None:
    told = learned(engine, name="My ball!")
    key = told[-1].key
    assert [t.step for t in told] == [4, 8, 12] and [t.key is None for t in told] == [True, True, False]
    assert told[-1].loss < told[0].loss and all(t.preview.width == 256 for t in told)
    assert key.id == "my-ball" and (key.method, key.steps, key.shows, key.source) == ("fast", 12, "a red ball", drawing().digest)
    assert 0 < key.share < 1 and key.parameters > 1000 and Path(key.path).stat().st_size == key.bytes
    assert keys(engine) == (key,) and key_of(engine, "my-ball") == key
    job = Job(base="tiny-student", prompt="a red ball", image=drawing(256), strength=0.6, extent=Extent(256, 256))
    plain, with_it = (engine.render(job.but(adapters=uses)).pixels for uses in ((), (AdapterUse("my-ball"),)))
    assert (plain != with_it).any()
    truth = drawing(256).array.astype(int)
    assert np.abs(with_it[0] - truth).mean() < np.abs(plain[0] - truth).mean(), "with its key the base paints the picture better"


def test_tuning_leaves_the_base_as_it_was_and_others_paint_in_between(engine: Engine) -> None:
    job = Job(base="tiny-student", prompt="a fox", extent=Extent(64, 64))
    before = engine.render(job).pixels
    with engine.registry.lease("tiny-student") as (base, _):
        state, shape = {name: t.clone() for name, t in base.network.state_dict().items()}, repr(base.network)
    for _ in tune(engine, drawing(), Tune(base="tiny-student", every=3)):
        assert (engine.render(job, session="live", urgency=Urgency.LIVE).pixels == before).all()
    with engine.registry.lease("tiny-student") as (base, _):
        assert repr(base.network) == shape and all(torch.equal(t, state[name]) for name, t in base.network.state_dict().items())
        assert not any(module._forward_hooks for module in base.network.modules())


def test_the_same_tuning_gives_the_same_key(engine: Engine) -> None:
    one, other = (learned(engine, name=name, steps=4)[-1].key for name in ("one", "two"))
    from safetensors.torch import load_file
    a, b = load_file(one.path), load_file(other.path)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_cancelled_tuning_writes_nothing(engine: Engine) -> None:
    asked: list[int] = []
    with pytest.raises(Cancelled):
        list(tune(engine, drawing(), Tune(base="tiny-student"), cancel=lambda: len(asked) > 5 or bool(asked.append(1))))
    assert keys(engine) == () and not list(engine.catalog.shelf.folder.rglob("*.safetensors"))


def test_it_stops_as_soon_as_the_picture_is_known(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(flow.METHODS, "fast", replace(flow.METHODS["fast"], enough=-1.0))
    assert [(t.step, t.key is not None) for t in learned(engine)] == [(4, True)]


def test_a_forgotten_key_is_gone(engine: Engine) -> None:
    key = learned(engine, steps=4)[-1].key
    next(tuned_edit(engine.render, Edit("a ball", key, drawing())))
    forget(engine, key.id)
    assert keys(engine) == () and not Path(key.path).exists()
    with pytest.raises(UnknownId):
        key_of(engine, key.id)
    with pytest.raises(UnknownId):
        engine.render(job_of(Edit("a ball", key, drawing())))


def test_the_knobs_of_an_edit(engine: Engine) -> None:
    given = drawing()
    key = learned(engine, steps=8)[-1].key
    paint = lambda **with_: next(tuned_edit(engine.render, Edit(**dict(words="a blue ball", key=key, picture=given, steps=2) | with_)))
    assert paint(freedom=0.0).picture == given and not paint(freedom=0.0).mask.array.any()
    plain = engine.render(job_of(Edit("a blue ball", key, given, steps=2)).but(adapters=()))
    assert (paint(fidelity=0.0).raw.pixels == plain.pixels).all() and (paint().raw.pixels != plain.pixels).any()
    row = list(etas(engine.render, Edit("a blue ball", key, given, steps=2), (0.0, 0.5, 1.0)))
    assert [one.edit.eta for one in row] == [0.0, 0.5, 1.0] and (row[2].raw.pixels == paint().raw.pixels).all()
    assert (row[0].raw.pixels == paint(words=key.word).raw.pixels).all() and (row[1].raw.pixels != row[0].raw.pixels).any()
    field = list(grid(engine.render, Edit("a blue ball", key, given, steps=2), (0.6, 0.9), (0.0, 0.5)))
    assert [(one.edit.freedom, one.edit.keep) for one in field] == [(0.6, 0.0), (0.6, 0.5), (0.9, 0.0), (0.9, 0.5)]
    assert all(one.picture.width == 64 and one.picture.channels == 3 for one in field)
    assert (Job.from_dict(field[1].job.to_dict()).digest == field[1].job.digest)


def test_keeping_mixes_the_two_networks_answers(engine: Engine) -> None:
    """SINE's b: 0 is the plain base with the edit's words, 1 the tuned base with the picture's own; one step, so the mixture is exact."""
    key = learned(engine, steps=8)[-1].key
    base = Job(base="tiny-student", prompt="a fox", image=drawing(256), strength=0.8, extent=Extent(256, 256))
    mixed = lambda b: engine.render(base.but(adapters=(AdapterUse(key.id, b, words=key.word),))).pixels
    tuned = engine.render(base.but(prompt=key.word, adapters=(AdapterUse(key.id),))).pixels
    assert (mixed(0.0) == engine.render(base).pixels).all() and (mixed(1.0) == tuned).all()
    ends = [engine.render(base).pixels.astype(int), tuned.astype(int)]
    assert np.abs(mixed(0.5) - ends[0]).mean() > 0.2 and np.abs(mixed(0.5) - ends[1]).mean() > 0.2
    two = base.but(steps=2)
    late = engine.render(two.but(adapters=(AdapterUse(key.id, 1.0, words=key.word, start=0.5),))).pixels
    assert (late != engine.render(two).pixels).any() and (late != engine.render(two.but(adapters=(AdapterUse(key.id, 1.0, words=key.word),))).pixels).any()
    assert (engine.render(base.but(prompt=key.word, adapters=(AdapterUse(key.id),))).pixels == tuned).all(), "and a use without words is what it was"


@pytest.mark.parametrize("take", ["layout", "content", "material"])
def test_a_part_of_the_picture_can_be_taken(engine: Engine, take: str) -> None:
    key = learned(engine, steps=4)[-1].key
    job = job_of(Edit("a fox", key, drawing(), take=take))
    assert job.image is None and job.steps == 4 and job.adapters[0].words == "a red ball"
    assert any(job.adapters[0].acts_at(i / 4) for i in range(4)), "some step of the walk sees the key"
    assert (engine.render(job).pixels != engine.render(job.but(adapters=())).pixels).any()


def test_alpha_is_kept_and_what_did_not_change_comes_back(engine: Engine) -> None:
    rgba = np.dstack([drawing(64).array, np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))])
    key = learned(engine, steps=4)[-1].key
    one = next(tuned_edit(engine.render, Edit("a ball", key, Picture.from_array(rgba), freedom=0.2)))
    assert (one.picture.array[..., 3] == rgba[..., 3]).all() and one.notes
    before, after = drawing().array, drawing().array.copy()
    after[:32] = 255 - after[:32]
    share = changed(before, after)
    assert share[:24].min() == 1 and share[44:].max() == 0


def test_the_unknown_word_stands_before_the_edit(engine: Engine) -> None:
    key = learned(engine, method="unitune", steps=4)[-1].key
    assert key.word == flow.WORD and job_of(Edit("in snow", key, drawing())).prompt == f"{flow.WORD}, in snow"
    assert job_of(Edit("in snow", key, drawing(), keep=0.5)).prompt == "in snow", "the plain base does not know the word"


@pytest.mark.parametrize("bad", [dict(words=" "), dict(freedom=1.2), dict(keep=-0.1), dict(until=0.0), dict(take="colour"), dict(fidelity=2.0)])
def test_bad_edits_are_refused(bad: dict) -> None:
    key = Key("k", "K", "embedded", "w", "w", "fast", 1, 1.0, 1.0, 1, 0.1, "0", "256x256", (0.1, 0.9), 16, 4)
    with pytest.raises(BadInput):
        Edit(**dict(words="a fox", key=key, picture=drawing()) | bad)


def test_bad_tunings_are_refused(tiny_engine: Callable, quick: None) -> None:
    for bad in (dict(method="slow"), dict(steps=999), dict(every=0)):
        with pytest.raises(BadInput):
            Tune(**bad)
    with pytest.raises(BadInput, match="folder"):
        list(tune(tiny_engine(), drawing(), Tune(base="tiny-student")))


def test_other_files_are_no_keys(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    save_file({"x": torch.zeros(1)}, tmp_path / "a.safetensors", {"onestroke.picture_key": '{"title": "x", "nonsense": 1}'})
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    assert read(tmp_path / "a.safetensors") is None and read(tmp_path / "b.safetensors") is None


def test_levels() -> None:
    assert [window_of(d) for d in (0.1, 0.3, 0.9)] == list(WINDOWS)
    assert discrepancy(np.ones(4), 3 * np.ones(4)) == pytest.approx(0, abs=1e-6) and discrepancy(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(1)
    taken = [level for level, _ in zip(visits(WINDOWS[0]), range(50))]
    assert all(WINDOWS[0].low <= v <= WINDOWS[0].high for v in taken) and np.histogram(taken, 5, (0.1, 0.6))[0].min() >= 9
    assert likeness(drawing().array, drawing().array) == pytest.approx(1) and ALL.high == 1
    striped = np.full((64, 64, 3), 235, np.uint8)
    striped[24:40, 24:40:4] = 20
    assert likeness(np.full_like(striped, 235), striped) < 0.5, "a flat ground counts little beside the thing before it"


def test_sizes_follow_the_picture() -> None:
    spec = BaseSpec("x", "x", SD1, (), 0, native_px=(512,), multiple_px=8, max_px=2048)
    assert extent_for(spec, drawing()) == Extent(512, 512)
    wide = Picture.from_array(np.zeros((100, 200, 3), np.uint8))
    assert extent_for(spec, wide) == Extent(728, 360)


@pytest.mark.parametrize("name", ["tiny-sd1", "tiny-sd2"])
def test_stable_diffusion_learns_by_the_same_code(sd_folder: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Epsilon and v: loss falls, and the key is read back as a LoRA of that family."""
    from models.engine import open_engine
    monkeypatch.setattr(flow, "extent_for", lambda spec, picture: Extent(64, 64))
    monkeypatch.setattr("models.tuning.trainer.visits", lambda window: repeat(0.5))      # one level, so that losses compare
    engine = open_engine(bases=[str(sd_folder / name)], device="cpu", models_dir=tmp_path / "models", cache_dir=tmp_path / "cache")
    try:
        told = list(tune(engine, drawing(), Tune(base=name, shows="a red ball", every=6)))
        key = told[-1].key
        assert key.base == name and np.isfinite(told[-1].loss) and told[-1].loss < told[0].loss
        job = replace(job_of(Edit("a blue ball", key, drawing())), steps=2)
        assert (engine.render(job).pixels != engine.render(job.but(adapters=())).pixels).any()
    finally:
        engine.close()
