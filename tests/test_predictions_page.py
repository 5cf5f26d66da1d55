"""Predictions on a page: what `site/predictions.py` makes of a notebook, and what a reader does with it."""

import json
import re
import sys
from copy import deepcopy
from html import unescape
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from nbformat import v4
from py_mini_racer import MiniRacer

from course_lib.lesson.predict import Comparison, Question

SITE = Path(__file__).parent.parent / "site"
sys.path.insert(0, str(SITE))
import predictions  # noqa: E402

QUESTIONS = [
    Question("reaches x", False, (), "Every step has a derivative, except `argmin`."),
    Question("count & sum", 281474976710656),
    Question("error", 0.4356),
    Question("best", "q", ("x", "q", "neither"), "It ends in + x."),
]
GUESS = 'guess = {"reaches x": ..., "count & sum": ..., "error": ..., "best": ...}  # several kinds'


def notebook(guess=GUESS, questions=QUESTIONS, within=0.1):
    """Text, a guess, training, the outcome with a line printed, a figure whose code is folded, text, a last cell."""
    shown = v4.new_output("display_data", data=Comparison(questions, {}, within)._repr_mimebundle_())
    printed = v4.new_output("stream", name="stdout", text="1 < 2\n")
    figure = v4.new_output("display_data", data={"text/html": '<img alt="a figure" src="">'})
    cells = [
        v4.new_markdown_cell("What happens?"),
        v4.new_code_cell(guess),
        v4.new_code_cell("loss.backward()", outputs=[v4.new_output("stream", name="stdout", text="100%\n")]),
        v4.new_code_cell("compare(guess, found)", outputs=[shown, printed]),
        v4.new_code_cell("draw()", outputs=[figure], metadata={"tags": ["hide-input"]}),
        v4.new_markdown_cell("So it is."),
        v4.new_markdown_cell("And now?"),
        v4.new_code_cell(
            "1 + 1",
            outputs=[v4.new_output("execute_result", data={"text/plain": "2"})],
            metadata={"tags": ["answer:my_sum"]},
        ),
    ]
    return v4.new_notebook(cells=cells)


def outputs(cell):
    return [output.data.get("text/html", output.data.get("text/plain")) for output in cell.outputs]


def test_a_form_stands_under_the_guess_and_outputs_are_folded_up_to_the_next_text():
    page = notebook()
    predictions.prepare(page)
    _, guess, training, compared, figure, *_, after = page.cells
    (form,) = outputs(guess)
    data = json.loads(unescape(re.search('data-prediction="(.+?)"', form)[1]))
    assert data == {"questions": [question.as_json() for question in QUESTIONS], "within": 0.1}
    assert guess.metadata.tags == ["remove-input"]
    for cell, content in ((training, "100%"), (compared, "281474976710656"), (figure, "<img")):
        (html,) = outputs(cell)
        assert html.startswith('<details class="vq-outcome" data-number="1"><summary>') and content in html
    assert "count &amp; sum" in outputs(compared)[0] and "1 &lt; 2" in outputs(compared)[0]
    assert "run both cells" not in outputs(compared)[0], "a page has no cells to run"
    assert outputs(after) == ["2"]


def test_what_is_below_a_folded_figure_is_text():
    page = notebook()
    words = {"text/markdown": "*See `q` at $x_1$.*", "text/plain": "<Markdown object>"}
    page.cells[4].outputs.append(v4.new_output("display_data", data=words))
    predictions.prepare(page)
    (html,) = outputs(page.cells[4])
    assert "<em>See <code>q</code> at <span" in html and "<msub>" in html and "Markdown" not in html


def test_a_guess_that_stands_among_other_lines_keeps_its_code():
    page = notebook(guess=f"x = 1\n{GUESS}")
    predictions.prepare(page)
    assert "tags" not in page.cells[1].metadata


def test_a_lesson_that_stopped_before_the_outcome_stays_as_it_is():
    page = notebook()
    page.cells[3].outputs = []
    before = deepcopy(page)
    predictions.prepare(page)
    assert page == before


def test_an_error_stands_open():
    page = notebook()
    error = v4.new_output("error", ename="NameError", evalue="name 'draw' is not defined", traceback=[])
    page.cells[4].outputs = [error]
    predictions.prepare(page)
    assert page.cells[4].outputs == [error] and outputs(page.cells[3])[0].startswith("<details")


