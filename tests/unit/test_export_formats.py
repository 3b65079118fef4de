"""What a stack is written as: alpha survives every file pixel for pixel, layered files keep their layers, and what made them is told."""
from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
import zipfile

import numpy as np
import pytest
from PIL import Image

from models.layers.compose import flatten
from models.errors import BadInput, UnknownId
from models.job import Extent, Job, Picture
from models.layers.stack import Layer, Placement, Stack
from studio.export import _parts, format_of, formats, png, sprites
from tests.layered import Shelf, blob, noise, plain_stack, rich_stack, seen

FLAT = ("png", "webp", "avif")


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def one(pixels: np.ndarray) -> tuple[Stack, Shelf]:
    shelf = Shelf()
    return Stack(Extent(pixels.shape[1], pixels.shape[0]), (shelf.layer("a", pixels, Placement.at(0, 0, *pixels.shape[1::-1])),)), shelf


def test_formats_are_found_by_folder() -> None:
    assert set(formats()) == {"png", "webp", "avif", "psd", "ora", "svg", "sprites", "pack", "project"}
    assert all(format.id == id and format.title and format.suffix and "/" in format.media for id, format in formats().items())
    with pytest.raises(UnknownId, match='exported as "xcf"'):
        format_of("xcf")


@pytest.mark.parametrize("id, off", [("png", 0), ("webp", 0), ("avif", 2)])
def test_flat_files_keep_alpha_pixel_for_pixel(id: str, off: int) -> None:
    """PNG and WebP are exact; AVIF keeps alpha exactly and colours within 2 of 255."""
    clear, full = (one(np.full((9, 9, 4), (9, 8, 7, alpha), np.uint8)) for alpha in (0, 255))
    for stack, shelf in (plain_stack(), clear, full, one(noise(64, 64))):
        got, want = opened(format_of(id).write(stack, shelf, 1.0, {})), flatten(stack, shelf)
        assert (got[..., 3] == want[..., 3]).all()
        assert np.abs(seen(got).astype(int) - want)[..., :3].max() <= off


@pytest.mark.parametrize("id", FLAT)
def test_background_and_scale(id: str) -> None:
    stack, shelf = rich_stack()
    got = opened(format_of(id).write(stack, shelf, 1.5, {"background": "#204060"}))
    assert got.shape == (150, 180, 4) and (got[..., 3] == 255).all() and np.abs(got[0, 0].astype(int) - (0x20, 0x40, 0x60, 255)).max() <= 2


@pytest.mark.parametrize("id", ["webp", "avif"])
def test_metadata_lies_where_other_tools_look(id: str) -> None:
    stack, shelf = plain_stack()
    job = Job("a fox, smiling", seeds=(7,))
    data = format_of(id).write(stack, shelf, 1.0, {"name": "Two <foxes>", "jobs": {stack.layers[0].picture: job}})
    image = Image.open(io.BytesIO(data))
    comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert comment[:8] == b"UNICODE\0" and png.read_infotext(comment[8:].decode("utf-16-be"))["Prompt"] == "a fox, smiling"
    packet = image.info["xmp"]
    root = ET.fromstring(packet[packet.index(b"<x:xmpmeta"):packet.index(b"<?xpacket end")])
    made = next(value for element in root.iter() for key, value in element.attrib.items() if key.endswith("}layers"))
    source = {"seed": 7, "words": "a fox"}
    assert json.loads(made)["layers"][0] == {"name": "Füchs 狐 a", "words": "a fox, smiling", "seed": 7, "base": "embedded", "source": source}
    assert "Two <foxes>" in [element.text for element in root.iter()]


def test_png_tells_its_words_and_carries_its_job_only_where_it_made_all_of_it() -> None:
    pixels, job = noise(32, 16), Job("an owl", seeds=(3,))
    stack, shelf = one(pixels)
    about = {"jobs": {stack.layers[0].picture: job}}
    whole = png.write(stack, shelf, 1.0, about)
    assert png.job_in(whole) == job and Image.open(io.BytesIO(whole)).info["parameters"] == png.infotext(job)
    for changed, scale, more in ((stack.edit("a", opacity=0.5), 1.0, {}), (stack, 2.0, {}), (stack, 1.0, {"background": "#ffffff"})):
        data = png.write(changed, shelf, scale, about | more)
        assert png.job_in(data) is None and Image.open(io.BytesIO(data)).info["parameters"].startswith("an owl")
    made = json.loads(Image.open(io.BytesIO(whole)).info[png.LAYERS_KEY])
    assert made["software"] == "Onestroke" and made["layers"][0]["words"] == "an owl"


