"""The tools of an edit, one function each: Desk -> Made. What moves or goes is arithmetic on layers; only what is new is painted."""
from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from models import pixels
from models.errors import BadInput
from models.flows._canvas import grown, over, put
from models.flows._edit_colour import recoloured
from models.flows._edit_desk import Desk, Made, Tool, box_here
from models.flows._edit_fill import filled
from models.flows._edit_instant import instant
from models.flows._edit_looks import look_of
from models.flows._edit_masks import Found, crop_of
from models.flows._edit_where import RELATIONS, Spot, beside, place_for, spot_of
from models.flows._edit_words import named
from models.flows.asset import Wanted, asset
from models.flows.asset import suited as suited_asset
from models.flows.behind import Behind, behind
from models.flows.behind import suited as suited_behind
from models.flows.upscale import LANCZOS, upscale, upscalers
from models.job import AdapterUse, Extent, Picture
from models.layers.edges import foreground
from models.spec import EMBEDDED
from models.words.instructions import BACKGROUND, EVERYTHING, bare

CANDIDATES = 4                                       # pictures of a new thing, of which the judge takes the best
RIM_SHARE = 0.008                                    # of the side: so far around a thing its soft rim and shadow line go with it
PAINTS_ANEW = 0.5                                    # a replacement below this strength keeps the old shape
WHOLE_LOOK = 0.7                                     # the strength from which on nothing is left of how the picture looked
LINES = "lines"


def recolour(desk: Desk) -> Made:
    found = desk.find(partly=False)
    alpha = found.alpha if found.alpha.any() else found.mask.array[..., 0] / np.float32(255)
    after = recoloured(desk.picture, alpha, desk.step.words, desk.step.strength)
    if after is desk.picture and desk.step.strength:
        return Made(after, found, ("It already had that colour.",))
    return Made(after, found)


def remove(desk: Desk) -> Made:
    if desk.step.target == EVERYTHING:
        raise BadInput("Removing everything leaves nothing.", 'Name one thing, or use "remove the background".')
    found = desk.find()
    clean, hole = without(desk, found)
    strength = np.float32(desk.step.strength)
    if desk.given is not None and not _filled_around(desk, hole):
        own = np.where(hole, desk.picture.array[..., 3] * (1 - strength * found.alpha), desk.picture.array[..., 3]).round().astype(np.uint8)
        return Made(desk.finish(desk.rgb, own, hole), replace(found, mask=_picture(hole)))
    return Made(desk.finish(_mixed(desk.rgb, clean, hole * strength), where=hole), replace(found, mask=_picture(hole)))


def _filled_around(desk: Desk, hole: np.ndarray) -> bool:
    """Whether what lies around a hole is mostly opaque; a hole in nothing becomes nothing."""
    ring = grown(hole, 4) & ~hole
    return bool(desk.given[ring].mean() > 0.5) if ring.any() else True


def without(desk: Desk, found: Found) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [H, W, 3] with the thing's place filled, bool [H, W] what was filled)."""
    desk.progress(0, 0, "filling the place")
    hole = grown(found.alpha > 0.03, max(1, round(RIM_SHARE * max(desk.rgb.shape[:2]))))
    others = [piece for piece in desk.searcher.pieces if not ((piece > 0.5) & (found.alpha > 0.5)).any()]
    avoid = grown(np.max(others, 0) > 0.03, 2) if others else None
    return filled(desk.rgb, hole, avoid, desk.cancel), hole


def add(desk: Desk) -> Made:
    spot = place_for(desk, desk.step.words, desk.step.place, desk.step.amount)
    made, pictures = new_things(desk, desk.step.words)[:desk.how.variants], []
    for thing in made:
        rgb, alpha = _laid(desk, thing, spot, desk.rgb, desk.step.strength)
        own = None if desk.picture.channels != 4 else np.maximum(desk.picture.array[..., 3], alpha)
        pictures.append((desk.finish(rgb, own, alpha > 0), alpha > 0))
    (after, mask), *rest = pictures
    found = Found(_picture(mask), 1.0, spot.said, True, (), mask.astype(np.float32))
    return Made(after, found, (f"It was put {spot.said}.",), tuple(other for other, _ in rest))


