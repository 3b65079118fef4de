"""Pictures to learn enlarging from: crops of drawings rendered large, of lines and letters, and of photographs; uint8, in two files.

The lab's drawings lie on disk at 256 px; here they are rendered anew from their vectors at up to 1024 px, because a net learns crisp edges
from crisp edges only. Which drawings are held out is what it is everywhere in the lab.
"""
from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.files import write_atomic
from models.lab.cuttings import PHOTOS, photographs
from models.lab.drawings import read_drawings
from models.lab.pictures import BACKGROUNDS, SCENES, over, premultiply, scene_background, straighten
from models.lab.sources import Candidate, candidates
from models.weights import ASSETS

CROP_PX, TEST_PX = 256, 384                          # of a training crop, of a held-out picture
LARGEST_PX, SMALLEST_PX = 1024, 256                  # a drawing is rendered between these
CROPS, TESTS = 6000, 300
SHARES = (("drawings", 0.68), ("lines", 0.17), ("photographs", 0.15))
UNSEEN_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
UNSEEN_FONTS = ("pacifico", "anton", "caveat", "roboto-slab")
WORDS = "Fox Tea 24 OPEN river Sale cloud &Co. Wax jelly Milk 1987 quick B3 zebra HELLO night @ spring Gym No.5 map lace".split()
Rng = np.random.Generator
Say = Callable[[str], None]


def sources(folder: Path) -> tuple[list[Candidate], list[Candidate]]:
    """(to learn from, held out): drawings with their vectors or pixels, by the splits of the drawings in `folder`."""
    items, _ = read_drawings(folder)
    held = {(item.source, item.label) for item in items if item.split != "train"}
    known = {(item.source, item.label) for item in items}
    found = [c for c in candidates(folder / "packages") if (c.source, c.label) in known]
    return [c for c in found if (c.source, c.label) not in held], [c for c in found if (c.source, c.label) in held]


def rendered(drawing: Candidate, side: int) -> np.ndarray:
    """Straight uint8 [side, side, 4]; a drawing that is pixels already is never made larger than it is."""
    if drawing.svg:
        import resvg_py
        data = bytes(resvg_py.svg_to_bytes(svg_string=drawing.svg, width=side, height=side, skip_system_fonts=True))
        return np.array(Image.open(io.BytesIO(data)).convert("RGBA"))
    rgba = np.array(Image.open(io.BytesIO(drawing.raster)).convert("RGBA"))
    if side >= rgba.shape[0]:
        return rgba
    return straighten(cv2.resize(premultiply(rgba), (side, side), interpolation=cv2.INTER_AREA))


def ground(side: int, rng: Rng) -> np.ndarray:
    """uint8 [side, side, 3]: mostly white, else a colour, a drawn scene or a soft gradient."""
    kind = rng.random()
    if kind < 0.45:
        return np.full((side, side, 3), 255, np.uint8)
    if kind < 0.65:
        colours = np.float32(list(BACKGROUNDS.values()))
        return np.broadcast_to((colours[rng.integers(len(colours))] + rng.integers(-20, 21, 3)).clip(0, 255).astype(np.uint8), (side, side, 3))
    if kind < 0.82:
        scene = scene_background(SCENES[rng.integers(len(SCENES))], rng)
        return cv2.resize(scene, (side, side), interpolation=cv2.INTER_CUBIC)
    corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.float32)
    return cv2.resize(corners, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def drawn(drawing: Candidate, size: int, side: int, count: int, rng: Rng) -> Iterator[np.ndarray]:
    """uint8 [side, side, 3] each: pieces of a drawing of `size` px, or of what its pixels give, each over a ground of its own."""
    yield from (over(piece, ground(side, rng)) for piece in crops(rendered(drawing, size), side, count, rng))


def lines(side: int, rng: Rng, fonts: Sequence[str]) -> np.ndarray:
    """uint8 [side, side, 3]: strokes, outlines and letters on a plain ground, drawn twice as large and averaged."""
    big = 2 * side
    dark, light = (tuple(int(v) for v in rng.integers(*span, 3)) for span in ((0, 90), (200, 256)))
    paper, ink = ((255, 255, 255) if rng.random() < 0.6 else light, dark) if rng.random() < 0.8 else (dark, light)
    image = Image.new("RGB", (big, big), paper)
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 9))):
        colour = ink if rng.random() < 0.7 else tuple(int(v) for v in rng.integers(0, 256, 3))
        _MARKS[int(rng.integers(len(_MARKS)))](pen, big, rng, colour, fonts)
    return cv2.resize(np.asarray(image), (side, side), interpolation=cv2.INTER_AREA)


def _stroke(pen: ImageDraw.ImageDraw, big: int, rng: Rng, colour: tuple[int, ...], fonts: Sequence[str]) -> None:
    """A smooth hand-drawn line."""
    knots = np.cumsum(rng.normal(0, big / 5, (int(rng.integers(3, 7)), 2)), 0) + rng.uniform(0.2, 0.8, 2) * big
    t = np.linspace(0, len(knots) - 1, 60)
    path = np.stack([np.interp(t, range(len(knots)), knots[:, k]) for k in range(2)], 1).astype(np.float32)
    path = cv2.GaussianBlur(path, (1, 9), 0, borderType=cv2.BORDER_REPLICATE)
    pen.line([tuple(map(float, p)) for p in path], colour, int(rng.integers(2, 22)), joint="curve")


