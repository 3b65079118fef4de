"""An advertisement from the chosen cut-out: proposals of background, shadow, product and text layers for one size."""
from __future__ import annotations

from models.errors import BadInput
from models.flows import Remembered
from models.flows._places import places
from models.flows.advert import MOST_COUNT, Ad, AdLayer, Brief, advert
from models.job import Extent
from models.spec import EMBEDDED
from studio.layers.task import Call, Made, Outcome, Task
from studio.layers.tasks import _making as making

SIZES = {"square": Extent(1080, 1080), "portrait": Extent(1080, 1350), "story": Extent(1080, 1920), "wide": Extent(1920, 1080),
         "banner": Extent(1200, 628)}
CANVAS = "canvas"


def run(call: Call) -> Outcome:
    """asked: product and logo, ids of layers; taglines, one a line; words of the product; place, "" = by rule; size: one of SIZES or
    "canvas"; count. Each proposal's extent stands in the source of its layers, because the page has to change the canvas for it."""
    lines = tuple(line.strip() for line in call.words("taglines").splitlines() if line.strip())
    product, able = call.layer("product"), making.able_of(call)
    logo = call.picture(call.layer("logo")) if call.text("logo") else None
    size = call.choice("size", CANVAS, (CANVAS, *SIZES))
    extent, count = SIZES.get(size, call.stack.extent), call.whole("count", 3, 1, MOST_COUNT)
    said, place = call.text("words") or making.words_of(product), call.text("place")
    where = (place,) if place else tuple(places(said, call.picture(product).array, able.spec, count))
    job = making.job_of(call, able.spec, where[0], making.working_extent(able.spec, extent))
    brief = Brief(job, call.picture(product), lines, extent, where, count, logo, empty=able.spec.arch == EMBEDDED, around=call.flag("around"))
    found = []
    call.progress(0, count, "laying it out")
    for ad in advert(Remembered(call.render), brief):
        call.check()
        found.append(proposal(ad, size))
        call.progress(len(found), count, "painting places")
    if not found:
        raise BadInput("No layout was found.", "Say it shorter, or choose another size.")
    return Outcome(proposals=tuple(found))


def proposal(ad: Ad, size: str) -> Outcome:
    layers = tuple(layer_of(layer, ad) for layer in ad.layers)
    return Outcome(layers, group=f"Ad, {size}: {ad.words}"[:60])


def layer_of(layer: AdLayer, ad: Ad) -> Made:
    source = {"task": "advert", "kind": layer.kind, "place": ad.words, "extent": [ad.extent.width, ad.extent.height]}
    return Made(layer.name[:60], layer.picture, layer.place, source, layer.blend, layer.opacity, layer.text, job=layer.job)


TASK = Task("advert", "Advertisement", run)
