"""The live tab through a real browser: the picture follows, frames come back, nothing is lost or mixed up."""
from __future__ import annotations

import time

import pytest

from tests.browser.page import FRAME_TIMEOUT_MS, canvas, changed, draw, picture, session_of, settle


def test_the_picture_follows_typed_words(open_page):
    page = open_page()
    settle(page)
    before = picture(page)
    page.locator("#os-prompt textarea").press_sequentially("a red fox", delay=20)
    changed(page, before)
    settle(page)
    assert page.locator(".os-stage").get_attribute("data-mode") == "text"


def test_the_picture_follows_the_hand_and_undo_takes_it_back(open_page):
    page = open_page()
    page.locator("#os-prompt textarea").fill("a house")
    settle(page)
    words_only, paper = picture(page), canvas(page)
    draw(page, [(0.2, 0.3), (0.5, 0.5), (0.8, 0.3)], 0.02)
    changed(page, words_only)
    settle(page)
    assert page.locator(".os-stage").get_attribute("data-mode") == "draw"
    page.keyboard.press("Control+z")
    assert canvas(page) == paper
    settle(page)
    assert picture(page) == words_only
    page.keyboard.press("Control+Shift+z")
    assert canvas(page) != paper


def test_a_reload_brings_back_drawing_settings_and_frames(open_page):
    page = open_page()
    page.locator("#os-prompt textarea").fill("a green turtle")
    page.get_by_label("Sticker").check(force=True)
    page.locator(".os-seed input[type=number]").fill("4242")
    draw(page, [(0.2, 0.2), (0.8, 0.8)])
    settle(page)
    page.wait_for_timeout(500)
    drawing, shown, frames = canvas(page), picture(page), page.locator(".os-thumb").count()
    page.reload()
    page.wait_for_selector('.os-stage[data-state="ready"].has-picture', timeout=FRAME_TIMEOUT_MS)
    settle(page)
    assert canvas(page) == drawing
    assert page.locator("#os-prompt textarea").input_value() == "a green turtle"
    assert page.locator(".os-seed input[type=number]").input_value() == "4242"
    assert page.get_by_label("Sticker").is_checked()
    assert picture(page) == shown
    assert page.locator(".os-thumb").count() >= frames


def test_a_pinned_frame_is_in_the_library_and_replays_to_identical_pixels(open_page, studio):
    page = open_page()
    page.locator("#os-prompt textarea").fill("an owl")
    draw(page, [(0.3, 0.5), (0.7, 0.5)])
    settle(page)
    page.get_by_role("button", name="Keep", exact=True).click()
    page.wait_for_selector(".os-notice.is-done", timeout=FRAME_TIMEOUT_MS)
    item = studio.ctx.library.items(limit=1)[0]
    pixels, job = studio.ctx.library.open(item.id)
    assert job.prompt == "an owl" and job.image is not None
    assert (studio.ctx.engine.render(job).pixels[0] == pixels).all()
    response = page.request.get(f"{studio.url}studio/library/{item.id}.png")
    assert response.body() == item.path.read_bytes()


def test_an_earlier_frame_can_be_looked_at_and_restored(open_page):
    page = open_page()
    page.locator("#os-prompt textarea").fill("first words")
    draw(page, [(0.2, 0.2), (0.4, 0.4)])
    settle(page)
    drawing, shown = canvas(page), picture(page)
    frame = page.evaluate("() => window.onestroke.live.strip.newest.id")
    page.locator("#os-prompt textarea").fill("other words")
    page.get_by_role("button", name="Clear the drawing").click()
    settle(page)
    page.locator(f'.os-shot[data-id="{frame}"] .os-thumb').click()
    page.wait_for_timeout(300)
    assert picture(page) == shown
    page.get_by_role("button", name="Restore").click()
    page.wait_for_function("() => document.querySelector('#os-prompt textarea').value === 'first words'", timeout=FRAME_TIMEOUT_MS)
    settle(page)
    assert canvas(page) == drawing and picture(page) == shown


def test_any_frame_of_the_strip_is_kept_with_one_click(open_page, studio):
    page = open_page()
    draw(page, [(0.3, 0.5), (0.7, 0.5)], 0.02)
    settle(page)
    page.wait_for_timeout(600)
    page.locator(".os-shot").first.hover()
    page.locator(".os-shot .os-pin").first.click()
    page.wait_for_selector(".os-shot.is-kept", timeout=FRAME_TIMEOUT_MS)
    kept = session_of(studio, page).strip.frames[0]
    assert studio.ctx.library.items(limit=1)[0].digest == kept.job.digest


def test_a_frame_can_be_sent_to_another_tab(open_page, studio_of_two):
    page = open_page(studio_of_two.url)
    page.locator("#os-prompt textarea").fill("a parcel")
    settle(page)
    page.get_by_role("button", name="To Other").click()
    page.wait_for_function("() => document.querySelector('#os-tab-other textarea')?.value === 'a parcel (1, 256, 256, 3)'", timeout=FRAME_TIMEOUT_MS)
    assert page.get_by_label("Received").is_visible()


def test_another_model_changes_what_is_on_offer(open_page, studio):
    other = studio.ctx.engine.catalog.bases["tiny-teacher"]
    page = open_page()
    assert "To Other" not in page.locator(".os-acts").inner_text(), "that tab is not in this studio"
    assert page.get_by_label("Avoid").is_editable(), "the keep-out adapter lets the one-step base avoid words"
    page.get_by_label("Model").click()
    page.get_by_role("option", name=other.title).click()
    page.wait_for_function(f"() => document.querySelector('#os-steps input[type=range]').max === '{other.max_steps}'")
    page.wait_for_function(f"() => window.onestroke.live.settings.base === '{other.id}'")
    assert session_of(studio, page).controls.base == other.id