def _outline(pen: ImageDraw.ImageDraw, big: int, rng: Rng, colour: tuple[int, ...], fonts: Sequence[str]) -> None:
    x, y = rng.uniform(-0.1, 0.8, 2) * big
    box = [float(x), float(y), float(x + rng.uniform(0.05, 0.5) * big), float(y + rng.uniform(0.05, 0.5) * big)]
    draw = pen.ellipse if rng.random() < 0.6 else pen.rectangle
    draw(box, fill=colour if rng.random() < 0.3 else None, outline=colour, width=int(rng.integers(2, 18)))


def _letters(pen: ImageDraw.ImageDraw, big: int, rng: Rng, colour: tuple[int, ...], fonts: Sequence[str]) -> None:
    face = ImageFont.truetype(fonts[rng.integers(len(fonts))], int(rng.integers(24, big // 3)))
    at = tuple(float(v) for v in rng.uniform(-0.1, 0.8, 2) * big)
    pen.text(at, " ".join(WORDS[k] for k in rng.integers(0, len(WORDS), 2)), colour, face)


_MARKS = (_stroke, _stroke, _outline, _letters)


def fonts(unseen: bool = False) -> list[str]:
    """Files of the fonts that ship: those to learn from, or those held out."""
    return [str(path) for path in sorted((ASSETS / "fonts").glob("*.ttf")) if (path.stem in UNSEEN_FONTS) == unseen]


def photos(unseen: bool = False) -> list[np.ndarray]:
    """uint8 [H, W, 3]. Both of scikit-learn's are learned from."""
    found = photographs(UNSEEN_PHOTOS if unseen else PHOTOS)
    spec = None if unseen else find_spec("sklearn")
    more = [cv2.imread(str(path)) for path in sorted((Path(spec.origin).parent / "datasets" / "images").glob("*.jpg"))] if spec and spec.origin else []
    return [*found, *(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB) for photo in more if photo is not None)]


def photographed(photo: np.ndarray, least: int, rng: Rng) -> np.ndarray:
    """A photograph somewhat smaller, because at full size it is itself soft; its shorter side is `least` px or more."""
    scale = max(least / min(photo.shape[:2]), rng.uniform(0.5, 0.9))
    size = tuple(max(least, round(n * scale)) for n in photo.shape[1::-1])
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def crops(picture: np.ndarray, side: int, count: int, rng: Rng) -> Iterator[np.ndarray]:
    """uint8 [side, side, C] each; of several places the one where most is to be seen."""
    high, wide = (n - side for n in picture.shape[:2])
    if min(high, wide) < 0:
        return
    for _ in range(count):
        at = [(int(rng.integers(0, high + 1)), int(rng.integers(0, wide + 1))) for _ in range(3)]
        pieces = [picture[y:y + side, x:x + side] for y, x in at]
        yield max(pieces, key=lambda piece: float(cv2.Laplacian(piece[::2, ::2], cv2.CV_16S).std()))


def one_kind(kind: str, drawings: Sequence[Candidate], side: int, count: int, rng: Rng, unseen: bool) -> Iterator[np.ndarray]:
    """`count` pictures of one of SHARES, uint8 [side, side, 3] each."""
    made, faces, seen = 0, fonts(unseen), photos(unseen)
    while made < count:
        if kind == "lines":
            found = iter([lines(side, rng, faces)])
        elif kind == "photographs":
            found = crops(photographed(seen[made % len(seen)], side, rng), side, 1, rng)
        else:
            size = round(float(np.exp(rng.uniform(np.log(max(SMALLEST_PX, side)), np.log(LARGEST_PX)))))
            found = drawn(drawings[rng.integers(len(drawings))], size, side, 4 if size > 1.5 * side else 1, rng)
        for piece in found:
            if made < count:
                yield piece
                made += 1


def build(folder: Path, say: Say = print, count: int = CROPS, tests: int = TESTS) -> tuple[np.ndarray, np.ndarray]:
    """(crops to learn from [N, 256, 256, 3], held-out pictures [M, 384, 384, 3]), uint8, read-only; made once, then read."""
    paths = [folder / f"upscale-{name}-{n}.npy" for name, n in (("train", count), ("test", tests))]
    if not all(path.exists() for path in paths):
        learned, held = sources(folder)
        say(f"{len(learned)} drawings to render, {len(held)} held out")
        for path, drawings, side, n, unseen in zip(paths, (learned, held), (CROP_PX, TEST_PX), (count, tests), (False, True)):
            _write(path, drawings, side, n, unseen, say)
    return tuple(np.load(path, mmap_mode="r") for path in paths)


def _write(path: Path, drawings: Sequence[Candidate], side: int, count: int, unseen: bool, say: Say) -> None:
    """Without drawings that are too small pixels for a crop."""
    usable = [d for d in drawings if d.svg or side <= CROP_PX]
    counts = {name: round(count * share) for name, share in SHARES}
    counts["drawings"] += count - sum(counts.values())

    def fill(part: Path) -> None:
        out, at, rng = np.lib.format.open_memmap(part, "w+", np.uint8, (count, side, side, 3)), 0, np.random.default_rng(int(unseen))
        for name, n in counts.items():
            for piece in one_kind(name, usable, side, n, rng, unseen):
                out[at] = piece
                at += 1
                if at % 1000 == 0:
                    say(f"pictures to enlarge: {at} of {count}")
        out.flush()
    write_atomic(path, fill)
