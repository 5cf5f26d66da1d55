"""The class in view: what it got right, which mistakes it made, what to teach again tomorrow.

Everything here is counted from the findings of one run. `summary` gives numbers, for class.json; `page` shows them.
"""

import ast
import os
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from course_lib.check.judge import Exercise
from course_lib.grade import listing, pages
from course_lib.grade.finding import TITLES, Finding
from course_lib.grade.marks import Graded, Mark, Row
from course_lib.grade.sections import SECTIONS

KINDS = {  # of a class, what became of an answer -> the verdicts
    "right": ("pass",),
    "wrong": ("wrong", "type"),
    "error": ("raised", "syntax", "memory", "crash"),
    "too long": ("timeout",),
    "blank": ("blank",),
    "not graded": ("not_graded",),
}
KIND_OF = {verdict: kind for kind, verdicts in KINDS.items() for verdict in verdicts}
FEWEST = 8  # students: a correlation over fewer says next to nothing
MOST_TAUGHT = 3
MOST_NAMED = 100  # students: beyond that, the overview is a picture without names
PROJECT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Answered:
    """What one student did with one answer."""

    row: Row
    mark: Mark
    finding: Finding


@dataclass(frozen=True)
class Group:
    """Those who made the same known mistake; or, where `name` is empty, whose answers are wrong in the same way and
    nobody knows why. certain: how many did in every call what the mistake does."""

    answer: str
    name: str
    words: str
    made_by: list[Answered]

    @property
    def certain(self) -> int:
        return sum(one.finding.certain for one in self.made_by)


@dataclass(frozen=True)
class AnswerReport:
    """One answer over the class. counts: of students, by kind. seconds: that the grader took for each who tried.

    easiness:       the share of those who tried that got it right; None where nobody tried.
    discrimination: the correlation, over students, of getting it right and of points on all other answers; None where
                    it cannot be said.
    """

    exercise: Exercise
    answered: list[Answered]
    counts: dict[str, int]
    easiness: float | None
    discrimination: float | None
    seconds: list[float]
    known: list[Group]
    unknown: list[Group]
    built_on: list[Answered]  # who may be wrong for another answer alone, which this one uses

    @property
    def tried(self) -> int:
        return len(self.answered) - self.counts["blank"] - self.counts["not graded"]


def reports(graded: Graded) -> list[AnswerReport]:
    """One for each answer that was asked, in the order of the course."""
    by_answer: dict[str, list[Answered]] = {}
    for row in graded.rows:
        for mark in row.marks:
            for finding in mark.findings:
                by_answer.setdefault(finding.check, []).append(Answered(row, mark, finding))
    return [_report(graded.settings.exercises[name], answered) for name, answered in by_answer.items()]


def _report(exercise: Exercise, answered: list[Answered]) -> AnswerReport:
    kinds = Counter(KIND_OF[one.finding.verdict] for one in answered)
    counts = {kind: kinds[kind] for kind in KINDS}
    tried = [one for one in answered if KIND_OF[one.finding.verdict] not in ("blank", "not graded")]
    built_on = [one for one in tried if listing.builds_on(one.mark, one.finding)]
    own = [one for one in tried if one not in built_on]
    return AnswerReport(
        exercise=exercise,
        answered=answered,
        counts=counts,
        easiness=counts["right"] / len(tried) if tried else None,
        discrimination=discrimination(answered),
        seconds=[one.finding.seconds for one in tried],
        known=_groups(exercise, (one for one in own if one.finding.mistake), lambda finding: finding.mistake),
        unknown=_groups(
            exercise,
            (one for one in own if not one.finding.mistake and one.finding.verdict in ("wrong", "type", "raised")),
            _first_difference,
        ),
        built_on=built_on,
    )


