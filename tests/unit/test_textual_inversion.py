"""Learned words: exactly their vectors at exactly their place, and a tokenizer, table and text encoder that are the same afterwards."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from models import checkpoint
from models.adapters import textual_inversion as ti
from models.bases._sd_base import token_ids
from models.bases._sd_parts import clip_tokenizer
from models.devices import Device
from models.errors import BadInput, Incompatible
from models.spec import EMBEDDED, SD1, SD2, SDXL
from models.text import TextEncoder
from tests.tiny_sd import networks

FP32 = Device("cpu", torch.float32)


class Reads:
    """The part of a base that reads words: one CLIP encoder."""

    def __init__(self) -> None:
        self.tokenizer, self.text_encoder = clip_tokenizer("!"), networks("sd1")["text_encoder"].eval()
        self.spec, self.forgotten = SimpleNamespace(arch=SD1, title="A base"), 0

    def forget_prompts(self) -> None:
        self.forgotten += 1

    def states(self, text: str) -> torch.Tensor:
        with torch.no_grad():
            return self.text_encoder(input_ids=token_ids(text, self.tokenizer, 77, "cpu")[0]).last_hidden_state[0]

    def embedded(self, text: str) -> torch.Tensor:
        """What the embedding table answers for the text."""
        with torch.no_grad():
            return self.text_encoder.get_input_embeddings()(token_ids(text, self.tokenizer, 77, "cpu")[0])[0]


def learned(path: Path, rows: torch.Tensor, word: str = "emb_params") -> ti.ClipConcept:
    save_file({word: rows}, path, {"onestroke.arch": '{"family": "sd1", "context_dim": 768, "latent_channels": 4}'})
    return ti.load(ti.recognise(str(path)), FP32)


def test_the_word_becomes_its_vectors_and_nothing_else_moves(tmp_path: Path) -> None:
    base, rows = Reads(), torch.randn(3, 32)
    tokenizer, table, held = base.tokenizer, base.text_encoder.get_input_embeddings(), base.text_encoder.get_input_embeddings().weight.clone()
    plain = base.states("a red my-cat, sitting")
    adapter = learned(tmp_path / "my-cat.safetensors", rows)
    with adapter.attach(base):
        out, around = base.embedded("a red My-Cat, sitting"), base.embedded("a red , sitting")
        assert torch.equal(out[3:6], rows) and torch.equal(out[:3], around[:3]) and torch.equal(out[6:20], around[3:17])
        assert not torch.allclose(base.states("a red my-cat, sitting"), plain)
        assert torch.equal(base.states("a red my-catalogue"), base.states("a red my-catalogue")) and base.tokenizer.eos_token_id == 49407
        assert base.tokenizer("my-catalogue").input_ids == tokenizer("my-catalogue").input_ids, "whole words only"
        adapter.set_strength(0.5)
        mean = held.mean(0)
        assert torch.allclose(base.embedded("my-cat")[1:4], mean + 0.5 * (rows - mean), atol=1e-6)
        adapter.set_strength(0.0)
        assert torch.equal(base.states("a red my-cat, sitting"), plain)
    assert base.tokenizer is tokenizer and torch.equal(table.weight, held) and not table._forward_hooks and not table._forward_pre_hooks
    assert base.forgotten == 4 and torch.equal(base.states("a red my-cat, sitting"), plain)


def test_two_words_share_a_prompt_and_leave_in_any_order(tmp_path: Path) -> None:
    base, one, two = Reads(), torch.randn(2, 32), torch.randn(1, 32)
    tokenizer = base.tokenizer
    first, second = learned(tmp_path / "one.safetensors", one), learned(tmp_path / "x.safetensors", two[0], "<two>")
    a, b = first.attach(base), second.attach(base)
    a.__enter__(), b.__enter__()
    assert torch.equal(base.embedded("<two> one")[1:4], torch.cat([two, one]))
    a.__exit__(None, None, None)
    assert torch.equal(base.embedded("<two>")[1:2], two) and (base.embedded("one")[1] != one[0]).any()
    b.__exit__(None, None, None)
    assert base.tokenizer is tokenizer


def test_long_prompts_are_cut_as_ever(tmp_path: Path) -> None:
    base = Reads()
    with learned(tmp_path / "c.safetensors", torch.randn(2, 32)).attach(base):
        ids, truncated = token_ids("c " * 60, base.tokenizer, 77, "cpu")
        assert truncated and ids.shape == (1, 77) and ids[0, -1] == 49407 and (ids[0, 1:-1] < 0).all()


@pytest.mark.parametrize("tensors, arch, word", [
    ({"emb_params": (4, 768)}, SD1, "x"), ({"<cat-toy>": (1024,)}, SD2, "<cat-toy>"), ({"clip_l": (2, 768), "clip_g": (2, 1280)}, SDXL, "x")])  # fmt: skip
def test_layouts_say_their_word_and_base(tmp_path: Path, tensors: dict[str, tuple[int, ...]], arch: object, word: str) -> None:
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, tmp_path / "x.safetensors")
    spec = ti.recognise(str(tmp_path / "x.safetensors"))
    assert spec.arch == arch and f'"{word}"' in spec.knows and ti.load(spec, FP32).word == word


def test_other_files_and_widths(tmp_path: Path, tiny_folder: Path) -> None:
    assert ti.recognise(str(tiny_folder / "tiny-student.safetensors")) is None and ti.recognise("nothing") is None
    for name, shape in (("a.weight", (1, 768)), ("a", (2, 3, 768)), ("b", (1, 5))):
        save_file({name: torch.zeros(shape)}, tmp_path / "x.safetensors")
        assert ti.recognise(str(tmp_path / "x.safetensors")) is None
    save_file({"emb_params": torch.zeros(1, 5)}, tmp_path / "x.safetensors")
    with pytest.raises(BadInput, match="no base here reads"):
        ti.recognise(str(tmp_path / "x.safetensors"))
    base = Reads()
    tokenizer = base.tokenizer
    with pytest.raises(Incompatible, match='16 wide for text_encoder, "A base" reads 32'), learned(tmp_path / "w.safetensors", torch.zeros(1, 16)).attach(base):
        pass
    assert base.tokenizer is tokenizer


def test_a_concept_replaces_the_states_of_its_class_word(tmp_path: Path) -> None:
    text, tokens, shift = TextEncoder(), torch.randn(2, 384), torch.randn(384)
    base = SimpleNamespace(text=text, spec=SimpleNamespace(arch=EMBEDDED, title="A base"), forget_prompts=lambda: None)
    checkpoint.save(tmp_path / "c.safetensors", ti.KIND, {"word": "<c1>", "class_word": "fox"}, {}, {"tokens": tokens, "pooled": shift}, "My fox")
    adapter = ti.load(ti.recognise(str(tmp_path / "c.safetensors")), FP32)
    plain, as_class = text.encode(["a red <c1> in snow"])[0], text.encode(["a red fox in snow"])[0]
    with adapter.attach(base):
        read = base.text.encode(["A red <C1> in snow "])[0]
        assert torch.equal(read.states[3:5], tokens) and torch.equal(read.states[:3], as_class.states[:3]) and torch.equal(read.states[5:], as_class.states[4:])
        assert torch.equal(read.pooled, as_class.pooled + shift)
        assert torch.equal(base.text.encode(["a fox"])[0].states, text.encode(["a fox"])[0].states) and base.text.net is text.net
        assert base.text.encode(["word " * 80 + "<c1>"])[0].truncated
        adapter.set_strength(0.5)
        own = as_class.states[3]
        assert torch.allclose(base.text.encode(["a red <c1> in snow"])[0].states[3:5], own + 0.5 * (tokens - own), atol=1e-5)
        adapter.set_strength(0.0)
        assert torch.equal(base.text.encode(["a red <c1> in snow"])[0].states, plain.states)
    assert base.text is text