def new_things(desk: Desk, words: str) -> list[np.ndarray]:
    """Straight RGBA [h, w, 4] of `words` painted alone, the one first that the judge knows best."""
    side = desk.spec.native_px[0]
    seeds = desk.seeds(max(CANDIDATES, desk.how.variants))
    job = desk.plain(words).but(extent=Extent(side, side), seeds=seeds, steps=max(desk.how.job.steps, min(4, desk.spec.max_steps)))
    wanted = Wanted(job, **suited_asset(desk.engine.catalog.able(job.base)))
    made: list[tuple[float, int, np.ndarray]] = []
    desk.progress(0, len(seeds), f"painting {words}")
    flow = asset(desk.render, wanted)
    for number in range(len(seeds)):
        try:
            rgba = next(flow).pixels[0]
        except (StopIteration, BadInput):            # nothing could be told from its paper; the others may do
            break
        crop, weight = crop_of(rgba[..., :3], rgba[..., 3].astype(np.float32) / 255)
        made.append((-desk.searcher.seer.chance(crop, weight, words), number, rgba))
    if not made:
        raise BadInput(f'"{words}" could not be painted so that it can be told from its background.', "Try another seed, or say it in other words.")
    return [rgba for _, _, rgba in sorted(made, key=lambda one: one[:2])]


