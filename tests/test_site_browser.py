"""The whole site as a reader has it: opened from disk in a real browser, wide and narrow, light and dark."""

import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "site"))
import build as site

pytestmark = pytest.mark.slow
ALL_RULES = {"preload": False, "resultTypes": ["violations"]}  # from disk axe cannot fetch style sheets, nor need it
COLOURS = {**ALL_RULES, "runOnly": ["color-contrast", "link-in-text-block"]}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "course"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COURSE_URL", raising=False)
        assert site.main(["--out", str(out)]) == 0
    return out


def pages(course: Path) -> list[Path]:
    return [file for file in sorted(course.rglob("*.html")) if "_static" not in file.parts]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_wider_than_the_screen_or_keeps_anybody_from_reading(course, visit, dark):
    """Each page is opened once, as that takes longest: no request leaves, no error in the console."""
    found = []
    for file in pages(course):
        with visit(file, dark=dark) as page:
            for width in (390, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, file
            page.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
            for fault in Axe().run(page, options=COLOURS if dark else ALL_RULES).response["violations"]:
                where = [node["html"][:100] for node in fault["nodes"][:3]]
                found.append(f"{file.relative_to(course)}: {fault['id']}, {len(fault['nodes'])} times: {where}")
    assert not found, "\n".join(found)


def test_search_from_every_page(course, visit):
    with visit(course / "notebooks/04_straight_through.html") as page:
        page.keyboard.press("Control+k")
        page.keyboard.type("perplexity")
        page.keyboard.press("Enter")
        found = page.locator("#search-results li a")
        found.first.wait_for()
        assert any("06_ema_updates" in link.get_attribute("href") for link in found.all())


def test_dark_mode_is_remembered(course, visit):
    with visit(course / "index.html") as page:
        switch = page.get_by_role("button", name="Color mode").first
        switch.click()
        page.get_by_role("button", name="Dark").first.click()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        page.get_by_role("link", name="Begin with lesson 00").click()
        page.get_by_role("heading", name="The whole game").wait_for()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        background = page.evaluate("getComputedStyle(document.querySelector('img.figure')).backgroundColor")
        assert background == "rgb(255, 255, 255)"  # a figure's ink is black


def test_print_shows_the_lesson_alone(course, visit):
    with visit(course / "notebooks/01_why_discrete.html") as page:
        page.emulate_media(media="print")
        assert page.get_by_role("heading", name="Why discrete?").first.is_visible()
        for beside in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".bd-header-article"):
            assert not page.locator(beside).first.is_visible(), beside


def test_sound_and_copy_buttons(course, visit):
    with visit(course / "notebooks/12_sound_and_video.html") as page:
        player = page.locator("audio").first
        page.wait_for_function("(player) => player.readyState >= 1", arg=player.element_handle())
        assert player.evaluate("(player) => player.duration") > 0.1
        button = page.locator(".copybtn").first
        assert button.get_attribute("aria-label") or button.get_attribute("data-tooltip")
