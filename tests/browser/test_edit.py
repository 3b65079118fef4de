"""The Edit tab through a real browser: words that name their tools, plans that are run, changed and kept, masks, panels, what cannot be done."""
from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.browser.layering import png
from tests.browser.page import FRAME_TIMEOUT_MS

EDITING = "onestroke.editing.editing"
SIDE = 96


def scene() -> np.ndarray:
    """uint8 RGBA: a red and a blue square on grey, clear at the right edge."""
    pixels = np.full((SIDE, SIDE, 4), (200, 200, 200, 255), np.uint8)
    pixels[20:50, 10:40, :3] = (210, 40, 40)
    pixels[40:70, 50:80, :3] = (40, 60, 210)
    pixels[:, 88:, 3] = 0
    return pixels


def marks(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    """A mask as the page keeps them."""
    pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[y0:y1, x0:x1, :3] = 255
    return pixels


@pytest.fixture
def page(open_page):
    """The tab with the scene on its stage."""
    page = open_page()
    page.get_by_role("tab", name="Edit").click()
    page.wait_for_selector('#os-edit .os-work[data-state="ready"]', timeout=FRAME_TIMEOUT_MS)
    page.set_input_files("#os-edit .ow-file", [{"name": "scene.png", "mimeType": "image/png", "buffer": png(scene())}])
    page.wait_for_function("() => onestroke.edit.bench.step?.width === 96", timeout=FRAME_TIMEOUT_MS)
    return page


def upload(page, pixels: np.ndarray) -> str:
    """The id of a picture that the studio keeps."""
    return page.evaluate("""async (data) => { const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
      return (await onestroke.edit.bench.upload(new Blob([bytes], { type: 'image/png' }))).id; }""", base64.b64encode(png(pixels)).decode())


def pixels(page, picture: str) -> np.ndarray:
    """uint8 RGBA of a kept picture."""
    data = page.evaluate("""async (id) => { const blob = await (await fetch(onestroke.edit.bench.pictureURL(id))).blob();
      const bytes = new Uint8Array(await blob.arrayBuffer());
      let text = ''; for (const b of bytes) text += String.fromCharCode(b); return btoa(text); }""", picture)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))


def say(page, words: str) -> None:
    page.fill(".oe-words", words)
    page.wait_for_selector(".oe-hop, .oe-route.is-wrong", timeout=FRAME_TIMEOUT_MS)


def plan(page, *steps: dict) -> None:
    """A plan as if it had been said, with masks of its own, and run to its end."""
    page.evaluate(f"(steps) => {{ {EDITING}.propose({{ steps, instruction: 'test' }}); {EDITING}.run(); }}", list(steps))
    rest(page)


def rest(page) -> None:
    page.wait_for_function(f"() => !{EDITING}.busy", timeout=FRAME_TIMEOUT_MS)


def recolour(mask: str, colour: str) -> dict:
    return {"tool": "recolour", "target": "", "words": colour, "place": "", "amount": 1, "strength": 1, "seed": 0, "on": True, "mask": mask,
            "why": "", "title": "Recolour"}


def outcome(page) -> str:
    return page.evaluate(f"() => {EDITING}.plan.outcome({EDITING}.how).picture")


def titles(page) -> list[str]:
    return page.evaluate("() => onestroke.edit.bench.history.steps.map((step) => step.title)")


def test_words_name_their_tools_while_they_are_typed_and_nothing_is_painted(page):
    say(page, "make the ball red and remove the tree")
    assert [one.inner_text() for one in page.query_selector_all(".oe-hop b")] == ["Recolour the ball: red", "Remove the tree"]
    assert page.query_selector(".oe-card") is None
    page.fill(".oe-words", "")
    say(page, "make the hat red and make the hat blue")
    assert page.inner_text(".oe-route.is-wrong")
    page.press(".oe-words", "Enter")
    assert page.query_selector(".oe-card") is None and titles(page) == ["scene"]


