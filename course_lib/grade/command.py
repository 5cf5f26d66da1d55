"""What the command does once torch is there: reads the settings and the folder, grades the class, writes the tables."""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from course_lib.grade import changes, marks, overrides, reports, sandbox, settings, shards, submissions, tables
from course_lib.grade.classroom import Classroom
from course_lib.grade.examiner import MEMORY, Examiner, WeighedApart
from course_lib.grade.finding import printable
from course_lib.grade.journal import InUse, Journal
from course_lib.grade.sandbox import Sandbox

FEW_OF = 0.1  # of a class: who alone handed in an exercise may not have been asked for it


@dataclass
class Task:
    """What is asked, of whom. absent: those of the students who handed in nothing. by_hand: marks."""

    chosen: settings.Settings
    students: list[submissions.Student]
    absent: list[submissions.Student]
    lessons: list[str]
    canvas: tables.Roster | None
    by_hand: overrides.Overrides

    @property
    def names(self) -> list[str]:
        return [name for lesson in self.lessons for name in self.chosen.lessons()[lesson]]

    @property
    def work(self) -> list[tuple[submissions.Student, str, list[str]]]:
        lessons = self.chosen.lessons()
        return [(student, lesson, lessons[lesson]) for student in self.students for lesson in self.lessons]


def grade(options, sandboxes: list[Sandbox]) -> int:
    """-> the exit status, as `__main__.main`. `NoSandbox` where the first does not start: nothing is graded then."""
    torch.set_num_threads(1)  # toys are judged faster so, and who has threads cannot be forked
    try:
        task = _task(options)
        again = _to_ask_again(options.again, task)
        if any(task.chosen.exercises[name].slow for name in task.names):
            for one in sandboxes:
                one.modules = sandbox.TRAINING
        sandboxes[0].start()
        for sentence in sandboxes[0].missing():
            print(f"take care: {sentence}", file=sys.stderr)
        journal = _journal(options, task)
    except (ValueError, OSError, InUse) as error:  # BadSettings is a ValueError
        print(f"nothing was graded: {error}", file=sys.stderr)
        return 2
    journal.ask_again(again)
    memory = MEMORY if options.memory is None else options.memory << 20
    environment = task.chosen.environment()
    examiner = Examiner(task.chosen.exercises, journal.seed, options.timeout, memory, environment, journal.checks)
    scales = [WeighedApart(examiner) if sys.platform == "linux" else examiner.weigh for _ in sandboxes]
    classroom = Classroom(task.work, examiner, journal, task.chosen.stamps)
    finished = classroom.grade(sandboxes, scales)
    journal.close()
    if classroom.fault:
        done = f"stopped after {classroom.verdicts} verdicts"
        print(f"{done}: {journal.path} cannot be written: {classroom.fault}", file=sys.stderr)
        return 1
    if not finished:
        kept = f"{journal.path} keeps {classroom.verdicts} verdicts"
        print(f"stopped; {kept}, and the same command goes on from there", file=sys.stderr)
        return 130
    if options.shard:
        print(_summary(classroom, journal.path))
        print(
            f"shard {options.shard} is graded; the same command without --shard makes the marks of all that are there"
        )
        return 0
    return _write(options, task, classroom, environment)


def _task(options) -> Task:
    """`ValueError` or `OSError` for whatever keeps it from being known, before anything is asked."""
    chosen = settings.load(options.settings)
    lessons = _lessons(chosen, options.exercise)
    for needed in filter(None, (options.submissions, options.canvas)):
        if not Path(needed).exists():
            raise ValueError(f"there is no {needed}")
    by_hand_in = overrides.place(options.overrides, options.out)
    canvas = tables.Roster(Path(options.canvas) if options.canvas else None) if options.canvas is not None else None
    students = submissions.students_in(options.submissions, leave_out=options.out)
    if not students:
        wanted = f"{options.submissions}/<student>/<NN_topic>.ipynb"
        raise ValueError(f"{options.submissions} holds no student's folder; wanted {wanted}")
    submissions.name_unknown_files(students, chosen.lessons())
    lessons = _handed_out(chosen, students) if lessons is None else lessons
    absent = _absent(students, chosen, canvas)
    students += absent
    by_hand = overrides.load(by_hand_in, [student.name for student in students], chosen)
    if options.shard:
        students = [student for student in students if options.shard.holds(student.name)]
    return Task(chosen, students, absent, lessons, canvas, by_hand)


