"""Drawings from registry packages: naming, cleaning, splitting; on tiny hand-made packages, never on the network."""
from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import StudioError
from models.lab import sources
from models.lab.items import STYLES, Item, main_color, numbered
from models.lab.looks import color_shares, duplicates, small_picture
from models.lab.sources import Names, Package, clean_label, code_of, concept_of, holds_unseen, icon_candidates, slug, split_of


def emoji(char: str, label: str, group: int, tags: tuple[str, ...] = ()) -> dict:
    return {"emoji": char, "hexcode": "-".join(f"{ord(c):X}" for c in char), "label": label, "group": group, "tags": list(tags)}


EMOJI = [emoji("\U0001f98a", "fox", 3, ("orange", "Animal", "l33t")), emoji("❤️", "red heart", 8),
         emoji("\U0001f9d1‍\U0001f680", "astronaut", 1), emoji("\U0001f1eb\U0001f1f7", "flag: France", 9),
         emoji("\U0001f600", "grinning face", 0), emoji("\U0001f95f", "dumpling", 4), emoji("\U0001f346", "eggplant", 4)]
LIB = {"\U0001f98a": ["fox_face", "nature"], "\U0001f346": ["aubergine"]}
CLDR = {"\U0001f98a": {"default": ["face", "fox"], "tts": ["fox"]}, "❤": {"default": ["heart"], "tts": ["red heart"]}}


@pytest.fixture
def names() -> Names:
    return Names(EMOJI, LIB, CLDR)


def test_codepoints_compare_without_the_presentation_mark():
    assert code_of("0023-FE0F-20E3") == code_of("23-20e3") == "0023-20e3"
    assert code_of("1F98A") == "1f98a"


def test_slug_spells_as_icon_sets_do():
    assert slug("Piñata!") == "pinata"
    assert slug("man’s shoe") == "mans-shoe"


@pytest.mark.parametrize(("name", "code", "label"), [
    ("anything", "1f98a", "fox"), ("fox", None, "fox"), ("fox-face", None, "fox"), ("redheart", None, "red heart"),
    ("grinning", None, "grinning face"), ("woman-astronaut", None, "astronaut"), ("aubergine", None, "eggplant")])
def test_an_icon_is_found_by_code_name_or_spelling(names: Names, name: str, code: str | None, label: str):
    assert names.find(name, code).label == label


def test_an_unknown_icon_has_no_words(names: Names):
    assert names.find("zzz") is None


def test_keywords_are_plain_words_once_each(names: Names):
    assert names.find("fox").keywords == ("orange", "animal", "fox face", "nature", "face", "fox")


def test_labels_lose_their_colons():
    assert clean_label("Family: man,  woman") == "family of man, woman"
    assert clean_label("person: blond_hair") == "person blond hair"


def test_variants_flags_and_hidden_icons_stay_out(names: Names):
    icons = {"width": 32, "height": 32, "categories": {"Symbols": ["odd-thing"]}, "icons": {
        "fox": {"body": "<path/>"}, "fox-dark": {"body": "<path/>"}, "astronaut-medium-skin-tone": {"body": "<path/>"},
        "flag-france": {"body": "<path/>"}, "alias": {"body": "<path/>", "hidden": True},
        "odd-thing": {"body": "<g/>", "width": 16}}}
    found = {c.name: c for c in icon_candidates("fluent-emoji", icons, {}, "MIT", names)}
    assert list(found) == ["fox", "odd-thing"]
    assert (found["odd-thing"].label, found["odd-thing"].category) == ("odd thing", "symbols")
    assert 'viewBox="0 0 16 32"' in found["odd-thing"].svg


def test_a_dark_thing_is_no_variant_where_no_plain_one_is(names: Names):
    alone = {"icons": {"fox-dark": {"body": ""}}}
    assert [c.name for c in icon_candidates("fluent-emoji", alone, {}, "MIT", names)] == ["fox-dark"]


def test_held_out_nouns_are_found_in_any_label():
    assert len(sources.HELD_OUT_NOUNS) == 42
    assert holds_unseen("two pandas") and holds_unseen("mushroom") and not holds_unseen("mushrooming")
    assert split_of("noto", "brown-mushroom", "brown mushroom", 6) == "test_concept"


def test_splits_are_rare_stable_and_need_five_sets_for_pairs():
    labels = [f"thing {chr(97 + i // 26 % 26)}{chr(97 + i % 26)}{chr(97 + i // 676)}" for i in range(4000)]
    many = [split_of("noto", label, label, 5) for label in labels]
    assert many == [split_of("noto", label, label, 6) for label in labels]
    assert 0.015 < many.count("test_pair") / 4000 < 0.035 and 0.008 < many.count("val") / 4000 < 0.022
    assert "test_pair" not in {split_of("noto", label, label, 4) for label in labels}


def test_concepts_leave_out_words_of_the_icon_trade():
    assert concept_of("grinning face") == "grinning"
    assert concept_of("face") == "face"


SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="{h}" fill="{color}"/></svg>'


def test_small_pictures_are_premultiplied_area_means():
    small = small_picture(SQUARE.format(h=8, color="#ff0000"), b"")
    assert small.shape == (16, 16, 4)
    np.testing.assert_allclose(small[:8], np.broadcast_to([1, 0, 0, 1], (8, 16, 4)), atol=1e-6)
    assert not small[8:].any()


