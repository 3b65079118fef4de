"""Make, Scene and Harmonise through a real browser: one page, and what becomes of the stack."""
from __future__ import annotations

from tests.browser.layering import names, show_layers, stack
from tests.browser.page import FRAME_TIMEOUT_MS

COUNT_JS = "(n) => onestroke.layers.desk.stack.layers.length === n"


def panel(page, name: str) -> str:
    page.click(f'[data-panel="{name}"]')
    return f"#ol-panel-{name}"


def press(page, root: str, layers: int) -> None:
    """The panel's main button, and wait for so many layers."""
    page.click(f"{root} .is-first")
    page.wait_for_function(COUNT_JS, arg=layers, timeout=FRAME_TIMEOUT_MS)
    page.wait_for_selector(f"{root} .is-first:not(:disabled)", timeout=FRAME_TIMEOUT_MS)


def test_a_scene_is_painted_harmonised_and_one_thing_painted_again(open_page):
    page = open_page()
    show_layers(page, 320, 240)
    scene = panel(page, "scene")
    page.fill(f"{scene} textarea", "a red car and a house on a beach")
    press(page, scene, 3)
    assert names(page)[0] == "Background" and sorted(names(page)[1:]) == ["House", "Red car"]

    harmonise = panel(page, "harmonise")
    page.evaluate("() => onestroke.layers.desk.select([])")
    press(page, harmonise, 5)
    assert [name for name in names(page) if not name.startswith("Shadow")][0] == "Background" and len(set(names(page))) == 5
    page.keyboard.press("Control+z")
    page.wait_for_function(COUNT_JS, arg=3)

    make = panel(page, "make")
    car = next(layer for layer in stack(page)["layers"] if layer["name"] == "Red car")
    page.evaluate("(id) => onestroke.layers.desk.select([id])", car["id"])
    assert page.input_value(f"{make} .ol-again input") == "a red car"
    page.click(f"{make} .ol-again button")
    page.wait_for_function("([id, was]) => onestroke.layers.desk.stack.layers.find((l) => l.id === id)?.picture !== was", arg=[car["id"], car["picture"]],
                           timeout=FRAME_TIMEOUT_MS)
    again = next(layer for layer in stack(page)["layers"] if layer["id"] == car["id"])
    assert again["name"] == "Red car" and again["place"]["x"] == car["place"]["x"] and names(page)[0] == "Background"

    page.evaluate("() => onestroke.layers.desk.select([])")
    assert page.is_hidden(f"{make} .ol-again")
    page.fill(f"{make} textarea", "a fox")
    page.wait_for_function("() => !!onestroke.layers.desk.view.ghost", timeout=FRAME_TIMEOUT_MS)                 # it shows while it is typed
    page.click(f"{make} details summary")
    page.fill(f'{make} input[aria-label="Variants"]', "2")
    page.click(f"{make} .is-first")
    page.wait_for_selector(f"{make} .ol-shot:nth-child(2)", timeout=FRAME_TIMEOUT_MS)
    assert page.evaluate("() => !onestroke.layers.desk.view.ghost")
    page.click(f"{make} .ol-shot:nth-child(2)")
    page.wait_for_function(COUNT_JS, arg=4, timeout=FRAME_TIMEOUT_MS)
    assert names(page)[-1] == "A fox"
