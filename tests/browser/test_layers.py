"""The Layers tab through a real browser: placing, moving, grouping, undo, saving, and the page's composite against the studio's own."""
from __future__ import annotations

import numpy as np
import pytest

from models.layers.compose import flatten
from models.layers.stack import BLENDS, Stack
from tests.browser.layering import at, bring, composite, disc, drag, names, png, saved, show_layers, stack
from tests.browser.page import FRAME_TIMEOUT_MS

RED, BLUE = ("red", (210, 74, 49)), ("blue", (40, 90, 200))


@pytest.fixture
def page(open_page):
    """The tab with a new canvas of 400 x 300 and two discs on it: red at (100, 100), blue at (300, 200), 80 px wide each."""
    page = open_page()
    show_layers(page)
    bring(page, *((f"{name}.png", png(disc(80, colour))) for name, colour in (RED, BLUE)))
    page.evaluate("""() => {
      const { desk } = onestroke.layers, at = { red: { x: 100, y: 100 }, blue: { x: 300, y: 200 } };
      desk.change('Set', (stack) => ({ ...stack, layers: stack.layers.map((l) => ({ ...l, place: { ...l.place, ...at[l.name] } })) }));
      desk.select([]); }""")
    return page


def place(page, name):
    return next(layer["place"] for layer in stack(page)["layers"] if layer["name"] == name)


def choose(page, *wanted):
    page.evaluate("""(names) => { const { desk } = onestroke.layers;
      desk.select(desk.stack.layers.filter((l) => names.includes(l.name)).map((l) => l.id)); }""", list(wanted))


def test_layers_are_moved_scaled_turned_with_snapping_and_every_step_is_undone(page):
    start = stack(page)
    drag(page, (100, 100), (203, 148), drop=False)
    assert page.evaluate("() => onestroke.layers.desk.chooser.guides.length") == 2
    page.mouse.up()
    assert (place(page, "red")["x"], place(page, "red")["y"]) == (200, 150)                  # the canvas's middle took it
    drag(page, (200, 150), (103, 98), "Alt")
    assert abs(place(page, "red")["x"] - 103) < 1 and abs(place(page, "red")["y"] - 98) < 1 and place(page, "red")["x"] != 100
    choose(page, "blue")
    drag(page, (340, 240), (360, 250), "Shift")
    blue = place(page, "blue")
    assert blue["width"] == pytest.approx(blue["height"]) and blue["width"] > 90 and blue["x"] - blue["width"] / 2 == pytest.approx(260)
    top = page.evaluate("() => { const { chooser } = onestroke.layers.desk; return chooser.turner(chooser.box); }")
    drag(page, tuple(top), (blue["x"] + 120, blue["y"] + 8), "Shift")
    assert place(page, "blue")["angle_deg"] == 90
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert place(page, "blue")["x"] == pytest.approx(blue["x"] + 1, abs=0.01) and place(page, "blue")["y"] == pytest.approx(blue["y"] + 10, abs=0.01)
    page.keyboard.press("Control+d")
    assert names(page) == ["red", "blue", "blue 2"]
    page.keyboard.press("[")
    assert names(page) == ["red", "blue 2", "blue"]
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+g")
    assert names(page) == ["Group"] and len(stack(page)["layers"][0]["layers"]) == 3
    page.keyboard.press("Delete")
    end = stack(page)
    assert end["layers"] == []
    while page.evaluate("() => onestroke.layers.desk.history.now.label") != "Set":
        page.keyboard.press("Control+z")
    assert stack(page) == start
    for _ in range(12):
        page.keyboard.press("Control+Shift+z")
    assert stack(page) == end


def row(page, name):
    return page.locator(".ol-row-layer", has=page.locator(f'.ol-name:text-is("{name}")'))


def drag_row(page, name, target, part):
    a, b = row(page, name).bounding_box(), row(page, target).bounding_box()
    page.mouse.move(a["x"] + 90, a["y"] + a["height"] / 2)
    page.mouse.down()
    page.mouse.move(b["x"] + 95, b["y"] + b["height"] / 2)
    page.mouse.move(b["x"] + 95, b["y"] + b["height"] * part)
    page.mouse.up()
    page.wait_for_timeout(60)


def test_the_list_renames_reorders_groups_hides_locks_and_blends(page):
    row(page, "red").locator(".ol-name").dblclick()
    page.keyboard.type("sun")
    page.keyboard.press("Enter")
    assert names(page) == ["sun", "blue"]
    drag_row(page, "blue", "sun", 0.9)
    assert names(page) == ["blue", "sun"]
    choose(page, "sun")
    page.keyboard.press("Control+g")
    page.wait_for_timeout(60)
    drag_row(page, "blue", "Group", 0.5)
    (group,) = stack(page)["layers"]
    assert [layer["name"] for layer in group["layers"]] == ["sun", "blue"]
    row(page, "blue").get_by_role("button", name="Hide blue").click()
    row(page, "sun").hover()
    row(page, "sun").get_by_role("button", name="Lock sun").click()
    row(page, "sun").click()
    page.get_by_label("Blend mode").select_option("multiply")
    page.locator(".ol-opacity input").evaluate("(input) => { input.value = 40; input.dispatchEvent(new Event('input', { bubbles: true })); }")
    sun, blue = stack(page)["layers"][0]["layers"]
    assert (sun["blend"], sun["opacity"], sun["locked"], blue["visible"]) == ("multiply", 0.4, True, False)
    before = stack(page)
    drag(page, (100, 100), (150, 150))                       # a locked layer stays
    assert stack(page)["layers"] == before["layers"]
    page.keyboard.press("Escape")
    row(page, "Group").click()
    page.get_by_role("button", name="Ungroup").click()
    assert names(page) == ["sun", "blue"]


