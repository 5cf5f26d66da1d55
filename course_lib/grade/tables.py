"""The gradebook, and tables for other systems."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from course_lib.grade.finding import printable
from course_lib.grade.marks import Row


def as_csv(table: list[list]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[cell(value) for value in row] for row in table])
    return text.getvalue()


def cell(value) -> str:
    """Points without noise; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    text = " ".join(printable(line) for line in str(value).splitlines())
    return re.sub(r"(^|;)([\s\"]*[=+\-@＝＋－＠])", r"\1'\2", text)  # a semicolon parts cells for half of the world


def gradebook(rows: list[Row]) -> list[list]:
    """An empty cell is an exercise that could not be graded; the notes say why, and the total leaves it out."""
    lessons = [mark.lesson for mark in rows[0].marks] if rows else []
    sandboxes = {finding.sandbox for row in rows for mark in row.marks for finding in mark.findings} - {""}
    table = [["student", *lessons, "total", "out of", "sandbox", "notes"]]
    for row in rows:
        marks = [mark.score if mark.graded else "" for mark in row.marks]
        table.append(
            [row.student, *marks, row.total, row.most, " or ".join(sorted(sandboxes)), " | ".join(row.all_notes())]
        )
    return table


def nbgrader(rows: list[Row]) -> list[list]:
    """As `nbgrader export` writes it."""
    table = [
        "assignment duedate timestamp student_id last_name first_name email raw_score late_submission_penalty score "
        "max_score".split()
    ]
    for row in rows:
        for mark in row.marks:
            due, when = (time.strftime("%Y-%m-%d %H:%M:%S") if time else "" for time in (mark.due, mark.handed_in))
            marks = [mark.raw, mark.raw - mark.score, mark.score] if mark.graded else ["", "", ""]
            table.append([mark.lesson, due, when, row.student, "", "", "", *marks, mark.most])
    return table


TEST_STUDENT = "Student, Test"  # whom Canvas adds to every course


class Roster:
    """Who is who in Canvas: from a gradebook that was exported there, or from the folders' names alone.

    A folder is a student's if its name is the "SIS Login ID", the "SIS User ID", the "ID" or the "Student" of a line;
    of a file that Canvas named, doeann_1234, the number at the end is the "ID".
    """

    COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")

    def __init__(self, exported: Path | None = None):
        self.possible: dict[str, str] = {}  # the line that says what each column can bring
        self.lines: list[dict[str, str]] = []
        self.columns: list[str] = []
        self.unknown: list[str] = []  # students for whom there was no line
        if exported:
            with open(exported, encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                self.columns = [name for name in reader.fieldnames or [] if name not in self.COLUMNS]
                missing = [name for name in ("Student", "ID", "Section") if name not in (reader.fieldnames or [])]
                if missing:
                    wanted = "wanted a gradebook exported from Canvas, with commas"
                    raise ValueError(f"{exported} has no column {', '.join(missing)}; {wanted}")
                lines = list(reader)
                self.lines = [line for line in lines if line["ID"] and line["Student"] != TEST_STUDENT]
                self.possible = next((line for line in lines if line["Student"].strip() == "Points Possible"), {})

    def table(self, rows: list[Row]) -> list[list]:
        lessons = [mark.lesson for mark in rows[0].marks] if rows else []
        table = [[*self.COLUMNS, *map(self._column, lessons)]]
        table.append(["    Points Possible", "", "", "", "", *(mark.most for mark in (rows[0].marks if rows else []))])
        for row in rows:
            marks = [mark.score if mark.graded else "" for mark in row.marks]
            table.append([*self._who(row.student), *marks])
        return table

    def doubles(self, rows: list[Row]) -> list[tuple[str, list[str]]]:
        """Students who are the same line: its name, and theirs."""
        of_line: dict[str, list[str]] = {}
        for row in rows:
            if line := self._line(row.student):
                of_line.setdefault(f"{line['Student']} ({line['ID']})", []).append(row.student)
        return [(line, names) for line, names in of_line.items() if len(names) > 1]

    def other_points(self, rows: list[Row]) -> list[tuple[str, float, float]]:
        """The columns for which Canvas has another number of points: name, its number, ours."""
        marks = rows[0].marks if rows else []
        pairs = [(self._column(mark.lesson), mark.most) for mark in marks]
        there = [(column, _number_or_none(self.possible.get(column)), most) for column, most in pairs]
        return [(column, its, most) for column, its, most in there if its is not None and abs(its - most) > 1e-6]

    def _column(self, lesson: str) -> str:
        """`Straight through (123)` for 04_straight_through, where the export has just one such column."""
        begins = tuple(f"{_words(name)} " for name in (lesson, re.sub(r"^\d+_", "", lesson)))
        fits = [name for name in self.columns if f"{_words(name)} ".startswith(begins)]
        return fits[0] if len(fits) == 1 else lesson

    def absent(self, students: Iterable[str]) -> list[str]:
        """Whoever has a line and is none of these, by the name that a folder of theirs might have."""
        there = [self._line(student) for student in students]
        return [
            line.get("SIS Login ID") or line.get("SIS User ID") or line["ID"]
            for line in self.lines
            if line not in there
        ]

    def _who(self, student: str) -> list[str]:
        if line := self._line(student):
            return [line.get(name) or "" for name in self.COLUMNS]
        self.unknown.append(student)
        return [student, "", "", student, ""]

    def _line(self, student: str) -> dict[str, str] | None:
        for column in ("SIS Login ID", "SIS User ID", "ID", "Student"):
            for line in self.lines:
                if line.get(column) == student or column == "ID" and line["ID"] == student.rpartition("_")[2]:
                    return line
        return None


def _number_or_none(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:  # "(read only)"
        return None


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))