def test_png_is_written_in_pieces_no_larger_than_its_strips() -> None:
    pixels = noise(300, 200)
    pieces = list(png.encode_rows((pixels[i:i + 7] for i in range(0, 200, 7)), 300, 200, {"note": "häß"}))
    assert (opened(b"".join(pieces)) == pixels).all() and Image.open(io.BytesIO(b"".join(pieces))).info["note"] == "häß"
    assert max(map(len, pieces)) < 80_000 < sum(map(len, pieces)) / 2


def test_psd_is_read_by_another_program_as_it_is_meant() -> None:
    """psd-tools' own compositor over the layers we wrote gives our picture, and the merged picture in the file is ours."""
    from psd_tools import PSDImage
    shelf = Shelf()
    under = shelf.layer("a", blob(60, 60, 255, 180, 0), Placement(50, 40, 90, 70, 25))
    over = shelf.layer("b", blob(40, 40, 0, 120, 255), Placement.at(30, 20, 40, 40), blend="multiply", opacity=0.6)
    stack = Stack(Extent(100, 80), (under, over))
    want = flatten(stack, shelf).astype(int)
    document = PSDImage.open(io.BytesIO(format_of("psd").write(stack, shelf, 1.0, {})))
    for image in (document.topil(), document.composite(ignore_preview=True, force=True)):
        off = np.abs(np.asarray(image.convert("RGBA")).astype(int) - want)
        assert off[..., 3].max() <= 1 and (off[..., :3] * want[..., 3:] / 255).max() <= 1.5
    assert [layer.name for layer in document] == ["Füchs 狐 a", "Füchs 狐 b"]


def test_ora_is_laid_out_as_the_draft_says() -> None:
    stack, shelf = plain_stack()
    data = format_of("ora").write(stack, shelf, 1.0, {})
    assert data[30:54] == b"mimetypeimage/openraster"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist()[0] == "mimetype" and archive.infolist()[0].compress_type == zipfile.ZIP_STORED
        root = ET.fromstring(archive.read("stack.xml"))
        assert (opened(archive.read("mergedimage.png")) == flatten(stack, shelf)).all()
        assert max(Image.open(io.BytesIO(archive.read("Thumbnails/thumbnail.png"))).size) <= 256
        first = root.find("stack/layer")
        assert (opened(archive.read(first.get("src"))) == shelf[stack.find("d").picture].array).all()
    assert root.attrib == {"version": "0.0.3", "w": "100", "h": "80", "xres": "72", "yres": "72"}
    assert {key: first.get(key) for key in ("name", "x", "y", "visibility", "composite-op")} == {
        "name": "Füchs 狐 d", "x": "45", "y": "30", "visibility": "hidden", "composite-op": "svg:plus"}
    assert root.find("stack/stack").attrib == {"name": "Pair", "opacity": "0.6", "visibility": "visible", "composite-op": "svg:screen", "isolation": "isolate"}


def test_svg_keeps_words_paths_and_blend_modes() -> None:
    stack, shelf = rich_stack()
    data = format_of("svg").write(stack, shelf, 2.0, {"name": "Poster"})
    root, svg = ET.fromstring(data), "{http://www.w3.org/2000/svg}"
    assert (root.get("width"), root.get("viewBox")) == ("240", "0 0 120 100") and root.find(f"{svg}title").text == "Poster"
    assert [span.text for span in root.iter(f"{svg}tspan")] == ["Fresh", "Fox"]
    words = next(root.iter(f"{svg}text"))
    assert words.get("font-family") == "'Anton', sans-serif" and words.get("fill") == "#d03010" and b"@font-face" in data
    drawing = next(element for element in root.iter(f"{svg}svg") if element is not root)
    assert next(drawing.iter(f"{svg}circle")).get("fill") == "url(#v-g)" and next(drawing.iter(f"{svg}linearGradient")).get("id") == "v-g"
    assert "mix-blend-mode:multiply" in data.decode() and len(list(root.iter(f"{svg}image"))) == 2


def test_svg_is_drawn_by_another_renderer_as_it_is_meant() -> None:
    """resvg, which knows nothing of ours, draws a stack of pictures and a drawing: the mean difference is a rounding."""
    import resvg_py
    stack, shelf = rich_stack()
    stack = stack.remove("t")
    got = opened(bytes(resvg_py.svg_to_bytes(svg_string=format_of("svg").write(stack, shelf, 1.0, {}).decode())))
    want = flatten(stack, shelf, renderers=_parts.renderers())
    off = np.abs(got.astype(float) * [1, 1, 1, 1] - want)
    assert off[..., 3].mean() < 0.6 and (off[..., :3] * want[..., 3:] / 255).mean() < 1.2