@pytest.mark.parametrize(("color", "word"), [("#e03030", "red"), ("#3060e0", "blue"), ("#f0d040", "yellow"), ("#7a4a28", "brown"),
                                             ("#ffffff", "white"), ("#202020", "black"), ("#909090", "gray"),
                                             ("#40a040", "green")])
def test_colour_words(color: str, word: str):
    assert color_shares(small_picture(SQUARE.format(h=16, color=color), b"")) == {word: 1.0}


def test_the_colour_word_is_dropped_when_small_dull_or_said():
    assert main_color({"red": 0.7}, "fox") == "red"
    for colors, label in (({"red": 0.5}, "fox"), ({"red": 0.9}, "red apple"), ({"gray": 0.9}, "fox")):
        assert main_color(colors, label) == ""


def test_only_the_first_of_equal_drawings_stays():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 1024)).astype(np.float32)
    near = a + 0.01 * rng.choice([-1, 1], 1024).astype(np.float32)
    for block in (2, 1024):
        assert duplicates(np.stack([a, b, near, a, b]), block).tolist() == [False, False, True, True, True]


def test_second_drawings_of_a_label_get_numbers():
    item = Item("noto", "fox", "fox", STYLES["noto"], "train", "animals & nature", "MIT")
    keys = [i.key for i in numbered([item, replace(item, svg="<svg/>"), replace(item, source="twemoji")])]
    assert keys == ["noto/fox", "noto/fox-2", "twemoji/fox"]


# Whole packages, small

def tarball(folder: Path, package: Package, files: dict[str, bytes]) -> Package:
    """Write it where `fetch` looks and return the package with its digest."""
    with tarfile.open(folder / package.file, "w:gz") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(f"package/{path}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return replace(package, sha256=hashlib.sha256((folder / package.file).read_bytes()).hexdigest())


def webp(color: tuple[int, ...]) -> bytes:
    data = io.BytesIO()
    Image.new("RGBA", (256, 256), color).save(data, "WEBP", lossless=True)
    return data.getvalue()


def icon_set(fills: dict[str, str], **more: object) -> bytes:
    body = '<circle cx="8" cy="8" r="{r}" fill="{fill}"/>'
    icons = {name: {"body": body.format(r=4 + i, fill=fill)} for i, (name, fill) in enumerate(fills.items())}
    return json.dumps({"icons": icons, **more}).encode()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five tiny packages: every set draws a fox; noto also a dumpling, a flag, a copy of its fox and an empty drawing."""
    dump = lambda value: json.dumps(value).encode()  # noqa: E731
    fills = dict(zip(sources.ICON_SETS, ("#e07030", "#d06020", "#f08040", "#ff9050", "#c05010"), strict=True))
    iconify = {f"json/{s}.json": icon_set({"fox": f}, chars={"1f98a": "fox"}) for s, f in fills.items()}
    iconify["json/noto.json"] = icon_set({"fox": "#e07030", "dumpling": "#eedd99", "flag-france": "#0000ff", "eggplant": "none"})
    iconify["collections.json"] = dump({s: {"license": {"spdx": f"licence of {s}"}} for s in fills})
    iconify["json/noto.json.d.ts"] = b"not json"
    contents = {"ICONIFY": iconify, "FLUENT_3D": {"assets/1f98a.webp": webp((250, 140, 60, 255)), "assets/1f98a-1f3fb.webp": b""},
                "EMOJIBASE": {"en/data.json": dump(EMOJI)}, "EMOJILIB": {"dist/emoji-en-US.json": dump(LIB)},
                "CLDR": {"annotations/en/annotations.json": dump({"annotations": {"annotations": CLDR}})}}
    for name, files in contents.items():
        monkeypatch.setattr(sources, name, tarball(tmp_path, getattr(sources, name), files))
    return tmp_path


def test_items_of_tiny_packages(packages: Path):
    items = {item.key: item for item in sources.from_packages(packages, say=lambda text: None)}
    assert sorted(items) == sorted([*(f"{s}/fox" for s in STYLES), "noto/dumpling"])
    assert items["noto/dumpling"].split == "test_concept"
    fox = items["twemoji/fox"]
    assert (fox.label, fox.style, fox.category, fox.licence, fox.color) == (
        "fox", "flat emoji style", "animals & nature", "licence of twemoji", "orange")
    assert "fox" not in fox.keywords and "nature" in fox.keywords
    assert items["fluent-3d/fox"].raster and not items["fluent-3d/fox"].svg


def test_same_packages_same_items(packages: Path):
    silent = lambda text: None  # noqa: E731
    assert sources.from_packages(packages, silent) == sources.from_packages(packages, silent)


def test_a_cut_off_tarball_is_named(packages: Path):
    path = packages / sources.EMOJILIB.file
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(StudioError, match=r"emojilib-4.0.3.tgz is not the pinned package.*Delete it"):
        sources.from_packages(packages, lambda text: None)


def test_without_npm_the_cure_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(StudioError, match=r"npm was not found.*Install Node.js"):
        sources.fetch(sources.EMOJILIB, tmp_path, lambda text: None)


def test_offline_npm_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(npm))
    with pytest.raises(StudioError, match=r"could not fetch emojilib@4.0.3: npm error code ENOTFOUND.*connection"):
        sources.fetch(sources.EMOJILIB, tmp_path / "work", lambda text: None)
