"""The values of a layer stack: JSON there and back, limits and wrong values by name, and the small edits of a tree."""
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from models.errors import BadInput, UnknownId
from models.job import Extent
from models.layers.stack import BLENDS, MAX_DEPTH, MAX_LAYERS, Group, Layer, Placement, Stack, Text, new_id

DIGEST = "ab" * 32


def layer(id: str, **more: object) -> Layer:
    return Layer(id, id.upper(), DIGEST, Placement(10, 20, 30, 40), **more)


def some() -> Stack:
    """bottom a, group g(b, inner h(c)), top d"""
    text = Text("Hi", "Sans", 20, "#ff0000", "center", 200)
    return Stack(Extent(300, 200), (
        layer("a", source={"seed": 3, "words": "fox"}),
        Group("g", "pair", (layer("b", blend="multiply", opacity=0.5, text=text), Group("h", "inner", (layer("c", svg="<svg/>"),))), 0.7, "screen", False),
        layer("d", visible=False, locked=True)))


def ids(stack: Stack) -> list[str]:
    return [node.id for node in stack.walk()]


def test_json_there_and_back() -> None:
    stack = some()
    assert Stack.from_dict(json.loads(json.dumps(stack.to_dict()))) == stack
    assert stack.to_dict()["extent"] == {"width": 300, "height": 200} and stack.to_dict()["layers"][1]["layers"][0]["text"]["words"] == "Hi"


def test_walking_finding_and_pictures() -> None:
    stack = some()
    assert ids(stack) == ["a", "g", "b", "h", "c", "d"] and [leaf.id for leaf in stack.leaves()] == ["a", "b", "c", "d"]
    assert stack.find("c").name == "C" and stack.where("c") == ("h", 0) and stack.where("d") == ("", 2)
    assert stack.pictures() == {DIGEST}
    for call in (stack.find, stack.where, stack.replace, stack.remove, stack.move):
        with pytest.raises(UnknownId, match='no layer "z"'):
            call("z")


def test_edits_leave_the_rest_alone() -> None:
    stack = some()
    assert ids(stack.replace("b", layer("x"), layer("y"))) == ["a", "g", "x", "y", "h", "c", "d"]
    assert ids(stack.remove("g", "c")) == ["a", "d"]
    assert ids(stack.insert(layer("x"))) == ["a", "g", "b", "h", "c", "d", "x"]
    assert ids(stack.insert(layer("x"), layer("y"), into="h", at=0)) == ["a", "g", "b", "h", "x", "y", "c", "d"]
    assert ids(stack.move("a", into="g", at=1)) == ["g", "b", "a", "h", "c", "d"]
    assert ids(stack.move("h", at=0)) == ["h", "c", "a", "g", "b", "d"]
    edited = stack.edit("c", opacity=0.25)
    assert edited.find("c").opacity == 0.25 and edited.layers[0] is stack.layers[0] and edited.edit("c", opacity=1.0) == stack
    with pytest.raises(BadInput, match="into itself"):
        stack.move("g", into="h")


def test_bounds_of_a_turned_place() -> None:
    assert Placement(10, 20, 30, 40, 90).bounds() == pytest.approx((-10, 5, 30, 35))
    assert Placement.at(3, 4, 10, 6).corner == (3, 4) and Placement(1, 2, 3, 4).scaled(2) == Placement(2, 4, 6, 8)


@pytest.mark.parametrize("change, says", [
    (lambda v: v.update(colour=1), "Unknown stack field colour"),
    (lambda v: v["extent"].update(depth=1), "Unknown extent field depth"),
    (lambda v: v["extent"].update(width=0), "outside 1"),
    (lambda v: v["extent"].update(width="9"), "no size"),
    (lambda v: v.pop("extent"), "must be a JSON object"),
    (lambda v: v.update(layers={}), "come as a list"),
    (lambda v: v["layers"].append(7), "must be a JSON object"),
    (lambda v: v["layers"][0].update(colour=1), "Unknown layer field colour"),
    (lambda v: v["layers"][0].pop("name"), "lacks one of: .*name"),
    (lambda v: v["layers"][0].update(opacity=1.5), "opacity must be a number from 0 to 1"),
    (lambda v: v["layers"][0].update(opacity=float("nan")), "opacity must be"),
    (lambda v: v["layers"][0].update(visible=1), "visible of a layer must be bool"),
    (lambda v: v["layers"][0].update(blend="dissolve"), 'no blend mode "dissolve"'),
    (lambda v: v["layers"][0].update(picture="../x"), "names no picture"),
    (lambda v: v["layers"][0].update(id="a b"), "cannot be the id"),
    (lambda v: v["layers"][0].update(id="d"), "same id"),
    (lambda v: v["layers"][0]["place"].update(width=0), "width must be"),
    (lambda v: v["layers"][0]["place"].update(x=float("inf")), "x must be"),
    (lambda v: v["layers"][0]["place"].update(x="1"), "x must be"),
    (lambda v: v["layers"][0].update(place=None), "must be a JSON object"),
    (lambda v: v["layers"][0].update(source=[1]), "source of a layer must be dict"),
    (lambda v: v["layers"][0].update(source={"x": "y" * 1_000_001}), "remembers"),
    (lambda v: v["layers"][1]["layers"][0]["text"].update(colour="red"), "not a colour"),
    (lambda v: v["layers"][1]["layers"][0]["text"].update(align="justify"), "not an alignment"),
    (lambda v: v["layers"][1]["layers"][0]["text"].update(size_px=0), "size_px must be"),
    (lambda v: v["layers"][1].update(locked=True), "Unknown group field locked"),
])
def test_wrong_values_are_refused_by_name(change: Callable[[dict], object], says: str) -> None:
    values = some().to_dict()
    change(values)
    with pytest.raises(BadInput, match=says):
        Stack.from_dict(values)


def test_limits() -> None:
    full = Stack(Extent(9, 9), tuple(layer(f"l{i}") for i in range(MAX_LAYERS)))
    assert Stack.from_dict(full.to_dict()) == full
    with pytest.raises(BadInput, match="more than 500"):
        full.insert(layer("one-more"))
    deep = {"id": "g0", "name": "", "layers": []}
    for i in range(1, MAX_DEPTH):
        deep = {"id": f"g{i}", "name": "", "layers": [deep]}
    values = {"extent": {"width": 9, "height": 9}, "layers": [deep]}
    assert len(ids(Stack.from_dict(values))) == MAX_DEPTH
    with pytest.raises(BadInput, match="8"):
        Stack.from_dict(values | {"layers": [{"id": "h", "name": "", "layers": [deep]}]})


def test_every_blend_mode_is_known_and_ids_are_new() -> None:
    assert all(replace(layer("a"), blend=mode).blend == mode for mode in BLENDS) and len(BLENDS) == 17
    assert new_id() != new_id()