def test_the_page_composes_as_the_studio_does(page, studio):
    """Every blend mode once, half transparent, over two layers, some in a group; whole pixels, so that no resampling differs."""
    folder = studio.ctx.library.folder / "layers" / "pictures"
    values = page.evaluate("""() => {
      const { desk } = onestroke.layers, [red, blue] = desk.stack.layers;
      const at = (x, y) => ({ ...red.place, x, y });
      const over = desk.config.blends.map((blend, i) => ({ ...red, id: `o${i}`, blend, opacity: 0.75,
        place: at(60 + 35 * (i % 9), 70 + 100 * Math.floor(i / 9)) }));
      const under = Array.from({ length: 12 }, (_, i) => ({ ...(i % 3 ? blue : red), id: `n${i}`, opacity: i % 2 ? 1 : 0.6,
        place: at(40 + 40 * (i % 8), 40 + 60 * Math.floor(i / 8)) }));
      const group = { id: 'g', name: 'g', opacity: 0.8, blend: 'multiply', visible: true, layers: over.slice(9) };
      desk.change('Test', (stack) => ({ ...stack, layers: [...under, ...over.slice(0, 9), group] }));
      return desk.stack; }""")
    made = Stack.from_dict(values)
    assert {node.blend for node in made.leaves()} == set(BLENDS)
    from studio.layers.pictures import Pictures
    own, theirs = flatten(made, Pictures(folder)), composite(page)
    assert own.shape == theirs.shape == (300, 400, 4)
    assert np.abs(own[..., 3].astype(int) - theirs[..., 3]).max() <= 2
    opaque = own[..., 3] > 200
    apart = np.abs(own[opaque][:, :3].astype(int) - theirs[opaque][:, :3])
    assert opaque.sum() > 20_000 and apart.max() <= 8 and apart.mean() < 1.2


def test_what_was_done_survives_a_reload_another_browser_and_a_lost_line(page, open_page, studio):
    saved(page)
    page.route("**/studio/layers/document/*", lambda route: route.abort())
    choose(page, "red")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector('.os-layers[data-saved="waiting"]', timeout=FRAME_TIMEOUT_MS)
    assert "does not answer" in page.locator(".ol-saved").inner_text() and place(page, "red")["x"] == 110
    page.wait_for_timeout(120)
    page.unroute("**/studio/layers/document/*")
    page.reload()                                            # before it was saved: this browser kept it
    page.wait_for_selector('.os-stage[data-state="ready"].has-picture', timeout=60_000)
    page.get_by_role("tab", name="Layers").click()
    page.wait_for_selector('.os-layers[data-state="ready"]', timeout=FRAME_TIMEOUT_MS)
    assert place(page, "red")["x"] == 110
    saved(page)
    other = open_page()
    other.get_by_role("tab", name="Layers").click()
    other.wait_for_selector('.os-layers[data-state="ready"]', timeout=FRAME_TIMEOUT_MS)
    assert stack(other) == stack(page)
    choose(other, "blue")
    other.keyboard.press("Shift+ArrowUp")
    saved(other)
    choose(page, "red")
    page.keyboard.press("Shift+ArrowLeft")                   # knows nothing of the other window's change
    page.get_by_role("button", name="Keep mine as a copy").wait_for(timeout=FRAME_TIMEOUT_MS)
    page.get_by_role("button", name="Load it").click()
    page.wait_for_function("() => onestroke.layers.desk.stack.layers.some((l) => l.place.y === 190)", timeout=FRAME_TIMEOUT_MS)
    assert place(page, "red")["x"] == 110


def notice(page):
    return page.locator(".ol-notice").inner_text()


