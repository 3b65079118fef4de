"""Pictures become strokes: scans by their lines, other pictures by an annotator, anything else a sentence."""
from __future__ import annotations

import base64
import io
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from models.engine import Engine, open_engine
from models.errors import BadInput, MissingWeights, UnknownId
from models.lines import drawn
from studio.sketch import importing
from studio.sketch.importing import annotators, fitted, laid, make_lines, opened, strokes_from, thin_lines
from studio.sketch.scan import ink_of, outlines_of

CENTRE, RADIUS = (256, 256), 150
TEXTURE_S = 1.5


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
        engine = open_engine(device="cpu", cache_dir=folder, models_dir=folder / "models")
        yield engine
        engine.close()


def encoded(picture: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def url(data: bytes, mime: str = "image/png") -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def ring(width: int = 4, side: int = 1024) -> np.ndarray:
    """A black circle on white, uint8 [side, side, 3], and a cross of two lines in its corner."""
    image = Image.new("RGB", (side, side), "white")
    pen, k = ImageDraw.Draw(image), side / 512
    (x, y), r = (CENTRE[0] * k, CENTRE[1] * k), RADIUS * k + width / 2
    pen.ellipse((x - r, y - r, x + r, y + r), outline="black", width=width)
    pen.line((20 * k, 20 * k, 80 * k, 80 * k), fill="black", width=width)
    pen.line((80 * k, 20 * k, 20 * k, 80 * k), fill="black", width=width)
    return np.array(image)


def as_scan(drawing: np.ndarray) -> np.ndarray:
    """Soft grey lines on yellowish paper with a shadow and noise."""
    height, width = drawing.shape[:2]
    soft = 255 - 0.7 * (255 - cv2.GaussianBlur(drawing, (0, 0), 2).astype(np.float32))
    shadow = 1 - 0.35 * np.linspace(0, 1, width)[None, :, None] * np.linspace(0.5, 1, height)[:, None, None]
    noise = np.random.default_rng(0).normal(0, 7, drawing.shape)
    return (soft / 255 * np.array([238, 226, 190]) * shadow + noise).clip(0, 255).astype(np.uint8)


def photo(side: int = 512, seed: int = 0) -> np.ndarray:
    """Dense texture in colour, uint8 [side, side, 3]."""
    rough = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (side, side, 3)).astype(np.float32), (0, 0), 1.7)
    return (127 + 110 * rough / np.abs(rough).max() * 2).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("picture", [ring(), 255 - ring(), as_scan(ring()), ring(22), ring(2), np.stack([ring()[..., 0] // 255 * 100 + 120] * 3, 2)],
                         ids=["clean", "white on black", "scan", "bold", "hairline", "grey paper"])
def test_a_drawn_line_is_one_stroke_along_its_middle(engine: Engine, picture: np.ndarray) -> None:
    found = strokes_from(engine, encoded(picture))
    assert len(found.strokes) == 3 and "drawing" in found.note
    circle = found.strokes[0]
    assert np.abs(np.hypot(*(circle - CENTRE).T) - RADIUS).max() < 2
    assert (circle[0] == circle[-1]).all(), "rings are closed"
    for line in found.strokes[1:]:
        assert len(line) < 6 and np.ptp(line, 0).min() > 50, "a crossing cuts no line in two"


def test_the_line_of_a_thick_marker_is_one_stroke_too(engine: Engine) -> None:
    picture = ring(60)
    picture[:180, :180] = 255
    for seen in (picture, as_scan(picture)):
        found = strokes_from(engine, encoded(seen))
        assert len(found.strokes) == 1 and np.abs(np.hypot(*(found.strokes[0] - CENTRE).T) - RADIUS).max() < 2


def test_a_filled_shape_is_seen_by_its_outline_once(engine: Engine) -> None:
    picture = np.full((512, 512, 3), 255, np.uint8)
    cv2.circle(picture, CENTRE, RADIUS, (40, 90, 220), -1)
    found = strokes_from(engine, encoded(picture))
    assert len(found.strokes) == 1 and found.note == ""
    assert np.abs(np.hypot(*(found.strokes[0] - CENTRE).T) - RADIUS).max() < 3


def test_the_outline_of_a_painted_shape_is_one_stroke_and_its_colours_are_kept_apart(engine: Engine) -> None:
    """As in a comic: black outline, two colours without an outline between them."""
    picture = np.full((1024, 1024, 3), 255, np.uint8)
    cv2.circle(picture, (512, 512), 300, (230, 60, 40), -1)
    picture[512:][picture[512:, :, 2] == 40] = (60, 140, 230)
    cv2.circle(picture, (512, 512), 300, (15, 15, 15), 16)
    found = strokes_from(engine, encoded(picture))
    assert len(found.strokes) == 2 and found.note == ""
    assert np.abs(np.hypot(*(found.strokes[0] - CENTRE).T) - 150).max() < 2
    assert np.abs(found.strokes[1][:, 1] - 256).max() < 2 and 250 < np.ptp(found.strokes[1][:, 0]) < 300


def test_a_shape_without_outline_has_none() -> None:
    for picture in (photo(1024), cv2.circle(np.full((1024, 1024, 3), 255, np.uint8), (512, 512), 300, (20, 20, 20), -1)):
        assert outlines_of(picture) is None


def test_black_fills_in_a_drawing_keep_their_outline_and_dots_stay(engine: Engine) -> None:
    picture = ring()
    cv2.circle(picture, (512, 512), 60, (0, 0, 0), -1)
    cv2.circle(picture, (512, 740), 4, (0, 0, 0), -1)
    strokes = strokes_from(engine, encoded(picture)).strokes
    centres = [stroke.mean(0) for stroke in strokes]
    fill = [s for s, c in zip(strokes, centres) if np.hypot(*(c - CENTRE)) < 8 and np.ptp(s, 0).max() < 100]
    assert len(strokes) == 5 and len(fill) == 1 and np.abs(np.hypot(*(fill[0] - CENTRE).T) - 30).max() < 4
    dot = [s for s, c in zip(strokes, centres) if np.hypot(*(c - (256, 370))) < 2]
    assert len(dot) == 1 and np.ptp(dot[0], 0).max() < 5, "a dot is a touch of the pen"


def test_dust_is_no_line(engine: Engine) -> None:
    picture = ring()
    for x, y in np.random.default_rng(0).integers(50, 970, (40, 2)):
        picture[y:y + 2, x:x + 2] = 90
    assert len(strokes_from(engine, encoded(picture)).strokes) == 3


@pytest.mark.parametrize("picture", [photo(), np.repeat(np.linspace(0, 255, 512)[None, :, None], 512, 0).repeat(3, 2).astype(np.uint8),
                                     np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64, 3), np.uint8)],
                         ids=["texture", "gradient", "white", "black"])
def test_what_is_no_drawing_is_not_read_as_one(picture: np.ndarray) -> None:
    assert ink_of(fitted(Image.fromarray(picture), 1024)) is None


def test_a_blank_picture_says_that_it_has_no_lines(engine: Engine) -> None:
    found = strokes_from(engine, encoded(np.full((80, 60, 3), 230, np.uint8)))
    assert found.strokes == [] and found.note == "No lines were found in this picture."


def test_dense_texture_is_quick_and_cut_to_the_longest(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(photo())
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    start = time.thread_time(), time.process_time()
    everything = strokes_from(engine, data)
    spent_s = time.process_time() - start[1]
    cv2.setNumThreads(before)
    assert len(everything.strokes) > 500 and spent_s < TEXTURE_S
    monkeypatch.setattr(importing, "MAX_STROKES", 100)
    cut = strokes_from(engine, data)
    assert len(cut.strokes) == 100 and cut.note == f"{len(everything.strokes):,} lines were found; the 100 longest were taken."


@pytest.mark.parametrize("how", ["lines", "canny"])
def test_a_wide_picture_lies_in_the_middle_and_its_border_is_no_line(engine: Engine, how: str) -> None:
    picture = np.full((200, 800, 3), (90, 140, 90), np.uint8)
    cv2.rectangle(picture, (300, 60), (500, 140), (220, 30, 30), -1)
    strokes = strokes_from(engine, encoded(picture), how).strokes
    points = np.concatenate(strokes)
    assert len(strokes) == 1
    assert np.abs(points.min(0) - (192, 230.4)).max() < 3 and np.abs(points.max(0) - (320, 281.6)).max() < 3


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (3000, 2), (17, 5)])
def test_odd_sizes_are_survived(engine: Engine, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for stroke in strokes_from(engine, encoded(noise)).strokes:
        assert np.isfinite(stroke).all() and 0 <= stroke.min() and stroke.max() <= 512


def test_a_photo_that_lies_on_its_side_is_turned(engine: Engine) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6                                 # turn a quarter clockwise to see it upright
    upright = Image.fromarray(ring())
    upright.paste("white", (0, 300, 1024, 1024))
    on_its_side = upright.transpose(Image.Transpose.ROTATE_90)
    turned = strokes_from(engine, encoded(on_its_side, "JPEG", exif=exif, quality=95)).strokes
    straight = strokes_from(engine, encoded(upright)).strokes
    pictures = [cv2.dilate(drawn(s, (512, 512)), np.ones((5, 5), np.uint8)) > 0 for s in (turned, straight)]
    assert pictures[1].any() and (pictures[0] != pictures[1]).mean() < 0.002


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "I;16", "CMYK"])
def test_every_kind_of_pixel_is_read(engine: Engine, mode: str) -> None:
    image = Image.fromarray(ring())
    if mode == "I;16":
        image = Image.fromarray(ring()[..., 0].astype(np.uint16) * 257)
    elif mode in ("RGBA", "LA"):                     # black everywhere, seen only where it is opaque
        black = Image.new(mode, image.size, 0)
        black.putalpha(Image.fromarray(255 - ring()[..., 0]))
        image = black
    else:
        image = image.convert(mode)
    data = encoded(image, "JPEG", quality=95) if mode == "CMYK" else encoded(image)
    assert len(strokes_from(engine, data).strokes) == 3
    assert len(strokes_from(engine, opened(data)).strokes) == 3, "a PIL image does as well"


