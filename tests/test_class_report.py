"""The class report: its counts against counts by hand and NumPy, what it shows, and what it must not show."""

import json
import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from course_lib.check.exercises import EXERCISES
from course_lib.grade import class_report, pages
from course_lib.grade.finding import Finding
from course_lib.grade.marks import ByHand, Graded, Mark, Row
from course_lib.grade.settings import Settings
from course_lib.grade.submissions import Notebook

LESSON, ANSWER, OTHER = "04_straight_through", "straight_through", "clipped_straight_through"
MISTAKES = EXERCISES[ANSWER].mistakes
SOURCE = '''def straight_through(latents, quantized):
    """Written by Zacharias."""
    # Zacharias was here
    return (quantized - latents) + latents  # and here
'''


def found(student, check, verdict, place=None, came="loss: 1.5", seconds=0.1, certain=True) -> Finding:
    mistake = "" if place is None else MISTAKES[place].name
    rows = (("called with", "x"), ("came", came), ("wanted", "2"))
    return Finding(
        student, LESSON, check, "d", verdict, float(verdict == "pass"), "title", rows, seconds=seconds, mistake=mistake,
        certain=certain and bool(mistake),
    )  # fmt: skip


def row(student, *findings, source=SOURCE) -> Row:
    cells = ({"number": 3, "source": source, "tags": [f"answer:{ANSWER}"]},)
    points = {finding.check: 2.0 for finding in findings}
    return Row(student, [Mark(LESSON, list(findings), points, notebook=Notebook(student, LESSON, cells, "d"))])


def graded(*rows) -> Graded:
    return Graded(list(rows), Settings(), "here")


def small_class() -> Graded:
    """Six of one mistake, two of another, one that nobody explains, one of each other kind."""
    verdicts = [("wrong", 0)] * 6 + [("wrong", 1)] * 2 + [("wrong", None), ("pass", None), ("blank", None)]
    verdicts += [("timeout", None), ("syntax", None), ("not_graded", None)]
    return graded(
        *(
            row(f"student{i}", found(f"student{i}", ANSWER, verdict, place, seconds=float(i)))
            for i, (verdict, place) in enumerate(verdicts)
        )
    )


def test_counts_are_those_by_hand():
    (report,) = class_report.reports(small_class())
    assert report.counts == {"right": 1, "wrong": 9, "error": 1, "too long": 1, "blank": 1, "not graded": 1}
    assert report.tried == 12 and report.easiness == pytest.approx(1 / 12)
    assert [len(group.made_by) for group in report.known] == [6, 2] and report.known[0].certain == 6
    assert report.known[0].words == MISTAKES[0].message
    assert [len(group.made_by) for group in report.unknown] == [1]
    assert sorted(report.seconds) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12]


@pytest.mark.parametrize("seed", range(5))
def test_discrimination_is_numpys_correlation_with_the_rest(seed):
    right = np.random.default_rng(seed).random((40, 2)) < [[0.6, 0.4]]
    rows = [
        row(f"s{i}", *(found(f"s{i}", name, "pass" if ok else "wrong") for name, ok in zip((ANSWER, OTHER), pair)))
        for i, pair in enumerate(right)
    ]
    for report in class_report.reports(graded(*rows)):
        assert report.discrimination == pytest.approx(np.corrcoef(right.T.astype(float))[0, 1])


def test_discrimination_is_left_out_where_it_says_nothing():
    few = [
        row(f"s{i}", found(f"s{i}", ANSWER, "pass"), found(f"s{i}", OTHER, "wrong" if i else "pass")) for i in range(7)
    ]
    assert {report.discrimination for report in class_report.reports(graded(*few))} == {None}
    same = [row(f"s{i}", found(f"s{i}", ANSWER, "pass"), found(f"s{i}", OTHER, "wrong")) for i in range(20)]
    assert {report.discrimination for report in class_report.reports(graded(*same))} == {None}
    nothing = [row(f"n{i}", found(f"n{i}", ANSWER, "blank"), found(f"n{i}", OTHER, "blank")) for i in range(20)]
    assert class_report.reports(graded(*few, *nothing))[0].discrimination is None, "who handed in nothing counts not"


def test_what_differs_in_numbers_alone_is_wrong_in_the_same_way():
    rows = [row(f"s{i}", found(f"s{i}", ANSWER, "wrong", came=f"loss: {1.5 + i}")) for i in range(3)]
    rows += [row("other", found("other", ANSWER, "wrong", came="loss of shape (2, 3)"))]
    (report,) = class_report.reports(graded(*rows))
    assert [len(group.made_by) for group in report.unknown] == [3, 1]


