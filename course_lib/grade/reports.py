"""What a class gets: the gradebook, a page and a Gradescope result for each student, tables for other systems."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from pathlib import Path

from course_lib import files
from course_lib.check import feedback
from course_lib.grade.finding import Finding, printable


@dataclass
class Mark:
    """One exercise of one student. lost: the share of the points that lateness costs. partial: whether an answer of
    which a part holds gets a part of its points."""

    lesson: str
    findings: list[Finding]
    points: dict[str, float]  # by check: what it can bring
    lost: float = 0.0
    handed_in: datetime | None = None
    partial: bool = False
    due: datetime | None = None

    @property
    def graded(self) -> bool:
        """False where a verdict is missing for reasons that are not the student's, or not clear: no marks, not zero."""
        return all(finding.verdict != "not_graded" for finding in self.findings)

    @property
    def most(self) -> float:
        return sum(self.points.values())

    @property
    def raw(self) -> float:
        return sum(map(self.brings, self.findings))

    def brings(self, finding: Finding) -> float:
        """Points of one answer, whenever it was handed in."""
        return (finding.score if self.partial else float(finding.verdict == "pass")) * self.points[finding.check]

    @property
    def score(self) -> float:
        return self.raw * (1 - self.lost)


@dataclass
class Row:
    """A student. notes: what the marks do not say."""

    student: str
    marks: list[Mark]
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        return sum(mark.score for mark in self.marks if mark.graded)

    @property
    def most(self) -> float:
        """What the total is out of: what could not be graded is in neither."""
        return float(sum(mark.most for mark in self.marks if mark.graded))

    def all_notes(self) -> list[str]:
        notes = list(self.notes)
        for mark in self.marks:
            reasons: dict[str, list[str]] = {}
            for finding in mark.findings:
                if finding.verdict != "pass":
                    why = (
                        f": {finding.rows[0][1]}" if finding.verdict in ("not_graded", "blank") and finding.rows else ""
                    )
                    reasons.setdefault(f"{finding.verdict}{why}", []).append(finding.check)
            notes += [f"{', '.join(checks)}: {reason}" for reason, checks in reasons.items()]
            if mark.lost and mark.raw:
                notes.append(f"{mark.lesson}: late, {mark.lost:.0%} lost")
        return notes


def write_all(folder: Path, rows: list[Row], canvas: "Roster | None" = None, nbgrader: bool = False) -> None:
    """Every file whole or not at all; those of an earlier run are replaced."""
    names = file_names(row.student for row in rows)
    for row in rows:
        _write(folder / f"{names[row.student]}.json", json.dumps(gradescope(row), indent=1) + "\n")
        _write(folder / f"{names[row.student]}.html", page(row))
    tables = {"nbgrader.csv": nbgrader and nbgrader_table(rows), "canvas.csv": canvas and canvas.table(rows)}
    for name, table in tables.items():
        if table:
            _write(folder / name, as_csv(table))
        else:
            (folder / name).unlink(missing_ok=True)  # it would show the marks of an earlier run
    _write(folder / "gradebook.csv", as_csv(gradebook(rows)))


def _write(path: Path, text: str) -> None:
    files.write(path, text.encode(errors="backslashreplace"))


def file_names(students: Iterable[str]) -> dict[str, str]:
    """A name for each student's files: his own, where any system can store it and no two are alike to one."""
    names, taken = {}, set()
    for student in students:
        name = student
        plain = re.fullmatch(r"[\w@+=,()][\w .@+=,()-]*", student) and student[-1] not in ". "
        if not plain or len(student.encode()) > 100 or student.lower() in taken:
            readable, digest = (
                re.sub(r"[^A-Za-z0-9]+", "-", student)[:40].strip("-"),
                student.encode(errors="surrogatepass"),
            )
            while (name := f"{readable}-{hashlib.sha256(digest).hexdigest()[:8]}").lower() in taken:
                digest += b"+"
        names[student] = name
        taken.add(name.lower())
    return names


# ----------------------------------------------------------------------------------------------------------------------
# Tables


def as_csv(table: list[list]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[_cell(value) for value in row] for row in table])
    return text.getvalue()