@pytest.fixture(scope="module")
def core():
    context = MiniRacer()
    context.eval((SITE / "static" / "predictions.js").read_text(encoding="utf-8"))
    return lambda call: context.eval(call)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), (" -2 ", -2), ("1,536", 1536), ("0,5", 0.5), ("50%", 0.5), ("8^16", 8**16), ("8**16", 8**16),
     ("16 x 3", 48), ("16 × 3", 48), ("7.9e5", 7.9e5), ("281474976710656", 8**16), ("1/3", 1 / 3),
     ("log2(64)", 6), ("5*Log2(2)", 5), ("sqrt(16)/2", 2)],
)  # fmt: skip
def test_numbers_are_read_as_people_write_them(core, text, value):
    assert core(f"vqPredictions.number({json.dumps(text)})") == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("text", ["four", "1 2", "(", "alert(1)", "1;2", "[]", "log2", "xlog2(4)"])
def test_what_is_no_number_is_told_apart(core, text):
    assert core(f"Number.isNaN(vqPredictions.number({json.dumps(text)}))")


def test_it_judges_as_compare_does(core):
    for outcome in (0.4356, 48, 0.0, float("inf")):
        question = Question("a", outcome)
        for within in (0.0, 0.1, 0.5):
            for value in (0.0, 0.43, 0.4356, 0.48, 0.49, 44, 48, 52.8, 53.4, 1e12):
                call = f"vqPredictions.holds({json.dumps(question.as_json())}, {value}, {within})"
                assert core(call) == question.holds(value, within), (outcome, within, value)
    assert core('vqPredictions.holds({"kind": "number", "outcome": "inf"}, vqPredictions.number("inf"), 0.1)')


