"""The library tab through a real browser: what was kept is there, is found, thrown away and got back, and travels to other tabs."""
from __future__ import annotations

import numpy as np
import pytest

from models.job import Extent, Job
from tests.browser.page import FRAME_TIMEOUT_MS

WORDS = ("a green frog", "<b id=evil>a red fox</b>", "a blue whale")


@pytest.fixture
def library_page(open_page, studio):
    """The library tab of a studio that holds exactly three pictures, the newest first."""
    library = studio.ctx.library
    library.trash(library.ids())
    library.delete(library.trashed())
    for i, words in enumerate(WORDS):
        library.keep(np.full((64, 64, 3), 60 * i + 60, np.uint8), Job(words, "tiny-student", seeds=(i,), extent=Extent(64, 64)))
    page = open_page()
    page.get_by_role("tab", name="Library").click()
    page.wait_for_selector('.os-library[data-state="ready"]', timeout=FRAME_TIMEOUT_MS)
    shows(page, 3)
    return page


def shows(page, count: int) -> None:
    page.wait_for_function(f"() => document.querySelectorAll('.lb-cell').length === {count}", timeout=FRAME_TIMEOUT_MS)


def names(page) -> list[str]:
    return page.locator(".lb-cell").evaluate_all("cells => cells.map((cell) => cell.title)")


def test_pictures_are_found_by_words_and_words_are_text(library_page):
    page = library_page
    assert names(page) == list(WORDS[::-1]) and page.locator("#evil").count() == 0
    page.get_by_label("Search the library").fill("fox")
    shows(page, 1)
    page.locator(".lb-cell").dblclick()
    page.locator(".lb-detail dl").wait_for(timeout=FRAME_TIMEOUT_MS)
    assert WORDS[1] in page.locator(".lb-words").inner_text() and "tiny-student" in page.locator(".lb-detail dl").inner_text()
    page.get_by_label("Search the library").fill("nothing")
    shows(page, 0)


def test_a_star_the_trash_and_undo(library_page, studio):
    page = library_page
    page.locator(".lb-cell").nth(1).click()
    page.get_by_role("button", name="Star", exact=True).click()
    page.locator(".lb-star").wait_for(timeout=FRAME_TIMEOUT_MS)
    page.locator(".lb-cell").nth(0).click()
    page.locator(".lb-cell").nth(2).click(modifiers=["Control"])
    page.get_by_role("button", name="Throw away").click()
    shows(page, 1)
    assert studio.ctx.library.usage()["trashed"] == 2
    page.get_by_role("button", name="Undo").click()
    shows(page, 3)
    page.get_by_role("button", name="Starred").click()
    shows(page, 1)
    assert names(page) == [WORDS[1]]


def test_the_keyboard_walks_and_throws_away(library_page):
    page = library_page
    page.locator(".lb-scroll").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelectorAll('.lb-cell')[1].getAttribute('aria-selected') === 'true'", timeout=FRAME_TIMEOUT_MS)
    page.keyboard.press("Delete")
    shows(page, 2)
    assert names(page) == [WORDS[2], WORDS[0]]


def test_two_are_compared_and_one_goes_to_another_tab(library_page):
    page = library_page
    page.locator(".lb-cell").nth(0).click()
    page.locator(".lb-cell").nth(1).click(modifiers=["Control"])
    page.get_by_role("button", name="Compare").click()
    assert WORDS[2] in page.locator(".lb-detail dl").inner_text() and page.locator(".lb-swipe img").count() == 2
    page.locator(".lb-cell").nth(0).dblclick()
    page.get_by_role("button", name="To Layers").click()
    page.wait_for_selector("#os-tab-layers-button[aria-selected=true]", timeout=FRAME_TIMEOUT_MS)