def test_sprites_are_trimmed_apart_and_found_by_their_atlas() -> None:
    stack, shelf = plain_stack()
    with zipfile.ZipFile(io.BytesIO(format_of("sprites").write(stack, shelf, 1.0, {}))) as archive:
        sheet, atlas = opened(archive.read("sprites.png")), json.loads(archive.read("sprites.json"))
    assert set(atlas["frames"]) == {"Füchs 狐 a", "Füchs 狐 b", "Füchs 狐 c"} and atlas["meta"]["size"] == {"w": sheet.shape[1], "h": sheet.shape[0]}
    taken = np.zeros(sheet.shape[:2], int)
    for id in "abc":
        frame = atlas["frames"][f"Füchs 狐 {id}"]
        at, source, pixels = frame["frame"], frame["spriteSourceSize"], shelf[stack.find(id).picture].array
        left, top = (round(n) for n in stack.find(id).place.corner)
        part = sheet[at["y"]:at["y"] + at["h"], at["x"]:at["x"] + at["w"]]
        assert (part == pixels[source["y"] - top:, source["x"] - left:][:at["h"], :at["w"]]).all() and part[..., 3].any(1).all()
        taken[at["y"] - 1:at["y"] + at["h"] + 1, at["x"] - 1:at["x"] + at["w"] + 1] += 1
    assert taken.max() == 1
    with pytest.raises(BadInput, match="no sprites"):
        sprites.files(Stack(Extent(9, 9)), {}, 1.0, {})


def test_packing_two_hundred_sprites_wastes_little() -> None:
    sizes = [(int(w), int(h)) for w, h in np.random.default_rng(1).integers(8, 120, (200, 2))]
    corners, (width, height) = sprites.packed(sizes)
    used = np.zeros((height, width), int)
    for (x, y), (w, h) in zip(corners, sizes, strict=True):
        used[y:y + h, x:x + w] += 1
    assert used.max() == 1 and used.mean() > 0.75 and width / height < 2.5
    with pytest.raises(BadInput, match="8192"):
        sprites.packed([(8000, 8000), (8000, 8000)])


def test_pack_holds_everything_and_its_manifest_is_true() -> None:
    stack, shelf = plain_stack()
    job = Job("a fox", seeds=(7,))
    with zipfile.ZipFile(io.BytesIO(format_of("pack").write(stack, shelf, 1.0, {"name": "My/pack", "jobs": {stack.layers[0].picture: job}}))) as archive:
        names, manifest = set(archive.namelist()), json.loads(archive.read("manifest.json"))
        for row in manifest["files"]:
            data = archive.read(row["file"])
            assert row["bytes"] == len(data) and row["sha256"] == _parts.sha256(data)
        rows = {row["id"]: row for row in manifest["layers"]}
        assert (opened(archive.read(rows["b"]["file"])) == shelf[stack.find("b").picture].array).all()
    assert {f"My-pack.{suffix}" for suffix in ("png", "webp", "avif", "psd", "ora", "svg", "onestroke.zip")} < names
    assert {"sprites/sprites.png", "sprites/sprites.json"} < names and names == {row["file"] for row in manifest["files"]} | {"manifest.json"}
    assert rows["a"]["seed"] == 7 and rows["a"]["words"] == "a fox" and rows["b"]["left"] == 60 and not rows["d"]["visible"] and not manifest["left_out"]


def test_the_same_document_is_the_same_file() -> None:
    stack, shelf = plain_stack()
    for id in ("ora", "project", "sprites"):
        assert format_of(id).write(stack, shelf, 1.0, {}) == format_of(id).write(stack, shelf, 1.0, {})


def test_empty_stacks_and_missing_pictures() -> None:
    for id in ("png", "webp", "avif", "psd", "ora", "svg", "project", "pack"):
        assert format_of(id).write(Stack(Extent(20, 10)), {}, 1.0, {})
    broken = Stack(Extent(20, 10), (Layer("a", "gone", "ab" * 32, Placement(1, 1, 1, 1)),))
    for id in formats():
        with pytest.raises(BadInput, match='"gone" is missing'):
            format_of(id).write(broken, {}, 1.0, {})


def test_what_a_format_cannot_hold_is_said_before_anything_is_drawn() -> None:
    picture = Picture.from_array(blob(8, 8, 1, 2, 3))
    stack = Stack(Extent(8000, 8000), (Layer("a", "a", picture.digest, Placement(1, 1, 8, 8)),))
    for id in set(formats()) - {"png", "project"}:
        with pytest.raises(BadInput, match="Choose a smaller scale"):
            format_of(id).write(stack, {picture.digest: picture}, 1.5, {})
    with pytest.raises(BadInput, match="16,383"):
        format_of("webp").write(Stack(Extent(8192, 100)), {}, 2.0, {})


def test_names_are_safe_files() -> None:
    taken: set[str] = set()
    names = [_parts.file_name(name, taken) for name in ("../../etc/passwd", "a:b", "", "A-B", "  . ", "x" * 300)]
    assert names == ["etc-passwd", "a-b", "layer", "A-B-2", "layer-2", "x" * 60]