def test_pictures_that_are_too_large_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    head = encoded(np.zeros((8, 8, 3), np.uint8))
    huge = head[:16] + (30_000).to_bytes(4, "big") + (20_000).to_bytes(4, "big") + head[24:29]
    huge += zlib.crc32(huge[12:29]).to_bytes(4, "big") + head[33:]
    with pytest.raises(BadInput, match="100 megapixels"):
        opened(huge)
    large = head[:16] + (11_000).to_bytes(4, "big") + (10_000).to_bytes(4, "big") + head[24:29]
    large += zlib.crc32(large[12:29]).to_bytes(4, "big") + head[33:]
    with pytest.raises(BadInput, match="11,000 x 10,000 pixels; up to 100 megapixels"):
        opened(large)
    monkeypatch.setattr(importing, "MAX_BYTES", 1000)
    with pytest.raises(BadInput, match="up to 0 MB can be loaded"):
        opened(bytes(1001))


@pytest.mark.parametrize("asked", [
    None, {}, {"picture": 5}, {"picture": "http://example.org/a.png"}, {"picture": "data:image/png,abc"}, {"picture": "data:image/png;base64,%%%"},
    {"picture": url(b"")}, {"picture": url(b"GIF89a" + bytes(40))}, {"picture": url(encoded(ring())[:900])}, {"picture": url(bytes(500))},
    {"picture": url(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml")}], ids=str)
def test_broken_pictures_are_a_sentence(engine: Engine, asked: Any) -> None:
    answer = make_lines(engine)(asked)
    assert answer == {"error": "This cannot be read as a picture. It may be damaged. Use a PNG, JPEG or WebP file."}


def test_the_server_function_answers_in_flat_lists(engine: Engine) -> None:
    answer = make_lines(engine)({"picture": url(encoded(ring(), "WEBP", lossless=True), "image/webp"), "how": "lines"})
    assert answer.keys() == {"strokes", "note"} and len(answer["strokes"]) == 3
    for stroke in answer["strokes"]:
        assert len(stroke) % 2 == 0 and len(stroke) >= 4 and all(type(value) is float and 0 <= value <= 512 for value in stroke)


def test_annotators_without_weights_are_not_offered_and_say_what_is_missing(engine: Engine) -> None:
    assert annotators(engine) == [("lines", "Thin lines"), ("canny", "Canny edges"), ("pair:unicon", "UniCon, read by the painter itself")]
    with pytest.raises(UnknownId, match='no percept "magic".*Known: .*lines'):
        strokes_from(engine, encoded(photo(64)), "magic")
    with pytest.raises(MissingWeights, match="models convert"):
        strokes_from(engine, encoded(photo(64)), "hed")
    assert "hf download" in make_lines(engine)({"picture": url(encoded(photo(64))), "how": "hed"})["error"]


def test_an_annotator_whose_weights_came_is_offered(engine: Engine) -> None:
    file = Path(engine.catalog.annotators_dir) / "table5_pidinet.safetensors"
    file.parent.mkdir(parents=True)
    file.touch()
    assert [id for id, _ in annotators(engine)] == ["lines", "canny", "pidinet", "pair:unicon"]
    file.unlink()


def test_soft_lines_are_taken_at_their_ridge() -> None:
    soft = cv2.GaussianBlur(drawn([np.int32([(20, 100), (180, 100)]), np.int32([(100, 20), (100, 180)])], (200, 200), 7), (0, 0), 3)
    thin = thin_lines(soft)
    assert thin[90:110, :].sum(0)[40:80].max() == 1 and set(np.argwhere(thin[:, 60]).ravel()) <= {99, 100, 101}
    assert 280 <= thin.sum() <= 360


def test_a_stroke_keeps_its_ends_and_loses_its_stairs() -> None:
    path = np.stack([np.arange(301), np.round(np.arange(301) * 0.3)], 1).astype(np.int32)
    stroke = laid(path, 0.5, (1024, 1024))
    assert len(stroke) == 2 and np.allclose(stroke, (path[[0, -1]] + 0.5) * 0.5, atol=0.01)