def _journal(options, task: Task) -> Journal:
    """The shard's, or that of all, with what the shards found."""
    checks = task.chosen.fingerprints()
    if options.shard:
        journal = Journal(options.out, checks, options.shard.journal)
    else:
        journal = Journal(options.out, checks)
        for sentence in shards.merge(journal, [student.name for student in task.students]):
            print(f"look at: {printable(sentence)}", file=sys.stderr)
    if outdated := sorted(journal.outdated & set(task.names)):
        which = ", ".join(outdated) if len(outdated) < 6 else f"{len(outdated)} answers"
        print(f"the check of {which} has changed: asked again; {journal.path.name} keeps the old verdicts too")
    return journal


def _write(options, task: Task, classroom: Classroom, environment: str) -> int:
    """Makes marks of the findings, and tells what somebody should look at."""
    rows = [_row(student, task.lessons, task.chosen, classroom, task.by_hand) for student in task.students]
    graded = marks.Graded(rows, task.chosen, environment)
    last_time = changes.LastTime(options.out)
    changed, undone = last_time.changed_marks(rows), last_time.changed_by_hand(rows)
    try:
        aside = last_time.put_aside() if undone else None
        reports.write_all(options.out, graded, task.canvas, options.nbgrader, changed)
        last_time.keep(rows)
    except OSError as error:
        again = f"all is graded, but {options.out} cannot be written: {error}; the same command tries again"
        print(again, file=sys.stderr)
        return 1
    print(_summary(classroom, options.out / "gradebook.csv"))
    if changed:
        print(f"{options.out / changes.CHANGED}: {len(changed) - 1} marks are others than the last time, and why")
    for line in _to_look_at(options.submissions, rows, task.canvas):
        print(f"look at: {line}", file=sys.stderr)
    for line in _not_as_expected(rows, task.absent, last_time, task.by_hand):
        print(f"look at: {line}", file=sys.stderr)
    if undone:
        known = last_time.gradebook is not None
        print(f"look at: {changes.told(undone, known, aside, rows, task.by_hand)}", file=sys.stderr)
    return 0


def _lessons(chosen: settings.Settings, names: list[str] | None) -> list[str] | None:
    """The lessons that --exercise names, by their whole name or their number; None where it names none."""
    if not names:
        return None
    there, lessons = list(chosen.lessons()), set()
    for name in names:
        wanted = name.removesuffix(".ipynb")
        fits = {lesson for lesson in there if wanted in (lesson, lesson.split("_")[0])}
        if not fits:
            raise ValueError(f"there is no exercise {name!r} with points; there are {', '.join(there)}")
        lessons |= fits
    return sorted(lessons)


def _handed_out(chosen: settings.Settings, students: list[submissions.Student]) -> list[str]:
    """What the settings give points, and what anybody handed in."""
    names = list(chosen.lessons())
    files = {submissions.exercise_of(submissions.own_name(name), names) for s in students for name in s.files}
    lessons = [lesson for lesson in names if lesson in files or lesson in chosen.named]
    if not lessons:
        wanted = ", ".join(f"{lesson}.ipynb" for lesson in list(chosen.lessons())[:3])
        own = "one of your own needs the --settings whose `private` names it"
        raise ValueError(f"no folder holds a notebook with the name of an exercise ({wanted}, ...); {own}")
    return lessons


def _absent(
    students: list[submissions.Student], chosen: settings.Settings, canvas: tables.Roster | None
) -> list[submissions.Student]:
    """Whoever is in the class and handed in nothing at all."""
    there = [student.name for student in students]
    names = [name for name in chosen.roster if name not in there]
    names += canvas.absent(there + names) if canvas else []
    return [submissions.Student(name, notes=["nothing was handed in"]) for name in dict.fromkeys(names)]


