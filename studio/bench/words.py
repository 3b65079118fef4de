"""Words: are those of advertisements read, on calm ground and clear of everything, and are painted words what was asked for?

Advertisements of painted products in three sizes, as the Layers tab proposes them. recall: share of the words that a reader finds in the
flattened picture. contrast: the least of WCAG between a text's colour and what lies under its letters. calm: edge energy of the background
under the words; blind: of one that was painted without looking at the layout (the first seed, not the calmest of four). growth: by how much
larger than the product the thing is that the matting net finds at its place, its core and what is far from it being told, when the place is
painted around it (Brief.around); the same when it is painted by inpainting from noise, and when the product is only pasted on, which is the
net's own error.

Painted words: words of 3 to 6 letters that no training sign had, in boxes whose letters are 40 px high or more; exact match and character
error rate (edits / letters) with the glyph control, of the same picture without it, and after proofreading. Where both readers are
installed one drives the repairs and the other judges them.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from models.errors import BadInput
from models.flows import Remembered, Render
from models.flows._canvas import grown, held, mask_picture, over
from models.flows._cutout import SOLID, box_of, cut_out
from models.flows._places import places
from models.flows.advert import Ad, Brief, advert, drawn, for_painter, restlessness
from models.flows.behind import Behind, behind, paint_place
from models.flows.cutout import Look
from models.flows.glyph_words import Wanted, glyph_words, sign_in
from models.job import Extent, Job, Picture
from models.words.layout import apart, outside, shared_share
from models.words.legible import ENOUGH, worst_contrast
from models.words.reading import CURE, Line, distance, overlap, paired, plain, read, readers, recalled
from models.spec import EMBEDDED
from studio.bench._score import interval, opened
from studio.settings import Settings

BRIEFS, PAINTED, CROWDED = 50, 24, 60
QUICK = {"BRIEFS": 2, "PAINTED": 4, "CROWDED": 10}
RING_PX, CORE_PX = 24, 3                             # of 256: so far from a product nothing is it; so deep inside of it all is
SIZES = (Extent(540, 540), Extent(540, 960), Extent(960, 502))
PRODUCTS = ("a red apple", "a heart", "a blue car", "a yellow star", "a cake", "a butterfly", "a bus", "a clock", "a guitar", "a house")
LINES = (("The {name} of the year", "Picked this morning", "Buy now"), ("Made with love", "Small gifts for the people who matter most", "Order"),
         ("{name}!", "Three days only, 20 % off"), ("Shine brighter", "A {name} for every room of the house, in nine colours", "See them all"),
         ("First things first", "Fresh from our workshop each afternoon", "Reserve one"), ("Feel lighter with a {name} that weighs almost nothing",))
SCENES = ("a shop", "a house", "on a beach", "a bus", "on a green field", "a cake on a pink background", "on a blue background", "a tree")


def run(settings: Settings) -> Mapping[str, float]:
    """`--base` names the base (the embedded one by default)."""
    if not readers():
        raise BadInput("This bench needs a reader of words.", CURE)
    engine, job = opened(settings)
    try:
        spec, render = engine.catalog.able(job.base).spec, Remembered(engine.render)
        wanted = briefs(render, job, spec)
        figures = {**crowded(), **advertised(render, wanted), **growth(render, engine.look, wanted[::len(SIZES)])}
        control = next(iter(engine.catalog.able(job.base).controls.get("glyph", ())), "")
        return figures | (painted(render, job, control) if control else {})
    finally:
        engine.close()


# --- layouts ------------------------------------------------------------------------------------------------------------

def crowded() -> dict[str, float]:
    """Boxes of 4 to 8 words thrown at random: the share that comes apart, and how far words went."""
    extent, clear, moved, before = Extent(256, 256), [], [], []
    for case in range(CROWDED):
        rng = np.random.default_rng(case)
        count = int(rng.integers(4, 9))
        size = np.stack([rng.uniform(40, 80, count), rng.uniform(26, 32, count)], 1)
        corner = rng.uniform(0, 1, (count, 2)) * (256 - size)
        boxes = np.concatenate([corner, corner + size], 1)
        done = apart(boxes, extent, case)
        before.append(shared_share(boxes).max() == 0)
        clear.append(shared_share(done).max() == 0 and outside(done, extent) == 0)
        moved.append(np.linalg.norm((done - boxes)[:, :2], axis=1).mean())
    return {"layouts_clear_share": float(np.mean(clear)), "layouts_clear_before_share": float(np.mean(before)), "layouts_moved_px": float(np.mean(moved))}


# --- advertisements -----------------------------------------------------------------------------------------------------

def advertised(render: Render, wanted: Sequence[Brief]) -> dict[str, float]:
    """One proposal a brief."""
    rows = [measured(render, brief, ad) for brief in wanted for ad in advert(render, brief)]
    figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if name not in ("contrast", "words", "found")}
    words, found = (sum(row[k] for row in rows) for k in ("words", "found"))
    low, high = interval([row["blind_edges"] - row["calm_edges"] for row in rows])
    return {"ads": len(rows), "ad_words_recalled_share": found / words, "ad_contrast_enough_share": float(np.mean([r["contrast"] >= ENOUGH for r in rows])),
            "ad_contrast_least_ratio": min(row["contrast"] for row in rows), **figures, "calmer_low": low, "calmer_high": high}


def briefs(render: Render, job: Job, spec: object) -> list[Brief]:
    """BRIEFS times SIZES; no two of the briefs share both product and lines."""
    out = []
    for number in range(BRIEFS):
        words, turn = PRODUCTS[number % len(PRODUCTS)], number // len(PRODUCTS)
        product = cut(render, job, words, number)
        lines = tuple(line.format(name=words.split()[-1]) for line in LINES[(number + turn) % len(LINES)])
        for extent in SIZES:
            side = min(job.extent.width, job.extent.height)
            scale = side / min(extent.width, extent.height)
            working = Extent(*(max(side, round(v * scale / 16) * 16) for v in (extent.width, extent.height)))
            where = places(words, product.array, spec, 1)
            out.append(Brief(job.but(extent=working, seeds=(100 * number,)), product, lines, extent, tuple(where), 1, empty=spec.arch == EMBEDDED))
    return out


def cut(render: Render, job: Job, words: str, number: int) -> Picture:
    """A product painted by the base, cut out; the first seed whose paper is plain."""
    for seed in range(number, number + 20):
        rgba = cut_out(render(job.but(prompt=words, seeds=(seed,))).pixels[0][..., :3])
        if rgba is not None and 0.05 < (rgba[..., 3] >= SOLID).mean() < 0.8:
            return Picture.from_array(rgba)
    raise BadInput(f"No picture of {words} could be cut out.")


def measured(render: Render, brief: Brief, ad: Ad) -> dict[str, float]:
    flat = drawn(ad.extent, ad.layers)[..., :3]
    lines = reads(flat)
    seen = [recalled(line, lines) for line in brief.taglines]
    product = next(layer for layer in ad.layers if layer.kind == "product")
    x0, y0, x1, y1 = box_of(brief.product.array[..., 3] > 0)
    own = brief.product.array[y0:y1, x0:x1]
    blind = paint_place(render, ad.layers[0].job.but(seeds=brief.job.seeds), brief.empty)
    calm = paint_place(render, ad.layers[0].job, brief.empty)
    return {"words": sum(map(len, seen)), "found": sum(map(sum, seen)), "contrast": least_contrast(ad),
            "ad_overlap_share": float(shared_share(ad.poster.boxes).max()), "product_identical_share": float(np.array_equal(product.picture.array, own)),
            "calm_edges": restlessness(calm, ad.poster), "blind_edges": restlessness(blind, ad.poster),
            "plate_share": float(any(layer.kind == "plate" for layer in ad.layers[:-2]))}


def growth(render: Render, look: Look, wanted: Sequence[Brief]) -> dict[str, float]:
    """Mean growth of products three ways, and the 95 % interval of what painting around them saves."""
    found: dict[str, list[float]] = {"around": [], "inpaint": [], "pasted": []}
    for brief in wanted:
        ad = next(iter(advert(render, brief)))
        job, product = ad.layers[0].job, next(layer for layer in ad.layers if layer.kind == "product")
        thing = for_painter(product, brief.extent, job.extent)
        first, _ = behind(render, Behind(job, thing, empty=brief.empty))
        place = paint_place(render, job, brief.empty)
        core = mask_picture(~held(thing.array))
        noise = job.but(image=Picture.from_array(over(np.full_like(place, 255), [thing.array])), mask=core)
        pictures = {"around": first.pixels[0], "inpaint": render(noise).pixels[0], "pasted": over(place, [thing.array])}
        for way, picture in pictures.items():
            found[way].append(grows(look, picture[..., :3], thing.array))
    low, high = interval(np.subtract(found["inpaint"], found["around"]))
    return {f"product_{way}_growth_share": float(np.mean(values)) for way, values in found.items()} | {"product_saved_low": low, "product_saved_high": high}


def grows(look: Look, rgb: np.ndarray, thing: np.ndarray) -> float:
    """By what share of its area the thing, RGBA [H, W, 4], is larger in uint8 [H, W, 3], as the matting net sees it."""
    solid, unit = thing[..., 3] >= SOLID, min(rgb.shape[:2]) / 256
    near = grown(solid, round(RING_PX * unit))
    hints = np.dstack([grown(solid, -round(CORE_PX * unit)), ~near]).astype(np.uint8) * 255
    found = look("matting", np.ascontiguousarray(rgb), hints=hints)
    return float(((found >= SOLID) & near).sum() / max(1, solid.sum()) - 1)


def reads(rgb: np.ndarray) -> list[Line]:
    """What any of the readers reads: type in display faces is not what they were trained on, so each may miss some. Words that stand in
    the same place are kept from both."""
    return [line for reader in readers() for line in read(rgb, reader)]


def least_contrast(ad: Ad) -> float:
    """Of all texts, under their letters, in the flattened picture."""
    flat, worst = drawn(ad.extent, [layer for layer in ad.layers if layer.text is None])[..., :3], 21.0
    for layer in ad.layers:
        if layer.text is not None:
            left, top = (round(v) for v in layer.place.corner)
            ink = np.pad(layer.picture.array[..., 3] > 128, ((max(0, -top), 0), (max(0, -left), 0)))[max(0, -top):, max(0, -left):]
            part = flat[max(0, top):, max(0, left):][:ink.shape[0], :ink.shape[1]]
            under = part[ink[:part.shape[0], :part.shape[1]]]
            worst = min(worst, worst_contrast(np.array(list(bytes.fromhex(layer.text.colour[1:]))), under))
    return worst


# --- painted words ------------------------------------------------------------------------------------------------------

def words_for_tests(count: int) -> list[str]:
    """Words of 3 to 6 letters that no sign of the training had, by the same rule as the lab (models.lab.glyphs)."""
    import hashlib

    from tokenizers import Tokenizer

    from models.text import weights_folder
    known = sorted(w for w in Tokenizer.from_file(str(weights_folder() / "tokenizer.json")).get_vocab() if w.isascii() and w.isalpha() and 3 <= len(w) <= 6)
    unseen = [w for w in known if int(hashlib.sha256(w.encode()).hexdigest()[:15], 16) % 8 == 0]
    return [unseen[i].upper() for i in np.random.default_rng(0).permutation(len(unseen))[:count]]


def painted(render: Render, job: Job, control: str) -> dict[str, float]:
    """Each word once, on a picture of the base's."""
    judge, driver = readers()[-1], partial(read, reader=readers()[0])
    rows: dict[str, list[float]] = {}
    for number, word in enumerate(words_for_tests(PAINTED)):
        first, *steps = case(render, job, control, word, number, driver)
        shown = {"none": first[0], "glyph": steps[0][0], "proofread": steps[-1][0]}
        sign = steps[0][1][0]
        for name, result in shown.items():
            for who in dict.fromkeys((readers()[0], judge)):
                wrong = edits(result.pixels[0], sign.text.words, sign.box, who)
                rows.setdefault(f"{name}_{who}_exact_share", []).append(wrong == 0)
                rows.setdefault(f"{name}_{who}_cer", []).append(min(1.0, wrong / len(word)))
    return {"painted_words": PAINTED} | {name: float(np.mean(values)) for name, values in rows.items()}


def case(render: Render, job: Job, control: str, word: str, number: int, reader: object) -> list[tuple]:
    """The steps of one painted word, in a box 60 px high across the middle or the top of the picture."""
    base = job.but(prompt=SCENES[number % len(SCENES)], seeds=(number,))
    side = job.extent.width
    top = (0.08, 0.38, 0.66)[number % 3] * side
    picture = render(base).pixels[0][..., :3]
    wide = min(0.92 * side, (60 + 44 * len(word)) * side / 256)
    sign = sign_in(word, ("inter-black", "anton", "nunito-extrabold")[number % 3], ((side - wide) / 2, top, (side + wide) / 2, top + 74 * side / 256), picture)
    return list(glyph_words(render, Wanted(base, control, (word,), (sign,)), reader))


def edits(picture: np.ndarray, word: str, box: Sequence[float], reader: str) -> int:
    lines = [line for line in read(np.ascontiguousarray(picture[..., :3]), reader) if overlap(tuple(box), line.box) > 0]
    found, = paired([(word, tuple(box))], lines)
    return distance(plain(word), plain(found.words) if found else "")
