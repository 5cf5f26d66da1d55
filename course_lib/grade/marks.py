"""What a class got: the marks of each student, from the findings and the settings."""

from dataclasses import dataclass, field
from datetime import datetime

from course_lib.grade.finding import Finding
from course_lib.grade.settings import Settings
from course_lib.grade.submissions import Notebook


@dataclass(frozen=True)
class ByHand:
    """Points that a person gave. answer: as `overrides.toml` names it, perhaps a whole exercise."""

    student: str
    answer: str
    points: float
    reason: str
    by: str


@dataclass(frozen=True)
class Comment:
    """For a student to read. answer: what it is about, perhaps a whole exercise; "" where it is about neither."""

    student: str
    text: str
    by: str
    answer: str = ""

    def __str__(self) -> str:
        return f"{self.answer + ': ' if self.answer else ''}{self.text} ({self.by})"


@dataclass
class Mark:
    """One exercise of one student. lost: the share of the points that lateness costs. partial: whether an answer of
    which a part holds gets a part of its points. by_hand: by check, points that count in place of the grader's."""

    lesson: str
    findings: list[Finding]
    points: dict[str, float]  # by check: what it can bring
    lost: float = 0.0
    partial: bool = False
    due: datetime | None = None
    notebook: Notebook | None = None  # that was handed in
    by_hand: dict[str, ByHand] = field(default_factory=dict)

    @property
    def handed_in(self) -> datetime | None:
        return self.notebook and self.notebook.handed_in

    @property
    def handed_in_anything(self) -> bool:
        return self.notebook is not None and self.notebook.there

    @property
    def graded(self) -> bool:
        """False where a verdict is missing for reasons that are not the student's, or not clear: no marks, not zero."""
        return all(map(self.counted, self.findings))

    @property
    def most(self) -> float:
        return sum(self.points.values())

    @property
    def raw(self) -> float:
        return sum(map(self.brings, self.findings))

    @property
    def score(self) -> float:
        return sum(map(self.counts, self.findings))

    def counted(self, finding: Finding) -> bool:
        """Whether there are points for this answer, none of them perhaps: its own, or by hand."""
        return finding.verdict != "not_graded" or finding.check in self.by_hand

    def brings(self, finding: Finding) -> float:
        """Points of one answer, whenever it was handed in."""
        if finding.check in self.by_hand:
            return self.by_hand[finding.check].points
        return (finding.score if self.partial else float(finding.verdict == "pass")) * self.points[finding.check]

    def counts(self, finding: Finding) -> float:
        """Points of one answer, less what lateness costs. A person who gives points has thought of that already."""
        return self.brings(finding) * (1 if finding.check in self.by_hand else 1 - self.lost)

    def notes_by_hand(self) -> list[str]:
        """One for each entry, which may be about several answers."""
        points: dict[tuple[str, str, str], float] = {}
        for given in self.by_hand.values():
            entry = given.answer, given.reason, given.by
            points[entry] = points.get(entry, 0) + given.points
        return [f"{answer}: {value:g} by hand: {why} ({by})" for (answer, why, by), value in points.items()]


@dataclass
class Row:
    """A student. notes: what the marks do not say. comments: what a person says."""

    student: str
    marks: list[Mark]
    notes: list[str] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)

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
            if mark.score < mark.raw:
                notes.append(f"{mark.lesson}: late, {mark.lost:.0%} lost")
            notes += mark.notes_by_hand()
        return notes + [f"comment: {comment}" for comment in self.comments]


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
