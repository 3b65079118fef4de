"""The lab's icons: sets cleaned and split, batches, a few updates, and the measures; on a handful of hand-made icons."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.lab import icon_scores, icons
from models.lab.budget import Budget
from models.lab.icon_sets import IconSet, _save, load, set_icons, split_up, tags_by_words, words_of
from models.vector.pathtokens import FILL, MASK, STROKE, told

LINES = {"home-outline": "M3 11L12 3L21 11V21H3Z", "arrow-right": "M4 12H20M14 6L20 12L14 18", "plus": "M12 5V19M5 12H19", "brand-x": "M1 1L9 9",
         "minus": "M5 12H19", "check": "M4 12L10 18L20 6", "clock": "M12 3A9 9 0 1 0 12 21A9 9 0 1 0 12 3zM12 7V12L15 15", "plus-2": "M12 5V19M5 12H19"}
TINY = icons.IconConfig(32, 2, 2, 2, batch_tokens=256, lr=4e-3, warmup_steps=5, report_s=1e9)


SHAPES = {"square": "M3 3h18v18H3z", "square-outline": "M3 3h18v18H3zM5 5v14h14V5z", "cross": "M2 6h20v12H2zM6 2h12v20H6z"}


def lucide() -> dict:
    body = '<path fill="none" stroke="currentColor" stroke-linecap="round" stroke-width="2" d="{}"/>'
    long = "M1 1" + "".join(f"L{i * 7 % 20 + 2} {i * 5 % 23}" for i in range(120))
    extra = {"hidden": {"body": body.format("M0 0h9"), "hidden": True}, "long": {"body": body.format(long)}}
    return {"width": 24, "height": 24, "icons": {name: {"body": body.format(d)} for name, d in LINES.items()} | extra}


def mdi() -> dict:
    return {"width": 24, "height": 24, "icons": {name: {"body": f'<path fill="currentColor" d="{d}"/>'} for name, d in SHAPES.items()}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IconSet]:
    """A lab folder with a set in it."""
    folder = tmp_path_factory.mktemp("lab")
    found = [("lucide", name, tokens) for name, tokens in set_icons("lucide", lucide())] + [("mdi", n, t) for n, t in set_icons("mdi", mdi())]
    _save(split_up(found, {"home": ("house", "building")}), folder)
    return folder, load(folder)


def test_sets_are_cleaned(made) -> None:
    """Brands, hidden and long ones, outlines of filled sets, doubles, and overlaps that even-odd would cut out are left out."""
    names = {(n.source, n.name) for n in made[1].named}
    assert names == {("lucide", n) for n in LINES if n not in ("brand-x", "plus-2")} | {("mdi", "square")}
    assert {n.mode for n in made[1].named} == {FILL, STROKE}
    home = next(n for n in made[1].named if n.name == "home-outline")
    assert home.words == "home" and home.tags == ("house", "building") and home.split == "train"


@pytest.mark.parametrize(("name", "words"), [("arrow-up-circle-01-solid", "arrow up circle"), ("Home_line", "home"), ("outline", "")])
def test_words_of_names(name: str, words: str) -> None:
    assert words_of(name) == words


def test_tags_of_both_sets_meet() -> None:
    tags = tags_by_words({"home": ["living", "a1"]}, {"home-outline": {"tags": ["house-big", "living"]}})
    assert tags == {"home": ("living", "house big")}


def test_words_of_the_test_split_are_nowhere_else() -> None:
    letters = [chr(97 + i) + chr(97 + j) for i in range(26) for j in range(8)]
    found = [("lucide", f"{word}-{kind}", [STROKE]) for word in letters for kind in ("big", "small")]
    tags = {f"{word} {kind}": (word, letters[0]) for word in letters for kind in ("big", "small")}
    icons_ = split_up(found, tags)
    of = lambda split: {n.words for n in icons_.named if n.split == split}
    unseen = {words.split()[0] for words in of("test")}
    assert unseen and of("val") and not unseen & {word for words in of("train") | of("val") for word in words.split()} and not of("val") & of("train")
    assert not unseen & {word for n in icons_.named for tag in n.tags for word in tag.split()}
    assert split_up(found, tags).named == icons_.named


def test_a_feeder_gives_every_icon_once_and_tells_gaps(made) -> None:
    folder, found = made
    feeder = icons.Feeder(found, icons.Phrases(found, folder, lambda text: None), TINY)
    batches = list(feeder.epoch(np.random.default_rng(0)))
    assert sum(len(b.tokens) for b in batches) == len(found.where("train"))
    rows = [row[row > 0].tolist() for _ in range(3) for b in feeder.epoch(np.random.default_rng(_)) for row in b.tokens]
    assert any(MASK in row for row in rows) and any(MASK not in row for row in rows)
    for batch in batches:
        for row, says in zip(batch.tokens, batch.told, strict=True):
            assert says[row > 0].tolist() == [list(t) for t in told(row[row > 0].tolist())]
        assert all(abs(float(t.pow(2).mean()) - 1) < 1e-2 or not t.any() for t in batch.text)


def test_training_learns_and_the_file_brings_it_back(made, tmp_path: Path) -> None:
    folder, out = made[0], tmp_path / "icons.safetensors"
    said: list[str] = []
    net = icons.make_icons(folder, Budget(5, 60), str(out), "`test`", config=TINY, say=said.append)
    found = load(folder)
    feeder = icons.Feeder(found, icons.Phrases(found, folder), TINY)
    trained, fresh = icons.held_out_loss(net, feeder), icons.held_out_loss(icons.fresh(TINY), feeder)
    assert trained < fresh - 2 and "60 updates" in said[-1]
    again = icons.read(out)
    assert abs(icons.held_out_loss(again, feeder) - trained) < 0.2
    assert again.config() == net.config() and (folder / "icons-writer.safetensors").exists()


def test_overlaps_by_hand() -> None:
    a = np.zeros((2, 48, 48), np.uint8)
    a[0, :10], a[1, 5:15] = 255, 255
    assert np.allclose(icon_scores.overlap(a, a), [[1, 1 / 3], [1 / 3, 1]])


def test_the_judge_names_what_it_learnt(made) -> None:
    folder, found = made
    phrases = icons.Phrases(found, folder, lambda text: None)
    words = [n.words for n in found.named]
    rasters = np.stack([icon_scores.raster(found.icon(i)) for i in range(len(found))])
    judge = icon_scores.train_judge(rasters, torch.stack([phrases.mean([w]) for w in words]), 2.0)
    assert icon_scores.named(judge, rasters, words, phrases)[0] > 0.8
    assert icon_scores.named(judge, np.roll(rasters, 1, 0), words, phrases)[0] < 0.5


def test_rows_of_the_table(made) -> None:
    folder, found = made
    phrases, net = icons.Phrases(found, folder, lambda text: None), icons.fresh(TINY).eval()
    drawn = icon_scores.drawn(net, phrases, ["home", "plus"], STROKE)
    assert drawn.tried == 6 and len(drawn.icons) == len(drawn.words) <= 6
    rasters = np.stack([icon_scores.raster(found.icon(i)) for i in range(len(found))])
    row = icon_scores._row("lines", drawn, icon_scores.Judge().eval(), phrases, rasters)
    assert row.count("|") == 8 and 0 <= icon_scores.gaps_filled(net, found, phrases, 2)[0] <= 1