def test_a_new_seed_comes_from_the_die_or_with_each_stroke_when_unlocked(open_page):
    page = open_page()
    settle(page)
    before, seed = picture(page), page.locator(".os-seed input[type=number]")
    page.get_by_role("button", name="Roll").click()
    changed(page, before)
    rolled = seed.input_value()
    draw(page, [(0.3, 0.5), (0.4, 0.5)])
    settle(page)
    assert seed.input_value() == rolled
    page.get_by_label("Lock").uncheck()
    draw(page, [(0.5, 0.5), (0.6, 0.5)])
    page.wait_for_function(f"() => document.querySelector('.os-seed input[type=number]').value !== '{rolled}'")


def test_the_picture_can_be_pulled_onto_the_canvas(open_page):
    page = open_page()
    settle(page)
    page.get_by_role("button", name="Draw on it").click()
    page.wait_for_function("() => !window.onestroke.live.paper.blank")
    page.wait_for_function("() => document.querySelector('.os-stage').dataset.mode === 'draw'")


def test_two_browsers_do_not_mix(open_page, studio):
    one, two = open_page(), open_page()
    one.locator("#os-prompt textarea").fill("one")
    two.locator("#os-prompt textarea").fill("two")
    draw(one, [(0.1, 0.1), (0.9, 0.1)])
    draw(two, [(0.1, 0.9), (0.9, 0.9)])
    settle(one)
    settle(two)
    first, second = session_of(studio, one), session_of(studio, two)
    assert (first.controls.prompt, second.controls.prompt) == ("one", "two")
    assert first.canvas[51, 256].min() < 128 and second.canvas[51, 256].min() == 255
    assert picture(one) != picture(two)


def test_a_closed_tab_leaves_nothing_behind(open_page, studio):
    page = open_page()
    hub = next(closer.__self__ for closer in studio.ctx.closers)
    draw(page, [(0.1, 0.1), (0.9, 0.9)])
    mine = session_of(studio, page)
    page.close()
    end = time.monotonic() + 15
    while mine in hub.sessions:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert not hub._waiting and mine.closed


@pytest.mark.parametrize("prompt", ["слон на велосипеде 狐 🦊", "long words " * 1000])
def test_any_prompt_is_painted_or_explained(open_page, prompt):
    page = open_page()
    page.locator("#os-prompt textarea").fill(prompt)
    settle(page)
    assert page.locator(".os-notice.is-error").count() == 0
    page.locator("#os-prompt textarea").fill("after")
    settle(page)


def test_a_prompt_beyond_the_limit_is_explained_and_the_next_one_works(open_page):
    page = open_page()
    page.locator("#os-prompt textarea").fill("x" * 20_001)
    page.wait_for_selector(".os-notice.is-error", timeout=FRAME_TIMEOUT_MS)
    assert "20,000 characters" in page.locator(".os-notice-text").inner_text()
    page.locator("#os-prompt textarea").fill("a cat")
    page.wait_for_selector(".os-notice.is-none", state="attached", timeout=FRAME_TIMEOUT_MS)


def test_a_foreign_host_or_origin_or_token_is_refused(open_page, studio):
    page = open_page()
    assert page.request.get(studio.url, headers={"Host": "evil.example"}).status == 400
    refused = page.evaluate("""() => new Promise((resolve) => {
      const socket = new WebSocket(new URL('studio/live/socket?token=nothing', location.href.replace('http', 'ws')));
      socket.onopen = () => resolve(false);
      socket.onerror = () => resolve(true);
    })""")
    assert refused
    assert studio.blocks.has_launched                       # without it Gradio hands out any file of this machine
    for path in ("docs", "openapi.json"):
        assert page.request.get(f"{studio.url}{path}").status == 404


def test_a_lost_connection_comes_back_by_itself_with_everything(open_page, studio):
    page = open_page()
    draw(page, [(0.3, 0.5), (0.7, 0.5)])
    settle(page)
    before, frames = picture(page), page.locator(".os-shot").count()
    page.evaluate("() => window.onestroke.live.wire.socket.close()")
    page.wait_for_selector('.os-stage[data-state="off"]')
    draw(page, [(0.5, 0.2), (0.5, 0.8)])
    page.wait_for_selector('.os-stage[data-state="ready"]', timeout=FRAME_TIMEOUT_MS)
    changed(page, before)
    settle(page)
    assert (session_of(studio, page).canvas[256, 150:360].min(axis=1) < 128).all()
    assert page.locator(".os-shot").count() >= frames


def test_a_new_window_starts_with_the_last_drawing(open_page):
    page = open_page()
    draw(page, [(0.3, 0.5), (0.7, 0.5)])
    page.wait_for_timeout(800)
    drawing = canvas(page)
    page.close()
    again = page.context.new_page()
    again.goto(page.url)
    again.wait_for_selector('.os-stage[data-state="ready"].has-picture', timeout=FRAME_TIMEOUT_MS)
    assert canvas(again) == drawing


def test_one_canvas_too_many_is_told_why(chromium, studio, monkeypatch):
    monkeypatch.setattr("studio.live.hub.MAX_SESSIONS", 0)
    context = chromium.new_context()
    page = context.new_page()
    page.goto(studio.url)
    page.wait_for_selector(".os-notice.is-error", timeout=60_000)
    assert "live canvases are open already" in page.locator(".os-notice-text").inner_text()
    context.close()
