"""Several things at once, each changed at the depth that suits it best (OIR): a strip of candidates a thing, then all of it together."""
from __future__ import annotations

from typing import Any

from models.errors import BadInput
from models.flows.edit import NotThere
from models.flows.oir import Candidates, Oir, Pair, oir
from models.job import Extent
from studio.edit import plans
from studio.workbench.task import Call, Task, plain

MOST_PAIRS = 6


def pairs_in(call: Call, extent: Extent) -> tuple[Pair, ...]:
    rows = call.asked.get("pairs")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_PAIRS or not all(isinstance(row, dict) for row in rows):
        raise BadInput(f"1 to {MOST_PAIRS} things can be changed at once.", "Write what there is, and what it should become.")
    return tuple(pair_in(call, row, i + 1, extent) for i, row in enumerate(rows))


def pair_in(call: Call, row: dict[str, Any], number: int, extent: Extent) -> Pair:
    source, target = (str(row.get(name, "")).strip() for name in ("source", "target"))
    if not source or not target:
        raise BadInput(f"Row {number} is not finished.", "Write what there is, and what it should become.")
    mask = plans.mask_in(row["mask"], call.pictures, number, extent) if row.get("mask") else None
    return Pair(source, target, mask)


def chosen_in(call: Call, pairs: int) -> tuple[tuple[int, int], ...]:
    """[[number of the pair, number of the depth], ...]."""
    chosen = call.asked.get("chosen", [])
    whole = lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 0
    if not isinstance(chosen, list) or not all(isinstance(one, list) and len(one) == 2 and all(map(whole, one)) and one[0] < pairs for one in chosen):
        raise BadInput("A candidate is chosen by the number of its row and of its depth.")
    return tuple((pair, depth) for pair, depth in chosen)


def run(call: Call) -> dict[str, Any]:
    """picture, pairs [{source, target, mask}], chosen, how -> a part a row {number, mask, depths, pictures, edit, keep, chosen, notes}, then
    one with everything {"whole": ...}; {"missing": {words, guess}} when words name nothing."""
    picture, keep = plain(call.picture("picture")), plans.keeping(call)
    pairs = pairs_in(call, Extent(picture.width, picture.height))
    how = plans.how_in(call.asked.get("how", {}), call.spec)
    wanted = Oir(pairs, how, scene=how.shows, chosen=chosen_in(call, len(pairs)))
    notes: list[str] = []
    try:
        for given in oir(call.engine, picture, wanted, call.progress, call.cancelled):
            notes += given.notes if not isinstance(given, Candidates) else ()
            call.part(strip_out(given, keep) if isinstance(given, Candidates) else {"whole": plans.edited_out(given, keep)})
    except NotThere as error:
        return {"missing": {"words": str(error), "guess": None if error.best is None else keep(error.best)}}
    return {"notes": notes}


def strip_out(given: Candidates, keep: plans.Keep) -> dict[str, Any]:
    """The candidates of one row, shallow to deep."""
    rounded = lambda values: [round(float(v), 3) for v in values]
    return {"number": given.number, "mask": keep(given.mask), "depths": rounded(given.depths), "pictures": [keep(p) for p in given.pictures],
            "edit": rounded(given.edit), "keep": rounded(given.keep), "score": rounded(given.score), "chosen": given.chosen, "notes": list(given.notes)}


TASK = Task("objects", "Several things at once", run)