def _laid(desk: Desk, thing: np.ndarray, spot: Spot, under: np.ndarray, strength: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A thing in its box over uint8 [H, W, 3]: (uint8 [H, W, 3], its alpha uint8 [H, W])."""
    layer = put(thing, spot.box, Extent(under.shape[1], under.shape[0]), spot.ground)
    alpha = layer[..., 3].astype(np.float32) * strength
    for piece in desk.searcher.pieces if spot.behind else ():
        alpha = alpha * (1 - piece)
    layer = np.dstack([layer[..., :3], alpha.round().astype(np.uint8)])
    return over(under, [layer]), layer[..., 3]


def replace_thing(desk: Desk) -> Made:
    found = desk.find()
    words, target = named(desk.step.words), named(desk.step.target) if desk.step.target else desk.how.shows
    if desk.step.strength < PAINTS_ANEW:
        where = found.alpha
        changed = instant(desk, target, words, 0.4 + desk.step.strength, where)
        return Made(desk.finish(changed, where=where > 0 if desk.how.strict else None), found)
    clean, hole = without(desk, found)
    box, whole, union = box_here(found.alpha > 0.3), [], hole
    for thing in new_things(desk, words)[:desk.how.variants]:
        rgb, alpha = _laid(desk, thing, Spot(_grown_box(box), True, ""), clean)
        union = union | (alpha > 0)
        whole.append(desk.finish(rgb, _alpha_after(desk, hole, alpha), hole | (alpha > 0)))
    return Made(whole[0], replace(found, mask=_picture(union)), (), tuple(whole[1:]))


def _alpha_after(desk: Desk, hole: np.ndarray, alpha: np.ndarray) -> np.ndarray | None:
    """On a transparent ground the place of the old thing becomes transparent and the new one brings its own alpha."""
    return None if desk.given is None else np.maximum(np.where(hole, 0, desk.picture.array[..., 3]), alpha).astype(np.uint8)


def _grown_box(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """A box of the old thing's area and foot, in which the new one's shape fits without becoming a stripe."""
    x0, y0, x1, y1 = box
    side = ((x1 - x0) * (y1 - y0)) ** 0.5
    wide, high = max(x1 - x0, side), max(y1 - y0, side)
    middle = (x0 + x1) / 2
    return round(middle - wide / 2), round(y1 - high), round(middle + wide / 2), y1


def move(desk: Desk) -> Made:
    found = desk.find()
    x0, y0, x1, y1 = box_here(found.alpha > 0.3)
    dx, dy = _shift(desk, (x0, y0, x1, y1))
    return _put_back(desk, found, np.float32([[1, 0, dx], [0, 1, dy]]), "Nothing moved: it is there already." if not (dx or dy) else "")


def _shift(desk: Desk, box: tuple[int, int, int, int]) -> tuple[int, int]:
    """How many px a thing moves, so that it stays inside the picture."""
    x0, y0, x1, y1 = box
    width, height, place = desk.picture.width, desk.picture.height, desk.step.place
    if place.startswith("at ") or spot_of(place) is None:
        x, y = _goal(desk, place, box)
        dx, dy = x - (x0 + x1) / 2, y - (y0 + y1) / 2
    else:
        (gx, gy), far = spot_of(place), desk.step.amount
        dx = (0 if gx in (None, 0.5) else (-1 if gx < 0.5 else 1)) * far * width
        dy = (0 if gy in (None, 0.5) else (-1 if gy < 0.5 else 1)) * far * height
    return round(min(max(dx, -x0), width - x1)), round(min(max(dy, -y0), height - y1))


def _goal(desk: Desk, place: str, box: tuple[int, int, int, int]) -> tuple[float, float]:
    """Where its middle goes."""
    x0, y0, x1, y1 = box
    spot = spot_of(place)
    if spot is not None:
        return ((x0 + x1) / 2 if spot[0] is None else spot[0] * desk.picture.width), ((y0 + y1) / 2 if spot[1] is None else spot[1] * desk.picture.height)
    words = place.strip().split()
    relation = next((n for n in (4, 3, 2, 1) if " ".join(words[:n]) in RELATIONS), 0)
    if not relation:
        raise BadInput(f'"{place}" is no place that is known here.', 'Say "left", "top right" or "above the house".')
    other = beside(desk, " ".join(words[:relation]), bare(" ".join(words[relation:])), max(x1 - x0, y1 - y0))
    return (other.box[0] + other.box[2]) / 2, (other.box[1] + other.box[3]) / 2


def scale(desk: Desk) -> Made:
    found = desk.find()
    x0, y0, x1, y1 = box_here(found.alpha > 0.3)
    times = desk.step.amount
    fits = min(2 * desk.picture.width / (x1 - x0), 2 * desk.picture.height / (y1 - y0))
    x, y = (x0 + x1) / 2, y1 if y1 < desk.picture.height - 2 else (y0 + y1) / 2
    matrix = np.float32([[min(times, fits), 0, x * (1 - min(times, fits))], [0, min(times, fits), y * (1 - min(times, fits))]])
    return _put_back(desk, found, matrix, "" if times <= fits else "It was made only as large as twice the picture.")


def _put_back(desk: Desk, found: Found, matrix: np.ndarray, note: str) -> Made:
    """The thing lifted out, its place filled, and put back where `matrix` takes it."""
    if np.allclose(matrix, [[1, 0, 0], [0, 1, 0]]):
        return Made(desk.picture, found, (note,) if note else ())
    clean, hole = without(desk, found)
    size = desk.picture.width, desk.picture.height
    layer = _warped(np.dstack([foreground(desk.rgb, found.alpha), (found.alpha * 255).round()]).astype(np.float32), matrix, size)
    shows = hole | (layer[..., 3] > 0)
    after = desk.finish(over(clean, [layer]), _alpha_after(desk, hole, layer[..., 3]), shows)
    return Made(after, replace(found, mask=_picture(shows)), (note,) if note else ())


def _warped(rgba: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Straight float32 [H, W, 4] moved and scaled, premultiplied on the way; whole pixels move exactly."""
    rgba[..., :3] *= rgba[..., 3:] / 255
    zoom = float(matrix[0, 0])
    matrix = matrix.copy()
    matrix[:, 2] += (matrix[:, :2] @ np.float32([0.5, 0.5]) - 0.5)
    blurred = cv2.GaussianBlur(rgba, (0, 0), 0.4 / zoom) if zoom < 0.75 else rgba
    out = cv2.warpAffine(blurred, matrix, size, flags=cv2.INTER_NEAREST if zoom == 1 else cv2.INTER_LINEAR)
    rgb = np.where(out[..., 3:] > 0.5, out[..., :3] * 255 / np.maximum(out[..., 3:], 0.5), 0)
    return np.dstack([rgb, out[..., 3]]).clip(0, 255).round().astype(np.uint8)


def cutout(desk: Desk) -> Made:
    target = desk.step.target
    found = desk.find(partly=desk.step.mask is not None) if target != BACKGROUND else desk.find("")
    alpha = found.alpha * (1 if desk.given is None else (desk.given > 0))
    kept = alpha + (1 - alpha) * (1 - desk.step.strength)
    own = (kept * 255 if desk.given is None else np.minimum(kept * 255, desk.picture.array[..., 3])).round().astype(np.uint8)
    everything = bool(alpha.min() > 0.98)
    notes = ("Everything was kept: nothing in it looks like a background.",) if everything else ()
    return Made(Picture.from_array(np.dstack([foreground(desk.rgb, kept.astype(np.float32)), own])), found, notes)


def background(desk: Desk) -> Made:
    things = np.max(desk.searcher.pieces, 0) if desk.searcher.pieces else np.zeros(desk.rgb.shape[:2], np.float32)
    if desk.step.mask is not None:
        things = 1 - desk.find().alpha
    job = desk.plain(desk.step.words)
    rgba = np.dstack([foreground(desk.rgb, things), (things * 255).round().astype(np.uint8)])
    small = pixels.resize(Picture.from_array(rgba), job.extent)
    desk.progress(0, 0, f"painting {desk.step.words}")
    *_, last = behind(desk.render, Behind(job, small, "", **suited_behind(desk.engine.catalog.able(job.base))))
    place = desk.large(last.pixels[0][..., :3].astype(np.float32)).clip(0, 255)
    mixed = desk.rgb + (place - desk.rgb) * desk.step.strength
    out = over(mixed.round().astype(np.uint8), [rgba])
    where = things < 1
    own = None if desk.given is None else np.full(things.shape, 255, np.uint8)
    found = Found(_picture(where), 1.0, "everything but the things", True, (), 1 - things)
    notes = () if things.any() else ("No thing stands out, so the whole picture was painted over.",)
    return Made(desk.finish(out, own, where), found, notes)


def restyle(desk: Desk) -> Made:
    """Plain image-to-image with the look's own words, adapter or style id; detail that the look does not have must go. The embedded base, which
    paints scenes badly over again, leaves looks that are arithmetic to it."""
    where = _where(desk)
    drawn = look_of(desk.step.words) if desk.spec.arch == EMBEDDED else None
    if drawn is not None:
        weight = np.float32(min(1, desk.step.strength / WHOLE_LOOK)) * (np.ones(desk.rgb.shape[:2], np.float32) if where is None else where.alpha)
        after = desk.finish(_mixed(desk.rgb, drawn(desk.rgb), weight), where=weight > 0)
        return Made(after, where, ("Drawn by arithmetic on the pixels, not by the base.",))
    job, notes = look_job(desk)
    if desk.step.strength == 0:
        return Made(desk.picture, where)
    steps = max(desk.how.job.steps, min(2, desk.spec.max_steps))
    job = job.but(image=Picture.from_array(desk.small(desk.rgb)), strength=desk.step.strength, steps=steps)
    pictures = []
    for seed in desk.seeds(desk.how.variants):
        painted = desk.render(job.but(seeds=(seed,))).pixels[0][..., :3]
        large = desk.large(painted.astype(np.float32)).clip(0, 255).round().astype(np.uint8)
        mixed = large if where is None else _mixed(desk.rgb, large, where.alpha)
        pictures.append(desk.finish(mixed, where=None if where is None else where.alpha > 0))
    return Made(pictures[0], where, notes, tuple(pictures[1:]))


def look_job(desk: Desk) -> tuple:
    """(job with the look that the words name, notes): a LoRA by its id, a style of the base, else words."""
    words, able = desk.step.words.lower().strip(), desk.engine.catalog.able(desk.how.job.base)
    shows = desk.how.shows
    if words.replace(" ", "-") in able.looks:
        return desk.plain(shows).but(adapters=(*desk.how.job.adapters, AdapterUse(words.replace(" ", "-")))), ()
    style = next((style.id for style in desk.spec.styles if words in (style.id, style.title.lower())), "")
    if style:
        return desk.plain(shows).but(style=style), ()
    known = f" It knows {', '.join([style.id for style in desk.spec.styles] + list(able.looks))}." if desk.spec.styles else ""
    notes = (f'This base was never taught "{desk.step.words}" as a look, so words alone ask for it.{known}',) if desk.spec.styles else ()
    return desk.plain(", ".join(part for part in (shows, desk.step.words) if part)), notes


def repaint(desk: Desk) -> Made:
    found = _where(desk) if desk.step.target == EVERYTHING else desk.find(partly=False)
    source = desk.how.shows if desk.step.target == EVERYTHING else named(desk.step.target) if desk.step.target else desk.how.shows
    where = None if found is None else found.alpha
    pictures = []
    for seed in desk.seeds(desk.how.variants):
        changed = instant(desk, source, desk.step.words, desk.step.strength, where, seed)
        pictures.append(desk.finish(changed, where=None if where is None else where > 0))
    return Made(pictures[0], found, (), tuple(pictures[1:]))


def lines(desk: Desk) -> Made:
    where = _where(desk)
    seen = desk.engine.look(LINES, desk.rgb)
    drawn = np.repeat(255 - cv2.GaussianBlur(seen, (0, 0), 0.6)[..., None], 3, 2)
    weight = np.float32(desk.step.strength) * (np.ones(seen.shape, np.float32) if where is None else where.alpha)
    return Made(desk.finish(_mixed(desk.rgb, drawn, weight), where=weight > 0), where)


def enlarge(desk: Desk) -> Made:
    times = min((2, 4, 8), key=lambda one: abs(one - desk.step.amount))
    by = next(one["id"] for one in upscalers(desk.engine.catalog) if one["here"])
    notes = ("Plainly enlarged: there is no network for it here.",) if by == LANCZOS else ()
    return Made(upscale(desk.engine, desk.picture, times, by, fidelity=1 - desk.step.strength, progress=desk.progress, cancel=desk.cancel), None, notes)


def _where(desk: Desk) -> Found | None:
    """The user's mask of a tool that works on everything without one."""
    return desk.find(partly=False) if desk.step.mask is not None else None


def _mixed(before: np.ndarray, after: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: `after` as far as weight [H, W] says."""
    return (before + (after.astype(np.float32) - before) * weight[..., None]).clip(0, 255).round().astype(np.uint8)


def _rgb(picture: Picture) -> np.ndarray:
    return np.repeat(picture.array, 3, 2) if picture.channels == 1 else picture.array[..., :3]


def _picture(mask: np.ndarray) -> Picture:
    return Picture.from_array(mask.astype(np.uint8) * 255)


WORKS: dict[str, Tool] = {"recolour": recolour, "replace": replace_thing, "remove": remove, "add": add, "restyle": restyle, "background": background,
                          "lines": lines, "upscale": enlarge, "cutout": cutout, "move": move, "scale": scale, "repaint": repaint}