def discrimination(answered: list[Answered]) -> float | None:
    """Over the students who handed in anything at all, and whose answers are all graded."""
    there = [
        one
        for one in answered
        if all(mark.graded for mark in one.row.marks)
        and any(finding.verdict != "blank" for mark in one.row.marks for finding in mark.findings)
    ]
    right = [float(one.finding.verdict == "pass") for one in there]
    rest = [sum(mark.raw for mark in one.row.marks) - one.mark.brings(one.finding) for one in there]
    if len(there) < FEWEST or len(set(right)) < 2 or len(set(rest)) < 2:
        return None
    return statistics.correlation(right, rest)


def _groups(exercise: Exercise, answered: Iterable[Answered], key: Callable[[Finding], str]) -> list[Group]:
    """The largest first."""
    together: dict[str, list[Answered]] = {}
    for one in answered:
        together.setdefault(key(one.finding), []).append(one)
    words = {mistake.name: mistake.message for mistake in exercise.mistakes}
    groups = [
        Group(exercise.name, name if name in words else "", words.get(name, name), made_by)
        for name, made_by in together.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.made_by), group.words))


def _first_difference(finding: Finding) -> str:
    """What came, without the numbers of the one who was asked: equal for answers that are wrong in the same way."""
    came = dict(finding.rows).get("came", finding.title).split("\n")[0]
    return re.sub(r"-?\d[\d.e+-]*", "…", came)[:120]


# ----------------------------------------------------------------------------------------------------------------------
# What to teach again


@dataclass(frozen=True)
class Lesson:
    """One of the commonest mistakes, as somebody's own lines show it. code: without comments and docstrings; "" where
    nobody's can be shown. rows: of the card. In neither stands a name of who wrote it, as far as a grader can know."""

    group: Group
    report: AnswerReport
    code: str
    rows: list[tuple[str, str]]

    @property
    def share(self) -> float:
        """Of those who tried."""
        return len(self.group.made_by) / self.report.tried


def to_teach(all_reports: list[AnswerReport]) -> list[Lesson]:
    """The mistakes that most students made."""
    known = [(group, report) for report in all_reports for group in report.known]
    known.sort(key=lambda pair: -len(pair[0].made_by))
    return [_lesson(group, report) for group, report in known[:MOST_TAUGHT]]


def _lesson(group: Group, report: AnswerReport) -> Lesson:
    """With the answer that most of them wrote, to the letter; of several, the shortest."""
    written = [(own_lines(one.mark, group.answer, one.finding.cell), one) for one in group.made_by]
    named = {code for code, one in written if _names(one.row.student, code)}
    common = Counter(code for code, _ in written if code and code not in named)
    code = min(common, key=lambda code: (-common[code], len(code)), default="")
    one = next(one for lines, one in written if lines == code or not code)
    shown = [row for row in one.finding.rows if row[0] in ("called with", "came", "wanted", "how")]
    return Lesson(group, report, code, [row for row in shown if not _names(one.row.student, row[1])])


def _names(student: str, text: str) -> bool:
    """Whether a part of the student's name or number stands in the text: within a name such as `ann_loss` or `annloss`,
    or as a part of one that is written together, `doe` of doeann_1234."""
    parts = set(re.findall(r"[^\W\d_]{2,}|\d{4,}", student.casefold()))
    words = set(re.findall(r"[^\W\d_]{2,}|\d{4,}", text.casefold()))
    return not parts.isdisjoint(words) or any(
        part in word or len(word) > 2 and word in part for part in parts if len(part) > 2 for word in words
    )


def own_lines(mark: Mark, name: str, number: int = 0) -> str:
    """What defines the answer in the student's cell, laid out anew, without comments, docstrings and texts that stand
    alone; "" where there is nothing of the kind."""
    cell = listing.cell_of(mark.notebook, name, number)
    try:
        body = ast.parse(cell["source"]).body if cell else []
        node = next(node for node in reversed(body) if getattr(node, "name", None) == name)
        for part in ast.walk(node):
            for name_of_list in ("body", "orelse", "finalbody"):
                lines = getattr(part, name_of_list, None)
                if isinstance(lines, list):  # of a lambda it is none
                    kept = [line for line in lines if not _is_text(line)]
                    setattr(part, name_of_list, kept or [ast.Pass() for _ in lines[:1]])
        return ast.unparse(node)
    except (StopIteration, SyntaxError, ValueError, RecursionError, MemoryError):
        return ""


