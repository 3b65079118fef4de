"""Attention maps against the formula, over real networks of every fitted kind; recording changes nothing and goes without a trace."""
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.adapters import attention_record as record
from models.compat import mend_torchvision
from models.contracts import Step
from models.devices import Device
from models.engine import Engine, open_engine
from models.errors import Incompatible
from models.job import AdapterUse, Extent, Job, Picture, Region
from models.nouns import nouns_of
from models.spec import EMBEDDED, SD1

FP32 = Device("cpu", torch.float32)
USE = AdapterUse("attention-record")


@pytest.fixture(scope="module")
def engine(tiny_folder: Path, sd_folder: Path, sdxl_folder: Path, sana_folder: Path):
    sources = [tiny_folder / "tiny-student.safetensors", tiny_folder / "tiny-teacher.safetensors", sd_folder / "tiny-sd1", sd_folder / "tiny-sd2",
               sdxl_folder / "tiny-sdxl", sana_folder / "tiny-sana"]
    engine = open_engine(bases=[str(source) for source in sources], device="cpu")
    yield engine
    engine.close()


def job(base: str = "tiny-student", **changes: object) -> Job:
    return Job(**dict(base=base, prompt="a red fox under an old tree", extent=Extent(128, 64), steps=1, guidance=1.0, adapters=(USE,)) | changes)


class Net(torch.nn.Module):
    """One self- and one cross-attention under the names that UNets give them."""

    def __init__(self) -> None:
        super().__init__()
        mend_torchvision()
        from diffusers.models.attention_processor import Attention, AttnProcessor
        self.attn1 = Attention(8, heads=2, dim_head=4, processor=AttnProcessor())
        self.attn2 = Attention(8, 6, heads=2, dim_head=4, processor=AttnProcessor())

    def forward(self, x: torch.Tensor, words: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.attn2(self.attn1(x), words, attention_mask=mask)


def by_hand(attn: torch.nn.Module, x: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    q, k = (f(t).unflatten(-1, (2, 4)) for f, t in ((attn.to_q, x), (attn.to_k, words)))
    return torch.einsum("bihd,bjhd->bhij", q, k).div(2).softmax(-1).mean(1)


def test_maps_are_the_softmax_averaged_over_heads_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    base = SimpleNamespace(network=Net().eval().requires_grad_(False), spec=SimpleNamespace(arch=EMBEDDED, title="A base"),
                           tokenizer=lambda text, **_: SimpleNamespace(input_ids=[0, *text.split(), 0]))
    x, words, found = torch.randn(2, 2, 8, 8), torch.randn(2, 5, 6), base.network.attn2.processor
    plain = [base.network(one, words) for one in x]
    adapter = record.load(record.SPECS[0], FP32)
    with adapter.attach(base) as hooks:
        hooks.prepare(Job(prompt="a fox sees trees", seeds=(1, 2), extent=Extent(64, 32)), USE)
        for one, before in zip(x, plain):
            hooks.before_denoise(Step(one, 1.0, None, {}))
            assert torch.equal(base.network(one, words), before), "it only looks on"
        base.network(x[0], words)                    # not armed: outside the window
        seen = hooks.report()
    inner = [base.network.attn1(one) for one in x]
    cross = torch.stack([by_hand(base.network.attn2, one, words) for one in inner]).mean(0)
    self_maps = torch.stack([by_hand(base.network.attn1, one, one) for one in x]).mean(0)
    assert set(seen) == {"cross 2x4", "self 2x4"} and [n.text for n in nouns_of("a fox sees trees")] == ["fox", "sees", "trees"]
    assert np.allclose(seen["self 2x4"], self_maps, atol=1e-6) and np.allclose(seen["self 2x4"].sum(-1), 1, atol=1e-5)
    for number, token in enumerate((2, 3, 4)):
        assert np.allclose(seen["cross 2x4"][:, number], cross[:, :, token].reshape(2, 2, 4), atol=1e-6)
    assert base.network.attn2.processor is found and not base.network._forward_hooks


def test_a_noun_of_several_pieces_is_their_mean(engine: Engine) -> None:
    maps = torch.rand(1, 6, 7)
    assert torch.allclose(record._by_noun(maps, [[[2, 3]]], (2, 3)), maps[:, :, 2:4].mean(2).view(1, 1, 2, 3))
    assert not record._by_noun(maps, [[[9]]], (2, 3)).any(), "cut off by the text encoder's length"
    for name in ("tiny-student", "tiny-sd1", "tiny-sdxl"):
        with engine.registry.lease(name) as (base, _):
            short, long = record.token_places(base, "a fox and an incomprehensibility")
        assert short == [2] and len(long) >= 2 and long[0] == 5, name


@pytest.mark.parametrize("base, grids", [("tiny-student", {"2x4"}), ("tiny-teacher", {"2x4"}), ("tiny-sd1", {"8x16", "4x8"}), ("tiny-sd2", {"8x16", "4x8"}),
                                         ("tiny-sdxl", {"4x8", "2x4"})])
def test_every_fitted_base_is_seen_and_stays_as_it_was(engine: Engine, base: str, grids: set[str]) -> None:
    asked = job(base, seeds=(1, 2))
    plain = engine.render(asked.but(adapters=()))
    seen = engine.render(asked)
    assert (seen.pixels == plain.pixels).all() and not plain.seen
    assert {name.split(" ")[1] for name in seen.seen} == grids
    for grid in grids:
        assert seen.seen[f"cross {grid}"].shape[:2] == (2, 2) and (seen.seen[f"cross {grid}"] > 0).all()
        assert np.allclose(seen.seen[f"self {grid}"].sum(-1), 1, atol=1e-3)
    assert not engine.render(asked.but(adapters=(AdapterUse(USE.id, 0.0),))).seen


def test_only_passes_of_the_prompt_itself_count(engine: Engine) -> None:
    """Guidance adds a negative pass and regions add theirs; neither is noted, and prompts of their own have maps of their own."""
    alone = engine.render(job("tiny-teacher", steps=1)).seen["cross 2x4"]
    mask = Picture.from_array(np.full((64, 128), 255, np.uint8))
    both = job("tiny-teacher", steps=1, guidance=3.0, regions=(Region("a blue sea", mask),))
    assert np.allclose(engine.render(both).seen["cross 2x4"], alone, atol=1e-6)
    each = engine.render(job(seeds=(0, 0), each=("a red fox under an old tree", "a house"))).seen["cross 2x4"]
    assert each.shape[1] == 2 and not each[1, 1].any() and each[1, 0].any()


def test_linear_attention_has_no_maps(engine: Engine) -> None:
    with pytest.raises(Incompatible, match="tiny-sana|Sana|SANA"):
        engine.catalog.check(job("tiny-sana", steps=2, extent=Extent(64, 64)))
    assert "attention_maps" not in engine.catalog.able("tiny-sana").granted and engine.catalog.able("tiny-sd1").granted["attention_maps"] == USE.id
    blind = SimpleNamespace(network=torch.nn.Linear(2, 2), spec=SimpleNamespace(arch=SD1, title="A base"))
    with pytest.raises(Incompatible, match="no attention maps"), record.load(record.SPECS[0], FP32).attach(blind):
        pass