def test_a_plan_changes_only_what_its_masks_say_and_is_reordered_switched_off_kept_and_undone(page):
    left, right = upload(page, marks(10, 20, 40, 50)), upload(page, marks(50, 40, 80, 70))
    plan(page, recolour(left, "green"), recolour(right, "yellow"))
    given, after = scene(), pixels(page, outcome(page))
    changed = (given != after).any(-1)
    assert changed[20:50, 10:40].all() and changed[40:70, 50:80].all()
    changed[20:50, 10:40] = changed[40:70, 50:80] = False
    assert not changed.any() and (after[..., 3] == given[..., 3]).all()

    assert page.evaluate(f"() => {EDITING}.plan.due({EDITING}.how)") is None       # nothing is left to do
    page.evaluate(f"() => {{ window.runs = 0; {EDITING}.on('running', () => {{ window.runs += {EDITING}.busy ? 1 : 0; }}); }}")
    page.locator(".oe-card").nth(1).locator(".oe-grip").focus()
    page.keyboard.press("ArrowUp")
    page.wait_for_function("() => window.runs > 0", timeout=FRAME_TIMEOUT_MS)
    rest(page)
    assert page.evaluate(f"() => {EDITING}.plan.steps.map((step) => step.words)") == ["yellow", "green"]
    assert (pixels(page, outcome(page)) == after).all()

    page.locator(".oe-card").nth(0).locator(".oe-switch input").click(force=True)
    page.wait_for_function(f"() => {EDITING}.plan.outcome({EDITING}.how).all && !{EDITING}.busy", timeout=FRAME_TIMEOUT_MS)
    only = pixels(page, outcome(page))
    assert (only[40:70, 50:80] == given[40:70, 50:80]).all() and (only[20:50, 10:40] == after[20:50, 10:40]).all()

    page.get_by_role("button", name="Keep", exact=True).click()
    assert len(titles(page)) == 2 and (pixels(page, page.evaluate("() => onestroke.edit.bench.step.picture")) == only).all()
    asked = page.evaluate("() => onestroke.edit.bench.step.asked")
    assert asked["step"]["words"] == "green" and asked["step"]["mask"] == left
    page.keyboard.press("Control+z")
    page.wait_for_function("() => onestroke.edit.bench.step.title === 'scene'")


def test_a_mask_is_changed_on_the_stage_and_its_step_run_again(page):
    left = upload(page, marks(10, 20, 40, 50))
    plan(page, recolour(left, "green"))
    page.locator(".oe-card .oe-mask button").first.click()
    page.wait_for_selector(".oe-masking:not([hidden])")
    page.wait_for_selector(".ow-marks")
    page.evaluate("() => onestroke.editing.masking.now.mask.clear()")
    box = page.evaluate("""() => { const { stage } = onestroke.edit.bench, at = stage.frame.getBoundingClientRect();
      return [at.left + stage.x, at.top + stage.y, stage.zoom]; }""")
    page.get_by_role("button", name="Rectangle").click()
    page.mouse.move(box[0] + 50 * box[2], box[1] + 40 * box[2])
    page.mouse.down()
    page.mouse.move(box[0] + 70 * box[2], box[1] + 60 * box[2])
    page.mouse.move(box[0] + 80 * box[2], box[1] + 70 * box[2])
    page.mouse.up()
    page.get_by_role("button", name="Done", exact=True).click()
    page.wait_for_function(f"(old) => {EDITING}.plan.steps[0].mask !== old", arg=left, timeout=FRAME_TIMEOUT_MS)
    page.wait_for_function(f"() => {EDITING}.plan.outcome({EDITING}.how).all && !{EDITING}.busy", timeout=FRAME_TIMEOUT_MS)
    after = pixels(page, outcome(page))
    assert (after[45:65, 55:75] != scene()[45:65, 55:75]).any(-1).all() and (after[20:50, 10:40] == scene()[20:50, 10:40]).all()


