"""The training set from a tiny packed set: alpha-correct, deterministic, captions that fit, every stage resumable."""
import json
import lzma

import numpy as np
import pytest

from models.lab.captions import article, captions, scene_caption
from models.lab.data import build, patches_of
from models.lab.drawings import read_drawings
from models.lab.items import Item, read_pack
from models.lab.latents import LatentSet
from models.lab.pictures import fit, over, place, rng_for, scene_background, sticker
from models.lab.pictures import SCENES
from models.lab.rows import rows_of

DISC = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="10" fill="{}"/></svg>'
LABELS = ("fox", "red apple", "house", "bus", "owl", "key", "grapes", "kite")


def item(label: str = "fox", **changes: object) -> Item:
    values = dict(source="twemoji", name=label, label=label, style="flat emoji style", split="train", category="animals & nature", licence="MIT",
                  keywords=("forest", "orange"), svg=DISC.format("#d04020"))
    return Item(**(values | changes))


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack")
    rows = [{"id": i, "label": label, "colors": {"red": 0.9}, "keywords": ["thing"], "category": "objects", "source": "twemoji", "licence": "MIT",
             "split": "train" if i < 6 else "test_pair"} for i, label in enumerate(LABELS)]
    with lzma.open(folder / "captions.jsonl.xz", "wt") as f:
        f.writelines(json.dumps(row) + "\n" for row in rows)
    with lzma.open(folder / "twemoji.jsonl.xz", "wt") as f:
        f.writelines(json.dumps([i, DISC.format(f"#{i * 25:02x}4080")]) + "\n" for i in range(len(LABELS)))
    (folder / "raster.bin").write_bytes(b"")
    (folder / "raster.json").write_text("[]")
    return folder


@pytest.fixture(scope="module")
def built(pack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    build(folder, pack, workers=1, say=lambda s: None, scenes=3, shipped=folder / "none")
    return folder


def test_build_is_deterministic_and_resumable(pack, built, tmp_path):
    build(tmp_path, pack, workers=1, say=lambda s: None, scenes=3, shipped=tmp_path / "none")
    names = sorted(p.name for p in built.iterdir() if "cache" not in p.name)
    assert {"items.jsonl", "drawings_000.bin", "latents_000.safetensors", "rows.json", "captions.safetensors"} <= set(names)
    assert all((built / n).read_bytes() == (tmp_path / n).read_bytes() for n in names)
    said: list[str] = []
    build(built, pack, workers=1, say=said.append)
    assert len(said) == 4 and all("there already" in s for s in said)


def test_built_rows_split_by_item_and_carry_scenes(built):
    train, pairs = LatentSet(built), LatentSet(built, "test_pair")
    assert {"plain", "moved", "color", "sticker", "scene"} == set(train.kinds)
    assert {k.split("/")[1] for k in pairs.keys} == {"grapes", "kite"}
    assert abs(float(train.latents.float().std()) - 1) < 0.5


def test_drawings_come_back_as_they_went(pack, built):
    items, rgba = read_drawings(built)
    assert [i.label for i in items] == [i.label for i in read_pack(pack)]
    assert rgba.shape == (8, 256, 256, 4) and rgba[0, 128, 128, 3] == 255 and rgba[0, 0, 0].tolist() == [0, 0, 0, 0]


def test_edges_keep_their_colour_when_moved():
    """Premultiplied resizing: no dark rim where a red disc ends."""
    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[64:192, 64:192] = (255, 0, 0, 255)
    moved = place(rgba, 0.37, 0.5, 0.5, 13)
    seen = moved[moved[..., 3] > 16]
    assert seen[:, 0].min() >= 250 and seen[:, 1:3].max() <= 5


def test_fit_centres_and_refuses_nothing():
    rgba = np.zeros((100, 100, 4), np.uint8)
    assert fit(rgba) is None
    rgba[10:30, 10:20] = 255
    ys, xs = np.where(fit(rgba)[..., 3] > 128)
    assert abs(ys.min() + ys.max() - 255) <= 2 and abs(xs.min() + xs.max() - 255) <= 2


def test_sticker_has_a_white_rim():
    rgba = np.zeros((256, 256, 4), np.uint8)
    rgba[60:196, 60:196] = (0, 0, 200, 255)
    row = sticker(rgba)[128]
    rim = next(x for x in range(256) if row[x, 3] > 250)
    assert row[rim + 3, :3].min() > 240 and row[128, 2] > 190 and row[128, 0] < 10


def test_over_white_of_nothing_is_white():
    assert (over(np.zeros((4, 4, 4), np.uint8), np.uint8([255, 255, 255])) == 255).all()


def test_patches_keep_their_place():
    rgb = np.zeros((256, 256, 3), np.uint8)
    rgb[16:32, 32:48] = 255
    cut = patches_of(rgb)
    assert cut.shape == (256, 768) and (cut[16 + 2] == 1).all() and (np.delete(cut, 18, 0) == -1).all()


def test_rows_of_people_are_few_and_light():
    rgba = np.full((256, 256, 4), 255, np.uint8)
    assert len(list(rows_of(item(), rgba))) == 5
    person = list(rows_of(item("judge", category="people"), rgba))
    assert len(person) == 1 and person[0].weight < 1


def test_captions_name_the_thing_and_vary():
    said = captions(item(), rng_for("a"))
    assert len(said) == 3 and said[0] == "a fox, flat emoji style" and all("fox" in s for s in said)
    assert captions(item(), rng_for("a")) == said
    assert [article(w) for w in ("owl", "grapes", "bus", "unicorn", "two hearts")] == ["an owl", "grapes", "a bus", "a unicorn", "two hearts"]


def test_scene_captions_say_what_is_where():
    text = scene_caption(["bus", "owl"], [0.8, 0.2], "on a beach", "flat emoji style")
    assert text == "an owl on the left and a bus on the right, on a beach, flat emoji style"


@pytest.mark.parametrize("kind", SCENES)
def test_every_scene_is_drawn(kind):
    picture = scene_background(kind, rng_for(kind))
    assert picture.shape == (256, 256, 3) and len(np.unique(picture.reshape(-1, 3), axis=0)) > 8
