"""The same verdict elsewhere: --replay JOURNAL asks every answer of a journal anew, with the same draws of inputs, and
tells what comes out otherwise. It writes nothing."""

import sys
from collections.abc import Iterator

import torch

from course_lib.grade import sandbox, settings, submissions
from course_lib.grade.classroom import Classroom
from course_lib.grade.examiner import MEMORY, Examiner, WeighedApart, seed_of
from course_lib.grade.finding import Finding, printable
from course_lib.grade.journal import read
from course_lib.grade.sandbox import Sandbox


class Unrecorded:
    """In the journal's place: knows nothing, so that everything is asked, and keeps what is found."""

    taken_over, path = 0, "nothing"

    def __init__(self):
        self.findings: dict[tuple[str, str], Finding] = {}

    def find(self, *_) -> None:
        return None

    def write(self, finding: Finding) -> None:
        self.findings[finding.student, finding.check] = finding


class AsThen(Examiner):
    """Asks each answer with the draws of the run that found it: a class that was graded in shards had several. Draws of
    no such run are not believed."""

    def __init__(self, runs: list[int], then: dict[tuple[str, str], Finding], exercises, *more):
        super().__init__(exercises, runs[0], *more)
        self.runs, self.then = runs, then

    def seed_for(self, notebook: submissions.Notebook, name: str = "") -> int:
        drawn = [seed_of(run, notebook) for run in self.runs]
        own = self.then[notebook.student, name].seed
        return own if own in drawn else drawn[0]


def run(options, sandboxes: list[Sandbox]) -> int:
    """-> the exit status: 0 where everything comes out as it was; 1 where something does not; 2 where not everything
    could be asked again; 130 where it was stopped."""
    torch.set_num_threads(1)
    try:
        chosen = settings.load(options.settings)
        runs, findings = read(options.replay)
        if not findings:
            raise ValueError(f"{options.replay} holds no verdict")
        leave_out = options.replay.resolve().parent
        students = {one.name: one for one in submissions.students_in(options.submissions, leave_out=leave_out)}
        submissions.name_unknown_files(students.values(), chosen.lessons())
        then = {(finding.student, finding.check): finding for finding in findings}  # of two, the later
        checks = chosen.fingerprints()
        missing = {key: why for key, finding in then.items() if (why := _missing(finding, students, chosen, checks))}
        if len(missing) == len(then):
            why = next(iter(missing.values()))
            raise ValueError(f"of {len(then)} answers none can be asked again; of the first, {why}")
        sandboxes[0].start()
    except (ValueError, OSError) as error:
        print(f"nothing was replayed: {error}", file=sys.stderr)
        return 2
    work: dict[tuple[str, str], list[str]] = {}
    for (student, check), finding in then.items():
        if (student, check) not in missing:
            work.setdefault((student, finding.lesson), []).append(check)
    seconds = options.timeout or _seconds(findings, chosen)
    memory = MEMORY if options.memory is None else options.memory << 20
    examiner = AsThen(runs, then, chosen.exercises, seconds, memory, chosen.environment(), checks)
    if any(chosen.exercises[check].slow for names in work.values() for check in names):
        for one in sandboxes:
            one.modules = sandbox.TRAINING
    scales = [WeighedApart(examiner) if sys.platform == "linux" else examiner.weigh for _ in sandboxes]
    now, items = Unrecorded(), [(students[student], lesson, names) for (student, lesson), names in work.items()]
    if not Classroom(items, examiner, now, chosen.stamps).grade(sandboxes, scales):
        print("stopped", file=sys.stderr)
        return 130
    differing = [(then[key], found) for key, found in now.findings.items() if _essence(then[key]) != _essence(found)]
    for (student, check), why in missing.items():
        print(f"cannot be asked again: {printable(student)}, {printable(check)}: {why}")
    for line in _in_words(differing):
        print(line)
    same = len(now.findings) - len(differing)
    print(f"{len(then)} answers: {same} the same, {len(differing)} not, {len(missing)} could not be asked again")
    return 1 if differing else 2 if missing else 0


def _essence(finding: Finding) -> tuple:
    """What must not change: worth, cause and draws. Times may, and the words in which an error is told."""
    return finding.verdict, finding.score, finding.mistake, finding.seed


def _missing(
    finding: Finding, students: dict[str, submissions.Student], chosen: settings.Settings, checks: dict[str, str]
) -> str:
    """Why this cannot be asked again, in words; nothing where it can. Whoever had no folder has none now."""
    if finding.check not in chosen.exercises:
        return "no exercise has this name; if it was your own, give the --settings that name it"
    if finding.checks != checks[finding.check]:
        then, now = finding.checks or "of no known version", checks[finding.check]
        return f"its check was {then}, and is {now}; take the version of the course that it was graded with"
    if not finding.notebook:
        students.setdefault(finding.student, submissions.Student(finding.student))
    if finding.student not in students:
        return "there is no folder of this name"
    notebook = submissions.read(students[finding.student], finding.lesson, chosen.stamps)
    if notebook.digest != finding.notebook:
        there = notebook.digest or "none that can be read"
        return f"another {finding.lesson}.ipynb: {finding.notebook or 'none'} then, {there} now"
    return ""


def _seconds(findings: list[Finding], chosen: settings.Settings) -> float | None:
    """That questions might take then: None where each had its exercise's own, else the most that one had."""
    usual = Examiner(chosen.exercises, 0)
    known = [finding for finding in findings if finding.check in chosen.exercises]
    if all(finding.allowed == usual.seconds_for(finding.check) for finding in known):
        return None
    return max(finding.allowed for finding in known)


def _in_words(differing: list[tuple[Finding, Finding]]) -> Iterator[str]:
    for then, now in differing:
        yield f"differs: {printable(now.student)}, {printable(now.check)}"
        for when, finding in (("then", then), ("now", now)):
            mistake = f", {printable(finding.mistake)}" if finding.mistake else ""
            found = f"{finding.verdict}, score {finding.score:g}{mistake}; draws {finding.seed}"
            with_what = printable(f"{finding.environment}; sandbox {finding.sandbox or 'not needed'}")
            yield f"    {when + ':':<6}{found}; {with_what}"
