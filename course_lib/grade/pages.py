"""The pages: one file each, from `templates/`, with nothing from elsewhere."""

import contextlib
import re
from collections.abc import Iterable
from datetime import date, datetime

import jinja2

from course_lib.check import feedback
from course_lib.check.judge import Exercise
from course_lib.grade import listing
from course_lib.grade.finding import Finding, printable
from course_lib.grade.marks import Comment, Mark, Row
from course_lib.grade.sections import SECTIONS
from course_lib.grade.settings import Settings
from course_lib.grade.tables import cell

MOST_PAGE, BESIDES = 290_000, 12_000  # characters of a student's page, of what is neither code nor card
RESULTS = {  # by verdict: what came of it, in a line that a student understands
    "pass": "right",
    "wrong": "not yet right",
    "type": "a result of another kind than was asked for",
    "raised": "it stopped with an error",
    "syntax": "Python cannot read it",
    "timeout": "it took too long",
    "memory": "it took too much memory",
    "crash": "it ended its process",
    "blank": "not attempted",
    "not_graded": "not graded yet; that is no zero",
}


def in_words(when: date | datetime) -> str:
    """27 November 2026, and of a moment the time here: 27 November 2026, 14:05 CET."""
    if isinstance(when, datetime):
        with contextlib.suppress(
            OverflowError
        ):  # of a time that a student made up: years 1 and 9999 have no other zone
            when = when.astimezone()
        return f"{when.day} {when:%B %Y, %H:%M %Z}".strip()
    return f"{when.day} {when:%B %Y}"


def lessons_in_words(lessons: Iterable[str]) -> str:
    """Those of one page, for its title."""
    names = list(map(lesson_in_words, lessons))
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} exercises"


def lesson_in_words(lesson: str) -> str:
    """04 Straight through, of 04_straight_through."""
    number, _, words = lesson.partition("_")
    return " ".join([number, words[:1].upper() + words[1:].replace("_", " ")]).strip()


TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("course_lib.grade"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)  # fmt: skip
TEMPLATES.filters |= {
    "printable": printable, "points": cell, "in_words": in_words, "lesson": lesson_in_words,
    "lessons": lessons_in_words, "name_of": listing.name_of,
}  # fmt: skip


def student(row: Row, settings: Settings | None = None, graded: date | None = None) -> str:
    """What a student handed in, what came of it, and what it brings. graded: the day, today where none is given."""
    settings = settings or Settings()
    answers = [[_answer(mark, finding, settings) for finding in mark.findings] for mark in row.marks]
    _share_room([answer for of_mark in answers for answer in of_mark])
    shown = {name for mark in row.marks for name in (mark.lesson, *mark.points)}
    comments: dict[str, list[Comment]] = {}
    for comment in row.comments:
        comments.setdefault(comment.answer if comment.answer in shown else "", []).append(comment)
    return TEMPLATES.get_template("student.html").render(
        row=row,
        comments=comments,
        answers=list(zip(row.marks, answers)),
        graded=graded or date.today(),
        course=settings.course,
        pages=settings.pages,
    )


def _answer(mark: Mark, finding: Finding, settings: Settings) -> dict:
    """What a page says of one answer."""
    exercise: Exercise | None = settings.exercises.get(finding.check)
    code = listing.cell_of(mark.notebook, finding.check, finding.cell)
    lines = listing.lines_of(code["source"]) if code and code["source"].strip() else []
    return {
        "check": finding.check, "result": RESULTS[finding.verdict], "card": card(finding, mark),
        "cell": code and code["number"], "lines": lines,
        "fault": _line_at_fault(finding, code["source"]) if lines else 0,
        "section": SECTIONS.get(finding.check),
        "builds_on": listing.builds_on(mark, finding),
        "question": exercise.hints[0] if exercise and finding.verdict not in ("pass", "not_graded") else "",
    }  # fmt: skip


def _share_room(answers: list[dict]) -> None:
    """Cuts the code to what a page may hold: what short answers leave, longer ones have."""
    room = MOST_PAGE - BESIDES - sum(len(answer["card"].encode(errors="backslashreplace")) for answer in answers)
    for left, answer in zip(range(len(answers), 0, -1), sorted(answers, key=lambda answer: len(answer["lines"]))):
        answer["parts"], answer["left_out"], taken = listing.parts_of(answer["lines"], answer["fault"], room // left)
        room -= taken


def _line_at_fault(finding: Finding, source: str) -> int:
    """The line of this cell that the card names, if the card shows the same line; else 0: it stands in another cell."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for _, text in finding.rows:
        if finding.verdict == "syntax":
            named = re.fullmatch(r"line (\d{1,6}): [^\n]*\n(.*)", text, re.DOTALL)
        else:
            named = re.search(r"\nline (\d{1,6}): (.*)\Z", text)
        if named and 0 < (number := int(named[1])) <= len(lines):
            shown, there = named[2].strip(), printable(lines[number - 1]).strip()
            if there.startswith(shown) or not shown:
                return number
    return 0


def card(finding: Finding, mark: Mark) -> str:
    """As in the notebook, with the points below it."""
    status = {"pass": "right", "blank": "not attempted", "not_graded": "not attempted"}.get(finding.verdict, "wrong")
    colour = feedback.COLOURS.get(status, feedback.AMBER)
    points = [("points", f"{cell(mark.brings(finding))} of {cell(mark.points[finding.check])}")]
    rows = [*finding.rows, *(points if mark.counted(finding) else [])]
    return feedback.as_html(finding.title, rows, "", colour, finding.picture)
