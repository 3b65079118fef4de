"""The d attribute of an SVG path, read strictly and written compactly: absolute straight and cubic pieces, nothing else.

Relative commands, H and V, smooth curves, quadratics and elliptical arcs become absolute L and C (SVG 2, sections 9.3 and 9.5, B.2).
"""
from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from models.errors import BadInput

MAX_PIECES = 200_000
_COMMAND = re.compile(r"[\s,]*([MmLlHhVvCcSsQqTtAaZz])")
_NUMBER = re.compile(r"[\s,]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)")
_FLAG = re.compile(r"[\s,]*([01])")
_END = re.compile(r"[\s,]*$")
_ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}


@dataclass(frozen=True, eq=False)
class Path:
    """One pen stroke. points: float64 [1 + pieces, 2] with one row for each "L" and three (two handles, the end) for each "C" of
    `kinds`; closed: whether it runs back to its start in a straight line."""
    points: np.ndarray = field(repr=False)
    kinds: str
    closed: bool = False

    def pieces(self) -> Iterator[tuple[str, np.ndarray]]:
        """("L", [2, 2]) or ("C", [4, 2]): each piece with the point it starts at."""
        at = 0
        for kind in self.kinds:
            size = 1 if kind == "L" else 3
            yield kind, self.points[at:at + size + 1]
            at += size


def moved(path: Path, matrix: np.ndarray) -> Path:
    """The path by an affine [2, 3]."""
    return replace(path, points=path.points @ matrix[:, :2].T + matrix[:, 2])


def parse_path(d: str) -> tuple[Path, ...]:
    """Every sub-path of `d` that draws something. Raises BadInput where the grammar is broken or a number is not finite."""
    pen, at, command = _Pen(), 0, ""
    while not _END.match(d, at):
        found = _COMMAND.match(d, at)
        if found:
            command, at = found.group(1), found.end()
        elif not command or command in "Zz":
            raise _broken(d, at)
        if not pen.started and command not in "Mm":
            raise _broken(d, at)
        values, at = _arguments(d, at, command)
        pen.do(command, values)
        command = {"M": "L", "m": "l"}.get(command, command)
    return pen.done()


def _arguments(d: str, at: int, command: str) -> tuple[list[float], int]:
    """The numbers of one command from position `at`, and where they end; arcs may write their flags without a gap."""
    values = []
    for i in range(_ARGUMENTS[command.upper()]):
        found = (_FLAG if command in "Aa" and i in (3, 4) else _NUMBER).match(d, at)
        if not found:
            raise _broken(d, at)
        values.append(float(found.group(1)))
        at = found.end()
    if any(abs(v) > 1e7 for v in values):
        raise BadInput("A path of this SVG leaves any sheet.", "Scale it down.")
    return values, at


def _broken(d: str, at: int) -> BadInput:
    return BadInput(f'A path of this SVG is broken near "{d[at:at + 16].strip()}".', "Export it again from a drawing program.")