def _to_ask_again(wanted: list[str], task: Task) -> set[str]:
    """What --again names. `ValueError` for what is nobody's name and no answer's."""
    there = {*task.lessons, *task.names, *(student.name for student in task.students)}
    for name in wanted:
        if name not in there:
            answers = ", ".join([*task.lessons, *task.names])
            raise ValueError(f"--again {name}: wanted a student's name, or one of {answers}")
    return set(wanted)


def _row(
    student: submissions.Student,
    lessons: list[str],
    chosen: settings.Settings,
    room: Classroom,
    by_hand: overrides.Overrides,
) -> marks.Row:
    of_lessons = []
    for lesson in lessons:
        notebook, findings = room.findings[student.name, lesson]
        points = {name: chosen.points[name] for name in chosen.lessons()[lesson]}
        lost = chosen.lost_by(student.name, lesson, notebook.handed_in)
        due = chosen.due.get(lesson, chosen.due.get(""))
        given = by_hand.of(student.name, lesson, points)
        of_lessons.append(marks.Mark(lesson, findings, points, lost, chosen.partial_credit, due, notebook, given))
    comments = by_hand.comments_for(student.name)
    return marks.Row(student.name, of_lessons, list(dict.fromkeys(student.notes)), comments)


def _to_look_at(folder: Path, rows: list[marks.Row], canvas: tables.Roster | None):
    """What is in the tables too, and must not be overlooked."""
    for row in rows:
        lessons = [mark.lesson for mark in row.marks if not mark.graded]
        if lessons:
            why = next(f.rows[0][1] for m in row.marks for f in m.findings if f.verdict == "not_graded")
            yield f"{printable(row.student)}, not graded: {', '.join(lessons)} ({why})"
    if unused := submissions.unused_files(folder):
        yield f"nobody's file in {folder}: {', '.join(map(printable, unused))}"
    if canvas and canvas.lines and canvas.unknown:
        yield f"not in the gradebook exported from Canvas: {', '.join(map(printable, canvas.unknown))}"
    for line, names in canvas.doubles(rows) if canvas else ():
        yield f"{', '.join(map(printable, names))} are all {printable(line)} in Canvas: which one is?"
    for column, its, most in canvas.other_points(rows) if canvas else ():
        points = f"{its:g} points in Canvas, and {most:g} here"
        yield f"{printable(column)} has {points}: set them alike, there or under [points] in the settings"


def _not_as_expected(
    rows: list[marks.Row], absent: list[submissions.Student], last_time: changes.LastTime, by_hand: overrides.Overrides
):
    """What somebody might have thought otherwise who reads the gradebook, or wrote marks by hand."""
    if absent:
        names = ", ".join(printable(student.name) for student in absent)
        yield f"in the class, and nothing was handed in, which is 0 points: {names}"
    lessons = [mark.lesson for mark in rows[0].marks]
    if gone := [lesson for lesson in last_time.lessons if lesson not in lessons]:
        about = f"{', '.join(lessons)} alone; the last one was about {', '.join(gone)} too"
        yield f"the gradebook is about {about}. Another --out keeps them apart"
    for lesson in lessons:
        came = [row.student for row in rows for mark in row.marks if mark.lesson == lesson and mark.handed_in_anything]
        if 0 < len(came) <= len(rows) * FEW_OF:
            who = f"{', '.join(map(printable, came))} alone, and costs {len(rows) - len(came)} others their points"
            yield f"{lesson} was handed in by {who}; --exercise says what is asked"
    asked = {name for mark in rows[0].marks for name in (mark.lesson, *mark.points)}
    if others := sorted({mark.answer for mark in by_hand.marks} - asked):
        yield f"marks by hand for what is not asked this time: {', '.join(others)}"


def _summary(room: Classroom, written: Path) -> str:
    counts: dict[str, int] = {}
    for _, findings in room.findings.values():
        for finding in findings:
            counts[finding.verdict] = counts.get(finding.verdict, 0) + 1
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items(), key=lambda item: -item[1]))
    known = f", {room.known} of them known before" if room.known else ""
    students = len({student for student, _ in room.findings})
    return f"{students} students, {sum(counts.values())} answers{known}: {verdicts}\n{written}"