# --- In a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def html():
    """A page as MyST-NB lays it out: each cell in its own frame, hidden code folded, the theme's switch on <html>."""
    prepared = notebook()
    predictions.prepare(prepared)
    body = []
    for cell in prepared.cells:
        if cell.cell_type == "markdown":
            body.append(f"<p>{cell.source}</p>")
            continue
        tags = cell.metadata.get("tags", [])
        code = "" if "remove-input" in tags else f'<div class="cell_input"><pre tabindex="0">{cell.source}</pre></div>'
        shown = "".join(f'<div class="output text_html">{html}</div>' for html in outputs(cell))
        classes = " ".join(f"tag_{tag}" for tag in tags)
        body.append(f'<div class="cell {classes}">{code}<div class="cell_output">{shown}</div></div>')
    style, script = ((SITE / "static" / f"predictions.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Lesson</title>'
        '<meta name="viewport" content="width=device-width">'
        "<style>body { margin: 1rem; font: 16px/1.5 sans-serif; background: var(--pst-color-background, #fff) }"
        'html[data-theme="dark"] { --pst-color-text-base: #d6dde4; --pst-color-text-muted: #a7b3bf;'
        "--pst-color-border: #36414c; --pst-color-background: #14181e; --pst-color-surface: #1c232b;"
        "--pst-color-primary: #6cb8f0; color: #d6dde4 } pre { overflow: auto }"
        f"{style}</style><script>{script}</script></head><body><main><h1>Lesson</h1>{''.join(body)}</main></body></html>"
    )


def opened(page):
    return page.locator(".vq-outcomes").is_visible()


def verdicts(page):
    return page.locator(".vq-question").evaluate_all("rows => rows.map(row => row.dataset.verdict || '')")


def test_the_outcome_waits_for_a_guess_by_mouse(visit, html):
    with visit(html) as page:
        assert not opened(page) and not page.get_by_alt_text("a figure").is_visible()
        assert not page.get_by_text("draw()").is_visible() and page.get_by_text("loss.backward()").is_visible()
        page.get_by_role("group", name="reaches x").get_by_label("yes").check()
        page.get_by_label("count & sum").fill("8^16")
        page.get_by_label("best").select_option("q")
        page.get_by_role("button", name="Check").click()
        assert opened(page) and page.get_by_text("draw()").is_visible() and page.get_by_text("100%").is_visible()
        assert verdicts(page) == ["differs", "holds", "", "holds"]
        assert page.get_by_role("status").inner_text() == "2 of 3 held, numbers within 10%."
        told = page.locator(".vq-result").first
        assert told.inner_text() == "Differs: no. Every step has a derivative, except argmin."
        assert told.locator("code").inner_text() == "argmin"


def test_the_keyboard_alone_is_enough(visit, html):
    with visit(html) as page:
        press = page.keyboard.press
        press("Tab"), press("ArrowRight")  # the second of yes and no
        press("Tab"), press("Tab"), page.keyboard.type("0.45")
        press("Tab"), press("ArrowDown")
        press("Tab"), press("Enter")
        assert opened(page) and verdicts(page) == ["holds", "", "holds", "differs"]
        press("Tab"), press("Enter")  # start again
        assert not opened(page) and page.get_by_label("error").input_value() == ""
        assert page.evaluate("document.activeElement.value") == "yes", "the first answer has the focus"


def test_the_outcome_opens_on_asking_and_folds_again(visit, html):
    with visit(html) as page:
        page.get_by_role("button", name="Show without a guess").click()
        assert opened(page) and set(verdicts(page)) == {""} and page.get_by_role("status").inner_text() == ""
        assert page.locator(".vq-result").all_inner_texts()[-2:] == ["Outcome: 0.4356.", "Outcome: q."]
        page.get_by_role("button", name="Start again").click()
        assert not opened(page)


def test_the_text_that_tells_the_outcome_waits_too(visit, html):
    with visit(html) as page:
        assert not page.get_by_text("So it is.").is_visible() and page.get_by_text("And now?").is_visible()
        assert page.get_by_text("waits below").is_visible()
    with visit(html.replace("tag_answer:my_sum", "")) as page:
        assert not page.get_by_text("And now?").is_visible(), "it leads on to no question"
    with visit(html) as page:
        page.emulate_media(media="print")
        assert page.get_by_text("So it is.").is_visible(), "on paper nothing waits"
        page.emulate_media(media="screen")
        page.get_by_role("button", name="Show without a guess").click()
        assert page.get_by_text("So it is.").is_visible() and not page.get_by_text("waits below").is_visible()


def test_without_an_answer_or_with_one_that_is_none_nothing_opens(visit, html):
    with visit(html) as page:
        page.get_by_role("button", name="Check").click()
        assert "at least one" in page.get_by_role("status").inner_text() and not opened(page)
        page.get_by_label("error").fill("a lot")
        page.get_by_label("error").press("Enter")
        assert "“a lot” is not a number" in page.get_by_role("status").inner_text() and not opened(page)
        assert page.get_by_label("error").get_attribute("aria-invalid") == "true"
        page.get_by_label("error").fill("0.4")
        page.get_by_label("error").press("Enter")
        assert opened(page) and verdicts(page)[2] == "holds"


def test_a_guess_is_remembered_until_one_starts_again(visit, html):
    with visit(html) as page:
        page.get_by_label("error").fill("0.9")
        page.get_by_role("button", name="Check").click()
        page.wait_for_timeout(300)  # for the browser to store it
        page.reload()
        page.locator('.vq-prediction[data-state="open"]').wait_for()
        assert opened(page) and page.get_by_label("error").input_value() == "0.9" and verdicts(page)[2] == "differs"
        page.get_by_role("button", name="Start again").click()
        page.reload()
        assert not opened(page) and page.get_by_label("error").input_value() == ""


def test_it_works_where_nothing_can_be_stored(visit, html):
    forbidden = "<script>Object.defineProperty(window, 'localStorage', { get() { throw new Error('no') } })</script>"
    with visit(html.replace("<script>", forbidden + "<script>", 1)) as page:
        page.get_by_label("error").fill("0.44")
        page.get_by_role("button", name="Check").click()
        assert opened(page)


def test_without_scripts_the_outcome_is_a_fold(visit, html):
    with visit(html, java_script_enabled=False) as page:
        assert page.locator("noscript").is_visible() and not opened(page)
        page.get_by_text("Show the outcome").nth(1).click()
        assert opened(page)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_and_axe_finds_nothing(visit, html, width, dark):
    page_html = html.replace('<html lang="en">', f'<html lang="en" data-theme="{"dark" if dark else "light"}">')
    with visit(page_html, width=width, dark=dark) as page:
        for name in ("waiting", "open"):
            if name == "open":
                page.get_by_role("group", name="reaches x").get_by_label("yes").check()
                page.get_by_label("error").fill("0.44")
                page.get_by_role("button", name="Check").click()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            found = Axe().run(page)
            assert found.violations_count == 0, (name, found.generate_report())