def test_an_empty_mask_a_failed_step_and_a_reload(page):
    nothing, left = upload(page, marks(0, 0, 0, 0)), upload(page, marks(10, 20, 40, 50))
    plan(page, recolour(left, "green"), recolour(nothing, "yellow"))
    assert "step 2 marks nothing" in page.inner_text(".oe-failed")
    page.evaluate(f"() => {EDITING}.change((plan) => plan.remove(plan.steps[1].id))")
    page.evaluate(f"() => {EDITING}.run()")
    page.wait_for_function(f"() => {EDITING}.plan.outcome({EDITING}.how).all && !{EDITING}.busy", timeout=FRAME_TIMEOUT_MS)
    kept = outcome(page)
    page.wait_for_selector('#os-edit .os-work[data-saved="saved"]', timeout=FRAME_TIMEOUT_MS)
    page.reload()
    page.get_by_role("tab", name="Edit").click()
    page.wait_for_selector('#os-edit .os-work[data-state="ready"]', timeout=FRAME_TIMEOUT_MS)
    assert outcome(page) == kept and page.locator('.oe-card[data-state="done"]').count() == 1
    page.keyboard.press("Escape")
    page.wait_for_function(f"() => {EDITING}.plan.empty")
    assert titles(page) == ["scene"]


def test_instant_edits_follow_the_slider_and_end_in_a_step(page):
    page.get_by_role("tab", name="Instant").click()
    page.locator("#os-edit").get_by_label("What it shows").fill("a square")
    page.locator("#os-edit").get_by_role("slider", name="Freedom").fill("0")
    page.locator("#os-edit").get_by_label("What it should show").fill("a red star")
    page.wait_for_selector(".oe-offer:not([hidden])", timeout=FRAME_TIMEOUT_MS)
    assert page.evaluate("() => onestroke.editing.offers.now.after.picture") == page.evaluate("() => onestroke.edit.bench.step.picture")
    page.locator("#os-edit").get_by_role("slider", name="Freedom").fill("0.8")
    page.wait_for_function("() => onestroke.editing.offers.now?.after.picture !== onestroke.edit.bench.step.picture", timeout=FRAME_TIMEOUT_MS)
    page.get_by_role("button", name="Keep", exact=True).click()
    page.wait_for_function("() => onestroke.edit.bench.step.title === 'a red star'")
    after = pixels(page, page.evaluate("() => onestroke.edit.bench.step.picture"))
    assert after.shape == (SIDE, SIDE, 4) and (after[..., 3] == scene()[..., 3]).all()


def test_the_order_of_results_is_kept_by_the_page(page):
    """plan.js alone: what a change leaves standing."""
    told = page.evaluate("""async () => {
      const { Plan } = await import(new URL('studio/edit/page/plan.js', document.baseURI)), how = { seed: 1 };
      const plan = new Plan({ source: 'p', steps: [{ id: 'a', tool: 'x' }, { id: 'b', tool: 'y' }, { id: 'c', tool: 'z' }] });
      const due = () => plan.due(how)?.steps.map((s) => s.id).join('') ?? '';
      const take = (id, before, after, others) => plan.take(id, { before, after, others }, how);
      const out = [due()];
      take('a', 'p', 'q', ['r']); take('b', 'q', 's'); take('c', 's', 't');
      out.push(due());
      plan.edit('b', { why: 'another reason' }); out.push(due());
      plan.edit('b', { words: 'w' }); out.push(due());
      take('b', 'q', 's'); out.push(due());
      plan.choose('a', 'r'); out.push(due(), plan.outcome(how).picture);
      plan.choose('a', 'q'); out.push(due());
      plan.edit('a', { on: false }); out.push(due());
      out.push(new Plan(JSON.parse(JSON.stringify(plan))).steps.length, plan.due({ seed: 2 }).from);
      return out; }""")
    assert told == ["abc", "", "", "bc", "", "bc", "r", "", "bc", 3, 0]