def _cell(value) -> str:
    """Points without noise; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    text = " ".join(printable(line) for line in str(value).splitlines())
    return re.sub(r"(^|;)(\s*[=+\-@＝＋－＠])", r"\1'\2", text)  # a semicolon parts cells for half of the world


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


def nbgrader_table(rows: list[Row]) -> list[list]:
    """As `nbgrader export` writes it."""
    table = [
        "assignment duedate timestamp student_id last_name first_name email raw_score late_submission_penalty score "
        "max_score".split()
    ]
    for row in rows:
        for mark in row.marks:
            due, when = (time.strftime("%Y-%m-%d %H:%M:%S") if time else "" for time in (mark.due, mark.handed_in))
            marks = [mark.raw, mark.raw * mark.lost, mark.score] if mark.graded else ["", "", ""]
            table.append([mark.lesson, due, when, row.student, "", "", "", *marks, mark.most])
    return table


class Roster:
    """Who is who in Canvas: from a gradebook that was exported there, or from the folders' names alone.

    A folder is a student's if its name is the "SIS Login ID", the "SIS User ID", the "ID" or the "Student" of a line;
    of a file that Canvas named, doeann_1234, the number at the end is the "ID".
    """

    COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")

    def __init__(self, exported: Path | None = None):
        self.lines: list[dict[str, str]] = []
        self.unknown: list[str] = []  # students for whom there was no line
        if exported:
            with open(exported, encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                missing = [name for name in ("Student", "ID", "Section") if name not in (reader.fieldnames or [])]
                if missing:
                    wanted = "wanted a gradebook exported from Canvas, with commas"
                    raise ValueError(f"{exported} has no column {', '.join(missing)}; {wanted}")
                self.lines = [line for line in reader if line["ID"]]

    def table(self, rows: list[Row]) -> list[list]:
        lessons = [mark.lesson for mark in rows[0].marks] if rows else []
        table = [[*self.COLUMNS, *lessons]]
        table.append(["    Points Possible", "", "", "", "", *(mark.most for mark in (rows[0].marks if rows else []))])
        for row in rows:
            marks = [mark.score if mark.graded else "" for mark in row.marks]
            table.append([*self._who(row.student), *marks])
        return table

    def _who(self, student: str) -> list[str]:
        for column in ("SIS Login ID", "SIS User ID", "ID", "Student"):
            for line in self.lines:
                if line.get(column) == student or column == "ID" and line["ID"] == student.rpartition("_")[2]:
                    return [line.get(name) or "" for name in self.COLUMNS]
        self.unknown.append(student)
        return [student, "", "", student, ""]


# ----------------------------------------------------------------------------------------------------------------------
# For one student


def gradescope(row: Row) -> dict:
    """Gradescope's results.json: a test for each check. What could not be graded is no test that failed, and whoever
    has such a mark gets no score, which Gradescope shows as a failure of the grader's."""
    tests = []
    for mark in row.marks:
        for finding in mark.findings:
            most = mark.points[finding.check]
            test = {"name": finding.check, "output": as_text(finding), "output_format": "text", "visibility": "visible"}
            if finding.verdict != "not_graded":
                score = round(mark.brings(finding) * (1 - mark.lost), 4)
                test |= {"score": score, "max_score": round(most, 4)}
                test["status"] = "passed" if finding.verdict == "pass" else "failed"
            tests.append(test)
    notes = [printable(note) for note in row.notes] + [
        f"{m.lesson}: late, {m.lost:.0%} lost" for m in row.marks if m.lost
    ]
    result = {"tests": tests, "output": "\n".join(notes), "stdout_visibility": "hidden"}
    return {"score": round(row.total, 4)} | result if all(mark.graded for mark in row.marks) else result


def as_text(finding: Finding) -> str:
    return feedback.as_text(f"{finding.title} ({finding.verdict})", list(finding.rows), "")


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #1f2328 }
h1, h2 { font-weight: 600; line-height: 1.2 } h2 { margin-top: 1.6em; border-bottom: 1px solid #d1d9e0 }
table.marks { border-collapse: collapse } table.marks td, table.marks th { padding: 2px 1.2em 2px 0; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3 } }
"""


def page(row: Row) -> str:
    """What came of each answer, as a check would have shown it. One file, no scripts, nothing from elsewhere."""
    name = escape(printable(row.student))
    total = _line("<b>total</b>", f"<b>{_cell(row.total)}</b>", row.most)
    lines = "".join(
        _line(
            escape(mark.lesson),
            _cell(mark.score) if mark.graded else "not graded",
            mark.most,
            f"late: {mark.lost:.0%} lost" if mark.lost else "",
        )
        for mark in row.marks
    )
    notes = "".join(f"<p>{escape(printable(note))}</p>" for note in row.notes)
    answers = "".join(
        f"<h2>{escape(mark.lesson)}</h2>{''.join(_card(finding, mark) for finding in mark.findings)}"
        for mark in row.marks
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f'<h1>{name}</h1><table class="marks">{lines}{total}</table>'
        f"{notes}{answers}</body></html>\n"
    )


def _line(what: str, points: str, most: float, remark: str = "") -> str:
    number = '<td class="number">'
    return f"<tr><td>{what}</td>{number}{points}</td>{number}of {_cell(most)}</td><td>{remark}</td></tr>"


def _card(finding: Finding, mark: Mark) -> str:
    status = {"pass": "right", "blank": "not attempted", "not_graded": "not attempted"}.get(finding.verdict, "wrong")
    colour = feedback.COLOURS.get(status, feedback.AMBER)
    points = [("points", f"{_cell(mark.brings(finding))} of {_cell(mark.points[finding.check])}")]
    rows = [*finding.rows, *(points if finding.verdict != "not_graded" else [])]
    return feedback.as_html(finding.title, rows, "", colour, finding.picture)