def test_bad_files_are_said_and_many_layers_stay_quick(page):
    page.set_input_files(".ol-file", [{"name": "torn.png", "mimeType": "image/png", "buffer": png(disc(80, RED[1]))[:200]}])
    page.wait_for_selector(".ol-notice.is-error", timeout=FRAME_TIMEOUT_MS)
    assert "picture" in notice(page) and names(page) == ["red", "blue"]
    wide = bytearray(png(disc(80, RED[1])))
    wide[16:24] = (20_000).to_bytes(4, "big") * 2
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/picture") else None)
    page.set_input_files(".ol-file", [{"name": "vast.png", "mimeType": "image/png", "buffer": bytes(wide)}])
    page.wait_for_function("() => document.querySelector('.ol-notice').innerText.includes('megapixels')", timeout=FRAME_TIMEOUT_MS)
    assert not sent                                          # said before it was sent
    ms = page.evaluate("""async () => {
      const { desk } = onestroke.layers, [red] = desk.stack.layers;
      const at = (i) => ({ ...red.place, x: 20 + (i * 37) % 360, y: 20 + (i * 53) % 260 });
      const many = Array.from({ length: 200 }, (_, i) => ({ ...red, id: `m${i}`, name: `disc ${i}`, place: at(i) }));
      const nudge = (l) => ({ ...l, place: { ...l.place, x: l.place.x + 1 } });
      desk.change('Many', (stack) => ({ ...stack, layers: many }));
      await new Promise((done) => setTimeout(done, 300));
      const start = performance.now();
      for (let i = 0; i < 10; i++) {
        desk.change('Move', (stack) => ({ ...stack, layers: stack.layers.map((l, n) => (n === 100 ? nudge(l) : l)) }), { key: 'x' });
        desk.view.paint();
      }
      return (performance.now() - start) / 10; }""")
    assert page.locator(".ol-row-layer").count() == 200 and ms < 1500                # 40 where nothing else computes
    said = page.evaluate("""() => {
      const { desk } = onestroke.layers;
      for (let i = 0; i < 2; i++) { desk.select(desk.stack.layers.map((l) => l.id)); desk.duplicate(); }
      return document.querySelector('.ol-notice').innerText; }""")
    assert "500" in said
    assert len(stack(page)["layers"]) == 400


def test_documents_are_made_renamed_deleted_and_brought_back_and_pictures_arrive_from_live(page):
    page.get_by_title("Your documents").click()
    page.locator(".ol-card.is-open input").fill("Poster")
    page.locator(".ol-card.is-open input").press("Enter")
    page.wait_for_function("() => document.querySelector('.ol-doc-name').textContent === 'Poster'")
    saved(page)
    page.get_by_role("button", name="Delete Poster").click()
    page.locator(".ol-notice").get_by_role("button", name="Undo").click()
    page.wait_for_function("() => [...document.querySelectorAll('.ol-card input')].some((i) => i.value === 'Poster')", timeout=FRAME_TIMEOUT_MS)
    page.get_by_role("button", name="Open Poster").click()
    page.wait_for_function("() => onestroke.layers.desk.name === 'Poster'", timeout=FRAME_TIMEOUT_MS)
    assert names(page) == ["red", "blue"]
    page.get_by_role("tab", name="Live").click()
    page.get_by_role("button", name="To Layers").first.click()
    page.wait_for_function("() => onestroke.layers.desk.stack.layers.length === 3", timeout=FRAME_TIMEOUT_MS)
    assert page.locator(".os-layers").is_visible() and stack(page)["layers"][2]["source"]["words"]
    x, y = at(page, 200, 150)
    page.mouse.click(x, y)
    assert page.evaluate("() => onestroke.layers.desk.selected()[0].name") == stack(page)["layers"][2]["name"]


def test_words_show_as_a_ghost_with_alpha_and_are_taken_exactly(page, studio, tmp_path, monkeypatch):
    from studio.layers.pictures import Pictures
    from tests.tiny_adapters import all_cases
    engine = studio.ctx.engine
    with engine.registry.lease("tiny-student") as (base, _):
        path = all_cases()["rgba-own"].write(tmp_path, base)
    monkeypatch.delitem(engine.catalog._adapters, "transparent")             # it fits the tiny base by name only
    adapter = engine.catalog.add("adapter", str(path))
    page.evaluate("""() => {
      window.live = onestroke.layers.desk.live({ frame: (header) => { window.seen = header; }, error: (text) => { window.wrong = text; } });
      live.set({ prompt: 'a leaf', seed: 3, refine: false }); }""")
    page.wait_for_function("() => window.seen || window.wrong", timeout=FRAME_TIMEOUT_MS)
    assert page.evaluate("() => [window.wrong, seen.media, !!onestroke.layers.desk.view.ghost]") == [None, "image/webp", True]
    assert names(page) == ["red", "blue"]                                    # a ghost is in no document
    page.evaluate("() => live.accept({ name: 'Leaf' })")
    page.wait_for_function("() => onestroke.layers.desk.stack.layers.length === 3", timeout=FRAME_TIMEOUT_MS)
    leaf, pictures = stack(page)["layers"][2], Pictures(studio.ctx.library.folder / "layers" / "pictures")
    job = pictures.job(leaf["picture"])
    assert (leaf["name"], leaf["source"]["seed"], job.prompt, [use.id for use in job.adapters]) == ("Leaf", 3, "a leaf", [adapter.id])
    kept = pictures[leaf["picture"]].array
    assert np.unique(kept[..., 3]).size > 20 and np.array_equal(kept, engine.render(job).pixels[0])
    assert page.evaluate("() => onestroke.layers.desk.view.ghost") is None
    page.evaluate("() => { live.close(); }")
