"""Colouring line art from a reference: does the reference's palette come over, and do the lines stay?

Line art is traced from a picture that the base painted and repeated by an unsteady hand. Two references show the same thing in two other
colours, painted by the base too. The same job is painted with the first, with the second, and with none.

palette distance: the five main colours of two things (k-means in CIE L*a*b*, without their paper) are paired so that the sum of their
distances is least (Kuhn 1955); their mean distance, about 2 being just seen. right: to the reference that was shown; wrong: to the
other one. edge F1: of drawn and painted lines, within 4 px. The first cases go to bench-sheets/colour.webp of the cache folder.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from models.errors import BadInput
from models.flows import Remembered, Render
from models.flows._cutout import SOLID, cut_out, lab
from models.job import AdapterUse, Job, Picture
from models.lines import agreement, drawn, edges
from studio.bench._sheet import black_on_white, write_sheet
from studio.bench._score import control_of_lines, drawing, interval, opened, white_on_black
from studio.settings import Settings

QUICK = {"CASES": 3}
CASES, COLOURS_OF_A_PALETTE, PEN_PX = 24, 5, 3
THINGS = ("heart", "car", "apple", "star", "house", "butterfly", "mushroom", "bus")
COLOURS = ("red", "blue", "green", "yellow", "purple", "orange")
OF_TRACED, OF_REFERENCE = 1000, 2000                 # seeds


@dataclass(frozen=True)
class Case:
    """`job`: words and lines; `references`: two pictures of the same thing in two colours; `lines`: bool [H, W]."""
    job: Job
    references: tuple[Picture, Picture]
    lines: np.ndarray


def run(settings: Settings) -> Mapping[str, float]:
    """`--base` names the base (the embedded one by default)."""
    engine, job = opened(settings)
    try:
        able = engine.catalog.able(job.base)
        if not able.references:
            raise BadInput(f"{able.spec.title} cannot look at a reference picture.", "Put an IP-Adapter for it into the models folder.")
        control, render = control_of_lines(engine, job.base), Remembered(engine.render)
        shown: list[list[np.ndarray]] = []
        figures = measured(render, [case(render, job, number, control) for number in range(CASES)], able.references[0], shown)
        write_sheet(settings, "colour", ("line art", "a reference", "coloured by it", "another one", "coloured by it", "without one"), shown)
        return figures
    finally:
        engine.close()


def case(render: Render, job: Job, number: int, control: str) -> Case:
    rng = np.random.default_rng(number)
    thing = THINGS[number % len(THINGS)]
    line = drawn(drawing(render, job.but(prompt=f"a {thing}", seeds=(OF_TRACED + number,)), rng), (job.extent.width, job.extent.height), PEN_PX)
    shown = [render(job.but(prompt=f"a {colour} {thing}", seeds=(OF_REFERENCE + 2 * number + i,))).pixels[0][..., :3]
             for i, colour in enumerate(rng.choice(COLOURS, 2, replace=False))]
    coloured = job.but(prompt=f"a {thing}", seeds=(number,), adapters=(AdapterUse(control, 1.0, white_on_black(line)),))
    return Case(coloured, (Picture.from_array(shown[0]), Picture.from_array(shown[1])), line >= SOLID)


def measured(render: Render, cases: Sequence[Case], eye: str, shown: list[list[np.ndarray]]) -> dict[str, float]:
    """Every case is painted three times; both references count as shown and as the other one. The 95 % interval is over cases. Its pictures
    are added to `shown`."""
    right, wrong, none, kept, without = [], [], [], [], []
    for one in cases:
        plain = render(one.job).pixels[0][..., :3]
        without.append(agreement(one.lines, edges(plain))[2])
        shown.append([black_on_white(one.lines)])
        for reference, other in (one.references, one.references[::-1]):
            painted = render(one.job.but(adapters=(*one.job.adapters, AdapterUse(eye, 1.0, reference)))).pixels[0][..., :3]
            shown[-1] += [reference.array, painted]
            right.append(palette_distance(painted, reference.array))
            wrong.append(palette_distance(painted, other.array))
            none.append(palette_distance(plain, reference.array))
            kept.append(agreement(one.lines, edges(painted))[2])
        shown[-1].append(plain)
    figures = {"right_reference_lab": right, "wrong_reference_lab": wrong, "no_reference_lab": none, "edge_f1": kept, "edge_without_reference_f1": without}
    low, high = interval(np.subtract(wrong, right).reshape(-1, 2).mean(1))
    nearer = {"nearer_to_right_share": float(np.mean(np.less(right, wrong))), "gain_low_lab": low, "gain_high_lab": high}
    return {"cases": len(cases)} | {name: float(np.mean(values)) for name, values in figures.items()} | nearer


def palette_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance in L*a*b* of the main colours of two pictures, uint8 [H, W, 3], paired as well as can be."""
    from scipy.optimize import linear_sum_assignment
    a, b = palette(one), palette(other)
    costs = np.linalg.norm(a[:, None] - b[None], axis=2)
    return float(costs[linear_sum_assignment(costs)].mean())


def palette(rgb: np.ndarray) -> np.ndarray:
    """float32 [5, 3]: the main colours, L*a*b*, of the thing on plain paper, or of the whole picture where the paper is not plain."""
    cut = cut_out(rgb)
    thing = np.ones(rgb.shape[:2], bool) if cut is None else cut[..., 3] >= SOLID
    colours = lab(rgb)[thing if thing.sum() >= COLOURS_OF_A_PALETTE else ~thing]
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
    return cv2.kmeans(colours, COLOURS_OF_A_PALETTE, None, stop, 2, cv2.KMEANS_PP_CENTERS)[2]