def _is_text(line: ast.stmt) -> bool:
    """A docstring, or a text that stands alone in place of a comment."""
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


# ----------------------------------------------------------------------------------------------------------------------
# As numbers, and as a page


def summary(graded: Graded) -> dict:
    """What class.json holds: no name of a student is in it."""
    return {
        "students": len(graded.rows),
        "environment": graded.environment,
        "totals": sorted(round(row.total, 4) for row in graded.rows),
        "answers": [
            {
                "answer": report.exercise.name,
                "lesson": report.exercise.lesson,
                "counts": report.counts,
                "tried": report.tried,
                "easiness": report.easiness and round(report.easiness, 4),
                "discrimination": None if report.discrimination is None else round(report.discrimination, 4),
                "seconds": {"median": statistics.median(report.seconds), "longest": max(report.seconds)}
                if report.seconds
                else None,
                "mistakes": [
                    {
                        "mistake": group.name,
                        "words": group.words,
                        "students": len(group.made_by),
                        "certain": group.certain,
                    }
                    for group in report.known
                ],
                "unexplained": sum(len(group.made_by) for group in report.unknown),
            }
            for report in reports(graded)
        ],
    }


def page(graded: Graded, names: dict[str, str], folder: Path) -> str:
    """class.html. names: of each student's files. folder: in which it will lie, as links are seen from there."""
    all_reports = reports(graded)
    return pages.TEMPLATES.get_template("class.html").render(
        graded=graded, reports=all_reports, teach=to_teach(all_reports), kinds=KINDS, names=names, sections=SECTIONS,
        runs=_runs(all_reports, graded.rows), histogram=_histogram(graded.rows), few=FEWEST, median=statistics.median,
        named=len(graded.rows) <= MOST_NAMED, kind_of=KIND_OF, titles=TITLES, link=lambda name: _link(name, folder),
        listing=listing, by_hand=sum(len(mark.by_hand) for row in graded.rows for mark in row.marks),
        by_total=_by_total(graded.rows),
    )  # fmt: skip


def _link(name: str, folder: Path) -> str:
    """To the section of the lesson: on the course's pages where they are built, else its notebook; "" for an exercise
    that is no lesson's."""
    if name not in SECTIONS:
        return ""
    section = SECTIONS[name]
    built = PROJECT / "build/course" / section.page.partition("#")[0]
    place = built if built.exists() else PROJECT / f"notebooks/{section.lesson}.ipynb"
    anchor = "#" + section.page.partition("#")[2] if built.exists() else ""
    return os.path.relpath(place, folder.resolve()).replace(os.sep, "/") + anchor


def _by_total(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (-row.total, row.student))


def _runs(all_reports: list[AnswerReport], rows: list[Row]) -> list[list[tuple[str, int, int]]]:
    """For each answer, the students by their total, the best first, as (kind, first, how many) of neighbours alike."""
    place = {id(row): number for number, row in enumerate(_by_total(rows))}
    columns = []
    for report in all_reports:
        runs: list[tuple[str, int, int]] = []
        for one in sorted(report.answered, key=lambda one: place[id(one.row)]):
            kind = KIND_OF[one.finding.verdict]
            if runs and runs[-1][0] == kind:
                runs[-1] = (kind, runs[-1][1], runs[-1][2] + 1)
            else:
                runs.append((kind, place[id(one.row)], 1))
        columns.append(runs)
    return columns


def _histogram(rows: list[Row], bins: int = 10) -> list[int]:
    """How many students got 0 to 10%, 10 to 20%, ... of what is theirs to get; who has nothing graded is left out."""
    counts = [0] * bins
    for row in rows:
        if row.most:
            counts[min(bins - 1, int(bins * row.total / row.most + 1e-9))] += 1
    return counts
