"""What Gradescope gets of one student."""

from course_lib.check import feedback
from course_lib.grade.finding import Finding, printable
from course_lib.grade.marks import Row


def results(row: Row) -> dict:
    """Gradescope's results.json: a test for each check. What could not be graded is no test that failed, and whoever
    has such a mark gets no score, which Gradescope shows as a failure of the grader's."""
    tests = []
    for mark in row.marks:
        for finding in mark.findings:
            most = mark.points[finding.check]
            test = {"name": finding.check, "output": as_text(finding), "output_format": "text", "visibility": "visible"}
            if mark.counted(finding):
                test |= {"score": round(mark.counts(finding), 4), "max_score": round(most, 4)}
                whole = (
                    mark.brings(finding) > most - 1e-9 if finding.check in mark.by_hand else finding.verdict == "pass"
                )
                test["status"] = "passed" if whole else "failed"
            tests.append(test)
    notes = [printable(note) for note in row.notes] + [
        f"{m.lesson}: late, {m.lost:.0%} lost" for m in row.marks if m.lost
    ]
    notes += [note for mark in row.marks for note in mark.notes_by_hand()] + list(map(str, row.comments))
    result = {"tests": tests, "output": "\n".join(notes), "stdout_visibility": "hidden"}
    return {"score": round(row.total, 4)} | result if all(mark.graded for mark in row.marks) else result


def as_text(finding: Finding) -> str:
    return feedback.as_text(f"{finding.title} ({finding.verdict})", list(finding.rows), "")
