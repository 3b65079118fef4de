"""Files that become layers: our own and others' come back as they were, and what is damaged, locked or a trap is refused with a cure."""
from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from psd_tools.constants import BlendMode

from models.layers.compose import flatten
from models.errors import BadInput
from models.job import Extent, Job, Picture
from models.layers.stack import BLENDS, Layer, Node, Placement, Stack
from studio import opening
from studio.export import format_of
from studio.opening import open_file
from studio.opening._zip import Archive
from tests.layered import Shelf, blob, noise, plain_stack, rich_stack


def told(nodes: tuple[Node, ...]) -> list:
    """What a file with layers must keep of them: names, order, groups, looks, pixels and places."""
    inside = lambda node: (node.picture, node.place, node.locked) if isinstance(node, Layer) else told(node.layers)
    return [(node.name, round(node.opacity, 2), node.blend, node.visible, inside(node)) for node in nodes]


def zip_of(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return out.getvalue()


def psd_bytes(document: PSDImage) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


@pytest.mark.parametrize("id", ["ora", "psd", "project"])
def test_layered_files_come_back_pixel_for_pixel(id: str) -> None:
    stack, shelf = plain_stack()
    back = open_file(format_of(id).write(stack, shelf, 1.0, {"name": "Mine"}), "Mine.bin")
    assert told(back.stack.layers) == told(stack.layers) and back.stack.extent == stack.extent and back.name == "Mine" and not back.notes
    assert all(back.pictures[digest] == shelf[digest] for digest in stack.pictures())


@pytest.mark.parametrize("id", ["ora", "psd"])
def test_every_blend_mode_and_two_hundred_layers_come_back(id: str) -> None:
    shelf = Shelf()
    layers = tuple(shelf.layer(f"l{i}", noise(4, 4, i % 20), Placement.at(i % 30, i // 10, 4, 4), blend=BLENDS[i % 17], name=f"n{i}") for i in range(200))
    stack = Stack(Extent(40, 30), layers)
    assert told(open_file(format_of(id).write(stack, shelf, 1.0, {})).stack.layers) == told(layers)


@pytest.mark.parametrize("id", ["ora", "psd"])
def test_turned_and_drawn_layers_come_back_as_they_looked(id: str) -> None:
    stack, shelf = rich_stack()
    back = open_file(format_of(id).write(stack, shelf, 1.0, {"background": "#ffffff"}))
    want = np.asarray(Image.open(io.BytesIO(format_of("png").write(stack, shelf, 1.0, {"background": "#ffffff"})))).astype(int)
    assert [layer.name for layer in back.stack.layers][0] == "Background" and len(back.stack.layers) == 5
    assert np.abs(flatten(back.stack, back.pictures) - want).max() <= 3


def test_project_opens_bit_for_bit_with_words_drawings_and_jobs() -> None:
    stack, shelf = rich_stack()
    job = Job("a fox", seeds=(4,))
    back = open_file(format_of("project").write(stack, shelf, 1.0, {"jobs": {stack.layers[0].picture: job}}))
    assert back.stack == stack and dict(back.pictures) == dict(shelf) and back.jobs == {stack.layers[0].picture: job}


def test_any_picture_opens_as_one_layer() -> None:
    pixels = noise(30, 20)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    back = open_file(out.getvalue(), "A nice fox.png")
    layer, = back.stack.layers
    assert (back.pictures[layer.picture].array == pixels).all() and layer.name == back.name == "A nice fox" and back.stack.extent == Extent(30, 20)


# --- PSDs of others ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("depth", [16, 32])
def test_psd_with_more_bits(depth: int) -> None:
    document = PSDImage.new("RGB", (20, 10), depth=depth)
    values = np.linspace(0, 1, 600).reshape(10, 20, 3).astype(np.float32)
    document.create_pixel_layer_from_array(values, name="Deep")
    back = open_file(psd_bytes(document))
    got = back.pictures[back.stack.layers[0].picture].array
    want = values if depth == 16 else np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    assert np.abs(got[..., :3] - want * 255).max() <= 0.51 and (got[..., 3] == 255).all()
    assert ("Its 16 bits a channel were rounded to 8." in back.notes) == (depth == 16)


@pytest.mark.parametrize("mode, colour, rgb", [("CMYK", (0, 255, 255, 0), (255, 0, 0)), ("L", 90, (90, 90, 90))])
def test_psd_in_other_colours(mode: str, colour: object, rgb: tuple[int, ...]) -> None:
    document = PSDImage.new(mode, (20, 10))
    document.create_pixel_layer(Image.new(mode, (8, 6), colour), name="Plain", top=2, left=3)
    back = open_file(psd_bytes(document))
    layer, = back.stack.leaves()
    assert layer.place == Placement.at(3, 2, 8, 6) and np.abs(back.pictures[layer.picture].array[3, 3].astype(int) - (*rgb, 255)).max() <= 2
    assert bool(back.notes) == (mode == "CMYK")


def test_psd_without_layers_is_its_merged_picture() -> None:
    back = open_file(psd_bytes(PSDImage.frompil(Image.fromarray(noise(20, 10)[..., :3]))))
    assert (back.pictures[back.stack.layers[0].picture].array[..., :3] == noise(20, 10)[..., :3]).all()


def test_psd_masks_and_clipping_are_worked_into_the_pixels() -> None:
    document = PSDImage.new("RGBA", (40, 20))
    base = document.create_pixel_layer(Image.fromarray(blob(20, 20, 9, 8, 7)), name="base", left=5)
    base.create_mask(Image.fromarray(np.tile(np.uint8([255] * 10 + [0] * 10), (20, 1))), top=0, left=5)
    clipped = document.create_pixel_layer(Image.new("RGBA", (40, 20), (255, 0, 0, 255)), name="clipped")
    clipped.clipping = True
    back = open_file(psd_bytes(document))
    low, high = (back.pictures[layer.picture].array for layer in back.stack.layers)
    assert (low[:, 10:, 3] == 0).all() and (low[:, :10] == blob(20, 20, 9, 8, 7)[:, :10]).all()
    assert (high[:, 5:25, 3] == low[..., 3]).all() and not high[:, 25:, 3].any() and (high[..., :3] == (255, 0, 0)).all()


def test_psd_losses_are_named() -> None:
    document = PSDImage.new("RGBA", (20, 10))
    layer = document.create_pixel_layer(Image.fromarray(noise(9, 9)), name="odd", blend_mode=BlendMode.VIVID_LIGHT)
    group = document.create_group([layer], name="through")
    group.create_pixel_layer(Image.fromarray(noise(9, 9)), name="dark", blend_mode=BlendMode.MULTIPLY)
    back = open_file(psd_bytes(document))
    assert any('"vivid light" is not known here' in note for note in back.notes) and any('group "through"' in note for note in back.notes)
    assert back.stack.layers[0].layers[0].blend == "normal" and back.stack.layers[0].layers[1].blend == "multiply"


def test_damaged_psds_are_refused_or_read_but_never_break() -> None:
    """Cut anywhere and with bytes changed: layers, or BadInput with a cure."""
    stack, shelf = plain_stack()
    whole, rng, refused = format_of("psd").write(stack, shelf, 1.0, {}), np.random.default_rng(3), 0
    broken = [whole[:n] for n in rng.integers(4, len(whole), 12)]
    for _ in range(20):
        changed = bytearray(whole)
        for at in rng.integers(4, 2500, 6):
            changed[at] = rng.integers(256)
        broken.append(bytes(changed))
    for data in broken:
        try:
            open_file(data)
        except BadInput as error:
            refused += 1
            assert error.cure
    assert refused > 10


@pytest.mark.parametrize("width, height, mode, says", [(30_000, 30_000, 3, "8,192 px a side"), (9000, 10, 3, "8,192"), (10, 10, 0, "colour mode")])
def test_huge_and_foreign_psds_are_refused_from_their_header(width: int, height: int, mode: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        open_file(struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, mode) + bytes(100))


# --- archives ----------------------------------------------------------------------------------------------------------

XML = '<image version="0.0.3" w="{w}" h="10"><stack>{inside}</stack></image>'
LAYER = '<layer name="a" src="data/a.png" x="{x}" composite-op="{op}"/>'


def ora(inside: str, w: object = 20, picture: bytes | None = None) -> bytes:
    out = io.BytesIO()
    Image.fromarray(noise(9, 7)).save(out, "PNG")
    return zip_of(stack_xml=XML.format(w=w, inside=inside).encode(), data__a_png=out.getvalue() if picture is None else picture)


def test_ora_of_others() -> None:
    """No mimetype, no sizes, an unknown operator, a filter: what is understood is kept, the rest is named."""
    back = open_file(ora('<filter name="Blur"/><stack><layer src="data/a.png" composite-op="svg:multiply"/></stack>' + LAYER.format(x=3, op="krita:gamma")))
    assert [(node.name, node.blend) for node in back.stack.walk()] == [("a", "normal"), ("Group", "normal"), ("Layer", "multiply")]
    assert len(back.notes) == 3 and any("krita:gamma" in note for note in back.notes) and any("Blur" in note for note in back.notes)


@pytest.mark.parametrize("data, says", [
    (b"", "empty"),
    (b"hello", "not a picture"),
    (b"PK\3\4" + bytes(50), "no layers"),
    (zip_of(other_txt=b"x"), "no layers"),
    (ora(LAYER.format(x=1, op="svg:src-over"))[:200], "no layers"),
    (ora(LAYER.format(x="here", op="")), "no number for x"),
    (ora(LAYER.format(x="nan", op="")), "no number for x"),
    (ora(LAYER.format(x="1e9", op="")), "must be a number"),
    (ora('<layer src="../../secret"/>'), 'lacks "../../secret"'),
    (ora(LAYER.format(x=1, op=""), picture=b"no picture"), "not a picture"),
    (ora("<stack>" * 12 + "</stack>" * 12), "deep"),
    (ora("<layer/>" * 600), "more than 500"),
    (ora("", w=9999), "8,192"),
    (ora("", w=0), "outside 1"),
    (zip_of(stack_xml=b"<image"), "damaged"),
    (zip_of(stack_xml=b"<image/>"), "no layers"),
    (zip_of(stack_xml=b'<!DOCTYPE a [<!ENTITY b "c">]><image w="1" h="1"><stack name="&b;"/></image>'), "document type"),
    (zip_of(stack_json=b"{"), "damaged"),
    (zip_of(stack_json=b"[]"), "no project"),
    (zip_of(stack_json=b'{"onestroke": 99, "stack": {}}'), "newer"),
    (zip_of(stack_json=b'{"onestroke": 1, "stack": {"layers": []}}'), "JSON object"),
    (zip_of(stack_json=b"[" * 100_000), "damaged"),
])
def test_bad_files_are_refused_by_name(data: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        open_file(data)


def test_a_project_whose_pictures_were_changed_is_refused() -> None:
    stack, shelf = plain_stack()
    data = format_of("project").write(stack, shelf, 1.0, {})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    pictures = sorted(name for name in files if name.endswith(".png"))
    for change, says in (({pictures[0]: files[pictures[1]]}, "not what it was"), ({pictures[0]: None}, "lacks")):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, body in (files | change).items():
                if body is not None:
                    archive.writestr(name, body)
        with pytest.raises(BadInput, match=says):
            open_file(out.getvalue())


def test_locked_and_swelling_archives_are_refused() -> None:
    data = bytearray(ora(LAYER.format(x=1, op="")))
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        where = data.find(mark)
        while where >= 0:
            data[where + at] |= 1
            where = data.find(mark, where + 1)
    with pytest.raises(BadInput, match="password"):
        open_file(bytes(data))
    bomb = zip_of(stack_xml=b" " * 40_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(BadInput, match="unpacks to 40 MB"):
        open_file(bomb)
    lying = bytearray(zip_of(stack_json=b" " * 1_000_000))
    where = lying.find(b"PK\1\2")
    lying[where + 24:where + 28] = struct.pack("<I", 10)
    with pytest.raises(BadInput):
        open_file(bytes(lying))
    with pytest.raises(BadInput, match="is damaged"):
        Archive(_wrong_sum()).read("a.txt")


def _wrong_sum() -> bytes:
    data = bytearray(zip_of(a_txt=b"hello" * 100))
    data[14] ^= 255
    data[data.find(b"PK\1\2") + 16] ^= 255
    return bytes(data)


def test_many_large_layers_are_refused_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MAX_TOTAL_PX", 150)
    with pytest.raises(BadInput, match="megapixels together"):
        open_file(ora(LAYER.format(x=1, op="") * 3))
    stack, shelf = plain_stack()
    for id in ("psd", "project"):
        with pytest.raises(BadInput, match="megapixels together"):
            open_file(format_of(id).write(stack, shelf, 1.0, {}))


def test_a_huge_picture_in_an_ora_is_refused() -> None:
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(bytes(99)))
    with pytest.raises(BadInput, match="megapixels"):
        open_file(ora(LAYER.format(x=1, op=""), picture=huge))


def test_a_stack_stays_json_after_opening() -> None:
    stack, shelf = plain_stack()
    back = open_file(format_of("ora").write(stack, shelf, 1.0, {}))
    assert Stack.from_dict(json.loads(json.dumps(back.stack.to_dict()))) == back.stack and all(isinstance(p, Picture) for p in back.pictures.values())