class _Pen:
    """Where the pen is, what it drew, and the handle that a smooth curve mirrors."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.rows: list[tuple[float, float]] = []
        self.kinds: list[str] = []
        self.at = self.start = (0.0, 0.0)
        self.handle: tuple[str, tuple[float, float]] = ("", (0.0, 0.0))
        self.started, self.count = False, 0

    def do(self, command: str, v: list[float]) -> None:
        kind, relative = command.upper(), command.islower()
        handle, self.handle = self.handle, ("", (0.0, 0.0))
        if kind == "Z":
            return self._finish(closed=True)
        ox, oy = self.at if relative else (0.0, 0.0)
        if kind == "A":
            return self._arc(v[:5], (v[5] + ox, v[6] + oy))
        if kind in "HV":
            v = [v[0] + ox, self.at[1]] if kind == "H" else [self.at[0], v[0] + oy]
            ox = oy = 0.0
        points = [(x + ox, y + oy) for x, y in zip(v[::2], v[1::2], strict=True)]
        {"M": self._move, "L": self._line, "H": self._line, "V": self._line}.get(kind, lambda p: self._curve(kind, p, handle))(points)

    def _move(self, points: list[tuple[float, float]]) -> None:
        self._finish(closed=False)
        self.at = self.start = points[0]
        self.started = True

    def _line(self, points: list[tuple[float, float]]) -> None:
        self._piece("L", points)

    def _curve(self, kind: str, points: list[tuple[float, float]], handle: tuple[str, tuple[float, float]]) -> None:
        """C, S, Q or T; S and T begin with the mirror of the last handle of their family."""
        if kind in "ST":
            mirrored = handle[0] == ("C" if kind == "S" else "Q")
            first = tuple(2 * a - h for a, h in zip(self.at, handle[1])) if mirrored else self.at
            points = [first, *points]
        if kind in "CS":
            self._piece("C", points)
            self.handle = ("C", points[1])
            return
        (qx, qy), (ex, ey), (sx, sy) = points[0], points[1], self.at
        self._piece("C", [(sx + 2 / 3 * (qx - sx), sy + 2 / 3 * (qy - sy)), (ex + 2 / 3 * (qx - ex), ey + 2 / 3 * (qy - ey)), (ex, ey)])
        self.handle = ("Q", (qx, qy))

    def _arc(self, v: list[float], end: tuple[float, float]) -> None:
        for points in arc_cubics(self.at, abs(v[0]), abs(v[1]), math.radians(v[2]), bool(v[3]), bool(v[4]), end):
            self._piece("C" if len(points) == 3 else "L", points)

    def _piece(self, kind: str, points: list[tuple[float, float]]) -> None:
        self.count += 1
        if self.count > MAX_PIECES:
            raise BadInput(f"A path of this SVG has more than {MAX_PIECES:,} pieces.", "Simplify it.")
        if not self.rows:
            self.rows.append(self.at)
        self.rows += points
        self.kinds.append(kind)
        self.at = points[-1]

    def _finish(self, closed: bool) -> None:
        if self.rows:
            self.paths.append(Path(np.array(self.rows, float), "".join(self.kinds), closed))
        self.rows, self.kinds = [], []
        self.at = self.start if closed else self.at

    def done(self) -> tuple[Path, ...]:
        self._finish(closed=False)
        return tuple(self.paths)


def arc_cubics(start: tuple[float, float], rx: float, ry: float, turn: float, large: bool, sweep: bool,
               end: tuple[float, float]) -> Iterator[list[tuple[float, float]]]:
    """An elliptical arc as cubics of at most a quarter turn each ([handle, handle, end]); a straight line [end] when a radius is 0.
    Centre by SVG 2 B.2.4; handles at 4/3 tan(angle / 4) of the radius."""
    if start == end:
        return
    if rx < 1e-9 or ry < 1e-9:
        yield [end]
        return
    c, s = math.cos(turn), math.sin(turn)
    half = ((start[0] - end[0]) / 2, (start[1] - end[1]) / 2)
    x, y = c * half[0] + s * half[1], -s * half[0] + c * half[1]
    grow = math.sqrt(max((x / rx) ** 2 + (y / ry) ** 2, 1.0))
    rx, ry = rx * grow, ry * grow
    below = (rx * y) ** 2 + (ry * x) ** 2
    root = math.sqrt(max(((rx * ry) ** 2 - below) / below, 0.0)) * (-1 if large == sweep else 1)
    cx, cy = root * rx * y / ry, -root * ry * x / rx
    begin = math.atan2((y - cy) / ry, (x - cx) / rx)
    span = math.atan2((-y - cy) / ry, (-x - cx) / rx) - begin
    span += 2 * math.pi * ((sweep and span < 0) - (not sweep and span > 0))
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    place = lambda u, v: (c * (cx + rx * u) - s * (cy + ry * v) + middle[0], s * (cx + rx * u) + c * (cy + ry * v) + middle[1])
    pieces = max(1, math.ceil(abs(span) / (math.pi / 2) - 1e-6))
    step, k = span / pieces, 4 / 3 * math.tan(span / pieces / 4)
    for i in range(pieces):
        a, b = begin + i * step, begin + (i + 1) * step
        last = end if i == pieces - 1 else place(math.cos(b), math.sin(b))
        yield [place(math.cos(a) - k * math.sin(a), math.sin(a) + k * math.cos(a)),
               place(math.cos(b) + k * math.sin(b), math.sin(b) - k * math.cos(b)), last]


def path_data(path: Path, digits: int = 2) -> str:
    """The d attribute of one path, absolute, with so many decimals."""
    write = lambda points: " ".join(f"{v:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{v:.0f}" for v in points.ravel())
    pieces = "".join(kind + write(points[1:]) for kind, points in path.pieces())
    return "M" + write(path.points[:1]) + pieces + ("Z" if path.closed else "")
