"""The engine end to end over tiny embedded bases: real files, loaders, text encoder, sampler and decoder."""
from __future__ import annotations

import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models import pixels
from models.engine import Engine, open_engine
from models.errors import BadInput, Cancelled, DoesNotFit, Incompatible, InUse, MissingWeights, UnknownId
from models.job import AdapterUse, Extent, Job, Picture
from models.sampling import noise

pytestmark = pytest.mark.render
BATCH_TOLERANCE = 2                                  # of 255: matrix products of another batch size add in another order
STUDENT = Job(prompt="a red fox", base="tiny-student", extent=Extent(96, 64), seeds=(7,))
TEACHER = STUDENT.but(base="tiny-teacher", steps=3)
DRAWING = Picture.from_array(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def engine(tiny_folder: Path) -> Iterator[Engine]:
    engine = open_engine(bases=[str(tiny_folder / f"tiny-{who}.safetensors") for who in ("student", "teacher")], device="cpu")
    yield engine
    engine.close()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return np.abs(a.astype(int) - b).mean()


@pytest.fixture(autouse=True)
def nothing_stays_pinned(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "engine" in request.fixturenames:
        assert not any(r.pinned for r in request.getfixturevalue("engine").status().resident)


@pytest.mark.parametrize("job", [STUDENT, STUDENT.but(steps=4), TEACHER, STUDENT.but(image=DRAWING, strength=0.5)])
def test_the_same_job_gives_the_same_pixels(engine: Engine, job: Job) -> None:
    first, again = engine.render(job), engine.render(Job.from_dict(job.to_dict()))
    assert first.pixels.shape == (1, 64, 96, 3) and first.pixels.dtype == np.uint8 and first.pixels.std() > 10
    assert (first.pixels == again.pixels).all()


def test_a_fresh_engine_paints_the_same_picture(engine: Engine, tiny_engine: Callable) -> None:
    assert (tiny_engine().render(STUDENT).pixels == engine.render(STUDENT).pixels).all()


@pytest.mark.parametrize("job", [STUDENT.but(steps=2), TEACHER])
def test_a_batch_is_its_singles(engine: Engine, job: Job) -> None:
    batch = engine.render(job.but(seeds=(1, 2, 3, 4))).pixels
    singles = np.concatenate([engine.render(job.but(seeds=(seed,))).pixels for seed in (1, 2, 3, 4)])
    assert np.abs(batch.astype(int) - singles).max() <= BATCH_TOLERANCE
    assert min(difference(batch[i], batch[j]) for i in range(4) for j in range(i)) > 5


@pytest.mark.parametrize("change", [dict(prompt="a blue house"), dict(style="flat"), dict(seeds=(8,)), dict(steps=2), dict(image=DRAWING, strength=0.5)])
def test_what_is_asked_decides_the_picture(engine: Engine, change: dict) -> None:
    assert difference(engine.render(STUDENT).pixels, engine.render(STUDENT.but(**change)).pixels) > 0.5


@pytest.mark.parametrize("change", [dict(negative="blurred"), dict(guidance=5.0)])
def test_guidance_and_negative_prompt_reach_the_teacher(engine: Engine, change: dict) -> None:
    assert difference(engine.render(TEACHER).pixels, engine.render(TEACHER.but(**change)).pixels) > 0.5


def test_guidance_one_ignores_the_negative_prompt(engine: Engine) -> None:
    plain = TEACHER.but(guidance=1.0)
    assert (engine.render(plain).pixels == engine.render(plain.but(negative="blurred")).pixels).all()


@pytest.mark.parametrize("job", [STUDENT, TEACHER])
def test_strength_zero_returns_the_picture_for_every_seed(engine: Engine, job: Job) -> None:
    out = engine.render(job.but(image=DRAWING, strength=0.0, seeds=(1, 2))).pixels
    assert out.shape == (2, 64, 96, 3) and (out == DRAWING.array).all()


def test_strength_one_ignores_the_picture(engine: Engine) -> None:
    assert (engine.render(STUDENT.but(image=DRAWING, strength=1.0)).pixels == engine.render(STUDENT).pixels).all()


def test_the_walk_starts_at_the_picture_plus_noise_of_that_strength(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine.registry.lease("tiny-teacher") as (base, _):
        latents = base.encode(pixels.to_tensor(DRAWING, base.device))
    right = base.denoise
    seen: list[tuple[Tensor, float]] = []
    monkeypatch.setattr(base, "denoise", lambda x, sigma, *rest: seen.append((x, sigma)) or right(x, sigma, *rest))
    levels = []
    for strength in (0.05, 0.4, 0.9):
        seen.clear()
        engine.render(TEACHER.but(image=DRAWING, strength=strength, guidance=1.0))
        x, sigma = seen[0]
        levels.append(sigma)
        assert torch.allclose(x, latents + sigma * noise(TEACHER.seeds, x.shape[1:]), atol=0.02 + 0.02 * sigma)
    assert levels == sorted(levels) and levels[0] < 0.3 and levels[-1] < 14


@pytest.mark.parametrize("job", [STUDENT.but(steps=2), TEACHER])
@pytest.mark.parametrize("strength", [0.6, 1.0])
def test_outside_the_mask_the_picture_stays_exactly(engine: Engine, job: Job, strength: float) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[16:48, 32:64] = 255
    out = engine.render(job.but(image=DRAWING, strength=strength, mask=Picture.from_array(mask), seeds=(1, 2))).pixels
    assert (out[:, mask == 0] == DRAWING.array[mask == 0]).all()
    assert difference(out[:, mask == 255], DRAWING.array[mask == 255]) > 5 and difference(out[0], out[1]) > 0.5


def test_pictures_of_another_size_and_with_alpha_are_fitted(engine: Engine) -> None:
    odd = Picture.from_array(np.full((300, 123, 4), 200, np.uint8))
    assert engine.render(STUDENT.but(image=odd, strength=0.5)).pixels.shape == (1, 64, 96, 3)


@pytest.mark.parametrize("prompt", ["", "   ", "狐狸 🦊 лиса", "x" * 10_000, "a\x00b\n\t", "," * 50])
def test_any_words_paint(engine: Engine, prompt: str) -> None:
    result = engine.render(STUDENT.but(prompt=prompt))
    assert result.pixels.std() > 10
    assert bool(result.notes) == (len(prompt) == 10_000)


def test_timings_cover_the_render(engine: Engine) -> None:
    t = engine.render(STUDENT.but(image=DRAWING, strength=0.5)).timings
    parts = t.queue_ms + t.load_ms + t.text_ms + t.encode_ms + t.denoise_ms + t.decode_ms
    assert min(t.denoise_ms, t.decode_ms, t.encode_ms) > 0 and parts <= t.total_ms and t.total_ms - parts < 0.2 * t.total_ms + 20


def test_progress_counts_up_to_the_end(engine: Engine) -> None:
    seen: list[tuple[int, int, str]] = []
    engine.render(TEACHER, progress=lambda *told: seen.append(told))
    assert [told[0] for told in seen if told[2] == "painting"] == [0, 1, 2] and seen[-1] == (3, 3, "done")


@pytest.mark.parametrize("after", [0, 1, 2, 5])
def test_cancel_stops_within_one_step_and_the_next_render_works(engine: Engine, after: int) -> None:
    expected = engine.render(TEACHER).pixels
    asked: list[str] = []
    steps: list[int] = []

    def cancel() -> bool:
        asked.append("?")
        return len(asked) > after
    with pytest.raises(Cancelled):
        engine.render(TEACHER.but(steps=20), progress=lambda done, total, what: steps.append(done), cancel=cancel)
    assert max(steps, default=0) <= after
    assert (engine.render(TEACHER).pixels == expected).all()


@pytest.mark.parametrize("job, error", [(STUDENT.but(base="no-such"), UnknownId), (STUDENT.but(style="cubist"), UnknownId), (STUDENT.but(steps=5), BadInput),
                                        (STUDENT.but(extent=Extent(70, 64)), BadInput), (STUDENT.but(extent=Extent(2048, 2048)), BadInput),
                                        (STUDENT.but(negative="x"), Incompatible), (STUDENT.but(adapters=(AdapterUse("no-such"),)), UnknownId)])
def test_what_cannot_be_done_is_refused_before_anything_loads(tiny_engine: Callable, job: Job, error: type[Exception]) -> None:
    engine = tiny_engine()
    with pytest.raises(error):
        engine.render(job)
    assert engine.status().resident == ()


def test_an_error_in_the_middle_leaves_nothing_pinned(engine: Engine) -> None:
    expected = engine.render(TEACHER).pixels

    def burst(done: int, total: int, what: str) -> None:
        if done == 1:
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        engine.render(TEACHER, progress=burst)
    assert not any(r.pinned for r in engine.status().resident)
    assert (engine.render(TEACHER).pixels == expected).all()


def test_two_threads_get_what_each_asked_for(engine: Engine) -> None:
    jobs = [STUDENT.but(seeds=(i,), prompt=f"thing {i}") if i % 2 else TEACHER.but(seeds=(i,)) for i in range(8)]
    expected = [engine.render(job).pixels for job in jobs]
    got: dict[int, np.ndarray] = {}

    def paint(mine: range) -> None:
        for i in mine:
            got[i] = engine.render(jobs[i]).pixels
    threads = [threading.Thread(target=paint, args=(range(k, 8, 2),)) for k in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert sorted(got) == list(range(8)) and all((got[i] == expected[i]).all() for i in range(8))


def test_two_threads_may_be_the_first_to_load(tiny_engine: Callable, engine: Engine) -> None:
    fresh, got = tiny_engine(), {}
    threads = [threading.Thread(target=lambda job=job: got.update({job.base: fresh.render(job).pixels})) for job in (STUDENT, TEACHER)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert all((got[job.base] == engine.render(job).pixels).all() for job in (STUDENT, TEACHER))


def bytes_of(engine: Engine, job: Job) -> int:
    """What a job's base is said to take in this machine's number format."""
    return engine.catalog.bases[job.base].bytes * engine.registry.device.dtype.itemsize // 4


def test_a_small_budget_evicts_the_idle_base_and_paints_the_same(tiny_engine: Callable, engine: Engine) -> None:
    need = max(bytes_of(engine, job) for job in (STUDENT, TEACHER))
    small = tiny_engine(budget_bytes=need + 1_000_000)
    for job in (STUDENT, TEACHER, STUDENT):
        assert (small.render(job).pixels == engine.render(job).pixels).all()
        assert [r.id for r in small.status().resident] == [job.base]


def test_a_base_larger_than_the_budget_is_refused_with_numbers(tiny_engine: Callable, engine: Engine) -> None:
    with pytest.raises(DoesNotFit, match=f"{bytes_of(engine, STUDENT) / 1e6:.0f} MB are needed, the budget is 1 MB"):
        tiny_engine(budget_bytes=1_000_000).render(STUDENT)


def test_a_leased_base_stays_and_an_idle_one_gives_its_memory_back(engine: Engine) -> None:
    with engine.registry.lease("tiny-student"), pytest.raises(InUse):
        engine.registry.evict("base", "tiny-student")
    with engine.registry.lease("tiny-student") as (base, _):
        gone = weakref.ref(base)
    del base
    engine.registry.evict("base", "tiny-student")
    assert gone() is None, "an evicted base must give its memory back at once"
    assert "tiny-student" not in [r.id for r in engine.status().resident]
    engine.registry.evict("base", "tiny-student")


@pytest.mark.parametrize("which", ["tiny-student.safetensors", "decoder.safetensors"])
@pytest.mark.parametrize("harm", ["truncate", "remove"])
def test_a_broken_weight_file_is_named_and_the_next_request_works(tiny_folder: Path, tmp_path: Path, which: str, harm: str) -> None:
    shutil.copytree(tiny_folder, tmp_path / "own")
    engine = open_engine(bases=[str(tmp_path / "own" / "tiny-student.safetensors"), str(tiny_folder / "tiny-teacher.safetensors")], device="cpu")
    path, whole = tmp_path / "own" / which, (tiny_folder / which).read_bytes()
    path.write_bytes(whole[:len(whole) // 2]) if harm == "truncate" else path.unlink()
    with pytest.raises(MissingWeights, match=which):
        engine.render(STUDENT)
    assert engine.status().resident == ()
    path.write_bytes(whole)
    assert engine.render(STUDENT).pixels.std() > 10
    engine.close()


def test_warm_loads_and_close_lets_go(tiny_engine: Callable) -> None:
    engine = tiny_engine()
    engine.warm("tiny-student")
    status = engine.status()
    assert [r.id for r in status.resident] == ["tiny-student"] and status.used_bytes > 1_000_000 and "cpu" in status.device
    engine.close()
    assert engine.status().resident == ()


def test_the_engine_works_again_after_close(tiny_engine: Callable) -> None:
    engine = tiny_engine()
    before = engine.render(STUDENT).pixels
    engine.close()
    assert (engine.render(STUDENT).pixels == before).all()


def test_short_memory_paints_one_by_one_and_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    job = STUDENT.but(seeds=(7, 8, 9))
    plain = engine.render(job)
    with engine.registry.lease(job.base) as (base, _):
        decode = base.decode

    def small(latents: Tensor) -> Tensor:
        if len(latents) > 1:
            raise torch.OutOfMemoryError("no room for a batch")
        return decode(latents)
    monkeypatch.setattr(type(base), "decode", lambda self, latents: small(latents))
    result = engine.render(job)
    assert np.abs(result.pixels.astype(int) - plain.pixels).max() <= BATCH_TOLERANCE and "one by one" in result.notes[-1]


def test_no_memory_at_all_names_what_is_there_and_the_queue_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.render(STUDENT)
    with monkeypatch.context() as broken, engine.registry.lease(STUDENT.base) as (base, _):
        broken.setattr(type(base), "decode", lambda self, latents: (_ for _ in ()).throw(MemoryError()))
        with pytest.raises(DoesNotFit, match=r"not enough memory for 1 x 96x64 px of tiny-student.*tiny-student \d+ MB"):
            engine.render(STUDENT)
    assert engine.render(STUDENT).pixels.shape == (1, 64, 96, 3)


def test_prefetching_makes_resident_and_swallows_what_cannot_be(engine: Engine) -> None:
    engine.registry.evict("base", "tiny-teacher")
    engine.prefetch("base", "tiny-teacher")
    assert "tiny-teacher" in {r.id for r in engine.registry.resident()}
    engine.prefetch("base", "nobody-knows-this")


def test_live_frames_overtake_waiting_pictures(engine: Engine) -> None:
    from models.turns import Urgency
    order: list[str] = []

    def ask(name: str, urgency: Urgency) -> threading.Thread:
        thread = threading.Thread(target=lambda: (engine.render(STUDENT, session=name, urgency=urgency), order.append(name)))
        thread.start()
        return thread
    threads = []
    with engine.turns.take("holder"):
        for count, (name, urgency) in enumerate((("picture", Urgency.PICTURE), ("frame", Urgency.LIVE)), 1):
            threads.append(ask(name, urgency))
            while engine.turns.waiting() < count:
                threading.Event().wait(0.005)
    for thread in threads:
        thread.join(60)
    assert order == ["frame", "picture"]


def test_two_sessions_share_a_base_with_different_adapters_and_nothing_is_loaded_again(engine: Engine, tmp_path: Path) -> None:
    from tests.tiny_adapters import lora
    with engine.registry.lease(STUDENT.base) as (base, _):
        for seed, name in enumerate(("left", "right")):
            engine.catalog.add("adapter", str(lora.write(tmp_path / f"{name}.safetensors", base, "kohya", seed)))
    jobs = {name: STUDENT.but(adapters=(AdapterUse(name, 0.8),)) for name in ("left", "right")}
    alone = {name: engine.render(job).pixels for name, job in jobs.items()}
    assert (alone["left"] != alone["right"]).any()
    held = {(r.kind, r.id): r.load_s for r in engine.registry.resident()}
    wrong: list[str] = []

    def paint(name: str) -> None:
        for _ in range(4):
            if (engine.render(jobs[name], session=name).pixels != alone[name]).any():
                wrong.append(name)
    threads = [threading.Thread(target=paint, args=(name,)) for name in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not wrong and {(r.kind, r.id): r.load_s for r in engine.registry.resident()} == held


@pytest.mark.parametrize("steps, frees_from", [(1, 0.5), (2, 0.25), (4, 0.125)])
def test_a_grey_mask_lets_go_late(engine: Engine, steps: int, frees_from: float) -> None:
    def changed(grey: int) -> float:
        mask = Picture.from_array(np.full((64, 96), grey, np.uint8))
        return difference(engine.render(STUDENT.but(image=DRAWING, strength=0.9, mask=mask, steps=steps)).pixels[0], DRAWING.array)

    assert changed(int(255 * frees_from) - 2) == 0
    assert changed(int(255 * frees_from) + 2) > 1