def test_what_to_teach_is_the_commonest_with_somebodys_own_lines():
    first, second = class_report.to_teach(class_report.reports(small_class()))
    assert len(first.group.made_by) == 6 and first.share == 0.5
    assert len(second.group.made_by) == 2, "an answer may be wrong in two ways that many share"
    assert first.code == "def straight_through(latents, quantized):\n    return quantized - latents + latents"
    assert [heading for heading, _ in first.rows] == ["called with", "came", "wanted"]


def test_the_example_is_what_most_wrote():
    other = SOURCE.replace("(quantized - latents) + latents", "q")
    rows = [row(f"s{i}", found(f"s{i}", ANSWER, "wrong", 0), source=other if i else SOURCE) for i in range(3)]
    (lesson,) = class_report.to_teach(class_report.reports(graded(*rows)))
    assert lesson.code.endswith("return q")


def test_what_to_teach_are_the_three_commonest_of_the_class():
    places = [0] * 5 + [1] * 4 + [2] * 3 + [3] * 2
    rows = [row(f"s{i}", found(f"s{i}", ANSWER, "wrong", place)) for i, place in enumerate(places)]
    other = Finding("o", LESSON, OTHER, "d", "wrong", 0.0, "t", mistake=EXERCISES[OTHER].mistakes[0].name)
    lessons = class_report.to_teach(class_report.reports(graded(*rows, row("o", other))))
    assert [(lesson.group.answer, len(lesson.group.made_by)) for lesson in lessons] == [(ANSWER, n) for n in (5, 4, 3)]


def taught(*students: str, source: str = SOURCE, came: str = "loss: 1.5") -> class_report.Lesson:
    rows = [row(name, found(name, ANSWER, "wrong", 0, came=came), source=source) for name in students]
    return class_report.to_teach(class_report.reports(graded(*rows)))[0]


def test_a_text_that_stands_alone_is_a_comment():
    source = SOURCE.replace(
        "    return", "    'Zacharias again'\n    if latents is None:\n        'and again'\n    return"
    )
    assert taught("z", source=source).code == (
        "def straight_through(latents, quantized):\n    if latents is None:\n        pass\n"
        "    return quantized - latents + latents"
    )


@pytest.mark.parametrize("line", ["zacharias_q = latents", "by = 'ZACHARIAS'"])
@pytest.mark.parametrize("students", [["Zacharias Ang"], ["ben", "Zacharias Ang"], ["doe-zacharias_12", "ben"]])
def test_lines_with_the_name_of_who_wrote_them_are_not_shown(line, students):
    assert taught(*students, source=SOURCE.replace("    return", f"    {line}\n    return")).code == ""


def test_rows_with_the_name_of_who_wrote_the_answer_are_not_shown():
    lesson = taught("zacharias", came="ValueError: zacharias was here")
    assert lesson.code and [heading for heading, _ in lesson.rows] == ["called with", "wanted"]


@pytest.mark.parametrize("source", ["def straight_through(:", "x = 1", "", "(" * 100_000])
def test_what_cannot_be_shown_is_not_shown(source):
    (lesson,) = class_report.to_teach(
        class_report.reports(graded(row("s", found("s", ANSWER, "wrong", 0), source=source)))
    )
    assert lesson.code == ""


def test_the_part_to_be_projected_names_nobody(tmp_path):
    page = class_report.page(small_class(), {f"student{i}": f"student{i}" for i in range(14)}, tmp_path)
    part = re.search(r'<section id="tomorrow".*?</section>', page, re.DOTALL)[0]
    assert MISTAKES[0].message[1:] in part.replace("&#39;", "'")
    assert "student" not in re.sub(r"<[^>]*>", "", part).replace("students", "") and "Zacharias" not in part


def test_the_page_says_how_many_nobody_explains_and_what_is_by_hand(tmp_path):
    two = [row(f"s{i}", found(f"s{i}", ANSWER, "wrong", came=f"loss of shape ({i}, 3)")) for i in range(2)]
    page = class_report.page(graded(*two), {"s0": "s0", "s1": "s1"}, tmp_path)
    assert "2 answers are wrong in a way no known mistake explains" in page and "by hand" not in page
    two[0].marks[0].by_hand[ANSWER] = ByHand("s0", ANSWER, 1.0, "said so aloud", "me")
    page = class_report.page(graded(*two), {"s0": "s0", "s1": "s1"}, tmp_path)
    assert "1 mark was given by hand" in page and page.count("totals have it") == 1


