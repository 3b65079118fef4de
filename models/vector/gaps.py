"""Parts of an icon that are written anew: which of its units lie in a box, and how the new ones are put in.

After Wu et al. 2023 ("IconShop"), section 5.3, with one thing added: a new part in the middle of a path ends where the old one did, so that
pieces that do not touch the box stay exactly. Pieces that cross its border are written anew whole, outside of it too.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from models.errors import BadInput
from models.vector.pathtokens import CLOSE, DONE, MOVE, Icon, Unit, checked, told, tokens_of, units_of, with_gap

SLACK = 4                                            # cells that something new may leave its box by


def gap_in(icon: Icon, box: Sequence[float]) -> tuple[int, int]:
    """(start, stop) of the longest run of units to replace in a box of cells; both the end of the last sub-path when there is none."""
    best, at = (len(icon.units), len(icon.units)), 0
    whole: tuple[int, int] | None = None
    for path in icon.sub_paths():
        if all(_inside(p, box) for unit in path for p in unit.points):
            whole = (whole[0] if whole and whole[1] == at else at, at + len(path))
            best = max(best, whole, key=lambda run: run[1] - run[0])
        else:
            best = max(best, *_runs(path, at, box), key=lambda run: run[1] - run[0])
        at += len(path)
    return best


def _runs(path: Sequence[Unit], at: int, box: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Runs of a path's pieces that begin or end inside the box; its start stays."""
    yield (at, at)
    begin, last = None, path[0].points[-1]
    for i, unit in enumerate(path[1:], at + 1):
        touched = unit.command != CLOSE and (_inside(unit.points[-1], box) or _inside(last, box))
        begin = i if touched and begin is None else begin
        if begin is not None and (not touched or i == at + len(path) - 1):
            yield (begin, i + touched)
            begin = None
        last = unit.points[-1] if unit.points else last


def _inside(point: tuple[int, int], box: Sequence[float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def spliced(icon: Icon, start: int, stop: int, tokens: Sequence[int]) -> Icon:
    """The icon with its gap filled by what was written after it. In the middle of a sub-path the new part ends where the old one did.
    Raises BadInput when the whole is not grammatical."""
    new = list(units_of(tokens[len(with_gap(icon, start, stop)):]))
    inner = start < stop and icon.units[start].command != MOVE
    if inner and new and new[-1].points and stop <= len(icon.units):
        new[-1] = replace(new[-1], points=(*new[-1].points[:-1], icon.units[stop - 1].points[-1]))
    whole = Icon(icon.mode, (*icon.units[:start], *new, *icon.units[stop:]))
    if any(state[0] == DONE for state in told(tokens_of(whole))[:-1]) or (inner and any(u.command in (MOVE, CLOSE) for u in new)):
        raise BadInput("What was written does not fit into the gap.")
    return checked(whole)


def stays(new: Icon, old: Icon, start: int, stop: int, box: Sequence[float]) -> bool:
    """Nothing new leaves the region by more than a few cells, all old is there, and something did change."""
    tail = len(old.units) - stop
    fresh = new.units[start:len(new.units) - tail]
    wide = (box[0] - SLACK, box[1] - SLACK, box[2] + SLACK, box[3] + SLACK)
    inner = start < stop and old.units[start].command != MOVE
    points = [p for unit in fresh for p in unit.points][:-1 if inner else None]
    kept = new.units[:start] == old.units[:start] and new.units[len(new.units) - tail:] == old.units[stop:]
    return kept and all(_inside(p, wide) for p in points) and fresh != old.units[start:stop]
