"""The Vector panel through a real browser: paths edited on the stage, tracing, drawings between two, icons from words."""
from __future__ import annotations

import re

from models.vector.vectors import read
from tests.browser.layering import at, bring, disc, drag, names, png, show_layers, stack
from tests.browser.page import FRAME_TIMEOUT_MS

SQUARE = '<svg viewBox="0 0 100 100"><rect x="20" y="20" width="60" height="60" fill="#cc3322"/></svg>'
ROUND = ('<svg viewBox="0 0 24 24"><path fill="none" stroke="#2244cc" stroke-width="2" '
         'd="M12 4C16 4 20 8 20 12C20 16 16 20 12 20C8 20 4 16 4 12C4 8 8 4 12 4Z"/></svg>')
ADD_JS = """async ([name, svg, x]) => { const { desk } = onestroke.layers, before = desk.stack.layers.length;
  await desk.run('vector', { svg, name });
  const put = (l) => ({ ...l, place: { ...l.place, x, y: 150, width: 100, height: 100 } });
  desk.change('Set', (stack) => ({ ...stack, layers: stack.layers.map((l, i) => (i < before ? l : put(l))) }));
  desk.select([desk.stack.layers.at(-1).id]); }"""


def layer(page, name):
    return next(one for one in stack(page)["layers"] if one["name"] == name)


def wait_for(page, what):
    page.wait_for_function(f"() => {{ const {{ desk }} = onestroke.layers, layers = desk.stack.layers; return {what}; }}", timeout=FRAME_TIMEOUT_MS)


def choose(page, *wanted):
    page.evaluate("""(names) => { const { desk } = onestroke.layers;
      desk.select(desk.stack.layers.filter((l) => names.includes(l.name)).map((l) => l.id)); }""", list(wanted))


def svg_changes(page, name, act):
    """What is drawn after `act`, once it is another drawing."""
    before = layer(page, name)
    act()
    page.wait_for_function("([name, svg]) => onestroke.layers.desk.stack.layers.find((l) => l.name === name).svg !== svg", arg=[name, before["svg"]],
                           timeout=FRAME_TIMEOUT_MS)
    after = layer(page, name)
    assert after["id"] == before["id"] and after["place"] == before["place"]
    return read(after["svg"])


def test_paths_are_edited_traced_mixed_and_written(open_page):
    page = open_page()
    show_layers(page)
    for name, svg, x in (("Square", SQUARE, 100), ("Round", ROUND, 300)):
        page.evaluate(ADD_JS, [name, svg, x])
    page.get_by_role("tab", name="Vector").click()
    choose(page, "Square")
    page.get_by_role("button", name="Edit paths").click()
    page.wait_for_selector('button[aria-pressed="true"]:has-text("Edit paths")')

    square = layer(page, "Square")
    drawing = svg_changes(page, "Square", lambda: drag(page, (70, 120), (50, 100)))          # its left upper corner
    points = drawing.shapes[0].paths[0].points.round(0).tolist()
    assert points[0] == [0, 0] and len(points) == 4 and layer(page, "Square")["picture"] != square["picture"]
    square = layer(page, "Square")
    drawing = svg_changes(page, "Square", lambda: page.mouse.dblclick(*at(page, 130, 150)))   # a new node on its right side
    assert len(drawing.shapes[0].paths[0].points) == 5 and layer(page, "Square")["picture"] == square["picture"]      # it keeps its course
    drawing = svg_changes(page, "Square", lambda: page.get_by_role("button", name="Straight or curved").click())
    assert "C" in drawing.shapes[0].paths[0].kinds
    drawing = svg_changes(page, "Square", lambda: page.get_by_role("button", name="Remove node").click())
    assert len(drawing.shapes[0].paths[0].kinds) == 3 and "C" not in drawing.shapes[0].paths[0].kinds
    svg_changes(page, "Square", lambda: page.evaluate("() => onestroke.layers.desk.undo()"))
    page.get_by_role("button", name="Edit paths").click()

    choose(page, "Square", "Round")
    page.get_by_role("slider", name="From the lower to the upper").fill("0.25")
    page.wait_for_function("() => onestroke.layers.desk.view.ghost", timeout=FRAME_TIMEOUT_MS)
    page.get_by_role("button", name="Put it there").click()
    wait_for(page, "layers.length === 3")
    between = stack(page)["layers"][-1]
    assert between["place"]["x"] == 150 and len(read(between["svg"]).shapes) == 2              # a fading fill, a growing line

    bring(page, ("disc.png", png(disc(80, (40, 160, 90)))))
    page.get_by_role("button", name="Trace the chosen layer").click()
    wait_for(page, "layers.at(-1).svg")
    assert re.fullmatch("#[0-9a-f]{6}", read(stack(page)["layers"][-1]["svg"]).shapes[0].fill) and names(page)[-1] == "disc"

    page.get_by_label("Words of the icon").fill("home")
    page.get_by_role("button", name="Draw icons").click()
    page.wait_for_selector(".ol-shot img", timeout=3 * FRAME_TIMEOUT_MS)
    page.locator(".ol-shot").first.click()
    wait_for(page, "layers.length === 5")
    assert stack(page)["layers"][-1]["source"]["asked"]["words"] == "home" and read(stack(page)["layers"][-1]["svg"]).width == 24
