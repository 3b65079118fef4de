"""NASA against its formula: subtracted before the projection, masked, in positive passes of its window only, reversible."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.adapters import nasa
from models.compat import mend_torchvision
from models.contracts import Step
from models.devices import Device
from models.errors import BadInput, Incompatible
from models.job import AdapterUse, Job
from models.spec import EMBEDDED, SD1, Arch
from tests.tiny_adapters.nasa import write

TINY, FP32 = Arch("tiny", 6, 4), Device("cpu", torch.float32)
WORDS = {"": torch.zeros(2, 6), "blue": torch.randn(3, 6, generator=torch.Generator().manual_seed(5))}


class Net(torch.nn.Module):
    """One cross-attention layer under the name that UNets give it."""

    def __init__(self) -> None:
        super().__init__()
        mend_torchvision()
        from diffusers.models.attention_processor import Attention, AttnProcessor

        self.attn2 = Attention(8, 6, heads=2, dim_head=4, processor=AttnProcessor())

    def forward(self, x: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return self.attn2(x, words)


def base(mask: torch.Tensor | None = None, arch: Arch = TINY) -> SimpleNamespace:
    torch.manual_seed(0)
    return SimpleNamespace(
        network=Net().eval().requires_grad_(False), spec=SimpleNamespace(arch=arch, title="A base"), latent_channels=4, device="cpu",
        encode_prompt=WORDS.__getitem__, batch_cond=torch.stack,
        inputs=lambda x, sigma, cond: {"encoder_hidden_states": cond, "encoder_attention_mask": mask})  # fmt: skip


def adapter(tmp_path: Path, of: SimpleNamespace, alpha: float = 0.4) -> nasa.NasaAdapter:
    return nasa.load(nasa.recognise(str(write(tmp_path / "out.safetensors", of, alpha))), FP32)


def by_hand(attn: Any, x: torch.Tensor, words: torch.Tensor, against: torch.Tensor, amount: float) -> torch.Tensor:
    """The formula of the paper, head by head, one projection at the end."""
    def look(tokens: torch.Tensor) -> torch.Tensor:
        q, k, v = (f(t).unflatten(-1, (2, 4)) for f, t in ((attn.to_q, x), (attn.to_k, tokens), (attn.to_v, tokens)))
        share = torch.einsum("bihd,bjhd->bhij", q, k.expand(len(x), -1, -1, -1)).div(2).softmax(-1)
        return torch.einsum("bhij,bjhd->bihd", share, v.expand(len(x), -1, -1, -1)).flatten(2)
    return attn.to_out[0](look(words) - amount * look(against))


def step(negative: bool = False) -> Step:
    return Step(torch.zeros(1, 4, 8, 8), 1.0, None, {}, negative)


@pytest.mark.parametrize("count", [1, 3])
def test_it_is_the_formula_with_one_projection(tmp_path: Path, count: int) -> None:
    b = base()
    x, words = torch.randn(count, 5, 8), torch.randn(count, 4, 6)
    plain, found = b.network(x, words), b.network.attn2.processor
    a = adapter(tmp_path, b)
    a.set_strength(0.5)
    with a.attach(b) as hooks:
        hooks.prepare(Job(negative="blue"), AdapterUse("out", 0.5))
        assert torch.equal(b.network(x, words), plain), "nothing before a step says so"
        hooks.before_denoise(step())
        expected = by_hand(b.network.attn2, x, words, WORDS["blue"][None], 0.5 * 0.4)
        assert torch.allclose(b.network(x, words), expected, atol=1e-5) and not torch.allclose(expected, plain, atol=1e-3)
        assert torch.equal(b.network(x, words), plain), "armed for one pass: the next may lie outside the window"
        hooks.before_denoise(step(negative=True))
        assert torch.equal(b.network(x, words), plain), "the negative pass is not steered"
    assert b.network.attn2.processor is found and not b.network._forward_hooks and torch.equal(b.network(x, words), plain)


@pytest.mark.parametrize("negative, strength", [("", 1.0), ("  ", 1.0), ("blue", 0.0)])
def test_no_words_or_no_strength_is_the_identity(tmp_path: Path, negative: str, strength: float) -> None:
    b, x, words = base(), torch.randn(1, 5, 8), torch.randn(1, 4, 6)
    plain = b.network(x, words)
    with adapter(tmp_path, b).attach(b) as hooks:
        hooks.prepare(Job(negative=negative), AdapterUse("out", strength))
        hooks.before_denoise(step())
        assert torch.equal(b.network(x, words), plain)


def test_padded_words_weigh_nothing(tmp_path: Path) -> None:
    x, words = torch.randn(1, 5, 8), torch.randn(1, 4, 6)
    answers = []
    for b, text in ((base(), "blue"), (base(torch.tensor([[True, True, False]])), "blue")):
        with adapter(tmp_path, b).attach(b) as hooks:
            hooks.prepare(Job(negative=text), AdapterUse("out"))
            hooks.before_denoise(step())
            answers.append((b, b.network(x, words)))
    masked = by_hand(answers[1][0].network.attn2, x, words, WORDS["blue"][None, :2], 0.4)
    assert torch.allclose(answers[1][1], masked, atol=1e-5) and not torch.allclose(answers[0][1], masked, atol=1e-4)


def test_it_wraps_what_another_adapter_put_there_and_gives_it_back(tmp_path: Path) -> None:
    class Louder(torch.nn.Module):
        """Stands for an image prompt: a processor with weights."""

        def __init__(self) -> None:
            super().__init__()
            self.gain = torch.nn.Parameter(torch.tensor(3.0))

        def forward(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None, ip_adapter_masks=None):
            out = found(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
            return out * self.gain + (0 if ip_adapter_masks is None else ip_adapter_masks)

    b, x, words = base(), torch.randn(1, 5, 8), torch.randn(1, 4, 6)
    found, other = b.network.attn2.processor, Louder()
    b.network.attn2.set_processor(other)
    loud, names = b.network(x, words), repr(b.network)
    with adapter(tmp_path, b).attach(b):
        assert torch.equal(b.network(x, words), loud)
        assert torch.equal(b.network.attn2(x, words, ip_adapter_masks=1.0), loud + 1), "what the other needs gets through"
    assert b.network.attn2.processor is other and repr(b.network) == names


def test_every_architecture_has_its_own_amount() -> None:
    assert {spec.arch for spec in nasa.SPECS} == set(nasa.ALPHA) and all(spec.grants == ("negative_prompt",) for spec in nasa.SPECS)
    assert nasa.load(nasa.SPECS[0], FP32).alpha == nasa.ALPHA[EMBEDDED]


def test_wrong_bases_and_files_are_refused_by_name(tmp_path: Path) -> None:
    a = adapter(tmp_path, base())
    with pytest.raises(Incompatible, match='"out" is made for tiny .*"A base" is sd1'), a.attach(base(arch=SD1)):
        pass
    blind = base()
    blind.network = torch.nn.Linear(2, 2)
    with pytest.raises(Incompatible, match="no cross-attention"), a.attach(blind):
        pass
    (tmp_path / "out.safetensors").unlink()
    with pytest.raises(BadInput, match="out.safetensors is no settings file"):
        nasa.load(a.spec, FP32)
    assert nasa.recognise(str(tmp_path)) is None and nasa.recognise("nothing") is None


def test_an_error_inside_detaches_all_the_same(tmp_path: Path) -> None:
    b = base()
    found = b.network.attn2.processor
    with pytest.raises(ZeroDivisionError), adapter(tmp_path, b).attach(b):
        raise ZeroDivisionError
    assert b.network.attn2.processor is found and not b.network._forward_hooks
