"""Pairs and UNIC: fresh hooks are the identity, all four ways, published folders, what is kept."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from models.adapters import _unicon_layout, unicon
from models.adapters.unicon import Order
from models.engine import Engine, open_engine
from models.errors import BadInput, MissingWeights
from models.flows.unicon import MODES, use_of
from models.flows.unicon import unicon as flow
from models.job import AdapterUse, Extent, Job, Picture
from models.nets import attention, pair, unic
from models.nets.unet import build_unet, predict
from tests.tiny_adapters import unic as tiny_unic
from tests.tiny_adapters import unicon as tiny_pair
from tests.tiny_embedded import TINY

pytestmark = pytest.mark.render
PICTURE = Picture.from_array(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
JOB = Job(base="tiny-student", prompt="a fox", extent=Extent(64, 64), steps=2, seeds=(4, 7))


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, sd_folder: Path) -> Iterator[Engine]:
    sources = [tiny_folder / "tiny-student.safetensors", tiny_folder / "tiny-teacher.safetensors", sd_folder / "tiny-sd1"]
    engine = open_engine(bases=list(map(str, sources)), device="cpu")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def pair_id(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    with engine.registry.lease("tiny-student") as (base, _):
        return engine.catalog.add("adapter", str(tiny_pair.write_own(tmp_path_factory.mktemp("pair") / "a-pair.safetensors", base))).id


@pytest.mark.parametrize("kind", ["pair", "unic"])
def test_fresh_hooks_are_the_identity_and_come_off_exactly(kind: str) -> None:
    torch.manual_seed(0)
    net = build_unet(TINY).eval()
    x, times, cond = torch.randn(4, 32, 8, 8), torch.full((4,), 500.0), (torch.randn(4, 3, 384), None, torch.randn(4, 384))
    found = dict(net.attn_processors)
    with torch.no_grad():
        before = predict(net, x, times, cond)
        if kind == "pair":
            with pair.attached(net, pair.Pair(pair.config_for(net, 4, 4)), pair.Pairing(2, (1.0,), (8, 8))):
                hooked = predict(net, x, times, cond)
        else:
            with unic.attached(net, unic.Unic(unic.config_for(net, 4)), unic.Memory()) as memory:
                with memory.records((8, 8)):
                    predict(net, x, times, cond)
                memory.amount = 1.0
                hooked = predict(net, x, times, cond)
        assert len(found) and torch.equal(hooked, before) and torch.equal(predict(net, x, times, cond), before)
    assert all(net.attn_processors[name] is processor for name, processor in found.items()) and not net.conv_in._forward_hooks


def test_rotation_tells_only_how_far_apart_two_places_are() -> None:
    torch.manual_seed(0)
    q, k = (torch.randn(1, 1, 1, 16).expand(1, 1, 20, 16) for _ in "qk")
    products = attention.rotated(q, (4, 5)) @ attention.rotated(k, (4, 5)).transpose(-1, -2)
    at = lambda a, b: products[0, 0, a[0] * 5 + a[1], b[0] * 5 + b[1]]
    assert at((0, 0), (1, 2)) == pytest.approx(float(at((2, 1), (3, 3))), abs=1e-4)
    assert abs(at((0, 0), (1, 2)) - at((0, 0), (2, 1))) > 1e-3, "rows are not columns"
    fresh = attention.Across(16)
    zero = torch.zeros(1, 20, 16)
    look = (fresh.queries(zero, 1, (4, 5)) @ fresh.keys(zero, 1, (4, 5)).transpose(-1, -2))[0, 0]
    assert (look.argmax(-1) == torch.arange(20)).all(), "a fresh layer looks straight across"
    assert attention.grid_of(15, (5, 10)) == (3, 5)


def test_every_way_paints_something_else(engine: Engine, pair_id: str) -> None:
    painted = {mode: [r.pixels for r in flow(engine.render, JOB, pair_id, mode, None if mode == "both" else PICTURE)] for mode in MODES}
    assert [len(p) for p in painted.values()] == [1, 1, 2, 1]
    firsts = [p[0] for p in painted.values()] + [painted["both"][1]]
    assert all((a != b).any() for i, a in enumerate(firsts) for b in firsts[:i])
    shapes = engine.render(JOB.but(adapters=(use_of(pair_id, "control", PICTURE, "shape"),))).pixels
    two = engine.render(JOB.but(adapters=(AdapterUse(pair_id, 1.0, PICTURE, (PICTURE,)),))).pixels
    assert (shapes != painted["control"][0]).any() and (two != painted["control"][0]).any(), "the signal's words, and a second signal, count"


@pytest.mark.parametrize("base, more", [("tiny-student", {}), ("tiny-teacher", {"guidance": 3.0, "style": "flat"})])
def test_both_jobs_of_inventing_both_walk_the_same_pair(engine: Engine, pair_id: str, base: str, more: dict) -> None:
    walks: list[list[torch.Tensor]] = []

    def render(job: Job):
        with engine.registry.lease(base) as (resident, _):
            walks.append([])
            spy = resident.network.register_forward_hook(lambda net, args, out: walks[-1].append(out[0].clone()))
        try:
            return engine.render(job)
        finally:
            spy.remove()
    x, y = flow(render, JOB.but(base=base, **more), pair_id, "both")
    assert len(walks[0]) == len(walks[1]) > 1
    assert all(len(a) == 4 and torch.allclose(a, b, atol=0.02) for a, b in zip(*walks))
    assert (x.pixels != y.pixels).any()


def test_bad_orders_are_refused_with_the_cure(engine: Engine, pair_id: str) -> None:
    assert Order.of("Read shape", ("lines", "shape")) == Order(("shape", "lines"), True)
    for words in ("colours", "lines shape"):
        with pytest.raises(BadInput, match="does not know"):
            engine.render(JOB.but(adapters=(AdapterUse(pair_id, 1.0, PICTURE, words=words),)))
    with pytest.raises(BadInput, match="needs a picture"):
        use_of(pair_id, "read")
    with pytest.raises(BadInput, match="outside 0..1"):
        AdapterUse(pair_id, 1.0, PICTURE, noise=1.5)
    job = JOB.but(adapters=(use_of(pair_id, "loose", PICTURE, noise=0.3),))
    assert Job.from_dict(job.to_dict()) == job and "noise" not in AdapterUse(pair_id).to_dict()


def test_a_published_folder_is_converted_and_loads_like_ours(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-sd1") as (base, _):
        folder = tiny_pair.write_published(tmp_path / "edge", base, seed=5, pickled=True)
        meant, _ = tiny_pair.random_pair(base, 5, y_targets=pair.ATTENTION, straight=False, fused=True)
    with pytest.raises(BadInput, match="pickle.*models convert"):
        unicon.recognise(str(folder))
    path = _unicon_layout.convert(folder / "model.pth")
    spec = unicon.recognise(str(folder))
    assert (spec.id, spec.control, spec.kind, len(spec.files)) == ("edge", "softedge", "pair", 4)
    loaded = unicon.load(spec, engine.registry.device)
    assert loaded.triggers == {"edge": "edge_map, "} and not loaded.inverted
    ours = loaded.pair.state_dict()
    assert ours.keys() == meant.state_dict().keys() and all(torch.allclose(ours[k].float(), v, atol=1e-2) for k, v in meant.state_dict().items())
    (folder / "yx_lora" / "pytorch_lora_weights.safetensors").unlink()
    with pytest.raises(MissingWeights, match="yx_lora"):
        unicon.recognise(str(path.parent))


def test_unic_looks_once_at_a_picture_and_obeys_its_sentence(engine: Engine, tmp_path: Path) -> None:
    with engine.registry.lease("tiny-student") as (base, _):
        name = engine.catalog.add("adapter", str(tiny_unic.write(tmp_path / "a-unic.safetensors", base))).id
    calls: list[int] = []
    with engine.registry.lease("tiny-student") as (base, _):
        spy = base.network.register_forward_hook(lambda net, args, out: calls.append(len(out[0])))
    paint = lambda words: engine.render(JOB.but(adapters=(AdapterUse(name, 1.0, PICTURE, words=words),))).pixels
    try:
        first = paint("")
        assert calls == [1, 2, 2], "the branch, then two steps"
        assert (paint("Generate image from edges") == first).all() and len(calls) == 5, "the same sentence is not looked at again"
        assert (paint("Generate image from style image") != first).any() and len(calls) == 8
    finally:
        spy.remove()
    with pytest.raises(BadInput, match="does not say"):
        paint("x")
