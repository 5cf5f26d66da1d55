"""Writes what a class gets: a gradebook, a page and a Gradescope result for each student, tables for other systems."""

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from course_lib import files
from course_lib.grade import alike, changes, class_report, gradescope, pages, tables
from course_lib.grade.marks import Graded


def write_all(
    folder: Path,
    graded: Graded,
    canvas: tables.Roster | None = None,
    nbgrader: bool = False,
    changed: list[list] | None = None,
) -> None:
    """Every file whole or not at all; those of an earlier run are replaced. changed: the table of marks that are not
    what they were the last time."""
    rows = graded.rows
    names = file_names(row.student for row in rows)
    for row in rows:
        _write(folder / f"{names[row.student]}.json", json.dumps(gradescope.results(row), indent=1) + "\n")
        _write(folder / f"{names[row.student]}.html", pages.student(row, graded.settings))
    optional = {"nbgrader.csv": nbgrader and tables.nbgrader(rows), "canvas.csv": canvas and canvas.table(rows)}
    optional |= {changes.CHANGED: changed}
    for name, table in optional.items():
        if table:
            _write(folder / name, tables.as_csv(table))
        else:
            (folder / name).unlink(missing_ok=True)  # it would show the marks of an earlier run
    _write(folder / "gradebook.csv", tables.as_csv(tables.gradebook(rows)))
    _write(folder / "alike.html", alike.page(rows, graded.settings))
    _write(folder / "class.html", class_report.page(graded, names, folder))
    _write(folder / "class.json", json.dumps(class_report.summary(graded), indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    files.write(path, text.encode(errors="backslashreplace"))


def file_names(students: Iterable[str]) -> dict[str, str]:
    """A name for each student's files: his own, where any system can store it and no two are alike to one."""
    names, taken = {}, {"class", "alike"}  # those are the instructor's own pages
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
