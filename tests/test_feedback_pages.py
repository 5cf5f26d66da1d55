"""Students' pages: their own code beside what came of it. A stranger's text is shown and can act on nothing."""

import re
import time
from datetime import UTC, date, datetime, timedelta, timezone
from html.parser import HTMLParser

import hostile
import pytest
from axe_playwright_python.sync_playwright import Axe

from course_lib.check.exercises import EXERCISES
from course_lib.check.judge import draw_calls
from course_lib.check.observe import run_all
from course_lib.grade import listing, pages, settings
from course_lib.grade.examiner import Examiner
from course_lib.grade.finding import VERDICTS, Finding
from course_lib.grade.inside import wire
from course_lib.grade.marks import ByHand, Comment, Mark, Row
from course_lib.grade.sandbox import Reply
from course_lib.grade.submissions import Notebook

NAME, LESSON = hostile.NAME, hostile.LESSON
MOST_BYTES = 300_000


def notebook(*sources, tags=(), handed_in=None) -> Notebook:
    """Cells 1, 2, ...; the tags of the first one."""
    cells = [{"number": n, "source": s, "tags": list(tags) if n == 1 else []} for n, s in enumerate(sources, 1)]
    return Notebook("ann", LESSON, tuple(cells), "d", handed_in=handed_in)


def found(verdict="wrong", rows=(("came", "this"),), check=NAME, **more) -> Finding:
    return Finding("ann", LESSON, check, "d", verdict, float(verdict == "pass"), f"{check}: it", rows, **more)


def row_of(*findings: Finding, cells: Notebook | None = None, student="ann", row=None, **more) -> Row:
    mark = Mark(LESSON, list(findings), dict.fromkeys([f.check for f in findings], 2.0), notebook=cells, **more)
    return Row(student, [mark], **row or {})


def page(*findings: Finding, **more) -> str:
    return pages.student(row_of(*findings, **more))


class Elements(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and texts by the class around them."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open.append(dict(attributes).get("class") or tag)

    def handle_endtag(self, tag):
        self._open.pop()

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text):
        self.texts.append((self._open[-1] if self._open else "", text))


def lines_of(text: str) -> list[tuple[bool, str]]:
    """Each line of code: whether it is marked, and what it says."""
    line = r'<span class="line( marked)?"><span class="text">(.*?)</span></span>(?=<span class="line|</code>)'
    lines = re.findall(line, text)
    return [(bool(marked), "".join(text for _, text in Elements(line).texts)) for marked, line in lines]


# ----------------------------------------------------------------------------------------------------------------------
# Their own code


@pytest.mark.parametrize(
    "sources, tags, number, shown",
    [
        (("x = 1", hostile.RIGHT, hostile.WRONG), (), 0, 3),
        ((hostile.RIGHT, hostile.WRONG), (), 1, 1),
        ((hostile.RIGHT, hostile.WRONG), (hostile.TAG,), 0, 1),
        (("", "print(1)\n" + hostile.RIGHT), (hostile.TAG,), 0, 2),
        (("# nothing yet", "print(straight_through)"), (hostile.TAG,), 0, 1),
        (("x = 1", "straight_through = lambda x, q: x"), (), 0, 2),
        (("x = 1", "class straight_through: pass"), (), 0, 2),
        (("x = 1", "def straight_through_old(x): pass"), (), 0, None),
    ],
)  # fmt: skip
def test_the_cell_that_was_judged_is_shown(sources, tags, number, shown):
    cell = listing.cell_of(notebook(*sources, tags=tags), NAME, number)
    assert (cell and cell["number"]) == shown
    text = page(found(cell=number), cells=notebook(*sources, tags=tags))
    if shown and sources[shown - 1]:
        assert [line for _, line in lines_of(text)] == sources[shown - 1].rstrip("\n").split("\n")
        assert f"cell {shown} of the notebook" in text
    else:
        assert "There is no code for this answer." in text


