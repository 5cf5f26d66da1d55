"""What was written the last time: so that no mark changes in silence, and no gradebook that a person changed."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from course_lib import files
from course_lib.grade import overrides, tables
from course_lib.grade.finding import printable
from course_lib.grade.marks import Mark, Row

NAME = "marks.jsonl"
GRADEBOOK, CHANGED = "gradebook.csv", "marks-changed.csv"
MOST_TOLD = 20  # cells


@dataclass(frozen=True)
class Written:
    """An answer's mark as it was written, with all that it came from. points: None where there were none."""

    student: str
    answer: str
    points: float | None
    most: float
    lost: float
    partial: bool
    by_hand: bool
    verdict: str
    score: float
    notebook: str
    checks: str


@dataclass(frozen=True)
class Cell:
    """Of a gradebook: a student's, as the table writes the name, in a column."""

    student: str
    column: str
    before: str
    after: str

    def __str__(self) -> str:
        return printable(f"{self.student}, {self.column}: {self.before or 'empty'} -> {self.after or 'empty'}")


class LastTime:
    """gradebook: its text as it was written, None where that is not known. lessons: what it was about."""

    def __init__(self, folder: Path):
        self.folder, self.gradebook = folder, None
        self.marks: dict[tuple[str, str], Written] = {}
        try:
            head, *lines = map(json.loads, (folder / NAME).read_text(encoding="utf-8").splitlines())
            marks = [Written(**line) for line in lines]
            self.gradebook = str(head["gradebook"])
            self.marks = {(mark.student, mark.answer): mark for mark in marks}
        except (OSError, ValueError, TypeError, KeyError):
            pass  # nothing was written yet, or somebody changed it: then nothing is known

    @property
    def lessons(self) -> list[str]:
        columns = next(csv.reader(io.StringIO(self.gradebook or "")), [])
        return columns[1 : columns.index("total")] if "total" in columns else []

    def changed_by_hand(self, rows: list[Row]) -> list[Cell]:
        """What somebody wrote into the gradebook, and what is to be written now would undo. A program that saved it
        in its own way, with semicolons for instance, changed nothing by that. `OSError` where it cannot be read."""
        try:
            there = _cells(_text(self.folder / GRADEBOOK))
        except FileNotFoundError:
            return []
        now = tables.as_csv(tables.gradebook(rows))
        before, now = _cells(now if self.gradebook is None else self.gradebook), _cells(now)
        cells = [Cell(*place, before.get(place, ""), there.get(place, "")) for place in before | there]
        undone = [cell for cell in cells if not _same(cell.after, now.get((cell.student, cell.column), ""))]
        return [cell for cell in undone if not _same(cell.before, cell.after)]

    def put_aside(self) -> Path:
        """A copy of the gradebook as it is, beside it."""
        data, number = (self.folder / GRADEBOOK).read_bytes(), 1
        while (aside := self.folder / f"{GRADEBOOK}.by-hand-{number}").exists() and aside.read_bytes() != data:
            number += 1
        files.write(aside, data)
        return aside

    def changed_marks(self, rows: list[Row]) -> list[list]:
        """The table of marks that were others the last time, and why; empty where there are none."""
        table = []
        for now in _marks(rows):
            before = self.marks.get((now.student, now.answer))
            if before and _rounded(before.points) != _rounded(now.points):
                points = ["" if mark.points is None else mark.points for mark in (before, now)]
                table.append([now.student, now.answer, *points, before.verdict, now.verdict, _why(before, now)])
        header = ["student", "answer", "before", "after", "verdict before", "verdict after", "why"]
        return [header, *table] if table else []

    def keep(self, rows: list[Row]) -> None:
        """That all is written. What is not asked this time is kept as it was."""
        marks = self.marks | {(mark.student, mark.answer): mark for mark in _marks(rows)}
        lines = [{"gradebook": tables.as_csv(tables.gradebook(rows))}, *map(asdict, marks.values())]
        files.write(self.folder / NAME, "".join(json.dumps(line) + "\n" for line in lines))


def told(cells: list[Cell], known: bool, aside: Path, rows: list[Row], given: overrides.Overrides) -> str:
    """For somebody whose changes are not in the new gradebook: which, where they are, and how to make them last. known:
    whether it is known what was written the last time."""
    why = "was changed by hand" if known else "is another than the new one, and it is not known who wrote it"
    lines = [f"{GRADEBOOK} {why}. It is kept as {aside.name}; in the new one these changes are undone:"]
    lines += [f"    {cell}" for cell in cells[:MOST_TOLD]]
    lines += [f"    and {len(cells) - MOST_TOLD} more"] if len(cells) > MOST_TOLD else []
    if any(cell.column == "notes" for cell in cells):
        lines.append("Notes are written anew each time; a [[comment]] lasts, and the student reads it.")
    if entries := list(_entries(cells, rows, given)):
        lines += [f"To make the marks last, put this into {overrides.NAME} and run the command again:\n", *entries]
    return "\n".join(lines)


def _entries(cells: list[Cell], rows: list[Row], given: overrides.Overrides) -> Iterator[str]:
    places = {(tables.cell(row.student), mark.lesson): (row, mark) for row in rows for mark in row.marks}
    for cell in cells:
        points = _number(cell.after)
        row, mark = places.get((cell.student, cell.column), (None, None))
        if mark is None or points is None or not 0 <= points <= mark.most:
            continue
        if any(entry.student == row.student and entry.answer in (mark.lesson, *mark.points) for entry in given.marks):
            yield f"# in place of what is there about {printable(row.student)} and {mark.lesson}"
        yield overrides.entry(cell.student, mark.lesson, points, f"changed by hand in {GRADEBOOK}", "the instructor")


def _marks(rows: list[Row]) -> Iterator[Written]:
    for row in rows:
        for mark in row.marks:
            for finding in mark.findings:
                yield _written(row.student, mark, finding)


def _written(student: str, mark: Mark, finding) -> Written:
    return Written(
        student=student, answer=finding.check, points=mark.counts(finding) if mark.counted(finding) else None,
        most=mark.points[finding.check], lost=mark.lost, partial=mark.partial, by_hand=finding.check in mark.by_hand,
        verdict=finding.verdict, score=finding.score, notebook=finding.notebook, checks=finding.checks,
    )  # fmt: skip


def _why(before: Written, now: Written) -> str:
    if now.by_hand:
        return "by hand"
    reasons = ["no longer by hand"] if before.by_hand else []
    if (before.verdict, before.score) != (now.verdict, now.score):
        of_verdict = {
            "the file changed": before.notebook != now.notebook,
            "the check changed": before.checks != now.checks,
        }
        reasons += [words for words, differs in of_verdict.items() if differs] or ["asked again"]
    reasons += ["settings: points"] if before.most != now.most else []
    reasons += ["settings: partial credit"] if before.partial != now.partial else []
    reasons += ["lateness"] if before.lost != now.lost else []
    return ", ".join(reasons)


def _rounded(points: float | None) -> float | None:
    return points if points is None else round(points, 6)


def _text(path: Path) -> str:
    """As it was written here, or as a spreadsheet program saves it."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _cells(text: str) -> dict[tuple[str, str], str]:
    """By student and column; the first column is the student's name. Nothing where it is no table."""
    first = text.partition("\n")[0]
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a note may be long
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ","))
    except csv.Error:
        return {}
    return {(row[0], column): value for row in rows[1:] if row for column, value in zip(rows[0][1:], row[1:])}


def _same(one: str, other: str) -> bool:
    numbers = _number(one), _number(other)
    return numbers[0] == numbers[1] if None not in numbers else one.strip() == other.strip()


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None