def test_nothing_of_a_stranger_acts(tmp_path):
    bad = "<script>alert(1)</script>"
    rows = [row(bad, found(bad, ANSWER, "wrong", came=bad)), row("x", found("x", ANSWER, "wrong", 0, came=bad))]
    page = class_report.page(graded(*rows), {bad: "a?b#c", "x": "x"}, tmp_path)
    assert "<script" not in page and 'href="a%3Fb%23c.html"' in page


def test_the_summary_is_json_without_names():
    text = json.dumps(class_report.summary(small_class()))
    assert "student1" not in text and "Zacharias" not in text
    (answer,) = json.loads(text)["answers"]
    assert answer["tried"] == 12 and answer["mistakes"][0]["students"] == 6 and answer["unexplained"] == 1


@pytest.mark.parametrize("count", [0, 1, 5, 150, 1000])
def test_a_class_of_any_size_is_shown(count, tmp_path):
    rows = [
        row(f"s{i}", found(f"s{i}", ANSWER, "pass" if i % 3 else "wrong", None if i % 3 else 0)) for i in range(count)
    ]
    page = class_report.page(graded(*rows), {f"s{i}": f"s{i}" for i in range(count)}, tmp_path)
    assert page.startswith("<!DOCTYPE html>") and len(page) < 300_000
    (runs,) = class_report._runs(class_report.reports(graded(*rows)), rows) if rows else ([],)
    assert sum(length for *_, length in runs) == count
    assert [first for _, first, _ in runs] == list(np.cumsum([0, *(n for *_, n in runs)])[:-1]) if runs else True


def test_everybody_is_in_one_bar():
    rows = [row(f"s{i}", found(f"s{i}", ANSWER, "pass" if i < 3 else "wrong")) for i in range(10)]
    assert class_report._histogram(rows) == [7, 0, 0, 0, 0, 0, 0, 0, 0, 3]


@pytest.mark.slow
@pytest.mark.parametrize("copies", [1, 20], ids=["14 students", "280 students"])
@pytest.mark.parametrize("width, dark", [(1280, False), (390, True), (1280, True), (390, False)])
def test_the_page_in_a_browser(visit, tmp_path, width, dark, copies):
    rows = [
        row(f"{one.student}-{i}", *one.marks[0].findings, source=SOURCE)
        for i in range(copies)
        for one in small_class().rows
    ]
    file = tmp_path / "class.html"
    file.write_text(class_report.page(graded(*rows), {one.student: one.student for one in rows}, tmp_path))
    with visit(file, width=width, dark=dark) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert [fault["id"] for fault in Axe().run(page).response["violations"]] == []
        assert page.locator("#numbers").is_visible() and page.locator("#answers").is_visible()
        page.get_by_role("link", name="This part alone").click()
        assert page.locator("#tomorrow").is_visible() and not page.locator("#numbers").is_visible()
        assert "student0" not in page.locator("main").inner_text()
        page.get_by_role("link", name="Back to the whole page").click()
        assert page.locator("#numbers").is_visible()


def test_who_may_be_wrong_for_another_answer_alone_is_not_counted_among_the_mistakes():
    source = f"def {OTHER}(latents, quantized, reach):\n    return {ANSWER}(latents, quantized)\n"
    findings = found("s", ANSWER, "wrong", 0), found("s", OTHER, "wrong", 0)
    one = row("s", *findings, source=SOURCE + source)
    with_right = row("t", found("t", ANSWER, "pass"), found("t", OTHER, "wrong"), source=SOURCE + source)
    first, second = class_report.reports(graded(one, with_right))
    assert [len(group.made_by) for group in first.known] == [1] and not first.built_on
    assert not second.known and [one.row.student for one in second.built_on] == ["s"]
    assert [len(group.made_by) for group in second.unknown] == [1]
    assert "It uses <code>straight_through</code>, which is not right yet" in " ".join(pages.student(one).split())
    assert "which is not right yet" not in pages.student(with_right)


@pytest.mark.parametrize(
    "student, text",
    [
        ("doeann_1234", "doe = 1"),
        ("doeann_1234", "ann_x = q"),
        ("ann", "annloss = 1"),
        ("Li Wu", "li_loss"),
        ("王伟", "王伟_loss = 1"),
    ],
)
def test_names_are_found_as_canvas_and_people_write_them(student, text):
    assert class_report._names(student, text)
    assert not class_report._names(student, "q = latents + (quantized - latents).detach()")
