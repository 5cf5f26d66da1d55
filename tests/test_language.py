"""Other languages: catalogues in step with the sources, scripts that say what gettext says, nothing left bare."""

import gettext
import json
import re
import sys
from io import BytesIO
from pathlib import Path

import nbformat
import pytest
from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import write_po
from py_mini_racer import MiniRacer

from course_lib import language
from course_lib.lesson import widgets
from course_lib.lesson.widgets.grid import Grid
from course_lib.lesson.widgets.plane import Plane
from course_lib.lesson.widgets.sampler import Sampler

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT / "site"), str(PROJECT / "tools")]
import messages  # noqa: E402
import words  # noqa: E402

import build as site  # noqa: E402

CATALOGUES = [(domain, file) for domain in messages.DOMAINS for file in messages.catalogues(domain)]
every_catalogue = pytest.mark.parametrize(
    ("domain", "file"), CATALOGUES, ids=[f"{file.parts[-3]}-{domain}" for domain, file in CATALOGUES]
)


def forms(message) -> list[tuple[str, str]]:
    """English words and their translation, of a plural both forms."""
    return list(zip(message.id, message.string)) if message.pluralizable else [(message.id, message.string)]


def named(catalogue) -> set:
    return {message.id for message in catalogue if message.id}


@every_catalogue
def test_a_catalogue_says_what_the_sources_say(domain, file):
    """Else: make messages."""
    catalogue = language.catalogue(file)
    assert named(catalogue) == named(messages.extracted(domain))
    assert not catalogue.obsolete and not any(message.fuzzy for message in catalogue)


@every_catalogue
def test_translations_keep_places_spaces_and_marks(domain, file):
    places = re.compile(r"\{\w*(?::[^}]*)?\}|%\(\w+\)s|</?\w+|`[^`]+`")
    for message in language.catalogue(file):
        for one, other in forms(message) if message.id and messages.translated(message) else ():
            if not (message.pluralizable and one == message.id[0]):  # where there is one, its number need not be said
                assert sorted(places.findall(one)) == sorted(places.findall(other)), one
            assert re.findall(r"^\s|\s$", one) == re.findall(r"^\s|\s$", other), one


@every_catalogue
def test_all_that_lesson_00_and_the_pages_around_it_say_is_translated(domain, file):
    """The plane comes with lesson 03: until that is translated, its words may wait."""
    for message in language.catalogue(file):
        if message.id and any("plane" not in place for place, _ in message.locations):
            assert messages.translated(message), message.id


def test_scripts_take_the_form_that_gettext_takes(tmp_path):
    catalogue = Catalog(locale="pl")  # three forms
    catalogue.add("{n} code of {all}", "{n} kod z {all}")
    catalogue.add(("{n} place", "{n} places"), ("{n} miejsce", "{n} miejsca", "{n} miejsc"), [("words.js", 1)])
    catalogue.add("Undo", "Cofnij", [("words.js", 1)])
    file = tmp_path / "pl" / "LC_MESSAGES" / "course.po"
    file.parent.mkdir(parents=True)
    with file.open("wb") as content:
        write_po(content, catalogue)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    wanted = gettext.GNUTranslations(compiled)

    table = language.table(file, "words.js")
    assert set(table["messages"]) == {"{n} place", "Undo"}  # what another file says stays away
    script = MiniRacer()
    script.eval((widgets.HERE / "words.js").read_text(encoding="utf-8"))
    found = script.eval(
        'JSON.stringify([t("Undo"), tn("{n} place", "{n} places", 1), tn("{n} place", "{n} places", 2)])'
    )
    assert json.loads(found) == ["Undo", "1 place", "2 places"]  # English, before it is told
    script.eval(f"speak({json.dumps(table)})")
    said = 'Array.from({ length: 130 }, (_, n) => tn("{n} place", "{n} places", n))'
    assert json.loads(script.eval(f"JSON.stringify({said})")) == [
        wanted.ngettext("{n} place", "{n} places", n).format(n=n) for n in range(130)
    ]
    assert script.eval('t("Undo")') == "Cofnij" and script.eval('t("{a} of {b}", { a: 0, b: "{a}" })') == "0 of {a}"
    assert script.eval("decimal(1234.5, 2)") == "1234,50"
    script.eval("speak(undefined)")
    assert script.eval('t("Undo")') == "Undo" and script.eval("decimal(1234.5, 2)") == "1234.50"


def test_the_language_is_asked_for_by_name_alone(monkeypatch):
    for name in ("LANG", "LC_ALL", "LANGUAGE"):
        monkeypatch.setenv(name, "de_DE.UTF-8")
    monkeypatch.setenv("COURSE_LANG", "")  # and what was there before comes back
    assert language.language() == "en" and language._("yes") == "yes"
    language.speak("de")
    assert language._("yes") == "ja" and language._("a word that nobody says") == "a word that nobody says"
    with pytest.raises(ValueError, match="the language is 'xx'; wanted one of .*en"):
        language.speak("xx")
    assert language.language() == "de"
    monkeypatch.setenv("COURSE_LANG", "")
    assert Grid().catalogue == {}


# ----------------------------------------------------------------------------------------------------------------------
# A language in which every message stands in brackets: what stands outside of them went past the catalogues


