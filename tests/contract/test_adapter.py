"""What every adapter promises: it comes, it turns like a knob, it goes without a trace. Over shipped and random ones of every kind."""
from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

from models.contracts import Base
from models.engine import Engine
from models.errors import BadInput, Cancelled, Conflict, Incompatible
from models.job import AdapterUse, Extent, Job, Picture
from tests.bases_here import shipped_adapters
from tests.tiny_adapters import all_cases, lora

pytestmark = pytest.mark.render
TINY = all_cases()
PICTURE = Picture.from_array(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
CYCLES, FLAT_BYTES = 20, 200_000


@pytest.fixture(scope="module")
def tiny(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """{adapter id: base id} of the random ones, written to disk and taken in as a user's own."""
    folder = tmp_path_factory.mktemp("adapters")
    for name, case in TINY.items():
        with engine.registry.lease(case.base) as (base, _):
            assert engine.catalog.add("adapter", str(case.write(folder, base))).id == name
    return {name: case.base for name, case in TINY.items()}


@pytest.fixture(params=[(name, case.base) for name, case in TINY.items()] + shipped_adapters(), ids=lambda p: p[0])
def job(request: pytest.FixtureRequest, engine: Engine, tiny: dict[str, str]) -> Job:
    """A job that uses one adapter at full strength."""
    adapter, base = request.param
    use = AdapterUse(adapter, 1.0, PICTURE if engine.catalog.adapters[adapter].needs_image else None)
    grants = engine.catalog.adapters[adapter].grants
    extra = TINY[adapter].job if adapter in TINY else {"negative": "red"} if "negative_prompt" in grants else {}
    return Job(**dict(base=base, prompt="a red fox", extent=Extent(64, 64), adapters=(use,)) | extra)


def at(job: Job, strength: float) -> Job:
    use = job.adapters[0]
    return job.but(adapters=(AdapterUse(use.id, strength, use.image),))


def without(job: Job) -> Job:
    """The job without its adapter, and without what only the adapter grants."""
    return job.but(adapters=(), negative="")


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference in levels of 255; where one picture has alpha and the other has none, that one counts as opaque."""
    a, b = (np.concatenate([p, np.full_like(p[..., :1], 255)], -1) if p.shape[-1] == 3 else p for p in (one, other))
    return np.abs(a.astype(int) - b).mean()


def trace(base: Base) -> tuple[str, dict[str, torch.Tensor]]:
    """Everything that attaching could leave behind: structure and weights of all networks of a base."""
    nets = {name: net for name, net in vars(base).items() if isinstance(net, torch.nn.Module)}
    state = {f"{name}.{key}": value.clone() for name, net in nets.items() for key, value in net.state_dict().items()}
    return repr(nets), state


def same(a: tuple, b: tuple) -> bool:
    return a[0] == b[0] and a[1].keys() == b[1].keys() and all(torch.equal(a[1][k], b[1][k]) for k in a[1])


def test_detaching_leaves_no_trace(engine: Engine, job: Job) -> None:
    plain = without(job)
    before = engine.render(plain).pixels
    with engine.registry.lease(job.base) as (base, _):
        bare = trace(base)
    changed = engine.render(job).pixels
    assert apart(changed, before) > 0.2, "at full strength it must show"
    assert (engine.render(plain).pixels == before).all()
    with engine.registry.lease(job.base) as (base, _):
        assert same(trace(base), bare)


def test_strength_zero_is_the_identity(engine: Engine, job: Job) -> None:
    assert (engine.render(at(job, 0.0)).pixels == engine.render(without(job)).pixels).all()


def test_strength_is_a_knob_and_never_reattaches(engine: Engine, job: Job) -> None:
    pictures = []
    with engine.registry.lease(job.base, job.adapters) as (base, _):
        modules = [id(m) for m in base.network.modules()]
    for strength in (1.0, 0.5, 0.0, 1.0):
        pictures.append(engine.render(at(job, strength)).pixels)
        assert [id(m) for m in base.network.modules()] == modules
    assert (pictures[0] == pictures[3]).all()
    assert apart(pictures[1], pictures[2]) > 0.05 and apart(pictures[1], pictures[0]) > 0.05


def test_twenty_cycles_keep_memory_flat(engine: Engine, job: Job) -> None:
    def held() -> tuple[int, int]:
        gc.collect()
        tensors = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
        return sum(t.numel() * t.element_size() for t in tensors), sum(issubclass(type(o), torch.nn.Module) for o in gc.get_objects())

    def cycle() -> None:
        with engine.registry.lease(job.base, job.adapters):
            pass
        with engine.registry.lease(job.base):
            pass
    cycle()
    before = held()
    for _ in range(CYCLES):
        cycle()
    after = held()
    assert after[0] - before[0] < FLAT_BYTES and after[1] == before[1]


def test_an_error_in_the_middle_of_a_render_leaves_nothing_behind(engine: Engine, job: Job) -> None:
    before = engine.render(without(job)).pixels
    with engine.registry.lease(job.base) as (base, _):
        bare = trace(base)

    def fail(done: int, total: int, what: str) -> None:
        if what == "painting":
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        engine.render(job, progress=fail)
    asked: list[bool] = []
    with pytest.raises(Cancelled):
        engine.render(job, cancel=lambda: len(asked) > 1 or bool(asked.append(True)))
    assert not any(r.pinned for r in engine.registry.resident())
    assert (engine.render(without(job)).pixels == before).all()
    with engine.registry.lease(job.base) as (base, _):
        assert same(trace(base), bare)


def test_evicting_an_attached_adapter_takes_it_off_first(engine: Engine, job: Job) -> None:
    before = engine.render(without(job)).pixels
    shown = engine.render(job).pixels
    engine.registry.evict("adapter", job.adapters[0].id)
    assert (engine.render(without(job)).pixels == before).all() and (engine.render(job).pixels == shown).all()


def test_an_adapter_for_another_base_is_refused_with_both_names(engine: Engine, job: Job) -> None:
    spec = engine.catalog.adapters[job.adapters[0].id]
    other = next((base for base in engine.catalog.bases.values() if not spec.fits(base.arch)), None)
    if other is None:
        assert not spec.files, "only a method without weights fits every base"
        return
    wrong = job.but(base=other.id, steps=other.default_steps, extent=Extent(*[other.native_px[0]] * 2))
    with pytest.raises(Incompatible) as refused:
        engine.render(wrong)
    assert spec.title in str(refused.value) and other.title in str(refused.value)


def test_adapters_compose_in_one_order_and_come_off_in_the_other(engine: Engine, tiny: dict[str, str], tmp_path: Path) -> None:
    with engine.registry.lease("tiny-student") as (base, _):
        engine.catalog.add("adapter", str(lora.write(tmp_path / "second.safetensors", base, "kohya", seed=50)))
        bare = trace(base)
    first, second = AdapterUse("tiny-student-peft", 0.7), AdapterUse("second", 0.4)
    job = Job(base="tiny-student", prompt="a fox", extent=Extent(64, 64))
    both = engine.render(job.but(adapters=(first, second))).pixels
    assert (engine.render(job.but(adapters=(second, first))).pixels == both).all(), "the order they are named in decides nothing"
    alone = [engine.render(job.but(adapters=(use,))).pixels for use in (first, second)]
    assert all((both != one).any() for one in alone)
    assert (engine.render(job.but(adapters=(first, second))).pixels == both).all()
    engine.registry.evict("adapter", "tiny-student-peft")
    with engine.registry.lease("tiny-student") as (base, _):
        assert same(trace(base), bare)


def test_naming_an_adapter_twice_is_a_conflict(engine: Engine, tiny: dict[str, str]) -> None:
    twice = (AdapterUse("tiny-student-peft", 0.5), AdapterUse("tiny-student-peft", 0.7))
    with pytest.raises(Conflict, match="named twice"):
        engine.catalog.check(Job(base="tiny-student", adapters=twice))


@pytest.mark.parametrize("strength", [-0.1, 99.0])
def test_strengths_outside_the_range_are_refused(engine: Engine, job: Job, strength: float) -> None:
    with pytest.raises(BadInput, match="Strength"):
        engine.catalog.check(at(job, strength))


def test_one_adapter_may_stay_on_two_bases(engine: Engine, tiny: dict[str, str]) -> None:
    """Student and teacher have one architecture; going back and forth keeps both right."""
    use = (AdapterUse("tiny-student-peft", 0.8),)
    jobs = [Job(base=base, prompt="a fox", extent=Extent(64, 64), adapters=use) for base in ("tiny-student", "tiny-teacher")]
    first = [engine.render(job).pixels for job in jobs]
    assert all((engine.render(job).pixels == expected).all() for job, expected in zip(jobs, first))
