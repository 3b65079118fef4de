"""The models tab through a real browser: search, memory, load, pin, unload, add, and texts that stay texts."""
from __future__ import annotations

import pytest

from tests.browser.page import FRAME_TIMEOUT_MS
from tests.unit.test_shelf import lora_file


@pytest.fixture
def models_page(open_page, studio, tmp_path):
    """The models tab of a studio that knows one strange LoRA and one broken file besides the tiny bases."""
    shelf = studio.ctx.engine.catalog.shelf
    evil = {"modelspec.title": "<b id=evil>Ink</b>", "modelspec.trigger_phrase": "inky, <i>blue</i>", "modelspec.author": "A. Hand"}
    good = lora_file(shelf.folder / "loras/blue ink.safetensors", **evil)
    (shelf.folder / "loras/short.safetensors").write_bytes(good.read_bytes()[:-5])
    shelf.refresh()
    page = open_page()
    page.get_by_role("tab", name="Models").click()
    page.wait_for_selector('.os-models[data-state="ready"]', timeout=FRAME_TIMEOUT_MS)
    return page


def row(page, id):
    return page.locator(f'.om-row[data-id="{id}"]')


def test_memory_shows_what_is_loaded_and_follows_the_buttons(models_page):
    page, teacher = models_page, row(models_page, "tiny-teacher")
    assert "of" in page.locator(".om-used").inner_text() and page.locator(".om-bar i").count() >= 1
    teacher.get_by_role("button", name="Pin", exact=True).click()
    page.wait_for_selector('.om-row[data-id="tiny-teacher"][data-state="pinned"]', timeout=FRAME_TIMEOUT_MS)
    held = page.locator(".om-resident li", has=page.locator('[title="tiny-teacher"]'))
    assert "loaded in" in held.inner_text() and "used" in held.inner_text() and "pinned" in held.inner_text()
    teacher.get_by_role("button", name="Unpin").click()
    page.wait_for_selector('.om-row[data-id="tiny-teacher"][data-state="resident"]', timeout=FRAME_TIMEOUT_MS)
    teacher.get_by_role("button", name="Unload").click()
    page.wait_for_selector('.om-row[data-id="tiny-teacher"][data-state="absent"]', timeout=FRAME_TIMEOUT_MS)
    assert held.count() == 0


def test_models_are_searched_and_their_metadata_is_text(models_page):
    page = models_page
    page.get_by_label("Search models").fill("inky")
    page.wait_for_function("() => document.querySelectorAll('.om-row').length === 1", timeout=FRAME_TIMEOUT_MS)
    row(page, "blue-ink").locator(".om-open").click()
    details = page.locator(".om-details")
    details.wait_for(timeout=FRAME_TIMEOUT_MS)
    assert "A. Hand" in details.inner_text() and "<i>blue</i>" in details.inner_text() and page.locator("#evil").count() == 0
    page.get_by_label("Search models").fill("")
    page.get_by_role("button", name="VAEs").click()
    page.wait_for_function("() => document.querySelector('.om-more span').textContent.startsWith('No model matches')", timeout=FRAME_TIMEOUT_MS)


def test_a_broken_file_says_why_and_has_no_buttons(models_page):
    page = models_page
    page.get_by_label("Search models").fill("short")
    row(page, "short").locator(".om-open").click()
    page.locator(".om-error").wait_for(timeout=FRAME_TIMEOUT_MS)
    assert "5 bytes are missing" in page.locator(".om-error").inner_text() and row(page, "short").locator(".om-acts button").count() == 0


def test_a_file_is_added_by_its_path_or_refused_with_the_reason(models_page, tmp_path):
    page = models_page
    page.get_by_label("Path or hub id").fill(str(tmp_path / "nothing.safetensors"))
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_selector(".om-notice.is-error", timeout=FRAME_TIMEOUT_MS)
    assert "cannot be read" in page.locator(".om-notice").inner_text()
    page.get_by_label("Path or hub id").fill(str(lora_file(tmp_path / "far away.safetensors")))
    page.get_by_role("button", name="Add", exact=True).click()
    page.wait_for_selector(".om-notice.is-done", timeout=FRAME_TIMEOUT_MS)
    assert row(page, "far-away").count() == 1


def test_a_hub_model_shows_its_size_and_waits_for_a_click(models_page, monkeypatch, tmp_path):
    from models import hub
    page, path, fetched = models_page, lora_file(tmp_path / "hub/from afar.safetensors"), []
    parcel = hub.Parcel("owner/afar", "main", (("from afar.safetensors", 12_000_000, ""),), "from afar.safetensors")
    monkeypatch.setattr(hub, "look_up", lambda source: parcel)
    monkeypatch.setattr(hub, "fetch", lambda parcel, report: fetched.append(parcel) or path)
    page.get_by_label("Path or hub id").fill("owner/afar")
    page.get_by_role("button", name="Add", exact=True).click()
    button = page.get_by_role("button", name="Download 12 MB")
    button.wait_for(timeout=FRAME_TIMEOUT_MS)
    assert not fetched
    button.click()
    page.wait_for_selector(".om-notice.is-done", timeout=FRAME_TIMEOUT_MS)
    assert fetched == [parcel] and row(page, "from-afar").count() == 1