@pytest.fixture
def bracketed(tmp_path, monkeypatch):
    """Esperanto, but ⟦English in brackets⟧."""
    for domain in messages.DOMAINS:
        catalogue = messages.updated(tmp_path / "eo" / "LC_MESSAGES" / f"{domain}.po", messages.extracted(domain))
        for message in catalogue:
            if message.id:
                message.string = tuple(f"⟦{one}⟧" for one in message.id) if message.pluralizable else f"⟦{message.id}⟧"
        file = tmp_path / "eo" / "LC_MESSAGES" / f"{domain}.po"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("wb") as content:
            write_po(content, catalogue)
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    monkeypatch.setattr(words, "FOLDER", tmp_path)
    monkeypatch.setenv("COURSE_LANG", "eo")


SAID = """(root) => {
  const found = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  while (walker.nextNode())
    if (!walker.currentNode.parentElement.closest("script, style, textarea, noscript, pre, code"))
      found.push(walker.currentNode.textContent);
  for (const node of [root, ...root.querySelectorAll("*")])
    for (const name of ["aria-label", "aria-valuetext", "aria-roledescription", "title", "placeholder", "alt"])
      if (node.hasAttribute(name)) found.push(node.getAttribute(name));
  return found;
}"""
NAMES = {"MSE", "NMSE", "MNIST"}


LETTERS = re.compile(r"[^\W\d_]{2,}")  # single ones, T and K, are symbols


def without_brackets(text: str) -> str:
    while (less := re.sub("⟦[^⟦⟧]*⟧", "", text)) != text:
        text = less
    return text


def bare(root) -> set[str]:
    """What an element says to eyes and ears outside of brackets."""
    return {text for text in root.evaluate(SAID) if set(LETTERS.findall(without_brackets(text))) - NAMES}


@pytest.mark.slow
@pytest.mark.parametrize(
    "widget", [Grid, lambda: Grid("cifar10"), Sampler, Plane], ids=["grid", "photo", "sampler", "plane"]
)
def test_a_widget_says_nothing_past_the_catalogues(visit, bracketed, widget):
    """Whatever is pressed; so the first words of each part are heard, and most that follow."""
    shown = widget()
    with visit(widgets.page(shown, weights=shown.weights)) as page:
        root = page.locator(".vq-widget")
        root.wait_for()
        assert "⟦" in root.inner_text() and not bare(root)
        buttons = root.locator("button:not([data-kind])")  # those of the plane lie below its picture
        for place in range(buttons.count()):
            button = buttons.nth(place)
            if button.is_visible() and button.is_enabled():
                button.click()
                page.wait_for_timeout(120)
                assert not bare(root), place
        for select in root.locator("select:visible").all():
            for option in select.locator("option").all():
                select.select_option(option.get_attribute("value"))
                page.wait_for_timeout(60)
                assert not bare(root)


@pytest.mark.slow
def test_a_page_says_nothing_past_the_catalogues(visit, bracketed, tmp_path):
    """Lesson 00 and the front page, but for what the lesson's own cells, the theme and the names of languages give."""
    lesson = nbformat.read(PROJECT / "notebooks" / "00_the_whole_game.ipynb", 4)
    for cell in lesson.cells:
        cell.source = re.sub(r"\]\(\d\d_\w+\.ipynb", "](00_the_whole_game.ipynb", cell.source)  # the one that is there
    lesson.metadata["course"]["made"]["data"]["fsdd"] = "sample"  # a box tells of it
    lesson.metadata["course"]["made"]["machine"] = "2 cores"
    for folder in ("notebooks", "notebooks/eo"):
        (tmp_path / folder).mkdir()
        nbformat.write(lesson, tmp_path / folder / "00_the_whole_game.ipynb")
    assert site.main(["--project", str(tmp_path), "--out", str(tmp_path / "course")]) == 0
    with visit(tmp_path / "course/eo/index.html") as page:
        said = without_brackets(page.locator("main article").inner_text())  # as one: a message may hold emphasis
        names = {"make", "course", "lab", "The", "whole", "game"}  # commands, and the lesson's title
        assert set(LETTERS.findall(said)) <= names
    with visit(tmp_path / "course/eo/notebooks/00_the_whole_game.html") as page:
        assert page.locator("html").get_attribute("lang") == "eo"
        assert not {text for text in page.locator("body").evaluate(SAID) if text in words.FIXED}
        parts = page.locator(".facts, .made, .notice, details.hide > summary, .extra_footer")
        assert parts.count() >= 5
        for part in parts.all():
            assert not set(LETTERS.findall(without_brackets(part.inner_text()))) - NAMES
        forms = page.locator(".vq-prediction")
        assert forms.count() == 3
        asked = [json.loads(form.get_attribute("data-prediction"))["questions"] for form in forms.all()]
        said = {question["name"] for questions in asked for question in questions} | {"some tens", "hundreds"}
        said |= {"the 16 of its block"} | {question["tempting"] for questions in asked for question in questions}
        for form in forms.all():
            assert bare(form) <= said
            form.get_by_role("button", name="⟦Check⟧").click()  # nothing is answered yet
            assert bare(form) <= said
            form.get_by_role("button", name="⟦Show without a guess⟧").click()
            form.get_by_role("button", name="⟦Start again⟧").click()
            for field in form.locator("input[type=text]").all():
                field.fill("seven")
            form.get_by_role("button", name="⟦Check⟧").click()  # no number
            assert bare(form) <= said
            for field in form.locator("input[type=text]").all():
                field.fill("7")
            for field in form.locator("select").all():
                field.select_option(index=1)
            for field in form.locator("input[type=radio]:first-child").all():
                field.check()
            form.get_by_role("button", name="⟦Check⟧").click()
            assert "held" in form.inner_text()
            assert bare(form) <= said
        for outcome in page.locator(".vq-outcomes thead, .vq-outcome > summary").all():
            assert not bare(outcome)