CODE = "# first\ndef straight_through(x, q):\n    y = x + nowhere\n    return y\n"


@pytest.mark.parametrize(
    "verdict, said, marked",
    [
        ("raised", "NameError: name 'nowhere' is not defined\nline 3: y = x + nowhere", [3]),
        ("syntax", "line 3: invalid syntax\n    y = x + nowhere", [3]),
        ("raised", "NameError: name 'nowhere' is not defined\nline 3: z = nowhere", []),  # of another cell
        ("raised", "NameError: name 'nowhere' is not defined\nline 33: y = x + nowhere", []),
        ("raised", "ValueError: said by a stranger:\nline 4: nothing of the kind", []),
        ("wrong", "result at [0]: 3", []),
    ],
)
def test_the_line_that_an_error_names_is_marked(verdict, said, marked):
    text = page(found(verdict, (("came", said), ("wanted", "an answer"))), cells=notebook(CODE))
    assert [number for number, (is_marked, _) in enumerate(lines_of(text), 1) if is_marked] == marked


def test_what_nobody_would_see_is_shown_by_its_number():
    source = "x = 1  # \u202e\u2066 right to left \u200b\u00a0\ufeff\x1b[31m\ny = '\u3164\u034f'\td\u0308\n"
    text = page(found(), cells=notebook(source, tags=(hostile.TAG,)))
    marks = [said for kind, said in Elements(text).texts if kind == "mark"]
    assert marks == ["U+202E", "U+2066", "U+200B", "U+00A0", "U+FEFF", "U+001B", "U+3164", "U+034F"]
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff\u00a0\x1b\u3164\u034f]", text)
    assert 'title="RIGHT-TO-LEFT OVERRIDE"' in text and "d\u0308" in text and "\t" in text


def test_colours_are_of_the_code_and_lose_nothing_of_it():
    source = 'def f(x):\n    """Why."""\n\n    return x + 1  # one\r\n\tpass\rz = f"{x!r:>3}"\n'
    kinds = {kind for line in listing.lines_of(source) for kind, _ in line}
    assert {"keyword", "string", "number", "comment", "name"} <= kinds
    lines = ["".join(text for _, text in line) for line in listing.lines_of(source)]
    assert lines == source.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")


# ----------------------------------------------------------------------------------------------------------------------
# What a stranger wrote

