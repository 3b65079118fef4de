"""SVG read against closed forms and against the renderer itself; what must not pass does not."""
from __future__ import annotations

import math

import numpy as np
import pytest

from models.errors import BadInput
from models.vector.pathdata import parse_path, path_data
from models.vector.vectors import Drawing, Shape, draw, rasterise, read, recoloured, sanitise, write

BOX = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 24 24">'
TRICKY = {
    "relative": '<path d="m4 4h8v8h-8z m10 2l4 0 0 4"/>',
    "flags": '<path d="M4 12a8 8 0 01.5-2.8l7 3-3.5 7A8 8 0 014 12z"/>',
    "big arc": '<path d="M12 4A8 6 30 1 1 6 16z" fill="none" stroke="#000" stroke-width="2"/>',
    "smooth": '<path d="M2 12C4 2 8 2 10 12S18 22 20 12Q21 6 18 4T14 3" fill="none" stroke="#000"/>',
    "shapes": '<rect x="2" y="3" width="9" height="6" rx="2"/><circle cx="18" cy="6" r="4"/><ellipse cx="6" cy="17" rx="4" ry="2"/>'
              '<polygon points="14,12 22,12 18,20"/><line x1="2" y1="22" x2="20" y2="23" stroke="#000"/>',
    "moved": '<g transform="translate(12 12) rotate(30) scale(.5 -.5)" fill="none" stroke="#000" stroke-width="3"><path d="M-8-8H8V8z"/></g>',
    "copied": '<defs><path id="a" d="M0 0h4v4H0z"/></defs><use xlink:href="#a" x="3" y="5"/><use href="#a" transform="scale(2)" x="6"/>',
    "holes": '<path fill-rule="evenodd" d="M2 2h20v20H2zM6 6h12v12H6z"/>',
    "hidden": '<g display="none"><path d="M0 0h24v24H0z"/></g><path style="fill:none;stroke:#000;stroke-width:2;stroke-linecap:round" d="M4 4l16 16"/>',
}


@pytest.mark.parametrize("name", TRICKY)
def test_what_is_read_and_written_again_looks_the_same(name: str) -> None:
    svg = BOX + TRICKY[name] + "</svg>"
    wanted = rasterise(svg, 96, 96)[..., 3].astype(int)
    assert wanted.max() > 200
    assert abs(draw(read(svg), 96).astype(int) - wanted).mean() < 0.6
    assert abs(rasterise(write(read(svg)), 96, 96)[..., 3].astype(int) - wanted).mean() < 0.6


def test_an_arc_is_its_circle() -> None:
    (path,) = parse_path("M13 10A3 3 0 1 1 7 10")
    t = np.linspace(0, 1, 50)[:, None]
    for kind, (a, b, c, d) in path.pieces():
        assert kind == "C"
        points = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t ** 2 * c + t ** 3 * d
        assert abs(np.hypot(*(points - 10).T) - 3).max() < 1e-3
    assert np.allclose(path.points[-1], (7, 10)) and max(y for _, y in path.points) > 12.9      # sweep: clockwise on a sheet whose y grows down


def test_path_data_survives_being_written() -> None:
    (path,) = parse_path("M.5-1.25e1 3 4C1 2 3 4 5 6z")
    (again,) = parse_path(path_data(path))
    assert again.kinds == "LC" and again.closed and np.allclose(again.points, path.points)


@pytest.mark.parametrize("d", ["L1 2", "M1", "M1 2 3", "M0 0Z1 2", "M0 0A1 1 0 2 0 3 3", "M0 0X", "M1e9 0L2 2", "M0 0L nan 2"])
def test_broken_paths_are_refused(d: str) -> None:
    with pytest.raises(BadInput):
        parse_path(d)


def test_it_is_drawn_at_the_size_asked_for_and_stretched() -> None:
    picture = rasterise('<svg viewBox="0 0 10 10"><rect width="5" height="10" fill="#f00"/></svg>', 40, 8)
    assert picture.shape == (8, 40, 4) and picture.dtype == np.uint8
    assert (picture[:, :20] == (255, 0, 0, 255)).all() and (picture[:, 20:, 3] == 0).all()
    assert rasterise('<svg width="4" height="2"><path d="M0 0h4v2H0z"/></svg>', 7, 5)[..., 3].min() == 255


def test_colours_and_groups() -> None:
    drawing = read('<svg viewBox="2 0 8 4"><g fill="red" opacity=".5"><path d="M2 0h1v1z" opacity=".5"/></g><path d="M3 1h1" fill="none"/></svg>')
    assert (drawing.width, drawing.height) == (8, 4) and drawing.shapes[0].fill == "red" and math.isclose(drawing.shapes[0].opacity, 0.25)
    assert np.allclose(drawing.shapes[0].paths[0].points[0], 0)
    assert [s.fill for s in recoloured(drawing, "#123456").shapes] == ["#123456", "none"]


BAD = {
    "script": BOX + "<script>alert(1)</script></svg>",
    "handler": BOX + '<path d="M0 0h1" onclick="x()"/></svg>',
    "link": BOX + '<a href="#"><path d="M0 0h1"/></a></svg>',
    "picture": BOX + '<image href="data:image/png;base64,AA"/></svg>',
    "outside": BOX + '<use href="other.svg#a"/></svg>',
    "paint from outside": BOX + '<path d="M0 0h1" fill="url(http://x.y/z#a)"/></svg>',
    "style from outside": BOX + '<path d="M0 0h1" style="fill:url( other.svg#b )"/></svg>',
    "entities": '<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + BOX + "<title>&b;</title></svg>",
    "text": BOX + "<text>hello</text></svg>",
    "copies of copies": BOX + '<g id="a"><path d="M0 0h1"/></g><g id="b"><use href="#a"/></g><use href="#b"/></svg>',
    "a copy of itself": BOX + '<g id="a"><use href="#a"/></g></svg>',
    "nested": BOX + "<g>" * 60 + "</g>" * 60 + "</svg>",
    "many": BOX + "<g/>" * 20_001 + "</svg>",
    "not svg": "<html/>", "not xml": "PNG", "empty": "", "no area": '<svg viewBox="0 0 0 5"/>', "unclosed": BOX,
    "huge": BOX + " " * 4_000_000 + "</svg>",
}


@pytest.mark.parametrize("name", BAD)
def test_what_runs_fetches_or_swells_is_refused_with_a_cure(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        sanitise(BAD[name])
    assert refused.value.cure


def test_what_is_harmless_is_kept_or_left_out() -> None:
    svg = ('<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd">' + BOX +
           '<metadata>author</metadata><linearGradient id="g"><stop stop-color="#fff"/></linearGradient>'
           '<path d="M0 0h9v9z" fill="url(#g)" data-name="x"/></svg>')
    clean = sanitise(svg)
    assert "metadata" not in clean and "data-name" not in clean and "url(#g)" in clean and sanitise(clean) == clean


@pytest.mark.parametrize("size", [(0, 5), (20_000, 10), (16_000, 16_000)])
def test_sizes_are_bounded(size: tuple[int, int]) -> None:
    with pytest.raises(BadInput):
        rasterise(BOX + "</svg>", *size)


def test_a_drawing_without_shapes_is_empty_not_an_error() -> None:
    assert not rasterise(write(Drawing(24, 24, ())), 16, 16).any()
    assert not draw(Drawing(24, 24, (Shape(()),)), 16).any()
