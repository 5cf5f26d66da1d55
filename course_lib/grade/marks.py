"""What a class got: the marks of each student, from the findings and the settings."""

from dataclasses import dataclass, field
from datetime import datetime

from course_lib.grade.finding import Finding
from course_lib.grade.settings import Settings
from course_lib.grade.submissions import Notebook


@dataclass
class Mark:
    """One exercise of one student. lost: the share of the points that lateness costs. partial: whether an answer of
    which a part holds gets a part of its points."""

    lesson: str
    findings: list[Finding]
    points: dict[str, float]  # by check: what it can bring
    lost: float = 0.0
    partial: bool = False
    due: datetime | None = None
    notebook: Notebook | None = None  # that was handed in

    @property
    def handed_in(self) -> datetime | None:
        return self.notebook and self.notebook.handed_in

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


@dataclass
class Graded:
    """A class, graded. settings: what was asked, and for how many points. environment: in which all was found."""

    rows: list[Row]
    settings: Settings = field(default_factory=Settings)
    environment: str = ""

    @property
    def lessons(self) -> list[str]:
        """What was asked of everybody."""
        return [mark.lesson for mark in self.rows[0].marks] if self.rows else []