HARMLESS = set(
    "html head meta title style body a main p h1 h2 h3 h4 table thead tbody tr th td div span code details summary "
    "br".split()
)
ATTACKS = [
    "</span></code></div><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% include 'page.html' %}",
    "</style><style>* { display: none }",
    "<!-- ",
    "javascript:alert(1)",
    "' onmouseover='alert(1)",
    "&lt;script&gt;",
    "\0\ud800\u2028</title>",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_strangers_code_is_shown_and_acts_on_nothing(attack):
    rows = (("came", attack), ("wanted", "x"))
    finding = Finding("ann", LESSON, NAME, "d", "raised", 0.0, attack, rows)
    cells = notebook(f"# {attack}\nx = '''{attack}'''\n", tags=(hostile.TAG,))
    more = {"notes": [attack], "comments": [Comment("ann", attack, attack), Comment("ann", attack, attack, NAME)]}
    text = page(
        finding, cells=cells, student=attack, row=more, by_hand={NAME: ByHand("ann", NAME, 1.0, attack, attack)}
    )
    seen = Elements(text)
    for tag, attributes in seen.elements:
        assert tag in HARMLESS and not [name for name in attributes if name.startswith("on")]
        assert {"src", "action", "srcdoc"}.isdisjoint(attributes) and attributes.get("href", "#main") == "#main"
    assert "49" not in text
    shown = "".join(said for _, said in seen.texts)
    assert attack.replace("\0", "U+0000").replace("\ud800", "U+D800").replace("\u2028", "U+2028") in shown
    assert [tag for tag, _ in seen.elements].count("style") == 1


@pytest.mark.parametrize("name", [*hostile.CELLS, *hostile.FAIR])
def test_hostile_answers_have_a_page(name):
    if name in hostile.CELLS:
        sources = [hostile.CELLS[name][1]]
    else:
        sources = [part[0] if isinstance(part, tuple) else part for part in hostile.FAIR[name]]
    text = page(found("raised"), cells=notebook(*sources, tags=(hostile.TAG,)))
    assert "<script" not in text and "\x1b" not in text and len(text.encode()) < MOST_BYTES


LONG = {
    "two thousand lines": "def straight_through(x, q):\n" + "    x = x + (q - x).detach()  # once more\n" * 1999,
    "a million characters": "x" * 2**20,
    "a million lines": "\n" * (2**20 - 10) + "x = 1",
    "nothing but signs": "<&>\"'" * 200_000,
    "nothing to be seen": "\u200ba" * 500_000,
    "another script": "語" * 2**20,
    "blanks": (" \t" * 20 + "\n") * 25_000,
    "open braces in texts": "f'\\N{" * 4000,
}


@pytest.mark.parametrize("name", LONG)
def test_a_page_is_small_and_soon_there_whatever_was_handed_in(name):
    start = time.monotonic()
    cells = notebook(LONG[name], tags=(hostile.TAG, "answer:codebook_loss", "answer:look_up"))
    text = page(found(), found(check="codebook_loss"), found(check="look_up"), cells=cells)
    assert len(text.encode(errors="backslashreplace")) < MOST_BYTES
    assert time.monotonic() - start < 20, "0.1 to 3 seconds on a quiet machine"


def test_long_code_is_folded_and_what_has_no_room_is_counted():
    text = page(found(), cells=notebook(LONG["two thousand lines"]))
    assert "1940 more lines, from line 61" in text and len(lines_of(text)) == 2000 and "left out" not in text
    source = "\n".join(f"line_{number} = {number}" for number in range(1, 50_001))
    text = page(found(), cells=notebook(f"{source}\nstraight_through = 1"))
    kept = len(lines_of(text))
    assert 1000 < kept < 50_001 and f"{50_001 - kept:,} more lines are left out" in text
    assert lines_of(text)[99] == (False, "line_100 = 100")


def test_the_line_at_fault_is_seen_at_once_in_long_code():
    source = "def straight_through(x, q):\n" + "\n".join(f"    x{number} = 0" for number in range(2, 2000))
    text = page(found("raised", (("came", "E: e\nline 1500: x1500 = 0"),)), cells=notebook(source))
    open_part = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert (True, "    x1500 = 0") in lines_of(open_part) and len(lines_of(open_part)) == 60
    assert [line for _, line in lines_of(text)] == source.split("\n")
    assert "1480 more lines, from line 1<" in text and "counter-set: line 1480" in text


# ----------------------------------------------------------------------------------------------------------------------
# What is said


def test_the_page_says_whose_it_is_of_what_and_when():
    handed_in, due = datetime(2026, 12, 3, 9, 5, tzinfo=UTC), datetime(2026, 12, 1, 23, 59, tzinfo=UTC)
    row = row_of(
        found("pass"),
        found(check="clipped_straight_through"),
        cells=notebook(CODE, handed_in=handed_in),
        due=due,
        lost=0.2,
    )
    chosen = settings.Settings(course="Deep <learning>, winter")
    text = pages.student(row, chosen, graded=date(2026, 12, 24))
    assert "<title>ann · 04 Straight through · marks</title>" in text and '<html lang="en">' in text
    assert "Deep &lt;learning&gt;, winter" in text and "Graded on 24 December 2026." in text
    for moment, words in ((handed_in, "Handed in on"), (due, "it was due on")):
        here = moment.astimezone()
        assert f"{words} {here.day} December 2026, {here:%H:%M}" in text
    assert re.search(
        r"You have 1\.6 of 4 points: the answers are worth 2, and as the work came late, 20% of that", text
    )
    assert "<main" in text and text.count("<h1>") == 1
    levels = [int(tag[1]) for tag, _ in Elements(text).elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in zip(levels, levels[1:]))


@pytest.mark.parametrize("verdict", VERDICTS)
def test_who_failed_gets_a_question_and_a_place_to_read_and_no_solution(verdict):
    chosen = settings.Settings(pages="https://example.org/course")
    text = pages.student(row_of(found(verdict), cells=notebook(CODE)), chosen)
    asks = verdict not in ("pass", "not_graded")
    question = EXERCISES[NAME].hints[0].split("?")[0]
    assert (f"A question to go on with: {question}?" in text) == asks
    link = "https://example.org/course/notebooks/04_straight_through.html#you-write-it"
    assert (f'<a href="{link}">lesson 04, section 4. You write it</a>' in text) == asks
    without = page(found(verdict), cells=notebook(CODE))
    assert ("treated in lesson 04, section 4. You write it." in without) == asks and "https:" not in without
    assert "solutions/" not in text


def as_graded(name: str, answer) -> Finding:
    """What the grader makes of an answer that ran in a sandbox."""
    examiner = Examiner(EXERCISES, seed=0)
    runs = [run_all(answer, call) for call in draw_calls(EXERCISES[name], 3)]
    return examiner.weigh(name, 3, Reply("reply", wire.pack({"candidates": 1, "runs": runs})))[0]


@pytest.mark.parametrize("name", [NAME, "pairwise_distances", "bug_03"])
def test_real_verdicts_name_no_solution(name):
    exercise = EXERCISES[name]
    mistake = next(mistake for mistake in exercise.mistakes if not mistake.planted)
    for answer, said in ((exercise.reference, "checked"), (mistake.answer, "cause")):
        text = page(as_graded(name, answer), cells=notebook(CODE))
        assert said in text and "solutions/" not in text and "hint(" not in text


def test_a_persons_words_stand_where_they_belong():
    comments = [Comment("ann", "Well written.", "Dr B"), Comment("ann", "Look at q.", "Dr B", NAME)]
    comments += [Comment("ann", "Read section 4.", "Dr B", LESSON), Comment("ann", "Elsewhere.", "Dr B", "look_up")]
    by_hand = {NAME: ByHand("ann", NAME, 1.5, "a slip of the pen", "Dr B")}
    text = page(found(), cells=notebook(CODE), by_hand=by_hand, lost=0.5, row={"comments": comments})
    order = ["Well written.", "look_up: Elsewhere.", "<h2>", "1.5 by hand: a slip of the pen (Dr B)"]
    places = [text.index(said) for said in [*order, "Read section 4.", "<h3>", "Look at q."]]
    assert places == sorted(places)
    assert "You have 1.5 of 2 points." in text and "taken off" not in text, "who gives points has thought of lateness"


@pytest.mark.parametrize("address", ["javascript:alert(1)", "example.org", "https://x y", 'https://x"y', 3])
def test_an_address_of_pages_that_is_none_is_refused(tmp_path, address):
    file = tmp_path / "grading.toml"
    file.write_text(f"pages = {address!r}", encoding="utf-8")
    with pytest.raises(settings.BadSettings, match="pages is .*wanted"):
        settings.load(file)
    file.write_text('pages = "https://example.org/course/"\ncourse = "Ours"', encoding="utf-8")
    assert settings.load(file).pages == "https://example.org/course" and settings.load(file).course == "Ours"


# ----------------------------------------------------------------------------------------------------------------------
# In a browser


@pytest.fixture(scope="module")
def long_page():
    def shifted(latents, codebook):
        return (latents[:, None] - codebook).pow(2).sum(2) * 1234.5678

    cells = notebook(
        LONG["two thousand lines"], "def pairwise_distances(latents, codebook):  # " + "a long remark " * 20,
        "def clipped_straight_through(x, q, reach):\n    return 'x' + \"\u202e\" * 3.5  # " + "y" * 300,
        tags=(hostile.TAG,),
    )  # fmt: skip
    findings = [
        found("raised", (("came", "E: e\nline 1500: x = x + (q - x).detach()  # once more"), ("wanted", "y" * 300))),
        as_graded("pairwise_distances", shifted),
        as_graded("clipped_straight_through", EXERCISES["clipped_straight_through"].reference),
        found("blank", check="look_up"),
        found("not_graded", check="nearest_codes"),
    ]
    assert "overflow-x" in findings[1].picture
    comments = [Comment("ann", "One line.\nAnother.", "Dr B", NAME)]
    return pages.student(
        row_of(*findings, cells=cells, row={"comments": comments}), settings.Settings(pages="https://example.org")
    )


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_keeps_anybody_from_reading(visit, long_page, width, dark):
    with visit(long_page, width=width, dark=dark) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        shown.evaluate("document.querySelectorAll('details').forEach((details) => (details.open = true))")
        faults = Axe().run(shown, options={"preload": False, "resultTypes": ["violations"]}).response["violations"]
        assert not [(fault["id"], [node["html"][:150] for node in fault["nodes"][:2]]) for fault in faults]
        # beside each other where there is room; else below
        code, card = (shown.locator(".beside > div").nth(place).bounding_box() for place in (0, 1))
        assert (card["x"] > code["x"]) == (width > 900) and (card["y"] > code["y"]) == (width < 900)
        cut = "e => e.scrollWidth > e.clientWidth && !['auto', 'scroll'].includes(getComputedStyle(e).overflowX)"
        assert not shown.evaluate(
            f"[...document.querySelectorAll('main *')].filter({cut}).map(e => e.outerHTML.slice(0, 99))"
        )


@pytest.mark.slow
def test_keys_alone_lead_to_the_content_and_open_a_fold(visit, long_page):
    with visit(long_page) as shown:
        shown.keyboard.press("Tab")
        assert shown.evaluate("document.activeElement.textContent") == "To the content"
        assert shown.locator(".skip").bounding_box()["x"] >= 0
        assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        shown.keyboard.press("Enter")
        shown.wait_for_function("location.hash == '#main'")
        shown.keyboard.press("Tab")
        assert shown.evaluate("document.activeElement.tagName") == "SUMMARY"
        shown.keyboard.press("Enter")
        assert shown.evaluate("document.activeElement.parentElement.open")


@pytest.mark.slow
def test_on_paper_nothing_is_folded_or_cut(visit, long_page):
    with visit(long_page, width=680) as shown:  # A4 less its margins, in CSS's pixels
        shown.emulate_media(media="print")
        heights = shown.evaluate("[...document.querySelectorAll('.line')].map((e) => e.getBoundingClientRect().height)")
        assert len(heights) > 2000 and min(heights) > 5
        assert shown.evaluate("document.documentElement.scrollWidth") <= 680
        assert not shown.locator(".skip").is_visible()
        fits = "(e) => e.scrollWidth <= e.clientWidth + 1 || !e.clientWidth"
        assert shown.evaluate(f"[...document.querySelectorAll('main *')].every({fits})")


def test_a_line_that_takes_pygments_seconds_stays_plain():
    start = time.monotonic()
    lines = listing.lines_of('s = "%' + "0" * 19_900 + '"\n')
    assert time.monotonic() - start < 5 and {kind for line in lines for kind, _ in line} == {""}


@pytest.mark.parametrize("year", [1, 9999])
def test_a_time_that_a_student_made_up_stops_no_page(year):
    for zone in (UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))):
        assert str(year) in pages.in_words(datetime(year, 12, 31, 23, 59, tzinfo=zone))
