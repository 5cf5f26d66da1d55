"""The pages: one file each, from `templates/`, with nothing from elsewhere."""

import jinja2

from course_lib.check import feedback
from course_lib.grade.finding import Finding, printable
from course_lib.grade.marks import Mark, Row
from course_lib.grade.tables import cell

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("course_lib.grade"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)  # fmt: skip
TEMPLATES.filters |= {"printable": printable, "points": cell}


def student(row: Row) -> str:
    """What came of each answer, as a check would have shown it."""
    return TEMPLATES.get_template("student.html").render(row=row, card=card)


def card(finding: Finding, mark: Mark) -> str:
    """As in the notebook, with the points below it."""
    status = {"pass": "right", "blank": "not attempted", "not_graded": "not attempted"}.get(finding.verdict, "wrong")
    colour = feedback.COLOURS.get(status, feedback.AMBER)
    points = [("points", f"{cell(mark.brings(finding))} of {cell(mark.points[finding.check])}")]
    rows = [*finding.rows, *(points if mark.counted(finding) else [])]
    return feedback.as_html(finding.title, rows, "", colour, finding.picture)
