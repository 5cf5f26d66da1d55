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
